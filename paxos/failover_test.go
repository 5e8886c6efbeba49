package paxos

import (
	"strings"
	"testing"
)

// Failover on the bench's network, in virtual time. The leader timeout is 50 ms there, a message takes up to 1 ms.

const benchTimeout Time = 50e6

// newFailover is a group of three of each with a leader that has chosen something.
func newFailover(t *testing.T, seed int64) (b *bench, leader *Proposer, follower NodeID) {
	t.Helper()
	b = newBench(t, seed, benchConfig{acceptors: 3, proposers: 3, learners: 2, window: 256})
	b.drive(40, 60e9, nil)
	leader = b.leader()
	for _, id := range b.members.Proposers {
		if id != leader.cfg.ID {
			return b, leader, id
		}
	}
	return nil, nil, 0
}

func (b *bench) pass(d Time) { b.run(d, func() bool { return false }) }

// prepares are the phases 1 that others than the leader began.
func (b *bench) prepares(except NodeID) (n uint64) {
	for id, p := range b.proposers {
		if id != except {
			n += p.Counters.Prepares
		}
	}
	return n
}

// A leader that is gone is replaced after one patience, by few phases 1; cut off as it is, it stops claiming to lead by itself.
func TestFailover(t *testing.T) {
	for seed := range int64(20) {
		b, old, _ := newFailover(t, seed)
		id, before := old.cfg.ID, b.prepares(old.cfg.ID)
		b.cut[id] = true
		gone := b.now
		if !b.run(benchTimeout*3/2+10e6, func() bool { return b.leader() != nil && b.leader() != old }) {
			b.fatalf("nobody took over within %d ms", (b.now-gone)/1e6)
		}
		if _, leads := old.Leading(); leads && b.now-gone > benchTimeout+5e6 {
			b.fatalf("a leader that nobody hears claims to lead after %d ms", (b.now-gone)/1e6)
		}
		b.pass(200e6)
		if b.leader() == nil || b.leader() == old {
			b.fatalf("it did not last")
		}
		if n := b.prepares(id) - before; n > 3 {
			b.fatalf("it took %d phases 1", n)
		}
		if c := old.Leadership().Cause; c != CauseCutOff {
			b.fatalf("the old leader stopped because of %v", c)
		}
		if c := b.leader().Leadership().Cause; c != CauseSilence {
			b.fatalf("the new one leads because of %v", c)
		}
		led := b.leader().ballot
		b.cut[id] = false
		b.pass(300e6)
		if b.leader().ballot != led || old.Leader() != led.Proposer() {
			b.fatalf("the one that came back disturbs: ballot %v, was %v", b.leader().ballot, led)
		}
		b.drive(80, 60e9, nil)
		b.settle(80)
	}
}

// A follower that does not hear the leader, alone, learns from the acceptors who leads, and leaves it alone.
func TestDeafFollowerDoesNotDisturb(t *testing.T) {
	b, leader, deaf := newFailover(t, 1)
	led, before := leader.ballot, b.prepares(0)
	p := b.proposers[deaf]
	b.drops = func(from NodeID, m *Message) bool { return from == leader.cfg.ID && m.To == deaf }
	p.leader, p.highest = 0, 0 // and it does not know who that is
	p.history.start(b.now)
	b.pass(2e9)
	if b.leader() != leader || leader.ballot != led || b.prepares(0) != before {
		b.fatalf("the leader was disturbed: %v leads", b.leader())
	}
	if p.Counters.Undisturbed < 10 || p.Leader() != leader.cfg.ID || p.Leadership().Cause != CauseTold {
		b.fatalf("%+v, leader %d by %v", p.Counters, p.Leader(), p.Leadership().Cause)
	}
}

// A follower cut off from a quorum uses up no rounds, however long it takes.
func TestCutOffFollowerRaisesNoRounds(t *testing.T) {
	b, leader, lonely := newFailover(t, 2)
	led, before := leader.ballot, b.proposers[lonely].Counters.Prepares
	b.drops = func(from NodeID, m *Message) bool {
		return (from == lonely || m.To == lonely) && from != 1 && m.To != 1
	}
	b.pass(2e9)
	if b.leader() != leader || leader.ballot != led || b.proposers[lonely].Counters.Prepares != before {
		b.fatalf("it began phase 1")
	}
	if trouble := b.proposers[lonely].Trouble(b.now); trouble != "" {
		b.fatalf("it follows, and is in trouble: %s", trouble)
	}
	b.cut[leader.cfg.ID] = true // now the third one leads; the lonely one says why nobody does, as far as it knows
	b.pass(2e9)
	if b.leader().cfg.ID == lonely || b.proposers[lonely].Counters.Prepares != before {
		b.fatalf("node %d leads", b.leader().cfg.ID)
	}
}

