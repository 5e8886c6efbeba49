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

	// Slow says that the ports are on an emulated machine: what is on its way gets longer to arrive, and checks that repeat themselves do so less.
	Slow bool

	// Stranger sends payload to B from an address that is not in B's table of peers. nil if the link cannot have strangers.
	Stranger func(payload []byte) error

	// Malformed sends to B one packet that B must drop and count as RxMalformed. nil if the link cannot carry any.
	Malformed func() error

	// KillB lets B vanish as if its process had been killed: afterwards nobody uses the port that it was.
	// ReopenB brings it back under the same address. Both nil if the peer cannot vanish.
	KillB   func()
	ReopenB func() dataplane.Port
}

// Run runs every check against pairs made by open, one pair a check. open fails or skips the test itself if it cannot open.
func Run(t *testing.T, open func(t *testing.T) *Pair) {
	run(t, open, append(append([]check{}, linkChecks...), portChecks...))
	t.Run("close", func(t *testing.T) { checkClose(t, open) })
}

// RunLink runs only those checks in which the link layer has a part: for one more link of a port that Run has seen.
func RunLink(t *testing.T, open func(t *testing.T) *Pair) { run(t, open, linkChecks) }

// check is a rule that ports keep.
type check struct {
	name  string
	check func(t *testing.T, p *Pair)
}

var linkChecks = []check{
	{"shape", checkShape},
	{"bursts", checkBursts},
	{"lengths", checkLengths},
	{"strangers", checkStrangers},
	{"malformed", checkMalformed},
	{"counters", checkCounters},
}

var portChecks = []check{
	{"hold", checkHold},
	{"hold-all", checkHoldAll},
	{"partial-free", checkPartialFree},
	{"keep-the-rest", checkKeepTheRest},
	{"full", checkFull},
	{"bad-frames", checkBadFrames},
	{"cells", checkCells},
	{"vanish", checkVanish},
	{"arm", checkArm},
	{"sleepers", checkSleepers},
	{"allocations", checkAllocations},
	{"two-loops", checkTwoLoops},
}

func run(t *testing.T, open func(t *testing.T) *Pair, checks []check) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.check(t, openSettled(t, open)) })
	}
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
