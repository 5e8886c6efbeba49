package check

import (
	"testing"

	"wirepaxos/paxos"
)

// phase1 lets a proposer hear promises from acceptors 1, 2 and 3, as far as given, for instance 0.
func (s *stage) phase1(b paxos.Ballot, promises ...paxos.Message) {
	for i := range promises {
		promises[i].From = paxos.NodeID(i + 1)
	}
	s.says(b.Proposer(), promises)
}

func TestChoice(t *testing.T) {
	b, first, second := ballot(3, 4), ballot(1, 5), ballot(2, 5)
	none := promise(b, 0, 0, "")
	for _, x := range []struct {
		what   string
		heard  []paxos.Message
		value  string
		broken bool
	}{
		{"the only report", []paxos.Message{promise(b, 0, first, "a"), none}, "a", false},
		{"something else than the only report", []paxos.Message{promise(b, 0, first, "a"), none}, "b", true},
		{"a no-op over the only report", []paxos.Message{promise(b, 0, first, "a"), none}, "", true},
		{"the highest report", []paxos.Message{promise(b, 0, first, "a"), promise(b, 0, second, "b")}, "b", false},
		{"not the highest report", []paxos.Message{promise(b, 0, first, "a"), promise(b, 0, second, "b")}, "a", true},
		{"the highest report of another quorum", []paxos.Message{promise(b, 0, first, "a"), promise(b, 0, second, "b"), none}, "a", false},
		{"a value that two without reports leave free", []paxos.Message{promise(b, 0, first, "a"), none, none}, "c", false},
		{"one promise is no quorum", []paxos.Message{promise(b, 0, first, "a")}, "a", true},
		{"nothing was reported", []paxos.Message{none, none}, "c", false},
	} {
		t.Run(x.what, func(t *testing.T) {
			s := newStage()
			s.phase1(b, x.heard...)
			s.says(4, nil, accept(b, 0, x.value))
			if v := s.Violation(); (v != nil) != x.broken || v != nil && v.Rule != "choice" {
				t.Errorf("violation: %v", v)
			}
		})
	}
}

// What an acceptor told before it restarted is no part of what it tells now, and what another ballot was promised binds this one to nothing.
func TestChoiceForgets(t *testing.T) {
	s := newStage()
	b := ballot(3, 4)
	old, now := promise(b, 0, ballot(1, 5), "a"), promise(b, 0, 0, "")
	old.FromIncarnation, now.FromIncarnation = 1, 2
	s.phase1(b, old)
	s.phase1(b, now, promise(b, 0, 0, ""))
	s.says(4, nil, accept(b, 0, "b"))
	later := ballot(4, 4)
	s.phase1(later, promise(later, 1, b, "x"), promise(later, 1, 0, ""))
	s.says(4, nil, accept(later, 0, "b"), accept(later, 1, "x"))
	if v := s.Violation(); v != nil {
		t.Errorf("violation: %v", v)
	}
}
