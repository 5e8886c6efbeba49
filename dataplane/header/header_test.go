package header

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

var (
	macA = MAC{2, 0, 0, 0, 0, 0xA}
	macB = MAC{2, 0, 0, 0, 0, 0xB}
	ipA  = netip.MustParseAddr("10.1.2.3")
	ipB  = netip.MustParseAddr("10.1.2.4")
)

// ends gives the two ends of one link, a and b.
func ends(kind Kind, vlan uint16) (a, b Link) {
	a = Link{Kind: kind, EtherType: TypeOwn, VLAN: vlan, MAC: macA, IP: ipA, Port: 7000}
	b = a
	b.MAC, b.IP, b.Port = macB, ipB, 7001
	return a, b
}

func (l *Link) addr() Addr { return Addr{MAC: l.MAC, IP: l.IP, Port: l.Port} }

// wrap builds the packet that carries payload from one end to the other.
func wrap(t testing.TB, from, to *Link, payload []byte) []byte {
	t.Helper()
	tmpl, err := from.Template(to.addr())
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, tmpl.Len()+len(payload))
	copy(packet[tmpl.Len():], payload)
	tmpl.Put(packet, len(payload))
	return packet
}

func forEachLink(t *testing.T, f func(t *testing.T, a, b *Link)) {
	for _, kind := range []Kind{Raw, UDP4} {
		for _, vlan := range []uint16{0, 7} {
			t.Run(fmt.Sprintf("%v/vlan%d", kind, vlan), func(t *testing.T) {
				a, b := ends(kind, vlan)
				f(t, &a, &b)
			})
		}
	}
}

func TestRoundTrip(t *testing.T) {
	forEachLink(t, func(t *testing.T, a, b *Link) {
		for _, n := range []int{1, 2, 63, 64, 255, 256, 1471, 1472} {
			payload := bytes.Repeat([]byte{0xA5}, n)
			packet := wrap(t, a, b, payload)
			begin, end, key, fault := b.Parse(packet)
			if fault != OK || !bytes.Equal(packet[begin:end], payload) || key != b.Key(a.addr()) {
				t.Fatalf("%d bytes: payload [%d:%d], key %x, fault %v", n, begin, end, key, fault)
			}
		}
	})
}

// The checksum that Put updates is the one that a full computation gives, for every length.
func TestChecksumOfEveryLength(t *testing.T) {
	a, b := ends(UDP4, 0)
	tmpl, err := a.Template(b.addr())
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, MaxLen)
	for n := 0; n <= 0xFFFF-IPv4Len-UDPLen; n++ {
		tmpl.Put(packet, n)
		ip := IPv4(packet[EthernetLen:])
		if ip.Sum() != 0xFFFF || int(ip.TotalLen()) != n+IPv4Len+UDPLen || int(UDP(ip[IPv4Len:]).Len()) != n+UDPLen {
			t.Fatalf("payload of %d bytes: header %x", n, packet[:tmpl.Len()])
		}
	}
}

func TestGroupAddress(t *testing.T) {
	a, b := ends(Raw, 0)
	to := b
	to.MAC = MAC{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}
	packet := wrap(t, &a, &to, []byte{1})
	if _, _, _, fault := b.Parse(packet); fault != OK {
		t.Fatalf("broadcast: %v", fault)
	}
	Ethernet(packet).SetSrc(to.MAC)
	if _, _, _, fault := b.Parse(packet); fault != BadAddress {
		t.Fatalf("source is a group: %v", fault)
	}
}

func TestPaddingIsCutOffUDP(t *testing.T) {
	a, b := ends(UDP4, 0)
	packet := append(wrap(t, &a, &b, []byte{1, 2, 3}), make([]byte, 15)...)
	begin, end, _, fault := b.Parse(packet)
	if fault != OK || end-begin != 3 {
		t.Fatalf("payload [%d:%d], fault %v, want 3 bytes", begin, end, fault)
	}
}

