package node

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// Process is a node on its loop with all that belongs to it: ports, state directory, events. Open makes it, Run runs it, Close releases it.
type Process struct {
	spec     Spec
	endpoint cluster.Endpoint
	node     *Node
	loop     *dataplane.Loop
	ports    []dataplane.Port
	states   []*cluster.State
	rounds   *roundKeeper
	notices  chan Notice
	started  time.Time
	idle     dataplane.IdleKind
	letSleep func() // the cores, again; nil where they may all along

	ended      chan struct{} // closed when Run is over
	background sync.WaitGroup
	once       sync.Once
}

// Open builds a process and opens all that it needs. Errors are one line that says what to do; nothing is left behind. Frames flow once Run is called.
func Open(s Spec) (p *Process, err error) {
	local, err := s.endpoint()
	if err != nil {
		return nil, err
	}
	opening := &Process{spec: s, endpoint: local, started: time.Now(), notices: make(chan Notice, 256), ended: make(chan struct{})}
	p = opening
	defer func() {
		if err != nil {
			opening.release() // p is nil by now: a return with an error has set it
		}
	}()
	w, err := wire(&s, local)
	if err != nil {
		return nil, err
	}
	p.ports = w.ports
	core, err := p.place()
	if err != nil {
		return nil, err
	}
	p.rounds = newRoundKeeper(func(id paxos.NodeID, err error) {
		s.warn("proposer %d cannot lead: %v", id, err)
	})
	p.node, err = New(Config{
		File: s.File, Nodes: s.Nodes, Ports: w.ports, Ways: w.ways, Many: w.many, MTU: w.mtu, Now: dataplane.Now(), Draw: draw, State: p.state, Rounds: p.rounds,
		Sizes: UsualSizes(), Client: s.Client, Deliver: s.Deliver, Notice: p.notify, Warn: s.warn, Observe: s.Observe,
		Patience: p.patience(),
	})
	if err != nil {
		return nil, err
	}
	if err := dataplane.PopulateMemory(); err != nil {
		s.warn("values will wait for memory where it is used for the first time: %v", err)
	}
	if err := p.makeLoop(core, w.ports); err != nil {
		return nil, err
	}
	if err := p.hold(); err != nil {
		return nil, err
	}
	return p, nil
}

// draw draws 64 random bits, never 0.
func draw() uint64 {
	var b [8]byte
	rand.Read(b[:]) // it does not fail: the runtime ends the process rather
	return max(1, binary.LittleEndian.Uint64(b[:]))
}

// state opens what is left of a node's earlier starts.
func (p *Process) state(id uint16) (*cluster.State, error) {
	if p.spec.StateDir == "" {
		return nil, fmt.Errorf("node %d keeps what must survive a restart in a state directory: name it with --state-dir", id)
	}
	s, err := cluster.OpenState(p.spec.StateDir, p.spec.File.Cluster, p.spec.File.Group, id)
	if err != nil {
		return nil, fmt.Errorf("node %d: %w", id, err)
	}
	p.states = append(p.states, s)
	if s.Volatile() {
		p.spec.warn("node %d: %s is in memory: after a reboot the node does not know that it has run before, "+
			"and a cluster that goes on with it may lose what was chosen; fine for a trial", id, p.spec.StateDir)
	}
	return s, nil
}

// notify is called on the loop, which does not wait for people.
func (p *Process) notify(notice Notice) {
	select {
	case p.notices <- notice:
	default:
		p.node.Counters.NoticesLost++
	}
}

// place chooses the loop's core and idle strategy.
func (p *Process) place() (core int, err error) {
	core = p.spec.Core
	if core == CoreOfFile {
		core = p.endpoint.Core
	}
	idle := p.spec.Idle
	if idle == "" {
		idle = p.endpoint.Idle
	}
	if idle == cluster.IdleAuto {
		if idle = cluster.IdleBlock; core != cluster.NoCore {
			idle = cluster.IdleSpin
		}
	}
	if p.idle, err = dataplane.ParseIdle(string(idle)); err != nil {
		return core, err
	}
	if core == cluster.NoCore {
		core = dataplane.NoCore
	}
	return core, nil
}

