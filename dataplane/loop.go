package dataplane

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Task is what a loop runs: a role with its ports, a relay, a generator of load.
type Task interface {
	// Cycle does all the work there is, a burst from each port, and returns how much that was: 0 if there was none. now is the
	// loop's clock (Now), read once for the whole cycle. It must not wait (a channel, a mutex that may be held, a net.Conn) nor
	// stop the world (runtime.GC, ReadMemStats): the runtime would end the process (see LoopConfig.Preemptible). What needs
	// that belongs into Inspect. System calls are allowed; a loop that is in one polls nothing.
	Cycle(now int64) (work int)

	// Deadline is when, on the loop's clock, the task next wants a cycle though nothing arrives; math.MaxInt64 if never. It is
	// asked only before a sleep.
	Deadline() int64
}

// LoopConfig says where and how a loop runs.
type LoopConfig struct {
	Name     string   // for errors: the role
	Core     int      // core that its thread is pinned to; NoCore: none
	Idle     IdleKind // what a cycle without work does
	MaxNapNs int64    // longest sleep of IdleBackoff and IdleBlock; 0: 200 µs and 100 ms
	Ports    []Port   // the task's ports: what IdleBlock sleeps on

	// Preemptible is for a task that breaks the rule not to wait: Go's scheduler may then take the loop off its thread, about every
	// 10 ms for some tens of microseconds. Without it a task that waits ends the process ("schedule: holding locks",
	// "stopTheWorld: holding locks").
	Preemptible bool

	// FIFO runs the loop's thread under SCHED_FIFO; it needs a core, CAP_SYS_NICE, and another core for the rest. A loop that keeps everything
	// else off its core for FIFOBoundNs (0: 3 s) gives it back and goes on without (LoopStats.FIFOGivenBack).
	FIFO        bool
	FIFOBoundNs int64
	policy      func(thread int, realTime bool) error // sets it; nil: the kernel. Tests count what it is asked.
}

// Loop runs one task on one thread. Make it with NewLoop, give a goroutine to Run, end it with Stop.
type Loop struct {
	cfg  LoopConfig
	task Task

	attention atomic.Bool // set: leave the fast path and look at stopping and requests. One load a cycle.
	stopping  atomic.Bool
	started   atomic.Bool
	requests  chan *inspection
	ended     chan struct{}

	wakeMu sync.Mutex
	wakeFD int // eventfd that ends a sleep; -1 while the loop does not run

	// Owned by the goroutine in Run.
	idle     idler
	wakes    [8]byte // read from wakeFD, of no further use
	pinned   bool    // between procPin and procUnpin
	breathed int64   // when the runtime was last let in
	crowded  int64   // when the kernel last gave the core to another thread for long
	stats    LoopStats
	atStart  outsideCounts
	fifo     *fifo // nil without FIFO
}

// breatheNs is how often a spinning loop lets Go's runtime in: a stop-the-world waits no longer than this for a loop.
const breatheNs = 1_000_000

// crowdedNs is for how long after it lost its core a loop does not offer it again. The kernel takes the rest of its slice for each offer; a loop
// that shares its core with busy threads would run for one cycle at a time (shown with 3 busy threads beside it: 660 to 1,160 values in
// 2 s, and 7,900 to 16,200 without the offers).
const crowdedNs = 20 * breatheNs

// NewLoop checks the configuration and makes a loop that does not run yet. It holds nothing that would have to be released.
func NewLoop(cfg LoopConfig, task Task) (*Loop, error) {
	if task == nil {
		return nil, fmt.Errorf("loop %s: no task", cfg.Name)
	}
	if int(cfg.Idle) >= len(idleNames) {
		return nil, fmt.Errorf("loop %s: unknown idle strategy %v", cfg.Name, cfg.Idle)
	}
	if cfg.MaxNapNs < 0 {
		return nil, fmt.Errorf("loop %s: the longest nap is %d ns: it cannot be negative", cfg.Name, cfg.MaxNapNs)
	}
	if err := checkCore(cfg.Core); err != nil {
		return nil, fmt.Errorf("loop %s: %w", cfg.Name, err)
	}
	if err := checkFIFO(&cfg, coresAtStart.Allowed, realTimeShare); err != nil {
		return nil, fmt.Errorf("loop %s: %w", cfg.Name, err)
	}
	return &Loop{cfg: cfg, task: task, requests: make(chan *inspection, 1), ended: make(chan struct{}), wakeFD: -1}, nil
}

// Run pins the calling goroutine's thread and cycles until Stop. It returns an error only when it could not begin. The thread
// gets its former cores back at the end. A loop runs once. A panic of the task ends the process with its message and the stacks
// of all goroutines; it cannot be recovered from, except in a loop that is Preemptible.
func (l *Loop) Run() error {
	if !l.started.CompareAndSwap(false, true) {
		return fmt.Errorf("loop %s: it has been run already: make a new one", l.cfg.Name)
	}
	defer close(l.ended)

	// Locked before its cores are narrowed: threads that the runtime starts from a locked thread come from a template thread
	// and do not inherit them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	leave, err := l.enter()
	if err != nil {
		return fmt.Errorf("loop %s: %w", l.cfg.Name, err)
	}
	defer leave()
	l.cycle()
	return nil
}

