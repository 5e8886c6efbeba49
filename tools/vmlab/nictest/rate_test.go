package nictest

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
)

// rateTime is how long each rate is measured.
const rateTime = 1500 * time.Millisecond

// Frames a second from one NIC to the other, in both modes in turn. Nothing is asserted about the time: vmlab tells the figures. Sender and receiver are
// on cores of their own where there are two.
func TestRate(t *testing.T) {
	na, nb := pair(t)
	for range 3 {
		for _, mode := range []string{afxdp.ModeCopy, afxdp.ModeZeroCopy} {
			ca, cb := ends(na, nb, afxdp.LinkEthernet, mode)
			t.Run(mode, func(t *testing.T) {
				a, b := open(t, ca), open(t, cb)
				exchange(t, a, b)
				drain(a, b)
				sent, came, took := flood(t, a, b)
				if came == 0 {
					t.Errorf("no frame of %d arrived", sent)
				}
				figure("frames/s sent "+mode, float64(sent)/took.Seconds())
				figure("frames/s "+mode, float64(came)/took.Seconds())
				drain(a, b)
			})
		}
	}
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
	cores, err := dataplane.Cores()
	if err != nil {
		return
	}
	all := append(cores.Allowed, cores.Isolated...)
	if n < len(all) {
		var set unix.CPUSet
		set.Set(all[n])
		_ = unix.SchedSetaffinity(0, &set) // unpinned it is slower, nothing else
	}
}
