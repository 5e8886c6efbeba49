package check

import (
	"testing"

	"wirepaxos/paxos"
)

func TestRegistration(t *testing.T) {
	ok := paxos.Message{Kind: paxos.KindOK, From: 1, FromIncarnation: 100}
	hi := paxos.Message{Kind: paxos.KindHi, To: 1}
	for _, x := range []struct {
		what   string
		play   func(s *stage)
		broken bool
	}{
		{"without an answer", func(s *stage) {
			for range 100 {
				s.says(6, nil, hi)
			}
		}, false},
		{"in spite of the answer", func(s *stage) {
			s.says(6, []paxos.Message{ok})
			for s.now = range int64(100) {
				s.says(6, nil, hi)
			}
		}, true},
		{"once an eighth of the lease", func(s *stage) {
			s.says(6, []paxos.Message{ok})
			for range 100 {
				s.now += 125
				s.says(6, nil, hi)
			}
		}, false},
		{"after a restart", func(s *stage) {
			s.says(6, []paxos.Message{ok})
			s.restart(6)
			for range 100 {
				s.says(6, nil, hi)
			}
		}, false},
		{"updates", func(s *stage) {
			s.says(6, []paxos.Message{ok})
			update := hi
			update.Flags = paxos.FlagUpdate
			for range 100 {
				s.says(6, nil, update)
			}
		}, false},
	} {
		s := newStage()
		x.play(s)
		if v := s.Violation(); (v != nil) != x.broken || v != nil && v.Rule != "registration" {
			t.Errorf("%s: violation: %v", x.what, v)
		}
	}
}
