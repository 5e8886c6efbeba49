package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"strings"

	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// Layouts: which roles share a process.
const (
	layoutAuto           = "auto"
	layoutPacked         = "packed"           // client and proposers on one loop, acceptors and learners on another
	layoutProposersApart = "proposers-apart"  // acceptors and learners on one loop; the client and each proposer a process of its own
	layoutProcessPerRole = "process-per-role" // each its own process and port
	layoutSharedNIC      = "shared-nic"       // two processes behind one MAC, each with a queue
)

var layouts = []string{layoutAuto, layoutPacked, layoutProposersApart, layoutProcessPerRole, layoutSharedNIC}

// planConfig is what a cluster for one machine is planned from.
type planConfig struct {
	acceptors, proposers, learners int
	groups                         int // each with a queue, a port and a core of every process; 0: one
	layout                         string
	transport                      cluster.Transport
	link                           cluster.Link
	batch                          cluster.Batch
	idle                           cluster.Idle
	multicast                      bool
	clientApart                    bool // in a process and on a host of its own, whatever the layout
	timing                         timingFlags
}

// plan is a cluster on one machine: nodes, and which of them share a process and a host.
type plan struct {
	layout string
	file   *cluster.File
	procs  []proc
	hosts  []netlab.HostSpec
	client uint16
}

// proc is one process: the nodes of one endpoint.
type proc struct {
	nodes []uint16
	host  int // place in plan.hosts
	queue int
	core  int
	cores []int // of the loops of several groups; nil: core
}

// newPlan lays a cluster out. Node ids: acceptors from 1, then proposers, learners, and the client last.
func newPlan(c planConfig) (*plan, error) {
	f := cluster.New()
	f.Name = "demo"
	f.Transport, f.Batch, f.Multicast = c.transport, c.batch, c.multicast
	if c.transport == cluster.TransportAFXDP {
		f.Link = c.link
	}
	c.timing.apply(&f.Timing)
	p := &plan{file: f}
	var acceptors, others []uint16
	add := func(r cluster.Roles, list *[]uint16) {
		id := uint16(len(f.Nodes) + 1)
		f.Nodes = append(f.Nodes, cluster.NewNode(id, r))
		*list = append(*list, id)
	}
	for range c.acceptors {
		add(cluster.Acceptor, &acceptors)
	}
	p.layout = c.layout
	if p.layout == layoutAuto {
		p.layout = layoutPacked
		if runtime.NumCPU() > c.acceptors+c.proposers+c.learners {
			p.layout = layoutProcessPerRole
		}
	}
	merged := p.layout == layoutPacked || p.layout == layoutProposersApart
	if merged {
		// An acceptor and a learner that share a loop are one node: an accept for both crosses the wire once.
		for i := range c.learners {
			if i < len(acceptors) {
				f.Nodes[acceptors[i]-1].Roles |= cluster.Learner
			} else {
				add(cluster.Learner, &acceptors)
			}
		}
	}
	for range c.proposers {
		add(cluster.Proposer, &others)
	}
	if !merged {
		for range c.learners {
			add(cluster.Learner, &others)
		}
	}
	add(cluster.Client, &others)
	p.client = others[len(others)-1]
	if c.groups > 1 {
		setGroups(f, c.groups)
	}
	cores := runtime.NumCPU()
	if err := p.arrange(c, acceptors, others); err != nil {
		return nil, err
	}
	p.pin(c.idle, cores)
	return p, nil
}

// setGroups makes the file one of n groups, each with an EtherType of its own where there is one: the two that IEEE 802 leaves to local experiments,
// then such as nobody else speaks in a lab.
func setGroups(f *cluster.File, n int) {
	const further = 0x9A00
	var groups, etherTypes []uint16
	for i := range n {
		groups, etherTypes = append(groups, uint16(i+1)), append(etherTypes, further+uint16(i))
	}
	copy(etherTypes, []uint16{0x88B5, 0x88B6})
	f.SetGroups(groups...)
	if f.Transport == cluster.TransportAFXDP && f.Link == cluster.LinkEthernet {
		f.EtherTypes = etherTypes
	}
}

