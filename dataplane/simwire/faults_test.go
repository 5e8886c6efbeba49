package simwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"

	"wirepaxos/dataplane"
)

var allFaults = Faults{DropPPM: 50_000, DuplicatePPM: 50_000, CorruptPPM: 50_000, TailPPM: 50_000, DelayNs: 100, JitterNs: 1000, TailNs: 1_000_000}

// fates sends count numbered frames from a to b and says in order what a tap heard of them.
func fates(t *testing.T, n *Net, a *Port, count uint64) []TapKind {
	t.Helper()
	var heard []TapKind
	n.Tap(func(e TapEvent) {
		if e.From == a.Address() {
			heard = append(heard, e.Kind)
		}
	})
	for i := range count {
		sendNumber(t, a, i)
		n.AdvanceTo(n.Now() + 10)
	}
	return heard
}

// trace is a hash over everything that a tap hears while three ports send to each other.
func trace(t *testing.T, seed uint64) uint64 {
	n := New(Config{Seed: seed, Queue: 16, Wire: 64})
	sum := fnv.New64a()
	n.Tap(func(e TapEvent) {
		fmt.Fprintln(sum, e.Now, e.From, e.To, e.Kind)
		sum.Write(e.Data)
	})
	names := []string{"a", "b", "c"}
	var ports []*Port
	for _, name := range names {
		n.Address(name)
	}
	for i, name := range names {
		ports = append(ports, mustOpen(t, n, name, Address((i+1)%3), Address((i+2)%3)))
	}
	n.SetAllFaults(allFaults)
	for i := range uint64(3000) {
		sendNumber(t, ports[i%3], i)
		if i%7 == 0 {
			at, ok := n.Next()
			if ok {
				n.AdvanceTo(at)
			}
			numbers(ports[i%2])
		}
	}
	fmt.Fprint(sum, n.Counts())
	return sum.Sum64()
}

func TestSeedIsTheNetwork(t *testing.T) {
	one := trace(t, 1)
	if trace(t, 1) != one {
		t.Error("one seed, two networks")
	}
	if trace(t, 2) == one {
		t.Error("two seeds, one network")
	}
}

// Each frame ends in one way, each copy as well, and the tap and the counts agree.
func TestEveryFrameIsAccountedFor(t *testing.T) {
	n, a, b := line(t, Config{Queue: 4, Wire: 100})
	n.SetAllFaults(allFaults)
	var heard Counts
	n.Tap(func(e TapEvent) { heard[e.Kind]++ })
	for i := range uint64(20_000) {
		sendNumber(t, a, i)
		n.AdvanceTo(n.Now() + 10)
		switch i % 1000 {
		case 500:
			b.Close()
		case 600:
			b = mustOpen(t, n, "b", a.Address())
		case 700:
			n.Cut(a.Address(), b.Address())
		case 710:
			n.Heal(a.Address(), b.Address())
		}
		if i%10 == 0 {
			var one [1]dataplane.Frame
			for b.RxBurst(one[:]) == 1 {
				b.Free(one[:])
			}
		}
	}
	n.AdvanceTo(n.Now() + 10_000_000)
	c := n.Counts()
	if c != heard {
		t.Errorf("counted %v, heard %v", c, heard)
	}
	copies := c[Sent] - c[Dropped] - c[CutOff] + c[Duplicated] - c[WireFull]
	if ends := c[Delivered] + c[QueueFull] + c[NoPort]; ends != copies {
		t.Errorf("%d copies, %d ends: %v", copies, ends, c)
	}
	for kind, count := range c {
		if count == 0 {
			t.Errorf("%v never happened", TapKind(kind))
		}
	}
	for _, kind := range []TapKind{Dropped, Duplicated, Corrupted} {
		if share := c[kind] * 1_000_000 / c[Sent]; share < 35_000 || share > 65_000 {
			t.Errorf("%v: %d of a million, asked for 50000", kind, share)
		}
	}
	numbers(b)
	expect(t, "cells in the pool", len(n.cells.pool), len(n.cells.all))
}

