package nictest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
)

// rateTime is how long each rate is measured, and rateTurns how often.
const (
	rateTime  = 700 * time.Millisecond
	rateTurns = 3
)

// Frames a second from one NIC to the other, in both modes in turn. Nothing is asserted about the time: vmlab tells the figures. Sender and receiver are
// on cores of their own where there are two.
//
// Measured in a virtual machine (TCG, 2 cores, Linux 7.3.4, nothing else on the host): between two NICs on a hub inside QEMU 97,000 to 108,000 frames/s
// in zero-copy mode and 34,000 to 36,000 in copy mode; ordinary pages made no difference (105,000 to 110,000). Through the host's switch, where a frame costs
// two system calls and another process, it was 31,000 to 36,000 against 16,000 to 29,000: there the wire was measured, not the socket.
func TestRate(t *testing.T) {
	na, nb := pair(t)
	for range rateTurns {
		for _, v := range []struct{ name, mode, pages string }{
			{"copy", afxdp.ModeCopy, afxdp.HugepagesAuto},
			{"zerocopy", afxdp.ModeZeroCopy, afxdp.HugepagesAuto},
			{"zerocopy, ordinary pages", afxdp.ModeZeroCopy, afxdp.HugepagesOff},
		} {
			ca, cb := ends(na, nb, afxdp.LinkEthernet, v.mode)
			ca.Hugepages, cb.Hugepages = v.pages, v.pages
			t.Run(v.name, func(t *testing.T) {
				a, b := open(t, ca), open(t, cb)
				if v.name == v.mode {
					tellSocket(t, b)
				}
				exchange(t, a, b)
				drain(a, b)
				sent, came, took := flood(t, a, b)
				if came == 0 {
					t.Errorf("no frame of %d arrived", sent)
				}
				figure("frames/s sent "+v.name, float64(sent)/took.Seconds())
				figure("frames/s "+v.name, float64(came)/took.Seconds())
				drain(a, b)
			})
		}
	}
}

// tellSocket asks the kernel, not the port, what the socket is and how the program is attached, and holds the port to it.
func tellSocket(t *testing.T, p *afxdp.Port) {
	t.Helper()
	options, err := unix.GetsockoptInt(p.FD(), unix.SOL_XDP, unix.XDP_OPTIONS)
	must(t, err)
	link, err := netlink.LinkByName(p.Info().Interface)
	must(t, err)
	xdp := link.Attrs().Xdp
	if xdp == nil || !xdp.Attached || xdp.AttachMode != nl.XDP_ATTACHED_DRV {
		t.Fatalf("the program is not in driver mode: %+v", xdp)
	}
	if zero := options&unix.XDP_OPTIONS_ZEROCOPY != 0; zero != (p.Info().Mode == afxdp.ModeZeroCopy) {
		t.Fatalf("XDP_OPTIONS is %d, and the port says %q", options, p.Info().Mode)
	}
	fmt.Printf("got %s: XDP_OPTIONS %d, driver mode, %s pages\n", p.Info().Mode, options, p.Info().Pages)
}

// figure is a line that vmlab reads.
func figure(name string, value float64) { fmt.Printf("figure %s %.0f\n", name, value) }

// flood sends as fast as one end can and counts what comes at the other.
func flood(t *testing.T, a, b dataplane.Port) (sent, came uint64, took time.Duration) {
	t.Helper()
	var done atomic.Bool
	ended := make(chan uint64)
	go func() {
		pin(0)
		var frames [64]dataplane.Frame
		count := uint64(0)
		for !done.Load() {
			n := a.Alloc(frames[:])
			for i := range frames[:n] {
				frames[i].Data, frames[i].Peer = frames[i].Data[:64], 0
			}
			taken := a.TxBurst(frames[:n])
			a.Free(frames[taken:n])
			a.Flush()
			if count += uint64(taken); taken == 0 {
				rest(a, unix.POLLOUT)
			}
		}
		ended <- count
	}()
	result := make(chan uint64)
	begun := time.Now()
	go func() {
		pin(1)
		var frames [64]dataplane.Frame
		count := uint64(0)
		for time.Since(begun) < rateTime {
			n := b.RxBurst(frames[:])
			b.Free(frames[:n])
			if count += uint64(n); n == 0 && b.Arm() {
				rest(b, unix.POLLIN)
			}
		}
		result <- count
	}()
	came = <-result
	took = time.Since(begun)
	done.Store(true)
	return <-ended, came, took
}

// rest sleeps until the port is ready, for a millisecond at most. In an emulated machine whoever spins takes the time of those who carry the frames.
func rest(p dataplane.Port, events int16) {
	fds := []unix.PollFd{{Fd: int32(p.FD()), Events: events}}
	_, _ = unix.Poll(fds, 1) // woken by a signal or not, the loop goes on
}

// pin keeps the calling goroutine on the n-th core, if there is one, until it ends.
func pin(n int) {
	runtime.LockOSThread()
	if cores, err := dataplane.Cores(); err == nil && n < len(cores.Allowed) {
		var set unix.CPUSet
		set.Set(cores.Allowed[n])
		_ = unix.SchedSetaffinity(0, &set) // unpinned it is slower, nothing else
	}
}
