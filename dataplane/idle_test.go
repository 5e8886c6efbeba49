package dataplane

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseIdle(t *testing.T) {
	for kind := range IdleKind(len(idleNames)) {
		if got, err := ParseIdle(kind.String()); err != nil || got != kind {
			t.Errorf("%v: %v, %v", kind, got, err)
		}
	}
	for _, name := range []string{"", "Spin", "poll"} {
		if _, err := ParseIdle(name); err == nil || !strings.Contains(err.Error(), "spin, yield, backoff or block") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// pipePort is as much of a port as an idle strategy sees.
type pipePort struct {
	Port
	fd      int
	pending bool // Arm finds something to receive
	arms    int
}

func (p *pipePort) FD() int   { return p.fd }
func (p *pipePort) Arm() bool { p.arms++; return !p.pending }

func newPipe(t *testing.T) (readEnd, writeEnd int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func TestBlockSleepsUntilAPortHasSomething(t *testing.T) {
	readEnd, writeEnd := newPipe(t)
	arrived := make(chan struct{}, 1)
	var buf [1]byte
	task := &countingTask{each: func(int64) {
		if n, _ := unix.Read(readEnd, buf[:]); n == 1 {
			arrived <- struct{}{}
		}
	}}
	loop := startLoop(t, LoopConfig{
		Core: NoCore, Idle: IdleBlock, MaxNapNs: int64(time.Hour), Ports: []Port{&pipePort{fd: readEnd}},
	}, task)
	task.awaitFirst(t)
	for range 10 {
		if _, err := unix.Write(writeEnd, []byte{1}); err != nil {
			t.Fatal(err)
		}
		within(t, arrived)
	}
	stats, err := loop.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if stats.Naps == 0 || stats.Cycles > 100 {
		t.Errorf("%d cycles and %d naps for 10 arrivals: it did not sleep", stats.Cycles, stats.Naps)
	}
}

func TestNoSleepWhileAPortHasSomething(t *testing.T) {
	ports := []Port{&pipePort{fd: -1}, &pipePort{fd: -1, pending: true}}
	i := newIdler(&LoopConfig{Idle: IdleBlock, Ports: ports}, -1)
	if i.rest(Now(), &countingTask{}) || i.naps != 0 {
		t.Error("it slept though Arm said that there is something to receive")
	}
	if ports[0].(*pipePort).arms != 1 || ports[1].(*pipePort).arms != 1 {
		t.Error("not every port was armed once")
	}
}

func TestPortWithoutDescriptorIsPolledOften(t *testing.T) {
	task := &countingTask{}
	startLoop(t, LoopConfig{Core: NoCore, Idle: IdleBlock, MaxNapNs: int64(time.Hour), Ports: []Port{&pipePort{fd: -1}}}, task)
	task.awaitCycles(t, 100)
}

func TestDeadlineEndsASleep(t *testing.T) {
	for _, kind := range []IdleKind{IdleBackoff, IdleBlock} {
		t.Run(kind.String(), func(t *testing.T) {
			readEnd, _ := newPipe(t)
			begun := Now()
			task := &countingTask{}
			last := begun
			task.each = func(now int64) { last = now }
			task.deadline = func() int64 { return last + 2_000_000 }
			loop := startLoop(t, LoopConfig{
				Core: NoCore, Idle: kind, MaxNapNs: int64(time.Hour), Ports: []Port{&pipePort{fd: readEnd}},
			}, task)
			for stats := (LoopStats{}); stats.Naps < 30; time.Sleep(time.Millisecond) {
				var err error
				if stats, err = loop.Stats(); err != nil {
					t.Fatal(err)
				}
				if Now()-begun > int64(soon) {
					t.Fatalf("%d naps within %v", stats.Naps, soon)
				}
			}
		})
	}
}

func TestBackoffSpinsThenYieldsThenSleepsLonger(t *testing.T) {
	i := newIdler(&LoopConfig{Idle: IdleBackoff, MaxNapNs: 4 * firstNapNs}, -1)
	i.fds = nil // nobody to wake it
	task := &countingTask{}
	for round := range 2 {
		yields, naps := i.yields, i.naps
		for range backoffSpins {
			if i.rest(Now(), task) {
				t.Fatalf("round %d: left the core while it should spin", round)
			}
		}
		for range backoffYields {
			i.rest(Now(), task)
		}
		if i.yields-yields != backoffYields || i.naps != naps {
			t.Errorf("round %d: %d yields, %d naps", round, i.yields-yields, i.naps-naps)
		}
		for _, want := range []int64{1, 2, 4, 4} {
			if got := i.nextNap; got != want*firstNapNs {
				t.Errorf("round %d: next nap %d ns, want %d", round, got, want*firstNapNs)
			}
			if i.rest(Now(), task); i.naps == naps {
				t.Errorf("round %d: no nap", round)
			}
			naps = i.naps
		}
		i.busy() // work: from the beginning
	}
}

func TestYieldOffersTheCore(t *testing.T) {
	task := &countingTask{}
	loop := startLoop(t, LoopConfig{Core: NoCore, Idle: IdleYield}, task)
	task.awaitCycles(t, 100)
	stats, err := loop.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if stats.Yields+1 < stats.Cycles || stats.Naps != 0 {
		t.Errorf("%d yields and %d naps in %d empty cycles", stats.Yields, stats.Naps, stats.Cycles)
	}
}

func TestSpinNeverLeavesTheCore(t *testing.T) {
	i := newIdler(&LoopConfig{Idle: IdleSpin}, -1)
	for range 10_000 {
		if i.rest(0, &countingTask{}) {
			t.Fatal("it did")
		}
	}
	if i.yields != 0 || i.naps != 0 {
		t.Errorf("%d yields, %d naps", i.yields, i.naps)
	}
}
