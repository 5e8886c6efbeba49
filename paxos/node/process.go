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
	states   []*cluster.State
	stateOf  []uint16 // whose each of states is
	clients  []*client.Client
	started  time.Time
	idle     dataplane.IdleKind

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
	opening := &Process{spec: s, endpoint: local, started: time.Now(), ended: make(chan struct{})}
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
	p.node = &Node{
		cluster: paxos.Cluster(s.File.Cluster), group: paxos.Group(s.File.Group), incarnation: paxos.Incarnation(draw()), mtu: w.mtu,
		single: s.File.Batch == cluster.BatchOff, notices: make(chan Notice, 256),
	}
	p.node.rounds = newRoundKeeper(func(id paxos.NodeID, err error) {
		s.warn("proposer %d cannot lead: %v", id, err)
	})
	for _, port := range w.ports {
		p.node.ports = append(p.node.ports, newLane(port))
	}
	p.node.direct(s.File, local, w, s.Nodes)
	now := dataplane.Now()
	for place, id := range s.Nodes {
		if err := p.seat(place, id, now); err != nil {
			return nil, err
		}
	}
	if err := p.makeLoop(w.ports); err != nil {
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

// direct fills the tables of routes and roles.
func (n *Node) direct(f *cluster.File, local cluster.Endpoint, w *wiring, ids []uint16) {
	for i := range n.places {
		n.places[i] = -1
	}
	for place, id := range ids {
		n.local = append(n.local, paxos.NodeID(id))
		n.places[id] = int8(place)
	}
	for _, e := range f.Endpoints() {
		for _, node := range e.Nodes {
			n.roles[node.ID] = rolesOf(node.Roles)
			if way, ok := w.ways[e.Key]; ok {
				n.routes[node.ID] = route{lane: n.ports[way.port], peer: way.peer, pass: way.pass}
			}
		}
	}
	n.builders = make([][paxos.MaxNodes]builder, len(ids))
	n.open = make([]*builder, 0, len(ids)*paxos.MaxNodes)
}

// seat makes the roles of a local node, in the order in which a value meets them.
func (p *Process) seat(place int, id uint16, now paxos.Time) error {
	node, err := p.spec.File.Node(id)
	if err != nil {
		return err
	}
	for _, pair := range rolePairs {
		if !node.Roles.Has(pair.file) {
			continue
		}
		r, err := p.role(pair.role, id, now)
		if err != nil {
			return err
		}
		if r != nil {
			p.node.seats = append(p.node.seats, newSeat(paxos.NodeID(id), place, pair.role, r))
		}
	}
	return nil
}

func (p *Process) makeLoop(ports []dataplane.Port) (err error) {
	core := p.spec.Core
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
		return err
	}
	if core == cluster.NoCore {
		core = dataplane.NoCore
	}
	name := "node"
	for _, id := range p.spec.Nodes {
		name += fmt.Sprintf(" %d", id)
	}
	p.loop, err = dataplane.NewLoop(dataplane.LoopConfig{Name: name, Core: core, Idle: p.idle, Ports: ports}, p.node)
	return err
}

// Run runs the loop on the calling goroutine until Stop. Learners and clients then take their leave.
func (p *Process) Run() error {
	p.background.Add(2)
	go func() {
		defer p.background.Done()
		p.node.rounds.run()
	}()
	go func() {
		defer p.background.Done()
		for notice := range p.node.notices {
			if p.spec.Notice != nil {
				p.spec.Notice(notice)
			}
		}
	}()
	err := p.loop.Run()
	if err == nil {
		p.node.leave()
	}
	close(p.node.rounds.asked)
	close(p.node.notices)
	p.background.Wait()
	close(p.ended)
	return err
}

// Stop ends Run after the present cycle; from any goroutine.
func (p *Process) Stop() { p.loop.Stop() }

// Close releases everything after Run has returned, or instead of it.
func (p *Process) Close() { p.once.Do(p.release) }

func (p *Process) release() {
	if p.node != nil {
		for _, l := range p.node.ports {
			l.port.Close()
		}
	}
	for _, s := range p.states {
		s.Close()
	}
}

// Loop is the loop, for Inspect and Stats.
func (p *Process) Loop() *dataplane.Loop { return p.loop }

// Clients are the clients of the client nodes. They belong to the loop.
func (p *Process) Clients() []*client.Client { return p.clients }

// leave says goodbye for learners and clients, so that nobody waits for their leases to end.
func (n *Node) leave() {
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