// What one link carries, and which other faults there are, changes nothing for the frames of another.
func TestFatesDoNotDependOnOthers(t *testing.T) {
	dropped := func(others Faults, noise bool) []uint64 {
		n, a, b := line(t, Config{Seed: 7})
		others.DropPPM = 100_000
		n.SetAllFaults(others)
		var lost []uint64
		n.Tap(func(e TapEvent) {
			if e.Kind == Dropped && e.From == a.Address() {
				lost = append(lost, binary.LittleEndian.Uint64(e.Data))
			}
		})
		for i := range uint64(500) {
			sendNumber(t, a, i)
			if noise {
				sendNumber(t, b, i)
			}
			n.AdvanceTo(n.Now() + 1)
		}
		return lost
	}
	alone := dropped(Faults{}, false)
	if len(alone) < 20 {
		t.Fatalf("lost only %v", alone)
	}
	expect(t, "lost with traffic on the other link", dropped(Faults{}, true), alone)
	expect(t, "lost with other faults", dropped(allFaults, false), alone)

	n, a, b := line(t, Config{Seed: 7})
	n.SetAllFaults(allFaults)
	if slices.Equal(fates(t, n, a, 500), fates(t, n, b, 500)) {
		t.Error("both directions have one fate")
	}
	for _, name := range []string{"c", "d"} {
		n.Address(name)
	}
	both := mustOpen(t, n, "e", 2, 3)
	var kinds [2][]TapKind
	n.Tap(func(e TapEvent) {
		if e.From == both.Address() {
			kinds[e.To-2] = append(kinds[e.To-2], e.Kind)
		}
	})
	for range 500 {
		send(t, both, 0, []byte("twelve bytes"))
		send(t, both, 1, []byte("twelve bytes"))
	}
	if slices.Equal(kinds[0], kinds[1]) {
		t.Error("what one port sends has one fate whoever shall get it")
	}
}

func TestCopiesHaveFatesOfTheirOwn(t *testing.T) {
	n, a, _ := line(t, Config{})
	n.SetAllFaults(Faults{DuplicatePPM: 1_000_000, CorruptPPM: 500_000, JitterNs: 1_000_000})
	var arrivals []int64
	var damaged [3]int // by how many of the two copies
	n.Tap(func(e TapEvent) {
		if e.Kind == Delivered {
			arrivals = append(arrivals, e.Now)
		}
	})
	for i := range uint64(100) {
		before := n.Counts()[Corrupted]
		sendNumber(t, a, i)
		damaged[n.Counts()[Corrupted]-before]++
		n.AdvanceTo(n.Now() + 1_000_000)
	}
	slices.Sort(arrivals)
	if apart := len(slices.Compact(arrivals)); apart < 190 {
		t.Errorf("100 frames, sent twice, arrived at %d times", apart)
	}
	if slices.Min(damaged[:]) < 10 {
		t.Errorf("frames with 0, 1 and 2 damaged copies: %v", damaged)
	}
}

func TestDelays(t *testing.T) {
	const count = 20_000
	f := Faults{DelayNs: 1000, JitterNs: 500, TailPPM: 100_000, TailNs: 1_000_000}
	n, a, b := line(t, Config{Queue: count})
	n.SetAllFaults(f)
	for i := range uint64(count) {
		sendNumber(t, a, i)
	}
	var beyond [4]int // later than the jitter, than 10, 100 and 1000 times the least tail
	last := int64(0)
	for at, ok := n.Next(); ok; at, ok = n.Next() {
		n.AdvanceTo(at)
		for range numbers(b) {
			last = at
			if at < f.DelayNs || at > f.DelayNs+f.JitterNs+f.TailNs {
				t.Fatalf("a frame took %d ns", at)
			}
			for i, least := 0, int64(0); i < len(beyond); i++ {
				if at > f.DelayNs+f.JitterNs+least {
					beyond[i]++
				}
				least = max(10*least, 10*f.TailNs/tailShare)
			}
		}
	}
	if last < 500_000 {
		t.Errorf("the latest frame took %d ns only", last)
	}
	for i, least := range []int{1000, 100, 10} { // 2,000 have a tail; a tenth of them one ten times as long; and so on
		if beyond[i] < least || beyond[i] > 3*least && i > 0 {
			t.Errorf("tails by length: %v", beyond)
		}
	}
}

