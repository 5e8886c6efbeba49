package main

import (
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// transports are those that processes of their own talk over.
var transports = []cluster.Transport{cluster.TransportAFXDP, cluster.TransportUDP}

// Nodes of a bed with 3 acceptors, 2 proposers, 3 learners and 1 client.
const (
	firstLearner = 6
	lastLearner  = 8
	theClient    = 9
)

// Proposers, learners and clients are killed with -9 and started again under load: values go on, and every learner ends with the
// same count and hash, those that restarted included.
func TestKilledAndStartedAgain(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			b := newBed(t, planConfig{transport: transport, proposers: 2, learners: 3})
			b.startAll()
			b.goesOn("the start")

			leads := b.leader()
			b.kill(leads)
			b.goesOn("the leader's death")
			if now := b.leader(); now == leads {
				t.Errorf("node %d leads, and it is dead", now)
			}
			b.start(leads)
			b.goesOn("its return")

			for id := uint16(firstLearner); id <= lastLearner; id++ {
				b.kill(id)
				b.goesOn("a learner's death")
				b.start(id)
				b.goesOn("its return")
			}

			b.kill(theClient)
			b.start(theClient)
			b.goesOn("the client's return")
			b.agree()
		})
	}
}

// What restarted leads or follows by a ballot that it never used before.
func TestRestartedProposerUsesNewRounds(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportUDP})
	b.startAll()
	seen := map[string]bool{}
	for range 3 {
		b.goesOn("a start")
		s := b.status(4)
		if ballot := s.Proposers[0].Ballot; seen[ballot] || !s.Proposers[0].Leads {
			t.Fatalf("it leads (%v) by ballot %s, and it led by %v before", s.Proposers[0].Leads, ballot, seen)
		}
		seen[s.Proposers[0].Ballot] = true
		b.kill(4)
		b.start(4)
	}
}

// Roles start in any order, each kind once last, the client first.
func TestAnyOrderOfStart(t *testing.T) {
	for name, order := range map[string][]uint16{
		"acceptors last": {6, 5, 4, 1, 2, 3},
		"proposer last":  {6, 1, 2, 3, 5, 4},
		"learner last":   {6, 1, 2, 3, 4, 5},
		"client last":    {5, 4, 3, 2, 1, 6},
	} {
		for _, transport := range transports {
			t.Run(name+" over "+string(transport), func(t *testing.T) {
				b := newBed(t, planConfig{transport: transport})
				b.start(order...)
				b.goesOn("the start")
				b.agree()
			})
		}
	}
}

// An acceptor in memory that restarts does not vote, and says so and why. A minority of them does no harm; with one more the cluster
// has stopped, says so and how to begin anew, and delivers nothing any more.
func TestAcceptorsRestarted(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			b := newBed(t, planConfig{transport: transport})
			b.startAll()
			b.goesOn("the start")

			b.kill(1)
			b.goesOn("the death of one acceptor")
			b.start(1)
			b.tells(1, `acceptor 1 does not vote: its marker in `)
			b.tells(1, `storage "memory" lost what it promised`)
			b.tells(4, `acceptor 1 does not vote: it restarted and storage "memory" lost its promises`)
			b.goesOn("its return")
			if b.status(1).Acceptors[0].Votes {
				t.Error("its status says that it votes")
			}

			b.kill(2)
			b.start(2)
			b.tells(4, "the cluster has stopped: 2 acceptors restarted without their promises")
			b.tells(4, "begin anew with `wirepaxos cluster new`")
			b.tells(6, "the proposer refuses: cluster stopped")
			if s := b.status(4); !s.Proposers[0].Stopped {
				t.Errorf("the proposer's status: %+v", s.Proposers[0])
			}
			before := b.learners()[0]
			time.Sleep(500 * time.Millisecond)
			if after := b.learners()[0]; after.Delivered != before.Delivered || after.Watermark != before.Watermark {
				t.Errorf("%d values were delivered when the cluster had stopped, %d a moment later", before.Delivered, after.Delivered)
			}
			b.beginAnew()
			b.goesOn("a new beginning")
			b.agree()
		})
	}
}

// beginAnew does what the message says: every process ends, and the same nodes start as a cluster with another id.
func (b *bed) beginAnew() {
	b.t.Helper()
	for _, q := range b.plan.procs {
		b.stop(q.nodes[0])
	}
	status, anew, stderr := runProgram(b.t, "cluster", "new", "--from", b.config())
	if status != 0 || stderr != "" {
		b.t.Fatalf("cluster new: status %d: %s", status, stderr)
	}
	old := b.plan.file.Cluster
	b.rewrite(anew)
	if b.plan.file.Cluster == old || len(b.plan.file.Nodes) != len(b.plan.procs) {
		b.t.Fatalf("the new file:\n%s", anew)
	}
	b.startAll()
}

// Where no learner with state lives, delivery stops and says so; it never begins again with an empty table of sessions.
func TestLoneLearnerRestartedAfterTrimming(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportUDP})
	b.startAll()
	b.goesOn("the start")
	eventually(t, "something is trimmed", func() bool { return b.status(1).Acceptors[0].Low > 0 }, b.describe)
	b.kill(5)
	b.start(5)
	b.tells(5, "delivery has stopped: no learner that answers has state for instance 0")
	if l := b.learners()[0]; !l.Stuck || l.Delivered != 0 || l.Sessions != 0 {
		t.Errorf("the learner: %+v", l)
	}
}

// Two processes behind one MAC: one is killed with -9 and the other goes on; the XDP program goes with the last.
func TestSharedNIC(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, layout: layoutSharedNIC, learners: 2})
	// acceptors 1 and 2; acceptor 3 and proposer 4; learners 5 and 6; client 7
	b.startAll()
	b.goesOn("the start")
	b.kill(3)
	b.goesOn("the death of the acceptor behind the proposer's MAC")
	b.start(3)
	b.tells(3, "does not vote")
	b.goesOn("its return")
	b.kill(5)
	b.goesOn("the death of one of two learners behind one MAC")
	if !b.attached(5) {
		t.Error("the XDP program went with the first of two processes")
	}
	b.start(5)
	b.goesOn("its return")
	b.agree()

	b.kill(6)
	if !b.attached(5) {
		t.Error("the XDP program went with the second of two processes")
	}
	b.kill(5)
	eventually(t, "the XDP program goes with the last process", func() bool { return !b.attached(5) }, b.describe)
	b.start(5, 6) // the files of their ring stay with whoever was killed last: those who come back take them up, and away
}

// attached tells whether there is an XDP program on the interface of a node's host.
func (b *bed) attached(id uint16) (attached bool) {
	b.t.Helper()
	err := b.lab.Do(b.plan.hosts[b.nodes[id].host].Name, func() error {
		link, err := netlink.LinkByName(netlab.Interface)
		if err == nil {
			attached = link.Attrs().Xdp != nil && link.Attrs().Xdp.Attached
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return attached
}

// A node that runs already cannot be started a second time, and the first is not disturbed.
func TestNodeRunsTwice(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportUDP})
	b.startAll()
	for _, id := range []string{"1", "4"} {
		role := map[string]string{"1": "acceptor", "4": "proposer"}[id]
		status, _, stderr := runProgram(t, role, "--config", b.config(), "--id", id, "--state-dir", b.state())
		if status != 2 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "wirepaxos: ") {
			t.Errorf("status %d: %q", status, stderr)
		}
	}
	b.goesOn("that")
}
