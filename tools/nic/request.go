package nic

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// Requests of SIOCETHTOOL (include/uapi/linux/ethtool.h). All words are in the machine's order, what is matched in packets in the network's.
const (
	getCoalesce  = 0x0e
	setCoalesce  = 0x0f
	getRing      = 0x10
	setRing      = 0x11
	getFlags     = 0x25
	setFlags     = 0x26
	getChannels  = 0x3c
	setChannels  = 0x3d
	countRules   = 0x2e // ETHTOOL_GRXCLSRLCNT
	getRule      = 0x2f // ETHTOOL_GRXCLSRULE
	listRules    = 0x30 // ETHTOOL_GRXCLSRLALL
	deleteRule   = 0x31 // ETHTOOL_SRXCLSRLDEL
	insertRule   = 0x32 // ETHTOOL_SRXCLSRLINS
	getIndirect  = 0x38 // ETHTOOL_GRXFHINDIR
	setIndirect  = 0x39
	flagNTuple   = 1 << 27
	flagStripTag = 1 << 8 // ETH_FLAG_RXVLAN
)

// words makes a request of n words with the command in the first.
func words(command uint32, n int) []byte {
	b := make([]byte, 4*n)
	binary.NativeEndian.PutUint32(b, command)
	return b
}

func word(b []byte, i int) uint32           { return binary.NativeEndian.Uint32(b[4*i:]) }
func putWord(b []byte, i int, value uint32) { binary.NativeEndian.PutUint32(b[4*i:], value) }

// Layout of struct ethtool_rxnfc, in bytes. Behind rule_cnt come as many rule_locs as it says.
const (
	rxnfcData    = 8   // data
	rxnfcSpec    = 16  // fs
	rxnfcCount   = 184 // rule_cnt
	rxnfcRules   = 188 // rule_locs
	rxnfcSize    = 192
	specHeader   = rxnfcSpec + 4   // fs.h_u
	specExtra    = rxnfcSpec + 56  // fs.h_ext
	specMask     = rxnfcSpec + 76  // fs.m_u
	specExtraMsk = rxnfcSpec + 128 // fs.m_ext
	specQueue    = rxnfcSpec + 152 // fs.ring_cookie
	specLocation = rxnfcSpec + 160 // fs.location

	extraTag = 10 // vlan_tci, in struct ethtool_flow_ext

	flowUDP4  = 0x02 // UDP_V4_FLOW: ip4src, ip4dst, psrc, pdst, tos
	flowEther = 0x12 // ETHER_FLOW: struct ethhdr
	flowExtra = 0x80000000

	locationSpecial = 0x80000000 // RX_CLS_LOC_SPECIAL, beside the size of the table: the driver chooses places itself
	locationAny     = 0xffffffff // RX_CLS_LOC_ANY: it shall choose
)

// Rule is which packets go to which queue.
type Rule struct {
	EtherType uint16     // of raw Ethernet frames; 0: UDPPort says
	UDPPort   uint16     // destination port, IPv4
	IP        netip.Addr // destination address of UDP; zero: any
	VLAN      uint16     // 802.1Q tag; 0: with none, or any, as the NIC has it
	Queue     int
}

func (r *Rule) check() error {
	switch {
	case r.EtherType == 0 && r.UDPPort == 0:
		return fmt.Errorf("say which packets: --ethertype 0x88B5, or --udp-port P")
	case r.EtherType != 0 && (r.UDPPort != 0 || r.IP.IsValid()):
		return fmt.Errorf("--ethertype is for raw Ethernet, --udp-port and --ip are for UDP: say one of the two")
	case r.EtherType != 0 && r.EtherType < 0x600:
		return fmt.Errorf("--ethertype %#x is a length, not a type: 0x600 to 0xffff", r.EtherType)
	case r.IP.IsValid() && !r.IP.Is4():
		return fmt.Errorf("--ip %v: want an IPv4 address", r.IP)
	case r.VLAN > 4094:
		return fmt.Errorf("--vlan %d: 1 to 4094", r.VLAN)
	case r.Queue < 0:
		return fmt.Errorf("--queue %d: 0 or more", r.Queue)
	}
	return nil
}

