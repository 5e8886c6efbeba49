package paxos

// A learner that is too slow holds the low watermark back, and with it everyone: the window fills up, or the acceptors' rings of values do. What a
// leader does about it is configured. It always tells people. With "drop" it also lets the slow ones go: they no longer count for the low
// watermark until they have caught up with it. They take state from another learner then, as one does that comes back after its lease.
//
// That forgets nothing that is needed. A learner that counts is left, which has delivered everything below the low watermark and has the state;
// it is never the last one that is let go. A new leader does not know of it: it gives every learner a lease that counts, as always, and so at
// worst waits for the slow ones once more.

// slowness is what a leader knows of being held back.
type slowness struct {
	since Time     // held back since then; 0: it is not
	told  Time     // when people were told last
	full  Time     // when an acceptor said last that it had no room; 0 never
	node  NodeID   // the slowest of those that count, once it was told of
	by    Instance // how far it is behind what is chosen
}

// tellSlowEach is after how many times SlowAfter people are told again.
const tellSlowEach = 16

// watchSlow looks whether learners have held this leader back for SlowAfter. Held back begins when there is no room for another instance though
// everything in flight may be chosen; it ends when an eighth of the window is free and no acceptor has refused for a while: a slow learner that
// moves frees a little at a time.
func (p *Proposer) watchSlow(now Time, out *Outbox) {
	w := &p.slow
	behind := p.next - p.low
	refused := w.full != 0 && now-w.full <= max(p.cfg.SlowAfter/4, 2*p.pace.wait(p.cfg.Retry))
	switch {
	case w.since == 0 && behind <= p.mask && !refused:
		return
	case p.chosen == p.low || !refused && behind <= (p.mask+1)/8*7:
		w.since, w.node = 0, 0 // what is missing is a quorum, or nothing
		return
	case w.since == 0:
		w.since, w.told = now, now-tellSlowEach*p.cfg.SlowAfter
		return
	case now-w.since < p.cfg.SlowAfter:
		return
	}
	slowest, least, most := p.leases.extremes()
	if slowest == 0 || least >= p.chosen {
		return
	}
	w.node, w.by = slowest, p.chosen-least
	if now-w.told >= tellSlowEach*p.cfg.SlowAfter {
		w.told = now
		p.Counters.HeldBack++
		out.event(Event{Kind: EventHeldBack, Node: slowest, Count: int(w.by)})
	}
	if p.cfg.DropSlow && most > least {
		p.letGo(least+(most-least)/2, out)
		w.since, w.node = 0, 0
	}
}

// letGo no longer counts the learners that have not delivered up to mark. One that has is left.
func (p *Proposer) letGo(mark Instance, out *Outbox) {
	for _, id := range p.leases.list[:p.leases.n] {
		if e := &p.leases.of[id]; !e.letGo && e.delivered <= mark {
			e.letGo = true
			p.Counters.LetGo++
			out.event(Event{Kind: EventLetGo, Node: id, Count: int(p.chosen - e.delivered)})
		}
	}
}

// takeBack counts a learner again that has caught up with the low watermark.
func (p *Proposer) takeBack(id NodeID, out *Outbox) {
	if e := &p.leases.of[id]; e.letGo && e.delivered >= p.low {
		e.letGo = false
		p.Counters.TakenBack++
		out.event(Event{Kind: EventTakenBack, Node: id, Instance: e.delivered})
	}
}

// Slow is the learner that holds this leader back, and by how many instances; node 0 if none does.
func (p *Proposer) Slow() (node NodeID, behind Instance) {
	if p.phase != leading || p.slow.node == 0 {
		return 0, 0
	}
	return p.slow.node, p.slow.by
}

// WasLetGo tells whether a learner was too slow and does not count for the low watermark.
func (p *Proposer) WasLetGo(id NodeID) bool {
	return p.phase == leading && id < MaxNodes && p.leases.of[id].letGo
}

// extremes are the slowest learner that counts and the least and the most that any of them has delivered; node 0 where none counts.
func (l *leases) extremes() (slowest NodeID, least, most Instance) {
	for _, id := range l.list[:l.n] {
		e := &l.of[id]
		if e.letGo {
			continue
		}
		if slowest == 0 || e.delivered < least {
			slowest, least = id, e.delivered
		}
		most = max(most, e.delivered)
	}
	return slowest, least, most
}
