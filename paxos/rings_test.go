package paxos

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
)

// A ring against a model: records come and go in random order, views stay as they are until the next step.
func TestByteRing(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	r := newByteRing(1024)
	type record struct {
		at   uint64
		data []byte
	}
	model := map[Instance]record{}
	next := Instance(0)
	for range 20000 {
		r.settle()
		for range rng.Intn(4) {
			data := make([]byte, rng.Intn(200))
			rng.Read(data)
			if !r.fits(len(data)) {
				break
			}
			model[next] = record{r.put(next, data), data}
			next++
		}
		for i, e := range model {
			if !bytes.Equal(r.get(e.at, uint32(len(e.data))), e.data) {
				t.Fatalf("instance %d changed", i)
			}
			if rng.Intn(4) == 0 {
				delete(model, i)
			}
		}
		living := func(i Instance, at uint64) bool { e, ok := model[i]; return ok && e.at == at }
		if rng.Intn(8) == 0 {
			r.compact(living, func(i Instance, at uint64) { model[i] = record{at, model[i].data} })
		}
		for i, at, ok := r.oldest(); ok && !living(i, at); i, at, ok = r.oldest() {
			r.drop()
		}
		if len(model) == 0 && r.used() != 0 {
			t.Fatalf("%d bytes used by nothing", r.used())
		}
	}
	if next < 10000 {
		t.Errorf("%d records only", next)
	}
}

// Dropping at once what lies below an instance ends just where looking at record after record does, or does nothing: with values that came late,
// were replaced or are missing, and after the living ones were moved together.
func TestDropBelowIsDroppingOneByOne(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	atOnce := 0
	for range 300 {
		r := newByteRing(1024)
		at := map[Instance]uint64{} // of what lives
		low, next := Instance(0), Instance(0)
		living := func(i Instance, p uint64) bool { have, ok := at[i]; return ok && have == p }
		mess := rng.Intn(3) * 4
		for range 200 {
			r.settle()
			for range rng.Intn(4) {
				i := next
				if rng.Intn(40) < mess {
					i = low + Instance(rng.Intn(int(next-low)+1)) // late, or in the place of another
				}
				if n := rng.Intn(100); r.fits(n) {
					at[i] = r.put(i, make([]byte, n))
				}
				next = max(next, i+1) // or it is missing
			}
			for end := low + Instance(rng.Intn(5)); low < min(end, next); low++ {
				delete(at, low)
			}
			if rng.Intn(20) < mess/4 {
				r.compact(living, func(i Instance, p uint64) { at[i] = p })
			}
			slow := r
			for i, p, ok := slow.oldest(); ok && !living(i, p); i, p, ok = slow.oldest() {
				slow.drop()
			}
			first, ok := at[low]
			if !ok {
				first = nowhere
			}
			if r.dropBelow(low, first) {
				atOnce++
				if r.tail != slow.tail {
					t.Fatalf("tail %d, one by one %d, head %d", r.tail, slow.tail, r.head)
				}
			}
			r.tail = slow.tail
		}
	}
	if atOnce < 20000 {
		t.Errorf("at once %d times only", atOnce)
	}
}

// An acceptor knows how many instances of its window it holds, with holes and without, however far it is trimmed at once.
func TestAcceptorKnowsWhatItHolds(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6}}
	rng, out, most := rand.New(rand.NewSource(3)), NewOutbox(), uint64(0)
	for round := range 40 {
		a := NewAcceptor(AcceptorConfig{ID: 1, Members: members, Window: 64, ValueBytes: 1 << 14, MTU: 256})
		skip, next := []int{0, 20}[round%2], Instance(0) // percent of instances that are missing
		for range 200 {
			if rng.Intn(100) >= skip {
				out.Reset()
				a.Step(0, []Message{{Kind: KindAccept, From: 4, Ballot: MakeBallot(1, 4), Instance: next, Low: a.low, Total: 9, Data: []byte("something")}}, out)
			}
			if next++; rng.Intn(10) == 0 || next-a.low > 40 {
				a.trim(a.low + Instance(rng.Intn(int(next-a.low)+5)))
				next = max(next, a.low)
			}
			held := uint64(0)
			for i := a.low; i < a.high; i++ {
				if a.slot(i) != nil {
					held++
				}
			}
			if a.stored != held {
				t.Fatalf("round %d: it takes itself to hold %d instances of [%d, %d), and holds %d", round, a.stored, a.low, a.high, held)
			}
			most = max(most, held)
		}
	}
	if most < 30 {
		t.Errorf("it held %d instances at most", most)
	}
}

