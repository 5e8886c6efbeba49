package check

import (
	"encoding/binary"
	"errors"
	"testing"

	"wirepaxos/paxos"
)

// sessionStage is a stage whose learners keep two sessions, which give way after four instances. Batches are in the form that they have on the wire.
type sessionStage struct {
	*stage
	next paxos.Instance
}

func newSessionStage() *sessionStage {
	s := newStage()
	c := Cluster{Window: 64, Sessions: 2, SessionIdle: 4, Members: paxos.Members{
		Acceptors: []paxos.NodeID{1, 2, 3}, Proposers: []paxos.NodeID{4, 5}, Learners: []paxos.NodeID{6, 7},
	}}
	s.Suite = NewSuite(c)
	return &sessionStage{stage: s}
}

// wire writes a value of a batch.
func wire(client paxos.ClientID, kind paxos.ValueKind, generation uint32, sequence, oldest uint64, data string) string {
	b := make([]byte, 24)
	le := binary.LittleEndian
	le.PutUint64(b, uint64(client))
	le.PutUint64(b[8:], sequence|(sequence-oldest)<<48)
	le.PutUint32(b[16:], generation)
	le.PutUint32(b[20:], uint32(len(data))|8<<24|uint32(kind)<<30)
	return string(b) + data
}

// opens chooses an open with a token that expects a generation.
func (s *sessionStage) opens(client paxos.ClientID, token byte, expected uint32) {
	s.chooses(wire(client, paxos.ValueOpen, expected, 0, 0, string([]byte{token, 0, 0, 0, 0, 0, 0, 0})))
}

func (s *sessionStage) closes(client paxos.ClientID, generation uint32) {
	s.chooses(wire(client, paxos.ValueClose, generation, 0, 0, ""))
}

func (s *sessionStage) chooses(batch string) paxos.Instance {
	s.choose(ballot(1, 4), s.next, batch)
	s.next++
	return s.next - 1
}

// submitted submits a value and chooses it.
func (s *sessionStage) submitted(client paxos.ClientID, generation uint32, sequence uint64) paxos.Instance {
	s.Suite.Submitted(&Submitted{Client: client, Generation: generation, Sequence: sequence, Data: []byte("v")})
	return s.again(client, generation, sequence)
}

func (s *sessionStage) again(client paxos.ClientID, generation uint32, sequence uint64) paxos.Instance {
	return s.chooses(wire(client, paxos.ValueData, generation, sequence, sequence, "v"))
}

func (s *sessionStage) deliver(position uint64, i paxos.Instance, client paxos.ClientID, generation uint32, sequence uint64) {
	s.Delivered(s.actor(6), &paxos.Delivery{
		Instance: i, Position: position, Client: client, Generation: generation, Sequence: sequence, Node: 8, Data: []byte("v"),
	})
}

func (s *sessionStage) told(client paxos.ClientID, generation uint32, sequence uint64, status paxos.Status) {
	s.Told(&Outcome{Client: client, Generation: generation, Sequence: sequence, Status: status})
}

// replies lets a learner answer a value.
func (s *sessionStage) replies(client paxos.ClientID, generation uint32, sequence uint64, status paxos.Status) {
	b := make([]byte, 24)
	le := binary.LittleEndian
	le.PutUint64(b, uint64(client))
	le.PutUint64(b[8:], sequence)
	le.PutUint32(b[16:], 1|uint32(status)<<16)
	le.PutUint32(b[20:], generation)
	s.says(6, nil, paxos.Message{Kind: paxos.KindReply, Data: b})
}

// answers lets a learner answer an open.
func (s *sessionStage) answers(client paxos.ClientID, token uint64, status paxos.Status, generation uint32, next uint64) {
	s.says(6, nil, paxos.Message{
		Kind: paxos.KindSession, Client: client, Hash: token, Offset: uint32(status), Total: generation, Sequence: next,
	})
}