// A priority tag (VLAN 0) belongs to no VLAN (IEEE 802.1Q-2018, 6.9).
func TestPriorityTag(t *testing.T) {
	a, b := ends(Raw, 0)
	plain := wrap(t, &a, &b, []byte{9})
	tagged := append(append(append([]byte{}, plain[:12]...), 0x81, 0x00, 0xE0, 0x00), plain[12:]...)
	begin, end, _, fault := b.Parse(tagged)
	if fault != OK || end-begin != 1 {
		t.Fatalf("payload [%d:%d], fault %v", begin, end, fault)
	}
}

func TestFaults(t *testing.T) {
	const ip = EthernetLen
	const udp = EthernetLen + IPv4Len
	resum := func(p []byte) {
		IPv4(p[ip:]).SetChecksum(0)
		IPv4(p[ip:]).SetChecksum(^IPv4(p[ip:]).Sum())
	}
	for _, c := range []struct {
		name  string
		kind  Kind
		vlan  uint16
		spoil func(p []byte) []byte
		want  Fault
	}{
		{"nothing", Raw, 0, func(p []byte) []byte { return nil }, Short},
		{"no payload", Raw, 0, func(p []byte) []byte { return p[:EthernetLen] }, Short},
		{"cut in the tag", Raw, 7, func(p []byte) []byte { return p[:EthernetLen+2] }, Short},
		{"cut in UDP", UDP4, 0, func(p []byte) []byte { return p[:udp+7] }, Short},
		{"no UDP payload", UDP4, 0, func(p []byte) []byte {
			IPv4(p[ip:]).SetTotalLen(28)
			UDP(p[udp:]).SetLen(8)
			resum(p)
			return p
		}, Short},
		{"other MAC", Raw, 0, func(p []byte) []byte { p[5]++; return p }, BadAddress},
		{"other IP", UDP4, 0, func(p []byte) []byte { p[ip+19]++; resum(p); return p }, BadAddress},
		{"other EtherType", Raw, 0, func(p []byte) []byte { p[13]++; return p }, BadType},
		{"not IPv4", UDP4, 0, func(p []byte) []byte { p[13]++; return p }, BadType},
		{"not UDP", UDP4, 0, func(p []byte) []byte { p[ip+9] = 6; resum(p); return p }, BadType},
		{"other port", UDP4, 0, func(p []byte) []byte { p[udp+3]++; return p }, BadType},
		{"other VLAN", Raw, 7, func(p []byte) []byte { p[15]++; return p }, BadVLAN},
		{"tag missing", Raw, 7, func(p []byte) []byte { return append(p[:12:12], p[16:]...) }, BadVLAN},
		{"version 6", UDP4, 0, func(p []byte) []byte { p[ip] = 6<<4 | 5; resum(p); return p }, BadIP},
		{"options", UDP4, 0, func(p []byte) []byte { p[ip] = 4<<4 | 6; resum(p); return p }, BadIP},
		{"first fragment", UDP4, 0, func(p []byte) []byte { p[ip+6] |= 0x20; resum(p); return p }, BadIP},
		{"later fragment", UDP4, 0, func(p []byte) []byte { p[ip+7] = 1; resum(p); return p }, BadIP},
		{"checksum", UDP4, 0, func(p []byte) []byte { p[ip+10]++; return p }, BadChecksum},
		{"longer than the packet", UDP4, 0, func(p []byte) []byte { return p[:len(p)-1] }, BadLength},
		{"UDP longer than IP", UDP4, 0, func(p []byte) []byte { p[udp+5]++; return p }, BadLength},
		{"IP shorter than its headers", UDP4, 0, func(p []byte) []byte { IPv4(p[ip:]).SetTotalLen(19); resum(p); return p }, BadLength},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := ends(c.kind, c.vlan)
			packet := c.spoil(wrap(t, &a, &b, []byte{1, 2, 3, 4}))
			if _, _, _, fault := b.Parse(packet); fault != c.want {
				t.Fatalf("fault %v, want %v", fault, c.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	good, _ := ends(UDP4, 0)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(l *Link){
		"kind":          func(l *Link) { l.Kind = 9 },
		"VLAN":          func(l *Link) { l.VLAN = 4095 },
		"group MAC":     func(l *Link) { l.MAC[0] |= 1 },
		"no MAC":        func(l *Link) { l.MAC = MAC{} },
		"no IP":         func(l *Link) { l.IP = netip.Addr{} },
		"IPv6":          func(l *Link) { l.IP = netip.MustParseAddr("::1") },
		"port 0":        func(l *Link) { l.Port = 0 },
		"EtherType len": func(l *Link) { l.Kind, l.EtherType = Raw, 0x05FF },
		"EtherType ARP": func(l *Link) { l.Kind, l.EtherType = Raw, 0x0806 },
	} {
		l := good
		spoil(&l)
		if l.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := good.Template(Addr{MAC: macB, IP: netip.MustParseAddr("::1"), Port: 1}); err == nil {
		t.Error("template to an IPv6 address: no error")
	}
	if _, err := good.Template(Addr{IP: ipB, Port: 1}); err == nil {
		t.Error("template without a MAC: no error")
	}
	if _, err := ParseMAC(make([]byte, 8)); err == nil {
		t.Error("a MAC of 8 bytes: no error")
	}
}

func TestNoAllocation(t *testing.T) {
	a, b := ends(UDP4, 7)
	packet := wrap(t, &a, &b, make([]byte, 64))
	tmpl, _ := a.Template(b.addr())
	sink := uint64(0)
	if n := testing.AllocsPerRun(100, func() {
		tmpl.Put(packet, 64)
		_, _, key, _ := b.Parse(packet)
		sink += key
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// Whatever the bytes, Parse stays inside the packet; and what it accepts says what Parse says.
func FuzzParse(f *testing.F) {
	for _, kind := range []Kind{Raw, UDP4} {
		for _, vlan := range []uint16{0, 7} {
			a, b := ends(kind, vlan)
			f.Add(wrap(f, &a, &b, []byte("payload")), kind == UDP4, vlan)
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte, udp bool, vlan uint16) {
		kind := Raw
		if udp {
			kind = UDP4
		}
		_, l := ends(kind, vlan%4095)
		begin, end, key, fault := l.Parse(packet[:len(packet):len(packet)])
		if fault != OK {
			if begin != 0 || end != 0 || key != 0 {
				t.Fatalf("fault %v with [%d:%d] key %x", fault, begin, end, key)
			}
			return
		}
		if begin < l.LinkLen() || begin >= end || end > len(packet) {
			t.Fatalf("payload [%d:%d] of %d bytes", begin, end, len(packet))
		}
		if kind == UDP4 && int(binary.BigEndian.Uint16(packet[begin-4:])) != end-begin+UDPLen {
			t.Fatalf("UDP length differs from payload [%d:%d]", begin, end)
		}
	})
}

// BenchmarkPut writes the headers of a packet.
func BenchmarkPut(b *testing.B) {
	for _, kind := range []Kind{Raw, UDP4} {
		b.Run(kind.String(), func(b *testing.B) {
			from, to := ends(kind, 0)
			packet := wrap(b, &from, &to, make([]byte, 64))
			tmpl, _ := from.Template(to.addr())
			b.ReportAllocs()
			for b.Loop() {
				tmpl.Put(packet, 64)
			}
		})
	}
}

// BenchmarkParse checks the headers of a packet and finds its payload and sender.
func BenchmarkParse(b *testing.B) {
	for _, kind := range []Kind{Raw, UDP4} {
		b.Run(kind.String(), func(b *testing.B) {
			from, to := ends(kind, 0)
			packet := wrap(b, &from, &to, make([]byte, 64))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, fault := to.Parse(packet); fault != OK {
					b.Fatal(fault)
				}
			}
		})
	}
}
