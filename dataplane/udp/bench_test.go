package udp

import (
	"fmt"
	"net/netip"
	"testing"

	"wirepaxos/dataplane"
)

// BenchmarkBurst is frames from one socket of the loopback interface to another, on one thread: the kernel delivers them within the sending call.
func BenchmarkBurst(b *testing.B) {
	for _, burst := range []int{1, 32} {
		b.Run(fmt.Sprint("burst-", burst), func(b *testing.B) {
			addrA, addrB := freshAddr(), freshAddr()
			from := mustOpen(b, Config{Listen: addrA, Peers: []netip.AddrPort{addrB}})
			to := mustOpen(b, Config{Listen: addrB, Peers: []netip.AddrPort{addrA}})
			frames := make([]dataplane.Frame, burst)
			b.ReportAllocs()
			before := from.counters.Syscalls() + to.counters.Syscalls()
			for b.Loop() {
				from.Alloc(frames)
				for i := range frames {
					frames[i].Peer, frames[i].Data = 0, frames[i].Data[:64]
				}
				from.TxBurst(frames)
				from.Flush()
				for got := 0; got < len(frames); {
					n := to.RxBurst(frames)
					to.Free(frames[:n])
					got += n
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*burst), "ns/frame")
			b.ReportMetric(float64(from.counters.Syscalls()+to.counters.Syscalls()-before)/float64(b.N), "syscalls/burst")
		})
	}
}
