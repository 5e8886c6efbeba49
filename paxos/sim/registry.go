package sim

import (
	"encoding/binary"

	"wirepaxos/paxos"
	"wirepaxos/paxos/sim/check"
)

// registry is the application: a set of registers on every learner, moved by the values that it delivers, and the history of what clients asked
// of them and saw. Each learner computes results for itself; they must agree.
type registry struct {
	w        *world
	ops      []operation
	order    []int32 // operation by position
	byID     map[valueID]int
	learners map[paxos.NodeID]*replicaState
	latest   [256]uint32 // what was asked for last, of each register
}

func newRegistry(w *world) registry {
	return registry{w: w, byID: map[valueID]int{}, learners: map[paxos.NodeID]*replicaState{}}
}

// operation is what a client asked for.
type operation struct {
	check.Op
	call, end int64
	before    check.Register
	applied   bool
	answered  bool
}

type valueID struct {
	client     paxos.ClientID
	generation uint32
	sequence   uint64
}

// replicaState are the registers of one learner and how many values moved them.
type replicaState struct {
	at        uint64
	registers [256]check.Register
}

// learner begins a learner's registers anew, as its process does.
func (g *registry) learner(id paxos.NodeID) { g.learners[id] = &replicaState{} }

// call draws an operation and begins it.
func (g *registry) call(r *random) (op int) {
	op = len(g.ops)
	o := operation{call: g.w.now}
	o.Kind, o.Key = check.OpKind(r.below(3)), uint8(r.below(g.w.plan.keys))
	if o.Kind != check.OpGet {
		o.Expected, o.Argument = g.latest[o.Key], uint32(op)+1 // what it may well hold by then
		g.latest[o.Key] = o.Argument
	}
	g.ops = append(g.ops, o)
	return op
}

// fill writes the bytes of an operation's value, of any size. They do not say what it is, so that none at all will do; no piece of them
// is like another.
func (g *registry) fill(op int, data []byte) {
	r := random{state: uint64(op) << 20}
	for ; len(data) >= 8; data = data[8:] {
		binary.LittleEndian.PutUint64(data, r.next())
	}
	for i := range data {
		data[i] = byte(r.next())
	}
}

// bind names an operation: its value leaves under this name.
func (g *registry) bind(op int, id valueID) { g.byID[id] = op }

// cancel takes back the last call: the value was not submitted.
func (g *registry) cancel() { g.ops = g.ops[:len(g.ops)-1] }

// answer ends an operation.
func (g *registry) answer(op int) { g.ops[op].end, g.ops[op].answered = g.w.now, true }

// deliver applies a value on one learner.
func (g *registry) deliver(id paxos.NodeID, d *paxos.Delivery) {
	op, known := g.byID[valueID{d.Client, d.Generation, d.Sequence}]
	if !known || g.w.suite.Violation() != nil {
		return // the checkers have told that nobody submitted it
	}
	state := g.learners[id]
	if d.Position != state.at {
		g.restore(state, d.Position)
	}
	for uint64(len(g.order)) <= d.Position {
		g.order = append(g.order, -1)
	}
	g.order[d.Position] = int32(op)
	o := &g.ops[op]
	before := state.apply(&o.Op)
	state.at++
	if o.applied && o.before != before {
		g.w.suite.Fail("state", "learner %d got %v for operation %d, another learner got %v", id, before, op, o.before)
	}
	o.before, o.applied = before, true
}

// restore gives a learner that took state the registers as they are at a position: a checkpoint does not carry the application's bytes yet.
func (g *registry) restore(state *replicaState, position uint64) {
	*state = replicaState{at: position}
	for _, op := range g.order[:min(position, uint64(len(g.order)))] {
		if op >= 0 {
			state.apply(&g.ops[op].Op)
		}
	}
}

// apply moves a register and returns what it was.
func (s *replicaState) apply(o *check.Op) (before check.Register) {
	r := &s.registers[o.Key]
	before = *r
	if o.Kind == check.OpPut || o.Kind == check.OpCompareAndSwap && before.Content == o.Expected {
		r.Content = o.Argument
	}
	r.Ops++
	return before
}

// judge holds the whole history to one order.
func (g *registry) judge() {
	if g.w.profile.fixed != nil {
		return // too long a history
	}
	var history []check.Done
	for i := range g.ops {
		if o := &g.ops[i]; o.applied {
			history = append(history, check.Done{Op: o.Op, Call: o.call, End: o.end, Before: o.before, Unanswered: !o.answered})
		}
	}
	g.w.suite.Linearizable(history)
}
