package paxos

import "fmt"

// What a proposer has to do with clients, learners and acceptors besides the two phases.

// onSubmit queues the values of a client, or says why not. Nothing is half taken.
func (p *Proposer) onSubmit(from NodeID, batch []byte, out *Outbox) (queued bool) {
	var v Value
	values, first, most := 0, Value{}, LargestValue(p.cfg.MTU, p.cfg.MaxValue)
	for rest := batch; len(rest) > 0; values++ {
		var ok bool
		if rest, ok = NextValue(rest, &v); !ok || len(v.Data) > most {
			p.busy(from, &first, ReasonMalformed, out)
			return false
		}
		if values == 0 {
			first = v
		}
	}
	switch {
	case values == 0:
		return false
	case p.stopped:
		p.busy(from, &first, ReasonStopped, out)
	case p.phase == leading:
		if !p.queue.put(batch) {
			p.busy(from, &first, ReasonWindowFull, out)
			return false
		}
		p.Counters.Submitted += uint64(values)
		return true
	default:
		p.busy(from, &first, p.turnedAway(), out)
	}
	return false
}

// onSubmitPart keeps a piece of a client's value and queues the value with the last of them. Where nothing can come of it, the first piece is
// answered for all of them.
func (p *Proposer) onSubmitPart(now Time, m *Message, out *Outbox) {
	first, name := Value{Client: m.Client, Sequence: m.Sequence}, submitName(m.Client, m.Sequence, uint32(m.Hash))
	reason := ReasonNone
	switch {
	case int(m.Total) > valueHeaderSize+LargestValue(p.cfg.MTU, p.cfg.MaxValue):
		reason = ReasonMalformed
	case p.stopped:
		reason = ReasonStopped
	case p.phase != leading:
		reason = p.turnedAway()
	}
	if reason != ReasonNone {
		if m.Offset == 0 {
			p.busy(m.From, &first, reason, out)
		}
		return
	}
	if p.underWay(now, name) {
		p.Counters.Copies++
		return
	}
	batch, done := p.submits.add(name, m)
	if !done {
		return
	}
	var v Value
	if rest, ok := NextValue(batch, &v); !ok || len(rest) > 0 || submitName(v.Client, v.Sequence, v.Generation) != name {
		p.busy(m.From, &first, ReasonMalformed, out)
		return
	}
	if p.onSubmit(m.From, batch, out) && len(batch) > p.room {
		p.recent.queued(name)
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
	p.recent.clear()
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
	p.takeBack(m.From, out)
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
	if p.prepare(now, reason{cause: CauseGap, node: m.From}, out) {
		p.again = now + recoveryRetries*p.cfg.Retry
	}
}

// onRefused notes an acceptor that cannot vote. Once no quorum can be made of the others, the cluster has stopped for good.
func (p *Proposer) onRefused(now Time, m *Message, out *Outbox) {
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
		v.amnesia, v.incarnation, v.promise = true, m.FromIncarnation, promise{next: p.from}
		out.event(Event{Kind: EventAmnesia, Node: m.From})
		p.countVoters(out)
	case ReasonOutOfWindow:
		p.pressed++
	case ReasonStoreFull:
		p.slow.full = now
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
