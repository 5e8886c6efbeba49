package sim

import (
	"fmt"
	"slices"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/paxos/sim/check"
)

// machine runs the nodes of one endpoint, as one process on one loop. It has a clock and a disk, which outlive the process.
type machine struct {
	w        *world
	name     string
	index    int // its address
	door     int // the address at which frames for it come in, but from there: its own, or that of a machine of the same host
	endpoint cluster.Endpoint
	ids      []uint16
	random   random // incarnations and seeds
	clock    clock
	disk     *disk
	slow     int64 // how many times longer everything takes
	habits   habits

	// Of the process that runs.
	node   *node.Node
	loop   *dataplane.Loop
	port   *simwire.Port
	source *source // of its client; nil without one. It stays when the machine is down.
	keeper keeper  // of its client's sessions
	grants []grant
	starts int
	actors []*check.Actor

	wakeAt      int64 // of its next turn; never while it is down
	busyUntil   int64
	pausedUntil int64
}

// grant is a reservation of rounds that is being written to the disk, or is there and was not looked at yet.
type grant struct {
	node         paxos.NodeID
	first, limit uint64
	ready        bool
}

func newMachine(w *world, index int, e cluster.Endpoint, r *random, skewed bool) *machine {
	m := &machine{w: w, name: e.Key, index: index, door: index, endpoint: e, random: random{state: r.next()}, disk: newDisk(), slow: 1, wakeAt: never}
	for _, n := range e.Nodes {
		m.ids = append(m.ids, n.ID)
	}
	m.clock = clock{offset: 1 * s}
	if skewed {
		m.clock = clock{offset: r.between(1*s, 3600*s), drift: r.between(-500, 500)}
	}
	return m
}

func (m *machine) up() bool { return m.node != nil }

// has tells whether a node of the machine has a role.
func (m *machine) has(role cluster.Roles) bool {
	return slices.ContainsFunc(m.endpoint.Nodes, func(n cluster.Node) bool { return n.Roles.Has(role) })
}

// start makes a process as cmd does, from what the disk holds. A start that fails leaves the machine down.
func (m *machine) start() bool {
	w := m.w
	port, ways, many := m.open()
	m.grants = m.grants[:0]
	c := node.Config{
		File: w.plan.file, Nodes: m.ids, Ports: []dataplane.Port{port}, Ways: ways, Many: many, MTU: w.plan.file.MTU, Now: m.clock.local(w.now),
		Draw: func() uint64 { return max(1, m.random.next()) }, State: m.state, Rounds: m, Sizes: w.plan.sizes, Patience: w.plan.patience,
		Deliver: m.deliver, Notice: m.notice, Warn: func(string, ...any) {}, Observe: m.observe,
	}
	var err error
	if m.has(cluster.Client) {
		c.Client, err = m.clientSpec()
	}
	var n *node.Node
	if err == nil {
		n, err = node.New(c)
	}
	if err == nil {
		m.loop, err = dataplane.NewLoop(dataplane.LoopConfig{Name: m.name, Core: dataplane.NoCore, Idle: dataplane.IdleBlock, Ports: c.Ports}, n)
	}
	if err != nil {
		port.Close()
		w.trace.event(m, "does not start: %v", err)
		return false
	}
	m.node, m.port = n, port
	m.introduce()
	w.trace.event(m, "starts, incarnation %x", uint64(n.Incarnation()))
	m.starts++
	m.busyUntil = 0
	m.wake(w.now)
	return true
}

