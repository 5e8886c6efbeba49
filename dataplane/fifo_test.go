package dataplane

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// No test here lets a loop run under SCHED_FIFO: on a small machine that may be the last that it does. Loops get a policy that only counts. What
// the kernel does is in realtime_test.go, with its safeguards.

// asked counts what a loop asks of the scheduler.
type asked struct{ calls []bool }

func (a *asked) policy(_ int, realTime bool) error {
	a.calls = append(a.calls, realTime)
	return nil
}

// spareCore is a core for a loop under test, where there is another one.
func spareCore(t *testing.T) int {
	t.Helper()
	cores, err := Cores()
	if err != nil {
		t.Fatal(err)
	}
	if len(cores.Allowed) < 2 {
		t.Skip("needs two cores")
	}
	return cores.Allowed[0]
}

func TestFIFOIsHeldWhileOthersGetTheCore(t *testing.T) {
	var a asked
	stats := runFIFO(t, LoopConfig{Name: "fifo", Core: spareCore(t), Idle: IdleYield, FIFO: true, FIFOBoundNs: 60e9, policy: a.policy}, 30*time.Millisecond)
	if !stats.FIFO || stats.FIFOGivenBack != 0 {
		t.Errorf("held: %v, given back %d times", stats.FIFO, stats.FIFOGivenBack)
	}
	if want := []bool{true, false}; !reflect.DeepEqual(a.calls, want) {
		t.Errorf("asked of the scheduler: %v, want %v", a.calls, want)
	}
}

