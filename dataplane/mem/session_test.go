package mem

import (
	"testing"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// exchange sends n frames of one byte and expects them.
func exchange(t *testing.T, from, to *Port, n int) {
	t.Helper()
	frames := make([]dataplane.Frame, n)
	if got := from.Alloc(frames); got != n {
		t.Fatalf("Alloc gave %d of %d", got, n)
	}
	for i := range frames {
		frames[i].Peer, frames[i].Data = 0, append(frames[i].Data, byte(i))
	}
	if took := from.TxBurst(frames); took != n {
		t.Fatalf("TxBurst took %d of %d", took, n)
	}
	from.Flush()
	if got := to.RxBurst(frames); got != n {
		t.Fatalf("%d of %d frames came", got, n)
	}
	for i := range frames {
		if len(frames[i].Data) != 1 || frames[i].Data[0] != byte(i) {
			t.Fatalf("frame %d is %v", i, frames[i].Data)
		}
	}
	to.Free(frames)
}

// greet lets both sides take the steps of session.go until they have met.
func greet(t *testing.T, a, b *Port) {
	t.Helper()
	var frames [64]dataplane.Frame
	for range 3 {
		for _, p := range []*Port{a, b} {
			p.Free(frames[:p.RxBurst(frames[:])]) // a survivor first reads what the dead one had published
		}
	}
	if !a.ready || !b.ready || a.session != b.session {
		t.Fatalf("not met: A ready %v in %d, B ready %v in %d", a.ready, a.session, b.ready, b.session)
	}
}

// The survivor's caller still reads frames of a peer that died: the peer that comes back does not write over them, and gets their cells
// back when they are freed.
func TestSurvivorHoldsFrames(t *testing.T) {
	c := Config{Dir: t.TempDir(), Frames: 64}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	var held, frames [64]dataplane.Frame
	for i := range b.Alloc(held[:40]) {
		held[i].Peer, held[i].Data = 0, append(held[i].Data, byte(i))
	}
	b.TxBurst(held[:40])
	b.Flush()
	if n := a.RxBurst(held[:30]); n != 30 { // 10 stay in the ring
		t.Fatalf("%d frames came", n)
	}
	a.Free(held[20:30])
	for range 3 {
		kill(b)
		b = mustShared(t, on(c, B))
		greet(t, a, b)
		n := b.Alloc(frames[:])
		if n != 64-20 {
			t.Fatalf("B found %d free cells; A holds 20 of 64", n)
		}
		for i := range frames[:n] {
			frames[i].Peer, frames[i].Data = 0, frames[i].Data[:1]
			frames[i].Data[0] = 0xFF
		}
		b.Free(frames[:n])
		for i := range held[:20] {
			if held[i].Data[0] != byte(i) {
				t.Fatalf("held frame %d was overwritten", i)
			}
		}
	}
	a.Free(held[:20])
	exchange(t, b, a, 44)
	exchange(t, b, a, 64)
	exchange(t, a, b, 64)
}

// The survivor's own cells come back from the dead: those in the ring, those held there, those queued and not flushed; the ones that its caller
// has stay with the caller.
func TestSurvivorGetsItsCellsBack(t *testing.T) {
	c := Config{Dir: t.TempDir(), Frames: 64}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	var sent, frames [64]dataplane.Frame
	a.Alloc(sent[:])
	for i := range sent {
		sent[i].Peer, sent[i].Data = 0, append(sent[i].Data, 1)
	}
	a.TxBurst(sent[:40])
	a.Flush()
	a.TxBurst(sent[40:60])
	if n := b.RxBurst(frames[:20]); n != 20 {
		t.Fatalf("%d frames came", n)
	}
	b.Free(frames[:5])
	kill(b)
	b = mustShared(t, on(c, B))
	greet(t, a, b)
	if n := b.RxBurst(frames[:]); n != 0 {
		t.Errorf("%d frames of the old session came", n)
	}
	if n := a.Alloc(frames[:]); n != 60 {
		t.Fatalf("A found %d free cells, not 60", n)
	}
	a.Free(frames[:60])
	if n := a.TxBurst(sent[60:]); n != 4 { // the caller's are as good as ever
		t.Fatalf("TxBurst took %d of 4", n)
	}
	a.Flush()
	if n := b.RxBurst(frames[:]); n != 4 {
		t.Fatalf("%d of 4 frames came", n)
	}
	b.Free(frames[:4])
	exchange(t, a, b, 64)
}

// An index left by a dead side is never taken for one of the new session, whatever its count.
func TestIndexOfAnotherSession(t *testing.T) {
	c := Config{Dir: t.TempDir(), Frames: 64}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	exchange(t, b, a, 10)
	old := a.session
	kill(b)
	b = mustShared(t, on(c, B))
	b.me.sent.Store(indexWord(old+7, 13)) // as if A looked before B had prepared
	var frames [64]dataplane.Frame
	if n := a.RxBurst(frames[:]); n != 0 {
		t.Fatalf("%d frames came out of nothing", n)
	}
	greet(t, a, b)
	exchange(t, b, a, 10)
	if a.Counters().RxMalformed+b.Counters().RxMalformed != 0 {
		t.Error("a new incarnation was counted as nonsense")
	}
}

// What was flushed before a clean close can still be received.
func TestLastWords(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	var frames [3]dataplane.Frame
	b.Alloc(frames[:])
	for i := range frames {
		frames[i].Peer, frames[i].Data = 0, append(frames[i].Data, byte(i))
	}
	b.TxBurst(frames[:])
	b.Flush()
	b.Close()
	if n := a.RxBurst(frames[:]); n != 3 || frames[2].Data[0] != 2 {
		t.Errorf("%d of 3 frames came", n)
	}
	a.Free(frames[:])
}

// rung tells whether a sleeper on p would wake.
func rung(p *Port) bool {
	fds := []unix.PollFd{{Fd: int32(p.FD()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return n == 1 && err == nil
}

// A loop that sleeps before anyone is there wakes for each step of the meeting, of the first peer and of later ones.
func TestSleepersMeet(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	a := mustShared(t, on(c, A))
	var b *Port
	for round := range 3 {
		if !a.Arm() || rung(a) {
			t.Fatalf("round %d: A has nothing to do and does not rest", round)
		}
		b = mustShared(t, on(c, B))
		if b.me.ready.Load() != 0 {
			t.Fatal("a new incarnation shows what the last one was ready for")
		}
		if !rung(a) {
			t.Fatalf("round %d: A sleeps on although B is there", round)
		}
		if !b.Arm() { // B has seen A, prepared, and rung
			t.Fatal("frames out of nothing")
		}
		a.bell.quiet()
		b.bell.quiet()
		a.RxBurst(nil)
		if !rung(b) {
			t.Fatalf("round %d: B sleeps on although A is ready", round)
		}
		greet(t, a, b)
		exchange(t, a, b, 5)
		exchange(t, b, a, 5)
		kill(b)
	}
}
