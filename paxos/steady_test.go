package paxos

import "testing"

// steady is a group without a network: one leader, acceptors, a learner, a client's values in one way that never ends. The tests of
// allocations and the benchmarks drive it.
type steady struct {
	now       Time
	members   Members
	acceptors []*Acceptor
	proposer  *Proposer
	learner   *Learner
	outs      map[NodeID]*Outbox
	inbox     [8][]Message
	sequence  uint64
	submit    []byte
	perSubmit int
	frame     []byte
	parts     *Outbox // of a client with large values
}

func newSteady(tb testing.TB, perSubmit, size int, batch BatchMode) *steady {
	s := &steady{
		members: Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4}, Learners: []NodeID{5}}, outs: map[NodeID]*Outbox{}, perSubmit: perSubmit,
		frame: make([]byte, max(size, 1500)), parts: NewOutbox(),
	}
	for _, id := range s.members.Acceptors {
		s.acceptors = append(s.acceptors, NewAcceptor(AcceptorConfig{
			ID: id, Members: s.members, Window: 1 << 12, ValueBytes: 1 << 24, MTU: 1500, MaxValue: max(size, MaxValue(1500)), Aggregate: batch != BatchOff,
		}))
	}
	s.proposer = NewProposer(ProposerConfig{
		ID: 4, Members: s.members, Window: 1 << 12, ValueBytes: 1 << 21, QueueBytes: 1 << 18, InFlight: 512, MTU: 1500,
		MaxValue: max(size, MaxValue(1500)), Batch: batch, Heartbeat: 1e6,
		Retry: 1e7, LeaderTimeout: 1e9, Lease: 1e9, SlowAfter: 1e9, Seed: 1,
	}, 0)
	s.proposer.GrantRounds(1, 100)
	s.learner = NewLearner(LearnerConfig{
		ID: 5, Members: s.members, Window: 1 << 12, ValueBytes: 1 << 24, MTU: 1500, MaxValue: max(size, MaxValue(1500)), Lease: 1e9, Retry: 1e7, Repair: 1e7, Deliver: func(*Delivery) {},
	}, 0)
	openSession(s.learner, 9)
	for id := NodeID(1); id <= 5; id++ {
		s.outs[id] = NewOutbox()
	}
	for i := range s.inbox {
		s.inbox[i] = make([]Message, 0, 1<<12)
	}
	s.submit = make([]byte, perSubmit*(ValueOverhead+size))
	s.tell(5, Message{Kind: KindHi, From: 6, To: 5, Flags: FlagClient, FromIncarnation: 1, Total: 600_000})
	s.now = 5e7
	for range 20 {
		s.cycle(tb, false)
	}
	if _, leads := s.proposer.Leading(); !leads {
		tb.Fatal("nobody leads")
	}
	for range 200 {
		s.cycle(tb, true)
	}
	return s
}

func (s *steady) tell(to NodeID, m Message) { s.inbox[to] = append(s.inbox[to], m) }

// route hands over what a role said. Views stay good: no role steps twice before the others have.
func (s *steady) route(from NodeID) {
	out := s.outs[from]
	for _, list := range [2][]Message{out.Now, out.After} {
		for i := range list {
			if m := &list[i]; m.To <= 5 {
				m.From, m.FromIncarnation = from, 1
				s.inbox[m.To] = append(s.inbox[m.To], *m)
			}
		}
	}
}

func (s *steady) fill() {
	n := 0
	for range s.perSubmit {
		s.sequence++
		size := len(s.submit)/s.perSubmit - ValueOverhead
		v := Value{Client: 9, Sequence: s.sequence, Oldest: s.sequence - min(s.sequence-1, 500), Generation: 1, Node: 6, Data: s.frame[:size]}
		n = PutValue(s.submit, n, &v)
		if size > MaxValue(1500) {
			s.parts.Reset()
			s.parts.SendParts(4, 1500, &v, s.submit, 0)
			for i := range s.parts.Now {
				m := s.parts.Now[i]
				m.From, m.FromIncarnation = 6, 1
				s.tell(4, m)
			}
			return
		}
	}
	s.tell(4, Message{Kind: KindSubmit, From: 6, To: 4, Data: s.submit})
}