// open opens the port of a process, and says how it reaches the others: each at its door and, where there are groups, all that listen to one at once.
// Those of its own host it reaches directly, and passes on what comes in for them.
func (m *machine) open() (port *simwire.Port, ways map[string]node.Way, many map[int]dataplane.Peer) {
	w := m.w
	var peers, group []simwire.Address
	for _, other := range w.machines {
		if other != m {
			peers = append(peers, simwire.Address(other.index))
		}
	}
	ways = map[string]node.Way{}
	for _, other := range w.machines {
		if other == m {
			continue
		}
		way, at := node.Way{}, simwire.Address(other.door)
		if other.door == m.door {
			way.Pass, at = true, simwire.Address(other.index)
		} else {
			way.Many = w.plan.groups && (other.has(cluster.Acceptor) || other.has(cluster.Learner))
		}
		way.Peer = dataplane.Peer(slices.Index(peers, at))
		ways[other.endpoint.Key] = way
		if way.Many && !slices.Contains(group, at) {
			group = append(group, at)
		}
	}
	var groups [][]simwire.Address
	if len(group) > 0 {
		groups, many = [][]simwire.Address{group}, map[int]dataplane.Peer{0: dataplane.Peer(len(peers))}
	}
	port, err := w.net.Open(m.name, peers, groups...)
	if err != nil {
		panic(err) // it is down, so its port is closed
	}
	return port, ways, many
}

// introduce tells the checkers who runs here now.
func (m *machine) introduce() {
	m.actors = m.actors[:0]
	for _, n := range m.endpoint.Nodes {
		for role, has := range rolesOf(n.Roles) {
			if has {
				a := &check.Actor{Node: paxos.NodeID(n.ID), Role: paxos.Role(role), Incarnation: m.node.Incarnation(), Start: m.starts}
				m.actors = append(m.actors, a)
				m.w.suite.Started(a)
			}
		}
		if n.Roles.Has(cluster.Learner) {
			m.w.registry.learner(paxos.NodeID(n.ID))
		}
	}
}

// rolesOf tells by paxos.Role which roles a set has.
func rolesOf(r cluster.Roles) [4]bool {
	return [4]bool{
		paxos.RoleAcceptor: r.Has(cluster.Acceptor), paxos.RoleProposer: r.Has(cluster.Proposer), paxos.RoleLearner: r.Has(cluster.Learner),
		paxos.RoleClient: r.Has(cluster.Client),
	}
}

// crash ends the process in the middle of whatever it does. Rounds that are being reserved may reach the disk or not.
func (m *machine) crash() {
	m.w.trace.event(m, "crashes")
	for _, g := range m.grants {
		if !g.ready {
			m.disk.power = int(m.random.below(6))
			m.reserve(g.node, g.first)
		}
	}
	if m.keeper.writing {
		m.disk.power = int(m.random.below(6))
		_ = m.save() // what reaches the disk of it
	}
	m.tally()
	m.keeper = keeper{}
	m.w.messages += m.node.Counters.Messages
	m.disk.crash(&m.random)
	m.port.Close()
	m.node, m.loop, m.port, m.wakeAt = nil, nil, nil, never
	if m.source != nil {
		m.source.abandon()
	}
}

// tally adds up what a process that ends, or the run with it, has counted.
func (m *machine) tally() {
	for _, c := range m.clients() {
		m.w.features.add(featRenewed, c.Counters.Renewed)
	}
	m.w.features.add(featPassed, m.node.Counters.Forwarded)
}

// state is what the disk holds of a node's earlier starts.
func (m *machine) state(id uint16) (*cluster.State, error) {
	f := m.w.plan.file
	return cluster.NewState(m.disk, "state", f.Cluster, f.Group, id), nil
}

// Reserve writes to the disk, which takes its time. (node.Reserver)
func (m *machine) Reserve(id paxos.NodeID, s *cluster.State, atLeast uint64) bool {
	m.grants = append(m.grants, grant{node: id, first: atLeast})
	start := m.starts
	m.w.events.add(m.w.now+m.random.between(50*us, 5*ms), func() {
		if !m.up() || m.starts != start {
			return
		}
		for i := range m.grants {
			if g := &m.grants[i]; g.node == id && !g.ready {
				first, limit, err := s.ReserveRounds(g.first, m.w.plan.sizes.Rounds)
				if err != nil {
					panic(err) // the disk works while the power is on
				}
				g.first, g.limit, g.ready = first, limit, true
			}
		}
	})
	return true
}

