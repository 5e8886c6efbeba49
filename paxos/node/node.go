package node

import (
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
)

// burst is how many frames are taken from one port in a cycle, and handed to one before it is flushed. More waits for the next cycle, so that
// answers leave in time and the loops at both ends of a link work at once. (Batched values/s through two loops, five runs of each in turn, medians: over AF_XDP
// 1.51 million (1.13–1.84) with 32 and 1.34 (1.09–1.76) with 256, over mem 2.80 (2.60–4.38) and 2.87 (2.40–3.07).)
const (
	burst  = 32
	passes = 8 // of local messages in a cycle; more waits for the next
)

// Node runs the roles of the local nodes on one loop. It implements dataplane.Task; one loop owns it.
type Node struct {
	cluster     paxos.Cluster
	group       paxos.Group
	incarnation paxos.Incarnation
	mtu         int
	single      bool // one message a frame
	patience    paxos.Time
	now         paxos.Time // of this cycle

	local  []paxos.NodeID
	here   paxos.NodeSet // the local nodes
	roles  [paxos.MaxNodes]roleSet
	seats  []*seat
	ports  []*lane
	routes [paxos.MaxNodes]route

	builders [][paxos.MaxNodes]builder // by place of the sender and by destination
	fans     [][fansKept]fan           // by place of the sender; nil without multicast
	open     []*builder
	rounds   Reserver
	clients  []*client.Client
	notice   func(Notice)
	observe  func(s Stepped) // nil: nobody does

	Counters Counters
}

// route is the way to a node.
type route struct {
	lane    *lane // nil: on this loop, or nobody
	peer    dataplane.Peer
	many    dataplane.Peer // reaches it and others at once; NoPeer: there is none
	pass    bool           // it is on this host: frames for it that come in here are passed on
	process int            // the same for all nodes of its process
}

// Counters count what happened at the border between frames and messages.
type Counters struct {
	Dropped      [paxos.NumDrops]uint64 // received frames and messages, by reason
	Messages     uint64                 // received and decoded
	LocalMessage uint64                 // handed from role to role on this loop
	Frames       uint64                 // written
	Sent         uint64                 // messages in them
	Forwarded    uint64                 // frames passed on to another process of this host
	Ignored      uint64                 // received frames for several nodes, all of them elsewhere
	InboxFull    uint64                 // messages dropped because a role had too many to read
	NoFrame      uint64                 // messages dropped because the port had no frame left
	TxDropped    uint64                 // frames dropped because the port's ring stayed full
	NoRoute      uint64                 // messages to nobody
	TooLong      uint64                 // messages, or frames to be passed on, that fit no frame
	NoticesLost  uint64                 // events that nobody read in time
}

// Notice is an event of a role, for people.
type Notice struct {
	Node  paxos.NodeID
	Role  paxos.Role
	Event paxos.Event
}

// Cycle is one turn of the loop.
func (n *Node) Cycle(now int64) int {
	n.now = now
	work := 0
	for _, l := range n.ports {
		work += n.receive(l)
	}
	work += n.step(now)
	n.transmit()
	return work
}

// Deadline is when the next cycle is due though nothing arrives.
func (n *Node) Deadline() int64 {
	due := paxos.Time(1<<63 - 1)
	for _, s := range n.seats {
		if len(s.inbox) > 0 {
			return 0
		}
		due = min(due, s.due)
	}
	for _, b := range n.open {
		due = min(due, b.due)
	}
	return due
}

func (n *Node) step(now paxos.Time) (work int) {
	for pass := range passes {
		stepped := false
		for _, s := range n.seats {
			if len(s.inbox) == 0 && (pass > 0 || now < s.due) {
				continue
			}
			work += len(s.inbox)
			stepped = true
			n.stepSeat(now, s)
		}
		if !stepped {
			break
		}
	}
	return work
}

func (n *Node) stepSeat(now paxos.Time, s *seat) {
	s.out.Reset()
	s.role.Step(now, s.inbox, s.out)
	if n.observe != nil {
		n.observe(Stepped{Now: now, Node: s.node, Role: s.kind, In: s.inbox, Out: s.out})
	}
	s.inbox = s.inbox[:0]
	s.due = s.role.Deadline()
	n.dispatch(s)
	if s.kind == paxos.RoleProposer {
		n.grant(s)
	}
}

// dispatch sends what a role said on its way.
func (n *Node) dispatch(s *seat) {
	n.say(s, s.out.Now)
	n.say(s, s.out.After)
	for _, e := range s.out.Events {
		n.notice(Notice{Node: s.node, Role: s.kind, Event: e})
	}
}

// say sends messages. With multicast, what is said to several nodes in a row leaves once.
func (n *Node) say(s *seat, list []paxos.Message) {
	for i := 0; i < len(list); {
		m := &list[i]
		m.From, m.FromIncarnation = s.node, n.incarnation
		i++
		if n.fans == nil || i == len(list) || !m.SaysTheSame(&list[i]) {
			n.post(s, m)
			continue
		}
		nodes := paxos.SetOf(m.To)
		for ; i < len(list) && m.SaysTheSame(&list[i]); i++ {
			nodes |= paxos.SetOf(list[i].To)
		}
		n.postMany(s, m, nodes)
	}
}

func (n *Node) post(s *seat, m *paxos.Message) {
	if nodes := paxos.SetOf(m.To); nodes&n.here != 0 {
		n.Counters.LocalMessage++
		_, to := ends(m)
		n.deliver(m, nodes, to)
		return
	}
	n.write(s.place, m)
}

// deliver puts m into the inboxes of the roles of the nodes that take it, and tells whether there was one.
func (n *Node) deliver(m *paxos.Message, nodes paxos.NodeSet, to roleSet) bool {
	taken := false
	for _, s := range n.seats {
		if nodes&s.nodes == 0 || to&s.roles == 0 {
			continue
		}
		taken = true
		if len(s.inbox) == cap(s.inbox) {
			n.Counters.InboxFull++
			continue
		}
		m.To = s.node
		s.inbox = append(s.inbox, *m)
	}
	return taken
}
