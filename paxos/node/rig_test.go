package node

import (
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// fakePort is a port without a wire: what it receives is put there by a test, what it sends is kept.
type fakePort struct {
	in       [][]byte // to be received
	sent     [][]byte
	peers    []dataplane.Peer // of sent
	out      int              // frames in the caller's hands
	cells    int              // most of those from Alloc; 0: as many as asked for
	room     int              // most frames that one TxBurst takes; 0: all
	flushes  int
	counters dataplane.Counters
	closed   bool
}

const fakeMTU = 1400

func (p *fakePort) RxBurst(frames []dataplane.Frame) (n int) {
	for n < len(frames) && n < len(p.in) {
		frames[n] = dataplane.Frame{Data: p.in[n]}
		n++
	}
	p.in = p.in[n:]
	p.out += n
	return n
}

func (p *fakePort) Alloc(frames []dataplane.Frame) (n int) {
	for n < len(frames) && (p.cells == 0 || p.out < p.cells) {
		frames[n] = dataplane.Frame{Data: make([]byte, 0, fakeMTU), Peer: dataplane.NoPeer}
		n++
		p.out++
	}
	return n
}

func (p *fakePort) TxBurst(frames []dataplane.Frame) (n int) {
	for n < len(frames) && (p.room == 0 || n < p.room) {
		p.sent = append(p.sent, frames[n].Data)
		p.peers = append(p.peers, frames[n].Peer)
		n++
	}
	p.out -= n
	return n
}

func (p *fakePort) Flush()                        { p.flushes++ }
func (p *fakePort) Free(frames []dataplane.Frame) { p.out -= len(frames) }
func (p *fakePort) MTU() int                      { return fakeMTU }
func (p *fakePort) Info() dataplane.Info          { return dataplane.Info{Transport: "mem"} }
func (p *fakePort) Counters() *dataplane.Counters { return &p.counters }
func (p *fakePort) FD() int                       { return -1 }
func (p *fakePort) Arm() bool                     { return true }
func (p *fakePort) Close() error                  { p.closed = true; return nil }

// Nodes of the rig's cluster: one of each role on endpoint "m", and one of each on an endpoint of its own.
const (
	acceptor1 paxos.NodeID = 1 + iota
	acceptor2
	acceptor3
	proposer4
	learner5
	client6
	learner7
	client8
	proposer9
)

var rigNodes = []struct {
	id       paxos.NodeID
	roles    cluster.Roles
	endpoint string
}{
	{acceptor1, cluster.Acceptor, "a"}, {acceptor2, cluster.Acceptor, "b"}, {acceptor3, cluster.Acceptor, "m"},
	{proposer4, cluster.Proposer, "m"}, {learner5, cluster.Learner, "m"}, {client6, cluster.Client, "m"},
	{learner7, cluster.Learner, "l"}, {client8, cluster.Client, "c"}, {proposer9, cluster.Proposer, "p"},
}

func rigFile(t *testing.T) *cluster.File {
	t.Helper()
	f := cluster.New()
	f.Transport, f.Window, f.ValueBytes = cluster.TransportMem, 1<<12, 1<<20
	for _, r := range rigNodes {
		n := cluster.NewNode(uint16(r.id), r.roles)
		n.Endpoint = r.endpoint
		f.Nodes = append(f.Nodes, n)
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	return f
}

// rig is a process that is not run: a test calls its cycles.
type rig struct {
	*Process
	t     *testing.T
	ports map[string]*fakePort // by endpoint name
	now   paxos.Time
}

// newRig opens the process of an endpoint of f, with fake ports to all others.
func newRig(t *testing.T, f *cluster.File, endpoint string, change func(*Spec)) *rig {
	t.Helper()
	r := &rig{t: t, ports: map[string]*fakePort{}, now: dataplane.Now()}
	s := Spec{File: f, StateDir: t.TempDir(), Core: CoreOfFile, Idle: cluster.IdleYield, Links: map[string]dataplane.Port{}}
	for _, e := range f.Endpoints() {
		name := e.Nodes[0].Endpoint
		if name != endpoint {
			r.ports[name] = &fakePort{}
			s.Links[e.Key] = r.ports[name]
			continue
		}
		for _, n := range e.Nodes {
			s.Nodes = append(s.Nodes, n.ID)
			if n.Roles.Has(cluster.Client) {
				s.Client = &ClientSpec{Sessions: 1, Outstanding: 1, MaxValue: 64, Source: idleSource{}}
			}
		}
	}
	if change != nil {
		change(&s)
	}
	p, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	r.Process = p
	return r
}

// idleSource submits nothing.
type idleSource struct{}

func (idleSource) Done(paxos.Time, *client.Outcome) {}
func (idleSource) Fill(paxos.Time, *client.Client)  {}
func (idleSource) Deadline() paxos.Time             { return 1<<63 - 1 }

// frame is a frame of the rig's cluster with messages in it.
func (r *rig) frame(from, to paxos.NodeID, messages ...paxos.Message) []byte {
	r.t.Helper()
	b := make([]byte, fakeMTU)
	var w paxos.FrameWriter
	w.Start(b, paxos.FrameHeader{
		Cluster: r.node.cluster, Incarnation: 9, Group: r.node.group, Sender: from, Destination: to, Epoch: paxos.FirstEpoch,
	})
	for i := range messages {
		if !w.Append(&messages[i]) {
			r.t.Fatal("the messages do not fit a frame")
		}
	}
	return b[:w.Finish()]
}

// receive runs one cycle in which frames come in on the port from an endpoint.
func (r *rig) receive(endpoint string, frames ...[]byte) {
	r.ports[endpoint].in = append(r.ports[endpoint].in, frames...)
	r.cycle()
}

func (r *rig) cycle() {
	r.now += 1000
	r.node.Cycle(r.now)
}

// seat is the seat of a role.
func (r *rig) seatOf(id paxos.NodeID, kind paxos.Role) *seat {
	r.t.Helper()
	for _, s := range r.node.seats {
		if s.node == id && s.kind == kind {
			return s
		}
	}
	r.t.Fatalf("node %d has no %v here", id, kind)
	return nil
}

// kinds are what the frames that were sent to an endpoint carry, by kind and destination.
func (r *rig) kinds(endpoint string) map[paxos.Kind]int {
	r.t.Helper()
	kinds := map[paxos.Kind]int{}
	for _, b := range r.ports[endpoint].sent {
		_, rest, drop := paxos.ParseFrame(b, r.node.cluster, r.node.group)
		for len(rest) > 0 && drop == paxos.DropNone {
			var m paxos.Message
			if rest, drop = paxos.Decode(rest, &m); drop == paxos.DropNone {
				kinds[m.Kind]++
			}
		}
		if drop != paxos.DropNone {
			r.t.Fatalf("a frame that this process sent is dropped: %v", drop)
		}
	}
	return kinds
}