// arrange groups nodes into processes and processes into hosts.
func (p *plan) arrange(c planConfig, acceptors, others []uint16) error {
	single := func(ids []uint16) {
		for _, id := range ids {
			p.procs = append(p.procs, proc{nodes: []uint16{id}})
		}
	}
	switch p.layout {
	case layoutPacked:
		p.procs = []proc{{nodes: acceptors}, {nodes: others}}
		if last := len(others) - 1; c.clientApart {
			p.procs = []proc{{nodes: acceptors}, {nodes: others[:last]}, {nodes: others[last:]}}
		}
	case layoutProposersApart:
		p.procs = []proc{{nodes: acceptors}}
		single(others)
	case layoutProcessPerRole, layoutSharedNIC:
		single(acceptors)
		single(others)
	default:
		return fmt.Errorf("--layout %s does not exist: %s", c.layout, strings.Join(layouts, ", "))
	}
	if p.layout == layoutSharedNIC && c.transport != cluster.TransportAFXDP {
		return fmt.Errorf("--layout %s is about queues of a NIC, which only AF_XDP binds: use --transport afxdp", layoutSharedNIC)
	}
	perHost := 1
	if p.layout == layoutSharedNIC {
		perHost = 2
	}
	groups := len(p.file.AllGroups())
	for i := range p.procs {
		q := &p.procs[i]
		q.host, q.queue, q.core = i/perHost, i%perHost*groups, cluster.NoCore
		if q.queue == 0 {
			p.hosts = append(p.hosts, netlab.HostSpec{Name: fmt.Sprintf("h%d", q.host+1)})
		}
		host := &p.hosts[q.host]
		if c.transport != cluster.TransportAFXDP {
			host.Queues = 1
			continue
		}
		host.Queues += groups
		switch {
		case groups > 1 && q.queue == 0:
			p.steerGroups(host)
		case groups == 1 && q.queue > 0:
			host.Steer = append(host.Steer, steerTo(c.link, q.nodes[0], q.queue))
		}
	}
	return nil
}

// steerGroups steers what is a group's to its queue, as `wirepaxos nic steer` would a NIC: by its UDP port, or by its EtherType. Where a host has two
// processes it is the first one's queue, and that one passes on what is the other's.
func (p *plan) steerGroups(host *netlab.HostSpec) {
	const etherType, udpPort = 12, 14 + 20 + 2 // the latter the destination's, behind the headers of Ethernet and IPv4
	for i := 1; i < len(p.file.Groups); i++ {
		rule := netlab.Rule{Offset: udpPort, Bytes: binary.BigEndian.AppendUint16(nil, p.file.UDPPort+uint16(i)), Queue: i}
		if p.file.Link == cluster.LinkEthernet {
			rule.Offset, rule.Bytes = etherType, binary.BigEndian.AppendUint16(nil, p.file.EtherTypes[i])
		}
		host.Steer = append(host.Steer, rule)
	}
}

// steerTo is what a NIC would be told by an ntuple rule: frames whose header names the node go to the queue of its process.
// Only the switch of the lab needs it; where a frame comes in on a sibling's queue, that process passes it on.
func steerTo(link cluster.Link, node uint16, queue int) netlab.Rule {
	const destination = 27 // of the frame header: paxos/PROTOCOL.md
	offset := 14 + destination
	if link == cluster.LinkUDP4 {
		offset += 20 + 8
	}
	return netlab.Rule{Offset: offset, Bytes: []byte{byte(node)}, Queue: queue}
}

