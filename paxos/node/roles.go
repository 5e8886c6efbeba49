package node

import (
	"fmt"
	"math"

	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// Bounds of what a proposer has in flight, so that a burst of one round trip fits the rings of those who get it.
const (
	inFlightInstances = 512  // each as large as a frame; a larger value counts as its frames
	inFlightFrame     = 2048 // several share a frame
	inFlightOff       = 256  // a frame each
	queueBytes        = 1 << 22
)

// acceptorRole gives an acceptor a deadline: only leases run out by time, and nothing waits for that.
type acceptorRole struct{ *paxos.Acceptor }

func (acceptorRole) Deadline() paxos.Time { return math.MaxInt64 }

// role makes one role of a node.
func (p *Process) role(kind paxos.Role, id uint16, now paxos.Time) (role, error) {
	switch kind {
	case paxos.RoleAcceptor:
		return p.acceptor(id)
	case paxos.RoleProposer:
		return p.proposer(id, now)
	case paxos.RoleLearner:
		return p.learner(id, now), nil
	}
	return p.client(id, now)
}

// state opens a node's files once, whichever of its roles comes first.
func (p *Process) state(id uint16) (*cluster.State, error) {
	if p.spec.StateDir == "" {
		return nil, fmt.Errorf("node %d keeps what must survive a restart in a state directory: name it with --state-dir", id)
	}
	for i, have := range p.stateOf {
		if have == id {
			return p.states[i], nil
		}
	}
	s, err := cluster.OpenState(p.spec.StateDir, p.spec.File.Cluster, p.spec.File.Group, id)
	if err != nil {
		return nil, fmt.Errorf("node %d: %w", id, err)
	}
	p.states, p.stateOf = append(p.states, s), append(p.stateOf, id)
	if s.Volatile() {
		p.spec.warn("node %d: %s is in memory: after a reboot the node does not know that it has run before, "+
			"and a cluster that goes on with it may lose what was chosen; fine for a trial", id, p.spec.StateDir)
	}
	return s, nil
}

func (p *Process) acceptor(id uint16) (role, error) {
	s, err := p.state(id)
	if err != nil {
		return nil, err
	}
	amnesia, err := s.Mark()
	if err != nil {
		return nil, fmt.Errorf("acceptor %d: %w", id, err)
	}
	f := p.spec.File
	if amnesia {
		p.spec.warn("acceptor %d does not vote: its marker in %s says that it has run before, and storage \"memory\" lost what it "+
			"promised then; a minority of such acceptors does no harm", id, p.spec.StateDir)
	}
	return acceptorRole{paxos.NewAcceptor(paxos.AcceptorConfig{
		ID: paxos.NodeID(id), Members: members(f), Window: int(f.Window), ValueBytes: int(f.ValueBytes), MTU: p.node.mtu,
		MaxValue: int(f.MaxValue), Aggregate: f.Batch != cluster.BatchOff, Amnesia: amnesia,
	})}, nil
}

func (p *Process) proposer(id uint16, now paxos.Time) (role, error) {
	s, err := p.state(id)
	if err != nil {
		return nil, err
	}
	f := p.spec.File
	c := paxos.ProposerConfig{
		ID: paxos.NodeID(id), Members: members(f), Window: int(f.Window), ValueBytes: 1 << 21, QueueBytes: queueBytes, MTU: p.node.mtu,
		MaxValue: int(f.MaxValue), SlowAfter: int64(f.Timing.SlowAfter), DropSlow: f.SlowLearner == cluster.SlowDrop,
		Heartbeat: int64(f.Timing.Heartbeat), Retry: int64(f.Timing.Retry), LeaderTimeout: int64(f.Timing.LeaderTimeout),
		Lease: int64(f.Timing.Lease), Seed: draw(),
	}
	switch f.Batch {
	case cluster.BatchInstance:
		c.Batch, c.InFlight = paxos.BatchInstance, inFlightInstances
	case cluster.BatchFrame:
		c.Batch, c.InFlight = paxos.BatchFrame, inFlightFrame
	default:
		c.Batch, c.InFlight = paxos.BatchOff, inFlightOff
	}
	r := paxos.NewProposer(c, now)
	if err := p.node.rounds.first(r, paxos.NodeID(id), s); err != nil {
		return nil, fmt.Errorf("proposer %d cannot lead: %w", id, err)
	}
	return r, nil
}

func (p *Process) learner(id uint16, now paxos.Time) role {
	f := p.spec.File
	c := paxos.LearnerConfig{
		ID: paxos.NodeID(id), Members: members(f), Window: int(f.Window), ValueBytes: int(f.ValueBytes), MTU: p.node.mtu,
		MaxValue: int(f.MaxValue),
		Lease:    int64(f.Timing.Lease), Retry: int64(f.Timing.Retry), Repair: int64(f.Timing.Retry) / 4, Seed: draw(),
		Sessions: f.Sessions, SessionIdle: paxos.Instance(f.SessionIdle),
	}
	if deliver := p.spec.Deliver; deliver != nil {
		c.Deliver = func(d *paxos.Delivery) { deliver(paxos.NodeID(id), d) }
	}
	return paxos.NewLearner(c, now)
}

// client makes the client of a node, if the process has anything to submit.
func (p *Process) client(id uint16, now paxos.Time) (role, error) {
	spec, f := p.spec.Client, p.spec.File
	if spec == nil {
		return nil, nil
	}
	m := members(f)
	if spec.Proposer != 0 {
		if err := p.prefer(m.Proposers, spec.Proposer); err != nil {
			return nil, err
		}
	}
	resume := spec.Resume
	if len(p.clients) > 0 {
		resume = nil // the first client node has them
	}
	p.preferLocal(m.Proposers, spec.Proposer)
	p.preferLocal(m.Learners, 0)
	c, err := client.New(client.Config{
		Node: paxos.NodeID(id), Proposers: m.Proposers, Learners: m.Learners, Sessions: spec.Sessions, Outstanding: spec.Outstanding,
		MaxValue: spec.MaxValue, ClusterMax: int(f.MaxValue), MTU: p.node.mtu, Alone: f.Batch == cluster.BatchOff, Retry: int64(f.Timing.ClientRetry),
		Lease: int64(f.Timing.Lease), Seed: draw(), Done: spec.Source.Done,
		SessionIdle: paxos.Instance(f.SessionIdle), Resume: resume, TakeOver: spec.TakeOver, Reopen: spec.Reopen, Keep: spec.Keep,
	}, now)
	if err != nil {
		return nil, err
	}
	p.clients = append(p.clients, c)
	return &clientRole{Client: c, source: spec.Source}, nil
}

// prefer puts one node first.
func (p *Process) prefer(ids []paxos.NodeID, id uint16) error {
	for i := range ids {
		if ids[i] == paxos.NodeID(id) {
			ids[0], ids[i] = ids[i], ids[0]
			return nil
		}
	}
	return fmt.Errorf("%s: node %d is no proposer: the proposers are %v", p.spec.File.Name, id, ids)
}

// preferLocal puts a node of this loop first, unless one was asked for: it takes no hop.
func (p *Process) preferLocal(ids []paxos.NodeID, asked uint16) {
	if asked != 0 {
		return
	}
	for i := range ids {
		if p.node.places[ids[i]] >= 0 {
			ids[0], ids[i] = ids[i], ids[0]
			return
		}
	}
}
