package node

import (
	"fmt"
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// steady keeps a number of values in flight, for ever, and allocates nothing.
type steady struct {
	value [64]byte
	done  uint64
}

func (s *steady) Done(_ paxos.Time, o *client.Outcome) {
	if o.Status == paxos.StatusDelivered {
		s.done++
	}
}

func (s *steady) Fill(_ paxos.Time, c *client.Client) {
	for c.Submit(0, s.value[:]) {
	}
}

func (*steady) Deadline() paxos.Time { return 1<<63 - 1 }

// packed are two processes on mem whose cycles the test calls: acceptors in one, proposer, learner and client in the other.
type packed struct {
	t         testing.TB
	processes []*Process
	source    *steady
	now       paxos.Time
}

func newPacked(t testing.TB, batch cluster.Batch, multicast bool, outstanding int) *packed {
	t.Helper()
	f := cluster.New()
	f.Transport, f.Batch, f.Multicast, f.Window, f.ValueBytes = cluster.TransportMem, batch, multicast, 1<<14, 1<<22
	for _, n := range []struct {
		roles    cluster.Roles
		endpoint string
	}{
		{cluster.Acceptor, "b"}, {cluster.Acceptor, "b"}, {cluster.Acceptor, "b"},
		{cluster.Proposer | cluster.Learner, "a"}, {cluster.Client, "a"},
	} {
		node := cluster.NewNode(uint16(len(f.Nodes)+1), n.roles)
		node.Endpoint = n.endpoint
		f.Nodes = append(f.Nodes, node)
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	a, b, err := mem.NewPair(mem.Config{Frames: 2048})
	if err != nil {
		t.Fatal(err)
	}
	p := &packed{t: t, source: &steady{}, now: dataplane.Now()}
	ends := f.Endpoints() // b, then a
	for _, s := range []Spec{
		{Nodes: []uint16{1, 2, 3}, Links: map[string]dataplane.Port{ends[1].Key: b}},
		{Nodes: []uint16{4, 5}, Links: map[string]dataplane.Port{ends[0].Key: a},
			Client:  &ClientSpec{Sessions: 1, Outstanding: outstanding, MaxValue: 64, Source: p.source},
			Deliver: func(paxos.NodeID, *paxos.Delivery) {}},
	} {
		s.File, s.StateDir, s.Core, s.Idle = f, t.TempDir(), CoreOfFile, cluster.IdleYield
		process, err := Open(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(process.Close)
		p.processes = append(p.processes, process)
	}
	return p
}

// cycle is one turn of both loops. The clock goes on by 2 µs.
func (p *packed) cycle() {
	p.now += 2000
	for _, q := range p.processes {
		q.node.Cycle(p.now)
	}
}

// until cycles until so many values are delivered.
func (p *packed) until(values uint64) {
	p.t.Helper()
	for n := 0; p.source.done < values; n++ {
		if p.cycle(); n > 10_000_000 {
			p.t.Fatalf("%d values after %d cycles", p.source.done, n)
		}
	}
}

// packedRuns are the ways to run the packed layout.
func packedRuns() (all []struct {
	batch     cluster.Batch
	multicast bool
}) {
	for _, batch := range []cluster.Batch{cluster.BatchInstance, cluster.BatchFrame, cluster.BatchOff} {
		for _, multicast := range []bool{false, true} {
			all = append(all, struct {
				batch     cluster.Batch
				multicast bool
			}{batch, multicast})
		}
	}
	return all
}

// In the steady state no burst allocates: neither on the way of a value, nor for heartbeats, leases, trimming and retries, which this run's
// virtual seconds hold many of.
func TestCyclesDoNotAllocate(t *testing.T) {
	for _, c := range packedRuns() {
		for _, outstanding := range []int{1, 256} {
			t.Run(fmt.Sprint(c.batch, c.multicast, outstanding), func(t *testing.T) {
				p := newPacked(t, c.batch, c.multicast, outstanding)
				p.until(1000)
				before := p.source.done
				cycles := uint64(2000 / max(1, outstanding/32))
				perRun := testing.AllocsPerRun(5, func() {
					for range cycles {
						p.cycle()
					}
				})
				if perRun != 0 {
					t.Errorf("%v allocations in %d cycles", perRun, cycles)
				}
				if p.source.done < before+cycles {
					t.Errorf("%d values in %d cycles", p.source.done-before, cycles)
				}
				p.now += 3e9 // longer than a lease and every retry: all that runs by time has its turn
				if perRun := testing.AllocsPerRun(5, func() { p.now += 50e6; p.cycle() }); perRun != 0 {
					t.Errorf("%v allocations in a cycle of timers", perRun)
				}
			})
		}
	}
}

// Everything that is submitted comes back, in few cycles: nothing waits for a timer.
func TestPackedOnMem(t *testing.T) {
	p := newPacked(t, cluster.BatchInstance, false, 1)
	p.until(100)
	before := p.now
	p.until(1100)
	if cycles := (p.now - before) / 2000; cycles > 4*1000 {
		t.Errorf("1000 values, one after the other, took %d cycles", cycles)
	}
	for _, q := range p.processes {
		c := &q.node.Counters
		if c.InboxFull+c.NoFrame+c.TxDropped+c.NoRoute+c.TooLong != 0 || c.Dropped != [paxos.NumDrops]uint64{} {
			t.Errorf("something was dropped: %+v", c)
		}
	}
}

// frames is how many frames the processes wrote for so many values.
func (p *packed) frames(values uint64) (n uint64) {
	p.until(p.source.done + values)
	for _, q := range p.processes {
		n += q.node.Counters.Frames
	}
	return n
}

// With multicast the three acceptors of a process share a frame: of a value that is alone in flight two of its accepts are saved.
func TestPackedMulticastFrames(t *testing.T) {
	for _, batch := range []cluster.Batch{cluster.BatchInstance, cluster.BatchFrame, cluster.BatchOff} {
		const values = 2000
		without, with := newPacked(t, batch, false, 1).frames(values), newPacked(t, batch, true, 1).frames(values)
		if with+2*values*9/10 > without {
			t.Errorf("batch %s: %d frames for %d values with multicast, %d without", batch, with, values, without)
		}
	}
}

// A cycle takes one burst from a port, and a burst that is full leaves while the cycle goes on: neither end of a link waits for all that the
// other has.
func TestBursts(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	p := r.ports["a"]
	for range burst + 5 {
		p.in = append(p.in, r.frame(acceptor1, learner5, paxos.Message{Kind: paxos.KindTrimmed}))
	}
	if r.cycle(); len(p.in) != 5 {
		t.Errorf("%d frames are left after a cycle, want 5", len(p.in))
	}

	lane := r.node.routes[acceptor1].lane
	sent, flushes := len(p.sent), p.flushes
	for range burst + 1 {
		r.node.hand(lane, dataplane.Frame{Data: []byte{1}})
	}
	if len(p.sent)-sent != burst || p.flushes-flushes != 1 {
		t.Errorf("of %d frames %d were sent in %d flushes before the cycle ended, want %d in one", burst+1, len(p.sent)-sent, p.flushes-flushes, burst)
	}
}
