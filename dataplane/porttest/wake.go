package porttest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// pollReadable waits on the port's descriptor as the block idle strategy does.
func pollReadable(fd int, timeout time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(timeout.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n == 1 && fds[0].Revents&unix.POLLIN != 0, err
		}
	}
}

// checkArm: Arm answers false while something is there, poll(2) wakes on arrival, and an idle port comes to rest.
func checkArm(t *testing.T, p *Pair) {
	if p.B.FD() < 0 {
		t.Skip("the port has no descriptor to sleep on")
	}
	for seq := range uint64(p.often(100)) {
		waitFor(t, "an idle port to rest", func() bool { // a wake-up for nothing may come, but not for ever
			if !p.B.Arm() {
				t.Fatal("Arm says that something is there on an idle port")
			}
			readable, err := pollReadable(p.B.FD(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if readable {
				idle(p.B)
			}
			return !readable
		})
		sendBurst(t, p.A, p.AtoB, seq, 2, short)
		if readable, err := pollReadable(p.B.FD(), patience); err != nil || !readable {
			t.Fatalf("poll(2) did not wake on frame %d (%v)", seq, err)
		}
		var one [1]dataplane.Frame
		if p.B.Arm() {
			t.Fatal("Arm says that nothing is there although frames came")
		}
		waitFor(t, "the first frame", func() bool { return p.B.RxBurst(one[:]) == 1 })
		p.B.Free(one[:])
		waitFor(t, "Arm to see the second frame", func() bool { return !p.B.Arm() })
		receive(t, p, p.A, p.B, p.BtoA, seq+1, 1)
	}
}

// checkSleepers: two loops that sleep whenever they have nothing to do play a frame back and forth; no wake-up is lost.
func checkSleepers(t *testing.T, p *Pair) {
	if p.A.FD() < 0 || p.B.FD() < 0 {
		t.Skip("the port has no descriptor to sleep on")
	}
	turns := uint64(p.often(2000))
	play := func(port dataplane.Port, to dataplane.Peer, mine uint64) error {
		var one [1]dataplane.Frame
		for next := uint64(0); next < turns; {
			if next%2 == mine {
				if !trySend(port, to, next, short(next)) {
					return fmt.Errorf("turn %d could not be sent", next)
				}
				next++
				continue
			}
			if port.RxBurst(one[:]) == 1 {
				seq, err := unstamp(one[0].Data, p.Pad)
				port.Free(one[:])
				if err != nil || seq != next {
					return fmt.Errorf("turn %d came where %d was due (%v)", seq, next, err)
				}
				next++
				continue
			}
			if !port.Arm() {
				continue
			}
			if readable, err := pollReadable(port.FD(), patience); err != nil || !readable {
				return fmt.Errorf("slept through turn %d (%v)", next, err)
			}
		}
		return nil
	}
	both(t, func() error { return play(p.A, p.AtoB, 0) }, func() error { return play(p.B, p.BtoA, 1) })
}

// both runs two loops side by side and reports what went wrong in either.
func both(t *testing.T, a, b func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, run := range []func() error{a, b} {
		wg.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// checkTwoLoops: each port is run by a loop of its own, B echoes what A sends, a window of frames in flight.
func checkTwoLoops(t *testing.T, p *Pair) {
	const window = 32
	total := uint64(p.often(20000))
	start := time.Now()
	done := make(chan struct{})
	ask := func() error {
		defer close(done)
		var frames [window]dataplane.Frame
		sent, echoed, last, progress := uint64(1), uint64(0), uint64(0), time.Now()
		for echoed < total {
			for sent <= total && sent-echoed <= window && trySend(p.A, p.AtoB, sent, short(sent)) {
				sent++
			}
			n := p.A.RxBurst(frames[:])
			for i := range frames[:n] {
				seq, err := unstamp(frames[i].Data, p.Pad)
				if err != nil {
					return err
				}
				if seq <= last || !p.Lossy && seq != last+1 {
					return fmt.Errorf("after %d came %d", last, seq)
				}
				last, echoed, progress = seq, max(echoed, seq), time.Now()
			}
			p.A.Free(frames[:n])
			if n > 0 {
				continue
			}
			if p.Lossy && time.Since(progress) > 2*p.quiet() { // the window was lost: go on behind it
				echoed, progress = sent-1, time.Now()
			}
			if time.Since(start) > 3*patience {
				return fmt.Errorf("%d of %d frames came back in %v", echoed, total, 3*patience)
			}
			runtime.Gosched()
		}
		return nil
	}
	echo := func() error {
		var frames [window]dataplane.Frame
		for {
			n := p.B.RxBurst(frames[:])
			for i := range frames[:n] {
				seq := binary.LittleEndian.Uint64(frames[i].Data)
				for !trySend(p.B, p.BtoA, seq, short(seq)) && time.Since(start) < 3*patience {
					runtime.Gosched()
				}
			}
			p.B.Free(frames[:n])
			if n == 0 {
				select {
				case <-done:
					return nil
				default:
					runtime.Gosched()
				}
			}
		}
	}
	both(t, ask, echo)
}
