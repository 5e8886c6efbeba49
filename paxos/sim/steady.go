package sim

import (
	"fmt"
	"time"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// Steady is a cluster of three acceptors, a proposer, a learner and a client without faults, under a load that never changes: Outstanding values of Size
// bytes unanswered at any time. What a value costs there in frames, messages, bytes and turns is a property of the protocol and of this code: it is
// the same on every machine.
type Steady struct {
	Packed      bool // acceptors and learner on one machine, proposer and client on another; otherwise each on one of its own
	Multicast   bool // also to groups
	Batch       cluster.Batch
	Outstanding int
	Size        int
	Values      uint64 // that are counted, after as many to warm up
}

// Traffic is what the values cost: all machines together.
type Traffic struct {
	Values   uint64 // delivered
	Frames   uint64 // sent; one to a group once
	Messages uint64 // in those frames
	Bytes    uint64 // of their payloads, link headers left out
	Turns    uint64 // of loops
}

// steadyNs is more virtual time than a run of Steady may take.
const steadyNs = 1000 * s

// Measure plays the load. The figures hold a few heartbeats besides the values: the timers are long.
func (c Steady) Measure() (Traffic, error) {
	if c.Outstanding < 1 || c.Outstanding > paxos.SessionSpan || c.Size < 1 || c.Values < 1 {
		return Traffic{}, fmt.Errorf("sim: a steady load of %d values of %d bytes with %d outstanding: give at least one of each, and at most %d outstanding", c.Values, c.Size,
			c.Outstanding, paxos.SessionSpan)
	}
	w := newWorld(&Config{Seed: 1, Profile: &Profile{Name: "steady", fixed: func(p *plan) { p.steadyLoad(&c) }}})
	count := func() (t Traffic) {
		t.Turns = w.turns
		for _, m := range w.machines {
			if m.up() {
				t.Frames += m.port.Counters().TxFrames
				t.Bytes += m.port.Counters().TxBytes
				t.Messages += m.node.Counters.Sent
			}
		}
		for _, l := range w.end().Learners {
			t.Values = l.Values
		}
		return t
	}
	w.faults.begin() // there are none: this is what sets the links' delay
	w.run(steadyNs, func() bool { return count().Values >= c.Values })
	before := count()
	w.run(steadyNs, func() bool { return count().Values >= before.Values+c.Values })
	after := count()
	for _, m := range w.machines {
		if m.up() {
			m.port.Close()
		}
	}
	switch v := w.suite.Violation(); {
	case v != nil:
		return Traffic{}, fmt.Errorf("sim: a steady load: %v", v)
	case w.failure != "":
		return Traffic{}, fmt.Errorf("sim: a steady load: %s", w.failure)
	case after.Values < before.Values+c.Values:
		return Traffic{}, fmt.Errorf("sim: a steady load delivered %d values in %d virtual seconds, want %d", after.Values, steadyNs/s, 2*c.Values)
	}
	return Traffic{
		Values: after.Values - before.Values, Frames: after.Frames - before.Frames, Messages: after.Messages - before.Messages,
		Bytes: after.Bytes - before.Bytes, Turns: after.Turns - before.Turns,
	}, nil
}

// steadyLoad is the plan of a Steady.
func (c *plan) steadyLoad(load *Steady) {
	c.steady()
	f := c.file
	f.Nodes, f.Batch, f.SlowLearner, f.Sessions = nil, load.Batch, cluster.SlowHold, manySessions
	f.Multicast, c.groups = load.Multicast, load.Multicast
	c.place(counts{acceptors: 3, proposers: 1, learners: 1, clients: 1}, apart)
	for i := range f.Nodes {
		if !load.Packed {
			continue
		}
		f.Nodes[i].Endpoint = "far"
		if f.Nodes[i].Roles&(cluster.Proposer|cluster.Client) != 0 {
			f.Nodes[i].Endpoint = "near"
		}
	}
	f.Timing = cluster.Timing{
		Heartbeat: 100 * time.Millisecond, Retry: 100 * time.Millisecond, Lease: 10 * time.Second, LeaderTimeout: time.Second, SlowAfter: 10 * time.Second,
		ClientRetry: 100 * time.Millisecond,
	}
	c.delayNs, c.jitterNs = 10*us, 0
	c.sessions, c.outstanding, c.paceNs, c.maxValue, c.oneSize = 1, load.Outstanding, 0, load.Size, true
}
