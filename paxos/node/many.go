package node

import (
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
)

// With multicast, what a role says to several nodes in a row leaves in one frame for each way on which some of them are: those of one process are
// on one way always, those of several wherever the port has a peer that reaches them all. The frame's header names the nodes. Roles know nothing of it: they
// say a thing to each, one after the other, and get it each by itself.
//
// Processes that share a NIC share no frame: it would come in on one queue, and with the process of that queue dead the others, alive, would never get
// it, nor any retry that is for the dead one too.

// fansKept is how many sets of nodes are remembered for each local node: acceptors with learners, learners, all others; after a loss, parts of those.
const fansKept = 4

// fan is the ways to a set of nodes.
type fan struct {
	nodes paxos.NodeSet
	ways  []builder
	alone paxos.NodeSet // those that share their way with no other
}

// newFans allocates them with all that they can come to need.
func newFans(places int) [][fansKept]fan {
	fans := make([][fansKept]fan, places)
	for i := range fans {
		for k := range fans[i] {
			fans[i][k].ways = make([]builder, 0, paxos.MaxNodes)
		}
	}
	return fans
}

// postMany sends a message to several nodes.
func (n *Node) postMany(s *seat, m *paxos.Message, nodes paxos.NodeSet) {
	if here := nodes & n.here; here != 0 {
		n.Counters.LocalMessage += uint64(here.Len())
		_, to := ends(m)
		n.deliver(m, here, to)
		nodes &^= here
	}
	alone := nodes
	if nodes.Len() > 1 {
		f := n.fan(s.place, nodes)
		for i := range f.ways {
			n.put(&f.ways[i], m)
		}
		alone = f.alone
	}
	for ; alone != 0; alone &= alone - 1 {
		m.To = alone.Least()
		n.write(s.place, m)
	}
}

// fan is the one to these nodes, made anew where it is not remembered.
func (n *Node) fan(place int, nodes paxos.NodeSet) *fan {
	fans := &n.fans[place]
	for i := range fans {
		if fans[i].nodes == nodes {
			return &fans[i]
		}
	}
	f := fans[fansKept-1]
	copy(fans[1:], fans[:fansKept-1])
	for i := range f.ways {
		if f.ways[i].open {
			n.finish(&f.ways[i])
		}
	}
	f.nodes, f.ways, f.alone = nodes, f.ways[:0], 0
	for rest := nodes; rest != 0; {
		rest &^= n.branch(&f, place, rest)
	}
	fans[0] = f
	return &fans[0]
}

// branch adds the way to the first of the nodes to a fan, and returns all nodes that it leads to.
func (n *Node) branch(f *fan, place int, nodes paxos.NodeSet) paxos.NodeSet {
	first := nodes.Least()
	r := &n.routes[first]
	to, peer, roles := paxos.SetOf(first), r.peer, n.roles[first]
	for rest := nodes & (nodes - 1); rest != 0 && r.lane != nil; rest &= rest - 1 {
		id := rest.Least()
		q := &n.routes[id]
		switch {
		case q.lane != r.lane:
			continue
		case q.process == r.process:
		case q.many == r.many && r.many != dataplane.NoPeer:
			peer = r.many
		default:
			continue
		}
		to |= paxos.SetOf(id)
	}
	var h paxos.FrameHeader
	if to &^= h.SetNodes(to); to.Len() == 1 {
		f.alone |= to
		return to
	}
	for rest := to; rest != 0; rest &= rest - 1 {
		roles |= n.roles[rest.Least()]
	}
	f.ways = f.ways[:len(f.ways)+1]
	b := &f.ways[len(f.ways)-1]
	*b = builder{lane: r.lane, peer: peer, nodes: to, roles: roles, place: place, noted: b.noted}
	return to
}

// others handles a frame that is not for local nodes alone: it is passed on to processes of this host that it is for too. It tells whether anything
// is left for local nodes.
func (n *Node) others(h *paxos.FrameHeader, nodes paxos.NodeSet, data []byte) bool {
	passed := false
	for far := nodes &^ n.here; far != 0; {
		id := far.Least()
		r := &n.routes[id]
		there := paxos.SetOf(id)
		far &^= there
		if !r.pass {
			continue
		}
		for more := far; more != 0; more &= more - 1 {
			if q := &n.routes[more.Least()]; q.pass && q.lane == r.lane && q.peer == r.peer {
				there |= paxos.SetOf(more.Least())
			}
		}
		far &^= there
		passed = true
		n.forward(r, data, nodes, there)
	}
	switch {
	case nodes&n.here != 0:
		return true
	case passed:
	case h.Also != 0:
		n.Counters.Ignored++
	default:
		n.Counters.Dropped[paxos.DropDestination]++
	}
	return false
}

// forward passes a frame on to a process of this host, for those of its nodes that are there.
func (n *Node) forward(r *route, data []byte, nodes, there paxos.NodeSet) {
	f, ok := n.take(r.lane)
	if !ok {
		n.Counters.NoFrame++
		return
	}
	if len(data) > cap(f.Data) {
		n.Counters.TooLong++ // this host has a smaller mtu than the sender
		r.lane.stash = append(r.lane.stash, f)
		return
	}
	f.Data = f.Data[:copy(f.Data[:cap(f.Data)], data)]
	if there != nodes {
		paxos.Readdress(f.Data, there)
	}
	f.Peer = r.peer
	n.Counters.Forwarded++
	n.hand(r.lane, f)
}
