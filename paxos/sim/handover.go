package sim

import (
	"slices"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/sim/check"
)

// seat is a proposer and where it runs.
type seat struct {
	m  *machine
	id paxos.NodeID
	r  *paxos.Proposer
}

// proposers are those that run just now.
func (w *world) proposers() (list []seat) {
	for _, m := range w.machines {
		m.roles(func(id paxos.NodeID, role any) {
			if r, ok := role.(*paxos.Proposer); ok {
				list = append(list, seat{m, id, r})
			}
		})
	}
	return list
}

// handover has somebody ask a proposer, mostly the leader, to hand over to another, or to what is no other proposer.
func (f *faults) handover() {
	r, w := &f.people, f.w
	list := w.proposers()
	to, whom := w.anyNode(r), r.next()
	leads := r.percent(80)
	if !r.percent(30) {
		of := w.plan.file.Proposers()
		to = paxos.NodeID(of[r.below(int64(len(of)))].ID)
	}
	if len(list) == 0 {
		return
	}
	from := list[whom%uint64(len(list))]
	if at := slices.IndexFunc(list, func(s seat) bool { _, leads := s.r.Leading(); return leads }); at >= 0 && leads {
		from = list[at]
	}
	if from.m.pausedUntil <= w.now { // else its process does not answer
		w.handOver(from, to)
	}
}

// anyNode draws a node of the cluster, whatever it is, or an id that nobody has.
func (w *world) anyNode(r *random) paxos.NodeID {
	nodes := w.plan.file.Nodes
	if at := r.below(int64(len(nodes) + 1)); at > 0 {
		return paxos.NodeID(nodes[at-1].ID)
	}
	return paxos.MaxNodes - 1
}

// handOver asks, between two turns as the control socket does, and holds the answer to what is possible.
func (w *world) handOver(from seat, to paxos.NodeID) bool {
	_, leads := from.r.Leading()
	node, err := w.plan.file.Node(uint16(to))
	asked := check.Handover{
		From: from.id, To: to, Leads: leads, Proposer: err == nil && node.Roles.Has(cluster.Proposer), Underway: from.r.HandoverTo(),
	}
	asked.Refusal = from.r.Handover(from.m.clock.local(w.now), to)
	w.suite.AskedToHandOver(&asked)
	if asked.Refusal != nil {
		w.features.count(featHandoversRefused)
		return false
	}
	w.features.count(featHandovers)
	w.trace.event(from.m, "proposer %d is asked to hand over to %d", from.id, to)
	from.m.wake(w.now)
	return true
}

// handedOver lets leaders hand over until one did: it is called again and again while the cluster is well.
func (w *world) handedOver() bool {
	list := w.proposers()
	if w.asked != 0 {
		for _, s := range list {
			if _, leads := s.r.Leading(); leads && s.id == w.asked {
				return true
			}
		}
	}
	for i, s := range list {
		if _, leads := s.r.Leading(); leads && s.r.HandoverTo() == 0 && len(list) > 1 {
			to := list[(i+1)%len(list)].id
			if w.handOver(s, to) {
				w.asked = to
			}
			return false
		}
	}
	return len(list) < 2
}
