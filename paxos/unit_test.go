package paxos

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
)

func TestQuorumsMeet(t *testing.T) {
	for n := 1; n <= MaxAcceptors; n++ {
		if q := Quorum(n); 2*q <= n || 2*(q-1) > n {
			t.Errorf("%d of %d", q, n)
		}
	}
}

func TestMembersCheck(t *testing.T) {
	good := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{1}, Learners: []NodeID{1, 63}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Members{
		{Proposers: []NodeID{1}},
		{Acceptors: []NodeID{1, 2, 3, 4, 5, 6, 7, 8}, Proposers: []NodeID{1}},
		{Acceptors: []NodeID{1}},
		{Acceptors: []NodeID{1, 1}, Proposers: []NodeID{1}},
		{Acceptors: []NodeID{0}, Proposers: []NodeID{1}},
		{Acceptors: []NodeID{1}, Proposers: []NodeID{64}},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}

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
		PutValue(b, 0, &Value{Client: 9, Sequence: n, Oldest: 1, Node: 50, Data: bytes.Repeat([]byte{byte('a' + n)}, 120)})
		return b
	}
	step()
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
	l := NewLearner(LearnerConfig{ID: 6, Members: members, Window: 64, ValueBytes: 8192, MTU: 512, Lease: 1e9, Retry: 1e6, Repair: 1e6}, 0)
	deliver := func(i Instance, c ClientID) []Message {
		batch, _ := parseBatch(fmt.Sprintf("%d:1:x", c))
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

func TestQueue(t *testing.T) {
	q := newQueue(200)
	batch, _ := parseBatch("9:1:abc,9:2:def")
	for i := range 4 {
		if q.put(batch) != (i < 3) {
			t.Fatal("three batches of 54 bytes fit 200 bytes, four do not")
		}
	}
	if got := formatBatch(q.take(60, true)); got != "9:1:abc,9:2:def" {
		t.Error(got)
	}
	if got := formatBatch(q.take(10, true)); got != "9:1:abc" {
		t.Error("one value at least: ", got)
	}
	if got := formatBatch(q.take(200, false)); got != "9:1:abc" {
		t.Error("one value at most: ", got)
	}
	q.taken(54)
	if q.put(batch) {
		t.Error("more than half waits, and was moved for a batch")
	}
	q.taken(54)
	if !q.put(batch) || q.tail != 0 {
		t.Error("less than half waits, and there was no room")
	}
	q.taken(54)
	q.taken(54)
	if !q.empty() || q.head != 0 {
		t.Error("not empty")
	}
}

func TestLeases(t *testing.T) {
	out := NewOutbox()
	l := newLeases()
	hi := func(from NodeID, inc Incarnation, delivered Instance, ms uint32) *Message {
		return &Message{Kind: KindHi, From: from, FromIncarnation: inc, Instance: delivered, Total: ms}
	}
	if _, ok := l.low(); ok {
		t.Error("a low watermark of nobody")
	}
	l.grant(7, 50e6)
	l.renew(0, hi(6, 1, 10, 100), out)
	if low, ok := l.low(); !ok || low != 0 {
		t.Errorf("low %d", low)
	}
	l.renew(0, hi(7, 1, 20, 100), out)
	l.renew(0, hi(6, 1, 5, 100), out) // overtaken by the first
	if low, _ := l.low(); low != 10 {
		t.Errorf("low %d", low)
	}
	l.renew(0, hi(6, 2, 3, 100), out)
	if low, _ := l.low(); low != 3 {
		t.Errorf("low %d after a restart at 3", low)
	}
	l.renew(0, hi(6, 1, 50, 100), out)
	if low, _ := l.low(); low != 3 {
		t.Errorf("low %d: the incarnation before was believed", low)
	}
	l.remove(6, 1)
	if l.n != 2 {
		t.Error("a Delete of the incarnation before was obeyed")
	}
	l.remove(6, 2)
	l.expire(99e6, out)
	if l.n != 1 {
		t.Errorf("%d leases", l.n)
	}
	l.expire(100e6, out)
	if l.n != 0 || l.next != never {
		t.Errorf("%d leases, next end %d", l.n, l.next)
	}
	l.renew(0, hi(6, 3, 1, ^uint32(0)), out)
	if l.of[6].until != maxLeaseMs*1e6 {
		t.Errorf("a lease until %d", l.of[6].until)
	}
}

// Two tables that are told the same, one of them by way of a checkpoint, decide alike; and as a model does that forgets nothing.
func TestSessionsDecideAlike(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	a, b := newSessions(), newSessions()
	saved := make([]byte, MaxSessions*sessionEntrySize)
	delivered := map[[2]uint64]bool{}
	oldest := map[ClientID]uint64{}
	for i := range Instance(50000) {
		if i%10000 == 5000 {
			n := a.save(saved)
			b.reset()
			if !b.load(saved[:n]) {
				t.Fatal("the checkpoint cannot be loaded")
			}
		}
		c := ClientID(rng.Intn(50)) * 0x8000000001
		base := max(1, oldest[c])
		v := Value{Client: c, Oldest: base, Sequence: base + uint64(rng.Intn(SessionSpan))}
		for delivered[[2]uint64{uint64(c), oldest[c] + 1}] {
			oldest[c]++
		}
		fresh, status := a.apply(&v, i)
		if fresh2, status2 := b.apply(&v, i); fresh2 != fresh || status2 != status {
			t.Fatalf("%+v: %v %v, the other %v %v", v, fresh, status, fresh2, status2)
		}
		key := [2]uint64{uint64(c), v.Sequence}
		if fresh == delivered[key] || status != StatusDelivered {
			t.Fatalf("%+v: fresh %v, delivered before %v, %v", v, fresh, delivered[key], status)
		}
		delivered[key] = true
	}
}

// A full table lets the session give way that was idle longest, once it was for SessionIdle instances, on every learner the same one.
func TestSessionsGiveWay(t *testing.T) {
	a, b := newSessions(), newSessions()
	for c := range ClientID(MaxSessions) {
		a.apply(&Value{Client: c + 1, Sequence: 1, Oldest: 1}, Instance(c))
	}
	saved := make([]byte, MaxSessions*sessionEntrySize)
	if n := a.save(saved); !b.load(saved[:n]) {
		t.Fatal("not loaded")
	}
	both := func(c ClientID, oldest uint64, i Instance) (fresh bool, status Status) {
		v := Value{Client: c, Sequence: oldest, Oldest: oldest}
		fresh, status = a.apply(&v, i)
		if fresh2, status2 := b.apply(&v, i); fresh2 != fresh || status2 != status {
			t.Fatalf("client %d: %v %v, the other %v %v", c, fresh, status, fresh2, status2)
		}
		return fresh, status
	}
	newcomer := ClientID(1 << 40)
	if _, status := both(newcomer, 1, SessionIdle-1); status != StatusNoRoom {
		t.Errorf("%v", status)
	}
	both(1, 2, SessionIdle-1) // client 1 is not idle; client 2 is the next
	if fresh, _ := both(newcomer, 1, SessionIdle); fresh {
		t.Error("a session gave way an instance too early")
	}
	if fresh, _ := both(newcomer, 1, SessionIdle+1); !fresh {
		t.Error("no session gave way")
	}
	if _, status := both(2, 3, SessionIdle+2); status != StatusUnknown {
		t.Errorf("client 2: %v", status)
	}
	for c := range ClientID(MaxSessions) {
		if c+1 != 2 && !a.used[a.find(c+1)] {
			t.Fatalf("client %d cannot be found any more", c+1)
		}
	}
}

// An outbox that is full drops and counts; it never grows.
func TestOutboxIsBounded(t *testing.T) {
	out := NewOutbox()
	for range OutboxSize + 10 {
		out.Send(KindHi, 1)
		out.sendAfter(KindHi, 1)
		out.event(Event{Kind: EventStopped})
	}
	if len(out.Now) != OutboxSize || len(out.After) != OutboxSize || out.Dropped != 20 || len(out.Events) != eventsSize || out.EventsDropped == 0 {
		t.Errorf("%d now, %d after, %d dropped, %d events", len(out.Now), len(out.After), out.Dropped, len(out.Events))
	}
	if out.Bytes(ArenaSize) == nil || out.Bytes(1) != nil {
		t.Error("the arena")
	}
	if out.Reset(); out.Bytes(1) == nil {
		t.Error("the arena is not empty after a reset")
	}
}
