package mem

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"wirepaxos/dataplane"
)

// BenchmarkRing is one entry through a ring in one goroutine, published in bursts: the cost without any cache line that moves.
func BenchmarkRing(b *testing.B) {
	for _, burst := range []int{1, 32} {
		b.Run(fmt.Sprint("burst-", burst), func(b *testing.B) {
			var tail atomic.Uint64
			slots := make([]uint64, 1024)
			out, in := newOutRing(&tail, slots), newInRing(&tail, slots)
			out.begin(onlySession)
			in.begin(onlySession)
			b.ReportAllocs()
			for b.Loop() {
				for i := range burst {
					out.push(uint64(i))
				}
				out.publish()
				for n, _ := in.available(); n > 0; n-- {
					in.pop()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/entry")
		})
	}
}

// BenchmarkBurst is a frame from Alloc to Free, both ends in one goroutine.
func BenchmarkBurst(b *testing.B) {
	for _, burst := range []int{1, 32} {
		b.Run(fmt.Sprint("burst-", burst), func(b *testing.B) {
			from, to := mustPair(b, Config{})
			frames := make([]dataplane.Frame, burst)
			b.ReportAllocs()
			for b.Loop() {
				n := from.Alloc(frames)
				for i := range frames[:n] {
					frames[i].Peer, frames[i].Data = 0, frames[i].Data[:64]
				}
				from.TxBurst(frames[:n])
				from.Flush()
				to.Free(frames[:to.RxBurst(frames)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/frame")
		})
	}
}

// BenchmarkStream is frames from one spinning loop to another.
func BenchmarkStream(b *testing.B) {
	from, to := mustPair(b, Config{})
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		var frames [64]dataplane.Frame
		for !stop.Load() {
			n := to.RxBurst(frames[:])
			to.Free(frames[:n])
			if n == 0 {
				runtime.Gosched()
			}
		}
	}()
	var frames [32]dataplane.Frame
	sent := 0
	b.ReportAllocs()
	for b.Loop() {
		for taken := 0; taken == 0; {
			n := from.Alloc(frames[:])
			for i := range frames[:n] {
				frames[i].Peer, frames[i].Data = 0, frames[i].Data[:64]
				frames[i].Data[0] = byte(i)
			}
			taken = from.TxBurst(frames[:n])
			from.Flush()
			sent += taken
			if taken == 0 {
				runtime.Gosched() // on a machine with fewer idle cores than loops
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/frame")
	stop.Store(true)
	<-done
}

// BenchmarkRoundTrip is one frame there and back between two spinning loops.
func BenchmarkRoundTrip(b *testing.B) {
	near, far := mustPair(b, Config{})
	turn := func(p *Port, send bool, stop func() bool) {
		var tx, rx [1]dataplane.Frame
		if send {
			p.Alloc(tx[:])
			tx[0].Peer, tx[0].Data = 0, tx[0].Data[:64]
			p.TxBurst(tx[:])
			p.Flush()
			return
		}
		for spins := 0; p.RxBurst(rx[:]) == 0; spins++ {
			if spins&1023 == 1023 {
				if stop() {
					return
				}
				runtime.Gosched()
			}
		}
		p.Free(rx[:])
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			turn(far, false, stop.Load)
			turn(far, true, nil)
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		turn(near, true, nil)
		turn(near, false, func() bool { return false })
	}
	stop.Store(true)
	<-done
}