// What an outbox shows stays as it is for the whole step, whatever the step wins back and writes.
func TestRoomIsNotReusedWithinAStep(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6}}
	a := NewAcceptor(AcceptorConfig{ID: 1, Members: members, Window: 64, ValueBytes: 2048, MTU: 256})
	out := NewOutbox()
	b := MakeBallot(1, 4)
	accept := func(i Instance, fill byte, low Instance) Message {
		data := bytes.Repeat([]byte{fill}, 150)
		return Message{Kind: KindAccept, From: 4, Ballot: b, Instance: i, Low: low, Total: 150, Data: data}
	}
	for i := range Instance(8) {
		out.Reset()
		a.Step(0, []Message{accept(i, byte('a'+i), 0)}, out)
	}
	burst := []Message{{Kind: KindRepeat, From: 6, Instance: 0, Until: 8, Flags: FlagValues}, {Kind: KindHeartbeat, From: 4, Ballot: b, Low: 8, High: 8}}
	for i := range Instance(12) {
		burst = append(burst, accept(8+i, 'X', 8))
	}
	out.Reset()
	a.Step(0, burst, out)
	shown := 0
	for _, m := range out.After {
		if m.Kind == KindStored {
			shown++
			if !bytes.Equal(m.Data, bytes.Repeat([]byte{byte('a' + m.Instance)}, 150)) {
				t.Errorf("instance %d is shown as %q", m.Instance, m.Data[:8])
			}
		}
	}
	if shown != 8 {
		t.Errorf("%d values shown", shown)
	}
	out.Reset()
	missing := a.high
	a.Step(0, []Message{accept(missing, 'X', 8)}, out)
	if a.slot(missing) == nil {
		t.Error("the room that was trimmed is not used in the next step either")
	}
}

// Values that later ballots replace lie dead behind a living one: a full ring is compacted, so that they cannot stop an acceptor for good.
func TestReplacedValuesAreCompacted(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6}}
	a := NewAcceptor(AcceptorConfig{ID: 1, Members: members, Window: 8, ValueBytes: 4096, MTU: 256})
	out := NewOutbox()
	for round := range uint64(200) {
		for try := range 2 {
			out.Reset()
			data := bytes.Repeat([]byte{byte(round)}, 150)
			i := Instance(min(round, 1)) // instance 0 once, then instance 1 again and again
			a.Step(0, []Message{{Kind: KindAccept, From: 4, Ballot: MakeBallot(1+round, 4), Instance: i, Total: 150, Data: data}}, out)
			if len(out.After) == 1 {
				break
			}
			if try == 1 {
				t.Fatalf("round %d: %v", round, out.Now)
			}
		}
	}
	out.Reset()
	a.Step(0, []Message{{Kind: KindRepeat, From: 6, Until: 2, Flags: FlagValues}}, out)
	for _, m := range out.After {
		if want := byte(199 * m.Instance); len(m.Data) != 150 || m.Data[0] != want || m.Data[149] != want {
			t.Errorf("instance %d: %v", m.Instance, m.Data)
		}
	}
	if len(out.After) != 2 || a.Counters.Compactions == 0 {
		t.Errorf("%d values, %d compactions", len(out.After), a.Counters.Compactions)
	}
}

