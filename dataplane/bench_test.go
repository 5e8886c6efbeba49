package dataplane

import "testing"

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
			cycles, left := idleCycles(b, kind)
			b.ReportAllocs()
			for b.Loop() {
				cycles(emptyCycles)
			}
			if *left != 0 {
				b.Fatalf("stopped %d cycles early", *left)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*emptyCycles), "ns/cycle")
		})
	}
}
