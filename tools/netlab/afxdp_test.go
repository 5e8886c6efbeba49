package netlab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
)

// bind opens an AF_XDP port on a queue of a host, with all hosts of the lab as its peers: a host's slot is its number. Behind them is a peer for each
// multicast address.
func bind(t testing.TB, lab *Lab, host string, queue int, link string, groups ...net.HardwareAddr) *afxdp.Port {
	t.Helper()
	var peers []afxdp.PeerAddr
	for _, h := range lab.Hosts() {
		peers = append(peers, afxdp.PeerAddr{MAC: h.MAC, IP: h.IP, UDPPort: 7471})
	}
	for _, mac := range groups {
		peers = append(peers, afxdp.PeerAddr{MAC: mac})
	}
	var port *afxdp.Port
	err := lab.Do(host, func() (err error) {
		port, err = afxdp.Open(afxdp.Config{Interface: Interface, Queue: queue, Link: link, UDPPort: 7471, Peers: peers, Listen: groups})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return port
}

// post sends one payload to a peer.
func post(t testing.TB, port *afxdp.Port, to dataplane.Peer, payload []byte) {
	t.Helper()
	var frames [1]dataplane.Frame
	if port.Alloc(frames[:]) != 1 {
		t.Fatal("no frame to send")
	}
	frames[0].Peer = to
	frames[0].Data = append(frames[0].Data, payload...)
	if port.TxBurst(frames[:]) != 1 {
		t.Fatal("not sent")
	}
	port.Flush()
}

// collect polls a port for as many payloads as should come, then for a quiet time for those that should not. It cuts them to n bytes
// since a link may pad them.
func collect(port *afxdp.Port, n, total int) (payloads []string, from []dataplane.Peer) {
	var frames [64]dataplane.Frame
	deadline := time.Now().Add(testBound)
	for time.Now().Before(deadline) {
		got := port.RxBurst(frames[:])
		for _, f := range frames[:got] {
			payloads = append(payloads, string(f.Data[:min(n, len(f.Data))]))
			from = append(from, f.Peer)
		}
		port.Free(frames[:got])
		port.Flush()
		if len(payloads) >= total && total >= 0 {
			deadline, total = time.Now().Add(quiet), -1
		}
		runtime.Gosched()
	}
	return payloads, from
}

// A frame to a multicast address, sent once, is with every other host, under the name of its sender, whatever the switch does to it, and not with the
// sender itself.
func TestAFXDPMulticast(t *testing.T) {
	group := net.HardwareAddr{3, 'W', 'P', 1, 2, 3}
	for name, c := range map[string]struct {
		faults Faults
		times  int
	}{
		"redirect":  {times: 1},
		"duplicate": {faults: Faults{DuplicatePPM: million}, times: 2},
		"delay":     {faults: Faults{DelayPPM: million, Delay: time.Millisecond}, times: 1},
		"drop":      {faults: Faults{DropPPM: million}},
	} {
		t.Run(name, func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c"), Faults: c.faults})
			a, b, third := bind(t, lab, "a", 0, afxdp.LinkEthernet, group), bind(t, lab, "b", 0, afxdp.LinkEthernet, group), bind(t, lab, "c", 0, afxdp.LinkEthernet, group)
			const frames = 20
			for i := range frames {
				post(t, a, 3, fmt.Appendf(nil, "number %02d", i))
			}
			for _, port := range []*afxdp.Port{b, third} {
				times := map[string]int{}
				payloads, from := collect(port, len("number 00"), frames*c.times)
				for i, text := range payloads {
					times[text]++
					if from[i] != 0 {
						t.Errorf("%q comes from peer %d", text, from[i])
					}
				}
				for i := range frames {
					if text := fmt.Sprintf("number %02d", i); times[text] != c.times {
						t.Errorf("%q came %d times, want %d", text, times[text], c.times)
					}
				}
			}
			if payloads, _ := collect(a, 9, 0); len(payloads) != 0 || a.Counters().TxFrames != frames {
				t.Errorf("the sender sent %d frames and got %q", a.Counters().TxFrames, payloads)
			}
		})
	}
}

// AF_XDP sockets of two hosts exchange frames on every path through the switch, in native mode, beside kernel sockets.
func TestAFXDP(t *testing.T) {
	for name, spec := range map[string]Spec{
		"direct":    {Hosts: hostsNamed("a", "b")},
		"redirect":  {Hosts: hostsNamed("a", "b", "c")},
		"duplicate": {Hosts: hostsNamed("a", "b", "c"), Faults: Faults{DuplicatePPM: million}},
		"delay":     {Hosts: hostsNamed("a", "b", "c"), Faults: Faults{DelayPPM: million, Delay: time.Millisecond}},
	} {
		for _, link := range []string{afxdp.LinkEthernet, afxdp.LinkUDP4} {
			t.Run(name+" "+link, func(t *testing.T) {
				lab := up(t, spec)
				a, b := bind(t, lab, "a", 0, link), bind(t, lab, "b", 0, link)
				if mode := b.Info().Mode; mode != afxdp.ModeCopy {
					t.Errorf("mode %q: %s", mode, b.Info().Note)
				}
				copies := 1
				if spec.Faults.DuplicatePPM > 0 {
					copies = 2
				}
				long := bytes.Repeat([]byte("wire"), 300)
				post(t, a, 1, long)
				post(t, b, 0, []byte("back"))
				if got, from := collect(b, len(long), copies); len(got) != copies || got[0] != string(long) || from[0] != 0 {
					t.Errorf("b got %d payloads from %v", len(got), from)
				}
				if got, from := collect(a, 4, copies); len(got) != copies || got[0] != "back" || from[0] != 1 {
					t.Errorf("a got %q from %v", got, from)
				}
			})
		}
	}
}

// Two sockets behind one MAC, a queue each: the rules bring each the frames that are meant for it.
func TestAFXDPSteering(t *testing.T) {
	lab := up(t, Spec{Hosts: []HostSpec{
		{Name: "a"}, {Name: "b", Queues: 2, Steer: []Rule{{Offset: 14, Bytes: []byte("1"), Queue: 1}}},
	}})
	a := bind(t, lab, "a", 0, afxdp.LinkEthernet)
	b0, b1 := bind(t, lab, "b", 0, afxdp.LinkEthernet), bind(t, lab, "b", 1, afxdp.LinkEthernet)
	for i := range 40 {
		post(t, a, 1, fmt.Appendf(nil, "%d:%02d", i%2, i))
	}
	for queue, port := range []*afxdp.Port{b0, b1} {
		got, _ := collect(port, 4, 20)
		if len(got) != 20 {
			t.Errorf("queue %d got %d frames: %q", queue, len(got), got)
		}
		for _, payload := range got {
			if payload[0] != byte('0'+queue) {
				t.Errorf("queue %d got %q", queue, payload)
			}
		}
	}
	post(t, b1, 0, []byte("from 1"))
	if got, _ := collect(a, 6, 1); len(got) != 1 || got[0] != "from 1" {
		t.Errorf("a got %q", got)
	}
}

// BenchmarkRoundTrip is the time of one frame to the other host and back, AF_XDP to AF_XDP, two spinning threads.
func BenchmarkRoundTrip(b *testing.B) {
	if err := Supported(); err != nil {
		b.Skipf("needs root and veth: %v", err)
	}
	for _, bed := range []struct {
		name string
		spec Spec
	}{
		{"direct", Spec{Name: "bench_direct", Hosts: hostsNamed("a", "b")}},
		{"switch", Spec{Name: "bench_switch", Hosts: hostsNamed("a", "b"), ForceSwitch: true}},
		{"steered", Spec{Name: "bench_steered", Hosts: []HostSpec{{Name: "a", Queues: 2}, {Name: "b", Queues: 2}}}},
	} {
		b.Run(bed.name, func(b *testing.B) {
			spec := bed.spec
			spec.Name += "_" + pidText()
			lab, err := Up(b.Context(), spec)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = lab.Down() }()
			near, far := bind(b, lab, "a", 0, afxdp.LinkEthernet), bind(b, lab, "b", 0, afxdp.LinkEthernet)
			var stop atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				for !stop.Load() {
					echo(far, 0)
				}
			}()
			var payload [64]byte
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for i := 0; b.Loop(); i++ {
				binary.LittleEndian.PutUint64(payload[:], uint64(i))
				post(b, near, 1, payload[:])
				if !await(near) {
					b.Error("a frame was lost")
					break
				}
			}
			stop.Store(true)
			<-done
			_ = near.Close() // before the namespaces go
			_ = far.Close()
		})
	}
}

// echo sends back what has arrived.
func echo(port *afxdp.Port, to dataplane.Peer) {
	var in, out [16]dataplane.Frame
	n := port.RxBurst(in[:])
	if n == 0 {
		return
	}
	m := port.Alloc(out[:n])
	for i := range out[:m] {
		out[i].Peer = to
		out[i].Data = append(out[i].Data, in[i].Data...)
	}
	port.TxBurst(out[:m])
	port.Free(in[:n])
	port.Flush()
}

// await spins until a frame arrives, for a bounded time.
func await(port *afxdp.Port) bool {
	var in [1]dataplane.Frame
	for start := time.Now(); ; {
		for range 1000 {
			if n := port.RxBurst(in[:]); n > 0 {
				port.Free(in[:n])
				return true
			}
		}
		if time.Since(start) > testBound {
			return false
		}
	}
}