// Nor does a proposer's: an Accept that it says in a step shows the value to the end of the step, though the instance was trimmed meanwhile.
func TestAcceptShowsItsValueForTheWholeStep(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6}}
	p := NewProposer(ProposerConfig{
		ID: 4, Members: members, Window: 64, ValueBytes: 1024, QueueBytes: 4096, InFlight: 64, MTU: 256, Batch: BatchFrame, Heartbeat: 1e6, Retry: 1e7,
		LeaderTimeout: 1e8, Lease: 1e9,
	}, 0)
	p.GrantRounds(5, 9)
	out := NewOutbox()
	step := func(in ...Message) {
		out.Reset()
		p.Step(1e9, in, out)
	}
	value := func(n uint64) []byte {
		b := make([]byte, ValueOverhead+120)
		PutValue(b, 0, &Value{Client: 9, Sequence: n, Oldest: 1, Generation: 1, Node: 50, Data: bytes.Repeat([]byte{byte('a' + n)}, 120)})
		return b
	}
	p.prepare(1e9, reason{cause: CauseFirst}, out)
	reported, b := value(1), MakeBallot(1, 4)
	e := make([]byte, promiseEntrySize)
	putPromised(e, promised{Ballot: b, Digest: digest(reported), Length: uint32(len(reported))})
	step(Message{Kind: KindPromise, From: 1, Ballot: MakeBallot(5, 4), Until: 1, Flags: FlagLast, Data: e})
	in := []Message{
		{Kind: KindStored, From: 1, Ballot: b, Total: uint32(len(reported)), Data: reported}, {Kind: KindTrimmed, From: 1, Low: 1},
	}
	for n := range uint64(8) {
		in = append(in, Message{Kind: KindSubmit, From: 50, Data: value(2 + n)})
	}
	step(in...)
	shown := map[Instance]bool{}
	for _, m := range out.Now {
		if m.Kind != KindAccept {
			continue
		}
		shown[m.Instance] = true
		if !bytes.Equal(m.Data, value(uint64(m.Instance)+1)) {
			t.Errorf("instance %d is shown as %q", m.Instance, m.Data)
		}
	}
	if !shown[0] || len(shown) < 5 || len(shown) > 8 {
		t.Errorf("shown: %v", shown)
	}
	before := p.next
	if step(); p.next == before {
		t.Error("the room that was won back is not used in the next step either")
	}
}

// Pages of two checkpoints never share a step's outbox memory.
func TestCheckpointIsNotRemadeWithinAStep(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6, 7, 8}}
	l := NewLearner(LearnerConfig{ID: 6, Members: members, Window: 64, ValueBytes: 8192, MTU: 512, Lease: 1e9, Retry: 1e6, Repair: 1e6, Sessions: 8}, 0)
	deliver := func(i Instance, c ClientID) []Message {
		batch, _ := parseBatch(fmt.Sprintf("%d:open:%d", c, i))
		ranges, _ := parseRanges(fmt.Sprint(i))
		b := MakeBallot(1, 4)
		return []Message{
			{Kind: KindAccept, From: 4, Ballot: b, Instance: i, Total: uint32(len(batch)), Data: batch},
			{Kind: KindAccepted, From: 1, Ballot: b, Data: ranges},
		}
	}
	out := NewOutbox()
	l.Step(0, deliver(0, 9), out)
	out.Reset()
	l.Step(1e9, append([]Message{{Kind: KindCheckpointAsk, From: 7, Instance: 1}}, deliver(1, 10)...), out)
	out.Reset()
	l.Step(3e9, []Message{
		{Kind: KindCheckpointAsk, From: 7, Instance: 1}, // makes a new one: position 2
		{Kind: KindCheckpointAsk, From: 8, Instance: 2},
	}, out)
	pages := 0
	for _, m := range out.Now {
		if m.Kind == KindCheckpointPage {
			pages++
			if m.Instance != 2 || len(m.Data) != 2*sessionEntrySize {
				t.Errorf("page of position %d with %d bytes", m.Instance, len(m.Data))
			}
		}
	}
	if pages != 2 {
		t.Errorf("%d pages", pages)
	}
	out.Reset()
	l.Step(5e9, append(deliver(2, 11), Message{Kind: KindCheckpointAsk, From: 7, Instance: 1}), out)
	before := l.state.savedState.Position
	l.Step(5.05e9, []Message{{Kind: KindCheckpointAsk, From: 7, Instance: 1}, {Kind: KindCheckpointAsk, From: 8, Instance: 3}}, out)
	if l.state.savedState.Position != before || before != 2 || l.next != 3 {
		t.Error("a checkpoint was made anew while a page of it was shown")
	}
}
