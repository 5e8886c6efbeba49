package simwire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/porttest"
)

// wall is a port for the conformance suite, which knows no virtual time and runs two loops: a lock stands for the one goroutine, and the
// clock runs to the next arrival whenever somebody wants to receive.
type wall struct {
	*Port
	lock *sync.Mutex
	to   map[dataplane.Peer]dataplane.Peer // what is for one peer is sent to another instead
}

func (w *wall) RxBurst(frames []dataplane.Frame) int {
	w.lock.Lock()
	defer w.lock.Unlock()
	if t, ok := w.net.Next(); ok {
		w.net.AdvanceTo(t)
	}
	return w.Port.RxBurst(frames)
}

func (w *wall) Alloc(frames []dataplane.Frame) int {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.Port.Alloc(frames)
}

func (w *wall) TxBurst(frames []dataplane.Frame) int {
	w.lock.Lock()
	defer w.lock.Unlock()
	for i := range frames {
		if to, ok := w.to[frames[i].Peer]; ok {
			frames[i].Peer = to
		}
	}
	return w.Port.TxBurst(frames)
}

func (w *wall) Flush() {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.Port.Flush()
}

func (w *wall) Free(frames []dataplane.Frame) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.Port.Free(frames)
}

func mustOpen(t testing.TB, n *Net, name string, peers ...Address) *Port {
	t.Helper()
	return mustOpenTo(t, n, name, peers)
}

