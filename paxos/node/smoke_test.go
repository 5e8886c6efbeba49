package node

import (
	"sync/atomic"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// counter is a source that keeps a number of values in flight.
type counter struct {
	c    *client.Client
	done atomic.Uint64
}

func (s *counter) Done(paxos.Time, *client.Outcome) {
	s.done.Add(1)
	s.c.Submit(0, make([]byte, 8))
}

func (s *counter) Fill(_ paxos.Time, c *client.Client) {
	s.c = c
	for c.Submit(0, make([]byte, 8)) {
	}
}

func (s *counter) Deadline() paxos.Time { return 1<<63 - 1 }

func TestPackedOnMem(t *testing.T) {
	f := cluster.New()
	f.Transport = cluster.TransportMem
	for id := uint16(1); id <= 3; id++ {
		n := cluster.NewNode(id, cluster.Acceptor)
		n.Endpoint = "b"
		f.Nodes = append(f.Nodes, n)
	}
	for id, r := range map[uint16]cluster.Roles{4: cluster.Proposer, 5: cluster.Learner, 6: cluster.Client} {
		n := cluster.NewNode(id, r)
		n.Endpoint = "a"
		f.Nodes = append(f.Nodes, n)
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	a, b, err := mem.NewPair(mem.Config{})
	if err != nil {
		t.Fatal(err)
	}
	source := &counter{}
	var ps []*Process
	for _, s := range []Spec{
		{File: f, Nodes: []uint16{1, 2, 3}, Links: map[string]dataplane.Port{f.Endpoints()[1].Key: b}},
		{File: f, Nodes: []uint16{4, 5, 6}, Links: map[string]dataplane.Port{f.Endpoints()[0].Key: a},
			Client: &ClientSpec{Sessions: 1, Outstanding: 256, MaxValue: 64, Source: source}},
	} {
		s.StateDir, s.Core, s.Idle = t.TempDir(), CoreOfFile, cluster.IdleYield
		s.Notice = func(n Notice) { t.Logf("node %d %v: %v", n.Node, n.Role, n.Event) }
		p, err := Open(s)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
		go p.Run()
	}
	time.Sleep(2 * time.Second)
	for _, p := range ps {
		s, err := p.Status()
		t.Logf("%+v %v", s, err)
		p.Stop()
	}
	t.Logf("done %d", source.done.Load())
}
