package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// bed is a cluster of real processes that a test kills and starts again: a process for each role, in a lab or on the loopback address.
type bed struct {
	*running
	t     *testing.T
	told  map[*child]*lockedBuffer // what each process wrote to standard error, over all its starts
	nodes map[uint16]*child        // by the first node of each process
}

// bedNumber tells the labs of one test process apart.
var bedNumber int

// newBed builds the network and the cluster file. Nothing runs yet. Everything is taken down at the test's end, which checks that. UDP runs
// on the loopback address.
func newBed(t *testing.T, c planConfig) *bed {
	t.Helper()
	return newBedIn(t, c, c.transport == cluster.TransportAFXDP, netlab.Faults{}, "--outstanding", "8")
}

// newBedIn does so in a lab or not, with these flags of the client.
func newBedIn(t *testing.T, c planConfig, lab bool, faults netlab.Faults, flags ...string) *bed {
	t.Helper()
	c.batch, c.idle = or(c.batch, cluster.BatchInstance), cluster.IdleAuto
	c.layout, c.link = or(c.layout, layoutProcessPerRole), or(c.link, cluster.LinkEthernet)
	c.acceptors, c.proposers, c.learners = or(c.acceptors, 3), or(c.proposers, 1), or(c.learners, 1)
	loopback := uint16(0)
	if lab {
		needLab(t)
	} else {
		loopback = freePorts(t, 16)
	}
	p, err := newPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	bedNumber++
	r, err := build(context.Background(), p, fmt.Sprintf("it%d_%d", os.Getpid(), bedNumber), faults, loopback)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{running: r, t: t, told: map[*child]*lockedBuffer{}, nodes: map[uint16]*child{}}
	t.Cleanup(b.takeDown)
	for i, q := range p.procs {
		k := r.child(i, q, append([]string{"--duration", "600s", "--warmup", "0s", "--linger"}, flags...))
		r.procs = append(r.procs, k)
		b.told[k] = &lockedBuffer{}
		k.log.echo = b.told[k]
		for _, id := range q.nodes {
			b.nodes[id] = k
		}
	}
	return b
}

// takeDown ends what runs and checks that nothing is left of it.
func (b *bed) takeDown() {
	if b.t.Failed() {
		for _, k := range b.procs {
			b.t.Logf("%s told:\n%s", k.name, b.told[k].String())
		}
	}
	if err := b.end(); err != nil {
		b.t.Error(err)
	}
	left, _ := filepath.Glob(fmt.Sprintf("/dev/shm/wirepaxos-%016x-*", b.plan.file.Cluster)) // the pattern is sound
	if _, err := os.Stat(b.dir); err == nil {
		left = append(left, b.dir)
	}
	if len(left) > 0 {
		b.t.Errorf("left behind: %v", left)
		for _, path := range left {
			os.RemoveAll(path)
		}
	}
}

// freePorts finds n UDP ports in a row that nobody has.
func freePorts(t *testing.T, n int) uint16 {
	t.Helper()
	for base := 20000 + os.Getpid()%20000; base < 60000; base += n {
		free := true
		for i := range n {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: base + i})
			if err != nil {
				free = false
				break
			}
			defer c.Close()
		}
		if free {
			return uint16(base)
		}
	}
	t.Fatal("no UDP ports are free on 127.0.0.1")
	return 0
}

// start starts the processes of nodes, in this order.
func (b *bed) start(nodes ...uint16) {
	b.t.Helper()
	for _, id := range nodes {
		k := b.nodes[id]
		if err := b.launch(k); err != nil {
			b.t.Fatal(err)
		}
		eventually(b.t, k.name+" answers", func() bool {
			if k.ended() {
				b.t.Fatal(k.failure())
			}
			_, err := node.AskAll[*node.Status](k.socket, "status")
			return err == nil
		}, k.log.last)
	}
}

// startAll starts all processes, the clients last.
func (b *bed) startAll() {
	b.t.Helper()
	for _, q := range b.plan.procs {
		b.start(q.nodes[0])
	}
}

// signal sends a signal to the process of a node.
func (b *bed) signal(id uint16, s syscall.Signal) {
	b.nodes[id].signal(s)
}