// A leader whose loop hung stops when it comes back: what waited for it are answers to heartbeats of before.
func TestLeaderThatHung(t *testing.T) {
	for seed := range int64(10) {
		b, old, _ := newFailover(t, seed)
		id := old.cfg.ID
		b.paused[id] = b.now + 200e6
		b.pass(199e6)
		if _, leads := old.Leading(); !leads || b.leader() == nil || b.leader() == old {
			b.fatalf("nobody took over from a leader that hangs")
		}
		b.pass(3e6)
		if _, leads := old.Leading(); leads {
			b.fatalf("it came back and claims to lead")
		}
		b.pass(100e6)
		if old.Leader() != b.leader().cfg.ID {
			b.fatalf("it follows %d", old.Leader())
		}
	}
}

// The same without another proposer: it stops for what it knows, and leads again once it has asked.
func TestOnlyLeaderThatHung(t *testing.T) {
	b := newBench(t, 1, benchConfig{acceptors: 3, proposers: 1, learners: 1, window: 256})
	b.drive(40, 60e9, nil)
	p := b.leader()
	b.paused[4] = b.now + 200e6
	b.pass(202e6)
	if _, leads := p.Leading(); leads || p.Leadership().Cause != CauseAway {
		b.fatalf("it leads: %v; because of %v", leads, p.Leadership().Cause)
	}
	if !b.run(20e6, func() bool { return b.leader() == p }) {
		b.fatalf("it does not lead again: %s", p.Trouble(b.now))
	}
}

// A follower whose loop hung finds, when it comes back, what the leader said meanwhile, or asks; it blames nobody.
func TestFollowerThatHung(t *testing.T) {
	for seed := range int64(10) {
		b, leader, sleepy := newFailover(t, seed)
		led, before := leader.ballot, b.prepares(0)
		b.drops = func(_ NodeID, m *Message) bool { return m.To == sleepy && b.paused[sleepy] > b.now } // nothing waited for it
		b.paused[sleepy] = b.now + 300e6
		b.pass(400e6)
		if b.leader().ballot != led || b.prepares(0) != before {
			b.fatalf("a follower that hung disturbed")
		}
		if asked := b.proposers[sleepy].Counters.Asked; asked > 1 {
			b.fatalf("it asked %d times", asked)
		}
	}
}

// Leaders that do not last are told of, and no longer once one does.
func TestRestlessLeaders(t *testing.T) {
	b, _, _ := newFailover(t, 1)
	for range leadershipChanges {
		for _, id := range b.members.Proposers {
			if b.leader() == nil || b.leader().cfg.ID != id {
				b.force(id)
				break
			}
		}
		b.run(200e6, func() bool { return b.leader() != nil })
		b.pass(5e6)
	}
	p := b.leader()
	if trouble := p.Trouble(b.now); !strings.Contains(trouble, "saw leadership change 16 times within") {
		b.fatalf("%d changes: %q", p.history.n, trouble)
	}
	b.pass(restlessTimeouts * benchTimeout)
	if trouble := p.Trouble(b.now); trouble != "" {
		b.fatalf("%q", trouble)
	}
}

// A planned handover: the other one leads, and no value waits for a timeout.
func TestHandover(t *testing.T) {
	for seed := range int64(10) {
		b, old, to := newFailover(t, seed)
		if err := old.Handover(b.now, to); err != nil {
			b.fatalf("%v", err)
		}
		if !b.run(20e6, func() bool { return b.leader() != nil && b.leader().cfg.ID == to && old.Leader() == to }) {
			b.fatalf("node %d did not take over", to)
		}
		if old.HandoverTo() != 0 || old.Counters.HandedOver != 1 || b.leader().Leadership().Cause != CauseAsked {
			b.fatalf("%+v, %v", old.Counters, b.leader().Leadership())
		}
		changes := old.LeadershipChanges()
		if last := changes[len(changes)-2]; last.Cause != CauseHandedOver || last.Node != to {
			b.fatalf("the old leader remembers %v", changes)
		}
		b.drive(80, 60e9, nil)
		b.settle(80)
	}
}

// A handover to one that does not answer is given up, and the leader leads on.
func TestHandoverInVain(t *testing.T) {
	b, leader, to := newFailover(t, 1)
	led := leader.ballot
	b.cut[to] = true
	if err := leader.Handover(b.now, to); err != nil {
		b.fatalf("%v", err)
	}
	b.pass(benchTimeout * (handoverTimeouts + 1))
	if b.leader() != leader || leader.ballot != led || leader.HandoverTo() != 0 || leader.Counters.HandoversFailed != 1 {
		b.fatalf("%v leads by %v, %+v", b.leader(), leader.ballot, leader.Counters)
	}
}

// Acceptors answer heartbeats, but no Accept of this leader arrives: after a while another one may try.
func TestStuckLeaderGivesUp(t *testing.T) {
	b, old, _ := newFailover(t, 3)
	b.drops = func(from NodeID, m *Message) bool { return from == old.cfg.ID && m.Kind == KindAccept }
	b.submit(41)
	b.pass(benchTimeout * (stuckTimeouts + 8)) // retries put the verdict off, and an election takes up to two timeouts
	if b.leader() == nil || b.leader() == old || old.history.causes[CauseStuck] != 1 {
		b.fatalf("the leader whose accepts are lost leads on: %v", old.Leadership())
	}
	b.drive(80, 60e9, nil)
}

