package node

import (
	"sync/atomic"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// roundsBlock is how many rounds are reserved at once. A round is used up by each phase 1, so a block lasts long.
const roundsBlock = 1 << 12

// Reserver reserves rounds for proposers that run out of them, apart from the loop: a reservation is synced and takes its time. The loop asks, goes
// on, and finds the grant in a later cycle.
type Reserver interface {
	// Reserve asks for rounds from atLeast on, of the node whose state that is. False: ask again.
	Reserve(id paxos.NodeID, s *cluster.State, atLeast uint64) bool
	// Granted takes what was reserved since, once. A reservation that failed is never granted.
	Granted(id paxos.NodeID) (first, limit uint64, ok bool)
}

// firstRounds are reserved before the loop begins: a proposer without a state directory that can be written refuses to lead.
func firstRounds(p *paxos.Proposer, s *cluster.State, block uint64) error {
	first, limit, err := s.ReserveRounds(1, block)
	if err != nil {
		return err
	}
	p.GrantRounds(first, limit)
	return nil
}

// grant is called on the loop after a proposer's step.
func (n *Node) grant(s *seat) {
	p := s.role.(*paxos.Proposer)
	atLeast, want := p.WantRounds()
	if !want {
		return
	}
	if first, limit, ok := n.rounds.Granted(s.node); ok {
		s.reserving = false
		p.GrantRounds(first, limit)
		return
	}
	if !s.reserving {
		s.reserving = n.rounds.Reserve(s.node, s.state, atLeast)
	}
}

// roundKeeper is the Reserver of a process: it reserves on a goroutine of its own.
type roundKeeper struct {
	asked   chan roundRequest
	granted [paxos.MaxNodes]atomic.Pointer[roundGrant]
	failed  func(paxos.NodeID, error)
}

type roundRequest struct {
	node    paxos.NodeID
	state   *cluster.State
	atLeast uint64
}

type roundGrant struct{ first, limit uint64 }

func newRoundKeeper(failed func(paxos.NodeID, error)) *roundKeeper {
	return &roundKeeper{asked: make(chan roundRequest, paxos.MaxNodes), failed: failed}
}

func (k *roundKeeper) Reserve(id paxos.NodeID, s *cluster.State, atLeast uint64) bool {
	select {
	case k.asked <- roundRequest{node: id, state: s, atLeast: atLeast}:
		return true
	default:
		return false
	}
}

func (k *roundKeeper) Granted(id paxos.NodeID) (first, limit uint64, ok bool) {
	g := k.granted[id].Swap(nil)
	if g == nil {
		return 0, 0, false
	}
	return g.first, g.limit, true
}

// run reserves until asked is closed.
func (k *roundKeeper) run() {
	for r := range k.asked {
		first, limit, err := r.state.ReserveRounds(r.atLeast, roundsBlock)
		if err != nil {
			k.failed(r.node, err) // it stays pending: without a reservation this proposer does not lead
			continue
		}
		k.granted[r.node].Store(&roundGrant{first: first, limit: limit})
	}
}
