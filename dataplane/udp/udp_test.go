package udp

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/porttest"
)

// freshAddr is an address of the loopback network that nobody else is likely to use at this moment.
func freshAddr() netip.AddrPort {
	addr := netip.AddrFrom4([4]byte{127, byte(16 + rand.IntN(200)), byte(rand.IntN(256)), byte(1 + rand.IntN(250))})
	return netip.AddrPortFrom(addr, uint16(20000+rand.IntN(10000)))
}

func mustOpen(t testing.TB, c Config) *Port {
	t.Helper()
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func sendFrom(t *testing.T, to netip.AddrPort) func(payload []byte) error {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return func(payload []byte) error {
		_, err := conn.Write(payload)
		return err
	}
}

func openPair(t *testing.T) *porttest.Pair {
	addrA, addrB := freshAddr(), freshAddr()
	// The tables differ so that the two ends are not the same number to each other.
	a := mustOpen(t, Config{Listen: addrA, Peers: []netip.AddrPort{freshAddr(), addrB}, Frames: 256})
	configB := Config{Listen: addrB, Peers: []netip.AddrPort{addrA}, Frames: 256}
	pair := &porttest.Pair{A: a, B: mustOpen(t, configB), AtoB: 1, BtoA: 0, Lossy: true, Stranger: sendFrom(t, addrB)}
	long := make([]byte, DefaultMTU+1)
	pair.Malformed = func() error {
		return unix.Sendto(a.fd, long, 0, &unix.SockaddrInet4{Port: int(addrB.Port()), Addr: addrB.Addr().As4()})
	}
	pair.KillB = func() { pair.B.Close() }
	pair.ReopenB = func() dataplane.Port { return mustOpen(t, configB) }
	return pair
}

func TestConformance(t *testing.T) { porttest.Run(t, openPair) }

func TestOpenSaysWhatToDo(t *testing.T) {
	taken := mustOpen(t, Config{Listen: freshAddr()})
	loop := netip.MustParseAddrPort("127.0.0.1:0")
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"address in use":     {Config{Listen: taken.LocalAddr()}, "choose another port"},
		"foreign address":    {Config{Listen: netip.MustParseAddrPort("192.0.2.1:7000")}, "ip -4 addr lists"},
		"any address":        {Config{Listen: netip.MustParseAddrPort("0.0.0.0:7000")}, "not 0.0.0.0"},
		"no address":         {Config{}, "not an IPv4 address"},
		"IPv6":               {Config{Listen: netip.MustParseAddrPort("[::1]:7000")}, "not an IPv4 address"},
		"MTU too large":      {Config{Listen: loop, MTU: MaxMTU + 1}, "give 1 to 65507"},
		"frames not a power": {Config{Listen: loop, Frames: 1000}, "power of two"},
		"peer IPv6":          {Config{Listen: loop, Peers: []netip.AddrPort{netip.MustParseAddrPort("[::1]:7000")}}, "peer 0"},
		"peer without port":  {Config{Listen: loop, Peers: []netip.AddrPort{loop}}, "peer 0"},
		"peer twice":         {Config{Listen: loop, Peers: []netip.AddrPort{taken.LocalAddr(), taken.LocalAddr()}}, "peers 0 and 1"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Open(c.config)
			if err == nil {
				p.Close()
				t.Fatal("opened")
			}
			if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "\n") {
				t.Fatalf("error %q lacks %q, or is not one line", text, c.want)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	p := mustOpen(t, Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	got := p.Info()
	if got.Transport != "udp" || got.Link != "udp4" || got.Interface != "lo" || got.Mode != "" || p.MTU() != 1472 {
		t.Errorf("Info %+v, MTU %d", got, p.MTU())
	}
	if p.LocalAddr().Port() == 0 {
		t.Errorf("bound to %v", p.LocalAddr())
	}
}

// What does not fit the socket's buffer is lost, and told.
func TestDropsAreCounted(t *testing.T) {
	addrA, addrB := freshAddr(), freshAddr()
	a := mustOpen(t, Config{Listen: addrA, Peers: []netip.AddrPort{addrB}})
	b := mustOpen(t, Config{Listen: addrB, Peers: []netip.AddrPort{addrA}, SocketBytes: 16 << 10})
	send := func() {
		var one [1]dataplane.Frame
		a.Alloc(one[:])
		one[0].Peer, one[0].Data = 0, one[0].Data[:1000]
		a.TxBurst(one[:])
		a.Flush()
	}
	var frames [8]dataplane.Frame
	got := uint64(0)
	read := func() {
		for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
			n := b.RxBurst(frames[:])
			b.Free(frames[:n])
			got += uint64(n)
		}
	}
	const sent = 500
	for range sent - 1 {
		send()
	}
	read()
	send() // the one that tells
	read()
	if drops := b.Counters().RxDropped; drops == 0 || got+drops != sent {
		t.Errorf("of %d datagrams %d came and %d were counted as dropped", sent, got, drops)
	}
}

// A datagram that the kernel refuses costs itself, not its neighbours.
func TestRefusedDatagram(t *testing.T) {
	addrA, addrB := freshAddr(), freshAddr()
	multicast := netip.MustParseAddrPort("255.255.255.255:7000") // EACCES without SO_BROADCAST
	a := mustOpen(t, Config{Listen: addrA, Peers: []netip.AddrPort{addrB, multicast}})
	b := mustOpen(t, Config{Listen: addrB, Peers: []netip.AddrPort{addrA}})
	var frames [9]dataplane.Frame
	a.Alloc(frames[:])
	for i := range frames {
		frames[i].Peer, frames[i].Data = dataplane.Peer(i%2), append(frames[i].Data, byte(i))
	}
	if n := a.TxBurst(frames[:]); n != 9 {
		t.Fatalf("took %d", n)
	}
	for range 20 {
		if !a.tx.empty() && a.Arm() {
			t.Fatal("Arm lets the loop sleep on frames that are still queued")
		}
		a.Flush()
	}
	if a.Counters().TxErrors != 4 || !a.tx.empty() || len(a.txFree.cells) != DefaultFrames {
		t.Errorf("TxErrors %d, left %d, free %d", a.Counters().TxErrors, a.tx.tail-a.tx.head, len(a.txFree.cells))
	}
	var came []byte
	for start := time.Now(); len(came) < 5 && time.Since(start) < 5*time.Second; {
		n := b.RxBurst(frames[:])
		for i := range frames[:n] {
			came = append(came, frames[i].Data...)
		}
		b.Free(frames[:n])
	}
	if string(came) != "\x00\x02\x04\x06\x08" {
		t.Errorf("came %v", came)
	}
}

// A full sending vector is TxFull, one flush is one system call, and a queue that was sent in part keeps its order.
func TestSendingVector(t *testing.T) {
	addrA, addrB := freshAddr(), freshAddr()
	a := mustOpen(t, Config{Listen: addrA, Peers: []netip.AddrPort{addrB}, Frames: 2 * maxVector, MTU: 64})
	frames := make([]dataplane.Frame, maxVector+10)
	if n := a.Alloc(frames); n != len(frames) {
		t.Fatalf("Alloc gave %d", n)
	}
	for i := range frames {
		frames[i].Peer, frames[i].Data = 0, append(frames[i].Data, byte(i))
	}
	if n := a.TxBurst(frames); n != maxVector || a.Counters().TxFull != 10 {
		t.Fatalf("took %d, TxFull %d", n, a.Counters().TxFull)
	}
	for range 100 { // as if the kernel had taken 100
		a.txFree.give(a.tx.pop())
	}
	if n := a.TxBurst(frames[maxVector:]); n != 10 {
		t.Fatalf("took %d of the rest", n)
	}
	for i := range a.tx.tail - a.tx.head {
		if want := uint32(frames[100+i].Cell); a.tx.cells[a.tx.head+i] != want || a.tx.iovs[a.tx.head+i].Base != &frames[100+i].Data[0] {
			t.Fatalf("entry %d is cell %d, not %d", i, a.tx.cells[a.tx.head+i], want)
		}
	}
	a.Flush()
	if a.Counters().TxSyscalls != 1 {
		t.Errorf("%d system calls", a.Counters().TxSyscalls)
	}
}

func TestMisuseOfCells(t *testing.T) {
	p := mustOpen(t, Config{Listen: freshAddr()})
	mustPanic := func(name string, f func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		f()
	}
	mustPanic("foreign cell", func() { p.Free([]dataplane.Frame{{Cell: 2 * DefaultFrames}}) })
	mustPanic("freed twice", func() { p.Free([]dataplane.Frame{{Cell: DefaultFrames}}) })
}

// With an unconnected socket the kernel keeps refusals to itself; a pending error must not be taken for a datagram.
func TestPeerThatIsNotThere(t *testing.T) {
	p := mustOpen(t, Config{Listen: freshAddr(), Peers: []netip.AddrPort{freshAddr()}})
	if err := unix.SetsockoptInt(p.fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1); err != nil {
		t.Fatal(err)
	}
	var one [1]dataplane.Frame
	for range 10 {
		p.Alloc(one[:])
		one[0].Peer, one[0].Data = 0, one[0].Data[:1]
		p.TxBurst(one[:])
		p.Flush()
		if n := p.RxBurst(one[:]); n != 0 {
			t.Fatal("received from a peer that is not there")
		}
	}
	if p.Counters().TxErrors == 0 {
		t.Error("refusals were not counted")
	}
	p.Flush()
	if !p.tx.empty() && len(p.txFree.cells) == DefaultFrames {
		t.Error("a queued frame's cell is free as well")
	}
}

func TestErrorsWrap(t *testing.T) {
	taken := mustOpen(t, Config{Listen: freshAddr()})
	if _, err := Open(Config{Listen: taken.LocalAddr()}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v does not wrap EADDRINUSE", err)
	}
}
