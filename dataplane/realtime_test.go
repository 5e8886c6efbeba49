package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Loops that really run under SCHED_FIFO. What keeps the machine safe while they do:
//
//   - Each runs in a process of its own, on the highest core that this one may use, one process at a time on this machine: some core is always free.
//   - The process lets the kernel end it once a thread of it has been real-time for realTimeLimit without sleeping (RLIMIT_RTTIME): no code of ours has to run
//     for that. The first test shows that the kernel does so.
//   - It goes when its parent goes, and the parent ends it in any case.
//   - The kernel keeps its share of the core for others (sched_rt_runtime_us), or the test is skipped.
const (
	realTimeLimit = 2 * time.Second
	realTimeChild = "WIREPAXOS_FIFO_CHILD"
	parentsBound  = 15 * time.Second
)

// realTimeReport is what such a process tells.
type realTimeReport struct {
	Skip      string        // why it cannot be tried
	Begun     bool          // the loop had the policy
	Policy    uint32        // of the loop's thread when it was told to stop
	Held      bool          // so the loop says then
	GivenBack uint64        // times
	After     time.Duration // the loop lost it
	Turns     int           // of the lookout while the loop had the policy
	Cycles    uint64
}

// realTimeMode is one such process.
type realTimeMode struct {
	limit time.Duration // after which the kernel ends it
	bound time.Duration // after which the loop gives SCHED_FIFO back
	long  time.Duration // how long the loop runs, if it does not lose it before
	hangs bool
}

const never = 60 * time.Second

var realTimeModes = map[string]realTimeMode{
	"limit":  {limit: 500 * time.Millisecond, bound: never, long: 1800 * time.Millisecond},
	"starve": {limit: realTimeLimit, bound: 300 * time.Millisecond, long: 1500 * time.Millisecond},
	"hang":   {limit: realTimeLimit, bound: 200 * time.Millisecond, long: 1800 * time.Millisecond, hangs: true},
	"share":  {limit: realTimeLimit, bound: never, long: 1700 * time.Millisecond},
}

// hangTask has one cycle, once it is told to, that takes as long as it may.
type hangTask struct {
	now  atomic.Bool
	hung bool
}

func (h *hangTask) Cycle(int64) int {
	if !h.now.Load() || h.hung {
		return 0
	}
	for end := Now() + int64(1700*time.Millisecond); Now() < end; {
		continue
	}
	h.hung = true
	return 0
}

func (*hangTask) Deadline() int64 { return 1<<63 - 1 }

// run runs a loop that spins, until it has lost its policy or its time has passed.
func (m *realTimeMode) run(r *realTimeReport) error {
	micros := uint64(m.limit.Microseconds())
	if err := unix.Setrlimit(unix.RLIMIT_RTTIME, &unix.Rlimit{Cur: micros, Max: micros}); err != nil {
		return err
	}
	cores, err := Cores()
	if err != nil {
		return err
	}
	var task hangTask
	loop, err := NewLoop(LoopConfig{Name: "real", Core: cores.Allowed[len(cores.Allowed)-1], Idle: IdleSpin, FIFO: true, FIFOBoundNs: int64(m.bound)}, &task)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	start := time.Now()
	go func() { ended <- loop.Run() }()
	var f *fifo
	if err := loop.Inspect(func() { f = loop.fifo }); err != nil {
		return errors.Join(err, <-ended)
	}
	r.Begun = true
	task.now.Store(m.hangs)
	for last := int64(0); f.held.Load() && time.Since(start) < m.long; time.Sleep(2 * time.Millisecond) {
		if ran := f.ran.Load(); ran != last {
			last = ran
			r.Turns++
		}
	}
	r.After = time.Since(start)
	r.Held = f.held.Load()
	attr, err := unix.SchedGetAttr(f.thread, 0)
	if err == nil {
		r.Policy = attr.Policy
	}
	loop.Stop()
	err = errors.Join(err, <-ended)
	r.GivenBack, r.Cycles = f.gaveBack.Load(), loop.stats.Cycles
	return err
}

// realTime runs one of the modes in a process of its own and reads what it tells. The process was ended by a signal if err says so.
func realTime(t *testing.T, mode string) (r realTimeReport, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), parentsBound)
	defer cancel()
	runtime.LockOSThread() // the child goes with the thread that started it
	defer runtime.UnlockOSThread()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, "-test.run", "^TestRealTime$", "-test.v")
	cmd.Env = append(os.Environ(), realTimeChild+"="+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "report "); ok && json.Unmarshal([]byte(text), &r) != nil {
			t.Fatalf("%s", line)
		}
	}
	t.Logf("%s: %+v, %v", mode, r, err)
	if r.Skip != "" {
		t.Skipf("SCHED_FIFO cannot be tried: %s", r.Skip)
	}
	return r, err
}

// needsRealTime skips where a loop under SCHED_FIFO could be more than a test.
func needsRealTime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("keeps a core for some seconds")
	}
	cores, err := Cores()
	if err != nil || len(cores.Allowed) < 2 {
		t.Skipf("needs two cores, has %v (%v)", cores.Allowed, err)
	}
	share, _ := readNumber(realTimeShare) // 0 is no share
	period, _ := readNumber(filepath.Join(filepath.Dir(realTimeShare), realTimePeriod))
	if share <= 0 || share >= period {
		t.Skipf("needs a kernel that keeps a part of each core for others: %d of %d µs are for real-time threads", share, period)
	}
	alone, err := net.Listen("unix", "@wirepaxos-real-time-test") // abstract: it goes with this process
	if err != nil {
		t.Skipf("another such test runs on this machine: %v", err)
	}
	t.Cleanup(func() { alone.Close() })
}

// In order: that the kernel ends a process that does not stop is what makes the rest safe.
func TestRealTime(t *testing.T) {
	if mode := os.Getenv(realTimeChild); mode != "" {
		var r realTimeReport
		m := realTimeModes[mode]
		if err := m.run(&r); err != nil {
			r.Skip = err.Error()
		}
		text, _ := json.Marshal(r)
		fmt.Printf("\nreport %s\n", text)
		return
	}
	needsRealTime(t)
	_, err := realTime(t, "limit")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Skipf("this kernel does not end what is real-time for too long (%v): nothing more is tried", err)
	}

	t.Run("a loop that starves others gives it back, and says so", func(t *testing.T) {
		r, err := realTime(t, "starve")
		if err != nil || !r.Begun || r.Held || r.GivenBack != 1 || r.Policy != unix.SCHED_NORMAL || r.Cycles == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("a loop that hangs has it taken away", func(t *testing.T) {
		r, err := realTime(t, "hang")
		if err != nil || !r.Begun || r.Held || r.GivenBack != 1 || r.Policy != unix.SCHED_NORMAL {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("a loop keeps it while the kernel lets others in", func(t *testing.T) {
		r, err := realTime(t, "share")
		if err != nil || !r.Begun || !r.Held || r.Policy != unix.SCHED_FIFO || r.GivenBack != 0 || r.Turns == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
