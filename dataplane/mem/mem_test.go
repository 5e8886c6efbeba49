package mem

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/porttest"
)

func mustPair(t testing.TB, c Config) (a, b *Port) {
	t.Helper()
	a, b, err := NewPair(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestConformance(t *testing.T) {
	porttest.Run(t, func(t *testing.T) *porttest.Pair {
		a, b := mustPair(t, Config{Frames: 256})
		return &porttest.Pair{A: a, B: b}
	})
}

func TestConfigSaysWhatToDo(t *testing.T) {
	for want, c := range map[string]Config{
		"a name has":         {Name: "a/b"},
		"no dot in front":    {Name: ".hidden"},
		"1 to 100":           {Name: strings.Repeat("x", 101)},
		"give 1 to 65536":    {MTU: MaxMTU + 1},
		"a power of two":     {Frames: 1000},
		"from 64 to 1048576": {Frames: 32},
		"only A (0)":         {Side: 2},
	} {
		if a, _, err := NewPair(c); err == nil {
			t.Errorf("%+v opened", c)
			a.Close()
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %q lacks %q, or is not one line", c, err, want)
		}
	}
}

func TestInfo(t *testing.T) {
	a, b := mustPair(t, Config{Name: "left-right"})
	for _, p := range []*Port{a, b} {
		if p.Info() != (dataplane.Info{Transport: "mem", Interface: "left-right"}) || p.MTU() != 1472 {
			t.Errorf("Info %+v, MTU %d", p.Info(), p.MTU())
		}
	}
}

// Both loops at full speed, all cells in flight: nothing is lost, torn or out of order.
func TestFlood(t *testing.T) {
	const total = 300_000
	a, b := mustPair(t, Config{Frames: 64, MTU: 64})
	done := make(chan struct{})
	time.AfterFunc(60*time.Second, func() { close(done) })
	var wg sync.WaitGroup
	for _, p := range []*Port{a, b} {
		wg.Go(func() {
			if err := flood(p, total, done); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func flood(p *Port, total uint64, done <-chan struct{}) error {
	var frames, kept [16]dataplane.Frame
	sent, got, keep := uint64(0), uint64(0), 0
	for cycle := 0; sent < total || got < total; cycle++ {
		n := p.Alloc(frames[:min(16, total-sent)])
		for i := range frames[:n] {
			frames[i].Peer, frames[i].Data = 0, frames[i].Data[:8+sent%57]
			for at := range frames[i].Data {
				frames[i].Data[at] = byte(sent)
			}
			binary.LittleEndian.PutUint64(frames[i].Data, sent)
			sent++
		}
		p.TxBurst(frames[:n])
		p.Flush()
		n = p.RxBurst(frames[:])
		for _, f := range frames[:n] {
			seq := binary.LittleEndian.Uint64(f.Data)
			if seq != got || len(f.Data) != int(8+seq%57) {
				return fmt.Errorf("frame %d of %d bytes came where %d was due", seq, len(f.Data), got)
			}
			for _, b := range f.Data[8:] {
				if b != byte(seq) {
					return fmt.Errorf("frame %d is torn", seq)
				}
			}
			got++
		}
		if keep == 0 && n > 3 { // hold some over a few cycles, and free them out of order
			keep = copy(kept[:], frames[1:3])
			frames[1], frames[2] = frames[n-1], frames[n-2]
			p.Free(frames[:n-2])
		} else {
			p.Free(frames[:n])
		}
		if cycle%7 == 0 {
			p.Free(kept[:keep])
			keep = 0
		}
		if n == 0 {
			select {
			case <-done:
				return fmt.Errorf("%v: %d of %d frames came in time", p.side, got, total)
			default:
				runtime.Gosched()
			}
		}
	}
	p.Free(kept[:keep])
	return nil
}

// Loops that spin make no system call; one that sleeps costs one ring a sleep.
func TestDoorbellIsRungOnlyForSleepers(t *testing.T) {
	a, b := mustPair(t, Config{})
	var one [1]dataplane.Frame
	send := func() {
		a.Alloc(one[:])
		one[0].Peer, one[0].Data = 0, one[0].Data[:1]
		a.TxBurst(one[:])
		a.Flush()
	}
	read := func() {
		if b.RxBurst(one[:]) != 1 {
			t.Fatal("nothing came")
		}
		b.Free(one[:])
	}
	for range 10 {
		send()
		read()
	}
	if n := a.Counters().Syscalls() + b.Counters().Syscalls(); n != 0 {
		t.Errorf("%d system calls between spinning loops", n)
	}
	if !b.Arm() {
		t.Fatal("Arm found something")
	}
	for range 3 {
		send()
	}
	if n := a.Counters().TxSyscalls; n != 1 {
		t.Errorf("%d rings for one sleep", n)
	}
	for range 3 {
		read()
	}
	if !b.Arm() { // woken by something else, it spins again
		t.Fatal("Arm found something")
	}
	b.RxBurst(one[:])
	send()
	if n := a.Counters().TxSyscalls; n != 1 {
		t.Errorf("rang for a loop that is awake")
	}
}

// Entries that an honest peer cannot have written are dropped and counted; no cell gets a second holder.
func TestNonsenseInTheRings(t *testing.T) {
	a, b := mustPair(t, Config{Frames: 64, MTU: 100})
	var frames [64]dataplane.Frame
	descriptor := func(cell, length uint64) uint64 { return length<<32 | cell }
	for _, bad := range []uint64{
		descriptor(64, 10), descriptor(1<<32-1, 10), descriptor(3, 0), descriptor(4, 101), descriptor(5, 1<<32-1),
	} {
		before := b.Counters().RxMalformed
		a.sent.push(bad)
		a.sent.publish()
		if n := b.RxBurst(frames[:]); n != 0 || b.Counters().RxMalformed != before+1 {
			t.Errorf("descriptor %#x: %d frames, RxMalformed %d", bad, n, b.Counters().RxMalformed-before)
		}
	}
	a.sent.push(descriptor(7, 10)) // the same cell twice
	a.sent.push(descriptor(7, 10))
	a.sent.publish()
	if n := b.RxBurst(frames[:]); n != 1 || b.Counters().RxMalformed != 6 {
		t.Errorf("a cell sent twice: %d frames, RxMalformed %d", n, b.Counters().RxMalformed)
	}

	taken := a.Alloc(frames[:10])
	if taken != 10 {
		t.Fatalf("Alloc gave %d", taken)
	}
	mine := frames[0].Cell - a.frames
	for _, bad := range []uint64{64, 1 << 40, mine, uint64(a.free[0])} { // no cell; the caller's; a free one
		before := a.Counters().RxMalformed
		free := len(a.free)
		b.returned.push(bad)
		b.returned.publish()
		a.reclaim()
		if a.Counters().RxMalformed <= before || len(a.free) != free {
			t.Errorf("return of %#x: %d cells free, were %d, RxMalformed %d", bad, len(a.free), free, a.Counters().RxMalformed-before)
		}
	}

	for _, word := range []uint64{indexWord(onlySession, a.sent.next+65), indexWord(onlySession+1, a.sent.next+1), ^uint64(0)} {
		before := b.Counters().RxMalformed
		a.me.sent.Store(word)
		if n := b.RxBurst(frames[20:]); n != 0 || b.Counters().RxMalformed != before+1 {
			t.Errorf("index %#x: %d frames, RxMalformed %d", word, n, b.Counters().RxMalformed-before)
		}
	}
}

// Indices run over the end of their 32 bits.
func TestIndicesWrap(t *testing.T) {
	a, b := mustPair(t, Config{Frames: 64, MTU: 64})
	const near = ^uint32(0) - 100
	for _, p := range []*Port{a, b} {
		for _, r := range []*outRing{&p.sent, &p.returned} {
			r.next, r.published = near, near
			r.tail.Store(indexWord(onlySession, near))
		}
		for _, r := range []*inRing{&p.arrived, &p.reclaimed} {
			r.next, r.seen = near, near
		}
	}
	done := make(chan struct{})
	time.AfterFunc(30*time.Second, func() { close(done) })
	var wg sync.WaitGroup
	for _, p := range []*Port{a, b} {
		wg.Go(func() {
			if err := flood(p, 1000, done); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if a.sent.next > near {
		t.Error("the index did not wrap")
	}
}

func TestMisuseOfCells(t *testing.T) {
	a, b := mustPair(t, Config{})
	var frames, again [4]dataplane.Frame
	a.Alloc(frames[:])
	frames[0].Peer, frames[0].Data = 0, frames[0].Data[:1]
	again[0] = frames[0]
	a.TxBurst(frames[:1])
	a.TxBurst(again[:1])
	a.Flush()
	if n := b.RxBurst(again[:]); n != 1 || a.Counters().TxErrors != 1 {
		t.Errorf("a frame sent twice came %d times, TxErrors %d", n, a.Counters().TxErrors)
	}
	mustPanic := func(name string, f func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		f()
	}
	mustPanic("free a sent frame", func() { a.Free(frames[:1]) })
	a.Free(frames[1:2])
	mustPanic("free twice", func() { a.Free(frames[1:2]) })
	b.Free(again[:1])
	mustPanic("free a received frame twice", func() { b.Free(again[:1]) })
	mustPanic("free another's", func() { a.Free([]dataplane.Frame{{Cell: 1 << 60}}) })
}
