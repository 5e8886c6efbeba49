package paxos

import "fmt"

// What a proposer has to do with clients, learners and acceptors besides the two phases.

// onSubmit queues the values of a client, or says why not. Nothing is half taken.
func (p *Proposer) onSubmit(m *Message, out *Outbox) {
	var v Value
	values, first := 0, Value{}
	for rest := m.Data; len(rest) > 0; values++ {
		var ok bool
		if rest, ok = NextValue(rest, &v); !ok || len(v.Data) > MaxValue(p.cfg.MTU) {
			p.busy(m.From, &first, ReasonMalformed, out)
			return
		}
		if values == 0 {
			first = v
		}
	}
	switch {
	case values == 0:
		return
	case p.stopped:
		p.busy(m.From, &first, ReasonStopped, out)
	case p.phase == leading:
		if !p.queue.put(m.Data) {
			p.busy(m.From, &first, ReasonWindowFull, out)
			return
		}
		p.Counters.Submitted += uint64(values)
	default:
		p.busy(m.From, &first, p.turnedAway(), out)
	}
}

// turnedAway is why a proposer that does not lead refuses values.
func (p *Proposer) turnedAway() Reason {
	if p.named() == 0 {
		return ReasonNoLeader
	}
	return ReasonNotLeader
}

// named is whom clients are sent to: who leads, or who probably does soon.
func (p *Proposer) named() NodeID {
	if p.leader != 0 {
		return p.leader
	}
	return p.heir
}

// refuseQueued empties the queue of a proposer that leads no more, and tells each node whose values were in it once, so that none waits
// in vain.
func (p *Proposer) refuseQueued(out *Outbox) {
	var told [MaxNodes]bool
	var v Value
	for rest := p.queue.buf[p.queue.tail:p.queue.head]; len(rest) > 0; {
		var ok bool
		if rest, ok = NextValue(rest, &v); !ok {
			panic(fmt.Sprintf("paxos: proposer %d queued a value that cannot be read", p.cfg.ID))
		}
		if !told[v.Node] {
			told[v.Node] = true
			p.busy(v.Node, &v, p.turnedAway(), out)
		}
	}
	p.queue.clear()
}

func (p *Proposer) busy(to NodeID, first *Value, reason Reason, out *Outbox) {
	p.Counters.Busy++
	b := out.send(KindBusy, to)
	b.Reason, b.Leader, b.Ballot = reason, p.named(), p.known
	b.Client, b.Sequence = first.Client, first.Sequence
}

// onHi registers a learner. The watermark that it brings moves the low watermark of a leader.
func (p *Proposer) onHi(now Time, m *Message, out *Outbox) {
	if p.learner.of(m.From) < 0 || m.Flags&FlagClient != 0 {
		return
	}
	p.leases.renew(now, m, out)
	if m.Flags&FlagGap != 0 {
		p.onGap(now, m, out)
	}
	if m.Flags&FlagUpdate != 0 {
		return
	}
	ok := out.send(KindOK, m.From)
	ok.Low = p.low
	if p.phase == leading {
		ok.High = p.next
	}
}

// onGap begins phase 1 anew for a learner that cannot learn an instance which is chosen. Those who voted for it may be gone since; another
// quorum votes for the same value by a higher ballot. One try has its time before the next.
func (p *Proposer) onGap(now Time, m *Message, out *Outbox) {
	if p.phase != leading || m.Instance < p.low || m.Instance >= p.chosen || now < p.again {
		return
	}
	p.again = now + recoveryRetries*p.cfg.Retry
	p.prepare(now, reason{cause: CauseGap, node: m.From}, out)
}

// onRefused notes an acceptor that cannot vote. Once no quorum can be made of the others, the cluster has stopped for good.
func (p *Proposer) onRefused(m *Message, out *Outbox) {
	k := p.acceptor.of(m.From)
	if k < 0 {
		return
	}
	p.Counters.Refused++
	v := &p.views[k]
	switch m.Reason {
	case ReasonAmnesia:
		if v.amnesia && v.incarnation == m.FromIncarnation {
			return
		}
		v.amnesia, v.incarnation, v.done = true, m.FromIncarnation, false
		out.event(Event{Kind: EventAmnesia, Node: m.From})
		p.countVoters(out)
	case ReasonOutOfWindow:
		p.pressed++
	case ReasonStoreFull:
		p.pressed++
		if p.full != p.low+1 { // once for each low watermark: every retry is refused likewise
			p.full = p.low + 1
			out.event(Event{Kind: EventStoreFull, Node: m.From, Instance: m.Instance})
		}
	case ReasonConflict:
		out.event(Event{Kind: EventConflict, Node: m.From, Instance: m.Instance, Ballot: m.Ballot})
	}
}

// alive notes that an acceptor votes, in its present incarnation.
func (p *Proposer) alive(k int, m *Message, out *Outbox) {
	v := &p.views[k]
	if v.incarnation == m.FromIncarnation {
		return
	}
	v.incarnation = m.FromIncarnation
	if v.amnesia {
		v.amnesia = false
		p.countVoters(out)
	}
}

func (p *Proposer) countVoters(out *Outbox) {
	gone := 0
	for k := range p.cfg.Members.Acceptors {
		if p.views[k].amnesia {
			gone++
		}
	}
	if stopped := len(p.cfg.Members.Acceptors)-gone < p.quorum; stopped != p.stopped {
		p.stopped = stopped
		if stopped {
			out.event(Event{Kind: EventStopped, Count: gone})
		}
	}
}

// Leading tells whether this proposer believes that it leads, and by which ballot. It is no permit to read.
func (p *Proposer) Leading() (Ballot, bool) { return p.ballot, p.phase == leading }

// Leader is the node that leads as far as this proposer knows, 0 unknown.
func (p *Proposer) Leader() NodeID { return p.leader }

// Stopped tells whether more than a minority of the acceptors do not vote any more.
func (p *Proposer) Stopped() bool { return p.stopped }

// Low, ChosenBelow and Next are the low watermark, the mark below which everything is chosen, and the next instance.
func (p *Proposer) Low() Instance         { return p.low }
func (p *Proposer) ChosenBelow() Instance { return p.chosen }
func (p *Proposer) Next() Instance        { return p.next }
