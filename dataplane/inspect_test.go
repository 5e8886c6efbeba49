package dataplane

import (
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestInspectRunsOnTheLoopsThread(t *testing.T) {
	for kind := range IdleKind(len(idleNames)) {
		t.Run(kind.String(), func(t *testing.T) {
			var taskThread int
			var same bool
			task := &countingTask{each: func(int64) { taskThread = unix.Gettid() }}
			// A nap of an hour: only the wake-up of Inspect itself can end it in time.
			loop := startLoop(t, LoopConfig{Core: NoCore, Idle: kind, MaxNapNs: int64(time.Hour)}, task)
			task.awaitFirst(t)
			if err := loop.Inspect(func() { same = unix.Gettid() == taskThread }); err != nil {
				t.Fatal(err)
			}
			if !same {
				t.Error("it ran on another thread than the task")
			}
		})
	}
}

func TestInspectionsFromManyGoroutinesAllRun(t *testing.T) {
	task := &countingTask{}
	loop := startLoop(t, LoopConfig{Core: NoCore}, task)
	const askers, each = 8, 200
	ran := 0 // no lock: every increment happens on the loop's goroutine
	var group sync.WaitGroup
	for range askers {
		group.Go(func() {
			for range each {
				if err := loop.Inspect(func() { ran++ }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if ran != askers*each {
		t.Errorf("%d of %d ran", ran, askers*each)
	}
}

func TestInspectSaysThatTheLoopHasEnded(t *testing.T) {
	loop, err := NewLoop(LoopConfig{Name: "learner", Core: NoCore}, &countingTask{})
	if err != nil {
		t.Fatal(err)
	}
	loop.Stop()
	if err := loop.Run(); err != nil {
		t.Fatal(err)
	}
	err = loop.Inspect(func() { t.Error("ran on a loop that has ended") })
	if err == nil || !strings.Contains(err.Error(), "loop learner: it has ended") {
		t.Errorf("got %v", err)
	}
}

func TestInspectGivesUpOnATaskThatHangs(t *testing.T) {
	hang := make(chan struct{})
	task := &countingTask{each: func(int64) { <-hang }}
	loop := startLoop(t, LoopConfig{Core: NoCore, Preemptible: true}, task)
	task.awaitFirst(t)
	ran := false
	err := loop.Inspect(func() { ran = true })
	if err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("got %v", err)
	}
	close(hang)
	if err := loop.Inspect(func() {}); err != nil { // behind the one that was given up
		t.Fatal(err)
	}
	if ran {
		t.Error("an inspection that was refused ran later")
	}
}

// An inspection may wait for others: the loop is not pinned to its P meanwhile.
func TestInspectionMayWait(t *testing.T) {
	loop := startLoop(t, LoopConfig{Core: NoCore}, &countingTask{})
	answer := make(chan int)
	go func() { answer <- 7 }()
	got := 0
	if err := loop.Inspect(func() { time.Sleep(time.Millisecond); got = <-answer }); err != nil {
		t.Fatal(err)
	}
	if got != 7 {
		t.Errorf("got %d", got)
	}
}
