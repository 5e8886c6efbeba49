package nictest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/header"
)

// patience is how long a test waits for what must come. The machine may be an emulated one.
const patience = 30 * time.Second

const udpPort = 7000

var (
	ipA = netip.MustParseAddr("10.99.0.1")
	ipB = netip.MustParseAddr("10.99.0.2")
)

// nic is one end of the wire.
type nic struct {
	name string
	mac  header.MAC
}

// pair names the two NICs with zero-copy, or skips.
func pair(t testing.TB) (a, b nic) {
	t.Helper()
	first, second, ok := strings.Cut(os.Getenv("WIREPAXOS_NICS"), ",")
	if !ok {
		t.Skip("needs two NICs on one wire, named in WIREPAXOS_NICS: `make zerocopy` makes them in a virtual machine")
	}
	return look(t, first), look(t, second)
}

// plain names NICs without zero-copy, each with the options of its device that are missing, or skips.
func plain(t testing.TB) map[nic][]string {
	t.Helper()
	text := os.Getenv("WIREPAXOS_PLAIN_NICS")
	if text == "" {
		t.Skip("needs NICs without zero-copy, named in WIREPAXOS_PLAIN_NICS: `make zerocopy` makes them in a virtual machine")
	}
	all := map[nic][]string{}
	for entry := range strings.SplitSeq(text, ",") {
		name, missing, _ := strings.Cut(entry, "=")
		all[look(t, name)] = strings.Split(missing, "+")
	}
	return all
}

// look finds an interface, and lets it hear all that is on the wire, as the suite's packets to strangers need.
func look(t testing.TB, name string) nic {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.SetPromiscOn(l))
	mac, err := header.ParseMAC(l.Attrs().HardwareAddr)
	must(t, err)
	return nic{name, mac}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ends gives the configurations of the two ends of the wire.
func ends(a, b nic, link, mode string) (ca, cb afxdp.Config) {
	ca = afxdp.Config{Interface: a.name, Link: link, Mode: mode, UDPPort: udpPort}
	cb = ca
	cb.Interface = b.name
	if link == afxdp.LinkUDP4 {
		ca.LocalIP, cb.LocalIP = ipA, ipB
	}
	ca.Peers = []afxdp.PeerAddr{{MAC: b.mac[:], IP: ipB}}
	cb.Peers = []afxdp.PeerAddr{{MAC: a.mac[:], IP: ipA}}
	return ca, cb
}

// open opens a port, checks that it has the mode that was asked for, and closes it after the test.
func open(t testing.TB, c afxdp.Config) *afxdp.Port {
	t.Helper()
	p, err := afxdp.Open(c)
	must(t, err)
	t.Cleanup(func() { must(t, p.Close()) })
	if got := p.Info().Mode; c.Mode != afxdp.ModeAuto && got != c.Mode {
		t.Fatalf("%s: mode %q, asked for %q (%s)", c.Interface, got, c.Mode, p.Info().Note)
	}
	return p
}

// rawSocket sends whole packets out of an interface, as a stranger.
func rawSocket(t testing.TB, name string) func(packet []byte) error {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}
	return func(packet []byte) error { return unix.Sendto(fd, packet, 0, to) }
}

// packet builds what a sender with the address from would send to a port.
func packet(t testing.TB, link string, from, to header.Addr, payload []byte) []byte {
	t.Helper()
	l := header.Link{EtherType: header.TypeOwn, MAC: from.MAC, IP: from.IP, Port: from.Port}
	if link == afxdp.LinkUDP4 {
		l.Kind = header.UDP4
	}
	tmpl, err := l.Template(to)
	must(t, err)
	b := make([]byte, max(tmpl.Len()+len(payload), header.MinPacket))
	copy(b[tmpl.Len():], payload)
	tmpl.Put(b, len(payload))
	return b
}

// stamp fills a payload of at least 12 bytes with what follows from its sequence and length.
func stamp(b []byte, seq uint64) {
	binary.LittleEndian.PutUint64(b, seq)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	x := seq*0x9E3779B97F4A7C15 + 1
	for i := 12; i < len(b); i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
}

// unstamp checks a payload against want, which it may exceed by what short packets are filled up with.
func unstamp(b, want []byte) error {
	if len(b) < len(want) || len(b) > max(len(want), header.MinPacket-header.EthernetLen) || string(b[:len(want)]) != string(want) {
		return fmt.Errorf("frame of %d bytes is not the one of %d bytes that was sent", len(b), len(want))
	}
	return nil
}

// waitFor polls until done answers true, or fails.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// sendOne sends a stamped frame and tells whether the port took it.
func sendOne(p dataplane.Port, seq uint64, length int) bool {
	var one [1]dataplane.Frame
	if p.Alloc(one[:]) == 0 {
		p.Flush()
		return false
	}
	one[0].Data, one[0].Peer = one[0].Data[:length], 0
	stamp(one[0].Data, seq)
	n := p.TxBurst(one[:])
	p.Free(one[n:])
	p.Flush()
	return n == 1
}

// exchange sends frames both ways until one arrives at each end: a link comes up, a switch learns.
func exchange(t testing.TB, a, b dataplane.Port) {
	t.Helper()
	cross := func(from, to dataplane.Port) {
		var frames [8]dataplane.Frame
		last := time.Time{}
		waitFor(t, "a frame to cross the wire", func() bool {
			if time.Since(last) > 50*time.Millisecond {
				last = time.Now()
				sendOne(from, 0, 100)
			}
			n := to.RxBurst(frames[:])
			to.Free(frames[:n])
			from.Flush()
			to.Flush()
			return n > 0
		})
	}
	cross(a, b)
	cross(b, a)
}

// drain frees what still comes, until nothing has come for a while.
func drain(ports ...dataplane.Port) {
	var frames [64]dataplane.Frame
	for last := time.Now(); time.Since(last) < 200*time.Millisecond; runtime.Gosched() {
		for _, p := range ports {
			if n := p.RxBurst(frames[:]); n > 0 {
				p.Free(frames[:n])
				last = time.Now()
			}
			p.Flush()
		}
	}
}
