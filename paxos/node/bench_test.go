package node

import (
	"fmt"
	"net/netip"
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/dataplane/udp"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// benchFile is the packed layout: acceptors and the learner at one endpoint, proposer and client at the other.
func benchFile(b *testing.B, batch cluster.Batch) *cluster.File {
	b.Helper()
	f := cluster.New()
	f.Transport, f.Batch, f.Window, f.ValueBytes = cluster.TransportMem, batch, 1<<14, 1<<22
	for _, n := range []struct {
		roles    cluster.Roles
		endpoint string
	}{
		{cluster.Acceptor, "far"}, {cluster.Acceptor, "far"}, {cluster.Acceptor, "far"}, {cluster.Learner, "far"},
		{cluster.Proposer, "near"}, {cluster.Client, "near"},
	} {
		node := cluster.NewNode(uint16(len(f.Nodes)+1), n.roles)
		node.Endpoint = n.endpoint
		f.Nodes = append(f.Nodes, node)
	}
	if err := f.Validate(); err != nil {
		b.Fatal(err)
	}
	return f
}

// newBenchNode makes the node of an endpoint with one port, to the other endpoint. What it draws is the same each time.
func newBenchNode(b *testing.B, f *cluster.File, endpoint string, port dataplane.Port, spec *ClientSpec) *Node {
	b.Helper()
	drawn, dir := uint64(0), b.TempDir()
	c := Config{
		File: f, Ports: []dataplane.Port{port}, Ways: map[string]Way{}, MTU: mem.DefaultMTU, Now: benchStart,
		Draw:   func() uint64 { drawn++; return drawn },
		State:  func(id uint16) (*cluster.State, error) { return cluster.OpenState(dir, f.Cluster, f.Group, id) },
		Rounds: newRoundKeeper(func(_ paxos.NodeID, err error) { b.Error(err) }),
		Sizes:  UsualSizes(), Client: spec, Deliver: func(paxos.NodeID, *paxos.Delivery) {}, Notice: func(Notice) {},
		Warn: func(format string, args ...any) { b.Logf(format, args...) },
	}
	for _, e := range f.Endpoints() {
		if e.Nodes[0].Endpoint != endpoint {
			c.Ways[e.Key] = Way{}
			continue
		}
		for _, n := range e.Nodes {
			c.Nodes = append(c.Nodes, n.ID)
		}
	}
	n, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

const benchStart paxos.Time = 1e9

// round is a cluster of two nodes whose cycles are called in turn on one thread: what a value costs without any wait. The clock goes on by 2 µs.
type round struct {
	b         *testing.B
	near, far *Node
	source    *steady
	now       paxos.Time
}

func newRound(b *testing.B, outstanding int, near, far dataplane.Port) *round {
	f := benchFile(b, cluster.BatchInstance)
	r := &round{b: b, source: &steady{}, now: benchStart}
	r.far = newBenchNode(b, f, "far", far, nil)
	r.near = newBenchNode(b, f, "near", near, &ClientSpec{Sessions: 1, Outstanding: outstanding, MaxValue: 64, Source: r.source})
	r.until(1000)
	return r
}

// until cycles until so many values are delivered.
func (r *round) until(values uint64) {
	for n := 0; r.source.done < values; n++ {
		r.now += 2000
		r.near.Cycle(r.now)
		r.far.Cycle(r.now)
		if n > 10_000_000 {
			r.b.Fatalf("%d values after %d cycles", r.source.done, n)
		}
	}
}

// measure lets the values that are outstanding at once be answered, again and again. syscalls is what the ports count of them, nil where they make none.
func (r *round) measure(outstanding uint64, syscalls func() uint64) {
	r.b.ReportAllocs()
	before := uint64(0)
	if syscalls != nil {
		before = syscalls()
	}
	first := r.source.done
	for r.b.Loop() {
		r.until(r.source.done + outstanding)
	}
	values := float64(r.source.done - first)
	r.b.ReportMetric(float64(r.b.Elapsed().Nanoseconds())/values, "ns/value")
	if syscalls != nil {
		r.b.ReportMetric(float64(syscalls()-before)/values, "syscalls/value")
	}
}

// BenchmarkCycle is the way of a value from submission to reply: the cycles of two nodes in turn, on one thread.
func BenchmarkCycle(b *testing.B) {
	for _, outstanding := range []int{1, 64} {
		b.Run(fmt.Sprint("mem/", outstanding), func(b *testing.B) {
			near, far, err := mem.NewPair(mem.Config{Frames: 2048})
			if err != nil {
				b.Fatal(err)
			}
			newRound(b, outstanding, near, far).measure(uint64(outstanding), nil)
		})
		b.Run(fmt.Sprint("udp/", outstanding), func(b *testing.B) {
			near, far := newUDPPair(b)
			newRound(b, outstanding, near, far).measure(uint64(outstanding), func() uint64 {
				return near.Counters().Syscalls() + far.Counters().Syscalls()
			})
		})
	}
}

// newUDPPair opens two sockets of the loopback interface.
func newUDPPair(b *testing.B) (near, far *udp.Port) {
	b.Helper()
	open := func(listen string, peer netip.AddrPort) *udp.Port {
		p, err := udp.Open(udp.Config{Listen: netip.MustParseAddrPort(listen), Peers: []netip.AddrPort{peer}, Frames: 2048})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		return p
	}
	// The address of a port is known when it is open, and its peers must be known before: the first is opened twice.
	first := open("127.0.0.1:0", netip.MustParseAddrPort("127.0.0.1:9"))
	address := first.LocalAddr()
	far = open("127.0.0.1:0", address)
	first.Close()
	return open(address.String(), far.LocalAddr()), far
}

// nullPort sends into nothing: its frames are free again at once.
type nullPort struct {
	cells    [][]byte
	counters dataplane.Counters
}

func newNullPort() *nullPort {
	p := &nullPort{cells: make([][]byte, 512)}
	for i := range p.cells {
		p.cells[i] = make([]byte, 0, mem.DefaultMTU)
	}
	return p
}

func (p *nullPort) RxBurst([]dataplane.Frame) int { return 0 }

func (p *nullPort) Alloc(frames []dataplane.Frame) (n int) {
	for n = 0; n < len(frames) && len(p.cells) > 0; n++ {
		frames[n] = dataplane.Frame{Data: p.cells[len(p.cells)-1]}
		p.cells = p.cells[:len(p.cells)-1]
	}
	return n
}

func (p *nullPort) TxBurst(frames []dataplane.Frame) int {
	p.counters.TxFrames += uint64(len(frames))
	p.Free(frames)
	return len(frames)
}

func (p *nullPort) Free(frames []dataplane.Frame) {
	for i := range frames {
		p.cells = append(p.cells, frames[i].Data[:0])
	}
}

func (p *nullPort) Flush()                        {}
func (p *nullPort) MTU() int                      { return mem.DefaultMTU }
func (p *nullPort) Info() dataplane.Info          { return dataplane.Info{Transport: "null"} }
func (p *nullPort) Counters() *dataplane.Counters { return &p.counters }
func (p *nullPort) FD() int                       { return -1 }
func (p *nullPort) Arm() bool                     { return true }
func (p *nullPort) Close() error                  { return nil }

// benchBatches are how many messages of 64-byte values the border is measured with.
var benchBatches = []int{1, 8}

// BenchmarkReceive is a received frame on its way to the inboxes: checked, decoded, handed over.
func BenchmarkReceive(b *testing.B) {
	for _, messages := range benchBatches {
		b.Run(fmt.Sprint(messages, "-messages"), func(b *testing.B) {
			n := newBenchNode(b, benchFile(b, cluster.BatchFrame), "far", newNullPort(), nil)
			data := make([]byte, mem.DefaultMTU)
			value := make([]byte, paxos.ValueOverhead+64)
			var w paxos.FrameWriter
			w.Start(data, paxos.FrameHeader{
				Cluster: n.cluster, Incarnation: 9, Group: n.group, Sender: 5, Destination: 1, Epoch: paxos.FirstEpoch,
			})
			for i := range messages {
				m := paxos.Message{Kind: paxos.KindAccept, Ballot: paxos.MakeBallot(1, 5), Instance: paxos.Instance(i), Total: uint32(len(value)), Data: value}
				if !w.Append(&m) {
					b.Fatal("the messages do not fit a frame")
				}
			}
			frame := dataplane.Frame{Data: data[:w.Finish()]}
			inbox := &n.seats[0].inbox
			b.ReportAllocs()
			for b.Loop() {
				n.frame(&frame)
				if len(*inbox) != messages {
					b.Fatalf("%d messages came in, want %d", len(*inbox), messages)
				}
				*inbox = (*inbox)[:0]
			}
			reportPer(b, messages, "ns/message")
		})
	}
}

// BenchmarkTransmit is what a role said on its way to the port: written into frames, one to each acceptor and to the learner.
func BenchmarkTransmit(b *testing.B) {
	for _, messages := range benchBatches {
		b.Run(fmt.Sprint(messages, "-messages"), func(b *testing.B) {
			port := newNullPort()
			n := newBenchNode(b, benchFile(b, cluster.BatchFrame), "near", port, nil)
			value := make([]byte, paxos.ValueOverhead+64)
			s := n.seats[0]
			b.ReportAllocs()
			for b.Loop() {
				s.out.Reset()
				for i := range messages {
					for to := paxos.NodeID(1); to <= 4; to++ {
						m := s.out.Send(paxos.KindAccept, to)
						m.Ballot, m.Instance, m.Total, m.Data = paxos.MakeBallot(1, 5), paxos.Instance(i), uint32(len(value)), value
					}
				}
				before := port.counters.TxFrames
				n.dispatch(s)
				n.transmit()
				if got := port.counters.TxFrames - before; got != 4 {
					b.Fatalf("%d frames were sent, want 4", got)
				}
			}
			reportPer(b, 4*messages, "ns/message")
		})
	}
}

// reportPer reports a time for each of the things that an operation did.
func reportPer(b *testing.B, things int, unit string) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*things), unit)
}
