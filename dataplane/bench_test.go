package dataplane

import (
	"runtime"
	"testing"
)

func BenchmarkNow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Now()
	}
}

// BenchmarkTurn is what counting a cycle costs.
func BenchmarkTurn(b *testing.B) {
	loop, err := NewLoop(LoopConfig{Core: NoCore}, &countingTask{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now++
		loop.Turn(now)
	}
}

// BenchmarkEmptyCycle is what a loop costs around a task that finds nothing to do, by idle strategy: a clock, a look at the flag, and the rest. An
// operation is emptyCycles of them, and one stop. IdleBackoff is measured where it spins; IdleBlock where it sleeps for the shortest time.
func BenchmarkEmptyCycle(b *testing.B) {
	const emptyCycles = 64
	for kind := range IdleKind(len(idleNames)) {
		b.Run(kind.String(), func(b *testing.B) {
			left := 0
			task := &countingTask{deadline: func() int64 { return Now() + 2*leastNapNs }}
			loop, err := NewLoop(LoopConfig{Core: NoCore, Idle: kind}, task)
			if err != nil {
				b.Fatal(err)
			}
			task.each = func(int64) {
				if left--; left == 0 {
					loop.Stop()
				}
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			leave, err := loop.enter()
			if err != nil {
				b.Fatal(err)
			}
			defer leave()
			loop.unpin() // the benchmark stops the world at its ends
			b.ReportAllocs()
			for b.Loop() {
				left = emptyCycles
				loop.stopping.Store(false)
				loop.idle.busy()
				loop.pin()
				loop.cycle()
				loop.unpin()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*emptyCycles), "ns/cycle")
		})
	}
}