// A learner that holds everything back is no reason to elect anybody: the next leader would be no better off.
func TestBackPressureElectsNobody(t *testing.T) {
	for seed := range int64(3) {
		b := newBench(t, seed, benchConfig{acceptors: 3, proposers: 3, learners: 2, window: 8 << seed, valueBytes: 1 << 13})
		b.check.longest = 1300
		b.drive(20, 60e9, nil)
		led, before := b.leader().ballot, b.prepares(0)
		slow := b.members.Learners[1]
		b.drops = func(_ NodeID, m *Message) bool { return m.To == slow && m.Kind == KindAccepted } // it renews its lease and delivers nothing
		for n := uint64(21); n < 80; n++ {
			b.submit(n)
			b.pass(20e6)
		}
		if b.leader() == nil || b.leader().ballot != led || b.prepares(0) != before {
			b.fatalf("%d phases 1 because a learner holds all back", b.prepares(0)-before)
		}
		b.drops = nil
		b.drive(80, 60e9, nil)
		b.settle(80)
	}
}

// Acceptors that refuse for want of room are no reason to stop leading, however long that lasts; acceptors that say nothing are.
func TestNoRoomIsNotStuck(t *testing.T) {
	for _, refusal := range []Reason{ReasonStoreFull, ReasonOutOfWindow, ReasonNone} {
		members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6}}
		p := NewProposer(ProposerConfig{
			ID: 4, Members: members, Window: 64, ValueBytes: 1 << 14, QueueBytes: 1 << 13, InFlight: 8, MTU: 512, Heartbeat: 1e6, Retry: 1e7,
			LeaderTimeout: benchTimeout, Lease: 1e12,
		}, 0)
		p.GrantRounds(1, 9)
		out := NewOutbox()
		p.prepare(0, reason{cause: CauseFirst}, out)
		in := []Message{{Kind: KindPromise, From: 1, Ballot: p.ballot, Flags: FlagLast}, {Kind: KindSubmit, From: 50, Data: benchValue}}
		for now := Time(1e6); now < 80*benchTimeout; now += 1e6 {
			out.Reset()
			p.Step(now, in, out)
			in = in[:0]
			for _, m := range out.Now {
				switch {
				case m.Kind == KindHeartbeat && m.To == 1:
					in = append(in, Message{Kind: KindHeard, From: 1, Ballot: m.Ballot, Sequence: m.Sequence})
				case m.Kind == KindAccept && m.To == 1 && refusal != ReasonNone:
					in = append(in, Message{Kind: KindRefused, From: 1, Ballot: m.Ballot, Instance: m.Instance, Reason: refusal})
				}
			}
		}
		if _, leads := p.Leading(); leads != (refusal != ReasonNone) || p.Counters.Prepares != 1 {
			t.Errorf("%v: leads %v, %v", refusal, leads, p.Leadership().Why())
		}
	}
}

var benchValue = func() []byte {
	b := make([]byte, ValueOverhead+1)
	PutValue(b, 0, &Value{Client: 9, Sequence: 1, Oldest: 1, Generation: 1, Node: 50, Data: []byte("x")})
	return b
}()

// Asking, election, handover and resigning allocate nothing.
func TestFailoverAllocatesNothing(t *testing.T) {
	s := newSteady(t, 20, 40, BatchFrame)
	p, out := s.proposer, NewOutbox()
	p.peer[9], p.cfg.Members.Proposers = 1, []NodeID{4, 9}
	in := make([]Message, 2)
	step := func(d Time, kind Kind, m Message) {
		out.Reset()
		s.now += d
		for k := range in {
			in[k] = m
			in[k].Kind, in[k].From, in[k].Ballot = kind, NodeID(k+1), p.ballot
		}
		p.Step(s.now, in, out)
	}
	if n := testing.AllocsPerRun(20, func() {
		for range 3 {
			step(2e9, KindHeard, Message{Sequence: uint64(s.now)}) // away: it resigns, then waits, then asks
		}
		p.rounds.next = 1
		p.known = 0
		for !p.asking.on {
			step(1e6, KindHeard, Message{})
		}
		step(0, KindProbed, Message{Sequence: uint64(s.now), Hash: uint64(never)})
		step(0, KindPromise, Message{Instance: p.from, Until: p.from, Low: p.from, Flags: FlagLast})
		if p.phase != leading {
			t.Fatalf("phase %d", p.phase)
		}
		_ = p.Handover(s.now, 9)
		step(1e6, KindHeard, Message{Sequence: uint64(s.now)})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if p.Counters.Resigned < 20 || p.Counters.Asked < 20 {
		t.Errorf("%+v", p.Counters)
	}
}
