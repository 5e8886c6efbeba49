package afxdp

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// The two ends of the veth pair that every test makes for itself.
const nameA, nameB = "wpa", "wpb"

var (
	macA = header.MAC{2, 0, 0, 0, 0, 0xA}
	macB = header.MAC{2, 0, 0, 0, 0, 0xB}
	ipA  = netip.MustParseAddr("10.99.0.1")
	ipB  = netip.MustParseAddr("10.99.0.2")
)

// needAFXDP skips where the machine or its user cannot have AF_XDP.
func needAFXDP(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and AF_XDP")
	}
	if _, err := probeAFXDP(); err != nil {
		t.Skipf("needs AF_XDP: %v", err)
	}
}

// newNet gives the calling goroutine a thread in a network namespace of its own with a veth pair of so many queues. Only
// that goroutine can open ports there. The namespace is gone after the test, and with it all that was left in it.
func newNet(t testing.TB, queues int) {
	t.Helper()
	needAFXDP(t)
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := netns.New()
	if err != nil {
		home.Close()
		t.Skipf("needs network namespaces: %v", err)
	}
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(nameA); err == nil {
			_ = netlink.LinkDel(l) // else the kernel does it in its own time
		}
		inner.Close()
		if err := netns.Set(home); err != nil {
			t.Errorf("back to the namespace of the test: %v", err) // the thread stays locked and dies with the goroutine
			return
		}
		home.Close()
		runtime.UnlockOSThread()
	})
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues, attrs.HardwareAddr = nameA, queues, queues, macA[:]
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerHardwareAddr: macB[:],
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues)}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Skipf("needs veth: %v", err)
	}
	// The kernel's own traffic (IPv6 discovery) would be counted by nobody, but it wakes sleepers for nothing.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0o644)
	for _, name := range []string{nameA, nameB} {
		must(t, netlink.LinkSetUp(byName(t, name)))
	}
}

func byName(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ends gives the configurations of the two ends of the pair.
func ends(link string) (a, b Config) {
	a = Config{Interface: nameA, Link: link, Mode: ModeCopy}
	if link == LinkUDP4 {
		a.UDPPort, a.LocalIP = 7000, ipA
	}
	b = a
	b.Interface, b.LocalIP = nameB, ipB
	a.Peers = []PeerAddr{{MAC: macB[:], IP: ipB}}
	b.Peers = []PeerAddr{{MAC: macA[:], IP: ipA}}
	return a, b
}

func openPort(t testing.TB, c Config) *Port {
	t.Helper()
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, p.Close()) })
	return p
}

// openPair opens both ends of a fresh pair.
func openPair(t testing.TB, link string) (a, b *Port) {
	t.Helper()
	newNet(t, 1)
	ca, cb := ends(link)
	return openPort(t, ca), openPort(t, cb)
}

// rawSocket sends whole packets into an interface, as a stranger.
func rawSocket(t testing.TB, name string) func(packet []byte) error {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Ifindex: byName(t, name).Attrs().Index}
	return func(packet []byte) error { return unix.Sendto(fd, packet, 0, to) }
}

// packetTo builds a packet as a sender with that address would: from wherever, to b.
func packetTo(t testing.TB, b *Port, from header.Addr, payload []byte) []byte {
	t.Helper()
	l := b.link
	l.MAC, l.IP, l.Port = from.MAC, from.IP, from.Port
	tmpl, err := l.Template(header.Addr{MAC: b.link.MAC, IP: b.link.IP, Port: b.link.Port})
	must(t, err)
	packet := make([]byte, max(tmpl.Len()+len(payload), header.MinPacket))
	copy(packet[tmpl.Len():], payload)
	tmpl.Put(packet, len(payload))
	return packet
}

// kind is the reason of an error of Open.
func kind(t testing.TB, err error) error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *Error", err)
	}
	return e.Kind
}

// exchange sends one frame of 100 bytes from one port to the other and back and fails if it does not come.
func exchange(t testing.TB, a, b dataplane.Port) {
	t.Helper()
	for _, way := range [][2]dataplane.Port{{a, b}, {b, a}} {
		var one [1]dataplane.Frame
		if way[0].Alloc(one[:]) != 1 {
			t.Fatal("no cell")
		}
		one[0].Data, one[0].Peer = one[0].Data[:100], 0
		if way[0].TxBurst(one[:]) != 1 {
			t.Fatal("not taken")
		}
		way[0].Flush()
		for start := time.Now(); way[1].RxBurst(one[:]) == 0; {
			if time.Since(start) > patience {
				t.Fatalf("the frame did not come: %+v, %+v", way[0].Counters(), way[1].Counters())
			}
			way[0].Flush()
			runtime.Gosched()
		}
		way[1].Free(one[:])
	}
}
