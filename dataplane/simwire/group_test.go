package simwire

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"wirepaxos/dataplane"
)

// star is a port a with three peers, b, c and d, and behind them a group of all three.
func star(t testing.TB, c Config) (n *Net, a *Port, others []*Port) {
	n = New(c)
	at := n.Address("a")
	members := []Address{n.Address("b"), n.Address("c"), n.Address("d")}
	a = mustOpenTo(t, n, "a", members, members)
	for _, name := range []string{"b", "c", "d"} {
		others = append(others, mustOpen(t, n, name, at))
	}
	return n, a, others
}

const toAll = 3 // the peer of star's a

func sendNumberTo(t testing.TB, p dataplane.Port, to dataplane.Peer, number uint64) {
	t.Helper()
	send(t, p, to, binary.LittleEndian.AppendUint64(nil, number))
}

// What is sent to a group reaches every member, who sees the sender, and counts once where it was sent. A member that is no peer gets it too.
func TestGroup(t *testing.T) {
	n := New(Config{})
	atA, atB, atC := n.Address("a"), n.Address("b"), n.Address("c")
	a := mustOpenTo(t, n, "a", []Address{atB}, []Address{atC, atB}, []Address{atC})
	b, c := mustOpen(t, n, "b", atC, atA), mustOpen(t, n, "c", atA)
	sendNumberTo(t, a, 1, 10)
	sendNumberTo(t, a, 2, 11)
	sendNumberTo(t, a, 0, 12)
	sendNumberTo(t, a, 3, 13) // there is none
	expect(t, "got something", n.AdvanceTo(0), []Address{atC, atB})
	var one [1]dataplane.Frame
	b.RxBurst(one[:])
	expect(t, "whom b sees", one[0].Peer, 1)
	b.Free(one[:])
	expect(t, "what b got behind that", numbers(b), []uint64{12})
	expect(t, "what c got", numbers(c), []uint64{10, 11})
	k := a.Counters()
	expect(t, "frames, bytes, errors of a", []uint64{k.TxFrames, k.TxBytes, k.TxErrors}, []uint64{3, 24, 1})
	expect(t, "sent", n.Counts()[Sent], 4)
	expect(t, "cells in the pool", len(n.cells.pool), len(n.cells.all))
}

// Each copy has the fate that the same frames, sent to that member alone, would have had: whatever the other links do.
func TestEachCopyOfAGroupHasItsOwnFate(t *testing.T) {
	type story struct {
		lines []string // by event
		kinds Counts
	}
	play := func(group bool) (to [4]story) {
		n, a, others := star(t, Config{Seed: 5, Wire: 1 << 12, Queue: 8})
		n.SetAllFaults(allFaults)
		n.SetFaults(a.Address(), 2, Faults{DropPPM: 500_000})
		n.SetFaults(a.Address(), 3, Faults{})
		n.Tap(func(e TapEvent) {
			s := &to[e.To]
			s.lines = append(s.lines, fmt.Sprint(e.Now, e.Kind, e.Data))
			s.kinds[e.Kind]++
		})
		for i := range uint64(2000) {
			if i == 1000 {
				n.Cut(a.Address(), 3)
			}
			if group {
				sendNumberTo(t, a, toAll, i)
			} else {
				for _, k := range []dataplane.Peer{2, 0, 1} {
					sendNumberTo(t, a, k, i)
				}
			}
			for at := n.Now() + 50; n.Now() < at; {
				n.AdvanceTo(n.Now() + 1)
			}
			for _, p := range others {
				if got := numbers(p); len(got) > 0 && p == others[2] && got[0] != i {
					t.Fatalf("d, whose link is sound, got %d instead of %d", got, i)
				}
			}
		}
		return to
	}
	together, apart := play(true), play(false)
	for to := range together {
		slices.Sort(together[to].lines) // who is first at one time differs
		slices.Sort(apart[to].lines)
		if !slices.Equal(together[to].lines, apart[to].lines) {
			t.Errorf("address %d: to a group %v, alone %v", to, together[to].kinds, apart[to].kinds)
		}
	}
	b, c, d := together[1].kinds, together[2].kinds, together[3].kinds
	if b[Corrupted] < 50 || b[Duplicated] < 50 || b[CutOff] > 0 || c[Dropped] < 800 || c[Dropped] > 1200 || c[Corrupted] > 0 || d[Delivered] != 1000 || d[CutOff] != 1000 {
		t.Errorf("one link damages, one loses half, one is cut in the middle: %v, %v, %v", b, c, d)
	}
	for _, k := range []Counts{b, c, d} {
		if copies := k[Sent] - k[Dropped] - k[CutOff] + k[Duplicated] - k[WireFull]; k[Sent] != 2000 || copies-k[Delivered]-k[QueueFull]-k[NoPort] > 20 {
			t.Errorf("%d copies of %d frames: %v", copies, k[Sent], k)
		}
	}
}

