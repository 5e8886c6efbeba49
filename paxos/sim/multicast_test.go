package sim

import (
	"bytes"
	"strings"
	"testing"

	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// used are how often a run used each feature.
func used(r *Result, k feature) uint64 {
	for _, c := range r.Features {
		if c.Name == featureNames[k] {
			return c.N
		}
	}
	return 0
}

// listeners are how many NICs lead to acceptors and learners.
func listeners(w *world) int {
	doors := map[int]bool{}
	for _, m := range w.machines {
		if m.has(cluster.Acceptor) || m.has(cluster.Learner) {
			doors[m.door] = true
		}
	}
	return len(doors)
}

// About half of the seeds have multicast, some only for what is behind one NIC. Where a plan says so, frames leave for several nodes at once, and are
// passed on; where it does not, none do.
func TestMulticastIsUsedWhereThePlanHasIt(t *testing.T) {
	p, err := FindProfile("calm")
	if err != nil {
		t.Fatal(err)
	}
	const seeds = 40
	var groups, within, several, shared int
	for seed := uint64(1); seed <= seeds; seed++ {
		w := newWorld(&Config{Seed: seed, Profile: p})
		c, r := w.plan, Run(Config{Seed: seed, Profile: p})
		toGroup, toHost, passed := used(&r, featToGroup), used(&r, featToHost), used(&r, featPassed)
		bursts := r.Values / uint64(c.sessions*c.outstanding*len(c.file.Clients())) // at least so many accepts to all
		many := c.groups && listeners(w) > 2                                        // else all but the leader's own host may be one NIC
		switch {
		case r.Violation != nil:
			t.Fatalf("seed %d: %v", seed, r.Violation)
		case many && toGroup < bursts || !c.groups && toGroup > 0 || !c.file.Multicast && toHost > 0:
			t.Errorf("seed %d: %d frames to a group, %d for several nodes of a host: %d values, %v", seed, toGroup, toHost, r.Values, c)
		case c.shared && passed < bursts || !c.shared && passed > 0:
			t.Errorf("seed %d: %d frames passed on: %d values, %v", seed, passed, r.Values, c)
		case c.file.Multicast != strings.Contains(r.Cluster, "; multicast") || c.file.Multicast && c.groups == strings.Contains(r.Cluster, "without groups"):
			t.Errorf("seed %d: the plan says %q", seed, r.Cluster)
		}
		for n, has := range map[*int]bool{&groups: many, &within: c.file.Multicast && !c.groups, &several: toHost > bursts, &shared: c.shared} {
			if has {
				*n++
			}
		}
	}
	if all := groups + within; all < seeds/4 || all > 3*seeds/4 || groups < 5 || within < 3 || several < 5 || shared < 3 {
		t.Errorf("of %d seeds %d use groups, %d have multicast without, %d several nodes behind a NIC, %d several machines", seeds, groups, within, several, shared)
	}
}

// A multicast cluster may have several nodes of one role on a machine. No process may end that takes more than a minority of the acceptors, the last
// learners, or all proposers with it.
func TestMachinesWithSeveralOfARoleMayNotAllCrash(t *testing.T) {
	p, err := FindProfile("crash")
	if err != nil {
		t.Fatal(err)
	}
	several := 0
	for seed := uint64(1); seed <= 200; seed++ {
		w := newWorld(&Config{Seed: seed, Profile: p})
		most := (len(w.plan.file.Acceptors()) - 1) / 2
		for _, m := range w.machines {
			acceptors, proposers := 0, 0
			for _, n := range m.endpoint.Nodes {
				if n.Roles.Has(cluster.Acceptor) {
					acceptors++
				}
				if n.Roles.Has(cluster.Proposer) {
					proposers++
				}
			}
			if acceptors > 1 {
				several++
			}
			if acceptors > most && w.faults.mayCrash(m) {
				t.Errorf("seed %d: %s may crash with %d of %d acceptors", seed, m.name, acceptors, len(w.plan.file.Acceptors()))
			}
			if proposers == len(w.plan.file.Proposers()) && w.faults.proposerElsewhere(m) {
				t.Errorf("seed %d: %s has all proposers, and there is one elsewhere", seed, m.name)
			}
			if m.door != m.index && (!w.faults.doorOfOthers(w.machines[m.door]) || w.faults.doorOfOthers(m)) {
				t.Errorf("seed %d: %s is behind %s, and it is not known who is behind whom", seed, m.name, w.machines[m.door].name)
			}
			if m.has(cluster.Client) && m.has(cluster.Learner) && len(m.endpoint.Nodes) > 2 {
				t.Errorf("seed %d: %s runs a client beside several nodes", seed, m.name)
			}
		}
	}
	if several < 20 {
		t.Errorf("%d machines have several acceptors", several)
	}
}

// A trace names all nodes that a frame is for.
func TestTraceNamesAllDestinations(t *testing.T) {
	p, err := FindProfile("calm")
	if err != nil {
		t.Fatal(err)
	}
	for seed := uint64(1); seed <= 20; seed++ {
		if c := newPlan(seed, p); !c.groups || c.shared || len(c.file.Acceptors()) != 3 || len(c.file.Endpoints()) < 8 {
			continue
		}
		var text bytes.Buffer
		Run(Config{Seed: seed, Profile: p, Trace: &text})
		for _, to := range []string{"a1", "a2", "a3"} {
			if !strings.Contains(text.String(), " > "+to+" delivered 11 to 1 2 3: [accept ") && !strings.Contains(text.String(), " > "+to+" delivered 12 to 1 2 3: [accept ") {
				t.Errorf("seed %d: no frame to all acceptors reached %s", seed, to)
			}
		}
		return
	}
	t.Error("no seed has three acceptors apart and groups")
}

// What the features count is frames, not their copies: a frame that three machines get is one.
func TestFramesToAGroupCountOnce(t *testing.T) {
	w := newWorld(&Config{Seed: 1, Profile: &Profile{Name: "steady", fixed: func(p *plan) {
		p.steadyLoad(&Steady{Multicast: true, Batch: cluster.BatchOff, Outstanding: 1, Size: 16, Values: 1})
	}}})
	copies := uint64(0)
	w.net.Tap(func(e simwire.TapEvent) {
		h, _, _ := paxos.ParseFrame(e.Data, paxos.Cluster(w.plan.file.Cluster), paxos.Group(w.plan.file.Group))
		if e.Kind == simwire.Sent && h.Also != 0 && h.Sender == firstProposer {
			copies++
		}
	})
	w.faults.begin()
	w.run(3*s, func() bool { return false })
	n := w.features.counts[featToGroup]
	if n < 100 || copies > 4*n || copies < 4*(n-4) || w.features.counts[featToHost] != 0 {
		t.Errorf("%d frames to a group, and %d copies of those that the proposer sent to three acceptors and a learner", n, copies)
	}
}
