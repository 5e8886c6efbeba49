package node

import (
	"sync/atomic"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// roundsBlock is how many rounds are reserved at once. A round is used up by each phase 1, so a block lasts long.
const roundsBlock = 1 << 12

// roundKeeper reserves rounds in the state directory, apart from the loop: the write is synced and takes its time. The loop asks, goes on,
// and finds the grant in a later cycle.
type roundKeeper struct {
	states  map[paxos.NodeID]*cluster.State
	asked   chan roundRequest
	granted [paxos.MaxNodes]atomic.Pointer[roundGrant]
	pending [paxos.MaxNodes]bool // owned by the loop
	failed  func(paxos.NodeID, error)
}

type roundRequest struct {
	node    paxos.NodeID
	atLeast uint64
}

type roundGrant struct{ first, limit uint64 }

func newRoundKeeper(failed func(paxos.NodeID, error)) *roundKeeper {
	return &roundKeeper{states: map[paxos.NodeID]*cluster.State{}, asked: make(chan roundRequest, paxos.MaxNodes), failed: failed}
}

// first reserves before the loop begins: a proposer without a state directory that can be written refuses to lead.
func (k *roundKeeper) first(p *paxos.Proposer, id paxos.NodeID, s *cluster.State) error {
	first, limit, err := s.ReserveRounds(1, roundsBlock)
	if err != nil {
		return err
	}
	k.states[id] = s
	p.GrantRounds(first, limit)
	return nil
}

// serve is called on the loop after a proposer's step.
func (k *roundKeeper) serve(s *seat) {
	p := s.role.(*paxos.Proposer)
	atLeast, want := p.WantRounds()
	if !want {
		return
	}
	if g := k.granted[s.node].Swap(nil); g != nil {
		k.pending[s.node] = false
		p.GrantRounds(g.first, g.limit)
		return
	}
	if !k.pending[s.node] {
		select {
		case k.asked <- roundRequest{node: s.node, atLeast: atLeast}:
			k.pending[s.node] = true
		default:
		}
	}
}

// run reserves until asked is closed.
func (k *roundKeeper) run() {
	for r := range k.asked {
		first, limit, err := k.states[r.node].ReserveRounds(r.atLeast, roundsBlock)
		if err != nil {
			k.failed(r.node, err) // it stays pending: without a reservation this proposer does not lead
			continue
		}
		k.granted[r.node].Store(&roundGrant{first: first, limit: limit})
	}
}