// kill ends the process of a node as kill -9 does.
func (b *bed) kill(id uint16) {
	b.t.Helper()
	b.signal(id, syscall.SIGKILL)
	b.gone(id)
}

// stop ends the process of a node in good order.
func (b *bed) stop(id uint16) {
	b.t.Helper()
	b.signal(id, syscall.SIGTERM)
	b.gone(id)
}

func (b *bed) gone(id uint16) {
	b.t.Helper()
	select {
	case <-b.nodes[id].done:
	case <-time.After(testBound):
		b.t.Fatalf("%s does not end", b.nodes[id].name)
	}
}

// status asks the process of a node.
func (b *bed) status(id uint16) *node.Status {
	b.t.Helper()
	s := &node.Status{}
	var err error
	for range 5 { // a loaded machine may keep the loop away for longer than one question waits
		if err = node.Ask(b.nodes[id].socket, "status", s); err == nil {
			return s
		}
	}
	b.t.Fatalf("node %d: %v\n%s", id, err, b.told[b.nodes[id]].String())
	return nil
}

// tells waits until the process of a node has written text to its standard error.
func (b *bed) tells(id uint16, text string) {
	b.t.Helper()
	told := b.told[b.nodes[id]]
	eventually(b.t, fmt.Sprintf("%s tells %q", b.nodes[id].name, text), func() bool { return strings.Contains(told.String(), text) }, told.String)
}

// acknowledged is how many values the client was told delivered.
func (b *bed) acknowledged() uint64 { return b.status(b.plan.client).Clients[0].Counters.Delivered }

// goesOn waits until the client has got some hundred more values.
func (b *bed) goesOn(after string) {
	b.t.Helper()
	from := b.acknowledged()
	eventually(b.t, "values go on after "+after, func() bool { return b.acknowledged() >= from+200 }, b.describe)
}

// describe is the status of all that answer.
func (b *bed) describe() string {
	var text strings.Builder
	for _, k := range b.procs {
		all, err := node.AskAll[*node.Status](k.socket, "status")
		if err != nil {
			fmt.Fprintf(&text, "%s: %v\n", k.name, err)
			continue
		}
		for _, s := range all {
			s.Ports = nil
		}
		line, err := json.Marshal(all)
		fmt.Fprintf(&text, "%s: %s %v\n%s\n", k.name, line, err, b.told[k].String())
	}
	return text.String()
}

// rewrite puts another cluster file in the place of the first.
func (b *bed) rewrite(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.config(), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	f, _, err := cluster.Load(b.config())
	if err != nil {
		b.t.Fatal(err)
	}
	b.plan.file = f
}

// learners is where each learner stands.
func (b *bed) learners() (all []node.LearnerStatus) {
	b.t.Helper()
	for _, n := range b.plan.file.Learners() {
		all = append(all, b.status(n.ID).Learners...)
	}
	return all
}

// agree stops the client and waits until all learners have delivered the same, to the end.
func (b *bed) agree() {
	b.t.Helper()
	b.stop(b.plan.client)
	var all []node.LearnerStatus
	eventually(b.t, "the learners agree", func() bool {
		all = b.learners()
		for _, l := range all {
			if l.Watermark != all[0].Watermark || l.Watermark < l.High || l.Delivered == 0 {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%+v\n%s", all, b.describe()) })
	for _, l := range all {
		if l.Delivered != all[0].Delivered || l.Hash != all[0].Hash {
			b.t.Errorf("learner %d delivered %d values with hash %x, learner %d %d with %x", all[0].ID, all[0].Delivered, all[0].Hash, l.ID,
				l.Delivered, l.Hash)
		}
	}
}

// leader is the proposer that leads, once one does.
func (b *bed) leader() (id uint16) {
	b.t.Helper()
	eventually(b.t, "a proposer leads", func() bool {
		for _, n := range b.plan.file.Proposers() {
			if b.nodes[n.ID].ended() {
				continue
			}
			for _, p := range b.status(n.ID).Proposers {
				if p.Leads {
					id = n.ID
				}
			}
		}
		return id != 0
	}, b.describe)
	return id
}
