package client

import (
	"slices"
	"testing"

	"wirepaxos/paxos"
)

// named is an OK of a learner that says who leads.
func (r *rig) named(learner, leader paxos.NodeID) {
	r.ok(learner)
	r.in[len(r.in)-1].Leader = leader
}

// What the leader before has not answered goes to the new one in the very step in which the learner names it.
func TestLearnerNamesTheLeader(t *testing.T) {
	r := newRig(t, nil)
	r.named(learnerA, proposerA)
	r.step("a", "b")
	r.now += 100e3
	r.named(learnerA, proposerB)
	r.step()
	got := r.sent(paxos.KindSubmit)
	if len(got) != 1 || got[0].To != proposerB || !slices.Equal(sequences(r.values()), []uint64{1, 2}) {
		t.Fatalf("sent %v", got)
	}
	if r.c.Counters.Redirects != 1 {
		t.Errorf("%d redirects", r.c.Counters.Redirects)
	}
}

// A reply names it as well.
func TestReplyNamesTheLeader(t *testing.T) {
	r := newRig(t, nil)
	r.step("a", "b")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.in[0].Leader = proposerB
	r.step()
	if got := r.sent(paxos.KindSubmit); r.c.Proposer() != proposerB || len(got) != 1 || !slices.Equal(sequences(r.values()), []uint64{2}) {
		t.Fatalf("sent %v, to %d", got, r.c.Proposer())
	}
}

// A learner that goes on naming who led before does not turn the client away from the one that a proposer named.
func TestLearnerThatIsBehind(t *testing.T) {
	r := newRig(t, nil)
	r.named(learnerA, proposerA)
	r.step("a")
	r.busy(proposerA, paxos.ReasonNotLeader, proposerB)
	r.step()
	if r.c.Proposer() != proposerB {
		t.Fatal("it does not follow the proposer")
	}
	for range 5 {
		r.now += 1e6
		r.named(learnerA, proposerA)
		r.reply(learnerA, 9, 1, paxos.StatusDelivered)
		r.in[1].Leader = proposerA
		r.step()
	}
	if r.c.Proposer() != proposerB || r.c.Counters.Redirects != 1 {
		t.Errorf("it uses %d after %d redirects", r.c.Proposer(), r.c.Counters.Redirects)
	}
}

// Another learner's word, a node that is no proposer, and nobody's name change nothing.
func TestOthersNameNobody(t *testing.T) {
	r := newRig(t, nil)
	r.named(learnerB, proposerB)
	r.reply(learnerB, 9, 1, paxos.StatusDelivered)
	r.in[1].Leader = proposerB
	r.named(learnerA, 0)
	r.named(learnerA, 40)
	r.step("a")
	if got := r.sent(paxos.KindSubmit); r.c.Proposer() != proposerA || len(got) != 1 || got[0].To != proposerA {
		t.Errorf("sent %v, to %d", got, r.c.Proposer())
	}
}
