package check

import (
	"encoding/binary"
	"testing"

	"github.com/cespare/xxhash/v2"

	"wirepaxos/paxos"
)

// stage is a cluster whose every word a test makes up: acceptors 1 to 3, proposers 4 and 5, learners 6 and 7.
type stage struct {
	*Suite
	starts map[paxos.NodeID]int
	now    int64
}

func newStage() *stage {
	s := &stage{starts: map[paxos.NodeID]int{}}
	s.Suite = NewSuite(Cluster{Window: 8, Lease: 1000, LeaderTimeout: 100, Now: func() int64 { return s.now }, Members: paxos.Members{
		Acceptors: []paxos.NodeID{1, 2, 3}, Proposers: []paxos.NodeID{4, 5}, Learners: []paxos.NodeID{6, 7},
	}})
	return s
}

func (s *stage) actor(id paxos.NodeID) *Actor {
	role := paxos.RoleAcceptor
	if id >= 6 {
		role = paxos.RoleLearner
	} else if id >= 4 {
		role = paxos.RoleProposer
	}
	return &Actor{Node: id, Role: role, Incarnation: paxos.Incarnation(100*int(id) + s.starts[id]), Start: s.starts[id]}
}

func (s *stage) restart(id paxos.NodeID) {
	s.starts[id]++
	s.Started(s.actor(id))
}

// says lets a role hear and say messages in one step.
func (s *stage) says(id paxos.NodeID, in []paxos.Message, said ...paxos.Message) {
	s.Stepped(s.actor(id), in, &paxos.Outbox{After: said})
}

func (s *stage) tells(id paxos.NodeID, e paxos.Event) {
	s.Stepped(s.actor(id), nil, &paxos.Outbox{Events: []paxos.Event{e}})
}

func ballot(round uint64, id paxos.NodeID) paxos.Ballot { return paxos.MakeBallot(round, id) }

func accept(b paxos.Ballot, i paxos.Instance, value string) paxos.Message {
	return paxos.Message{Kind: paxos.KindAccept, From: b.Proposer(), To: 1, Ballot: b, Instance: i, Total: uint32(len(value)), Data: []byte(value)}
}

func accepted(b paxos.Ballot, i paxos.Instance) paxos.Message {
	data := make([]byte, 16)
	binary.LittleEndian.PutUint64(data, uint64(i))
	data[8] = 1
	return paxos.Message{Kind: paxos.KindAccepted, Ballot: b, Data: data}
}

func prepare(b paxos.Ballot) paxos.Message {
	return paxos.Message{Kind: paxos.KindPrepare, From: b.Proposer(), Ballot: b}
}

// promise is a last page that lists one instance, or none where value is empty.
func promise(b paxos.Ballot, i paxos.Instance, at paxos.Ballot, value string) paxos.Message {
	m := paxos.Message{Kind: paxos.KindPromise, To: b.Proposer(), Ballot: b, Until: 8, Flags: paxos.FlagLast}
	if value != "" {
		m.Data = make([]byte, 32)
		le := binary.LittleEndian
		le.PutUint64(m.Data, uint64(i))
		le.PutUint64(m.Data[8:], uint64(at))
		le.PutUint64(m.Data[16:], xxhash.Sum64String(value))
		le.PutUint32(m.Data[24:], uint32(len(value)))
	}
	return m
}

// votes lets an acceptor hear an accept and vote for it.
func (s *stage) votes(id paxos.NodeID, m paxos.Message) {
	s.says(id, []paxos.Message{m}, accepted(m.Ballot, m.Instance))
}

// choose lets 4 propose and acceptors 1 and 2 vote.
func (s *stage) choose(b paxos.Ballot, i paxos.Instance, value string) {
	m := accept(b, i, value)
	s.says(b.Proposer(), nil, m)
	s.votes(1, m)
	s.votes(2, m)
}

func (s *stage) delivers(id paxos.NodeID, position uint64, i paxos.Instance, sequence uint64, value string) {
	s.Delivered(s.actor(id), &paxos.Delivery{Instance: i, Position: position, Client: 9, Sequence: sequence, Node: 8, Data: []byte(value)})
	s.Stepped(s.actor(id), nil, &paxos.Outbox{})
}

func (s *stage) submits(sequence uint64, value string) {
	s.Suite.Submitted(&Submitted{Client: 9, Sequence: sequence, Data: []byte(value)})
}

