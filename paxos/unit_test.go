package paxos

import "testing"

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
