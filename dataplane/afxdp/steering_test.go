package afxdp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
)

// giveAddress puts an IPv4 address on an end of the pair.
func giveAddress(t *testing.T, name string, ip netip.Addr) {
	t.Helper()
	must(t, netlink.AddrAdd(byName(t, name), &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
}

// What is not ours goes on to the kernel: a UDP datagram to another port reaches a kernel socket on the same interface, one
// to our port the AF_XDP socket.
func TestRestGoesToTheKernel(t *testing.T) {
	newNet(t, 1)
	giveAddress(t, nameA, ipA)
	ca, _ := ends(LinkUDP4)
	ca.Peers = []PeerAddr{{MAC: macB[:], IP: ipB, UDPPort: 7001}}
	a := openPort(t, ca)
	kernelSocket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ipA.AsSlice(), Port: 7100})
	must(t, err)
	defer kernelSocket.Close()

	l := header.Link{Kind: header.UDP4, MAC: macB, IP: ipB, Port: 7001}
	inject := rawSocket(t, nameB)
	say := func(port uint16, payload string) {
		tmpl, err := l.Template(header.Addr{MAC: macA, IP: ipA, Port: port})
		must(t, err)
		packet := make([]byte, header.MinPacket)
		copy(packet[tmpl.Len():], payload)
		tmpl.Put(packet, len(payload))
		must(t, inject(packet))
	}
	// The kernel drops packets from an address that it would not route back through the same interface: ipB is on the
	// pair's network.
	say(7100, "theirs")
	must(t, kernelSocket.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, 64)
	n, from, err := kernelSocket.ReadFromUDPAddrPort(buf)
	must(t, err)
	if string(buf[:n]) != "theirs" || from.Addr() != ipB {
		t.Fatalf("%q from %v", buf[:n], from)
	}
	say(7000, "ours")
	var frames [8]dataplane.Frame
	eventually(t, "our datagram", func() bool { return a.RxBurst(frames[:]) == 1 })
	if string(frames[0].Data) != "ours" || frames[0].Peer != 0 {
		t.Fatalf("%q from peer %d", frames[0].Data, frames[0].Peer)
	}
	a.Free(frames[:1])
}

// Frames with our EtherType under our VLAN tag come through; those under another tag, or none, are not ours.
func TestVLAN(t *testing.T) {
	for _, link := range []string{LinkEthernet, LinkUDP4} {
		t.Run(link, func(t *testing.T) {
			newNet(t, 1)
			ca, cb := ends(link)
			ca.VLAN, cb.VLAN = 7, 7
			a, b := openPort(t, ca), openPort(t, cb)
			exchange(t, a, b)
			inject := rawSocket(t, nameA)
			own := packetTo(t, b, header.Addr{MAC: macA, IP: ipA, Port: 7000}, make([]byte, 64))
			other := append([]byte(nil), own...)
			header.Tag(other[header.EthernetLen:]).SetVLAN(8)
			before := b.Counters().RxFrames
			must(t, inject(other))
			must(t, inject(own))
			var frames [8]dataplane.Frame
			eventually(t, "our frame", func() bool { n := b.RxBurst(frames[:]); b.Free(frames[:n]); return n > 0 })
			if c := b.Counters(); c.RxFrames != before+1 || c.RxMalformed != 0 {
				t.Fatalf("%+v", c)
			}
		})
	}
}

// Frames of ours on a queue without a socket go to the kernel, and are counted.
func TestUnsteeredIsCounted(t *testing.T) {
	newNet(t, 2)
	ca, cb := ends(LinkEthernet)
	a := openPort(t, ca)
	b0, b1 := openPort(t, cb), openPort(t, onQueue(cb, 1))
	exchange(t, a, b0)
	const frames = 10
	for range frames {
		var one [1]dataplane.Frame
		b1.Alloc(one[:])
		one[0].Data, one[0].Peer = one[0].Data[:64], 0
		b1.TxBurst(one[:])
		b1.Flush()
	}
	eventually(t, "the count of unsteered frames", func() bool {
		must(t, a.RefreshDriverCounters())
		return a.Counters().Unsteered == frames
	})
	// A port that opens later counts from then on.
	a1 := openPort(t, onQueue(ca, 1))
	must(t, a1.RefreshDriverCounters())
	if n := a1.Counters().Unsteered; n != 0 {
		t.Fatalf("%d unsteered frames before the port was there", n)
	}
	exchange(t, a1, b1)
}

