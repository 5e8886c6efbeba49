package paxos

// What a proposer has to do with clients, learners and acceptors besides the two phases.

// onSubmit queues the values of a client, or says why not. Nothing is half taken.
func (p *Proposer) onSubmit(m *Message, out *Outbox) {
	var v Value
	values, first := 0, Value{}
	for rest := m.Data; len(rest) > 0; values++ {
		var ok bool
		if rest, ok = NextValue(rest, &v); !ok || len(v.Data) > MaxValue(p.cfg.MTU) {
			p.busy(m, &first, ReasonMalformed, out)
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
		p.busy(m, &first, ReasonStopped, out)
	case p.phase == leading:
		if !p.queue.put(m.Data, values) {
			p.busy(m, &first, ReasonWindowFull, out)
			return
		}
		p.Counters.Submitted += uint64(values)
	case p.phase == following && p.leader != 0:
		p.busy(m, &first, ReasonNotLeader, out)
	default:
		p.busy(m, &first, ReasonNoLeader, out)
	}
}

func (p *Proposer) busy(m *Message, first *Value, reason Reason, out *Outbox) {
	p.Counters.Busy++
	b := out.send(KindBusy, m.From)
	b.Reason, b.Leader, b.Ballot = reason, p.leader, p.known
	b.Client, b.Sequence = first.Client, first.Sequence
}

// onHi registers a learner. The watermark that it brings moves the low watermark of a leader.
func (p *Proposer) onHi(now Time, m *Message, out *Outbox) {
	p.leases.renew(now, m, out)
	if m.Flags&FlagUpdate != 0 {
		return
	}
	ok := out.send(KindOK, m.From)
	ok.Low = p.low
	if p.phase == leading {
		ok.High = p.next
	}
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
	case ReasonStoreFull:
		out.event(Event{Kind: EventStoreFull, Node: m.From, Instance: m.Instance})
	case ReasonConflict:
		out.event(Event{Kind: EventConflict, Node: m.From, Instance: m.Instance, Ballot: m.Ballot})
	}
}

// alive notes that an acceptor votes, in its present incarnation.
func (p *Proposer) alive(k int, m *Message) {
	v := &p.views[k]
	if v.incarnation != m.FromIncarnation {
		v.incarnation, v.amnesia = m.FromIncarnation, false
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

// Queued is the number of bytes of values that wait for room.
func (p *Proposer) Queued() int { return p.queue.head - p.queue.tail }