// runFIFO runs a loop that has nothing to do, and is its last stats.
func runFIFO(t *testing.T, cfg LoopConfig, long time.Duration) LoopStats {
	t.Helper()
	var stats LoopStats
	loop, err := NewLoop(cfg, idleTask{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- loop.Run() }()
	time.Sleep(long)
	if stats, err = loop.Stats(); err != nil {
		t.Error(err)
	}
	loop.Stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return stats
}

type idleTask struct{}

func (idleTask) Cycle(int64) int { return 0 }
func (idleTask) Deadline() int64 { return 1<<63 - 1 }

// A loop whose lookout notes too seldom gives back, by itself, between two cycles.
func TestLoopGivesFIFOBack(t *testing.T) {
	var a asked
	loop, err := NewLoop(LoopConfig{Name: "greedy", Core: spareCore(t), Idle: IdleYield, FIFO: true, FIFOBoundNs: 60e9, policy: a.policy}, idleTask{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- loop.Run() }()
	if err := loop.Inspect(func() { loop.fifo.boundNs = noteNs / 4 }); err != nil { // several millisecond ticks, and less than a note takes
		t.Fatal(err)
	}
	var stats LoopStats
	for bound := time.Now().Add(20 * time.Second); stats.FIFOGivenBack == 0 && time.Now().Before(bound); time.Sleep(10 * time.Millisecond) {
		if stats, err = loop.Stats(); err != nil {
			t.Fatal(err)
		}
	}
	loop.Stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if stats.FIFO || stats.FIFOGivenBack != 1 || !reflect.DeepEqual(a.calls, []bool{true, false}) {
		t.Errorf("held %v, given back %d times, asked %v", stats.FIFO, stats.FIFOGivenBack, a.calls)
	}
}

// The watch with a clock of the test's own.
func TestFIFOWatch(t *testing.T) {
	const bound = 1000
	var a asked
	f := &fifo{boundNs: bound, policy: a.policy}
	f.held.Store(true)
	at := func(now int64) { f.watch(now) }
	at(10_000) // the loop begins
	for now := int64(10_000); now <= 11_000; now += 100 {
		at(now)
	}
	if !f.held.Load() {
		t.Fatal("given back within the bound")
	}
	f.ran.Store(11_000) // others had the core
	for now := int64(11_100); now <= 12_000; now += 100 {
		at(now)
	}
	at(14_000) // nobody ran, the loop neither: the bound begins anew
	at(14_100)
	if !f.held.Load() || f.gaveBack.Load() != 0 {
		t.Fatal("given back though the core was free, or the machine stood still")
	}
	for now := int64(14_200); now <= 15_100; now += 100 {
		at(now)
	}
	if f.held.Load() || f.gaveBack.Load() != 1 || !reflect.DeepEqual(a.calls, []bool{false}) {
		t.Fatalf("others waited longer than the bound: held %v, given back %d times, asked %v", f.held.Load(), f.gaveBack.Load(), a.calls)
	}
	for now := int64(15_200); now <= 20_000; now += 100 {
		at(now)
	}
	if f.gaveBack.Load() != 1 || len(a.calls) != 1 {
		t.Errorf("given back %d times", f.gaveBack.Load())
	}
}

func TestFIFORefused(t *testing.T) {
	off := filepath.Join(t.TempDir(), "share")
	if err := os.WriteFile(off, []byte("-1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	on := filepath.Join(t.TempDir(), "share")
	if err := os.WriteFile(on, []byte("950000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(t.TempDir(), "share")
	for path, text := range map[string]string{whole: "1000000\n", filepath.Join(filepath.Dir(whole), realTimePeriod): "1000000\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		cfg     LoopConfig
		allowed []int
		share   string
		want    string // "" for allowed
	}{
		{"not asked for", LoopConfig{Core: NoCore}, []int{0}, off, ""},
		{"sound", LoopConfig{FIFO: true, Core: 1}, []int{0, 1}, on, ""},
		{"a kernel that does not tell", LoopConfig{FIFO: true, Core: 1}, []int{0, 1}, on + "x", ""},
		{"no core", LoopConfig{FIFO: true, Core: NoCore}, []int{0, 1}, on, "core of its own"},
		{"no core for others", LoopConfig{FIFO: true, Core: 1}, []int{1}, on, "core 1 is the only one"},
		{"no share for others", LoopConfig{FIFO: true, Core: 1}, []int{0, 1}, off, "sched_rt_runtime_us=950000"},
		{"all of it for real-time threads", LoopConfig{FIFO: true, Core: 1}, []int{0, 1}, whole, "sched_rt_runtime_us=950000"},
		{"negative bound", LoopConfig{FIFO: true, Core: 1, FIFOBoundNs: -1}, []int{0, 1}, on, "negative"},
	} {
		err := checkFIFO(&c.cfg, c.allowed, c.share)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// A loop that the scheduler refuses leaves its thread and its P as they were.
func TestFIFORefusedByTheKernel(t *testing.T) {
	before := procsHeld.Load()
	loop, err := NewLoop(LoopConfig{Name: "poor", Core: spareCore(t), FIFO: true, policy: func(int, bool) error { return unix.EPERM }}, idleTask{})
	if err != nil {
		t.Fatal(err)
	}
	if err := loop.Run(); err == nil || !strings.Contains(err.Error(), "CAP_SYS_NICE") {
		t.Errorf("%v", err)
	}
	if after := procsHeld.Load(); after != before {
		t.Errorf("%d Ps held, %d before", after, before)
	}
}

// The system call itself, on a thread that does nothing under it but ask what it has, and gives it back.
func TestSetPolicy(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: whatever is left of it goes with the thread
		if err := setPolicy(0, true); err != nil {
			t.Logf("skipped: needs CAP_SYS_NICE: %v", err)
			return
		}
		got, err := unix.SchedGetAttr(0, 0)
		if back := setPolicy(0, false); back != nil {
			t.Error(back)
		}
		if err != nil || got.Policy != unix.SCHED_FIFO || got.Priority != fifoPriority || got.Flags&unix.SCHED_FLAG_RESET_ON_FORK == 0 {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err = unix.SchedGetAttr(0, 0); err != nil || got.Policy != unix.SCHED_NORMAL {
			t.Errorf("after giving it back: %+v, %v", got, err)
		}
	}()
	<-done
}