// insert is the request that puts the rule in a place of the NIC's table.
func (r *Rule) insert(location uint32) []byte {
	b := make([]byte, rxnfcSize)
	binary.NativeEndian.PutUint32(b, insertRule)
	flow := uint32(flowUDP4)
	if r.EtherType != 0 {
		flow = flowEther
		const proto = 12 // h_proto
		binary.BigEndian.PutUint16(b[specHeader+proto:], r.EtherType)
		binary.BigEndian.PutUint16(b[specMask+proto:], 0xffff)
	} else {
		const destination, port = 4, 10 // ip4dst, pdst
		if r.IP.IsValid() {
			ip := r.IP.As4()
			copy(b[specHeader+destination:], ip[:])
			binary.BigEndian.PutUint32(b[specMask+destination:], 0xffffffff)
		}
		binary.BigEndian.PutUint16(b[specHeader+port:], r.UDPPort)
		binary.BigEndian.PutUint16(b[specMask+port:], 0xffff)
	}
	if r.VLAN != 0 {
		flow |= flowExtra
		binary.BigEndian.PutUint16(b[specExtra+extraTag:], r.VLAN)
		binary.BigEndian.PutUint16(b[specExtraMsk+extraTag:], 0x0fff)
	}
	binary.NativeEndian.PutUint32(b[rxnfcSpec:], flow)
	binary.NativeEndian.PutUint64(b[specQueue:], uint64(r.Queue))
	binary.NativeEndian.PutUint32(b[specLocation:], location)
	return b
}

// ruleRequest asks about, or removes, the rule in a place.
func ruleRequest(command, location uint32) []byte {
	b := make([]byte, rxnfcSize)
	binary.NativeEndian.PutUint32(b, command)
	binary.NativeEndian.PutUint32(b[specLocation:], location)
	return b
}

// ruleTable is a NIC's table of rules.
type ruleTable struct {
	size    uint32
	taken   []uint32 // places
	chooses bool     // the driver finds a place for a rule itself, and may take no other (sfc and bnxt do not)
}

// rulePlaces asks for the size of the table and the places that are taken.
func rulePlaces(d driver) (t ruleTable, err error) {
	b := ruleRequest(countRules, 0)
	if err := d.request(b); err != nil {
		return t, err
	}
	t.chooses = binary.NativeEndian.Uint64(b[rxnfcData:])&locationSpecial != 0
	n := binary.NativeEndian.Uint32(b[rxnfcCount:])
	const most = 1 << 16 // more than any NIC has: what a driver says is not trusted with memory
	if n > most {
		return t, fmt.Errorf("the driver tells of %d rules", n)
	}
	b = make([]byte, max(rxnfcSize, rxnfcRules+4*int(n)))
	binary.NativeEndian.PutUint32(b, listRules)
	binary.NativeEndian.PutUint32(b[rxnfcCount:], n)
	if err := d.request(b); err != nil { // with room for exactly n: a driver may go on until it is full
		return t, err
	}
	n = min(n, binary.NativeEndian.Uint32(b[rxnfcCount:]))
	for i := range n {
		t.taken = append(t.taken, binary.NativeEndian.Uint32(b[rxnfcRules+4*i:]))
	}
	t.size = uint32(binary.NativeEndian.Uint64(b[rxnfcData:]) &^ locationSpecial)
	return t, nil
}

// freePlace is the last place in the table that nobody has: what others put in themselves starts at its beginning or asks the driver.
func (t *ruleTable) freePlace() (uint32, bool) {
	if t.chooses {
		return locationAny, true
	}
	for place := t.size; place > 0; place-- {
		if !slices.Contains(t.taken, place-1) {
			return place - 1, true
		}
	}
	return 0, false
}

// indirection reads the table that spreads hashes over queues.
func indirection(d driver) ([]uint32, error) {
	b := words(getIndirect, 2)
	if err := d.request(b); err != nil {
		return nil, err
	}
	n := word(b, 1)
	const most = 1 << 16
	if n == 0 || n > most {
		return nil, fmt.Errorf("the driver tells of %d places in its indirection table", n)
	}
	b = words(getIndirect, 2+int(n))
	putWord(b, 1, n)
	if err := d.request(b); err != nil {
		return nil, err
	}
	table := make([]uint32, n)
	for i := range table {
		table[i] = word(b, 2+i)
	}
	return table, nil
}

// indirect is the request that replaces the table; one of no places asks for the driver's own, and lets the number of queues change again.
func indirect(table []uint32) []byte {
	b := words(setIndirect, 2+len(table))
	putWord(b, 1, uint32(len(table)))
	for i, q := range table {
		putWord(b, 2+i, q)
	}
	return b
}