func TestFramesArriveInOrderOfTime(t *testing.T) {
	n, a, b := line(t, Config{Queue: 1 << 16})
	n.SetAllFaults(Faults{JitterNs: 1000})
	var last, arrived int64
	n.Tap(func(e TapEvent) {
		if e.Kind == Delivered {
			arrived++
			if e.Now < last {
				t.Fatalf("a frame arrived at %d after one at %d", e.Now, last)
			}
			last = e.Now
		}
	})
	random := rand.New(rand.NewPCG(1, 2))
	for i := range uint64(10_000) {
		sendNumber(t, a, i)
		if random.IntN(50) == 0 {
			n.AdvanceTo(n.Now() + random.Int64N(500))
		}
	}
	n.AdvanceTo(n.Now() + 1000)
	expect(t, "arrived", arrived, 10_000)
	got := numbers(b)
	if slices.IsSorted(got) {
		t.Error("jitter reordered nothing")
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 10_000 {
		t.Error("not every frame came once")
	}
}

// A frame without jitter overtakes none that was sent before it.
func TestEqualDelaysKeepTheOrder(t *testing.T) {
	n, a, b := line(t, Config{})
	n.SetAllFaults(Faults{DelayNs: 50})
	for i := range uint64(1000) {
		sendNumber(t, a, i)
	}
	n.AdvanceTo(50)
	if got := numbers(b); len(got) != 1000 || !slices.IsSorted(got) {
		t.Errorf("came as %v", got)
	}
}

func TestCorruptAlwaysDiffers(t *testing.T) {
	var shorter, oneByte, more int
	for length := 1; length <= 300; length++ {
		for seed := range uint64(50) {
			sent := bytes.Repeat([]byte{byte(seed)}, length)
			got := corrupt(bytes.Clone(sent), fate(mix(seed<<20+uint64(length))))
			differ := 0
			for i := range got {
				if got[i] != sent[i] {
					differ++
				}
			}
			switch {
			case len(got) == 0 || differ > 3 || len(got) < length && differ > 0 || len(got) == length && differ == 0:
				t.Fatalf("%d bytes became %d with %d others", length, len(got), differ)
			case len(got) < length:
				shorter++
			case differ == 1:
				oneByte++
			default:
				more++
			}
		}
	}
	if shorter < 1000 || oneByte < 1000 || more < 1000 {
		t.Errorf("cut %d, one byte %d, more %d", shorter, oneByte, more)
	}
}

// Under all faults at once a frame costs no allocation.
func TestAllocations(t *testing.T) {
	n, a, b := line(t, Config{Queue: 64})
	n.SetAllFaults(allFaults)
	heard := 0
	n.Tap(func(e TapEvent) { heard += len(e.Data) })
	var frames [32]dataplane.Frame
	round := func() {
		for _, p := range []*Port{a, b} {
			k := p.Alloc(frames[:])
			for i := range frames[:k] {
				frames[i].Peer, frames[i].Data = 0, frames[i].Data[:100]
			}
			p.TxBurst(frames[:k])
			p.Flush()
			n.AdvanceTo(n.Now() + 300)
			k = p.RxBurst(frames[:])
			p.Free(frames[:k])
		}
	}
	for range 20_000 { // until the longest tails have been
		round()
	}
	if allocs := testing.AllocsPerRun(1000, round); allocs != 0 {
		t.Errorf("%v allocations a round", allocs)
	}
}
