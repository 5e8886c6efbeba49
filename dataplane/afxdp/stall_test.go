package afxdp

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// stalling is a zero-copy port whose busy-polled driver is never woken to send: what is in its TX ring stays there.
type stalling struct {
	p     *Port
	k     *kernel
	calms int
	told  chan string
	up    bool
}

func newStalling(t *testing.T) *stalling {
	t.Helper()
	s := &stalling{told: make(chan string, 8), up: true}
	s.p, s.k = newFake(t)
	s.p.zeroCopy, s.p.busyPoll, s.p.stall.napi = true, true, true
	s.p.info = dataplane.Info{Interface: "eth1", BusyPoll: "prefer"}
	s.p.tx.flags.Store(unix.XDP_RING_NEED_WAKEUP)
	s.p.stall.linkUp = func() bool { return s.up }
	s.p.stall.calm = func() error { s.calms++; return nil }
	s.p.stall.tell = func(line string) { s.told <- line }
	return s
}

// kicks flushes until the port has looked once more whether it stalls. The clock is made to have gone on by so much since the last look.
func (s *stalling) kicks(elapsedNs int64) {
	if s.p.stall.since != 0 {
		s.p.stall.since -= elapsedNs
	}
	for range stallLook {
		s.p.Flush()
	}
}

// A driver that completes nothing while it is busy-polled is found, told of once, and no longer busy-polled: then it goes on.
func TestStallIsFallenBackFrom(t *testing.T) {
	s := newStalling(t)
	send(t, s.p, 3)
	s.kicks(0)
	s.kicks(stallNs / 2) // late is not never
	if s.calms != 0 || s.p.counters.TxStalls != 0 {
		t.Fatalf("given up after half of the time: %d, %+v", s.calms, s.p.counters)
	}
	before := s.p.counters.TxSyscalls
	s.kicks(stallNs)
	if s.calms != 1 || s.p.busyPoll || s.p.counters.TxStalls != 1 || s.p.Info().BusyPoll != "stalled" || !contains(s.p.Info().Note, "busy-polling was given up") {
		t.Fatalf("ended %d times, %+v, %+v", s.calms, s.p.counters, s.p.Info())
	}
	if got := s.p.counters.TxSyscalls - before; got != stallLook+1 {
		t.Fatalf("%d kicks, want one more: the driver is to be woken", got)
	}
	if line := <-s.told; !contains(line, "eth1 queue 0: busy-polling was given up") || contains(line, "\n") {
		t.Fatal(line)
	}
	var one [1]dataplane.Frame
	calls := s.p.counters.RxSyscalls
	if s.p.RxBurst(one[:]); s.p.counters.RxSyscalls != calls {
		t.Fatal("an empty burst still polls")
	}
	s.k.transmit(3)
	s.p.Flush()
	if s.p.stall.waits != 0 || s.p.outstanding() != 0 || s.p.txPending {
		t.Fatalf("%d waits, %d outstanding, pending %t", s.p.stall.waits, s.p.outstanding(), s.p.txPending)
	}
	expectCells(t, s.p)
	s.kicks(stallNs)
	if s.p.counters.TxStalls != 1 || len(s.told) != 0 {
		t.Fatalf("told again: %+v", s.p.counters)
	}
}

// A device that goes on completing nothing is called stuck, once, and no longer when it completes after all.
func TestStuckDevice(t *testing.T) {
	s := newStalling(t)
	send(t, s.p, 3)
	for range 6 {
		s.kicks(stallNs)
	}
	if s.calms != 1 || s.p.counters.TxStalls != 2 || !contains(s.p.Info().Note, "completes nothing") {
		t.Fatalf("ended %d times, %+v, %+v", s.calms, s.p.counters, s.p.Info())
	}
	for range 2 {
		<-s.told
	}
	if len(s.told) != 0 {
		t.Fatal("told more than once")
	}
	s.k.transmit(3)
	s.p.Flush()
	if s.p.stall.waits != 0 {
		t.Fatalf("%d waits", s.p.stall.waits)
	}
}

// Cells that do not come back are noticed by who asks for some, also where the driver took the packets and asks for no kick.
func TestStallOfAllCells(t *testing.T) {
	s := newStalling(t)
	s.p.tx.flags.Store(0)
	send(t, s.p, fakeRing)
	s.p.Flush()
	s.p.tx.consumer.Store(fakeRing) // taken, and never completed
	s.p.Flush()
	var one [1]dataplane.Frame
	for range 2 {
		if s.p.stall.since != 0 {
			s.p.stall.since -= stallNs
		}
		for range stallLook {
			if s.p.Alloc(one[:]) != 0 {
				t.Fatal("a cell came from nowhere")
			}
		}
	}
	if s.calms != 1 || s.p.counters.TxStalls != 1 {
		t.Fatalf("ended %d times, %+v", s.calms, s.p.counters)
	}
}