// spinPatience is that of a node whose loop spins: several round trips at the pace of one value after the other, and a fraction of any retry time.
const spinPatience = 50_000

// patience is for how long votes may wait: not at all where the loop would have to wake for them.
func (p *Process) patience() paxos.Time {
	if p.idle == dataplane.IdleSpin {
		return spinPatience
	}
	return 0
}

func (p *Process) makeLoop(core int, ports []dataplane.Port) (err error) {
	name := "node"
	for _, id := range p.spec.Nodes {
		name += fmt.Sprintf(" %d", id)
	}
	p.loop, err = dataplane.NewLoop(dataplane.LoopConfig{Name: name, Core: core, Idle: p.idle, Ports: ports, FIFO: p.spec.Hold.FIFO}, p.node)
	return err
}

// hold takes what the spec wants of the machine, once all is there that may still fail.
func (p *Process) hold() (err error) {
	if p.spec.Hold.Memory {
		if err := dataplane.LockMemory(); err != nil {
			return err
		}
	}
	if p.spec.Hold.DMALatency {
		p.letSleep, err = dataplane.HoldDMALatency(0)
	}
	return err
}

// Run runs the loop on the calling goroutine until Stop. Learners and clients then take their leave.
func (p *Process) Run() error {
	p.background.Add(2)
	go func() {
		defer p.background.Done()
		p.rounds.run()
	}()
	go func() {
		defer p.background.Done()
		for notice := range p.notices {
			if p.spec.Notice != nil {
				p.spec.Notice(notice)
			}
		}
	}()
	err := p.loop.Run()
	if err == nil {
		p.node.Leave()
	}
	close(p.rounds.asked)
	close(p.notices)
	p.background.Wait()
	close(p.ended)
	return err
}

// Stop ends Run after the present cycle; from any goroutine.
func (p *Process) Stop() { p.loop.Stop() }

// Close releases everything after Run has returned, or instead of it.
func (p *Process) Close() { p.once.Do(p.release) }

func (p *Process) release() {
	if p.letSleep != nil {
		p.letSleep()
	}
	for _, port := range p.ports {
		port.Close()
	}
	for _, s := range p.states {
		s.Close()
	}
}

// Loop is the loop, for Inspect and Stats.
func (p *Process) Loop() *dataplane.Loop { return p.loop }

// Clients are the clients of the client nodes. They belong to the loop.
func (p *Process) Clients() []*client.Client { return p.node.clients }

// Leave says goodbye for learners and clients, so that nobody waits for their leases to end. It belongs to the loop, or comes after it.
func (n *Node) Leave() {
	n.patience, n.now = 0, 1<<63-1 // what waits leaves too
	for _, s := range n.seats {
		s.out.Reset()
		switch r := s.role.(type) {
		case *paxos.Learner:
			r.Leave(s.out)
		case *clientRole:
			r.Leave(s.out)
		default:
			continue
		}
		if n.observe != nil {
			n.observe(Stepped{Node: s.node, Role: s.kind, Out: s.out})
		}
		n.dispatch(s)
	}
	n.transmit()
}

// Ports are the ports as they are before the loop runs; afterwards Status has them.
func (p *Process) Ports() (ports []PortStatus) {
	for _, l := range p.node.ports {
		ports = append(ports, PortStatus{Info: l.port.Info()})
	}
	return ports
}

// Inspect runs fn between two cycles of the loop, or, once the loop has ended, at once: what fn reads belongs to nobody else meanwhile. A loop
// that hangs is a broken invariant.
func (p *Process) Inspect(fn func()) {
	for p.loop.Inspect(fn) != nil {
		select {
		case <-p.ended:
			fn()
			return
		case <-time.After(inspectPause):
		}
	}
}

// inspectPause is between two tries to reach a loop that does not answer, say, because its core is taken.
const inspectPause = 100 * time.Millisecond
