package paxos

import (
	"bytes"
	"math/rand"
	"testing"
)

// pieceOf is bytes [at, at+n) of a batch as a fragment.
func pieceOf(batch []byte, at, n int) *Message {
	return &Message{Kind: KindAccept, Offset: uint32(at), Total: uint32(len(batch)), Data: batch[at : at+n]}
}

// Pieces of many values in random order, cut at different places, doubled, some lost: what comes out is what went in, once each.
func TestFragmentsFitTogether(t *testing.T) {
	const most = 9000
	rng := rand.New(rand.NewSource(1))
	f := newFragments(1500, most)
	for round := range 200 {
		type piece struct {
			name uint64
			m    *Message
		}
		values := map[uint64][]byte{}
		var all []piece
		for name := range uint64(fragmentSets) {
			batch := make([]byte, 1+rng.Intn(most))
			rng.Read(batch)
			values[name] = batch
			for range 1 + rng.Intn(2) {
				size := FragmentUnit * (1 + rng.Intn(40))
				for at := 0; at < len(batch); at += size {
					all = append(all, piece{name, pieceOf(batch, at, min(size, len(batch)-at))})
				}
			}
		}
		rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		done := map[uint64]int{}
		for _, p := range all {
			if got, ok := f.add(fragmentName{p.name, uint64(round)}, p.m); ok {
				if done[p.name]++; !bytes.Equal(got, values[p.name]) {
					t.Fatalf("round %d: value %d of %d bytes is not what was sent", round, p.name, len(got))
				}
			}
		}
		f.clear() // second copies begin values anew
		for name := range values {
			if done[name] == 0 && f.Counters.Displaced == 0 {
				t.Fatalf("round %d: value %d is not there", round, name)
			}
		}
	}
}

func TestFragmentsThatCannotBe(t *testing.T) {
	batch := make([]byte, 5000)
	f := newFragments(1500, 5000)
	lie := func(m *Message, offset, total uint32) *Message {
		m.Offset, m.Total = offset, total
		return m
	}
	f.add(fragmentName{1, 1}, pieceOf(batch, 0, 1408))
	for i, m := range []*Message{
		lie(pieceOf(batch, 0, 64), 63, 5000), lie(pieceOf(batch, 0, 65), 64, 5000), pieceOf(batch, 64, 0), lie(pieceOf(batch, 0, 64), 4992, 5000),
		lie(pieceOf(batch, 0, 64), 0, 5001), lie(pieceOf(batch, 0, 64), 0, 4000), lie(pieceOf(batch, 0, 64), ^uint32(63), ^uint32(0)),
		lie(pieceOf(batch, 0, 64), 0, 0),
	} {
		if _, done := f.add(fragmentName{1, 1}, m); done || f.Counters.Malformed != uint64(i+1) {
			t.Errorf("%d: offset %d, %d bytes of %d were taken", i, m.Offset, len(m.Data), m.Total)
		}
	}
	if f.Counters.Fragments != 2 { // one of those that cannot be can only be told by its value
		t.Errorf("%d fragments taken", f.Counters.Fragments)
	}
	none := newFragments(1500, room(KindAccept, 1500))
	if _, done := none.add(fragmentName{1, 1}, pieceOf(batch, 0, 64)); done || none.bytes != nil || none.Counters.Malformed != 1 {
		t.Error("fragments where every value fits a frame")
	}
}

// Where all sets are in use, what is of no use any more gives way first, then what was begun first.
func TestFragmentsGiveWay(t *testing.T) {
	batch := make([]byte, 5000)
	f := newFragments(1500, 5000)
	begin := func(a, b uint64) { f.add(fragmentName{a, b}, pieceOf(batch, 0, 1408)) }
	for i := range uint64(fragmentSets) {
		begin(10+i, 5)
	}
	f.outdate(0, 0)
	begin(100, 5)
	if f.find(fragmentName{10, 5}) >= 0 || f.find(fragmentName{11, 5}) < 0 {
		t.Error("not the one that was begun first")
	}
	f.outdate(14, 0)
	for i := range uint64(3) {
		begin(101+i, 5)
	}
	if f.find(fragmentName{14, 5}) < 0 || f.find(fragmentName{11, 5}) >= 0 || f.find(fragmentName{12, 5}) >= 0 || f.find(fragmentName{13, 5}) >= 0 {
		t.Error("not those below the mark")
	}
	begin(110, 4)
	f.outdate(0, 5)
	begin(111, 5)
	if f.find(fragmentName{110, 4}) >= 0 || f.Counters.Displaced != 6 {
		t.Errorf("not the lower ballot, or %d gave way", f.Counters.Displaced)
	}
}

