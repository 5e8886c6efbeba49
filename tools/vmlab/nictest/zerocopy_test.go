package nictest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/header"
	"wirepaxos/dataplane/porttest"
)

// Zero-copy sockets keep all that a port promises, and on the other link layer what that one has a part in.
func TestConformance(t *testing.T) {
	for link, run := range map[string]func(*testing.T, func(*testing.T) *porttest.Pair){
		afxdp.LinkEthernet: porttest.Run, afxdp.LinkUDP4: porttest.RunLink,
	} {
		t.Run(link, func(t *testing.T) {
			a, b := pair(t)
			run(t, func(t *testing.T) *porttest.Pair { return conformancePair(t, a, b, link) })
		})
	}
}

func conformancePair(t *testing.T, na, nb nic, link string) *porttest.Pair {
	ca, cb := ends(na, nb, link, afxdp.ModeZeroCopy)
	for _, c := range []*afxdp.Config{&ca, &cb} { // the suite fills rings and pools many times over: small ones do, on a slow machine
		c.Cells, c.FillRing, c.CompletionRing, c.RxRing, c.TxRing = 256, 128, 128, 128, 128
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
	play(t, a, 20000, func() { reflect(b) })
	t.Logf("20000 frames of 12 to %d bytes there and back", a.MTU())
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

// A NIC without what zero-copy needs: the mode zerocopy refuses and names what is missing, and nothing else; auto takes copy and says why, and frames
// cross where the NIC is on the wire.
func TestPlainNIC(t *testing.T) {
	for without, missing := range plain(t) {
		t.Run(without.name, func(t *testing.T) {
			other, _ := pair(t)
			c, to := ends(without, other, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
			p, err := afxdp.Open(c)
			if err == nil {
				must(t, p.Close())
			}
			if !errors.Is(err, afxdp.ErrNoZeroCopy) || !strings.Contains(err.Error(), afxdp.ModeCopy) {
				t.Fatalf("mode zerocopy: %v, want %v and what to do", err, afxdp.ErrNoZeroCopy)
			}
			t.Log(err)
			c.Mode = afxdp.ModeAuto
			a := open(t, c)
			if got := a.Info().Mode; got != afxdp.ModeCopy {
				t.Errorf("mode auto took %q, want %q", got, afxdp.ModeCopy)
			}
			t.Log(a.Info().Note)
			for _, option := range []string{"iommu_platform", "queue_reset"} {
				want := slices.Contains(missing, option)
				if strings.Contains(err.Error(), option) != want || strings.Contains(a.Info().Note, option) != want {
					t.Errorf("%s is missing: %v; it is told otherwise", option, want)
				}
			}
			if without.name == "plain0" {
				exchange(t, a, open(t, to))
			}
		})
	}
}

// A zero-copy socket that ends gives its queue back: open and close over and over, with frames crossing each time.
func TestReopen(t *testing.T) {
	na, nb := pair(t)
	for range 5 {
		for _, mode := range []string{afxdp.ModeZeroCopy, afxdp.ModeCopy} {
			ca, cb := ends(na, nb, afxdp.LinkEthernet, mode)
			t.Run(mode, func(t *testing.T) {
				a, b := open(t, ca), open(t, cb)
				exchange(t, a, b)
			})
		}
	}
}
