package paxos

import (
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
