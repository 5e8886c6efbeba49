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

// About half of the seeds have multicast, some only for the nodes of one machine. Where a plan says so, frames leave for several nodes at once; where it
// does not, none do.
func TestMulticastIsUsedWhereThePlanHasIt(t *testing.T) {
	p, err := FindProfile("calm")
	if err != nil {
		t.Fatal(err)
	}
	const seeds = 40
	var groups, within, shared int
	for seed := uint64(1); seed <= seeds; seed++ {
		c := newPlan(seed, p)
		r := Run(Config{Seed: seed, Profile: p})
		toGroup, toMachine := used(&r, featToGroup), used(&r, featToMachine)
		if r.Violation != nil {
			t.Fatalf("seed %d: %v", seed, r.Violation)
		}
		if c.groups {
			groups++
		} else if c.file.Multicast {
			within++
		}
		if toMachine > 0 {
			shared++
		}
		switch {
		case c.groups != (toGroup > r.Values/uint64(max(1, c.sessions*c.outstanding*len(c.file.Clients())))): // each burst of values leaves at least once
			t.Errorf("seed %d: %d frames to a group with %d values delivered: %v", seed, toGroup, r.Values, c)
		case !c.groups && toGroup > 0 || !c.file.Multicast && toMachine > 0:
			t.Errorf("seed %d: %d frames to a group, %d for several nodes of a machine: %v", seed, toGroup, toMachine, c)
		case c.groups != strings.HasSuffix(r.Cluster, "; multicast") || c.file.Multicast == strings.HasSuffix(r.Cluster, "; no multicast"):
			t.Errorf("seed %d: the plan says %q", seed, r.Cluster)
		}
	}
	if groups+within < seeds/4 || groups+within > 3*seeds/4 || groups < 5 || within < 3 || shared < 5 {
		t.Errorf("of %d seeds %d have groups, %d multicast within machines, %d used that", seeds, groups, within, shared)
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
		if c := newPlan(seed, p); !c.groups || len(c.file.Acceptors()) != 3 || len(c.file.Endpoints()) < 8 {
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
	if n < 100 || copies > 4*n || copies < 4*(n-4) || w.features.counts[featToMachine] != 0 {
		t.Errorf("%d frames to a group, and %d copies of those that the proposer sent to three acceptors and a learner", n, copies)
	}
}