// What looks like a stall and is none: the link is down, the interface is, copy mode, packets that are completed in their time, nothing sent.
func TestNoStall(t *testing.T) {
	for name, spoil := range map[string]func(s *stalling){
		"link down":      func(s *stalling) { s.up = false },
		"interface down": func(s *stalling) { s.p.lastKick = unix.ENETDOWN; s.p.tx.flags.Store(0) },
		"copy mode":      func(s *stalling) { s.p.zeroCopy = false },
		"completed":      func(s *stalling) { s.k.transmit(1) },
	} {
		s := newStalling(t)
		send(t, s.p, 3)
		for range 5 {
			spoil(s)
			s.kicks(stallNs)
			for range stallLook {
				s.p.waited()
			}
			if name == "completed" {
				send(t, s.p, 1)
			}
		}
		if s.calms != 0 || s.p.counters.TxStalls != 0 || !s.p.busyPoll {
			t.Errorf("%s: ended %d times, %+v", name, s.calms, s.p.counters)
		}
	}
	s := newStalling(t)
	for range 5 {
		s.p.stall.waits += stallLook - 1
		s.p.waited()
	}
	if s.p.stall.since != 0 || s.calms != 0 {
		t.Error("nothing was sent, and it stalls")
	}
}

// What cannot be ended is said with the rest.
func TestFallBackRefused(t *testing.T) {
	s := newStalling(t)
	s.p.stall.calm = func() error { return errors.New("no such option") }
	send(t, s.p, 1)
	for range 2 {
		s.kicks(stallNs)
	}
	if !contains(s.p.Info().Note, "cannot be ended: no such option") {
		t.Fatalf("%+v", s.p.Info())
	}
}

// A socket that has received a packet and does not know what to poll is polled no longer, which is said; one that has received none is asked later.
func TestNothingToPoll(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	ca.BusyPoll.Prefer = true
	told := make(chan string, 4)
	ca.Tell = func(line string) { told <- line }
	a, b := openPort(t, ca), openPort(t, cb)
	if !a.busyPoll {
		t.Skipf("needs a kernel with busy-polling: %s", a.Info().Note)
	}
	var one [1]dataplane.Frame
	a.RxBurst(one[:])
	if !a.busyPoll || a.Info().BusyPoll != "prefer" {
		t.Fatalf("before the first packet: %+v", a.Info())
	}
	exchange(t, a, b)
	id, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID)
	must(t, err)
	calls := a.counters.RxSyscalls
	a.RxBurst(one[:])
	a.RxBurst(one[:])
	if id != 0 {
		if !a.busyPoll || !a.stall.napi || a.counters.RxSyscalls != calls+2 {
			t.Fatalf("NAPI %d: %+v", id, a.Info())
		}
		return
	}
	if a.busyPoll || a.Info().BusyPoll != "without effect" || !contains(a.Info().Note, "busy-polling has no effect") || a.counters.RxSyscalls > calls+1 {
		t.Fatalf("no NAPI: %+v, %d calls", a.Info(), a.counters.RxSyscalls-calls)
	}
	if line := <-told; !contains(line, "wpa queue 0: busy-polling has no effect") || !contains(line, "nic restore wpa") || contains(line, "\n") {
		t.Fatal(line)
	}
	exchange(t, a, b)
}

// Busy-polling can be ended on a socket that has it, and the kernel then says that it is off.
func TestBusyPollEnds(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	ca.BusyPoll = BusyPoll{Prefer: true, Micros: 20, Budget: 64}
	a, b := openPort(t, ca), openPort(t, cb)
	if !a.busyPoll {
		t.Skipf("needs a kernel with busy-polling: %s", a.Info().Note)
	}
	if a.Info().BusyPoll != "prefer" || b.Info().BusyPoll != "off" {
		t.Fatalf("%+v, %+v", a.Info(), b.Info())
	}
	// On a fresh interface nothing defers interrupts, which is said; once they are deferred, it is not.
	if !contains(a.Info().Note, "nic tune wpa --busy-poll") {
		t.Errorf("%+v", a.Info())
	}
	m := &makings{}
	if note := a.setBusyPoll(m, &ca.BusyPoll); note != "" {
		t.Error(note)
	}
	exchange(t, a, b)
	a.fallBack()
	for _, option := range []int{unix.SO_PREFER_BUSY_POLL, unix.SO_BUSY_POLL} {
		if got, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, option); err != nil || got != 0 {
			t.Errorf("option %d is %d afterwards, %v", option, got, err)
		}
	}
	if a.Info().BusyPoll != "stalled" {
		t.Errorf("%+v", a.Info())
	}
	exchange(t, a, b)
	if !a.stall.linkUp() {
		t.Error("the interface is up, and is told to be down")
	}
	must(t, netlink.LinkSetDown(byName(t, nameA)))
	eventually(t, "the interface being told to be down", func() bool { return !a.stall.linkUp() })
}