// pin gives each process a core of its own if there are enough; otherwise they share what there is and sleep when there is nothing to do.
func (p *plan) pin(idle cluster.Idle, cores int) {
	p.file.Idle = idle
	set, err := dataplane.Cores()
	groups := len(p.file.AllGroups())
	if loops := groups * len(p.procs); err != nil || len(set.Allowed) < loops || cores < loops {
		return
	}
	for i := range p.procs {
		q := &p.procs[i]
		q.core = set.Allowed[i]
		for g := range groups {
			q.cores = append(q.cores, set.Allowed[g*len(p.procs)+i])
		}
	}
}

// address fills in what a process's nodes are reached by.
func (p *plan) address(hosts []netlab.Host) error {
	for _, q := range p.procs {
		for _, id := range q.nodes {
			n := &p.file.Nodes[id-1]
			n.Core = q.core
			if len(p.file.Groups) > 0 {
				n.Cores = q.cores
			}
			if p.file.Transport == cluster.TransportMem {
				n.Endpoint = fmt.Sprintf("p%d", q.nodes[0])
				continue
			}
			h := hosts[q.host]
			n.Interface, n.IP, n.MAC = h.Interface, h.IP, cluster.MAC(h.MAC)
			n.Queue, n.Host = q.queue, h.Name
			if p.file.Transport == cluster.TransportUDP {
				n.Queue, n.Interface, n.MAC = 0, "", cluster.MAC{}
			}
		}
	}
	return p.file.Validate()
}

// loopback gives every process a port of 127.0.0.1, and one for each further group: the same cluster without namespaces.
func (p *plan) loopback(base uint16) error {
	groups := len(p.file.AllGroups())
	for i, q := range p.procs {
		for _, id := range q.nodes {
			n := &p.file.Nodes[id-1]
			n.IP, n.Port, n.Core = netip.AddrFrom4([4]byte{127, 0, 0, 1}), base+uint16(i*groups), q.core
			if len(p.file.Groups) > 0 {
				n.Cores = q.cores
			}
		}
	}
	return p.file.Validate()
}

// wireHops is how many hops over the wire a value's way has, from the client and back to it: to the proposer, to the acceptor that
// completes a quorum, to the learner, to the client. Hops within a loop or through memory of a host do not count.
func (p *plan) wireHops() int {
	if p.file.Transport == cluster.TransportMem {
		return 0
	}
	return p.portHops()
}

// portHops are those of a value from one loop to another over ports of the plan's transport, be it a wire or memory.
func (p *plan) portHops() int {
	at := map[uint16]int{}
	for i, q := range p.procs {
		for _, id := range q.nodes {
			at[id] = i
		}
	}
	hop := func(a, b uint16) int {
		x, y := p.procs[at[a]], p.procs[at[b]]
		if at[a] == at[b] || p.layout == layoutSharedNIC && x.host == y.host {
			return 0
		}
		return 1
	}
	proposer, learner := p.file.Proposers()[0].ID, p.file.Learners()[0].ID
	var ways [3]int // how many acceptors are on a way of 0, 1, 2 hops
	for _, a := range p.file.Acceptors() {
		ways[hop(proposer, a.ID)+hop(a.ID, learner)]++
	}
	middle, quorum := 0, len(p.file.Acceptors())/2+1
	for n := ways[0]; n < quorum; n += ways[middle] {
		middle++
	}
	return hop(p.client, proposer) + middle + hop(learner, p.client)
}

// describe says which nodes share what.
func (p *plan) describe() string {
	var parts []string
	for _, q := range p.procs {
		var names []string
		for _, id := range q.nodes {
			names = append(names, fmt.Sprintf("%v %d", p.file.Nodes[id-1].Roles, id))
		}
		part := strings.Join(names, " + ")
		switch {
		case q.core != cluster.NoCore && len(p.file.Groups) > 0:
			part += fmt.Sprintf(" on cores %v", q.cores)
		case q.core != cluster.NoCore:
			part += fmt.Sprintf(" on core %d", q.core)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "\n  ")
}
