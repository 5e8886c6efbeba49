package sim

import (
	"io"

	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/sim/check"
)

// Config says what to run.
type Config struct {
	Seed    uint64
	Profile *Profile
	Trace   io.Writer // gets a line for everything that happens; nil: nobody wants it
}

// Result is what came of a run.
type Result struct {
	Seed      uint64           `json:"seed"`
	Profile   string           `json:"profile"`
	Cluster   string           `json:"cluster"`             // what was drawn
	Violation *check.Violation `json:"violation,omitempty"` // nil: every promise was kept
	Trace     uint64           `json:"trace"`               // hash of everything that happened
	VirtualNs int64            `json:"virtual_ns"`
	HealNs    int64            `json:"heal_ns"`   // from the end of the faults until every client was served again
	SettleNs  int64            `json:"settle_ns"` // from the end of the load until nothing was unanswered and all learners stood at one place
	BoundNs   int64            `json:"bound_ns"`  // that each of the two may take
	Turns     uint64           `json:"turns"`     // of loops
	Messages  uint64           `json:"messages"`
	Frames    uint64           `json:"frames"`
	Values    uint64           `json:"values"`       // delivered by the furthest learner
	Leaders   uint64           `json:"leaders"`      // times that a proposer came to lead
	Late      uint64           `json:"late_leaders"` // after the end of the faults
	Faults    []Count          `json:"faults"`       // those that happened, by kind
	Features  []Count          `json:"features"`     // parts of the protocol that were used, and how often
}

// Count is a number with a name.
type Count struct {
	Name string `json:"name"`
	N    uint64 `json:"n"`
}

// Run plays one seed.
func Run(cfg Config) Result {
	w := newWorld(&cfg)
	w.play()
	if w.failure != "" {
		w.suite.Fail("end", "%s", w.failure)
	}
	if v := w.suite.Violation(); v != nil {
		w.trace.text("violation of %s", v)
	}
	r := Result{
		Seed: cfg.Seed, Profile: cfg.Profile.Name, Cluster: w.plan.String(), Violation: w.suite.Violation(), Trace: w.trace.hash, VirtualNs: w.now,
		HealNs: max(0, w.servedAt-w.healedAt), SettleNs: max(0, w.now-w.quietAt), BoundNs: w.plan.boundNs(),
		Turns: w.turns, Messages: w.messages, Frames: w.net.Counts()[simwire.Sent], Leaders: w.leaders, Late: w.leaders - w.leadersThen,
		Faults: w.faultsCounted(),
	}
	for _, m := range w.machines {
		if m.up() {
			m.tally()
			r.Messages += m.node.Counters.Messages
			m.port.Close()
		}
	}
	for _, l := range w.end().Learners {
		r.Values = max(r.Values, l.Values)
	}
	r.Features = w.features.list()
	return r
}

// faultsCounted are the faults that happened.
func (w *world) faultsCounted() (list []Count) {
	add := func(name string, n uint64) {
		if n > 0 {
			list = append(list, Count{name, n})
		}
	}
	sent := w.net.Counts()
	for _, kind := range []simwire.TapKind{
		simwire.Dropped, simwire.CutOff, simwire.Duplicated, simwire.Corrupted, simwire.QueueFull, simwire.NoPort, simwire.WireFull,
	} {
		add("frames "+kind.String(), sent[kind])
	}
	c := &w.faults.count
	add("bad links", c.spells)
	add("partitions", c.partitions)
	add("one-way partitions", c.oneWays)
	add("pauses", c.pauses)
	add("slow spells", c.slows)
	add("crashes", c.crashes)
	add("acceptors without a vote", c.acceptorCrashes)
	add("failed starts", c.failedStarts)
	add("proposers gone for good", c.departures)
	return list
}

// members are the nodes by role.
func members(f *cluster.File) (m paxos.Members) {
	ids := func(nodes []cluster.Node) (ids []paxos.NodeID) {
		for _, n := range nodes {
			ids = append(ids, paxos.NodeID(n.ID))
		}
		return ids
	}
	return paxos.Members{Acceptors: ids(f.Acceptors()), Proposers: ids(f.Proposers()), Learners: ids(f.Learners())}
}