var sessionActs = []struct {
	what, rule string
	play       func(s *sessionStage)
}{
	{"a session is opened, used, resumed and closed", "", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.answers(9, 1, paxos.StatusOpened, 1, 1)
		s.deliver(0, s.submitted(9, 1, 1), 9, 1, 1)
		s.replies(9, 1, 1, paxos.StatusDelivered)
		s.told(9, 1, 1, paxos.StatusDelivered)
		s.opens(9, 2, 1)
		s.answers(9, 2, paxos.StatusOpened, 2, 2)
		s.submitted(9, 1, 2)
		s.again(9, 1, 1)
		s.replies(9, 1, 2, paxos.StatusFenced)
		s.replies(9, 1, 1, paxos.StatusFenced)
		s.told(9, 1, 2, paxos.StatusFenced)
		s.deliver(1, s.submitted(9, 2, 2), 9, 2, 2)
		s.closes(9, 2)
		s.answers(9, 0, paxos.StatusClosed, 2, 0)
	}},
	{"a value that was fenced had been delivered", "", func(s *sessionStage) {
		s.opens(9, 1, 0)
		i := s.submitted(9, 1, 1)
		s.opens(9, 2, 1)
		s.deliver(0, i, 9, 1, 1)
		s.told(9, 1, 1, paxos.StatusFenced)
	}},
	{"a value of before the resume", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.opens(9, 2, 1)
		s.deliver(0, s.submitted(9, 1, 1), 9, 1, 1)
	}},
	{"a value of a session that was closed", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.closes(9, 1)
		s.deliver(0, s.submitted(9, 1, 1), 9, 1, 1)
	}},
	{"a value of a session that gave way", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.opens(10, 2, 0)
		s.again(10, 2, 1)
		s.again(10, 2, 2)
		s.opens(11, 3, 0)
		s.deliver(2, s.submitted(9, 1, 1), 9, 1, 1)
	}},
	{"a value of a session that had no reason to give way", "", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.opens(10, 2, 0)
		s.opens(11, 3, 0)
		s.answers(11, 3, paxos.StatusNoRoom, 0, 0)
		s.deliver(0, s.submitted(9, 1, 1), 9, 1, 1)
	}},
	{"a value twice, by two generations", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.deliver(0, s.submitted(9, 1, 1), 9, 1, 1)
		s.opens(9, 2, 1)
		s.deliver(1, s.submitted(9, 2, 1), 9, 2, 1)
	}},
	{"a value twice, by one", "exactly once", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.deliver(0, s.submitted(9, 1, 1), 9, 1, 1)
		s.deliver(1, s.again(9, 1, 1), 9, 1, 1)
	}},
	{"a value is left out", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.deliver(0, s.submitted(9, 1, 2), 9, 1, 2)
	}},
	{"a sequence with other content in one generation", "integrity", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.submitted(9, 1, 1)
	}},
	{"one client is told delivered of what another sent", "acknowledged", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.Suite.Submitted(&Submitted{Client: 9, Generation: 1, Sequence: 1, Data: []byte("v")})
		s.opens(9, 2, 1)
		s.deliver(0, s.submitted(9, 2, 1), 9, 2, 1)
		s.told(9, 1, 1, paxos.StatusDelivered)
	}},
	{"a learner says delivered of another generation", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.opens(9, 2, 1)
		s.replies(9, 2, 1, paxos.StatusDelivered)
	}},
	{"fenced, and nobody resumed it", "refused", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.told(9, 1, 1, paxos.StatusFenced)
	}},
	{"a learner says fenced, and nobody resumed it", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.replies(9, 1, 1, paxos.StatusFenced)
	}},
	{"unknown, for it was resumed by another and then closed", "", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.opens(9, 2, 1)
		s.closes(9, 2)
		s.told(9, 1, 1, paxos.StatusUnknown)
	}},
	{"unknown, and it is there", "refused", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.told(9, 1, 1, paxos.StatusUnknown)
	}},
	{"no room, and it was opened", "refused", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.opens(10, 2, 0)
		s.opens(11, 3, 0)
		s.submitted(9, 1, 1)
		s.told(9, 1, 1, paxos.StatusNoRoom)
	}},
	{"no room, before it was opened", "", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.opens(10, 2, 0)
		s.opens(11, 3, 0)
		s.told(11, 0, 1, paxos.StatusNoRoom)
	}},
	{"no room, and there was", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.answers(9, 1, paxos.StatusNoRoom, 0, 0)
	}},
	{"a generation for two attempts", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.answers(9, 5, paxos.StatusOpened, 1, 1)
	}},
	{"a resumed session goes back", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.submitted(9, 1, 1)
		s.opens(9, 2, 1)
		s.answers(9, 2, paxos.StatusOpened, 2, 1)
	}},
	{"taken over without the generation", "sessions", func(s *sessionStage) {
		s.opens(9, 1, 0)
		s.opens(9, 2, 7)
		s.answers(9, 2, paxos.StatusOpened, 2, 1)
	}},
	{"a handover to somebody else", "handover", func(s *sessionStage) { s.AskedToHandOver(&Handover{From: 4, To: 6, Leads: true}) }},
	{"a handover by a follower", "handover", func(s *sessionStage) { s.AskedToHandOver(&Handover{From: 4, To: 5, Proposer: true}) }},
	{"two handovers", "handover", func(s *sessionStage) {
		s.AskedToHandOver(&Handover{From: 4, To: 5, Leads: true, Proposer: true, Underway: 5})
	}},
	{"a handover that might be is refused", "handover", func(s *sessionStage) {
		s.AskedToHandOver(&Handover{From: 4, To: 5, Leads: true, Proposer: true, Refusal: errors.New("no")})
	}},
	{"a refusal without a reason", "handover", func(s *sessionStage) {
		s.AskedToHandOver(&Handover{From: 4, To: 6, Leads: true, Refusal: errors.New("")})
	}},
	{"handovers as they should be", "", func(s *sessionStage) {
		s.AskedToHandOver(&Handover{From: 4, To: 5, Leads: true, Proposer: true})
		s.AskedToHandOver(&Handover{From: 4, To: 4, Leads: true, Proposer: true, Refusal: errors.New("it leads already")})
	}},
}

func TestSessionRules(t *testing.T) {
	for _, a := range sessionActs {
		s := newSessionStage()
		a.play(s)
		got := ""
		if v := s.Violation(); v != nil {
			got = v.Rule
		}
		if got != a.rule {
			t.Errorf("%s: violation %v, want rule %q", a.what, s.Violation(), a.rule)
		}
	}
}
