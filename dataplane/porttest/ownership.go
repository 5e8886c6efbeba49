package porttest

import (
	"runtime"
	"testing"
	"time"

	"wirepaxos/dataplane"
)

// collect receives exactly count frames and keeps them.
func collect(t *testing.T, sender, to dataplane.Port, count int) []dataplane.Frame {
	t.Helper()
	held := make([]dataplane.Frame, count)
	got := 0
	waitFor(t, "frames to hold", func() bool {
		sender.Flush()
		got += to.RxBurst(held[got:])
		return got == count
	})
	return held
}

// expectHeld checks that held frames still are the sequences from first on.
func expectHeld(t *testing.T, p *Pair, held []dataplane.Frame, first uint64) {
	t.Helper()
	for i := range held {
		if seq, err := unstamp(held[i].Data, p.Pad); err != nil || seq != first+uint64(i) {
			t.Fatalf("held frame %d was overwritten: now %d (%v)", first+uint64(i), seq, err)
		}
	}
}

// checkHold: a received frame is the receiver's until Free, whatever arrives meanwhile.
func checkHold(t *testing.T, p *Pair) {
	const hold = 32
	cells := len(freed(t, p.A))
	sendBurst(t, p.A, p.AtoB, 1, hold, short)
	held := collect(t, p.A, p.B, hold)
	seq := uint64(1000)
	for range 4 * cells / hold {
		for range hold {
			if trySend(p.A, p.AtoB, seq, short(seq)) {
				seq++
			}
		}
		idle(p.B)
		expectHeld(t, p, held, 1)
	}
	p.drain(p.B, nil)
	expectHeld(t, p, held, 1)
	p.B.Free(held)
	expectFlow(t, p)
}

// checkHoldAll: a receiver may hold all that it gets, until the port has no more to give; when it frees them all flows again.
func checkHoldAll(t *testing.T, p *Pair) {
	tries := 2 * (len(freed(t, p.A)) + len(freed(t, p.B)))
	var held []dataplane.Frame
	var frames [8]dataplane.Frame
	last := uint64(0)
	for seq := range uint64(tries) {
		trySend(p.A, p.AtoB, seq+1, short(seq))
		held = append(held, frames[:p.B.RxBurst(frames[:])]...)
		p.B.Flush()
	}
	for last := time.Now(); time.Since(last) < p.quiet(); runtime.Gosched() { // what a link still carries
		if n := p.B.RxBurst(frames[:]); n > 0 {
			held = append(held, frames[:n]...)
			last = time.Now()
		}
		p.A.Flush()
		p.B.Flush()
	}
	if len(held) < minCells/4 || len(held) > tries {
		t.Fatalf("%d frames came of %d", len(held), tries)
	}
	for i := range held {
		seq, err := unstamp(held[i].Data, p.Pad)
		if err != nil || seq <= last {
			t.Fatalf("behind held frame %d is %d (%v)", last, seq, err)
		}
		last = seq
	}
	p.B.Free(held)
	expectFlow(t, p)
}

// freed takes all empty cells of a port and gives them back; the result serves for counting.
func freed(t *testing.T, port dataplane.Port) []dataplane.Frame {
	t.Helper()
	all := allocAll(t, port)
	port.Free(all)
	return all
}

// expectFlow checks that bursts cross in both directions as they did at the start.
func expectFlow(t *testing.T, p *Pair) {
	t.Helper()
	p.drainAll(nil, p.A, p.B)
	for round := range uint64(4) {
		seq := 1<<40 + round*100
		sendBurst(t, p.A, p.AtoB, seq, 64, short)
		receive(t, p, p.A, p.B, p.BtoA, seq, 64)
		sendBurst(t, p.B, p.BtoA, seq, 64, short)
		receive(t, p, p.B, p.A, p.AtoB, seq, 64)
	}
}

// checkPartialFree: frames come back in any order and in parts, received ones as well as unused ones.
func checkPartialFree(t *testing.T, p *Pair) {
	cells := len(freed(t, p.A))
	rounds := 2*cells/32 + 8
	var kept []dataplane.Frame // the first frame of each of the last rounds
	for round := range rounds {
		seq := uint64(round*32 + 1)
		sendBurst(t, p.A, p.AtoB, seq, 32, short)
		held := collect(t, p.A, p.B, 32)
		expectHeld(t, p, held, seq)
		kept = append(kept, held[0])
		for i := 31; i > 1; i -= 2 { // odd ones backwards, one by one
			p.B.Free(held[i : i+1])
		}
		p.B.Free(held[1:2])
		for i := 2; i < 32; i += 2 {
			p.B.Free(held[i : i+1])
		}
		if len(kept) == 8 {
			for i := range kept {
				want := uint64((round-7+i)*32 + 1)
				if got, err := unstamp(kept[i].Data, p.Pad); err != nil || got != want {
					t.Fatalf("frame %d, held over 8 rounds, was overwritten: now %d (%v)", want, got, err)
				}
			}
			p.B.Free(kept)
			kept = kept[:0]
		}
	}
	p.B.Free(kept)
	unused := allocAll(t, p.A)
	for i := len(unused) - 1; i >= 0; i-- {
		p.A.Free(unused[i : i+1])
	}
	expectFlow(t, p)
}

// checkKeepTheRest: what TxBurst did not take is still the caller's, untouched, and is counted.
func checkKeepTheRest(t *testing.T, p *Pair) {
	all := allocAll(t, p.A)
	for i := range all {
		all[i].Peer = p.AtoB
		all[i].Data = all[i].Data[:short(uint64(i))]
		stamp(all[i].Data, uint64(i))
	}
	before := *p.A.Counters()
	n := p.A.TxBurst(all)
	rest := all[n:]
	after := *p.A.Counters()
	if got := after.TxFrames - before.TxFrames; got != uint64(n) {
		t.Errorf("TxBurst took %d frames and counted %d", n, got)
	}
	if got := after.TxFull - before.TxFull; got != uint64(len(rest)) {
		t.Errorf("TxBurst left %d frames and counted %d in TxFull", len(rest), got)
	}
	p.A.Flush()
	for i := range 4 {
		idle(p.B)
		expectHeld(t, p, rest, uint64(n))
		for len(rest) > 0 && i > 0 { // the rest can be sent later, in order
			took := p.A.TxBurst(rest)
			n += took
			p.A.Flush()
			if rest = rest[took:]; took == 0 {
				break
			}
		}
	}
	p.A.Free(rest)
	expectFlow(t, p)
}
