package porttest

import (
	"runtime"
	"testing"

	"wirepaxos/dataplane"
)

// checkCounters: the counts of both ends add up to what was sent.
func checkCounters(t *testing.T, p *Pair) {
	tx, rx := *p.A.Counters(), *p.B.Counters()
	var frames [maxBurst]dataplane.Frame
	var sent, sentBytes, got, gotBytes, bursts uint64
	for seq := uint64(1); seq <= 1000; seq += 50 {
		sendBurst(t, p.A, p.AtoB, seq, 50, short)
		for s := seq; s < seq+50; s++ {
			sent++
			sentBytes += uint64(short(s))
		}
		waitFor(t, "50 frames", func() bool {
			n := p.B.RxBurst(frames[:])
			if n > 0 {
				bursts++
			}
			for i := range frames[:n] {
				got++
				gotBytes += uint64(len(frames[i].Data))
			}
			p.B.Free(frames[:n])
			p.A.Flush()
			return got == sent
		})
	}
	same := func(name string, now, before, want uint64) {
		t.Helper()
		if now-before != want {
			t.Errorf("%s counted %d, not %d", name, now-before, want)
		}
	}
	txNow, rxNow := *p.A.Counters(), *p.B.Counters()
	same("TxFrames", txNow.TxFrames, tx.TxFrames, sent)
	same("TxBytes", txNow.TxBytes, tx.TxBytes, sentBytes)
	same("TxErrors", txNow.TxErrors, tx.TxErrors, 0)
	same("RxFrames", rxNow.RxFrames, rx.RxFrames, sent)
	same("RxBytes", rxNow.RxBytes, rx.RxBytes, gotBytes)
	same("RxBursts", rxNow.RxBursts, rx.RxBursts, bursts)
	same("RxStrangers", rxNow.RxStrangers, rx.RxStrangers, 0)
	same("RxMalformed", rxNow.RxMalformed, rx.RxMalformed, 0)
	if p.Pad == 0 && gotBytes != sentBytes {
		t.Errorf("%d bytes came of %d", gotBytes, sentBytes)
	}

	all := allocAll(t, p.A)
	before := p.A.Counters().AllocFailed
	if n := p.A.Alloc(frames[:5]); n != 0 {
		t.Errorf("Alloc found %d cells after it ran dry", n)
	}
	same("AllocFailed", p.A.Counters().AllocFailed, before, 5)
	p.A.Free(all)
}

// checkAllocations: a burst there and back allocates nothing.
func checkAllocations(t *testing.T, p *Pair) {
	var frames [16]dataplane.Frame
	one := func(from, to dataplane.Port, peer dataplane.Peer) {
		n := from.Alloc(frames[:])
		for i := range frames[:n] {
			frames[i].Peer = peer
			frames[i].Data = frames[i].Data[:64]
		}
		sent := from.TxBurst(frames[:n])
		from.Free(frames[sent:n])
		from.Flush()
		for tries := 0; sent > 0 && tries < 1e6; tries++ {
			n := to.RxBurst(frames[:])
			to.Free(frames[:n])
			sent -= n
			if n == 0 {
				from.Flush()
				runtime.Gosched()
			}
		}
		to.Flush()
		to.Arm()
	}
	before := p.B.Counters().RxFrames
	allocs := testing.AllocsPerRun(200, func() {
		one(p.A, p.B, p.AtoB)
		one(p.B, p.A, p.BtoA)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a round", allocs)
	}
	if p.B.Counters().RxFrames == before {
		t.Error("no frame crossed the link")
	}
}
