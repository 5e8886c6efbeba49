package dataplane

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A loop under SCHED_FIFO is run before every thread that is not real-time (sched(7)): nothing but the kernel's own interrupt and migration threads
// takes its core. One that spins then keeps its core from everything else, and if loops spin on every core the machine is gone. Three
// things stand against that.
//
// A loop that is refused: one without a core, one where this process has no other core, and one on a machine where the kernel does not keep a
// part of each core for others (sched_rt_runtime_us is -1).
//
// A lookout: a thread of the usual policy on the same core, which notes every so often that it ran. The loop itself looks at the note each
// millisecond; once it is older than the bound, it gives SCHED_FIFO back for good, and says so in its stats. It is the loop that looks, since it is
// what surely runs: another thread might wait for a core, or its goroutine for a P, for as long as the trouble lasts.
//
// The kernel's share: a task that hangs within a cycle looks at nothing any more, and gets 95 % of its core at most. In the rest, which comes within a second,
// the lookout has its turns: where the loop has not looked for longer than the bound, it takes SCHED_FIFO away from it.
//
// Tried with one loop that spins on one of two cores, kernel 6.18: with a bound of 300 ms it gave SCHED_FIFO back 0.30 to 0.32 s after its start; a cycle that hung
// lost it after 0.3 to 1.0 s with a bound of 200 ms; with no bound to speak of the lookout had 26 or 27 turns in 1.7 s. With the bound of 3 s a loop thus keeps
// SCHED_FIFO for as long as the kernel gives others their share, and loses it where the kernel does not.
type fifo struct {
	boundNs int64
	napNs   int64        // the longest that the loop may sleep, which is not hanging
	ran     atomic.Int64 // when the lookout had the core last, on the loop's clock
	watched atomic.Int64 // when the loop looked last; it alone writes it
	thread  int          // the loop's
	policy  func(thread int, realTime bool) error
	stop    chan struct{}
	lookout sync.WaitGroup

	held     atomic.Bool // who clears it gives back: the loop or the lookout
	gaveBack atomic.Uint64
}

const (
	// fifoPriority is the lowest there is: every real-time thread of the kernel goes before a loop.
	fifoPriority = 1
	// fifoBoundNs is how long a loop may keep its core, unless configured. The kernel's share comes once a second.
	fifoBoundNs = 3_000_000_000
	// noteNs is between two notes of the lookout, or a twentieth of the bound if that is less.
	noteNs    = 20_000_000
	fifoNotes = 20
)

// realTimeShare is how many µs of a period real-time threads may have of a core; -1: all. The length of a period is in the file beside it.
const realTimeShare, realTimePeriod = "/proc/sys/kernel/sched_rt_runtime_us", "sched_rt_period_us"

// checkFIFO tells why a loop may not have SCHED_FIFO.
func checkFIFO(cfg *LoopConfig, allowed []int, sharePath string) error {
	if !cfg.FIFO {
		return nil
	}
	switch {
	case cfg.FIFOBoundNs < 0:
		return fmt.Errorf("the bound of SCHED_FIFO is %d ns: it cannot be negative", cfg.FIFOBoundNs)
	case cfg.Core == NoCore:
		return fmt.Errorf("SCHED_FIFO is for a loop with a core of its own: name one")
	case len(allowed) < 2:
		return fmt.Errorf("SCHED_FIFO is refused: core %d is the only one that this process may use, and everything else needs one too", cfg.Core)
	}
	share, knowsShare := readNumber(sharePath)
	period, knowsPeriod := readNumber(filepath.Join(filepath.Dir(sharePath), realTimePeriod))
	if knowsShare && (share < 0 || knowsPeriod && share >= period) {
		return fmt.Errorf("SCHED_FIFO is refused: a loop that hangs would keep core %d for ever: `sysctl -w kernel.sched_rt_runtime_us=950000`", cfg.Core)
	}
	return nil
}

func readNumber(path string) (n int64, there bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// startFIFO begins the lookout and gives the calling thread, which must be locked to its goroutine and pinned, the policy.
func startFIFO(cfg *LoopConfig) (*fifo, error) {
	f := &fifo{boundNs: cfg.FIFOBoundNs, napNs: max(cfg.MaxNapNs, blockNapNs), thread: unix.Gettid(), policy: cfg.policy, stop: make(chan struct{})}
	if f.boundNs == 0 {
		f.boundNs = fifoBoundNs
	}
	if f.policy == nil {
		f.policy = setPolicy
	}
	f.ran.Store(Now())
	f.watched.Store(Now())
	ready := make(chan error, 1)
	f.lookout.Add(1)
	go f.look(cfg.Core, ready)
	err := <-ready
	if err == nil {
		err = f.policy(f.thread, true)
	}
	if err != nil {
		f.end()
		return nil, fmt.Errorf("SCHED_FIFO cannot be had: %w: run as root, or give CAP_SYS_NICE", err)
	}
	f.held.Store(true)
	return f, nil
}

// look is the lookout.
func (f *fifo) look(core int, ready chan<- error) {
	defer f.lookout.Done()
	runtime.LockOSThread() // for good: the thread ends with the goroutine, for it is narrowed to the core
	pause := unix.NsecToTimespec(max(min(f.boundNs/fifoNotes, noteNs), 1_000_000))
	hung := f.boundNs + f.napNs
	_, err := pinThread(core)
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case <-f.stop:
			return
		default:
		}
		now := Now()
		f.ran.Store(now)
		if now-f.watched.Load() > hung && f.giveBack() {
			f.gaveBack.Add(1)
		}
		_ = unix.Nanosleep(&pause, nil) // one that is interrupted looks earlier
	}
}

// watch gives the policy back if the lookout has not had the core for longer than the bound. The loop calls it between two cycles. Where the loop did
// not run either (it slept, or the host took the whole machine) the bound begins anew.
func (f *fifo) watch(now int64) {
	away := now-f.watched.Load() > f.boundNs/2
	f.watched.Store(now)
	if away {
		f.ran.Store(now)
		return
	}
	if now-f.ran.Load() > f.boundNs && f.giveBack() {
		f.gaveBack.Add(1)
	}
}

// giveBack tells whether there was something to give back.
func (f *fifo) giveBack() bool {
	if !f.held.CompareAndSwap(true, false) {
		return false
	}
	_ = f.policy(f.thread, false) // going back to the usual policy is refused to nobody
	return true
}

// end gives back what is held and ends the lookout.
func (f *fifo) end() {
	f.giveBack()
	close(f.stop)
	f.lookout.Wait()
}

// setPolicy sets a thread's of this process. Threads that it starts get the usual one in any case.
func setPolicy(thread int, realTime bool) error {
	a := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}
	if realTime {
		a.Policy, a.Priority, a.Flags = unix.SCHED_FIFO, fifoPriority, unix.SCHED_FLAG_RESET_ON_FORK
	}
	return unix.SchedSetAttr(thread, &a, 0)
}
