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
)

// acceptorRole gives an acceptor a deadline: only leases run out by time, and nothing waits for that.
type acceptorRole struct{ *paxos.Acceptor }

func (acceptorRole) Deadline() paxos.Time { return math.MaxInt64 }

// role makes one role of a node.
func (n *Node) role(c *Config, kind paxos.Role, id uint16, s *cluster.State) (role, error) {
	switch kind {
	case paxos.RoleAcceptor:
		return n.acceptor(c, id, s)
	case paxos.RoleProposer:
		return n.proposer(c, id, s)
	case paxos.RoleLearner:
		return n.learner(c, id), nil
	}
	return n.client(c, id)
}

func (n *Node) acceptor(c *Config, id uint16, s *cluster.State) (role, error) {
	amnesia, err := s.Mark()
	if err != nil {
		return nil, fmt.Errorf("acceptor %d: %w", id, err)
	}
	f := c.File
	if amnesia {
		c.Warn("acceptor %d does not vote: its marker in %s says that it has run before, and storage \"memory\" lost what it "+
			"promised then; a minority of such acceptors does no harm", id, s.Dir())
	}
	return acceptorRole{paxos.NewAcceptor(paxos.AcceptorConfig{
		ID: paxos.NodeID(id), Members: members(f), Window: int(f.Window), ValueBytes: int(f.ValueBytes), MTU: n.mtu,
		MaxValue: int(f.MaxValue), Aggregate: f.Batch != cluster.BatchOff, Amnesia: amnesia,
	})}, nil
}

func (n *Node) proposer(c *Config, id uint16, s *cluster.State) (role, error) {
	f := c.File
	pc := paxos.ProposerConfig{
		ID: paxos.NodeID(id), Members: members(f), Window: int(f.Window), ValueBytes: c.Sizes.ProposerBytes, QueueBytes: c.Sizes.Queue, MTU: n.mtu,
		MaxValue: int(f.MaxValue), SlowAfter: int64(f.Timing.SlowAfter), DropSlow: f.SlowLearner == cluster.SlowDrop,
		Heartbeat: int64(f.Timing.Heartbeat), Retry: int64(f.Timing.Retry), LeaderTimeout: int64(f.Timing.LeaderTimeout),
		Lease: int64(f.Timing.Lease), Seed: c.Draw(),
	}
	switch f.Batch {
	case cluster.BatchInstance:
		pc.Batch, pc.InFlight = paxos.BatchInstance, inFlightInstances
	case cluster.BatchFrame:
		pc.Batch, pc.InFlight = paxos.BatchFrame, inFlightFrame
	default:
		pc.Batch, pc.InFlight = paxos.BatchOff, inFlightOff
	}
	if c.Sizes.InFlight != 0 {
		pc.InFlight = c.Sizes.InFlight
	}
	r := paxos.NewProposer(pc, c.Now)
	if err := firstRounds(r, s, c.Sizes.Rounds); err != nil {
		return nil, fmt.Errorf("proposer %d cannot lead: %w", id, err)
	}
	return r, nil
}

func (n *Node) learner(c *Config, id uint16) role {
	f := c.File
	lc := paxos.LearnerConfig{
		ID: paxos.NodeID(id), Members: members(f), Window: int(f.Window), ValueBytes: int(f.ValueBytes), MTU: n.mtu,
		MaxValue: int(f.MaxValue),
		Lease:    int64(f.Timing.Lease), Retry: int64(f.Timing.Retry), Repair: int64(f.Timing.Retry) / 4, Seed: c.Draw(),
		Sessions: f.Sessions, SessionIdle: paxos.Instance(f.SessionIdle),
	}
	if deliver := c.Deliver; deliver != nil {
		lc.Deliver = func(d *paxos.Delivery) { deliver(paxos.NodeID(id), d) }
	}
	return paxos.NewLearner(lc, c.Now)
}

// client makes the client of a node, if there is anything to submit.
func (n *Node) client(c *Config, id uint16) (role, error) {
	spec, f := c.Client, c.File
	if spec == nil {
		return nil, nil
	}
	m := members(f)
	if spec.Proposer != 0 {
		if err := prefer(f, m.Proposers, spec.Proposer); err != nil {
			return nil, err
		}
	}
	resume := spec.Resume
	if len(n.clients) > 0 {
		resume = nil // the first client node has them
	}
	n.preferLocal(m.Proposers, spec.Proposer)
	n.preferLocal(m.Learners, 0)
	r, err := client.New(client.Config{
		Node: paxos.NodeID(id), Proposers: m.Proposers, Learners: m.Learners, Sessions: spec.Sessions, Outstanding: spec.Outstanding,
		MaxValue: spec.MaxValue, ClusterMax: int(f.MaxValue), MTU: n.mtu, Alone: f.Batch == cluster.BatchOff, Retry: int64(f.Timing.ClientRetry),
		Lease: int64(f.Timing.Lease), Seed: c.Draw(), Done: spec.Source.Done,
		SessionIdle: paxos.Instance(f.SessionIdle), Resume: resume, TakeOver: spec.TakeOver, Reopen: spec.Reopen, Keep: spec.Keep,
	}, c.Now)
	if err != nil {
		return nil, err
	}
	n.clients = append(n.clients, r)
	return &clientRole{Client: r, source: spec.Source}, nil
}

// prefer puts one node first.
func prefer(f *cluster.File, ids []paxos.NodeID, id uint16) error {
	for i := range ids {
		if ids[i] == paxos.NodeID(id) {
			ids[0], ids[i] = ids[i], ids[0]
			return nil
		}
	}
	return fmt.Errorf("%s: node %d is no proposer: the proposers are %v", f.Name, id, ids)
}

// preferLocal puts a node of this loop first, unless one was asked for: it takes no hop.
func (n *Node) preferLocal(ids []paxos.NodeID, asked uint16) {
	if asked != 0 {
		return
	}
	for i := range ids {
		if n.here.Has(ids[i]) {
			ids[0], ids[i] = ids[i], ids[0]
			return
		}
	}
}
