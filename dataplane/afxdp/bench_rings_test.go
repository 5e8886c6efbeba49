package afxdp

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"wirepaxos/dataplane"
)

// ringBurst is how many entries the benchmarks of single rings move at a time.
const ringBurst = 32

func reportEntries(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*ringBurst), "ns/entry")
}

// BenchmarkFillRing gives cells to the kernel, which is played by the benchmark, as in those of the other rings.
func BenchmarkFillRing(b *testing.B) {
	p, _ := newFake(b)
	r := &p.fill
	b.ReportAllocs()
	for b.Loop() {
		for i := range uint64(ringBurst) {
			r.put(i * SmallCell)
		}
		r.publish()
		if r.needWakeup() {
			b.Fatal("nobody sleeps")
		}
	}
	reportEntries(b)
}

// BenchmarkCompletionRing takes cells back.
func BenchmarkCompletionRing(b *testing.B) {
	p, _ := newFake(b)
	r := &p.comp
	sum := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		r.producer.Add(ringBurst)
		n := r.ready()
		for i := range n {
			sum += r.at(i)
		}
		r.release(n)
	}
	reportEntries(b)
	if sum != 0 {
		b.Fatalf("addresses add up to %d: there are none but 0", sum)
	}
}

// BenchmarkRxRing takes descriptors of received packets.
func BenchmarkRxRing(b *testing.B) {
	p, _ := newFake(b)
	r := &p.rx
	sum := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		r.producer.Add(ringBurst)
		n := r.ready(ringBurst)
		for i := range n {
			sum += r.at(i).Addr
		}
		r.release(n)
	}
	reportEntries(b)
	if sum != 0 {
		b.Fatalf("addresses add up to %d: there are none but 0", sum)
	}
}

// BenchmarkTxRing puts descriptors of packets to send.
func BenchmarkTxRing(b *testing.B) {
	p, _ := newFake(b)
	r := &p.tx
	b.ReportAllocs()
	for b.Loop() {
		n := r.room(ringBurst)
		for i := range n {
			r.put(uint64(i)*SmallCell, 64)
		}
		r.publish()
		r.consumer.Store(r.producer.Load())
	}
	reportEntries(b)
}

// BenchmarkBurst is frames from one port of a veth pair to the other, on one thread: in copy mode the kernel delivers them within the kick.
func BenchmarkBurst(b *testing.B) {
	for _, burst := range []int{1, 32} {
		b.Run(fmt.Sprint("burst-", burst), func(b *testing.B) {
			from, to := openPair(b, LinkEthernet)
			frames := make([]dataplane.Frame, burst)
			b.ReportAllocs()
			before := from.Counters().Syscalls() + to.Counters().Syscalls()
			for b.Loop() {
				from.Alloc(frames)
				for i := range frames {
					frames[i].Peer, frames[i].Data = 0, frames[i].Data[:64]
				}
				from.TxBurst(frames)
				from.Flush()
				begin := time.Now()
				for got := 0; got < burst; {
					n := to.RxBurst(frames)
					to.Free(frames[:n])
					if got += n; n == 0 {
						if time.Since(begin) > patience {
							b.Fatalf("%d of %d frames came", got, burst)
						}
						runtime.Gosched()
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/frame")
			b.ReportMetric(float64(from.Counters().Syscalls()+to.Counters().Syscalls()-before)/float64(b.N), "syscalls/burst")
		})
	}
}
