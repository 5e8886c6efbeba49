package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Where a rule sends its packets, if not to a queue of the interface.
const (
	Dropped   = -1 // nowhere
	Elsewhere = -2 // to a virtual function, or to a group of queues of their own (an RSS context)
)

// PlacedRule is a rule in the NIC's table.
type PlacedRule struct {
	Place uint32 `json:"place"`
	Match string `json:"match"` // "EtherType 0x88B5", "UDP port 7471 of 10.0.0.1, VLAN 7", or "other packets"
	Queue int    `json:"queue"` // Dropped and Elsewhere are negative
	Rule  Rule   `json:"-"`     // what Match and Queue say; without EtherType and UDPPort if it is of another kind than Steer makes
}

// Says is the rule in words.
func (p *PlacedRule) Says() string { return p.Match + " " + p.where() }

func (p *PlacedRule) where() string { return (&Rule{Queue: p.Queue}).where() }

// Rules lists the ntuple rules of an interface in the order of their places. A NIC that has no such rules has none.
func Rules(name string) ([]PlacedRule, error) {
	return listRulesOf(&kernel{name: name})
}

func listRulesOf(d driver) (all []PlacedRule, err error) {
	table, err := rulePlaces(d)
	if unsupported(err) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the NIC's rules: %w", err)
	}
	slices.Sort(table.taken)
	for _, place := range table.taken {
		r, there, err := ruleAt(d, place)
		if err != nil {
			return nil, fmt.Errorf("read rule %d of the NIC: %w", place, err)
		}
		if there {
			all = append(all, PlacedRule{Place: place, Match: r.match(), Queue: r.Queue, Rule: r})
		}
	}
	return all, nil
}

// ruleAt reads one rule. A place that is free, or that was freed meanwhile, is not there.
func ruleAt(d driver, place uint32) (r Rule, there bool, err error) {
	b := ruleRequest(getRule, place)
	err = d.request(b)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return r, false, nil
	}
	return decodeRule(b), err == nil, err
}

const (
	flowMACExtra = 0x40000000 // FLOW_MAC_EXT
	flowRSS      = 0x20000000 // FLOW_RSS

	cookieDrop   = ^uint64(0) // RX_CLS_FLOW_DISC
	cookieWake   = ^uint64(1) // RX_CLS_FLOW_WAKE
	cookieVF     = 0xff << 32 // ETHTOOL_RX_FLOW_SPEC_RING_VF
	cookieQueue  = 0xffffffff // ETHTOOL_RX_FLOW_SPEC_RING
	flowUnionLen = 52
	flowExtraLen = 20
)

// decodeRule reads what insert writes. A rule that matches by more than Rule has words for, or by part of a field, comes back without a kind.
func decodeRule(b []byte) (r Rule) {
	cookie := binary.NativeEndian.Uint64(b[specQueue:])
	flow := binary.NativeEndian.Uint32(b[rxnfcSpec:])
	switch {
	case cookie == cookieDrop, cookie == cookieWake:
		r.Queue = Dropped
	case cookie&cookieVF != 0, flow&flowRSS != 0:
		r.Queue = Elsewhere
	default:
		r.Queue = int(cookie & cookieQueue)
	}
	plain := r
	if flow&flowExtra != 0 {
		r.VLAN = binary.BigEndian.Uint16(b[specExtra+extraTag:]) & 0x0fff
	}
	switch flow &^ (flowExtra | flowMACExtra | flowRSS) {
	case flowEther:
		const proto = 12
		r.EtherType = binary.BigEndian.Uint16(b[specHeader+proto:])
	case flowUDP4:
		const destination, port = 4, 10
		r.UDPPort = binary.BigEndian.Uint16(b[specHeader+port:])
		if binary.BigEndian.Uint32(b[specMask+destination:]) != 0 {
			r.IP = netip.AddrFrom4([4]byte(b[specHeader+destination:]))
		}
	default:
		return plain
	}
	if r.EtherType == 0 && r.UDPPort == 0 || !sameMasks(b, r.insert(0)) {
		return plain
	}
	return r
}

// sameMasks compares by which bits two rules match. A NIC may also look at the priority bits of a tag.
func sameMasks(a, b []byte) bool {
	tag := func(x []byte) uint16 { return binary.BigEndian.Uint16(x[specExtraMsk+extraTag:]) & 0x0fff }
	rest := specExtraMsk + extraTag + 2
	return string(a[specMask:specMask+flowUnionLen]) == string(b[specMask:specMask+flowUnionLen]) && tag(a) == tag(b) &&
		string(a[specExtraMsk:specExtraMsk+extraTag]) == string(b[specExtraMsk:specExtraMsk+extraTag]) &&
		string(a[rest:specExtraMsk+flowExtraLen]) == string(b[rest:specExtraMsk+flowExtraLen])
}

