package paxos

import "fmt"

// A planned handover: the leader asks another proposer to begin phase 1, and leads on until that preempts it. Clients notice no more than a
// redirect. Nothing depends on it: whoever gets the request might as well have begun by itself.

// handover is one that this leader has under way.
type handover struct {
	to    NodeID // 0: none
	until Time   // then it is given up
}

// handoverTimeouts is for how many leader timeouts the other one is asked.
const handoverTimeouts = 8

// Handover asks another proposer to take over from this one, which leads. It says at once what makes that impossible; HandoverTo tells
// when it is over, and Leadership how it ended. The request goes out with each heartbeat until a higher ballot ends this leadership, or
// for handoverTimeouts.
func (p *Proposer) Handover(now Time, to NodeID) error {
	switch {
	case p.phase != leading && p.leader != 0 && p.leader != p.cfg.ID:
		return fmt.Errorf("proposer %d does not lead, node %d does: ask the process of node %d", p.cfg.ID, p.leader, p.leader)
	case p.phase != leading:
		return fmt.Errorf("proposer %d does not lead, and hears of nobody who does: `wirepaxos admin status` says why", p.cfg.ID)
	case p.peer.of(to) < 0:
		return fmt.Errorf("node %d is no proposer: choose from proposers %v", to, p.cfg.Members.Proposers)
	case to == p.cfg.ID:
		return fmt.Errorf("node %d leads already", to)
	case p.handover.to != 0:
		return fmt.Errorf("a handover to node %d is under way: wait until it is over", p.handover.to)
	}
	p.handover = handover{to: to, until: now + handoverTimeouts*p.cfg.LeaderTimeout}
	p.nextBeat = now
	return nil
}

// HandoverTo is who is asked to take over just now, 0 nobody.
func (p *Proposer) HandoverTo() NodeID { return p.handover.to }

// tickHandover goes with each heartbeat.
func (p *Proposer) tickHandover(now Time, out *Outbox) {
	h := &p.handover
	if h.to == 0 {
		return
	}
	if now >= h.until {
		out.event(Event{Kind: EventHandoverFailed, Node: h.to, Ballot: p.ballot})
		p.Counters.HandoversFailed++
		h.to = 0
		return
	}
	out.send(KindHandover, h.to).Ballot = p.ballot
}

// onHandover begins phase 1 at once, without asking the acceptors: the leader itself says so. Only the one that is followed may, by the
// ballot by which it leads; what else comes is out of date, or of somebody who was not asked.
func (p *Proposer) onHandover(now Time, m *Message, out *Outbox) {
	if p.phase != following && m.Ballot == p.handed && m.Ballot.Proposer() == m.From {
		return // again: it is taken. Where phase 1 came to nothing, it may be taken once more.
	}
	if p.phase != following || p.leader != m.From || p.highest != m.Ballot {
		p.Counters.HandoversIgnored++
		return
	}
	if p.haveRounds(out) && p.prepare(now, reason{cause: CauseAsked, node: m.From}, out) {
		p.handed = m.Ballot
	}
}