func mustOpenTo(t testing.TB, n *Net, name string, peers []Address, groups ...[]Address) *Port {
	t.Helper()
	p, err := n.Open(name, peers, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// line is two ports, a and b, peer 0 to each other.
func line(t testing.TB, c Config) (n *Net, a, b *Port) {
	n = New(c)
	atA, atB := n.Address("a"), n.Address("b")
	return n, mustOpen(t, n, "a", atB), mustOpen(t, n, "b", atA)
}

func TestConformance(t *testing.T) { conform(t, nil) }

// What reaches b as a member of a group is as what reaches it alone. Peer 1 of a is b; peer 2 is b, and d, where nobody is.
func TestConformanceToAGroup(t *testing.T) { conform(t, map[dataplane.Peer]dataplane.Peer{1: 2}) }

func conform(t *testing.T, fromA map[dataplane.Peer]dataplane.Peer) {
	porttest.Run(t, func(t *testing.T) *porttest.Pair {
		n := New(Config{Cells: 256, Queue: 256})
		n.SetAllFaults(Faults{DelayNs: 5000})
		a, b, d := n.Address("a"), n.Address("b"), n.Address("d")
		lock := new(sync.Mutex)
		open := func(name string, peers ...Address) *wall { return &wall{mustOpen(t, n, name, peers...), lock, nil} }
		stranger := open("c", b)
		sender := &wall{mustOpenTo(t, n, "a", []Address{d, b}, []Address{d, b}), lock, fromA}
		pair := &porttest.Pair{A: sender, B: open("b", a), AtoB: 1, BtoA: 0, Lossy: true}
		pair.Stranger = func(payload []byte) error {
			send(t, stranger, 0, payload)
			return nil
		}
		pair.KillB = func() { pair.B.Close() }
		pair.ReopenB = func() dataplane.Port { return open("b", a) }
		return pair
	})
}

// send sends one frame now.
func send(t testing.TB, p dataplane.Port, to dataplane.Peer, payload []byte) {
	t.Helper()
	var one [1]dataplane.Frame
	if p.Alloc(one[:]) == 0 {
		t.Fatal("no cell to send from")
	}
	one[0].Peer, one[0].Data = to, append(one[0].Data, payload...)
	p.TxBurst(one[:])
	p.Flush()
}

func sendNumber(t testing.TB, p dataplane.Port, number uint64) {
	t.Helper()
	send(t, p, 0, binary.LittleEndian.AppendUint64(nil, number))
}

// numbers receives all that waits. What was cut off counts as 0.
func numbers(p *Port) []uint64 {
	var all []uint64
	var one [1]dataplane.Frame
	for p.RxBurst(one[:]) == 1 {
		var number [8]byte
		copy(number[:], one[0].Data)
		all = append(all, binary.LittleEndian.Uint64(number[:]))
		p.Free(one[:])
	}
	return all
}

func expect[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, not %s", what, g, w)
	}
}

func TestClockMovesOnlyWhenTold(t *testing.T) {
	n, a, b := line(t, Config{})
	n.SetFaults(a.Address(), b.Address(), Faults{DelayNs: 100})
	sendNumber(t, a, 1)
	n.AdvanceTo(40)
	sendNumber(t, a, 2)
	sendNumber(t, b, 3)
	at, ok := n.Next()
	expect(t, "next arrival", []any{at, ok}, []any{40, true})
	expect(t, "got something at 40", n.AdvanceTo(40), []Address{0})
	expect(t, "what a got", numbers(a), []uint64{3})
	expect(t, "got something at 99", n.AdvanceTo(99), []Address{})
	expect(t, "what b got too early", numbers(b), []uint64{})
	sendNumber(t, b, 4)
	expect(t, "got something at 200", n.AdvanceTo(200), []Address{0, 1})
	expect(t, "what b got", numbers(b), []uint64{1, 2})
	n.AdvanceTo(10)
	expect(t, "the clock", n.Now(), 200)
	_, ok = n.Next()
	expect(t, "more to come", ok, false)
}

func TestFlushIsTheMomentOfSending(t *testing.T) {
	n, a, b := line(t, Config{})
	var one [1]dataplane.Frame
	a.Alloc(one[:])
	one[0].Peer, one[0].Data = 0, one[0].Data[:8]
	a.TxBurst(one[:])
	_, ok := n.Next()
	expect(t, "on its way before Flush", ok, false)
	n.AdvanceTo(70)
	a.Flush()
	at, _ := n.Next()
	expect(t, "arrival", at, 70)
	n.AdvanceTo(70)
	expect(t, "received", len(numbers(b)), 1)
}

// A node that restarts gets what was on its way, not what its old self had queued; while it is gone all is lost.
func TestRestart(t *testing.T) {
	n, a, b := line(t, Config{Cells: 4, Queue: 8})
	n.SetAllFaults(Faults{DelayNs: 10})
	sendNumber(t, a, 1)
	n.AdvanceTo(10)
	sendNumber(t, a, 2) // arrives while nobody is there
	n.AdvanceTo(15)
	sendNumber(t, a, 3)
	var held [4]dataplane.Frame
	b.Alloc(held[:])
	held[0].Peer, held[0].Data = 0, held[0].Data[:8]
	b.TxBurst(held[:1]) // never flushed
	b.Close()
	b.Free(held[1:]) // too late, and harmless
	n.AdvanceTo(20)
	if _, err := n.Open("a", nil); err == nil || !strings.Contains(err.Error(), "close it") {
		t.Errorf("a second port a: %v", err)
	}
	b = mustOpen(t, n, "b", a.Address())
	n.AdvanceTo(30)
	expect(t, "what the new b got", numbers(b), []uint64{3})
	expect(t, "what a got", numbers(a), []uint64{})
	expect(t, "lost with nobody there", n.Counts()[NoPort], 1)
	expect(t, "cells of the new b", b.Alloc(held[:]), 4)
}

func TestQueueFull(t *testing.T) {
	n, a, b := line(t, Config{Queue: 3})
	for i := range uint64(5) {
		sendNumber(t, a, i)
	}
	n.AdvanceTo(0)
	expect(t, "received", numbers(b), []uint64{0, 1, 2})
	expect(t, "counted", []uint64{b.Counters().RxDropped, n.Counts()[QueueFull]}, []uint64{2, 2})
}

func TestWireFull(t *testing.T) {
	n, a, b := line(t, Config{Wire: 3})
	n.SetAllFaults(Faults{DuplicatePPM: 1_000_000})
	for i := range uint64(3) {
		sendNumber(t, a, i)
	}
	n.AdvanceTo(0)
	expect(t, "received", numbers(b), []uint64{0, 0, 1})
	expect(t, "counted", n.Counts()[WireFull], 3)
	expect(t, "cells in the pool", len(n.cells.pool), len(n.cells.all))
}

func TestCutIsOneWayAndSparesWhatIsOnItsWay(t *testing.T) {
	n, a, b := line(t, Config{})
	n.SetAllFaults(Faults{DelayNs: 10})
	sendNumber(t, a, 1)
	n.Cut(a.Address(), b.Address())
	sendNumber(t, a, 2)
	sendNumber(t, b, 3)
	n.AdvanceTo(10)
	expect(t, "what b got", numbers(b), []uint64{1})
	expect(t, "what a got", numbers(a), []uint64{3})
	n.Heal(a.Address(), b.Address())
	sendNumber(t, a, 4)
	n.Cut(a.Address(), b.Address())
	n.HealAll()
	sendNumber(t, a, 5)
	n.AdvanceTo(20)
	expect(t, "what b got after healing", numbers(b), []uint64{4, 5})
	expect(t, "cut off", n.Counts()[CutOff], 1)
}

func TestOpenSaysWhatToDo(t *testing.T) {
	n, a, b := line(t, Config{})
	for want, peers := range map[string][]Address{
		"is the port itself":        {a.Address(), 2},
		"there is no address 3":     {3},
		"there is no address -1":    {-1},
		"peers 0 and 1 are both b:": {b.Address(), b.Address()},
	} {
		n.Address("c")
		if _, err := n.Open("c", peers); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("peers %v: %v, lacks %q", peers, err, want)
		}
	}
	for want, f := range map[string]func(){
		"MTU is -1: give 1 to":   func() { New(Config{MTU: -1}) },
		"Queue is 2097152: give": func() { New(Config{Queue: 1 << 21}) },
		"a delay is from 0 to":   func() { n.SetAllFaults(Faults{JitterNs: -1}) },
		"does not own":           func() { freeTwice(a) },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
					t.Errorf("panic %q lacks %q", text, want)
				}
			}()
			f()
		}()
	}
}

