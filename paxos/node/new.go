package node

import (
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// Config is what a node is made of. Whatever a node would otherwise ask the machine for comes in here: links, time, randomness, what outlives it. So
// a simulator runs this very code on a network, a clock and disks of its own.
type Config struct {
	File  *cluster.File
	Nodes []uint16               // ids of the local nodes; all of one endpoint
	Ports []dataplane.Port       // the node's from now on, but for Close
	Ways  map[string]Way         // to the other endpoints, by Endpoint.Key; one without a way cannot be talked to
	Many  map[int]dataplane.Peer // by index of the port: its peer that stands for all endpoints whose Way says Many
	MTU   int                    // payload of a frame: no port's is smaller

	Now    paxos.Time                              // on the clock of the loop that will run the node
	Draw   func() uint64                           // draws random bits, never 0
	State  func(id uint16) (*cluster.State, error) // what is left of earlier starts of an acceptor or proposer
	Rounds Reserver                                // of proposers that use up what State gave at the start
	Sizes  Sizes

	// Patience is how long votes wait for more of them before they leave for a proposer, nanoseconds; 0: they leave with the cycle. It is for
	// loops that spin: one that sleeps would wake for them.
	Patience paxos.Time

	Client  *ClientSpec                              // of the client nodes among Nodes; nil: they submit nothing
	Deliver func(id paxos.NodeID, d *paxos.Delivery) // gets what the learners among Nodes deliver; may be nil
	Notice  func(n Notice)                           // gets the events, on the loop
	Warn    func(format string, args ...any)         // gets what people should know at start
	Observe func(s Stepped)                          // gets every step of every role, on the loop; nil costs nothing
}

// Way is how an endpoint is reached.
type Way struct {
	Port int // index into Config.Ports
	Peer dataplane.Peer
	Many bool // it is one of those that the port's Config.Many reaches
	Pass bool // frames for it that come in here are passed on: it is on this host
}

// Stepped is a step that a role made: what it was told and what it says, good until the observer returns.
type Stepped struct {
	Now  paxos.Time // of the cycle; 0 where it takes its leave
	Node paxos.NodeID
	Role paxos.Role
	In   []paxos.Message
	Out  *paxos.Outbox
}

// Sizes bound what one node keeps beside the window and the ring of values that the cluster file sets. What does not fit is dropped and
// counted, or refused with Busy.
type Sizes struct {
	Inbox         int    // messages that a role can be told in one pass
	Outbox        int    // messages that a role can say in one step
	Arena         int    // bytes of the lists in those
	Queue         int    // bytes of values that wait at a proposer
	ProposerBytes int    // bytes of values in flight at a proposer, a power of two
	InFlight      int    // most instances in flight; 0: by the kind of batching
	Rounds        uint64 // reserved at once; a round is used up by each phase 1
}

// UsualSizes are those of a process. A block of rounds lasts long.
func UsualSizes() Sizes {
	return Sizes{Inbox: 1 << 13, Outbox: paxos.OutboxSize, Arena: paxos.ArenaSize, Queue: 1 << 22, ProposerBytes: 1 << 21, Rounds: 1 << 12}
}

// New builds a node that nobody runs yet: give it to a loop. Errors are one line that says what to do. The ports stay the caller's on an error.
func New(c Config) (*Node, error) {
	n := &Node{
		cluster: paxos.Cluster(c.File.Cluster), group: paxos.Group(c.File.Group), incarnation: paxos.Incarnation(c.Draw()), mtu: c.MTU,
		single: c.File.Batch == cluster.BatchOff, rounds: c.Rounds, notice: c.Notice, observe: c.Observe,
		patience: c.Patience, now: c.Now,
	}
	for _, port := range c.Ports {
		n.ports = append(n.ports, newLane(port))
	}
	n.direct(&c)
	for place, id := range c.Nodes {
		if err := n.seat(&c, place, id); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// direct fills the tables of routes and roles.
func (n *Node) direct(c *Config) {
	for _, id := range c.Nodes {
		n.local = append(n.local, paxos.NodeID(id))
		n.here |= paxos.SetOf(paxos.NodeID(id))
	}
	for process, e := range c.File.Endpoints() {
		for _, node := range e.Nodes {
			n.roles[node.ID] = rolesOf(node.Roles)
			if way, ok := c.Ways[e.Key]; ok {
				n.routes[node.ID] = route{lane: n.ports[way.Port], peer: way.Peer, many: dataplane.NoPeer, pass: way.Pass, process: process}
				if many, ok := c.Many[way.Port]; ok && way.Many {
					n.routes[node.ID].many = many
				}
			}
		}
	}
	n.builders = make([][paxos.MaxNodes]builder, len(c.Nodes))
	for place := range n.builders {
		for id := range n.builders[place] {
			r := &n.routes[id]
			n.builders[place][id] = builder{lane: r.lane, peer: r.peer, nodes: paxos.SetOf(paxos.NodeID(id)), roles: n.roles[id], place: place}
		}
	}
	if c.File.Multicast {
		n.fans = newFans(len(c.Nodes))
	}
	n.open = make([]*builder, 0, len(c.Nodes)*paxos.MaxNodes*(1+fansKept))
}

// seat makes the roles of a local node, in the order in which a value meets them.
func (n *Node) seat(c *Config, place int, id uint16) error {
	node, err := c.File.Node(id)
	if err != nil {
		return err
	}
	var state *cluster.State // once for all roles of the node
	if node.Roles&(cluster.Acceptor|cluster.Proposer) != 0 {
		if state, err = c.State(id); err != nil {
			return err
		}
	}
	for _, pair := range rolePairs {
		if !node.Roles.Has(pair.file) {
			continue
		}
		r, err := n.role(c, pair.role, id, state)
		if err != nil {
			return err
		}
		if r != nil {
			s := newSeat(paxos.NodeID(id), place, pair.role, r, &c.Sizes)
			s.state = state
			n.seats = append(n.seats, s)
		}
	}
	return nil
}

// Incarnation is the node's, drawn when it was made.
func (n *Node) Incarnation() paxos.Incarnation { return n.incarnation }

// Roles calls visit with each role of the local nodes: an *Acceptor, *Proposer or *Learner of the protocol, or a *client.Client. They belong to
// the loop.
func (n *Node) Roles(visit func(id paxos.NodeID, role any)) {
	for _, s := range n.seats {
		switch r := s.role.(type) {
		case acceptorRole:
			visit(s.node, r.Acceptor)
		case *clientRole:
			visit(s.node, r.Client)
		default:
			visit(s.node, r)
		}
	}
}
