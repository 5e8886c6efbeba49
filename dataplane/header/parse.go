package header

// Fault is why a packet is not one of ours.
type Fault uint8

const (
	OK          Fault = iota
	Short             // ends inside its headers, or has no payload
	BadAddress        // not to our MAC, to a group or to our IPv4 address; or from a group
	BadType           // another EtherType or IP protocol, or another UDP port
	BadVLAN           // another VLAN than the link's, or none, or one where there should be none
	BadIP             // not version 4, with options, or a fragment
	BadChecksum       // IPv4 header checksum wrong
	BadLength         // lengths that contradict one another or the packet
	Faults            // number of kinds
)

var faultNames = [Faults]string{
	"ok", "short", "bad address", "bad type", "bad VLAN", "bad IP header", "bad checksum", "bad length",
}

func (f Fault) String() string {
	if f < Faults {
		return faultNames[f]
	}
	return "unknown fault"
}

// Parse checks the headers of packet. Without a fault the payload is packet[begin:end], not empty, and key is the sender's
// (Link.Key). A Raw payload may be followed by the padding that Ethernet adds to short packets; a UDP4 payload is exact.
//
// The UDP checksum is not verified: between interfaces of one host it is left to be finished by hardware that is not there,
// and the payload carries one of its own.
func (l *Link) Parse(packet []byte) (begin, end int, key uint64, fault Fault) {
	if len(packet) < EthernetLen {
		return 0, 0, 0, Short
	}
	ether := Ethernet(packet)
	dst, src := ether.Dst(), ether.Src()
	if dst != l.MAC && !dst.IsGroup() || src.IsGroup() {
		return 0, 0, 0, BadAddress
	}
	begin = EthernetLen
	kind := ether.EtherType()
	vlan := uint16(0)
	if kind == TypeTag {
		if len(packet) < EthernetLen+TagLen {
			return 0, 0, 0, Short
		}
		tag := Tag(packet[EthernetLen:])
		vlan, kind = tag.VLAN(), tag.EtherType()
		begin += TagLen
	}
	if vlan != l.VLAN {
		return 0, 0, 0, BadVLAN
	}
	if l.Kind == UDP4 {
		return l.parseUDP4(packet, begin, kind)
	}
	if kind != l.EtherType {
		return 0, 0, 0, BadType
	}
	if len(packet) == begin {
		return 0, 0, 0, Short
	}
	return begin, len(packet), src.Key(), OK
}

// parseUDP4 goes on behind the Ethernet header and tag.
func (l *Link) parseUDP4(packet []byte, at int, kind uint16) (begin, end int, key uint64, fault Fault) {
	if kind != TypeIPv4 {
		return 0, 0, 0, BadType
	}
	if len(packet) < at+IPv4Len+UDPLen {
		return 0, 0, 0, Short
	}
	ip := IPv4(packet[at:])
	if ip.Version() != 4 || ip.HeaderLen() != IPv4Len || ip.IsFragment() {
		return 0, 0, 0, BadIP
	}
	if ip.Sum() != 0xFFFF {
		return 0, 0, 0, BadChecksum
	}
	if ip.Protocol() != protocolUDP {
		return 0, 0, 0, BadType
	}
	if ip.Dst() != l.IP.As4() {
		return 0, 0, 0, BadAddress
	}
	total := int(ip.TotalLen())
	udp := UDP(ip[IPv4Len:])
	if total > len(ip) || int(udp.Len()) != total-IPv4Len {
		return 0, 0, 0, BadLength
	}
	if total <= IPv4Len+UDPLen {
		return 0, 0, 0, Short
	}
	if udp.DstPort() != l.Port {
		return 0, 0, 0, BadType
	}
	return at + IPv4Len + UDPLen, at + total, udpKey(ip.Src(), udp.SrcPort()), OK
}
