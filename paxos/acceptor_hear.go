package paxos

// What an acceptor knows of leaders: whom it heard last, and when. It decides nothing by that. It tells leaders, who stop claiming to lead
// once no quorum hears them, and followers, who begin no phase 1 while a quorum hears a leader.
//
// An acceptor that lost its promises takes no part: it is of no quorum that could choose anything, so it refuses instead of answering, by
// which proposers also learn of it when nothing is proposed.

// hearing is the leader heard last. An Accept is as good as a heartbeat.
type hearing struct {
	leader Ballot // 0: none yet
	at     Time
}

// onHeartbeat takes a heartbeat and the low watermark that it brings. Of two leaders only the one by the higher ballot can get anything
// accepted here; the other one is told. The answer waits until what came before it is stored: an acceptor whose disk hangs does
// not vote, so it does not keep a leader in office either.
func (a *Acceptor) onHeartbeat(now Time, m *Message, out *Outbox) {
	a.trim(m.Low)
	switch {
	case a.proposer.of(m.From) < 0 || m.Ballot.Proposer() != m.From:
		return // somebody else's ballot
	case a.cfg.Amnesia:
		a.refuseToVote(m, out)
		return
	case m.Ballot < a.promised:
		a.Counters.Preempted++
		a.preempt(m, out)
		return
	}
	a.heard = hearing{leader: m.Ballot, at: now}
	h := out.sendAfter(KindHeard, m.From)
	h.Ballot, h.Sequence = m.Ballot, m.Sequence
}

// onProbe tells a follower for how long no leader was heard: a duration, for the two clocks have nothing in common.
func (a *Acceptor) onProbe(now Time, m *Message, out *Outbox) {
	switch {
	case a.proposer.of(m.From) < 0:
		return
	case a.cfg.Amnesia:
		a.refuseToVote(m, out)
		return
	}
	a.Counters.Probes++
	p := out.sendAfter(KindProbed, m.From)
	p.Ballot, p.Sequence, p.Promised = a.heard.leader, m.Sequence, a.promised
	p.Hash = uint64(a.HeardFor(now))
}

// Heard is the ballot of the leader that was heard last, 0 none, and HeardFor how long ago; without one that is for ever.
func (a *Acceptor) Heard() Ballot { return a.heard.leader }

// HeardFor is how long ago a leader was heard. See Heard.
func (a *Acceptor) HeardFor(now Time) Time {
	if a.heard.leader == 0 {
		return never
	}
	return max(0, now-a.heard.at)
}
