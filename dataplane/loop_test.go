package dataplane

import (
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon bounds every wait: far longer than anything takes on a loaded machine, so that only a hang reaches it.
const soon = 20 * time.Second

// countingTask finds no work, and counts. A test may hang a function into its cycle.
type countingTask struct {
	cycles   atomic.Uint64
	work     int
	deadline func() int64
	each     func(now int64)
}

func (t *countingTask) Cycle(now int64) int {
	t.cycles.Add(1)
	if t.each != nil {
		t.each(now)
	}
	return t.work
}

func (t *countingTask) Deadline() int64 {
	if t.deadline != nil {
		return t.deadline()
	}
	return math.MaxInt64
}

// awaitFirst waits until the task has made a cycle, of a loop that may be asleep since.
func (t *countingTask) awaitFirst(tb testing.TB) {
	tb.Helper()
	t.awaitUntil(tb, 1)
}

// awaitCycles waits until the task has made n more cycles, of a loop that does not sleep for long.
func (t *countingTask) awaitCycles(tb testing.TB, n uint64) {
	tb.Helper()
	t.awaitUntil(tb, t.cycles.Load()+n)
}

func (t *countingTask) awaitUntil(tb testing.TB, goal uint64) {
	tb.Helper()
	for begun := time.Now(); t.cycles.Load() < goal; time.Sleep(time.Millisecond) {
		if time.Since(begun) > soon {
			tb.Fatalf("the loop made %d of %d cycles within %v", t.cycles.Load(), goal, soon)
		}
	}
}

// startLoop runs a loop on a goroutine of its own until the test ends.
func startLoop(tb testing.TB, cfg LoopConfig, task Task) *Loop {
	tb.Helper()
	cfg.Name = tb.Name()
	loop, err := NewLoop(cfg, task)
	if err != nil {
		tb.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- loop.Run() }()
	tb.Cleanup(func() {
		loop.Stop()
		if err := within(tb, result); err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	return loop
}

func within[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		tb.Fatalf("nothing happened within %v", soon)
		panic("not reached")
	}
}

func TestLoopCountsItsCycles(t *testing.T) {
	task := &countingTask{work: 3}
	loop := startLoop(t, LoopConfig{Core: NoCore}, task)
	task.awaitCycles(t, 1000)
	loop.Stop()
	within(t, loop.ended)
	stats, err := loop.Stats()
	if err != nil {
		t.Fatalf("a loop that has ended keeps its last counts: %v", err)
	}
	if stats.Cycles != task.cycles.Load() || stats.BusyCycles != stats.Cycles || stats.Work != 3*stats.Cycles {
		t.Errorf("task made %d cycles of 3, loop counted %+v", task.cycles.Load(), stats)
	}
	if stats.LongestGapNs <= 0 {
		t.Errorf("no longest gap in %+v", stats)
	}
}

func TestLoopRunsOnce(t *testing.T) {
	loop, err := NewLoop(LoopConfig{Core: NoCore}, &countingTask{})
	if err != nil {
		t.Fatal(err)
	}
	loop.Stop() // before Run: it ends after its first cycle
	if err := loop.Run(); err != nil {
		t.Fatal(err)
	}
	if err := loop.Run(); err == nil || !strings.Contains(err.Error(), "make a new one") {
		t.Errorf("second Run: %v", err)
	}
}

func TestLoopConfigIsChecked(t *testing.T) {
	for _, c := range []struct {
		cfg  LoopConfig
		task Task
		want string
	}{
		{LoopConfig{Core: NoCore}, nil, "no task"},
		{LoopConfig{Core: NoCore, Idle: 9}, &countingTask{}, "idle strategy"},
		{LoopConfig{Core: NoCore, MaxNapNs: -1}, &countingTask{}, "negative"},
		{LoopConfig{Core: maxCores - 1}, &countingTask{}, "choose one of those"},
		{LoopConfig{Core: -2}, &countingTask{}, "choose one of those"},
	} {
		c.cfg.Name = "acceptor 1"
		if _, err := NewLoop(c.cfg, c.task); err == nil ||
			!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "acceptor 1") {
			t.Errorf("%+v: want an error with %q, got %v", c.cfg, c.want, err)
		}
	}
}

func TestLoopPinsItsThreadAndGivesItBack(t *testing.T) {
	cores, err := Cores()
	if err != nil {
		t.Fatal(err)
	}
	core := cores.Allowed[len(cores.Allowed)-1]
	var during, before, after unix.CPUSet
	task := &countingTask{each: func(int64) { _ = unix.SchedGetaffinity(0, &during) }}
	loop, err := NewLoop(LoopConfig{Core: core}, task)
	if err != nil {
		t.Fatal(err)
	}
	loop.Stop() // one cycle is enough
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.SchedGetaffinity(0, &before)
	if err := loop.Run(); err != nil {
		t.Fatal(err)
	}
	_ = unix.SchedGetaffinity(0, &after)
	if during.Count() != 1 || !during.IsSet(core) {
		t.Errorf("in a cycle the thread may use %d cores, want core %d alone", during.Count(), core)
	}
	if before != after {
		t.Errorf("the thread could use %d cores before Run and %d after", before.Count(), after.Count())
	}
}

// Without the goroutine pinned to its P, sysmon preempts it about every 10 ms, and each time the thread sleeps until another hands
// it the P again: 12 voluntary switches a second.
func TestSpinningLoopMakesNoVoluntarySwitch(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a stop-the-world is a wait that is meant to be
	task := &countingTask{}
	loop := startLoop(t, LoopConfig{Core: NoCore}, task)
	task.awaitCycles(t, 1000)
	before, err := loop.Stats()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	after, err := loop.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if gcs := after.GCCycles - before.GCCycles; gcs != 0 {
		t.Errorf("%d GC cycles", gcs)
	}
	if switches := after.VoluntarySwitches - before.VoluntarySwitches; switches > 1 {
		t.Errorf("%d voluntary switches while it spun, want none", switches)
	}
}

// idleCycles makes a loop of a kind around a task that finds nothing to do. cycles runs so many cycles and a stop, left is how many were not run. Between two calls
// the loop is not pinned: whoever counts or measures stops the world.
func idleCycles(tb testing.TB, kind IdleKind) (cycles func(n int), left *int) {
	tb.Helper()
	left = new(int)
	task := &countingTask{deadline: func() int64 { return Now() + 2*leastNapNs }}
	loop, err := NewLoop(LoopConfig{Core: NoCore, Idle: kind}, task)
	if err != nil {
		tb.Fatal(err)
	}
	task.each = func(int64) {
		if *left--; *left == 0 {
			loop.Stop()
		}
	}
	runtime.LockOSThread()
	tb.Cleanup(runtime.UnlockOSThread)
	leave, err := loop.enter()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(leave)
	loop.unpin()
	return func(n int) {
		*left = n
		loop.stopping.Store(false)
		loop.idle.busy()
		loop.pin()
		loop.cycle()
		loop.unpin()
	}, left
}

func TestCycleAllocatesNothing(t *testing.T) {
	for kind := range IdleKind(len(idleNames)) {
		t.Run(kind.String(), func(t *testing.T) {
			cycles, left := idleCycles(t, kind)
			if allocs := testing.AllocsPerRun(5, func() { cycles(1000) }); allocs != 0 {
				t.Errorf("%v allocations in 1,000 cycles", allocs)
			}
			if *left != 0 {
				t.Errorf("stopped %d cycles early", *left)
			}
		})
	}
}

func TestPanicInTaskReleasesTheLoop(t *testing.T) {
	task := &countingTask{each: func(int64) { panic("broken invariant") }}
	loop, err := NewLoop(LoopConfig{Core: NoCore, Preemptible: true}, task)
	if err != nil {
		t.Fatal(err)
	}
	held := procsHeld.Load()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		_ = loop.Run()
	}()
	within(t, loop.ended)
	if now := procsHeld.Load(); now != held {
		t.Errorf("%d Ps held before, %d after", held, now)
	}
}

