package paxos

import (
	"fmt"
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

// However large its window is, a learner lets the leader trim in short steps, so that the next leader has little to propose again.
func TestLearnerReportsOften(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6}}
	l := NewLearner(LearnerConfig{ID: 6, Members: members, Window: 1 << 16, ValueBytes: 1 << 20, MTU: 512, Lease: 1e9, Retry: 1e6, Repair: 1e6}, 0)
	out, b := NewOutbox(), MakeBallot(1, 4)
	openSession(l, 9)
	batch, _ := parseBatch("9:1:x")
	l.Step(0, nil, out)
	var told Instance
	for i := range Instance(3 * reportEvery) {
		ranges, _ := parseRanges(fmt.Sprint(i))
		out.Reset()
		l.Step(1, []Message{
			{Kind: KindAccept, From: 4, Ballot: b, Instance: i, Total: uint32(len(batch)), Data: batch},
			{Kind: KindAccepted, From: 1, Ballot: b, Data: ranges},
		}, out)
		for _, m := range out.Now {
			if m.Kind == KindHi && m.To == 4 && m.Flags&FlagUpdate != 0 {
				told = m.Instance
			}
		}
		if l.next != i+1 || l.next-told > reportEvery+1 {
			t.Fatalf("delivered below %d, and the leader knows of %d", l.next, told)
		}
	}
}

// A follower whose rounds are all below the leader's ballot asks for others at once, not when it has to take over.
func TestFollowerHasRoundsReady(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6}}
	p := NewProposer(ProposerConfig{
		ID: 4, Members: members, Window: 64, ValueBytes: 8192, QueueBytes: 8192, InFlight: 8, MTU: 512, Heartbeat: 1e6, Retry: 1e7, LeaderTimeout: 5e7,
		Lease: 1e9, Seed: 1,
	}, 0)
	p.GrantRounds(1, 5)
	out := NewOutbox()
	beat := func(now Time, round uint64) {
		out.Reset()
		p.Step(now, []Message{{Kind: KindHeartbeat, From: 5, FromIncarnation: 1, Ballot: MakeBallot(round, 5)}}, out)
	}
	beat(1e6, 3)
	if least, want := p.WantRounds(); want {
		t.Errorf("it asks for rounds from %d on and has 4", least)
	}
	beat(2e6, 9)
	if least, want := p.WantRounds(); !want || least != 10 {
		t.Errorf("it wants (%v) rounds from %d on, the leader's is 9", want, least)
	}
	p.GrantRounds(10, 14)
	beat(3e6, 9)
	if _, want := p.WantRounds(); want {
		t.Error("it asks for more than it was given")
	}
}
