package paxos

// How a follower finds out that nobody leads, and how a leader finds out that it leads no more.
//
// Leadership is never needed for safety: any proposer may begin phase 1 at any time. But each phase 1 by a higher ballot ends the work of
// whoever leads. So a follower that hears nothing asks the acceptors first, and begins only when a quorum of them hears no leader either.
// Whoever is cut off from the leader alone is told that there is one; whoever is cut off from a quorum gets no quorum of answers. Neither
// disturbs. All times that are compared are of one clock: acceptors answer with durations, and with the asker's own time.

// asking is what a follower that hears no leader was answered.
type asking struct {
	on      bool
	since   Time
	next    Time // when to ask again
	answers [MaxAcceptors]probeAnswer
}

type probeAnswer struct {
	here   bool
	asked  Time   // when the question left, on our clock
	leader Ballot // heard last; 0 none
	age    Time   // since then, when it answered
}

// tickFollowing asks the acceptors once patience has run out, and again until they answer or a leader is heard.
func (p *Proposer) tickFollowing(now Time, out *Outbox) {
	a := &p.asking
	if !a.on {
		if now < p.silence {
			return
		}
		if p.gap >= p.cfg.LeaderTimeout/2 && !p.grace {
			// We were away, not the leader: what it said meanwhile may still be on its way to us. Once: a loop may never run often enough.
			p.grace, p.silence = true, now+graceBeats*p.cfg.Heartbeat
			return
		}
		if !p.haveRounds(out) {
			p.silence = now + p.cfg.Retry
			return
		}
		*a = asking{on: true, since: now}
		p.heir, p.grace = 0, false
		p.Counters.Asked++
	} else if now < a.next {
		return
	}
	a.next = now + p.probeEvery()
	for _, id := range p.cfg.Members.Acceptors {
		m := out.send(KindProbe, id)
		m.Ballot, m.Sequence = p.known, uint64(now)
	}
}

// graceBeats is how many heartbeats a leader gets to be heard in after our own loop was away.
const graceBeats = 2

// probeEvery is the time between two questions. It fits several times into the time for which an answer counts.
func (p *Proposer) probeEvery() Time { return max(1, min(p.cfg.Retry, p.cfg.LeaderTimeout/8)) }

// onProbed takes the answer of an acceptor that votes. (One that lost its promises refuses: it is of no quorum.)
func (p *Proposer) onProbed(now Time, m *Message, out *Outbox) {
	k, asked := p.acceptor.of(m.From), Time(m.Sequence)
	if k < 0 || p.phase != following || !p.asking.on || asked < p.asking.since || asked > now {
		return
	}
	p.alive(k, m, out)
	p.known = max(p.known, m.Promised, m.Ballot)
	p.asking.answers[k] = probeAnswer{here: true, asked: asked, leader: m.Ballot, age: Time(min(m.Hash, uint64(never)))}
	p.judge(now, out)
}

// judge begins phase 1 if a quorum hears no leader, and goes on following if so many hear one that no quorum is left.
func (p *Proposer) judge(now Time, out *Outbox) {
	answered, silent, heard := p.tally(now)
	switch {
	case silent >= p.quorum:
		why := reason{cause: CauseSilence, node: p.leader, lasted: now - p.heardAt}
		if p.highest == 0 {
			why = reason{cause: CauseFirst}
		} else if p.leader == 0 {
			why.lasted = now - p.history.last().Since
		}
		p.prepare(now, why, out)
	case answered-silent > len(p.cfg.Members.Acceptors)-p.quorum:
		p.asking.on = false
		p.silence = now + p.patience()
		p.Counters.Undisturbed++
		p.follow(now, heard, CauseTold, out)
	}
}

// tally counts the answers that are fresh, and those of them that hear no leader: the last one is silent for half a timeout, or it was
// this node, which knows that it does not lead. heard is the highest ballot of the leaders that are heard.
func (p *Proposer) tally(now Time) (answered, silent int, heard Ballot) {
	for k := range p.cfg.Members.Acceptors {
		a := &p.asking.answers[k]
		if !a.here || now-a.asked > p.cfg.LeaderTimeout/2 {
			continue
		}
		answered++
		if a.leader == 0 || a.leader.Proposer() == p.cfg.ID || a.age >= p.cfg.LeaderTimeout/2 {
			silent++
		} else {
			heard = max(heard, a.leader)
		}
	}
	return answered, silent, heard
}

// follow notes that another proposer leads by ballot b, if no higher one was followed before.
func (p *Proposer) follow(now Time, b Ballot, cause Cause, out *Outbox) {
	leader := b.Proposer()
	if p.peer.of(leader) < 0 || leader == p.cfg.ID || b < p.highest {
		return
	}
	p.known = max(p.known, b)
	p.highest, p.heardAt, p.heir, p.failures = b, now, 0, 0
	p.keepRounds()
	if last := p.history.last(); last.Leader == leader && last.Ballot == b {
		p.leader = leader
		return
	}
	if p.leader != leader {
		out.event(Event{Kind: EventFollowing, Ballot: b})
	}
	p.led(now, leader, b, reason{cause: cause, node: leader})
}