func TestNowIsTheMonotonicClock(t *testing.T) {
	var stamp unix.Timespec
	before := Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &stamp); err != nil {
		t.Fatal(err)
	}
	after := Now()
	if ns := stamp.Nano(); ns < before || ns > after {
		t.Errorf("CLOCK_MONOTONIC says %d between readings of %d and %d", ns, before, after)
	}
	if allocs := testing.AllocsPerRun(100, func() { Now() }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// A driver with a clock of its own takes turns; the loop counts them and gives the task that clock.
func TestTurn(t *testing.T) {
	task := &turnTask{work: []int{3, 0, 2}}
	l, err := NewLoop(LoopConfig{Name: "turns", Core: NoCore}, task)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range task.work {
		if got := l.Turn(int64(100 * i)); got != want || task.now != int64(100*i) {
			t.Errorf("turn %d: work %d at %d, want %d at %d", i, got, task.now, want, 100*i)
		}
	}
	if l.stats.Cycles != 3 || l.stats.BusyCycles != 2 || l.stats.Work != 5 {
		t.Errorf("counted %+v", l.stats)
	}
}

// turnTask does a given amount of work in each cycle.
type turnTask struct {
	work  []int
	turns int
	now   int64
}

func (t *turnTask) Cycle(now int64) int {
	t.turns++
	t.now = now
	return t.work[t.turns-1]
}

func (t *turnTask) Deadline() int64 { return 0 }
