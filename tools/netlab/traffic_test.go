package netlab

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// UDP between kernel sockets, both ways, every payload as it was sent: checksums hold on every path through the switch.
func TestUDP(t *testing.T) {
	three := hostsNamed("a", "b", "c")
	queues := []HostSpec{{Name: "a"}, {Name: "b", Queues: 2}}
	for name, spec := range map[string]Spec{
		"direct":    {Hosts: hostsNamed("a", "b")},
		"redirect":  {Hosts: three},
		"duplicate": {Hosts: three, Faults: Faults{DuplicatePPM: million}},
		"delay":     {Hosts: three, Faults: Faults{DelayPPM: million, Delay: time.Millisecond}},
		"queues":    {Hosts: queues},
		"long":      {Hosts: three, MTU: MaxMTU},
	} {
		t.Run(name, func(t *testing.T) {
			lab := up(t, spec)
			a, b := listen(t, lab, "a"), listen(t, lab, "b")
			copies := 1
			if spec.Faults.DuplicatePPM > 0 {
				copies = 2
			}
			size := max(spec.MTU, DefaultMTU) - 28 // IPv4 and UDP headers
			const rounds = 25
			buffer := make([]byte, 1<<16)
			for round := range rounds {
				for _, way := range []struct{ from, to *net.UDPConn }{{a, b}, {b, a}} {
					payload := bytes.Repeat([]byte{byte(round), 0xa5, 0x5a}, 1+round*(size/3-1)/(rounds-1))
					to := way.to.LocalAddr().(*net.UDPAddr).AddrPort()
					if _, err := way.from.WriteToUDPAddrPort(payload, to); err != nil {
						t.Fatal(err)
					}
					for range copies {
						n, _, err := way.to.ReadFromUDPAddrPort(buffer)
						if err != nil || !bytes.Equal(buffer[:n], payload) {
							t.Fatalf("round %d: %d of %d bytes, %v", round, n, len(payload), err)
						}
					}
				}
			}
		})
	}
}

// listen opens a kernel UDP socket in a host's namespace.
func listen(t *testing.T, lab *Lab, host string) *net.UDPConn {
	t.Helper()
	h, err := lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	var conn *net.UDPConn
	err = lab.Do(host, func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.IP, 7471)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testBound)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A TCP stream crosses the switch: no segment is left for hardware to cut, and no checksum for it to fill in.
func TestTCP(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c"), Faults: Faults{DropPPM: 1000, DuplicatePPM: 1000}})
	b, err := lab.Host("b")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(b.IP, 7471).String()
	var listener net.Listener
	if err := lab.Do("b", func() (err error) { listener, err = net.Listen("tcp4", address); return err }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	const size = 2 << 20
	got := make(chan int, 1)
	go func() {
		total := 0
		defer func() { got <- total }()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(testBound))
		buffer := make([]byte, 1<<16)
		for err == nil {
			var n int
			n, err = conn.Read(buffer)
			total += n
		}
	}()
	var conn net.Conn
	if err := lab.Do("a", func() (err error) { conn, err = net.DialTimeout("tcp4", address, testBound); return err }); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(testBound))
	if _, err := conn.Write(make([]byte, size)); err != nil {
		t.Error(err)
	}
	_ = conn.Close()
	if n := <-got; n != size {
		t.Errorf("%d of %d bytes arrived", n, size)
	}
}

// A VLAN tag stays in the frame on every path, whether the sender wrote it or left it to its kernel.
func TestTagStays(t *testing.T) {
	for name, faults := range map[string]Faults{
		"redirect": {}, "duplicate": {DuplicatePPM: million}, "delay": {DelayPPM: million, Delay: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b"), Faults: faults, ForceSwitch: true})
			a, listener := plug(t, lab, "a", etherTypeTest), tagged(t, lab, "b", 7)
			to := lab.Hosts()[1].MAC
			written := a.frameTo(to, 1)
			a.send(append(written[:12:12], append([]byte{0x81, 0, 0, 7}, written[12:]...)...))
			tagged(t, lab, "a", 7).send(a.frameTo(to, 2))
			a.send(a.frameTo(to, 3)) // without a tag, for another network
			copies := 1
			if faults.DuplicatePPM > 0 {
				copies = 2
			}
			if got := listener.count(2 * copies); got[1] != copies || got[2] != copies || got[3] != 0 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// tagged is a wire on a VLAN interface of a host: it sees only frames with the tag.
func tagged(t *testing.T, lab *Lab, host string, vlan int) *wire {
	t.Helper()
	err := lab.Do(host, func() error {
		parent, err := netlink.LinkByName(Interface)
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "tagged", parent.Attrs().Index
		if err := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: vlan}); err != nil {
			return err
		}
		return setUp("tagged")
	})
	if err != nil {
		t.Skipf("needs VLAN interfaces: %v", err)
	}
	slot, _ := lab.slot(host)
	kept := lab.hosts[slot].Interface
	lab.hosts[slot].Interface = "tagged"
	defer func() { lab.hosts[slot].Interface = kept }()
	return plug(t, lab, host, etherTypeTest)
}
