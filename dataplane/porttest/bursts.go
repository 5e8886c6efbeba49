package porttest

import (
	"bytes"
	"testing"

	"wirepaxos/dataplane"
)

// checkShape: what a port says of itself, and that empty calls are harmless.
func checkShape(t *testing.T, p *Pair) {
	if p.A.MTU() < 256 || p.A.MTU() != p.B.MTU() {
		t.Fatalf("MTU is %d and %d; the suite wants the same on both ends, 256 at least", p.A.MTU(), p.B.MTU())
	}
	for _, port := range []dataplane.Port{p.A, p.B} {
		if info := port.Info(); info.Transport == "" || info.Interface == "" {
			t.Errorf("Info %+v lacks the transport or the interface", info)
		}
		if n := port.RxBurst(nil) + port.Alloc(nil) + port.TxBurst(nil); n != 0 {
			t.Errorf("empty bursts moved %d frames", n)
		}
		port.Free(nil)
		port.Flush()
		all := allocAll(t, port)
		if len(all) < minCells {
			t.Errorf("an idle port has %d cells to send; the suite wants %d", len(all), minCells)
		}
		for _, f := range all {
			if len(f.Data) != 0 || cap(f.Data) != port.MTU() || f.Peer != dataplane.NoPeer {
				t.Fatalf("Alloc gave len %d cap %d peer %d, not 0, the MTU %d and NoPeer", len(f.Data), cap(f.Data), f.Peer, port.MTU())
			}
			full := f.Data[:cap(f.Data)] // every byte is the caller's to write
			pattern(full, f.Cell)
		}
		for _, f := range all {
			want := make([]byte, port.MTU())
			pattern(want, f.Cell)
			if !bytes.Equal(f.Data[:cap(f.Data)], want) {
				t.Fatal("two empty frames share memory")
			}
		}
		port.Free(all)
	}
}

// checkBursts: bursts of every size arrive whole, in order, byte for byte, in both directions.
func checkBursts(t *testing.T, p *Pair) {
	seq := uint64(1)
	for _, size := range []int{1, 2, 3, 7, 8, 16, 31, 32, 33, 64, 100, maxBurst} {
		sendBurst(t, p.A, p.AtoB, seq, size, short)
		receive(t, p, p.A, p.B, p.BtoA, seq, size)
		sendBurst(t, p.B, p.BtoA, seq, size, short)
		receive(t, p, p.B, p.A, p.AtoB, seq, size)
		seq += uint64(size)
	}
	// A caller with room for one at a time gets the same frames in the same order.
	sendBurst(t, p.A, p.AtoB, seq, 16, short)
	for i := range uint64(16) {
		var one [1]dataplane.Frame
		waitFor(t, "one frame", func() bool { p.A.Flush(); return p.B.RxBurst(one[:]) == 1 })
		if got, err := unstamp(one[0].Data, p.Pad); err != nil || got != seq+i {
			t.Fatalf("frame %d (%v) came where %d was due", got, err, seq+i)
		}
		p.B.Free(one[:])
	}
}

// checkLengths: frames of every length from 1 to the MTU arrive as they were.
func checkLengths(t *testing.T, p *Pair) {
	var tx, rx [1]dataplane.Frame
	want := make([]byte, p.A.MTU())
	for length := 1; length <= p.A.MTU(); length++ {
		waitFor(t, "Alloc", func() bool { idle(p.B); return p.A.Alloc(tx[:]) == 1 })
		tx[0].Peer = p.AtoB
		tx[0].Data = tx[0].Data[:length]
		pattern(tx[0].Data, uint64(length))
		pattern(want[:length], uint64(length))
		waitFor(t, "TxBurst", func() bool { return p.A.TxBurst(tx[:]) == 1 })
		p.A.Flush()
		waitFor(t, "RxBurst", func() bool { p.A.Flush(); return p.B.RxBurst(rx[:]) == 1 })
		got := rx[0].Data
		if !lengthHolds(len(got), length, p.Pad) || !bytes.Equal(got[:length], want[:length]) {
			t.Fatalf("a frame of %d bytes came with %d, or other ones", length, len(got))
		}
		p.B.Free(rx[:])
	}
}
