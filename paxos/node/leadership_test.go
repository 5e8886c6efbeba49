package node

import (
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// Frames and requests that do not belong here are counted, and people are told what they mean.
func TestStrangersAreTold(t *testing.T) {
	handover := func(b paxos.Ballot) paxos.Message { return paxos.Message{Kind: paxos.KindHandover, Ballot: b} }
	r := newRig(t, rigFile(t), "m", nil)
	b := paxos.MakeBallot(7, proposer9)
	r.receive("p", r.frame(60, proposer4, handover(b)))                                                             // in no file
	r.receive("a", r.frame(acceptor1, proposer4, handover(b)))                                                      // no proposer
	r.receive("p", r.frame(proposer9, proposer4, handover(b)))                                                      // not the leader
	r.receive("p", r.frame(proposer9, proposer4, paxos.Message{Kind: paxos.KindHeartbeat, Ballot: b, Sequence: 1})) // now it is
	r.receive("p", r.frame(proposer9, proposer4, handover(paxos.MakeBallot(6, proposer9))))                         // by an old ballot
	s, err := r.statusHere()
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Join(s.Trouble, "\n")
	for _, want := range []string{
		"1 frames came from nodes that the cluster file does not name", "1 messages came from a node that has no role to send them",
		"proposer 4 ignored 2 requests to take over",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("not told: %q; told is\n%s", want, told)
		}
	}
	p := s.Proposers[0]
	if p.Leads || p.Leader != proposer9 || p.Ballot != "7.9" || p.Cause != "heard" || p.Why != "node 9 was heard" || len(p.Changes) != 2 ||
		p.Causes["heard"] != 1 {
		t.Errorf("%+v", p)
	}
	if got := r.kinds("a")[paxos.KindPrepare]; got != 0 {
		t.Errorf("it took over: %d prepares", got)
	}
}
