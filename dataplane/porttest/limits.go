package porttest

import (
	"testing"

	"wirepaxos/dataplane"
)

// checkFull: a receiver that does not read fills the link. Nothing panics, nothing that arrives later is torn, doubled or out of
// order, a link that loses nothing has lost nothing, and all flows again afterwards.
func checkFull(t *testing.T, p *Pair) {
	tries := 8 * (len(freed(t, p.A)) + len(freed(t, p.B)))
	var sent []uint64
	for seq := range uint64(tries) {
		if trySend(p.A, p.AtoB, seq+1, short(seq)) {
			sent = append(sent, seq+1)
		}
	}
	if !p.Lossy && len(sent) == tries {
		t.Fatalf("took all of %d frames with nobody reading: where are they?", tries)
	}
	last, count := uint64(0), 0
	p.drain(p.B, func(f *dataplane.Frame) {
		seq, err := unstamp(f.Data, p.Pad)
		if err != nil || seq <= last {
			t.Fatalf("after %d came %d (%v)", last, seq, err)
		}
		if !p.Lossy && seq != sent[count] {
			t.Fatalf("frame %d came where %d was due: lost on a link that loses nothing", seq, sent[count])
		}
		last = seq
		count++
		p.A.Flush()
	})
	if count == 0 || !p.Lossy && count != len(sent) {
		t.Fatalf("%d frames came of %d taken", count, len(sent))
	}
	expectFlow(t, p)
}

// checkBadFrames: what TxBurst must refuse is taken, dropped and counted, its cell goes on living, its neighbours are sent.
func checkBadFrames(t *testing.T, p *Pair) {
	spoil := map[string]func(f *dataplane.Frame){
		"no peer":           func(f *dataplane.Frame) { f.Peer = dataplane.NoPeer },
		"peer out of range": func(f *dataplane.Frame) { f.Peer = p.AtoB + 1000 },
		"empty":             func(f *dataplane.Frame) { f.Data = f.Data[:0] },
		"nil":               func(f *dataplane.Frame) { f.Data = nil },
		"moved start":       func(f *dataplane.Frame) { f.Data = f.Data[1:] },
		"foreign memory":    func(f *dataplane.Frame) { f.Data = make([]byte, len(f.Data)) },
		"too long":          func(f *dataplane.Frame) { f.Data = make([]byte, p.A.MTU()+1) },
	}
	rounds := 2*len(freed(t, p.A)) + 16
	for name, bad := range spoil {
		t.Run(name, func(t *testing.T) {
			before := *p.A.Counters()
			for round := range uint64(rounds) {
				var three [3]dataplane.Frame
				waitFor(t, "three cells", func() bool {
					n := p.A.Alloc(three[:])
					if n < 3 {
						p.A.Free(three[:n])
					}
					return n == 3
				})
				for i := range three {
					three[i].Peer = p.AtoB
					three[i].Data = three[i].Data[:32]
					stamp(three[i].Data, 2*round+uint64(i))
				}
				stamp(three[2].Data, 2*round+1)
				bad(&three[1])
				if n := p.A.TxBurst(three[:]); n != 3 {
					t.Fatalf("TxBurst took %d of 3 frames with a bad one among them", n)
				}
				p.A.Flush()
				receive(t, p, p.A, p.B, p.BtoA, 2*round, 2)
			}
			after := *p.A.Counters()
			if errs, frames := after.TxErrors-before.TxErrors, after.TxFrames-before.TxFrames; errs != uint64(rounds) || frames != 2*uint64(rounds) {
				t.Fatalf("%d bad frames among %d good ones: TxErrors %d, TxFrames %d", rounds, 2*rounds, errs, frames)
			}
		})
	}
	expectFlow(t, p)
}

// checkCells: ten times the number of cells goes round and none is lost.
func checkCells(t *testing.T, p *Pair) {
	total := 10 * (len(freed(t, p.A)) + len(freed(t, p.B)))
	for seq := 1; seq < total; seq += 64 {
		sendBurst(t, p.A, p.AtoB, uint64(seq), 64, short)
		receive(t, p, p.A, p.B, p.BtoA, uint64(seq), 64)
		sendBurst(t, p.B, p.BtoA, uint64(seq), 64, short)
		receive(t, p, p.B, p.A, p.AtoB, uint64(seq), 64)
		p.A.Free(allocAll(t, p.A)) // unused cells go round as well
	}
	for _, port := range []dataplane.Port{p.A, p.B} {
		waitFor(t, "cells to come back", func() bool { idle(port); return len(freed(t, port)) >= minCells })
	}
}
