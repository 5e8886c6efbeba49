package sim

import (
	"fmt"
	"slices"
	"time"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// plan is a cluster and its load, drawn from the seed.
type plan struct {
	file     *cluster.File
	sizes    node.Sizes
	queue    int // frames that a port holds
	runNs    int64
	delayNs  int64 // of a link without faults
	jitterNs int64
	turnNs   int64 // what a turn of a loop costs
	workNs   int64 // and each frame or message in it
	patience int64 // of the nodes
	groups   bool  // ports have a peer that stands for all machines with acceptors or learners
	shared   bool  // some machines are behind the NIC of another (world.share)

	sessions, outstanding int
	paceNs                int64 // between two values of a client; 0: as fast as they are answered
	maxValue              int
	oneSize               bool // all values are that large
	keys                  int64
	habits                []habits // by machine
}

// Node ids by role.
const (
	firstAcceptor = 1
	firstProposer = 11
	firstLearner  = 21
	firstClient   = 31
)

// counts of the roles.
type counts struct{ acceptors, proposers, learners, clients int }

func newPlan(seed uint64, p *Profile) *plan {
	r := newRandom(seed, "cluster")
	c := &plan{
		file: &cluster.File{
			Name: "simulated", Cluster: r.next() | 1, Group: 1, Transport: cluster.TransportMem, Link: cluster.LinkEthernet, Mode: cluster.ModeAuto,
			EtherType: 0x88B5, UDPPort: 7471, Storage: cluster.StorageMemory, Idle: cluster.IdleBlock,
			Chunk: cluster.SmallChunk, Hugepages: cluster.HugepagesAuto, BusyPoll: cluster.BusyPollOff,
			SlowLearner: of(&r, cluster.SlowHold, cluster.SlowDrop), Sessions: manySessions, SessionIdle: 1 << 20,
		},
		runNs: r.between(p.runNs[0], p.runNs[1]),
	}
	c.drawSizes(&r, p.small)
	c.drawTimers(&r)
	patience := newRandom(seed, "patience")
	c.patience = of(&patience, 0, 0, 50*us, 500*us)
	c.drawLoad(&r)
	n := counts{
		acceptors: of(&r, 3, 3, 3, 5), proposers: int(r.between(2, 3)), learners: int(r.between(1, 3)), clients: int(r.between(1, 3)),
	}
	c.place(n, of(&r, apart, apart, paired, replicas))
	multicast := newRandom(seed, "multicast")
	c.drawMulticast(&multicast)
	if p.fixed != nil {
		p.fixed(c)
		c.habits = make([]habits, len(c.file.Nodes))
	} else {
		c.habits = make([]habits, len(c.file.Nodes))
		sessions := newRandom(seed, "sessions")
		c.drawSessions(&sessions, p.clientNs > 0)
	}
	if err := c.file.Validate(); err != nil {
		panic(fmt.Sprintf("sim: seed %d: %v", seed, err))
	}
	return c
}

func (c *plan) drawSizes(r *random, small bool) {
	f := c.file
	f.MTU = of(r, 256, 600, 1472, 1472, 4000)
	f.Batch = of(r, cluster.BatchInstance, cluster.BatchInstance, cluster.BatchFrame, cluster.BatchOff)
	f.Window = of(r, int64(256), 1024)
	f.ValueBytes = 1 << 18
	c.queue = 1024
	c.sizes = node.Sizes{
		Inbox: 1024, Outbox: 1024, Arena: max(1<<16, 48*f.MTU), Queue: 1 << 16, ProposerBytes: 1 << 17, Rounds: 64,
	}
	if small {
		f.Window = of(r, int64(64), 64, 256)
		f.ValueBytes = of(r, int64(1<<16), 1<<17)
		c.queue = of(r, 16, 64, 1024)
		c.sizes.Queue = of(r, 2, 4, 16) * f.MTU
		c.sizes.ProposerBytes = of(r, 1<<14, 1<<16)
		c.sizes.Inbox = of(r, 64, 1024)
		c.sizes.Rounds = of(r, uint64(1), 4, 64)
		c.sizes.InFlight = of(r, 0, 4, 32)
	}
}

func (c *plan) drawTimers(r *random) {
	beat := of(r, 1*ms, 2*ms, 5*ms, 10*ms)
	retry := of(r, 2*ms, 5*ms, 10*ms)
	c.file.Timing = cluster.Timing{
		Heartbeat: time.Duration(beat), Retry: time.Duration(retry), Lease: time.Duration(r.between(100*ms, 600*ms)),
		LeaderTimeout: time.Duration(max(r.between(10*ms, 80*ms), 4*beat)), SlowAfter: time.Duration(of(r, 50*ms, 200*ms, 1*s)),
		ClientRetry: time.Duration(of(r, 5*ms, 10*ms, 20*ms)),
	}
	c.delayNs, c.jitterNs = r.between(2*us, 200*us), r.between(0, 200*us)
	c.turnNs, c.workNs = r.between(200, 2000), r.between(50, 500)
}

func (c *plan) drawLoad(r *random) {
	c.sessions, c.outstanding = int(r.between(1, 3)), int(of(r, int64(1), 2, 4, 8))
	c.paceNs = of(r, 2*ms, 4*ms, 8*ms)
	c.maxValue = min(of(r, 16, 64, 400, paxos.MaxValue(c.file.MTU)), paxos.MaxValue(c.file.MTU))
	if r.percent(20) { // in fragments
		c.file.MaxValue = of(r, int64(2000), 6000)
		c.maxValue, c.outstanding = int(c.file.MaxValue), min(c.outstanding, 2)
		c.sizes.Queue = max(c.sizes.Queue, 3*c.maxValue)
		c.sizes.ProposerBytes = max(c.sizes.ProposerBytes, 1<<15)
		c.queue = max(c.queue, paxos.AcceptFrames(c.file.MTU, c.maxValue)) // a port whose ring holds no value is none to run on
		c.file.ValueBytes = max(c.file.ValueBytes, 1<<17)
	}
	c.keys = r.between(2, 8)
}

// manySessions is more than the clients of any plan open.
const manySessions = 256

// drawSessions draws what becomes of sessions: who keeps them, and whether learners have room for few. Idle sessions are renewed each quarter of what they
// may be idle for, which takes instances: so that is more than there are sessions. A client without room is started again, so it must not share its machine
// with the only learner.
func (c *plan) drawSessions(r *random, few bool) {
	for i := range c.habits {
		c.habits[i] = habits{keep: r.percent(60), takeOver: r.percent(30), reopen: r.percent(50)}
	}
	more, idle := r.below(2), of(r, int64(40), 40, 100)
	for _, e := range c.file.Endpoints() {
		roles := cluster.Roles(0)
		for _, n := range e.Nodes {
			roles |= n.Roles
		}
		few = few && !(roles.Has(cluster.Client) && roles.Has(cluster.Learner) && len(c.file.Learners()) == 1)
	}
	if few && r.percent(50) {
		c.file.Sessions = len(c.file.Clients())*c.sessions + int(more)
		c.file.SessionIdle = max(idle, 4*int64(c.file.Sessions)+4) // fewer would renew each other for ever
	}
}

// layout is who shares a machine.
type layout int

const (
	apart    layout = iota // nobody
	paired                 // a proposer with an acceptor, a client with a learner
	replicas               // all three roles are one node
)

// place puts the roles on machines. At most one client is on each.
func (c *plan) place(n counts, l layout) {
	add := func(first, k int, roles cluster.Roles, machine string) {
		node := cluster.NewNode(uint16(first+k), roles)
		node.Endpoint = fmt.Sprintf("%s%d", machine, first+k)
		if machine == "m" {
			node.Endpoint = fmt.Sprintf("m%d", k)
		}
		c.file.Nodes = append(c.file.Nodes, node)
	}
	host := func(own string) string {
		if l == paired {
			return "m"
		}
		return own
	}
	for k := range n.acceptors {
		roles := cluster.Acceptor
		if l == replicas && k < n.proposers {
			roles |= cluster.Proposer
		}
		if l == replicas && k < n.learners {
			roles |= cluster.Learner
		}
		add(firstAcceptor, k, roles, host("a"))
	}
	if l != replicas {
		for k := range n.proposers {
			add(firstProposer, k, cluster.Proposer, host("p"))
		}
		for k := range n.learners {
			add(firstLearner, k, cluster.Learner, "l")
		}
	}
	for k := range n.clients {
		node := cluster.NewNode(uint16(firstClient+k), cluster.Client)
		node.Endpoint = fmt.Sprintf("c%d", firstClient+k)
		if l == paired && k < n.learners {
			node.Endpoint = fmt.Sprintf("l%d", firstLearner+k)
		}
		c.file.Nodes = append(c.file.Nodes, node)
	}
}

// drawMulticast draws whether there is multicast, and what it can make use of: groups, and machines or hosts with several nodes that get the same.
func (c *plan) drawMulticast(r *random) {
	multicast, groups, dense := r.percent(50), r.percent(60), r.below(3)
	c.file.Multicast, c.groups, c.shared = multicast, multicast && groups, multicast && dense == 1
	if multicast && dense == 2 {
		c.join(firstAcceptor+1, firstAcceptor)
		c.join(firstLearner+1, firstLearner)
	}
}

// join moves all that runs on the machine of one node to that of another. It does nothing where one of the two is not there, nor where a client runs: one
// that loses a session is begun anew, which its machine allows while a learner runs elsewhere.
func (c *plan) join(from, to uint16) {
	source, e1 := c.file.EndpointOf(from)
	target, e2 := c.file.EndpointOf(to)
	client := func(n cluster.Node) bool { return n.Roles.Has(cluster.Client) }
	if e1 != nil || e2 != nil || slices.ContainsFunc(source.Nodes, client) || slices.ContainsFunc(target.Nodes, client) {
		return
	}
	for i := range c.file.Nodes {
		if n := &c.file.Nodes[i]; n.Endpoint == source.Key {
			n.Endpoint = target.Key
		}
	}
}

// idle is a cluster that only beats.
func (c *plan) idle() {
	c.steady()
	c.file.Timing = cluster.Timing{
		Heartbeat: 100 * time.Millisecond, Retry: 100 * time.Millisecond, Lease: 4 * time.Second, LeaderTimeout: time.Second, SlowAfter: time.Second,
		ClientRetry: 100 * time.Millisecond,
	}
	c.sessions, c.outstanding, c.paceNs = 1, 1, 60*s
}

// load is a cluster with as many messages as it can handle.
func (c *plan) load() {
	c.steady()
	c.file.Batch = cluster.BatchFrame
	c.sessions, c.outstanding, c.paceNs, c.maxValue = 4, 64, 0, 64
}

func (c *plan) steady() {
	c.file.Nodes, c.file.MTU, c.file.Batch, c.file.Window, c.file.ValueBytes = nil, 1472, cluster.BatchInstance, 4096, 1<<20
	c.file.Multicast, c.groups, c.shared = false, false, false
	c.place(counts{acceptors: 3, proposers: 2, learners: 2, clients: 1}, apart)
	c.file.Timing = cluster.Timing{
		Heartbeat: time.Millisecond, Retry: 10 * time.Millisecond, Lease: 2 * time.Second, LeaderTimeout: 100 * time.Millisecond, SlowAfter: time.Second,
		ClientRetry: 10 * time.Millisecond,
	}
	c.queue, c.sizes = 4096, node.Sizes{Inbox: 1 << 12, Outbox: 1 << 12, Arena: 1 << 18, Queue: 1 << 18, ProposerBytes: 1 << 18, Rounds: 64}
	c.delayNs, c.jitterNs, c.turnNs, c.workNs = 10*us, 10*us, 1000, 100
	c.maxValue, c.keys, c.file.MaxValue = 16, 1, 0
}

// String says what was drawn, on one line.
func (c *plan) String() string {
	f, t := c.file, c.file.Timing
	machines := len(f.Endpoints())
	multicast := "no multicast"
	if f.Multicast {
		multicast = "multicast"
		if !c.groups {
			multicast += " without groups"
		}
		if c.shared {
			multicast += ", some machines behind the NIC of another"
		}
	}
	return fmt.Sprintf("%d acceptors, %d proposers, %d learners, %d clients on %d machines; batch %s, mtu %d, window %d, queues %d; "+
		"heartbeat %v, retry %v, leader timeout %v, lease %v; %d sessions of %d outstanding, values up to %d bytes; room for %d sessions, idle after %d instances; slow learners: %s, after %v; %s",
		len(f.Acceptors()), len(f.Proposers()), len(f.Learners()), len(f.Clients()), machines, f.Batch, f.MTU, f.Window, c.queue,
		t.Heartbeat, t.Retry, t.LeaderTimeout, t.Lease.Round(time.Millisecond), c.sessions, c.outstanding, c.maxValue, f.Sessions, f.SessionIdle, f.SlowLearner, t.SlowAfter, multicast)
}