// Where the driver refuses native XDP, the port works in generic mode and says so; zero-copy is then refused.
func TestGenericFallback(t *testing.T) {
	newNet(t, 1)
	// A veth whose peer has more transmit queues than it has receive queues refuses native XDP.
	must(t, netlink.LinkDel(byName(t, nameA)))
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues, attrs.HardwareAddr = nameA, 1, 1, macA[:]
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerHardwareAddr: macB[:],
		PeerNumRxQueues: 2, PeerNumTxQueues: 2}))
	must(t, netlink.LinkSetUp(byName(t, nameA)))
	must(t, netlink.LinkSetUp(byName(t, nameB)))
	ca, cb := ends(LinkEthernet)
	ca.Mode = ModeZeroCopy
	if _, err := Open(ca); kind(t, err) != ErrNoZeroCopy {
		t.Fatal(err)
	}
	ca.Mode = ModeAuto
	a, b := openPort(t, ca), openPort(t, cb)
	if info := a.Info(); info.Mode != "generic" || info.Note == "" {
		t.Fatalf("%+v", info)
	}
	t.Log(a.Info().Note)
	if info := b.Info(); info.Mode != ModeCopy || info.Note != "" {
		t.Fatalf("%+v", info)
	}
	exchange(t, a, b)
}

// auto on a driver without zero-copy becomes copy.
func TestAutoBecomesCopy(t *testing.T) {
	newNet(t, 1)
	ca, _ := ends(LinkEthernet)
	ca.Mode = ModeAuto
	if got := openPort(t, ca).Info(); got.Mode != ModeCopy || got.Note != "" {
		t.Fatalf("%+v", got)
	}
}

// A peer's MAC comes from the neighbour table, its own entry or its gateway's; a peer that is not there must be pinged first.
func TestNeighbours(t *testing.T) {
	newNet(t, 1)
	giveAddress(t, nameA, ipA)
	ca, cb := ends(LinkUDP4)
	ca.LocalIP = netip.Addr{} // the interface's own
	ca.Peers[0].MAC = nil
	_, err := Open(ca)
	if kind(t, err) != ErrNoNeighbour || !contains(err.Error(), "ping it once") {
		t.Fatal(err)
	}
	t.Log(err)
	index := byName(t, nameA).Attrs().Index
	must(t, netlink.NeighAdd(&netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT,
		IP: ipB.AsSlice(), HardwareAddr: macB[:]}))
	far, network := netip.MustParseAddr("10.77.0.1"), net.IPv4(10, 77, 0, 0)
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: index, Gw: ipB.AsSlice(),
		Dst: &net.IPNet{IP: network, Mask: net.CIDRMask(24, 32)}}))
	ca.Peers = append(ca.Peers, PeerAddr{IP: far})
	a, b := openPort(t, ca), openPort(t, cb)
	exchange(t, a, b)
	var one [1]dataplane.Frame
	a.Alloc(one[:])
	one[0].Data, one[0].Peer = one[0].Data[:10], 1
	a.TxBurst(one[:])
	a.Flush()
	// To the gateway's MAC, with the peer's address: no port takes it, but the wire carries it.
	packet := a.umem[one[0].Cell<<a.cells.shift+payloadAt-uint64(a.headerLen):]
	if got := header.Ethernet(packet).Dst(); got != macB {
		t.Fatalf("to %v", got)
	}
	if got := header.IPv4(packet[header.EthernetLen:]).Dst(); got != far.As4() {
		t.Fatalf("to %v", got)
	}
}

// Two peers on one host, told apart by their UDP ports.
func TestPeersOfOneHost(t *testing.T) {
	newNet(t, 1)
	ca, _ := ends(LinkUDP4)
	ca.Peers = []PeerAddr{{MAC: macB[:], IP: ipB, UDPPort: 7001}, {MAC: macB[:], IP: ipB, UDPPort: 7002}}
	a := openPort(t, ca)
	inject := rawSocket(t, nameB)
	var one [1]dataplane.Frame
	for i, port := range []uint16{7001, 7002} {
		must(t, inject(packetTo(t, a, header.Addr{MAC: macB, IP: ipB, Port: port}, []byte{1})))
		eventually(t, "the frame", func() bool { return a.RxBurst(one[:]) == 1 })
		if one[0].Peer != dataplane.Peer(i) {
			t.Fatalf("from port %d: peer %d", port, one[0].Peer)
		}
		a.Free(one[:])
	}
}

// A broadcast reaches every port on the wire.
func TestBroadcast(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	ca.Peers = append(ca.Peers, PeerAddr{MAC: net.HardwareAddr{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}})
	a, b := openPort(t, ca), openPort(t, cb)
	var one [1]dataplane.Frame
	a.Alloc(one[:])
	one[0].Data, one[0].Peer = one[0].Data[:64], 1
	a.TxBurst(one[:])
	a.Flush()
	eventually(t, "the broadcast", func() bool { return b.RxBurst(one[:]) == 1 })
	if one[0].Peer != 0 {
		t.Fatalf("from peer %d", one[0].Peer)
	}
	b.Free(one[:])
}

