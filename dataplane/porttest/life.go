package porttest

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"wirepaxos/dataplane"
)

// checkVanish: a peer that dies costs frames, nothing else; one that comes back is heard and hears.
func checkVanish(t *testing.T, p *Pair) {
	if p.KillB == nil {
		t.Skip("the peer cannot vanish on this link")
	}
	seq := uint64(1)
	for range 3 {
		sendBurst(t, p.A, p.AtoB, seq, 32, short)
		p.KillB() // with frames on their way
		for range 4 * minCells {
			trySend(p.A, p.AtoB, seq, short(seq))
			seq++
			expectWhole(t, p, p.A)
		}
		p.B = p.ReopenB()
		heard := func(from, to dataplane.Port, peer dataplane.Peer) func() bool {
			return func() bool {
				trySend(from, peer, seq, short(seq))
				seq++
				idle(from)
				return expectWhole(t, p, to) > 0
			}
		}
		waitFor(t, "A to hear the B that came back", heard(p.B, p.A, p.BtoA))
		waitFor(t, "the B that came back to hear A", heard(p.A, p.B, p.AtoB))
		expectFlow(t, p)
	}
}

// expectWhole receives what there is, checks that nothing is torn, and returns how many frames it was.
func expectWhole(t *testing.T, p *Pair, port dataplane.Port) int {
	t.Helper()
	var frames [8]dataplane.Frame
	n := port.RxBurst(frames[:])
	for i := range frames[:n] {
		if _, err := unstamp(frames[i].Data, p.Pad); err != nil {
			t.Fatal(err)
		}
	}
	port.Free(frames[:n])
	port.Flush()
	return n
}

// checkClose: closing twice is closing once, with frames held and in flight, and leaves neither descriptor nor mapping.
func checkClose(t *testing.T, open func(t *testing.T) *Pair) {
	round := func(t *testing.T) {
		p := openSettled(t, open)
		sendBurst(t, p.A, p.AtoB, 1, 16, short)
		collect(t, p.A, p.B, 8)
		allocAll(t, p.A)
		for _, port := range []dataplane.Port{p.A, p.B, p.A, p.B} {
			if err := port.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
	}
	t.Run("warm-up", round) // what the runtime opens once, it opens here
	fds, maps := descriptors(t), mappings(t)
	for range 4 {
		t.Run("again", round)
	}
	start := time.Now()
	for len(descriptors(t)) > len(fds) || len(mappings(t)) > len(maps) {
		if time.Since(start) > patience {
			t.Fatalf("left open: descriptors\n%s\nwere\n%s\nmappings\n%s\nwere\n%s", strings.Join(descriptors(t), "\n"),
				strings.Join(fds, "\n"), strings.Join(mappings(t), "\n"), strings.Join(maps, "\n"))
		}
		runtime.Gosched()
	}
}

// descriptors lists the open files of this process.
func descriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	var open []string
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // the directory's own is gone by now
			open = append(open, e.Name()+" "+target)
		}
	}
	return open
}

// mappings lists the mappings of this process that have a file, a socket or a shared object behind them.
func mappings(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	var named []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 6 && f[4] != "0" {
			named = append(named, strings.TrimSpace(line))
		}
	}
	return named
}

// checkStrangers: what comes from no peer is dropped and counted, and does not disturb the others.
func checkStrangers(t *testing.T, p *Pair) {
	if p.Stranger == nil {
		t.Skip("the link has no strangers")
	}
	expectDropped(t, p, "RxStrangers", func() error {
		payload := make([]byte, 64)
		stamp(payload, 1<<50)
		return p.Stranger(payload)
	}, func() uint64 { return p.B.Counters().RxStrangers })
}

// checkMalformed: what is no whole packet is dropped and counted, and does not disturb the others.
func checkMalformed(t *testing.T, p *Pair) {
	if p.Malformed == nil {
		t.Skip("the link carries nothing malformed")
	}
	expectDropped(t, p, "RxMalformed", p.Malformed, func() uint64 { return p.B.Counters().RxMalformed })
}

// expectDropped sends bad packets between good frames, more of them than there are cells, and wants every one counted.
func expectDropped(t *testing.T, p *Pair, counter string, send func() error, counted func() uint64) {
	t.Helper()
	rounds := len(freed(t, p.B)) + 100
	before, frames := counted(), p.B.Counters().RxFrames
	for i := range rounds {
		if err := send(); err != nil {
			t.Fatal(err)
		}
		sendBurst(t, p.A, p.AtoB, uint64(i+1), 1, short)
		receive(t, p, p.A, p.B, p.BtoA, uint64(i+1), 1)
	}
	p.drain(p.B, func(*dataplane.Frame) { t.Errorf("a frame came that nobody sent") })
	if got := counted() - before; got != uint64(rounds) {
		t.Errorf("%s counted %d of %d", counter, got, rounds)
	}
	if got := p.B.Counters().RxFrames - frames; got != uint64(rounds) {
		t.Errorf("RxFrames counted %d of %d", got, rounds)
	}
	expectFlow(t, p)
}
