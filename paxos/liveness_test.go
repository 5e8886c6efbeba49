package paxos

import (
	"strings"
	"testing"
)

// What a learner held at one ballot and forgot, it takes at a later one by which a quorum chose it too: acceptors tell a value at the ballot at
// which they accepted it last, so nobody has it at the first any more. (Seed 1539 of the simulator's chaos waited for that until the next
// leader, and for each instance anew.)
func TestLearnerTakesLaterBallotOfWhatItForgot(t *testing.T) {
	members := Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6}}
	l := NewLearner(LearnerConfig{ID: 6, Members: members, Window: 16, ValueBytes: 1024, MTU: 256, Lease: 2e9, Retry: 10e6, Repair: 2e6}, 0)
	out := NewOutbox()
	step := func(in ...Message) {
		out.Reset()
		l.Step(1, in, out)
	}
	value := func(sequence uint64) []byte {
		v := Value{Client: 9, Sequence: sequence, Oldest: 1, Generation: 1, Node: 50, Data: []byte(strings.Repeat("x", 140))}
		batch := make([]byte, ValueOverhead+len(v.Data))
		PutValue(batch, 0, &v)
		return batch
	}
	accept := func(b Ballot, i Instance) Message {
		data := value(uint64(i) + 1)
		return Message{Kind: KindAccept, From: b.Proposer(), Ballot: b, Instance: i, Total: uint32(len(data)), Data: data}
	}
	votes := func(from NodeID, b Ballot, first Instance, count uint32) Message {
		list := make([]byte, acceptedEntrySize)
		putAcceptedRange(list, acceptedRange{First: first, Count: count})
		return Message{Kind: KindAccepted, From: from, Ballot: b, Data: list}
	}
	b, later := MakeBallot(1, 4), MakeBallot(2, 5)
	step(accept(b, 1), accept(b, 2), accept(b, 3), accept(b, 4), accept(b, 5), votes(1, b, 0, 6), votes(2, b, 0, 6))
	// The next leader has the quorum vote again while the values are held; 0 comes, and finds no room.
	step(votes(1, later, 0, 6), votes(2, later, 0, 6))
	step(accept(later, 0))
	if l.Counters.Forgotten != 1 {
		t.Fatalf("the learner forgot values %d times, want once", l.Counters.Forgotten)
	}
	for i := Instance(1); i < 6; i++ {
		m := accept(later, i)
		m.Kind, m.From = KindStored, 1
		step(m)
		if at, _, _ := l.Delivered(); at != i+1 {
			t.Fatalf("delivered below %d, want below %d: the value came at the ballot at which the acceptors have it", at, i+1)
		}
	}
}

// However later ballots replace values by larger ones, in whatever order, the instance at the low watermark finds room, once and again: it alone
// brings the low watermark on.
func TestAcceptorKeepsRoomForTheFirst(t *testing.T) {
	members := Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6}}
	a := NewAcceptor(AcceptorConfig{ID: 1, Members: members, Window: 256, ValueBytes: 1 << 13, MTU: 256})
	out := NewOutbox()
	low := Instance(0)
	accept := func(round uint64, i Instance, size int) (voted bool) {
		b, data := MakeBallot(round, 4), make([]byte, size)
		data[0] = byte(round) // another value by each ballot
		for range 2 {         // a ring without room is looked through when the next step begins
			out.Reset()
			a.Step(1, []Message{{Kind: KindAccept, From: 4, Ballot: b, Instance: i, Low: low, Total: uint32(size), Data: data}}, out)
		}
		s := a.slot(i)
		return s != nil && s.ballot == b && int(s.length) == size
	}
	high := Instance(0)
	for accept(1, high, 16) {
		high++
	}
	if high < 40 {
		t.Fatalf("%d small values fill the ring", high)
	}
	largest := room(KindAccept, 256)
	for round := uint64(2); low < high; low++ {
		for i := high - 1; i > low; i-- {
			accept(round, i, largest)
		}
		for range 8 {
			if round++; !accept(round, low, largest) {
				t.Fatalf("round %d: no room for instance %d, the first that is not trimmed; %d bytes are used", round, low, a.values.used())
			}
		}
	}
}

