package node

import (
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
)

// lane is a port and what is in work on it.
type lane struct {
	port  dataplane.Port
	rx    []dataplane.Frame // received in this cycle, freed at its end
	n     int
	stash []dataplane.Frame // empty frames, taken in advance
	tx    []dataplane.Frame // finished, not yet handed over
}

func newLane(p dataplane.Port) *lane {
	return &lane{port: p, rx: make([]dataplane.Frame, burst), stash: make([]dataplane.Frame, 0, burst), tx: make([]dataplane.Frame, 0, burst)}
}

// receive takes a burst of what has arrived. The frames stay until the end of the cycle: messages in the inboxes point into them.
func (n *Node) receive(l *lane) int {
	l.n = l.port.RxBurst(l.rx)
	for i := range l.rx[:l.n] {
		n.frame(&l.rx[i])
	}
	return l.n
}

// frame checks a received frame and hands its messages to the roles.
func (n *Node) frame(f *dataplane.Frame) {
	h, rest, drop := paxos.ParseFrame(f.Data, n.cluster, n.group)
	if drop == paxos.DropNone && n.roles[h.Sender] == 0 {
		drop = paxos.DropSender
	}
	if drop != paxos.DropNone {
		n.Counters.Dropped[drop]++
		return
	}
	nodes := h.Nodes()
	if nodes&^n.here != 0 && !n.others(&h, nodes, f.Data[:paxos.FrameHeaderSize+len(rest)]) {
		return
	}
	for len(rest) > 0 {
		m := paxos.Message{From: h.Sender, FromIncarnation: h.Incarnation}
		if rest, drop = paxos.Decode(rest, &m); drop != paxos.DropNone {
			n.Counters.Dropped[drop]++
			return
		}
		from, to := ends(&m)
		if n.roles[h.Sender]&from == 0 || !n.deliver(&m, nodes, to) {
			n.Counters.Dropped[paxos.DropRole]++
			continue
		}
		n.Counters.Messages++
	}
}

// builder is the frame that is open from one local node to others, by one way.
type builder struct {
	lane  *lane // nil: there is no way
	peer  dataplane.Peer
	nodes paxos.NodeSet // that it is for
	roles roleSet       // of all of them
	place int           // of the sender

	frame dataplane.Frame
	w     paxos.FrameWriter
	open  bool
	noted bool       // in Node.open
	votes int        // instances that its votes name
	due   paxos.Time // when it leaves though nothing else makes it: at once, or with patience
}

// write puts a message into the frame that is open to its destination.
func (n *Node) write(place int, m *paxos.Message) {
	if m.To >= paxos.MaxNodes || n.builders[place][m.To].lane == nil {
		n.Counters.NoRoute++
		return
	}
	n.put(&n.builders[place][m.To], m)
}

// put puts a message into the builder's frame, or a new one.
func (n *Node) put(b *builder, m *paxos.Message) {
	if b.open && b.w.Append(m) {
		n.Counters.Sent++
		n.hasten(b, m)
		return
	}
	if b.open {
		n.finish(b)
	}
	if !n.begin(b) {
		n.Counters.NoFrame++
		return
	}
	if !b.w.Append(m) {
		n.Counters.TooLong++ // the frame stays open and empty, for the next
		return
	}
	n.Counters.Sent++
	if n.single {
		n.finish(b)
		return
	}
	n.hasten(b, m)
}

// mostVotes is how many votes wait for more of them: a proposer with room for a few more instances in flight must not miss many.
const mostVotes = 16

// hasten makes a frame leave at the end of this cycle, unless it holds a few votes for a node that does not learn from them and the node has
// patience. Nobody waits for such votes: learners deliver and answer without the proposer, which only needs them for what it may still have in flight, long
// before it would retry.
func (n *Node) hasten(b *builder, m *paxos.Message) {
	if n.patience > 0 && m.Kind == paxos.KindAccepted && !b.roles.has(paxos.RoleLearner) {
		if b.votes += paxos.CountAccepted(m.Data); b.votes < mostVotes {
			return
		}
	}
	b.due = 0
}

func (n *Node) begin(b *builder) bool {
	f, ok := n.take(b.lane)
	if !ok {
		return false
	}
	f.Peer = b.peer
	f.Data = f.Data[:min(cap(f.Data), n.mtu)]
	b.frame, b.open, b.votes, b.due = f, true, 0, n.now+n.patience
	h := paxos.FrameHeader{Cluster: n.cluster, Incarnation: n.incarnation, Group: n.group, Sender: n.local[b.place], Epoch: paxos.FirstEpoch}
	h.SetNodes(b.nodes)
	b.w.Start(f.Data, h)
	if !b.noted {
		b.noted = true
		n.open = append(n.open, b)
	}
	return true
}

// take gets an empty frame. Where the port has none, what is finished is sent first.
func (n *Node) take(l *lane) (f dataplane.Frame, ok bool) {
	if len(l.stash) == 0 {
		got := l.port.Alloc(l.stash[:cap(l.stash)])
		if got == 0 {
			n.push(l)
			l.port.Flush()
			got = l.port.Alloc(l.stash[:cap(l.stash)])
		}
		l.stash = l.stash[:got]
		if got == 0 {
			return f, false
		}
	}
	last := len(l.stash) - 1
	f = l.stash[last]
	l.stash = l.stash[:last]
	return f, true
}

// finish closes a frame. It stays in n.open, closed, until the end of the cycle.
func (n *Node) finish(b *builder) {
	b.open = false
	if b.w.Messages == 0 {
		b.frame.Data = b.frame.Data[:0]
		b.lane.port.Free([]dataplane.Frame{b.frame})
		return
	}
	b.frame.Data = b.frame.Data[:b.w.Finish()]
	n.Counters.Frames++
	n.hand(b.lane, b.frame)
}

// hand gives a finished frame to its lane. A whole burst leaves at once, so that whoever gets it is at work while the rest is written.
func (n *Node) hand(l *lane, f dataplane.Frame) {
	if len(l.tx) == cap(l.tx) {
		n.push(l)
		l.port.Flush()
	}
	l.tx = append(l.tx, f)
}

// push hands the finished frames to the port. What it does not take even after a kick is dropped: the protocol's retries heal it.
func (n *Node) push(l *lane) {
	if len(l.tx) == 0 {
		return
	}
	took := l.port.TxBurst(l.tx)
	if took < len(l.tx) {
		l.port.Flush()
		took += l.port.TxBurst(l.tx[took:])
		if took < len(l.tx) {
			n.Counters.TxDropped += uint64(len(l.tx) - took)
			l.port.Free(l.tx[took:])
		}
	}
	l.tx = l.tx[:0]
}

// transmit ends the cycle: open frames are finished, ports flushed once, received frames freed. Frames to clients go first: somebody waits for
// them, and in copy mode each frame before them in a kick costs about a microsecond. Frames that are not due stay open.
func (n *Node) transmit() {
	for _, b := range n.open {
		if b.open && b.roles == setOf(paxos.RoleClient) {
			n.finish(b)
		}
	}
	stay := 0
	for _, b := range n.open {
		switch {
		case b.open && b.due > n.now:
			n.open[stay] = b
			stay++
			continue
		case b.open:
			n.finish(b)
		}
		b.noted = false
	}
	n.open = n.open[:stay]
	for _, l := range n.ports {
		n.push(l)
		l.port.Flush()
		if l.n > 0 {
			l.port.Free(l.rx[:l.n])
			l.n = 0
		}
	}
}