// Echoing makes at most one system call a burst, and waiting none.
func TestSystemCallsPerBurst(t *testing.T) {
	for _, link := range []string{LinkEthernet, LinkUDP4} {
		t.Run(link, func(t *testing.T) {
			a, b := openPair(t, link)
			const rounds, burst = 2000, 16
			var rx, tx [burst]dataplane.Frame
			bursts, got := uint64(0), 0
			for range rounds {
				n := a.Alloc(tx[:])
				for i := range tx[:n] {
					tx[i].Data, tx[i].Peer = tx[i].Data[:64], 0
				}
				a.TxBurst(tx[:n])
				a.Flush()
				for start := time.Now(); n > 0 && time.Since(start) < patience; {
					k := b.RxBurst(rx[:])
					if k > 0 {
						bursts++
						b.Free(rx[:k])
						b.Free(tx[:0])
						b.Alloc(tx[:k])
						for i := range tx[:k] {
							tx[i].Data, tx[i].Peer = tx[i].Data[:64], 0
						}
						b.TxBurst(tx[:k])
						b.Flush()
					}
					back := a.RxBurst(rx[:])
					a.Free(rx[:back])
					got += back
					n -= back
				}
			}
			if got != rounds*burst {
				t.Fatalf("%d of %d frames came back", got, rounds*burst)
			}
			if c := a.Counters(); c.Syscalls() > rounds {
				t.Errorf("a: %d system calls in %d bursts", c.Syscalls(), rounds)
			}
			if c := b.Counters(); c.Syscalls() > bursts {
				t.Errorf("b: %d system calls in %d bursts", c.Syscalls(), bursts)
			}
			t.Logf("system calls: a %d in %d bursts, b %d in %d", a.Counters().Syscalls(), rounds, b.Counters().Syscalls(), bursts)
		})
	}
}

// One Flush sends all that TxBurst took, however many: the budget for one call was raised.
func TestOneKickSendsAll(t *testing.T) {
	a, b := openPair(t, LinkEthernet)
	const n = 200
	var tx [n]dataplane.Frame
	if a.Alloc(tx[:]) != n {
		t.Fatal("no cells")
	}
	for i := range tx {
		tx[i].Data, tx[i].Peer = tx[i].Data[:64], 0
	}
	before := a.Counters().TxSyscalls
	if a.TxBurst(tx[:]) != n {
		t.Fatal("not taken")
	}
	a.Flush()
	if calls := a.Counters().TxSyscalls - before; calls != 1 || a.txPending {
		t.Fatalf("%d calls, pending %v", calls, a.txPending)
	}
	got := 0
	eventually(t, "all frames", func() bool { k := b.RxBurst(tx[:]); b.Free(tx[:k]); got += k; return got == n })
}

// Frames for which the receiver had no cell are counted: what was sent is what came and what was dropped.
func TestDroppedIsCounted(t *testing.T) {
	a, b := openPair(t, LinkEthernet)
	const frames = 3 * DefaultFillRing
	var some [64]dataplane.Frame
	for range frames / len(some) {
		n := a.Alloc(some[:])
		for i := range some[:n] {
			some[i].Data, some[i].Peer = some[i].Data[:64], 0
		}
		a.Free(some[a.TxBurst(some[:n]):n])
		a.Flush()
	}
	eventually(t, "all frames", func() bool {
		a.Flush()
		b.Free(some[:b.RxBurst(some[:])])
		must(t, b.RefreshDriverCounters())
		return b.Counters().RxFrames+b.Counters().RxDropped+a.Counters().TxErrors == a.Counters().TxFrames
	})
	if b.Counters().RxDropped == 0 {
		t.Fatal("nothing was dropped: the test proves nothing")
	}
}

// Busy-polling is asked for, and either got or said to be missing; frames flow in both cases.
func TestBusyPoll(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	ca.BusyPoll = BusyPoll{Prefer: true}
	a, b := openPort(t, ca), openPort(t, cb)
	if a.busyPoll == contains(a.Info().Note, "no busy-polling") {
		t.Fatalf("busy-polling %v, but %+v", a.busyPoll, a.Info())
	}
	t.Logf("busy-polling %v %s", a.busyPoll, a.Info().Note)
	exchange(t, a, b)
}

// An interface that goes down and comes back costs frames, nothing else; one that vanishes does not take the loop along.
func TestInterfaceGoesDown(t *testing.T) {
	a, b := openPair(t, LinkEthernet)
	exchange(t, a, b)
	must(t, netlink.LinkSetDown(byName(t, nameA)))
	var one [1]dataplane.Frame
	for range 100 {
		if a.Alloc(one[:]) == 1 {
			one[0].Data, one[0].Peer = one[0].Data[:64], 0
			a.Free(one[a.TxBurst(one[:]):])
		}
		a.Flush()
	}
	if !a.Arm() {
		t.Error("a loop would spin for an interface that is down")
	}
	must(t, netlink.LinkSetUp(byName(t, nameA)))
	drained := func() bool {
		a.Flush()
		n := b.RxBurst(one[:])
		b.Free(one[:n])
		return n == 0 && !a.txPending
	}
	eventually(t, "what waited to go", drained)
	for range 10000 { // what was on its way arrives
		drained()
	}
	exchange(t, a, b)

	must(t, netlink.LinkDel(byName(t, nameA)))
	for range 100 {
		if a.Alloc(one[:]) == 1 {
			one[0].Data, one[0].Peer = one[0].Data[:64], 0
			a.Free(one[a.TxBurst(one[:]):])
		}
		a.Flush()
		a.Free(one[:a.RxBurst(one[:])])
		a.Arm()
	}
}
