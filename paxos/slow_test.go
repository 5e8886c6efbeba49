package paxos

import "testing"

// cutLearner drives a group whose second learner hears nothing for less than its lease, while more values flow than the window has instances.
func cutLearner(t *testing.T, drop bool) (b *bench, leader *Proposer) {
	b = newBench(t, 9, benchConfig{acceptors: 3, proposers: 1, learners: 2, window: 16, batch: BatchFrame, dropSlow: drop, maxValue: 5000})
	b.drive(20, 60e9, nil)
	slow := b.members.Learners[1]
	b.learners[slow].register.renewal = 0 // so that its lease is fresh
	b.run(2e6, func() bool { return false })
	b.cut[slow] = true
	leader = b.proposers[b.members.Proposers[0]]
	until := b.now + 70e6
	for n := uint64(21); b.now < until; n++ {
		b.submit(n)
		b.run(1e6, func() bool { return false })
	}
	b.cut[slow] = false
	return b, leader
}

// A learner that is cut off from the others for a while: with "drop" they go on without it, well before its lease ends, and it takes state when it
// is back and counts again.
func TestSlowLearnerIsLetGo(t *testing.T) {
	b, p := cutLearner(t, true)
	if p.Counters.LetGo != 1 || p.Counters.HeldBack != 1 || p.next < 50 {
		b.fatalf("%+v, next %d", p.Counters, p.next)
	}
	b.drive(100, 60e9, nil)
	b.settle(100)
	b.run(5e6, func() bool { return p.Counters.TakenBack > 0 })
	slow := b.members.Learners[1]
	if b.learners[slow].Counters.Transfers == 0 || p.Counters.TakenBack == 0 || p.WasLetGo(slow) {
		b.fatalf("%d transfers, %+v", b.learners[slow].Counters.Transfers, p.Counters)
	}
}

// With "hold" they wait, say so, and nothing is forgotten that it needs.
func TestSlowLearnerHolds(t *testing.T) {
	b, p := cutLearner(t, false)
	slow := b.members.Learners[1]
	node, behind := p.Slow()
	if p.Counters.LetGo != 0 || p.Counters.HeldBack == 0 || p.next > b.learners[slow].next+16 || node != slow || behind == 0 {
		b.fatalf("%+v, next %d, held back by %d, %d behind", p.Counters, p.next, node, behind)
	}
	b.drive(100, 60e9, nil)
	b.settle(100)
	if n := b.learners[slow].Counters.Transfers; n != 0 {
		b.fatalf("%d transfers", n)
	}
	if node, _ := p.Slow(); node != 0 {
		b.fatalf("learner %d holds the leader back at the end", node)
	}
}

// A learner that starts again when the log was trimmed takes state, while large values flow, and repairs what it missed meanwhile.
func TestLearnerReturnsAmongLargeValues(t *testing.T) {
	b := newBench(t, 10, benchConfig{acceptors: 3, proposers: 1, learners: 2, window: 64, maxValue: 12_000})
	b.loss = 0.05
	b.drive(150, 60e9, nil)
	id := b.members.Learners[1]
	b.startLearner(id)
	b.drive(250, 60e9, nil)
	b.settle(250)
	l := b.learners[id]
	if l.Counters.Transfers == 0 || l.Fragments().Assembled == 0 {
		t.Errorf("%d transfers, %+v", l.Counters.Transfers, l.Fragments())
	}
}