// reserve is what reaches the disk of a reservation in the middle of which the power goes.
func (m *machine) reserve(id paxos.NodeID, atLeast uint64) {
	s, _ := m.state(uint16(id))
	_, _, _ = s.ReserveRounds(atLeast, m.w.plan.sizes.Rounds) // nobody is there to hear of it
}

// Granted takes a reservation that is on the disk. (node.Reserver)
func (m *machine) Granted(id paxos.NodeID) (first, limit uint64, ok bool) {
	for i, g := range m.grants {
		if g.node == id && g.ready {
			m.grants = slices.Delete(m.grants, i, i+1)
			return g.first, g.limit, true
		}
	}
	return 0, 0, false
}

// wake arranges a turn at a time, or as soon after it as the machine is free, unless one comes before.
func (m *machine) wake(at int64) {
	if !m.up() {
		return
	}
	at = max(at, m.busyUntil, m.pausedUntil)
	if at < m.wakeAt {
		m.wakeAt = at
		m.w.events.addTurn(at, m)
	}
}

// turn is one turn of the loop. The next is due when something arrives, at the deadline, or at once if there is more to do.
func (m *machine) turn() {
	w := m.w
	m.wakeAt = never
	if m.pausedUntil > w.now {
		m.wake(m.pausedUntil)
		return
	}
	w.turns++
	work := m.loop.Turn(m.clock.local(w.now))
	m.busyUntil = w.now + (w.plan.turnNs+int64(work)*w.plan.workNs)*m.slow
	if !m.port.Arm() {
		m.wake(m.busyUntil)
		return
	}
	m.wake(m.clock.world(m.node.Deadline()))
}

// pause stops the machine for a while, as SIGSTOP does.
func (m *machine) pause(ns int64) {
	m.pausedUntil = max(m.pausedUntil, m.w.now+ns)
	m.w.trace.event(m, "pauses for %d µs", ns/us)
}

func (m *machine) roles(visit func(id paxos.NodeID, role any)) {
	if m.up() {
		m.node.Roles(visit)
	}
}

// leads tells whether a proposer of the machine says that it leads.
func (m *machine) leads() (leads bool) {
	m.roles(func(_ paxos.NodeID, role any) {
		if p, ok := role.(*paxos.Proposer); ok {
			_, now := p.Leading()
			leads = leads || now
		}
	})
	return leads
}

func (m *machine) clients() (clients []*client.Client) {
	m.roles(func(_ paxos.NodeID, role any) {
		if c, ok := role.(*client.Client); ok {
			clients = append(clients, c)
		}
	})
	return clients
}

func (m *machine) actor(id paxos.NodeID, role paxos.Role) *check.Actor {
	for _, a := range m.actors {
		if a.Node == id && a.Role == role {
			return a
		}
	}
	panic(fmt.Sprintf("sim: %s runs no %v %d", m.name, role, id))
}

// What the process tells.

func (m *machine) deliver(id paxos.NodeID, d *paxos.Delivery) {
	m.w.trace.delivered(m, id, d)
	m.w.suite.Delivered(m.actor(id, paxos.RoleLearner), d)
	m.w.registry.deliver(id, d)
	m.w.features.delivered(d, m.w.plan.file.MTU)
}

func (m *machine) observe(s node.Stepped) {
	m.w.suite.Stepped(m.actor(s.Node, s.Role), s.In, s.Out)
}

func (m *machine) notice(n node.Notice) {
	if n.Event.Kind == paxos.EventLeading {
		m.w.leaders++
		m.roles(func(id paxos.NodeID, role any) {
			if r, ok := role.(*paxos.Proposer); ok && id == n.Node && r.Leadership().Cause == paxos.CauseAsked {
				m.w.features.count(featHandoversDone)
			}
		})
	}
	m.w.features.event(n.Event.Kind)
	m.w.trace.event(m, "%v %d %v", n.Role, n.Node, n.Event)
}