// Large values among small ones, on a network that loses, doubles and reorders, with everything else that may go wrong.
func TestLargeValues(t *testing.T) {
	for seed := range int64(12) {
		b := newBench(t, seed, benchConfig{
			acceptors: 3 + 2*int(seed%2), proposers: 1 + int(seed%3), learners: 2, window: 16 << (seed % 4), batch: BatchMode(seed % 3), maxValue: 12_000,
			dropSlow: seed%2 == 0,
		})
		b.loss, b.dup = float64(seed%3)*0.05, 0.05
		amnesiac := false
		b.drive(100, 60e9, func() {
			b.cut = [MaxNodes]bool{}
			switch b.rng.Intn(6) {
			case 0:
				if !amnesiac {
					amnesiac = true
					b.startAcceptor(b.members.Acceptors[0], true)
				}
			case 1:
				b.startProposer(b.any(b.members.Proposers))
			case 2:
				b.restartLearner()
			case 3:
				b.proposers[b.any(b.members.Proposers)].silence = b.now
			case 4:
				b.cut[b.any(b.members.Acceptors)] = true
			case 5:
				b.cut[b.any(b.members.Learners)] = true
			}
		})
		b.settle(100)
		var all FragmentCounters
		for _, l := range b.learners {
			all.Assembled += l.Fragments().Assembled
			all.Malformed += l.Fragments().Malformed
		}
		for _, a := range b.acceptors {
			all.Assembled += a.Fragments().Assembled
			all.Malformed += a.Fragments().Malformed
		}
		if all.Malformed > 0 || all.Assembled < 20 {
			b.fatalf("fragments: %+v", all)
		}
	}
}

// Steady state with fragments allocates nothing, on any role.
func TestFragmentsAllocateNothing(t *testing.T) {
	s := newSteady(t, 1, 20_000, BatchInstance)
	before := s.learner.count
	if n := testing.AllocsPerRun(500, func() { s.cycle(t, true) }); n != 0 {
		t.Errorf("%v allocations a cycle", n)
	}
	if done := s.learner.count - before; done < 450 || s.learner.Counters.Repeats != 0 || s.learner.Fragments().Assembled < 450 {
		t.Errorf("%d values delivered, %d repeats: that is no steady state", done, s.learner.Counters.Repeats)
	}
}

// An acceptor tells a bounded number of frames of values in a step, whoever asks, and all of a value or nothing. Votes are not held up by it. The
// same askers get on: each step tells something.
func TestRepairHasABudget(t *testing.T) {
	for _, size := range []int{100, 12_000} {
		s := newSteady(t, 1, size, BatchInstance)
		a, out := s.acceptors[0], NewOutbox()
		frames := frameCount(KindStored, 1500, size+ValueOverhead)
		var in []Message
		for range 30 {
			in = append(in, Message{Kind: KindRepeat, From: 5, Instance: a.low, Until: a.high, Flags: FlagValues})
		}
		batch := make([]byte, 64)
		in = append(in, Message{Kind: KindAccept, From: 4, FromIncarnation: 1, Ballot: s.proposer.ballot, Instance: a.high, Low: a.low, Total: 64, Data: batch})
		if a.Step(s.now, in, out); out.Dropped != 0 {
			t.Fatalf("%d messages dropped", out.Dropped)
		}
		told, voted := 0, false
		for _, m := range out.After {
			switch m.Kind {
			case KindStored:
				told++
			case KindAccepted:
				voted = true
			}
		}
		if told > repeatFrames || told < repeatFrames-frames || told%frames != 0 || !voted || a.Counters.Deferred == 0 {
			t.Errorf("%d bytes: %d frames told of at most %d, %d a value; voted: %v; %d deferred", size, told, repeatFrames, frames, voted, a.Counters.Deferred)
		}
	}
}