// What goes to a group takes its numbers on each link, and leaves the links of others alone.
func TestGroupsLeaveOtherLinksAlone(t *testing.T) {
	fatesOfB := func(noise bool) (heard []TapKind) {
		n := New(Config{Seed: 3})
		atA, atB := n.Address("a"), n.Address("b")
		far := []Address{n.Address("c"), n.Address("d")}
		a := mustOpenTo(t, n, "a", []Address{atB}, far)
		mustOpen(t, n, "b", atA)
		n.SetAllFaults(allFaults)
		n.Tap(func(e TapEvent) {
			if e.To == atB && e.Kind != Delivered && e.Kind != NoPort {
				heard = append(heard, e.Kind)
			}
		})
		for i := range uint64(500) {
			sendNumberTo(t, a, 0, i)
			if noise {
				sendNumberTo(t, a, 1, i)
			}
		}
		return heard
	}
	if alone := fatesOfB(false); len(alone) < 520 || !slices.Equal(alone, fatesOfB(true)) {
		t.Errorf("%d fates to a peer, others where a group gets frames between", len(alone))
	}
}

// Groups are as the seed says, and every copy's cell comes back, also where ports close, queues and the wire are full.
func TestGroupsAreAccountedFor(t *testing.T) {
	play := func(seed uint64) (c Counts, lines string) {
		n, a, others := star(t, Config{Seed: seed, Queue: 4, Wire: 40})
		n.SetAllFaults(allFaults)
		var heard Counts
		var text strings.Builder
		n.Tap(func(e TapEvent) {
			heard[e.Kind]++
			fmt.Fprintln(&text, e.Now, e.To, e.Kind, e.Data)
		})
		for i := range uint64(5000) {
			sendNumberTo(t, a, toAll, i)
			n.AdvanceTo(n.Now() + 10)
			switch i % 1000 {
			case 500:
				others[1].Close()
			case 600:
				others[1] = mustOpen(t, n, "c", a.Address())
			case 700:
				n.Cut(a.Address(), 3)
			case 710:
				n.HealAll()
			}
			if i%10 == 0 {
				for _, p := range others {
					numbers(p)
				}
			}
		}
		n.AdvanceTo(n.Now() + 10_000_000)
		for _, p := range others {
			numbers(p)
		}
		expect(t, "heard", heard, n.Counts())
		expect(t, "cells in the pool", len(n.cells.pool), len(n.cells.all))
		return heard, text.String()
	}
	c, lines := play(1)
	copies := c[Sent] - c[Dropped] - c[CutOff] + c[Duplicated] - c[WireFull]
	if ends := c[Delivered] + c[QueueFull] + c[NoPort]; c[Sent] != 3*5000 || ends != copies {
		t.Errorf("%d copies, %d ends: %v", copies, ends, c)
	}
	for kind, count := range c {
		if count == 0 {
			t.Errorf("%v never happened", TapKind(kind))
		}
	}
	if _, again := play(1); again != lines {
		t.Error("one seed, two networks")
	}
	if _, other := play(2); other == lines {
		t.Error("two seeds, one network")
	}
}

func TestOpenSaysWhatToDoAboutGroups(t *testing.T) {
	n, a, b := line(t, Config{})
	for want, groups := range map[string][][]Address{
		"group 1 is empty":                             {{a.Address()}, {}},
		"group 0: member 1 is the port itself":         {{a.Address(), 2}},
		"group 1: member 0: there is no address 3":     {{b.Address()}, {3}},
		"group 0: member 0: there is no address -1":    {{-1}},
		"group 0: members 0 and 2 are both b: leave":   {{b.Address(), a.Address(), b.Address()}},
		"simwire: port c: 70000 peers: at most 65534":  make([][]Address, 70_000),
		"simwire: port c: group 0: members 0 and 1 ar": {{b.Address(), b.Address()}},
	} {
		n.Address("c")
		if _, err := n.Open("c", nil, groups...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("groups %v: %v, lacks %q", groups[:1], err, want)
		}
	}
	if p, err := n.Open("c", nil, []Address{a.Address()}, []Address{a.Address(), b.Address()}); err != nil || p == nil {
		t.Errorf("a port with two groups that share a member: %v", err)
	}
}

// Under all faults at once a frame to a group costs no allocation.
func TestGroupAllocations(t *testing.T) {
	n, a, others := star(t, Config{Queue: 64})
	n.SetAllFaults(allFaults)
	var frames [32]dataplane.Frame
	round := func() {
		k := a.Alloc(frames[:])
		for i := range frames[:k] {
			frames[i].Peer, frames[i].Data = toAll, frames[i].Data[:100]
		}
		a.TxBurst(frames[:k])
		a.Flush()
		n.AdvanceTo(n.Now() + 300)
		for _, p := range others {
			for k := p.RxBurst(frames[:]); k > 0; k = p.RxBurst(frames[:]) {
				p.Free(frames[:k])
			}
		}
	}
	for range 10_000 { // until the longest tails have been
		round()
	}
	if allocs := testing.AllocsPerRun(1000, round); allocs != 0 {
		t.Errorf("%v allocations a round", allocs)
	}
}