// enter sets up the thread and the way to wake it. leave undoes that, also when the task panics.
func (l *Loop) enter() (leave func(), err error) {
	restoreCores, err := pinThread(l.cfg.Core)
	if err != nil {
		return nil, err
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		restoreCores()
		return nil, fmt.Errorf("cannot open the eventfd that ends a sleep: %w", err)
	}
	l.setWake(wakeFD)
	l.idle = newIdler(&l.cfg, wakeFD)
	restoreSlack := narrowTimerSlack()
	holdProc()
	undo := func() {
		releaseProc()
		restoreSlack()
		l.setWake(-1)
		_ = unix.Close(wakeFD)
		restoreCores()
	}
	if l.cfg.FIFO {
		if l.fifo, err = startFIFO(&l.cfg); err != nil {
			undo()
			return nil, err
		}
	}
	l.atStart = readOutsideCounts()
	l.pin()
	return func() {
		l.unpin()
		l.stats = l.readStats()
		if l.fifo != nil {
			l.fifo.end()
		}
		undo()
	}, nil
}

// cycle is the loop. What it does beside the task: one clock, one atomic load, five additions.
func (l *Loop) cycle() {
	last := Now()
	l.breathed = last
	for {
		now := Now()
		l.stats.noteGap(now - last)
		if now-last >= breatheNs {
			l.crowded = now
		}
		last = now
		if l.Turn(now) > 0 {
			l.idle.busy()
		} else if l.idle.rest(now, l.task) {
			last = Now() // what was slept is no gap
			l.breathed = last
		}
		if l.fifo != nil && now-l.fifo.watched.Load() >= breatheNs { // not in breathe: a sched_yield counts as a breath, and lets nobody in under SCHED_FIFO
			l.fifo.watch(now)
		}
		if now-l.breathed >= breatheNs {
			l.breathe(now)
		}
		if l.attention.Load() {
			if l.attend() {
				return
			}
			last = Now() // nor is an inspection
		}
	}
}

// Turn is one turn of the loop: a cycle of its task, counted. Run takes turns until Stop. A driver with a clock of its own calls Turn instead of
// Run, on whatever thread, and never both; what an empty turn leads to is then up to the driver, which asks the task's Deadline.
func (l *Loop) Turn(now int64) (work int) {
	l.stats.Cycles++
	if work = l.task.Cycle(now); work > 0 {
		l.stats.BusyCycles++
		l.stats.Work += uint64(work)
	}
	return work
}

// breathe lets Go's runtime in: a stop-the-world, a scan of this stack. Where someone has lowered GOMAXPROCS so far that no P is left
// for other goroutines, the loop stays unpinned and shares.
func (l *Loop) breathe(now int64) {
	l.breathed = now
	if l.cfg.Preemptible {
		return
	}
	if spareProc() {
		if l.pinned {
			pinnedBreath(now-l.crowded < crowdedNs)
		}
		l.pin()
		return
	}
	l.unpin()
	runtime.Gosched()
}

// pin keeps Go's scheduler off the loop. Measured on 2 vCPUs at 2.5 GHz, one spinning loop beside a light load, 3 s each: locked to its
// thread alone the loop made 30 to 36 voluntary switches; pinned, with the runtime let in once a millisecond, none. The price is that
// runtime.GC takes 4 to 18 ms instead of 1 to 3 ms, which a process without garbage does not pay. GOMAXPROCS=1 without a lock would
// do as well, for one loop a process and without a core of its own.
func (l *Loop) pin() {
	if !l.pinned && !l.cfg.Preemptible {
		procPin()
		l.pinned = true
	}
}

func (l *Loop) unpin() {
	if l.pinned {
		l.pinned = false
		procUnpin()
	}
}

// Stop ends the loop after the cycle that it is in. It does not wait: Run returns soon after. Any goroutine may call it, more than
// once, also before Run and from within a cycle.
func (l *Loop) Stop() {
	l.stopping.Store(true)
	l.attract()
}

// attract makes the loop look up, also from a sleep.
func (l *Loop) attract() {
	l.attention.Store(true)
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	if l.wakeFD >= 0 {
		_, _ = unix.Write(l.wakeFD, wakeCount) // full means that it is readable already
	}
}

func (l *Loop) setWake(fd int) {
	l.wakeMu.Lock()
	defer l.wakeMu.Unlock()
	l.wakeFD = fd
}

// attend serves inspections and tells whether to stop. Flags are cleared before they are looked at: what comes later sets them again.
func (l *Loop) attend() (stop bool) {
	l.attention.Store(false)
	_, _ = unix.Read(l.wakeFD, l.wakes[:]) // back to 0, so that it ends no further sleep
	if l.stopping.Load() {
		return true
	}
	l.unpin()
	select {
	case request := <-l.requests:
		request.serve()
	default:
	}
	l.pin()
	return false
}

// wakeCount is what an eventfd takes: a count of 8 bytes.
var wakeCount = []byte{1, 0, 0, 0, 0, 0, 0, 0}

var errEnded = errors.New("it has ended")