// cycle steps proposer, acceptors and learner once: what the proposer says in it is delivered in it.
func (s *steady) cycle(tb testing.TB, load bool) {
	if load {
		s.fill()
	}
	s.now += 20_000
	step := func(id NodeID, r stepper) {
		s.outs[id].Reset()
		r.Step(s.now, s.inbox[id], s.outs[id])
		s.inbox[id] = s.inbox[id][:0]
		s.route(id)
	}
	step(4, s.proposer)
	for i, id := range s.members.Acceptors {
		step(id, s.acceptors[i])
	}
	step(5, s.learner)
}

// Accept, Accepted, Submit, deliver, heartbeat, tick, registration, trim: the steady state of no role allocates.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, batch := range []BatchMode{BatchInstance, BatchFrame, BatchOff} {
		s := newSteady(t, 20, 40, batch)
		before := s.learner.count
		if n := testing.AllocsPerRun(2000, func() { s.cycle(t, true) }); n != 0 {
			t.Errorf("%v: %v allocations a cycle", batch, n)
		}
		if s.learner.count-before < 2000*20*9/10 || s.acceptors[0].low == 0 || s.learner.Counters.Repeats != 0 {
			t.Errorf("%v: %d values delivered, low watermark %d, %d repeats: that is no steady state", batch, s.learner.count-before, s.acceptors[0].low,
				s.learner.Counters.Repeats)
		}
		if n := testing.AllocsPerRun(2000, func() { s.cycle(t, false) }); n != 0 {
			t.Errorf("%v: %v allocations a cycle with nothing to do", batch, n)
		}
	}
}

func TestCodecAllocatesNothing(t *testing.T) {
	buf := make([]byte, 1500)
	all := samples()
	var w FrameWriter
	if n := testing.AllocsPerRun(1000, func() {
		w.Start(buf, FrameHeader{Cluster: 7, Group: 1, Sender: 1, Destination: 4, Epoch: FirstEpoch})
		for i := range all {
			w.Append(&all[i])
		}
		_, rest, drop := ParseFrame(buf[:w.Finish()], 7, 1)
		var m Message
		for len(rest) > 0 && drop == DropNone {
			rest, drop = Decode(rest, &m)
		}
		if drop != DropNone {
			t.Fatal(drop)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// Phase 1, refusals, repair and state are rarer, and allocate nothing either.
func TestTroubleAllocatesNothing(t *testing.T) {
	s := newSteady(t, 20, 40, BatchFrame)
	out := NewOutbox()
	low := s.acceptors[0].low
	ask := []Message{
		{Kind: KindPrepare, From: 4, Ballot: MakeBallot(90, 4), Instance: low},
		{Kind: KindRepeat, From: 5, Instance: low, Until: low + 64, Flags: FlagValues},
		{Kind: KindRepeat, From: 5, Instance: low, Until: low + 64}, {Kind: KindAccept, From: 4, Ballot: MakeBallot(1, 4)},
	}
	if n := testing.AllocsPerRun(100, func() { out.Reset(); s.acceptors[0].Step(s.now, ask, out) }); n != 0 {
		t.Errorf("acceptor: %v allocations", n)
	}
	s.learner.peer[6] = 1 // a second learner
	page := []Message{{Kind: KindCheckpointAsk, From: 6, Instance: 1}}
	if n := testing.AllocsPerRun(20, func() { out.Reset(); s.now += 2e8; s.learner.onCheckpointAsk(s.now, &page[0], out) }); n != 0 {
		t.Errorf("checkpoint: %v allocations", n)
	}
	if n := testing.AllocsPerRun(20, func() {
		out.Reset()
		s.now += 1e9
		s.proposer.prepare(s.now, reason{}, out)
		s.proposer.Step(s.now, []Message{{Kind: KindPreempted, From: 1, Ballot: s.proposer.ballot, Promised: s.proposer.ballot + 1<<16}}, out)
	}); n != 0 {
		t.Errorf("phase 1: %v allocations", n)
	}
}
