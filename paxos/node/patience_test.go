package node

import (
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// voter is a rig of acceptor 1 alone, with patience, where learner 7 is registered; accepts of proposer 9 come to it one by one.
type voter struct {
	*rig
	next paxos.Instance
}

func newVoter(t *testing.T, batch cluster.Batch) *voter {
	f := rigFile(t)
	f.Batch = batch
	v := &voter{rig: newRig(t, f, "a", func(s *Spec) { s.Idle = cluster.IdleSpin })}
	v.receive("l", v.frame(learner7, acceptor1, paxos.Message{Kind: paxos.KindHi, Total: 1000}))
	v.forget()
	return v
}

// accept is a cycle in which accepts of so many instances come in.
func (v *voter) accept(instances int) {
	v.t.Helper()
	m := make([]paxos.Message, instances)
	for i := range m {
		m[i] = paxos.Message{Kind: paxos.KindAccept, Ballot: paxos.MakeBallot(1, proposer9), Instance: v.next}
		v.next++
	}
	v.receive("p", v.frame(proposer9, acceptor1, m...))
}

func (v *voter) forget() {
	for _, p := range v.ports {
		p.sent = nil
	}
}

// expect holds the frames that left for the learner and for the proposer since the last time to counts.
func (v *voter) expect(when string, learner, proposer int) {
	v.t.Helper()
	if l, p := len(v.ports["l"].sent), len(v.ports["p"].sent); l != learner || p != proposer {
		v.t.Errorf("%s: %d frames to the learner and %d to the proposer, want %d and %d", when, l, p, learner, proposer)
	}
	v.forget()
}

// A vote leaves for a learner with its cycle; for a proposer it waits for more, or for its time.
func TestVotesWait(t *testing.T) {
	v := newVoter(t, cluster.BatchInstance)
	v.accept(1)
	v.expect("a vote", 1, 0)
	if due := v.node.Deadline(); due != v.now+spinPatience {
		t.Errorf("the vote is due %d ns from now, want %d", due-v.now, spinPatience)
	}
	v.accept(1)
	v.expect("another", 1, 0)
	v.now += spinPatience
	v.cycle()
	v.expect("after their time", 0, 1)
	v.cycle()
	v.expect("with nothing to say", 0, 0)
}

// Many votes leave at once: the proposer may be waiting for them to propose more.
func TestManyVotesLeave(t *testing.T) {
	v := newVoter(t, cluster.BatchInstance)
	v.accept(mostVotes)
	v.expect("many votes of one cycle", 1, 1)
	for range mostVotes - 1 {
		v.accept(1)
	}
	v.expect("votes of many cycles", mostVotes-1, 0)
	v.accept(1)
	v.expect("and one more", 1, 1)
}

// What else goes to the proposer takes the votes along.
func TestVotesGoAlong(t *testing.T) {
	v := newVoter(t, cluster.BatchInstance)
	v.accept(1)
	v.expect("a vote", 1, 0)
	v.receive("p", v.frame(proposer9, acceptor1, paxos.Message{Kind: paxos.KindHeartbeat, Ballot: paxos.MakeBallot(1, proposer9)}))
	if kinds := v.kinds("p"); kinds[paxos.KindAccepted] != 1 || kinds[paxos.KindHeard] != 1 {
		t.Errorf("the proposer was sent %v, want its vote and an answer to the heartbeat", kinds)
	}
	v.expect("with the answer to a heartbeat", 0, 1)
}

// With one message a frame nothing waits: there is nothing to share. Nor does anything on a loop that sleeps, or when it ends.
func TestVotesDoNotWait(t *testing.T) {
	v := newVoter(t, cluster.BatchOff)
	v.accept(1)
	v.expect("one message a frame", 1, 1)

	v = newVoter(t, cluster.BatchInstance)
	v.node.patience = 0
	v.accept(1)
	v.expect("without patience", 1, 1)
	if v.idle = dataplane.IdleBlock; v.patience() != 0 {
		t.Error("a loop that blocks has patience")
	}

	v = newVoter(t, cluster.BatchInstance)
	v.accept(1)
	v.expect("a vote", 1, 0)
	v.node.Leave()
	v.expect("at the end", 0, 1)
}