func (s *stage) hears(id paxos.NodeID, low paxos.Instance) {
	s.says(id, []paxos.Message{{Kind: paxos.KindHeartbeat, Low: low}})
}

func (s *stage) hi(id paxos.NodeID, delivered paxos.Instance) {
	s.says(id, nil, paxos.Message{Kind: paxos.KindHi, Instance: delivered})
}

func (s *stage) beats(id paxos.NodeID, b paxos.Ballot, low paxos.Instance) {
	s.says(id, nil, paxos.Message{Kind: paxos.KindHeartbeat, Ballot: b, Low: low})
}

// acts are what each rule forbids, and beside them what it must let pass.
var acts = []struct {
	what, rule string
	play       func(s *stage)
}{
	{"all is well", "", func(s *stage) {
		s.submits(1, "a")
		s.choose(ballot(1, 4), 0, "a")
		s.delivers(6, 0, 0, 1, "a")
		s.Told(&Outcome{Client: 9, Sequence: 1})
		s.delivers(7, 0, 0, 1, "a")
		s.Ended(&End{Learners: []LearnerEnd{{6, 1, 1, 5}, {7, 1, 1, 5}}})
	}},
	{"a ballot names two values", "ballot", func(s *stage) {
		s.says(4, nil, accept(ballot(1, 4), 0, "a"))
		s.says(4, nil, accept(ballot(1, 4), 0, "b"))
	}},
	{"a vote for nothing", "votes", func(s *stage) { s.votes(1, accept(ballot(1, 4), 0, "a")) }},
	{"two values are chosen", "agreement", func(s *stage) {
		s.says(5, nil, accept(ballot(2, 5), 0, "b"))
		s.choose(ballot(1, 4), 0, "a")
	}},
	{"a higher ballot proposes another value than the chosen one", "agreement", func(s *stage) {
		s.choose(ballot(1, 4), 0, "a")
		s.says(5, nil, accept(ballot(2, 5), 0, "b"))
	}},
	{"a higher ballot proposes the chosen value", "", func(s *stage) {
		s.choose(ballot(1, 4), 0, "a")
		s.choose(ballot(2, 5), 0, "a")
	}},
	{"a promise goes back", "promise", func(s *stage) {
		s.says(1, []paxos.Message{prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, 0, ""))
		s.says(1, []paxos.Message{prepare(ballot(1, 4))}, promise(ballot(1, 4), 0, 0, ""))
	}},
	{"a vote below the promise", "vote", func(s *stage) {
		s.says(4, nil, accept(ballot(1, 4), 0, "a"))
		s.says(1, []paxos.Message{prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, 0, ""))
		s.votes(1, accept(ballot(1, 4), 0, "a"))
	}},
	{"a vote and then a promise in one step", "", func(s *stage) {
		m := accept(ballot(1, 4), 0, "a")
		s.says(4, nil, m)
		s.says(1, []paxos.Message{m, prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, ballot(1, 4), "a"), accepted(ballot(1, 4), 0))
	}},
	{"a vote for several nodes, then a promise, then the accept again", "", func(s *stage) {
		m, told := accept(ballot(1, 4), 0, "a"), accepted(ballot(1, 4), 0)
		s.says(4, nil, m)
		s.says(1, []paxos.Message{m, prepare(ballot(2, 5)), m}, told, told, promise(ballot(2, 5), 0, ballot(1, 4), "a"))
	}},
	{"a vote told twice, then a higher ballot's, then the accept again", "", func(s *stage) {
		low, high := accept(ballot(1, 4), 0, "a"), accept(ballot(2, 5), 0, "a")
		s.says(4, nil, low)
		s.says(5, nil, high)
		told := accepted(ballot(1, 4), 0)
		page := promise(ballot(2, 5), 0, ballot(1, 4), "a")
		s.says(1, []paxos.Message{low, {Kind: paxos.KindRepeat}, prepare(ballot(2, 5)), high, low}, told, accepted(ballot(1, 4), 0), page, accepted(ballot(2, 5), 0))
	}},
	{"a refusal, a promise and then a vote for the accept that comes again", "", func(s *stage) {
		m := accept(ballot(2, 5), 0, "a")
		s.says(5, nil, m)
		s.says(1, []paxos.Message{m, prepare(ballot(2, 5)), m}, promise(ballot(2, 5), 0, 0, ""), accepted(ballot(2, 5), 0))
	}},
	{"a vote that nobody asked for", "vote", func(s *stage) {
		s.says(4, nil, accept(ballot(1, 4), 0, "a"))
		s.says(1, nil, accepted(ballot(1, 4), 0))
	}},
	{"a promise leaves out a vote", "report", func(s *stage) {
		s.choose(ballot(1, 4), 0, "a")
		s.says(1, []paxos.Message{prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, 0, ""))
	}},
	{"a promise reports another value", "report", func(s *stage) {
		s.choose(ballot(1, 4), 0, "a")
		s.says(1, []paxos.Message{prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, ballot(1, 4), "x"))
	}},
	{"a promise reports the vote", "", func(s *stage) {
		s.choose(ballot(1, 4), 0, "a")
		s.says(1, []paxos.Message{prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, ballot(1, 4), "a"))
	}},
	{"a vote after a restart", "amnesia", func(s *stage) {
		s.restart(1)
		s.choose(ballot(1, 4), 0, "a")
	}},
	{"a refusal without the promise", "preempted", func(s *stage) {
		s.says(1, nil, paxos.Message{Kind: paxos.KindPreempted, Ballot: ballot(1, 4), Promised: ballot(1, 4)})
	}},
	{"a refusal for a promise", "", func(s *stage) {
		s.says(1, nil, paxos.Message{Kind: paxos.KindPreempted, Ballot: ballot(1, 4), Promised: ballot(2, 5)})
	}},
	{"a vote beyond the window", "window", func(s *stage) { s.choose(ballot(1, 4), 8, "a") }},
	{"a vote at the end of the window", "", func(s *stage) {
		s.hears(1, 1)
		s.hears(2, 1)
		s.choose(ballot(1, 4), 8, "a")
	}},
	{"a vote for what is trimmed", "window", func(s *stage) {
		s.hears(1, 1)
		s.choose(ballot(1, 4), 0, "a")
	}},
	{"another's ballot", "ballot owner", func(s *stage) { s.beats(4, ballot(1, 5), 0) }},
	{"a ballot after a restart", "ballot reused", func(s *stage) {
		s.beats(4, ballot(1, 4), 0)
		s.restart(4)
		s.beats(4, ballot(1, 4), 0)
	}},
	{"trim past a learner", "trim", func(s *stage) {
		s.hi(6, 5)
		s.hi(7, 2)
		s.beats(4, ballot(1, 4), 5)
	}},
	{"trim past a learner whose lease ended", "", func(s *stage) {
		s.hi(6, 5)
		s.hi(7, 2)
		s.tells(4, paxos.Event{Kind: paxos.EventLeaseExpired, Node: 7})
		s.beats(4, ballot(1, 4), 5)
	}},
	{"trim past all learners", "trim", func(s *stage) {
		s.hi(6, 5)
		s.tells(4, paxos.Event{Kind: paxos.EventLeaseExpired, Node: 6})
		s.tells(4, paxos.Event{Kind: paxos.EventLeaseExpired, Node: 7})
		s.beats(4, ballot(1, 4), 6)
	}},
	{"a position is left out", "position", func(s *stage) {
		s.submits(1, "a")
		s.choose(ballot(1, 4), 0, "a")
		s.delivers(6, 1, 0, 1, "a")
	}},
	{"a position after another learner's state", "", func(s *stage) {
		s.submits(1, "a")
		s.choose(ballot(1, 4), 0, "a")
		s.tells(6, paxos.Event{Kind: paxos.EventRestored})
		s.delivers(6, 1, 0, 1, "a")
	}},
	{"two orders", "order", func(s *stage) {
		s.submits(1, "a")
		s.submits(2, "b")
		s.choose(ballot(1, 4), 0, "ab")
		s.delivers(6, 0, 0, 1, "a")
		s.delivers(7, 0, 0, 2, "b")
	}},
	{"a value twice", "exactly once", func(s *stage) {
		s.submits(1, "a")
		s.choose(ballot(1, 4), 0, "a")
		s.choose(ballot(1, 4), 1, "a")
		s.delivers(6, 0, 0, 1, "a")
		s.delivers(6, 1, 1, 1, "a")
	}},
	{"what is not chosen", "chosen", func(s *stage) {
		s.submits(1, "a")
		s.says(4, nil, accept(ballot(1, 4), 0, "a"))
		s.votes(1, accept(ballot(1, 4), 0, "a"))
		s.delivers(6, 0, 0, 1, "a")
	}},
	{"learners end apart", "equal", func(s *stage) { s.Ended(&End{Learners: []LearnerEnd{{6, 1, 1, 5}, {7, 1, 1, 6}}}) }},
	{"what nobody submitted", "integrity", func(s *stage) {
		s.choose(ballot(1, 4), 0, "a")
		s.delivers(6, 0, 0, 1, "a")
	}},
	{"other bytes", "integrity", func(s *stage) {
		s.submits(1, "b")
		s.choose(ballot(1, 4), 0, "a")
		s.delivers(6, 0, 0, 1, "a")
	}},
	{"an answer before delivery", "acknowledged", func(s *stage) {
		s.submits(1, "a")
		s.Told(&Outcome{Client: 9, Sequence: 1})
	}},
	{"an acknowledged value is lost", "acknowledged", func(s *stage) {
		s.submits(1, "a")
		s.choose(ballot(1, 4), 0, "a")
		s.delivers(6, 0, 0, 1, "a")
		s.Told(&Outcome{Client: 9, Sequence: 1})
		s.Ended(&End{Learners: []LearnerEnd{{6, 1, 0, 5}}})
	}},
	{"a refusal", "refused", func(s *stage) {
		s.submits(1, "a")
		s.Told(&Outcome{Client: 9, Sequence: 1, Status: paxos.StatusNoRoom})
	}},
	{"a read of the past", "linearizable", func(s *stage) {
		s.Linearizable([]Done{
			{Op: Op{Kind: OpPut, Argument: 7}, Call: 0, End: 1},
			{Op: Op{Kind: OpGet}, Call: 2, End: 3, Before: Register{0, 0}},
		})
	}},
	{"a read beside a write", "", func(s *stage) {
		s.Linearizable([]Done{
			{Op: Op{Kind: OpPut, Argument: 7}, Call: 0, End: 5, Before: Register{0, 1}},
			{Op: Op{Kind: OpGet}, Call: 2, End: 3, Before: Register{0, 0}},
			{Op: Op{Kind: OpCompareAndSwap, Expected: 7, Argument: 8}, Call: 6, Unanswered: true, Before: Register{7, 2}},
			{Op: Op{Kind: OpGet}, Call: 7, End: 9, Before: Register{8, 3}},
		})
	}},
}

