package header

import "fmt"

const (
	protocolUDP  = 17
	timeToLive   = 64
	dontFragment = 0x40 // high byte of flags and fragment offset
)

// Template is the headers of one peer, ready to be copied in front of a payload.
type Template struct {
	bytes [MaxLen]byte
	n     int
	ip    int    // where the IPv4 header begins; 0 if there is none
	sum   uint32 // ones' complement sum of the IPv4 header with a total length of zero
}

// Template builds the headers for packets to peer.
func (l *Link) Template(peer Addr) (Template, error) {
	var t Template
	if peer.MAC == (MAC{}) {
		return t, fmt.Errorf("peer has no link address")
	}
	t.n = l.Len()
	ether := Ethernet(t.bytes[:])
	ether.SetDst(peer.MAC)
	ether.SetSrc(l.MAC)
	inner := l.EtherType
	if l.Kind == UDP4 {
		inner = TypeIPv4
	}
	ether.SetEtherType(inner)
	if l.VLAN != 0 {
		ether.SetEtherType(TypeTag)
		tag := Tag(t.bytes[EthernetLen:])
		tag.SetVLAN(l.VLAN)
		tag.SetEtherType(inner)
	}
	if l.Kind == UDP4 {
		if !peer.IP.Is4() || peer.Port == 0 {
			return t, fmt.Errorf("peer %v port %d: udp4 needs an IPv4 address and a port", peer.IP, peer.Port)
		}
		t.putUDP4(l, peer)
	}
	return t, nil
}

// putUDP4 writes the IPv4 and UDP headers, all but what depends on the length.
//
// The identification stays 0: with "do not fragment" set a datagram is atomic and needs none (RFC 6864, 4.1). The UDP
// checksum stays 0, "none", which IPv4 allows (RFC 768): the frames carry a checksum of their own over the whole payload,
// and a second one would read every byte again.
func (t *Template) putUDP4(l *Link, peer Addr) {
	t.ip = l.LinkLen()
	ip := IPv4(t.bytes[t.ip:])
	ip[0] = 4<<4 | IPv4Len/4
	ip[6] = dontFragment
	ip[8] = timeToLive
	ip[9] = protocolUDP
	src, dst := l.IP.As4(), peer.IP.As4()
	copy(ip[12:16], src[:])
	copy(ip[16:20], dst[:])
	t.sum = uint32(ip.Sum())
	udp := UDP(t.bytes[t.ip+IPv4Len:])
	udp.SetSrcPort(l.Port)
	udp.SetDstPort(peer.Port)
}

// Len is the length of the headers, in bytes.
func (t *Template) Len() int { return t.n }

// Put writes the headers of a packet with payload bytes of payload into packet[:t.Len()].
//
// The IPv4 checksum is updated, not computed: only the total length differs from the template (RFC 1624).
func (t *Template) Put(packet []byte, payload int) {
	copy(packet[:t.n], t.bytes[:t.n])
	if t.ip == 0 {
		return
	}
	ip := IPv4(packet[t.ip:t.n])
	total := uint16(IPv4Len + UDPLen + payload)
	ip.SetTotalLen(total)
	ip.SetChecksum(^fold(t.sum + uint32(total)))
	UDP(ip[IPv4Len:]).SetLen(uint16(UDPLen + payload))
}
