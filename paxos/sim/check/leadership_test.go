package check

import (
	"testing"

	"wirepaxos/paxos"
)

// Messages of a leader, proposer 4, and of acceptors that hear it. The leader timeout is 100.

var led = ballot(2, 4)

func beat(sent int64) paxos.Message {
	return paxos.Message{Kind: paxos.KindHeartbeat, From: 4, Ballot: led, Sequence: uint64(sent)}
}

func heard(by paxos.NodeID, sent int64) paxos.Message {
	return paxos.Message{Kind: paxos.KindHeard, From: by, To: 4, Ballot: led, Sequence: uint64(sent)}
}

// hear lets acceptors answer heartbeats of the leader for some time, each apart.
func hear(s *stage, length, each int64, ids ...paxos.NodeID) {
	for end := s.now + length; s.now < end; s.now += each {
		for _, id := range ids {
			s.says(id, []paxos.Message{beat(s.now)}, heard(id, s.now))
		}
	}
	s.now -= each
}

// beats lets the leader beat for some time, while acceptors answer what it said delay before.
func beats(s *stage, length, delay int64, ids ...paxos.NodeID) {
	for end := s.now + length; s.now < end; s.now += 10 {
		var in []paxos.Message
		for _, id := range ids {
			in = append(in, heard(id, s.now-delay))
		}
		s.says(4, in, beat(s.now))
	}
}

var begin = prepare(ballot(3, 5))

var leadershipActs = []struct {
	what string
	play func(s *stage)
	rule string // that is broken
}{
	{"a quorum answers", func(s *stage) { beats(s, 2000, 20, 1, 3) }, ""},
	{"nobody answers for a while", func(s *stage) {
		beats(s, 400, 20)
		beats(s, 400, 20, 1, 2)
	}, ""},
	{"nobody answers", func(s *stage) { beats(s, 600, 20) }, "contact"},
	{"a minority answers", func(s *stage) { beats(s, 600, 20, 2) }, "contact"},
	{"answers are late", func(s *stage) {
		beats(s, 300, 20, 1, 2, 3)
		beats(s, 900, 600, 1, 2, 3)
	}, "contact"},
	{"answers to another ballot", func(s *stage) {
		s.says(4, nil, beat(0))
		other := heard(1, 550)
		other.Ballot = ballot(1, 4)
		s.says(4, []paxos.Message{other, heard(2, 550)}, beat(600))
	}, "contact"},
	{"nobody leads", func(s *stage) { s.says(5, nil, begin) }, ""},
	{"a leader that a quorum hears", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.says(5, nil, begin)
	}, "undisturbed"},
	{"a leader that a minority hears", func(s *stage) {
		hear(s, 200, 10, 3)
		s.says(5, nil, begin)
	}, ""},
	{"a leader that a quorum has heard for a short time", func(s *stage) {
		hear(s, 100, 10, 1, 2)
		s.says(5, nil, begin)
	}, ""},
	{"a leader that was silent", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.now += 50
		hear(s, 50, 10, 1, 2)
		s.says(5, nil, begin)
	}, ""},
	{"a leader that is silent", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.now += 50
		s.says(5, nil, begin)
	}, ""},
	{"an acceptor took another's messages", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.says(1, []paxos.Message{accept(ballot(1, 5), 0, "late")})
		s.says(5, nil, begin)
	}, ""},
	{"an acceptor restarted", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.restart(2)
		s.says(5, nil, begin)
	}, ""},
	{"the same Prepare again", func(s *stage) {
		s.says(5, nil, begin)
		hear(s, 200, 10, 1, 2)
		s.says(5, nil, begin)
	}, ""},
	{"a handover", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.says(5, []paxos.Message{{Kind: paxos.KindHandover, From: 4, Ballot: led}}, begin)
	}, ""},
	{"after a handover", func(s *stage) {
		s.says(5, []paxos.Message{{Kind: paxos.KindHandover, From: 4, Ballot: led}})
		hear(s, 200, 10, 1, 2)
		s.says(5, nil, begin)
	}, "undisturbed"},
	{"the leader itself", func(s *stage) {
		hear(s, 200, 10, 1, 2)
		s.says(4, nil, prepare(ballot(3, 4)))
	}, ""},
	{"one that leads by its own account", func(s *stage) {
		s.tells(5, paxos.Event{Kind: paxos.EventLeading})
		hear(s, 200, 10, 1, 2)
		s.says(5, nil, begin)
	}, ""},
	{"one that does so no more", func(s *stage) {
		s.tells(5, paxos.Event{Kind: paxos.EventLeading})
		s.tells(5, paxos.Event{Kind: paxos.EventResigned})
		hear(s, 200, 10, 1, 2)
		s.says(5, nil, begin)
	}, "undisturbed"},
}

func TestLeadership(t *testing.T) {
	for _, x := range leadershipActs {
		s := newStage()
		x.play(s)
		if v := s.Violation(); (v != nil) != (x.rule != "") || v != nil && v.Rule != x.rule {
			t.Errorf("%s: violation: %v, want of %q", x.what, v, x.rule)
		}
	}
}