func TestRules(t *testing.T) {
	for _, a := range acts {
		s := newStage()
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

// A large value comes in pieces: it is one proposal once all are there, and a piece that changes is another value.
func TestFragments(t *testing.T) {
	piece := func(offset uint32, data string) paxos.Message {
		return paxos.Message{Kind: paxos.KindAccept, Ballot: ballot(1, 4), Offset: offset, Total: 6, Data: []byte(data)}
	}
	s := newStage()
	s.says(4, nil, piece(0, "abc"))
	s.says(1, []paxos.Message{piece(0, "abc")}, accepted(ballot(1, 4), 0))
	if v := s.Violation(); v == nil || v.Rule != "votes" {
		t.Errorf("a vote for half a value: %v", v)
	}
	s = newStage()
	s.says(4, nil, piece(3, "def"), piece(0, "abc"))
	s.votes(1, piece(0, "abc"))
	if v := s.Violation(); v != nil {
		t.Errorf("a value in pieces: %v", v)
	}
	s = newStage() // a promise between two pieces: the value was not there yet
	s.says(4, nil, piece(3, "def"), piece(0, "abc"))
	s.says(1, []paxos.Message{piece(3, "def"), prepare(ballot(1, 4)), piece(0, "abc")}, promise(ballot(1, 4), 0, 0, ""), accepted(ballot(1, 4), 0))
	if v := s.Violation(); v != nil {
		t.Errorf("a promise between two pieces: %v", v)
	}
	s.says(1, []paxos.Message{prepare(ballot(2, 5))}, promise(ballot(2, 5), 0, 0, ""))
	if v := s.Violation(); v == nil || v.Rule != "report" {
		t.Errorf("a promise in the next step leaves the value out: %v", v)
	}
	s = newStage()
	s.says(4, nil, piece(3, "def"), piece(0, "abc"))
	s.says(4, nil, piece(0, "abx"))
	if v := s.Violation(); v == nil || v.Rule != "ballot" {
		t.Errorf("a piece that changed: %v", v)
	}
}
