package header

import (
	"errors"
	"fmt"
	"net/netip"
)

// Kind is what carries the payload.
type Kind uint8

const (
	Raw  Kind = iota // Ethernet with an EtherType of our own
	UDP4             // UDP over IPv4
)

func (k Kind) String() string {
	if k == UDP4 {
		return "udp4"
	}
	return "ethernet"
}

// Link is one end of a link: what its packets look like, and which address is ours. It does not change once a port uses it.
type Link struct {
	Kind      Kind
	EtherType uint16     // Raw: the EtherType that marks our packets
	VLAN      uint16     // 1 to 4094: every packet carries this tag; 0: no tag
	MAC       MAC        // ours
	IP        netip.Addr // UDP4: ours
	Port      uint16     // UDP4: ours, source of what we send and destination of what we take
}

// Addr is where a peer is. A multicast or broadcast MAC reaches many.
type Addr struct {
	MAC  MAC
	IP   netip.Addr // UDP4
	Port uint16     // UDP4
}

// Check says what is wrong with the link, or nil.
func (l *Link) Check() error {
	switch {
	case l.Kind > UDP4:
		return fmt.Errorf("link kind %d does not exist", l.Kind)
	case l.VLAN > 4094:
		return fmt.Errorf("VLAN %d is out of range: 1 to 4094, or 0 for none", l.VLAN)
	case l.MAC == MAC{} || l.MAC.IsGroup():
		return fmt.Errorf("link address %v cannot send: take the interface's own", l.MAC)
	case l.Kind == Raw && l.EtherType < 0x0600:
		return fmt.Errorf("EtherType 0x%04x is a length in IEEE 802.3: take 0x0600 or more", l.EtherType)
	case l.Kind == Raw && (l.EtherType == TypeIPv4 || l.EtherType == TypeTag || l.EtherType == 0x0806 || l.EtherType == 0x86DD):
		return fmt.Errorf("EtherType 0x%04x belongs to IP, ARP or VLAN: taking it would cut the host off", l.EtherType)
	case l.Kind == UDP4 && !l.IP.Is4():
		return errors.New("udp4 needs an IPv4 address of its own")
	case l.Kind == UDP4 && l.Port == 0:
		return errors.New("udp4 needs a UDP port other than 0")
	}
	return nil
}

// LinkLen is the length of the Ethernet header and tag, in bytes.
func (l *Link) LinkLen() int {
	if l.VLAN != 0 {
		return EthernetLen + TagLen
	}
	return EthernetLen
}

// Len is the length of all headers that the link writes, in bytes.
func (l *Link) Len() int {
	if l.Kind == UDP4 {
		return l.LinkLen() + IPv4Len + UDPLen
	}
	return l.LinkLen()
}

// Key is what Parse answers for packets from a: the MAC for Raw, IPv4 address and source port for UDP4. It is never zero
// for an address that can send.
func (l *Link) Key(a Addr) uint64 {
	if l.Kind == UDP4 {
		ip := a.IP.As4()
		return udpKey(ip, a.Port)
	}
	return a.MAC.Key()
}

func udpKey(ip [4]byte, port uint16) uint64 {
	return uint64(ip[0])<<40 | uint64(ip[1])<<32 | uint64(ip[2])<<24 | uint64(ip[3])<<16 | uint64(port)
}
