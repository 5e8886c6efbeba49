package afxdp

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// The benchmarks measure two spinning threads, each on a core of its own, over a veth pair in copy mode with a native
// program. There the sender's sendto runs the whole receive path of the other end, on the sender's core. They are run like
// this:
//
//	go test -run '^$' -bench . -benchtime 2s -count 5 ./dataplane/afxdp

// pin puts the calling thread on the n-th core that this process may use.
func pin(b testing.TB, n int) {
	b.Helper()
	cores, err := dataplane.Cores()
	must(b, err)
	if len(cores.Allowed) < 2 {
		b.Skip("needs two cores")
	}
	var set unix.CPUSet
	set.Set(cores.Allowed[n])
	must(b, unix.SchedSetaffinity(0, &set))
}

// unpin lets the calling thread go anywhere again.
func unpin(b testing.TB) {
	cores, err := dataplane.Cores()
	must(b, err)
	var set unix.CPUSet
	for _, c := range cores.Allowed {
		set.Set(c)
	}
	must(b, unix.SchedSetaffinity(0, &set))
}

// beside runs step over and over on a thread of its own on the second core until the function that it returns is called.
func beside(b testing.TB, step func()) (stop func()) {
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its pinning with it
		pin(b, 1)
		for !done.Load() {
			step()
		}
	}()
	return func() { done.Store(true); <-ended }
}

// buckets count durations: 32 to each power of two nanoseconds.
type buckets [64 * 32]uint64

func (h *buckets) add(ns uint64) { h[bucketOf(ns)]++ }

func bucketOf(ns uint64) int {
	if ns < 32 {
		return int(ns)
	}
	shift := bits.Len64(ns) - 6
	return (shift+1)*32 + int(ns>>shift) - 32
}

// quantile is the lower bound of the bucket that holds it.
func (h *buckets) quantile(q float64) float64 {
	total, seen := uint64(0), uint64(0)
	for _, n := range h {
		total += n
	}
	for i, n := range h {
		if seen += n; float64(seen) >= q*float64(total) {
			if i < 64 {
				return float64(i)
			}
			return float64(uint64(i%32+32) << (i/32 - 1))
		}
	}
	return 0
}

func echo(p *Port) func() {
	var rx, tx [32]dataplane.Frame
	return func() {
		n := p.RxBurst(rx[:])
		if n == 0 {
			return
		}
		k := p.Alloc(tx[:n])
		for i := range tx[:k] {
			tx[i].Data, tx[i].Peer = tx[i].Data[:len(rx[i].Data)], rx[i].Peer
			copy(tx[i].Data, rx[i].Data)
		}
		p.Free(tx[p.TxBurst(tx[:k]):k])
		p.Free(rx[:n])
		p.Flush()
	}
}

// BenchmarkRoundTrip is one frame there and back at a time.
func BenchmarkRoundTrip(b *testing.B) {
	for _, link := range []string{LinkEthernet, LinkUDP4} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%s/%d", link, size), func(b *testing.B) {
				p, q := openPair(b, link)
				stop := beside(b, echo(q))
				defer stop()
				pin(b, 0)
				defer unpin(b)
				var one [1]dataplane.Frame
				times := new(buckets)
				lost := 0
				for b.Loop() {
					p.Alloc(one[:])
					one[0].Data, one[0].Peer = one[0].Data[:size], 0
					begin := time.Now()
					p.TxBurst(one[:])
					p.Flush()
					for p.RxBurst(one[:]) == 0 {
						if time.Since(begin) > time.Second {
							lost++
							break
						}
					}
					times.add(uint64(time.Since(begin)))
					p.Free(one[:])
				}
				b.ReportMetric(times.quantile(0.5), "p50-ns")
				b.ReportMetric(times.quantile(0.99), "p99-ns")
				if lost > 0 {
					b.Fatalf("%d frames lost", lost)
				}
			})
		}
	}
}

// BenchmarkOneWay is frames from one end to the other, as many as go. Those that the receiver was too slow for are reported.
func BenchmarkOneWay(b *testing.B) {
	for _, link := range []string{LinkEthernet, LinkUDP4} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%s/%d", link, size), func(b *testing.B) {
				p, q := openPair(b, link)
				var rx [64]dataplane.Frame
				stop := sync.OnceFunc(beside(b, func() { q.Free(rx[:q.RxBurst(rx[:])]) }))
				defer stop()
				pin(b, 0)
				defer unpin(b)
				var tx [32]dataplane.Frame
				for b.Loop() {
					n := p.Alloc(tx[:])
					for i := range tx[:n] {
						tx[i].Data, tx[i].Peer = tx[i].Data[:size], 0
					}
					p.Free(tx[p.TxBurst(tx[:n]):n])
					p.Flush()
				}
				elapsed := b.Elapsed().Seconds()
				stop()
				sent, got := p.Counters().TxFrames, q.Counters().RxFrames
				b.ReportMetric(float64(got)/elapsed, "frames/s")
				b.ReportMetric(100*float64(sent-got)/float64(sent), "%lost")
			})
		}
	}
}

// BenchmarkWindow is round trips with 32 frames in flight.
func BenchmarkWindow(b *testing.B) {
	p, q := openPair(b, LinkEthernet)
	stop := beside(b, echo(q))
	defer stop()
	pin(b, 0)
	defer unpin(b)
	var tx, rx [32]dataplane.Frame
	for b.Loop() {
		p.Alloc(tx[:])
		for i := range tx {
			tx[i].Data, tx[i].Peer = tx[i].Data[:64], 0
		}
		p.TxBurst(tx[:])
		p.Flush()
		begin := time.Now()
		for got := 0; got < len(tx); {
			n := p.RxBurst(rx[:])
			p.Free(rx[:n])
			if got += n; n == 0 && time.Since(begin) > time.Second {
				b.Fatal("frames lost")
			}
		}
	}
	b.ReportMetric(float64(b.N)*32/b.Elapsed().Seconds(), "roundtrips/s")
}

// BenchmarkRings is the port's own share, without a kernel: receive a burst of 32, answer each frame, free.
func BenchmarkRings(b *testing.B) {
	p, k := newFake(b)
	in := packet(b, make([]byte, 64))
	var rx, tx [32]dataplane.Frame
	b.ReportAllocs()
	for b.Loop() {
		for range rx {
			k.deliver(in)
		}
		n := p.RxBurst(rx[:])
		p.Alloc(tx[:n])
		for i := range tx[:n] {
			tx[i].Data, tx[i].Peer = tx[i].Data[:64], 0
		}
		p.TxBurst(tx[:n])
		p.Flush()
		p.Free(rx[:n])
		p.tx.consumer.Store(p.tx.producer.Load())
		for i := range n {
			p.comp.addresses[(p.comp.next+uint32(i))%fakeRing] = tx[i].Cell << p.cells.shift
		}
		p.comp.producer.Add(uint32(n))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/frame")
}
