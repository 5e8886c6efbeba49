package nictest

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/header"
	"wirepaxos/dataplane/porttest"
)

// Zero-copy sockets keep all that a port promises.
func TestConformance(t *testing.T) {
	for _, link := range []string{afxdp.LinkEthernet, afxdp.LinkUDP4} {
		t.Run(link, func(t *testing.T) {
			a, b := pair(t)
			porttest.Run(t, func(t *testing.T) *porttest.Pair { return conformancePair(t, a, b, link) })
		})
	}
}

func conformancePair(t *testing.T, na, nb nic, link string) *porttest.Pair {
	ca, cb := ends(na, nb, link, afxdp.ModeZeroCopy)
	for _, c := range []*afxdp.Config{&ca, &cb} { // the suite fills rings and pools many times over: small ones do, on a slow machine
		c.Cells, c.FillRing, c.CompletionRing, c.RxRing, c.TxRing = 512, 256, 256, 256, 256
	}
	start := func(c afxdp.Config) *afxdp.Port {
		p, err := afxdp.Open(c)
		must(t, err)
		if p.Info().Mode != afxdp.ModeZeroCopy {
			t.Fatalf("%+v", p.Info())
		}
		return p
	}
	a, b := start(ca), start(cb)
	send := rawSocket(t, na.name)
	pair := &porttest.Pair{A: a, B: b, Lossy: true, Slow: true}
	if link == afxdp.LinkEthernet {
		pair.Pad = header.MinPacket - header.EthernetLen
	}
	to := header.Addr{MAC: nb.mac, IP: ipB, Port: udpPort}
	stranger := header.Addr{MAC: header.MAC{2, 0, 0, 0, 0, 0xEE}, IP: ipB.Next(), Port: udpPort}
	pair.Stranger = func(payload []byte) error { return send(packet(t, link, stranger, to, payload)) }
	pair.Malformed = func() error {
		bad := packet(t, link, header.Addr{MAC: na.mac, IP: ipA, Port: udpPort}, to, make([]byte, 64))
		if link == afxdp.LinkEthernet {
			bad[5] ^= 0x55 // to another MAC
		} else {
			bad[header.EthernetLen+10] ^= 1 // checksum
		}
		return send(bad)
	}
	pair.KillB = func() { must(t, b.Close()) }
	pair.ReopenB = func() dataplane.Port { b = start(cb); return b }
	return pair
}

// Frames of every length cross the wire, are sent back and cross it again; none is lost, doubled, damaged or out of its order.
func TestEcho(t *testing.T) {
	na, nb := pair(t)
	ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	a, b := open(t, ca), open(t, cb)
	exchange(t, a, b)
	drain(a, b)
	const total, window = 20000, 64
	length := func(seq uint64) int { return 12 + int(seq*7919%uint64(a.MTU()-11)) }
	want := make([]byte, a.MTU())
	var frames [window]dataplane.Frame
	sent, back, progress := uint64(0), uint64(0), time.Now()
	for back < total {
		for sent < total && sent-back < window && sendOne(a, sent, length(sent)) {
			sent++
		}
		reflect(b)
		n := a.RxBurst(frames[:])
		for i := range frames[:n] {
			stamp(want[:length(back)], back)
			if err := unstamp(frames[i].Data, want[:length(back)]); err != nil {
				t.Fatalf("after %d of %d frames: %v", back, total, err)
			}
			back++
			progress = time.Now()
		}
		a.Free(frames[:n])
		a.Flush()
		if time.Since(progress) > patience {
			t.Fatalf("%d of %d frames came back, %d were sent, and no more comes\nhere %+v\nthere %+v", back, total, sent, a.Counters(), b.Counters())
		}
		if n == 0 {
			runtime.Gosched()
		}
	}
	t.Logf("%d frames of 12 to %d bytes there and back", total, a.MTU())
}

// reflect sends back what has come, as far as there are cells.
func reflect(p dataplane.Port) {
	var rx, tx [32]dataplane.Frame
	k := p.Alloc(tx[:])
	n := p.RxBurst(rx[:k])
	for i := range n {
		tx[i].Data, tx[i].Peer = append(tx[i].Data, rx[i].Data...), rx[i].Peer
	}
	taken := p.TxBurst(tx[:n])
	p.Free(tx[taken:k])
	p.Free(rx[:n])
	p.Flush()
}

// A queue that the driver does not have is refused before the kernel is asked: virtio_net takes it, and fails later.
func TestQueueThatDoesNotExist(t *testing.T) {
	a, b := pair(t)
	for _, queue := range []int{1, 7, 63} {
		c, _ := ends(a, b, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
		c.Queue = queue
		p, err := afxdp.Open(c)
		if err == nil {
			must(t, p.Close())
		}
		if !errors.Is(err, afxdp.ErrNoQueue) {
			t.Errorf("queue %d: %v, want %v", queue, err, afxdp.ErrNoQueue)
		}
	}
}

// A driver without zero-copy: the mode zerocopy refuses and says what to do, auto takes copy and says so, and frames cross.
func TestPlainNIC(t *testing.T) {
	without := plain(t)
	other, _ := pair(t)
	c, to := ends(without, other, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	p, err := afxdp.Open(c)
	if err == nil {
		must(t, p.Close())
	}
	if !errors.Is(err, afxdp.ErrNoZeroCopy) || !strings.Contains(err.Error(), afxdp.ModeCopy) {
		t.Errorf("mode zerocopy: %v, want %v and what to do", err, afxdp.ErrNoZeroCopy)
	} else {
		t.Log(err)
	}
	c.Mode = afxdp.ModeAuto
	a, b := open(t, c), open(t, to)
	if got := a.Info().Mode; got != afxdp.ModeCopy {
		t.Errorf("mode auto took %q, want %q", got, afxdp.ModeCopy)
	}
	exchange(t, a, b)
}

// A zero-copy socket that ends gives its queue back: open and close over and over, with frames crossing each time.
func TestReopen(t *testing.T) {
	na, nb := pair(t)
	for range 10 {
		for _, mode := range []string{afxdp.ModeZeroCopy, afxdp.ModeCopy} {
			ca, cb := ends(na, nb, afxdp.LinkEthernet, mode)
			t.Run(mode, func(t *testing.T) {
				a, b := open(t, ca), open(t, cb)
				exchange(t, a, b)
			})
		}
	}
}
