package check

import (
	"bytes"
	"fmt"

	"wirepaxos/paxos"
)

// order holds learners to one sequence:
//
//	position      a learner's positions follow each other; it jumps only by the state of another learner
//	order         one position holds the same value, of the same instance, on every learner
//	exactly once  a value, named by client, generation and sequence, has one position
//	chosen        what is delivered is part of the batch that a quorum voted for
//	equal         in the end all learners stand at the same place, with the same count and hash
type order struct {
	suite  *Suite
	ledger *ledger
	at     []place         // by position
	where  map[valueID]int // position of a value
	of     [paxos.MaxNodes]struct {
		next     uint64
		instance paxos.Instance // of its last value
		jumped   bool           // it took state since its last value
		owed     bool           // it jumped in this step, and has yet to tell that it took state
	}
}

type valueID struct {
	client     paxos.ClientID
	generation uint32
	sequence   uint64
}

func (id valueID) String() string {
	return fmt.Sprintf("value %d of client %x, generation %d", id.sequence, uint64(id.client), id.generation)
}

type place struct {
	id       valueID
	instance paxos.Instance
	known    bool
}

func newOrder(s *Suite, l *ledger) *order {
	return &order{suite: s, ledger: l, where: map[valueID]int{}}
}

// OnStart forgets where a learner was: it begins anew.
func (c *order) OnStart(a *Actor) {
	if a.Role == paxos.RoleLearner {
		e := &c.of[a.Node]
		e.next, e.instance, e.jumped, e.owed = 0, 0, false, false
	}
}

// OnEvent hears of learners that take state. Their deliveries in the same step are heard of before.
func (c *order) OnEvent(a *Actor, e *paxos.Event) {
	if e.Kind != paxos.EventRestored {
		return
	}
	if l := &c.of[a.Node]; l.owed {
		l.owed = false
	} else {
		l.jumped = true
	}
}

// OnStep ends a step: a jump without another learner's state is a gap.
func (c *order) OnStep(a *Actor, _ []paxos.Message, _ *paxos.Outbox) {
	if a.Role == paxos.RoleLearner && c.of[a.Node].owed {
		c.suite.Fail("position", "%v left out positions before %d", a, c.of[a.Node].next-1)
	}
}

// OnDelivered hears of a value.
func (c *order) OnDelivered(a *Actor, d *paxos.Delivery) {
	e, id := &c.of[a.Node], valueID{d.Client, d.Generation, d.Sequence}
	if d.Position < e.next {
		c.suite.Fail("position", "%v delivered position %d after %d", a, d.Position, e.next-1)
		return
	}
	e.owed = e.owed || d.Position > e.next && !e.jumped
	if d.Instance < e.instance {
		c.suite.Fail("position", "%v delivered instance %d after %d", a, d.Instance, e.instance)
	}
	e.next, e.instance, e.jumped = d.Position+1, d.Instance, false
	if d.Position >= far {
		c.suite.Fail("position", "%v delivered position %d", a, d.Position)
		return
	}
	for uint64(len(c.at)) <= d.Position {
		c.at = append(c.at, place{})
	}
	p := &c.at[d.Position]
	if !p.known {
		if before, twice := c.where[id]; twice {
			c.suite.Fail("exactly once", "%v delivered %v at position %d, and it is at %d already", a, id, d.Position, before)
		}
		*p = place{id: id, instance: d.Instance, known: true}
		c.where[id] = int(d.Position)
		c.chosen(a, d)
	} else if p.id != id || p.instance != d.Instance {
		c.suite.Fail("order", "%v delivered %v, instance %d, at position %d, where another delivered %v, instance %d",
			a, id, d.Instance, d.Position, p.id, p.instance)
	}
}

// chosen looks for the value in the batch that was chosen.
func (c *order) chosen(a *Actor, d *paxos.Delivery) {
	batch, ok := c.ledger.chosen(d.Instance)
	if !ok || !bytes.Contains(batch, d.Data) {
		c.suite.Fail("chosen", "%v delivered value %d of client %x in instance %d, where it was not chosen", a, d.Sequence, uint64(d.Client), d.Instance)
	}
}

// OnEnd compares the learners.
func (c *order) OnEnd(e *End) {
	for _, l := range e.Learners[1:] {
		f := e.Learners[0]
		if l.Watermark != f.Watermark || l.Values != f.Values || l.Hash != f.Hash {
			c.suite.Fail("equal", "learner %d ended at instance %d with %d values, hash %x; learner %d at instance %d with %d values, hash %x",
				f.Node, f.Watermark, f.Values, f.Hash, l.Node, l.Watermark, l.Values, l.Hash)
		}
	}
}