// matches tells whether two rules are about the same packets.
func (r *Rule) matches(other *Rule) bool {
	a, b := *r, *other
	a.Queue, b.Queue = 0, 0
	return a == b
}

// Takes tells whether packets that the rule other names all are packets of this one: it may leave out address and tag.
func (r *Rule) Takes(other *Rule) bool {
	kind := r.EtherType != 0 && r.EtherType == other.EtherType || r.UDPPort != 0 && r.UDPPort == other.UDPPort
	return kind && (!r.IP.IsValid() || r.IP == other.IP) && (r.VLAN == 0 || r.VLAN == other.VLAN)
}

// match names the packets.
func (r *Rule) match() string {
	text := "other packets"
	switch {
	case r.EtherType != 0:
		text = fmt.Sprintf("EtherType 0x%04X", r.EtherType)
	case r.UDPPort != 0:
		text = fmt.Sprintf("UDP port %d", r.UDPPort)
	}
	if r.IP.IsValid() {
		text += fmt.Sprintf(" of %v", r.IP)
	}
	if r.VLAN != 0 {
		text += fmt.Sprintf(", VLAN %d", r.VLAN)
	}
	return text
}

func (r *Rule) String() string { return r.match() + " " + r.where() }

func (r *Rule) where() string {
	switch r.Queue {
	case Dropped:
		return "dropped"
	case Elsewhere:
		return "to other queues than the interface's own"
	}
	return fmt.Sprintf("to queue %d", r.Queue)
}

// ruleSetting is a rule of ours in the NIC's table: "" while it is not there, or else where it is. It is known by what it says, for others use the same
// table, and a driver may choose or change places.
type ruleSetting struct {
	place uint32 // where it shall be; locationAny: the driver says
	rule  Rule
}

// name has all of the rule, so that Restore finds it again.
func (s ruleSetting) name() string {
	place, ip := "any", "any"
	if s.place != locationAny {
		place = strconv.FormatUint(uint64(s.place), 10)
	}
	if s.rule.IP.IsValid() {
		ip = s.rule.IP.String()
	}
	return fmt.Sprintf("rule/%s/ethertype %#x udp-port %d ip %s vlan %d queue %d", place, s.rule.EtherType, s.rule.UDPPort, ip, s.rule.VLAN, s.rule.Queue)
}

// parseRule is the inverse of name, without its first word.
func parseRule(text string) (s ruleSetting, err error) {
	place, rest, _ := strings.Cut(text, "/")
	s.place = locationAny
	if place != "any" {
		n, err := strconv.ParseUint(place, 10, 32)
		if err != nil {
			return s, err
		}
		s.place = uint32(n)
	}
	var ip string
	r := &s.rule
	if _, err := fmt.Sscanf(rest, "ethertype %v udp-port %d ip %s vlan %d queue %d", &r.EtherType, &r.UDPPort, &ip, &r.VLAN, &r.Queue); err != nil {
		return s, err
	}
	if ip != "any" {
		r.IP, err = netip.ParseAddr(ip)
	}
	return s, err
}

func (s ruleSetting) get(d driver) (string, error) {
	place, there, err := s.find(d)
	if err != nil || !there {
		return "", err
	}
	return fmt.Sprintf("%v, rule %d", &s.rule, place), nil
}

// find looks for the rule: in its place, where a driver may tell of it in other words than it was told, and by what it says everywhere else.
func (s ruleSetting) find(d driver) (place uint32, there bool, err error) {
	if s.place != locationAny {
		at, there, err := ruleAt(d, s.place)
		if err != nil || there && (at == s.rule || at == Rule{Queue: s.rule.Queue}) {
			return s.place, there, err
		}
	}
	all, err := listRulesOf(d)
	for _, other := range all {
		if other.Rule == s.rule {
			return other.Place, true, nil
		}
	}
	return 0, false, err
}

func (s ruleSetting) set(d driver, value string) error {
	if value != "" {
		return d.request(s.rule.insert(s.place))
	}
	place, there, err := s.find(d)
	if err != nil || !there {
		return err
	}
	return d.request(ruleRequest(deleteRule, place))
}