// onHeartbeat follows whoever leads by a higher ballot.
func (p *Proposer) onHeartbeat(now Time, m *Message, out *Outbox) {
	b := m.Ballot
	if p.peer.of(m.From) < 0 || b.Proposer() != m.From || m.From == p.cfg.ID || b < p.highest || p.phase != following && b < p.ballot {
		return
	}
	if p.phase != following {
		p.preempted(now, b, out)
	}
	p.asking.on, p.grace = false, false
	p.silence = now + p.patience()
	p.follow(now, b, CauseHeard, out)
	p.setLow(m.Low)
}

// patience is how long a silent leader is waited for: spread, so that two followers seldom try at once.
func (p *Proposer) patience() Time {
	t := p.cfg.LeaderTimeout
	return t + Time(p.random(uint64(t/2)+1))
}

// onHeard takes an acceptor's answer to a heartbeat: it carries when that heartbeat left, on our clock. An answer that was long on its
// way, or waited while our loop was away, says no more than that, so it fools nobody.
func (p *Proposer) onHeard(now Time, m *Message, out *Outbox) {
	k, sent := p.acceptor.of(m.From), Time(m.Sequence)
	if k < 0 || p.phase != leading || m.Ballot != p.ballot || sent > now {
		return
	}
	p.alive(k, m, out)
	p.heardOf[k] = max(p.heardOf[k], sent)
}

// contact is the last time, on our clock, from which on a quorum of acceptors is known to have heard us.
func (p *Proposer) contact() Time {
	newest := p.heardOf
	list := newest[:len(p.cfg.Members.Acceptors)]
	for i := 1; i < len(list); i++ { // the newest first; there are few
		for j := i; j > 0 && list[j] > list[j-1]; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return list[p.quorum-1]
}

// stillLeads tells whether a leader may go on. It stops, and says so, when no quorum has heard it for contactTimeouts: others may have
// elected another by then. It also stops when nothing that it proposes is chosen.
func (p *Proposer) stillLeads(now Time, out *Outbox) bool {
	lasted := now - p.contact()
	if lasted > contactTimeouts*p.cfg.LeaderTimeout {
		why := reason{cause: CauseCutOff, lasted: lasted}
		if p.gap >= p.cfg.LeaderTimeout/2 {
			why = reason{cause: CauseAway, lasted: p.gap}
		}
		p.resign(now, why, out)
		return false
	}
	// In that time what was refused is sent again, and refused again.
	patience := max(stuckTimeouts*p.cfg.LeaderTimeout, 2*p.pace.wait(p.cfg.Retry))
	if lasted := p.stuckFor(now); lasted > patience && len(p.cfg.Members.Proposers) > 1 {
		p.resign(now, reason{cause: CauseStuck, lasted: lasted}, out)
		p.silence = now + 2*p.patience() // another one shall try: it may have the better way to the acceptors
		return false
	}
	return true
}

// contactTimeouts is for how many leader timeouts a leader goes on without a quorum that answers. One would do where every loop has a core of its
// own. On shared ones acceptors are late by some milliseconds now and then, and that nobody else leads yet is likely: followers ask the
// same acceptors. (Measured with a leader timeout of 6 ms and five processes on two cores, 20 kills a run: 16 to 40 leaders
// stopped for nothing with one, 0 to 3 with four, with failover as fast.)
const contactTimeouts = 4

// stuckTimeouts is for how many leader timeouts, at least, a leader tries in vain to get anything chosen. Then votes or accepts are lost
// where heartbeats are not (say, frames above some size), and only a proposer with another way can do better. Where acceptors refuse for
// want of room it is learners that hold all back, and no other leader could help: that does not count. Nor does recovery, which begins
// anew by itself.
const stuckTimeouts = 8

// stuckFor is for how long there is something in flight of which nothing was chosen. It is asked once a heartbeat.
func (p *Proposer) stuckFor(now Time) Time {
	if mark := p.Counters.Chosen + uint64(p.chosen) + p.pressed; mark != p.progress || p.unchosen == 0 || p.fetches > 0 {
		p.progress, p.progressAt = mark, now
	}
	return now - p.progressAt
}

// resign stops claiming to lead. It may come back by asking.
func (p *Proposer) resign(now Time, why reason, out *Outbox) {
	out.event(Event{Kind: EventResigned, Ballot: p.ballot, Leadership: Leadership{Cause: why.cause, Node: why.node, For: why.lasted}})
	p.Counters.Resigned++
	p.stop(now, 0, why, out)
	p.silence = now
	if why.cause == CauseAway {
		p.silence = now + graceBeats*p.cfg.Heartbeat
	}
}

// stop ends a phase. Who has values queued here is told.
func (p *Proposer) stop(now Time, heir NodeID, why reason, out *Outbox) {
	p.phase, p.heir, p.handover.to = following, heir, 0
	p.led(now, 0, p.ballot, why)
	p.asking.on = false
	p.refuseQueued(out)
	p.values.clear()
}