func freeTwice(p *Port) {
	var one [1]dataplane.Frame
	p.Alloc(one[:])
	p.Free(one[:])
	p.Free(one[:])
}

// An address that is named after a port was opened is a stranger to it.
func TestLateStranger(t *testing.T) {
	n, a, b := line(t, Config{})
	c := mustOpen(t, n, "c", b.Address())
	send(t, c, 0, []byte("who?"))
	sendNumber(t, a, 1)
	n.AdvanceTo(0)
	expect(t, "what b got", numbers(b), []uint64{1})
	expect(t, "strangers", b.Counters().RxStrangers, 1)
}

func BenchmarkBurst(b *testing.B) {
	for _, x := range []struct {
		name   string
		burst  int
		faults Faults
	}{
		{"clean-1", 1, Faults{}},
		{"clean-32", 32, Faults{DelayNs: 5000}},
		{"faulty-32", 32, Faults{DropPPM: 10000, DuplicatePPM: 10000, CorruptPPM: 10000, TailPPM: 10000, DelayNs: 5000, JitterNs: 5000, TailNs: 1e6}},
	} {
		b.Run(x.name, func(b *testing.B) {
			n, from, to := line(b, Config{})
			n.SetAllFaults(x.faults)
			frames := make([]dataplane.Frame, x.burst)
			b.ReportAllocs()
			for b.Loop() {
				k := from.Alloc(frames)
				for i := range frames[:k] {
					frames[i].Peer, frames[i].Data = 0, frames[i].Data[:64]
				}
				from.TxBurst(frames[:k])
				from.Flush()
				n.AdvanceTo(n.Now() + 5000)
				to.Free(frames[:to.RxBurst(frames)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*x.burst), "ns/frame")
		})
	}
}