// A value that alone takes more frames than the budget is told all the same, one a step: else it could never be repaired.
func TestRepairOfAValueOverTheBudget(t *testing.T) {
	const mtu, size = 256, 40_000
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{5}}
	a := NewAcceptor(AcceptorConfig{ID: 1, Members: members, Window: 64, ValueBytes: 1 << 19, MTU: mtu, MaxValue: MaxValueBytes})
	out := NewOutbox()
	batch, piece := make([]byte, size), pieceSize(KindAccept, mtu)
	for i := range Instance(2) {
		for at := 0; at < size; at += piece {
			m := pieceOf(batch, at, min(piece, size-at))
			m.From, m.Ballot, m.Instance = 4, MakeBallot(1, 4), i
			out.Reset()
			a.Step(0, []Message{*m}, out)
		}
	}
	out.Reset()
	a.Step(0, []Message{{Kind: KindRepeat, From: 5, Until: 2, Flags: FlagValues}}, out)
	told := 0
	for _, m := range out.After {
		if m.Instance == 0 && m.Kind == KindStored {
			told++
		}
	}
	if frames := frameCount(KindStored, mtu, size); frames <= repeatFrames || told != frames || len(out.After) != told {
		t.Errorf("%d messages, %d of the first value, which takes %d", len(out.After), told, frames)
	}
}

// repairRate is how many instances a learner that missed everything gets in a second of virtual time, and in how many frames, when an answer takes
// half a millisecond: one acceptor that tells, one that votes, nothing else on the wire.
func repairRate(tb testing.TB, size, instances int) (perSecond float64, repeats uint64) {
	members := Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4}, Learners: []NodeID{5}}
	out := NewOutbox()
	var acceptors [3]*Acceptor
	batch := make([]byte, ValueOverhead+size)
	for k := range acceptors {
		acceptors[k] = NewAcceptor(AcceptorConfig{
			ID: NodeID(k + 1), Members: members, Window: 1 << 13, ValueBytes: 1 << 27, MTU: 1500, MaxValue: MaxValueBytes, Aggregate: true,
		})
		for i := range instances {
			PutValue(batch, 0, &Value{Client: 9, Sequence: uint64(i + 1), Oldest: max(1, uint64(i)-500), Node: 50, Data: make([]byte, size)})
			out.Reset()
			for at, most := 0, pieceSize(KindAccept, 1500); at < len(batch); at += most {
				data := batch[at:min(at+most, len(batch))]
				if len(batch) <= room(KindAccept, 1500) {
					data = batch
				}
				acceptors[k].Step(0, []Message{{Kind: KindAccept, From: 4, Ballot: MakeBallot(1, 4), Instance: Instance(i), Offset: uint32(at),
					Total: uint32(len(batch)), Data: data}}, out)
			}
		}
	}
	l := NewLearner(LearnerConfig{
		ID: 5, Members: members, Window: 1 << 13, ValueBytes: 1 << 23, MTU: 1500, MaxValue: MaxValueBytes, Lease: 1e9, Retry: 1e7, Repair: 25e5,
	}, 0)
	var learnerOut Outbox = *NewOutbox()
	l.Step(0, []Message{{Kind: KindHeartbeat, From: 4, Ballot: MakeBallot(1, 4), High: Instance(instances)}}, &learnerOut)
	const trip = Time(500_000)
	now := Time(0)
	for in := []Message(nil); l.next < Instance(instances); now += trip {
		learnerOut.Reset()
		if l.Step(now, in, &learnerOut); now > 100e9 {
			tb.Fatalf("%d of %d instances after 100 s", l.next, instances)
		}
		in = in[:0]
		for k, a := range acceptors {
			var asks []Message
			for _, m := range learnerOut.Now {
				if m.Kind == KindRepeat && m.To == NodeID(k+1) {
					m.From = 5
					asks = append(asks, m)
				}
			}
			out.Reset()
			a.Step(now, asks, out)
			for _, m := range out.After {
				m.From, m.Data = NodeID(k+1), bytes.Clone(m.Data)
				in = append(in, m)
			}
		}
	}
	return float64(instances) / (float64(now) / 1e9), l.Counters.Repeats
}

// Repair goes at the pace of answers: a burst of frames a round trip, whatever the size of the values. (Kernel Paxos repaired 110 instances a second.)
func TestRepairGoesAtThePaceOfAnswers(t *testing.T) {
	for _, c := range []struct {
		size, instances int
		least           float64
	}{{64, 8000, 100_000}, {1300, 4000, 100_000}, {65536, 500, 5000}} {
		rate, repeats := repairRate(t, c.size, c.instances)
		t.Logf("values of %d bytes: %.0f instances/s at a round trip of 0.5 ms, %d ranges asked for", c.size, rate, repeats)
		if rate < c.least {
			t.Errorf("values of %d bytes: %.0f instances/s in virtual time, want at least %.0f", c.size, rate, c.least)
		}
	}
}
