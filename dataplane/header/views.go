package header

import (
	"encoding/binary"
	"fmt"
	"net"
)

// Lengths of the headers, in bytes.
const (
	EthernetLen = 14
	TagLen      = 4
	IPv4Len     = 20 // without options: a header with options is not ours
	UDPLen      = 8

	// MaxLen is the longest run of headers that a link writes: Ethernet, one tag, IPv4, UDP.
	MaxLen = EthernetLen + TagLen + IPv4Len + UDPLen

	// MinPacket is the shortest packet that Ethernet carries, without the check sequence that the hardware adds (IEEE
	// 802.3, 4A.4.2).
	MinPacket = 60
)

// EtherTypes that mean something here.
const (
	TypeIPv4 = 0x0800
	TypeTag  = 0x8100 // 802.1Q
	TypeOwn  = 0x88B5 // IEEE local experimental EtherType 1: the default of raw Ethernet links
)

// MAC is a link address. It is comparable, and an array, so that tables and templates hold it by value.
type MAC [6]byte

// ParseMAC takes six bytes from a net.HardwareAddr. Other lengths (InfiniBand, EUI-64) are an error.
func ParseMAC(a net.HardwareAddr) (MAC, error) {
	var m MAC
	if len(a) != len(m) {
		return m, fmt.Errorf("link address %q has %d bytes, want %d", a.String(), len(a), len(m))
	}
	copy(m[:], a)
	return m, nil
}

// Key is the address as a number, never zero for an address that can send.
func (m MAC) Key() uint64 {
	return uint64(binary.BigEndian.Uint16(m[:]))<<32 | uint64(binary.BigEndian.Uint32(m[2:]))
}

// IsGroup reports a multicast or broadcast address (IEEE 802, the I/G bit).
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// Ethernet is a view of at least EthernetLen bytes: destination (6), source (6), EtherType (2).
type Ethernet []byte

func (e Ethernet) Dst() MAC              { return MAC(e[0:6]) }
func (e Ethernet) Src() MAC              { return MAC(e[6:12]) }
func (e Ethernet) EtherType() uint16     { return binary.BigEndian.Uint16(e[12:]) }
func (e Ethernet) SetDst(m MAC)          { copy(e[0:6], m[:]) }
func (e Ethernet) SetSrc(m MAC)          { copy(e[6:12], m[:]) }
func (e Ethernet) SetEtherType(t uint16) { binary.BigEndian.PutUint16(e[12:], t) }

// Tag is a view of the TagLen bytes behind EtherType 0x8100: priority and VLAN id (2), the EtherType of what follows (2).
type Tag []byte

// VLAN is the VLAN id, 0 to 4095; 0 means that the tag carries a priority only.
func (t Tag) VLAN() uint16          { return binary.BigEndian.Uint16(t) & 0x0FFF }
func (t Tag) EtherType() uint16     { return binary.BigEndian.Uint16(t[2:]) }
func (t Tag) SetVLAN(v uint16)      { binary.BigEndian.PutUint16(t, v&0x0FFF) }
func (t Tag) SetEtherType(v uint16) { binary.BigEndian.PutUint16(t[2:], v) }

// IPv4 is a view of at least IPv4Len bytes (RFC 791, 3.1).
type IPv4 []byte

func (h IPv4) Version() uint8         { return h[0] >> 4 }
func (h IPv4) HeaderLen() int         { return int(h[0]&0x0F) * 4 }
func (h IPv4) TotalLen() uint16       { return binary.BigEndian.Uint16(h[2:]) }
func (h IPv4) Protocol() uint8        { return h[9] }
func (h IPv4) Checksum() uint16       { return binary.BigEndian.Uint16(h[10:]) }
func (h IPv4) Src() [4]byte           { return [4]byte(h[12:16]) }
func (h IPv4) Dst() [4]byte           { return [4]byte(h[16:20]) }
func (h IPv4) SetTotalLen(n uint16)   { binary.BigEndian.PutUint16(h[2:], n) }
func (h IPv4) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[10:], sum) }

// IsFragment reports a piece of a larger datagram: more to come, or not the first one.
func (h IPv4) IsFragment() bool { return binary.BigEndian.Uint16(h[6:])&0x3FFF != 0 }

// Sum is the ones' complement sum of the header without options, folded to 16 bits: 0xFFFF when its checksum is right (RFC
// 1071).
func (h IPv4) Sum() uint16 {
	_ = h[IPv4Len-1]
	sum := uint32(0)
	for i := 0; i < IPv4Len; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	return fold(sum)
}

// UDP is a view of at least UDPLen bytes (RFC 768).
type UDP []byte

func (u UDP) SrcPort() uint16     { return binary.BigEndian.Uint16(u) }
func (u UDP) DstPort() uint16     { return binary.BigEndian.Uint16(u[2:]) }
func (u UDP) Len() uint16         { return binary.BigEndian.Uint16(u[4:]) }
func (u UDP) SetSrcPort(p uint16) { binary.BigEndian.PutUint16(u, p) }
func (u UDP) SetDstPort(p uint16) { binary.BigEndian.PutUint16(u[2:], p) }
func (u UDP) SetLen(n uint16)     { binary.BigEndian.PutUint16(u[4:], n) }

// fold adds the carries of a ones' complement sum back in.
func fold(sum uint32) uint16 {
	sum = sum&0xFFFF + sum>>16
	return uint16(sum + sum>>16)
}
