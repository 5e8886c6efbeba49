package paxos

import (
	"flag"
	"slices"
	"testing"
)

var seeds = flag.Int64("seeds", 0, "how many seeds of trouble to try; 0: as many as take a few seconds")

func TestClusterAgrees(t *testing.T) {
	for seed := range int64(12) {
		b := newBench(t, seed, benchConfig{
			acceptors: 3 + 2*int(seed%2), proposers: 1 + int(seed%3), learners: 2, window: 256, batch: BatchMode(seed % 3),
		})
		b.loss, b.dup = 0.1, 0.1
		b.drive(200, 60e9, nil)
		b.settle(200)
	}
}

// Trouble: loss, duplication, reordering, small windows and rings, acceptors that lose their promises (a minority), proposers and learners that
// are killed, partitions, loops that do not run for a while, handovers, followers that begin phase 1 for no reason.
func TestTrouble(t *testing.T) {
	n := *seeds
	if n == 0 {
		n = 200
	}
	for seed := range n {
		trouble(t, 1000+seed)
		if t.Failed() {
			return
		}
	}
}

func trouble(t *testing.T, seed int64) {
	b := newBench(t, seed, benchConfig{
		acceptors: 3 + 2*int(seed/3%2), proposers: 1 + int(seed/6%3), learners: 2 + int(seed%2), batch: BatchMode(seed % 3),
		window: 8 << (seed % 5), valueBytes: 1 << (13 + seed%4), inFlight: 4 << (seed % 4),
	})
	b.loss, b.dup = float64(seed%4)*0.05, float64(seed%3)*0.05
	b.check.longest = 64 + int(seed%2)*1000
	amnesiacs := 0
	b.drive(120, 60e9, func() {
		b.cut = [MaxNodes]bool{}
		b.drops = nil
		switch b.rng.Intn(11) {
		case 0:
			if amnesiacs < (len(b.members.Acceptors)-1)/2 {
				amnesiacs++
				b.startAcceptor(b.members.Acceptors[amnesiacs-1], true)
			}
		case 1:
			b.startProposer(b.any(b.members.Proposers))
		case 2:
			b.restartLearner()
		case 3:
			b.force(b.any(b.members.Proposers))
		case 4:
			b.cut[b.any(b.members.Acceptors)] = true
		case 5:
			b.cut[b.any(b.members.Proposers)] = true
		case 6:
			b.cut[b.any(b.members.Learners)] = true
		case 7:
			b.paused[b.any(b.members.Proposers)] = b.now + 20e6 + Time(b.rng.Intn(150e6))
		case 8:
			b.paused[b.any(b.members.Acceptors)] = b.now + 20e6 + Time(b.rng.Intn(80e6))
		case 9:
			if p := b.leader(); p != nil {
				_ = p.Handover(b.now, b.any(b.members.Proposers)) // to itself it is refused
			}
		case 10:
			one, other := b.any(b.members.Proposers), b.any(slices.Concat(b.members.Proposers, b.members.Acceptors))
			b.drops = func(from NodeID, m *Message) bool {
				return from == one && m.To == other || from == other && m.To == one
			}
		}
	})
	b.settle(120)
}

func (b *bench) any(ids []NodeID) NodeID { return ids[b.rng.Intn(len(ids))] }

// force makes a proposer begin phase 1 whatever it and the others know.
func (b *bench) force(id NodeID) {
	if b.paused[id] > b.now || b.proposers[id].rounds.limit == 0 {
		return
	}
	out := b.outs[id]
	out.Reset()
	b.proposers[id].prepare(b.now, reason{cause: CauseFirst}, out)
	for i := range out.Now {
		b.check.sent(id, &out.Now[i])
		b.send(id, &out.Now[i])
	}
}

// leader is the proposer that believes that it leads, by the highest ballot of several; nil without one.
func (b *bench) leader() (leader *Proposer) {
	for _, id := range b.members.Proposers {
		p := b.proposers[id]
		if _, leads := p.Leading(); leads && (leader == nil || p.ballot > leader.ballot) {
			leader = p
		}
	}
	return leader
}

// restartLearner kills one learner, if another one stands where it does not need state itself.
func (b *bench) restartLearner() {
	id := b.any(b.members.Learners)
	for other, l := range b.learners {
		if other != id && !l.Behind() && l.next >= b.learners[id].next {
			b.startLearner(id)
			return
		}
	}
}

func TestLeadersCome(t *testing.T) {
	b := newBench(t, 3, benchConfig{acceptors: 3, proposers: 3, learners: 2, window: 256})
	b.loss, b.dup = 0.05, 0.05
	b.drive(100, 60e9, nil)
	for round := range 6 {
		for _, id := range b.members.Proposers {
			if _, leads := b.proposers[id].Leading(); leads {
				b.startProposer(id) // killed and started again
			}
		}
		b.drive(uint64(150+50*round), 60e9, nil)
	}
	b.settle(400)
}

// Two proposers that start at once settle on one leader within a few retry times.
func TestDuelEnds(t *testing.T) {
	for seed := range int64(40) {
		b := newBench(t, seed, benchConfig{acceptors: 3, proposers: 2, learners: 1, window: 64})
		leaders := func() (n int) {
			for _, p := range b.proposers {
				if _, leads := p.Leading(); leads {
					n++
				}
			}
			return n
		}
		if !b.run(200e6, func() bool { return leaders() == 1 && b.now > 50e6 }) {
			b.fatalf("no single leader")
		}
		prepares := b.proposers[4].Counters.Prepares + b.proposers[5].Counters.Prepares
		if prepares > 6 {
			b.fatalf("%d phases 1", prepares)
		}
	}
}

func TestLearnerReturns(t *testing.T) {
	b := newBench(t, 4, benchConfig{acceptors: 3, proposers: 1, learners: 3, window: 64})
	b.loss = 0.05
	b.drive(600, 120e9, nil)
	b.startLearner(b.members.Learners[1])
	b.drive(700, 120e9, nil)
	b.settle(700)
	if b.learners[b.members.Learners[1]].Counters.Transfers == 0 {
		t.Error("the learner that came back took no state, though the log was trimmed")
	}
}

// A ring of values far smaller than the window: what is missed first still finds room, so nothing stands still for good.
func TestSmallRings(t *testing.T) {
	for seed := range int64(6) {
		b := newBench(t, seed, benchConfig{acceptors: 3, proposers: 1, learners: 2, window: 1024, valueBytes: 1 << 13, inFlight: 512, batch: BatchFrame})
		b.check.longest = 1300
		b.loss = 0.3
		b.drive(150, 60e9, nil)
		b.settle(150)
	}
}

func TestAmnesiacsStopTheCluster(t *testing.T) {
	b := newBench(t, 5, benchConfig{acceptors: 3, proposers: 1, learners: 1, window: 64})
	b.drive(50, 60e9, nil)
	b.startAcceptor(1, true)
	b.drive(100, 60e9, nil)
	b.startAcceptor(2, true)
	b.submit(101)
	b.run(1e9, func() bool { return b.proposers[4].Stopped() })
	if !b.proposers[4].Stopped() {
		b.fatalf("two of three acceptors lost their promises and the cluster did not say that it has stopped")
	}
	if b.replied[101] {
		b.fatalf("a value was chosen without a quorum")
	}
}