// A leader has rounds in stock, so that it can begin phase 1 anew without waiting for a disk; and where it has to wait all the same, the try does not
// count: it begins when a learner tells of the gap again.
func TestLeaderHasRoundsReady(t *testing.T) {
	p := stockedLeader(0)
	p.GrantRounds(1, 2)
	out, now := NewOutbox(), Time(5e7)
	step := func(in ...Message) {
		now += 1e6
		out.Reset()
		p.Step(now, in, out)
	}
	begun := func() bool { return len(out.Now) > 0 && out.Now[0].Kind == KindPrepare }
	if p.prepare(now, reason{}, out); !begun() {
		t.Fatal("it has a round and does not begin")
	}
	b := MakeBallot(1, 4)
	step(Message{Kind: KindPromise, From: 1, Ballot: b, Flags: FlagLast})
	if least, want := p.WantRounds(); !want || least != 2 {
		t.Errorf("it leads by its last round and wants (%v) rounds from %d on", want, least)
	}
	submit := make([]byte, ValueOverhead+1)
	PutValue(submit, 0, &Value{Client: 9, Sequence: 1, Oldest: 1, Generation: 1, Node: 50, Data: []byte("a")})
	step(Message{Kind: KindSubmit, From: 50, Data: submit})
	list := make([]byte, acceptedEntrySize)
	putAcceptedRange(list, acceptedRange{First: 0, Count: 1})
	step(Message{Kind: KindAccepted, From: 1, Ballot: b, Data: list})
	gap := Message{Kind: KindHi, From: 6, FromIncarnation: 1, Flags: FlagUpdate | FlagGap, Total: 1000}
	if step(gap); p.phase != leading {
		t.Fatal("it began phase 1 without a round")
	}
	p.GrantRounds(2, 6)
	if step(gap); p.phase != preparing {
		t.Error("it has rounds, hears of the gap again, and does not begin")
	}
}

// A leader that begins phase 1 anew takes a copy of what it had in flight, for what no promise reports is gone. (Seed 1629 of the simulator's
// partitions waited for that for ever.)
func TestLargeValueIsTakenAfterPhaseOneAnew(t *testing.T) {
	p := stockedLeader(1000)
	out, now := NewOutbox(), Time(5e7)
	step := func(in ...Message) (accepts int) {
		now += 1e6
		out.Reset()
		p.Step(now, in, out)
		for i := range out.Now {
			if out.Now[i].Kind == KindAccept {
				accepts++
			}
		}
		return accepts
	}
	batch := make([]byte, ValueOverhead+900)
	v := Value{Client: 9, Sequence: 1, Oldest: 1, Generation: 1, Node: 50, Data: make([]byte, 900)}
	PutValue(batch, 0, &v)
	parts := NewOutbox()
	parts.SendParts(4, 512, &v, batch, 0)
	for i := range parts.Now {
		parts.Now[i].From = 50
	}
	p.GrantRounds(1, 9)
	p.prepare(now, reason{}, out)
	step(Message{Kind: KindPromise, From: 1, Ballot: p.ballot, Flags: FlagLast})
	if n := step(parts.Now...); n == 0 {
		t.Fatal("the value was not proposed")
	}
	if n := step(parts.Now...); n != 0 {
		t.Fatalf("%d fragments of a copy of what is in flight", n)
	}
	p.prepare(now, reason{cause: CauseGap}, out)
	step(Message{Kind: KindPromise, From: 1, Ballot: p.ballot, Flags: FlagLast})
	if n := step(parts.Now...); n == 0 {
		t.Error("nobody has the value, and the leader takes no copy")
	}
}

// stockedLeader is proposer 4 of a group with one acceptor.
func stockedLeader(maxValue int) *Proposer {
	return NewProposer(ProposerConfig{
		ID: 4, Members: Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6}}, Window: 64, ValueBytes: 8192,
		QueueBytes: 8192, InFlight: 8, MTU: 512, MaxValue: maxValue, Heartbeat: 1e6, Retry: 1e7, LeaderTimeout: 5e7, Lease: 1e9, Seed: 1,
	}, 0)
}

// What acceptors refused for want of room was not lost: once there is room, it waits no longer than anything else.
func TestPaceDoesNotPunishRoom(t *testing.T) {
	p := newPace(512)
	for now := Time(0); p.doubled < mostDoubled; now += 1e9 {
		p.lost(now, 10e6)
	}
	p.trip = 100e6 // it does not double what is long by itself
	if got := p.wait(10e6); got != 640e6 {
		t.Errorf("the wait is %d ns, want 64 retry times", got)
	}
	p.trip = 0
	if p.room(); p.wait(10e6) != 10e6 {
		t.Errorf("there is room again and the wait is %d ns", p.wait(10e6))
	}

	l := stockedLeader(0)
	l.full, l.pace.doubled = l.low+1, 3
	if l.setLow(l.low + 1); l.pace.doubled != 0 {
		t.Error("the low watermark moved past what acceptors had no room for, and the leader waits as long as before")
	}
	l.pace.doubled = 3
	if l.setLow(l.low + 1); l.pace.doubled != 3 {
		t.Error("nobody lacked room, and the leader waits no longer")
	}
}
