package dataplane

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The loops spin on every core there is, and everything else must still get its turn: Go's runtime, other goroutines.

func TestGarbageCollectionBesideSpinningLoops(t *testing.T) {
	for _, procs := range []int{1, 2} {
		for _, loops := range []int{1, 2} {
			for _, order := range []string{"before", "after"} {
				t.Run("GOMAXPROCS="+strconv.Itoa(procs)+" set "+order+" the start of "+strconv.Itoa(loops), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
					if order == "before" {
						runtime.GOMAXPROCS(procs)
					}
					var running []*Loop
					for core := range loops {
						task := &countingTask{}
						running = append(running, startLoop(t, LoopConfig{Core: coresAtStart.Allowed[core%len(coresAtStart.Allowed)]}, task))
						task.awaitCycles(t, 1000)
					}
					if order == "after" {
						runtime.GOMAXPROCS(procs) // fewer Ps than loops: they must share them
					}
					done := make(chan struct{})
					go func() {
						defer close(done)
						for range 10 {
							runtime.GC()
						}
					}()
					within(t, done)
					for _, loop := range running {
						stats, err := loop.Stats()
						if err != nil {
							t.Fatal(err)
						}
						if stats.GCCycles < 10 {
							t.Errorf("the loop saw %d of 10 GC cycles", stats.GCCycles)
						}
					}
				})
			}
		}
	}
}

func TestControlSocketBesideSpinningLoops(t *testing.T) {
	for range 2 {
		startLoop(t, LoopConfig{Core: NoCore}, &countingTask{})
	}
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "control"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 64)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	buf := make([]byte, 64)
	for i := range 200 {
		if _, err := conn.Write([]byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(buf); err != nil || string(buf[:n]) != strconv.Itoa(i) {
			t.Fatalf("round trip %d: %q, %v", i, buf[:n], err)
		}
	}
}

// A task may be in a system call for long while the loop is pinned to its P: sysmon takes the P away, and the thread has to wait for
// another one outside the scheduler (see procPin).
func TestCycleMayMakeLongSystemCalls(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	task := &countingTask{each: func(int64) {
		nap := unix.NsecToTimespec(100_000)
		_ = unix.Nanosleep(&nap, nil)
		if _, err := file.WriteAt([]byte("round 7\n"), 0); err != nil {
			t.Error(err)
		}
		if err := file.Sync(); err != nil {
			t.Error(err)
		}
	}}
	loop := startLoop(t, LoopConfig{Core: NoCore}, task)
	task.awaitFirst(t)

	var stop atomic.Bool
	defer stop.Store(true)
	for range runtime.GOMAXPROCS(0) + 1 { // every P has other work: the one that was taken is not there on return
		go func() {
			for !stop.Load() {
			}
		}()
	}
	for range 5 {
		runtime.GC()
	}
	task.awaitCycles(t, 200)
	if _, err := loop.Stats(); err != nil {
		t.Error(err)
	}
	loop.Stop()
	within(t, loop.ended)
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}
