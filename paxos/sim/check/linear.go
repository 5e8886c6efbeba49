package check

import "github.com/anishathalye/porcupine"

// OpKind is what an operation on a register does. Each returns what the register was before.
type OpKind uint8

// The kinds of operation.
const (
	OpGet OpKind = iota
	OpPut
	OpCompareAndSwap
)

var opNames = [...]string{"get", "put", "cas"}

func (k OpKind) String() string { return opNames[k] }

// Register is what a register holds, 0 at first, and how many operations there were on it, reads included. The number makes the history of a
// register easy to check: without it the search for an order may take for ever.
type Register struct {
	Content uint32
	Ops     uint32
}

// Op is an operation on one of a set of registers.
type Op struct {
	Kind     OpKind
	Key      uint8
	Argument uint32 // put, compare-and-swap: the new content
	Expected uint32 // compare-and-swap: what the register must hold
}

// Done is an operation as a client saw it: when it began and ended, on one clock, and what it returned.
type Done struct {
	Op
	Call, End  int64
	Before     Register // what it returned
	Unanswered bool     // it took effect, and nobody told the client
}

// Linearizable holds a history of registers to one order that all clients could have seen: each operation takes effect at one moment between its
// call and its end. (Herlihy, Wing, "Linearizability: A Correctness Condition for Concurrent Objects", 1990; the search is porcupine's.)
// What was never delivered has no place in history: it took no effect.
func (s *Suite) Linearizable(history []Done) {
	byKey := map[uint8][]porcupine.Operation{}
	var keys []uint8
	last := int64(0)
	for _, d := range history {
		last = max(last, d.End, d.Call)
	}
	for _, d := range history {
		if byKey[d.Key] == nil {
			keys = append(keys, d.Key)
		}
		end := d.End
		if d.Unanswered {
			end = last + 1
		}
		byKey[d.Key] = append(byKey[d.Key], porcupine.Operation{Input: d.Op, Call: d.Call, Output: d.Before, Return: end})
	}
	for _, key := range keys {
		if !porcupine.CheckOperations(register, byKey[key]) {
			s.Fail("linearizable", "register %d: no order of its %d operations explains what they returned", key, len(byKey[key]))
		}
	}
}

// register is the model of one register.
var register = porcupine.Model{
	Init: func() any { return Register{} },
	Step: func(state, input, output any) (bool, any) {
		have, op := state.(Register), input.(Op)
		if output.(Register) != have {
			return false, state
		}
		if op.Kind == OpPut || op.Kind == OpCompareAndSwap && have.Content == op.Expected {
			have.Content = op.Argument
		}
		have.Ops++
		return true, have
	},
}
