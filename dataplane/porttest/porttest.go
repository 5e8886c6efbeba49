// Package porttest is the conformance suite that every port passes.
//
// A port's test opens a pair of ports joined by a link and hands it to Run. Each rule is a subtest with a pair of its own:
//
//	func TestConformance(t *testing.T) {
//		porttest.Run(t, func(t *testing.T) *porttest.Pair { ... })
//	}
//
// The suite asserts counts and contents, never durations. Every wait has a deadline, so a port that loses what it
// must not lose fails instead of hanging. What a port cannot have (strangers, a descriptor, a peer that dies) is skipped with
// the reason.
package porttest

import (
	"testing"
	"time"

	"wirepaxos/dataplane"
)

// minCells is the least number of frames that Alloc must be able to hand out at once on an idle port of a pair. So many
// frames of any length up to 256 bytes, sent in one burst to a peer that reads, must all arrive.
const minCells = 128

// Pair is two ports and the link between them.
//
// The suite closes A and B (whatever they are by then) at the end of each subtest, before the cleanups that open registered.
type Pair struct {
	A, B dataplane.Port
	AtoB dataplane.Peer // B's place in A's table of peers
	BtoA dataplane.Peer // A's place in B's table of peers

	// Lossy says that the link may lose frames when the receiver does not read. A pair without it loses nothing that
	// TxBurst took, and its sender runs out of cells instead.
	Lossy bool

	// Pad is the payload length up to which the link layer may pad shorter frames; 0 if lengths are kept exactly.
	Pad int

	// Quiet is how long nothing arrives until nothing more is on its way; 0: 100 ms, which an emulated machine may exceed.
	Quiet time.Duration

	// Stranger sends payload to B from an address that is not in B's table of peers. nil if the link cannot have strangers.
	Stranger func(payload []byte) error

	// Malformed sends to B one packet that B must drop and count as RxMalformed. nil if the link cannot carry any.
	Malformed func() error

	// KillB lets B vanish as if its process had been killed: afterwards nobody uses the port that it was.
	// ReopenB brings it back under the same address. Both nil if the peer cannot vanish.
	KillB   func()
	ReopenB func() dataplane.Port
}

func (p *Pair) quiet() time.Duration {
	if p.Quiet > 0 {
		return p.Quiet
	}
	return quiet
}

// Run runs every check against pairs made by open, one pair a check. open fails or skips the test itself if it cannot open.
func Run(t *testing.T, open func(t *testing.T) *Pair) {
	checks := []struct {
		name  string
		check func(t *testing.T, p *Pair)
	}{
		{"shape", checkShape},
		{"bursts", checkBursts},
		{"lengths", checkLengths},
		{"hold", checkHold},
		{"hold-all", checkHoldAll},
		{"partial-free", checkPartialFree},
		{"keep-the-rest", checkKeepTheRest},
		{"full", checkFull},
		{"bad-frames", checkBadFrames},
		{"cells", checkCells},
		{"vanish", checkVanish},
		{"strangers", checkStrangers},
		{"malformed", checkMalformed},
		{"counters", checkCounters},
		{"arm", checkArm},
		{"sleepers", checkSleepers},
		{"allocations", checkAllocations},
		{"two-loops", checkTwoLoops},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.check(t, openSettled(t, open)) })
	}
	t.Run("close", func(t *testing.T) { checkClose(t, open) })
}

// openSettled opens a pair, arranges for its close and waits until a frame has crossed it in both directions.
func openSettled(t *testing.T, open func(t *testing.T) *Pair) *Pair {
	t.Helper()
	p := open(t)
	t.Cleanup(func() {
		for _, port := range []dataplane.Port{p.A, p.B} {
			if err := port.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
	settle(t, p)
	return p
}
