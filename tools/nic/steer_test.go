package nic

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The requests for rules, byte for byte as struct ethtool_rxnfc has them on a little-endian machine: what is not named is zero.
func TestRuleRequests(t *testing.T) {
	for _, c := range []struct {
		rule  Rule
		bytes map[int]string
	}{
		{Rule{EtherType: 0x88B5, Queue: 3}, map[int]string{
			0: "32000000", 16: "12000000", 32: "88b5", 104: "ffff", 168: "0300000000000000", 176: "05000000",
		}},
		{Rule{EtherType: 0x88B5, VLAN: 7, Queue: 1}, map[int]string{
			0: "32000000", 16: "12000080", 32: "88b5", 82: "0007", 104: "ffff", 154: "0fff", 168: "0100000000000000", 176: "05000000",
		}},
		{Rule{UDPPort: 7000, Queue: 2}, map[int]string{
			0: "32000000", 16: "02000000", 30: "1b58", 102: "ffff", 168: "0200000000000000", 176: "05000000",
		}},
		{Rule{UDPPort: 7000, IP: netip.MustParseAddr("10.0.0.9"), Queue: 0}, map[int]string{
			0: "32000000", 16: "02000000", 24: "0a000009", 30: "1b58", 96: "ffffffff", 102: "ffff", 176: "05000000",
		}},
	} {
		want := make([]byte, rxnfcSize)
		for at, text := range c.bytes {
			b, err := hex.DecodeString(text)
			must(t, err)
			copy(want[at:], b)
		}
		if got := c.rule.insert(5); string(got) != string(want) {
			t.Errorf("%v:\n%x\n%x", &c.rule, got, want)
		}
	}
}

// A rule goes to the last free place of the table, filters are turned on first, and restore takes back both.
func TestSteerByRule(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{0: nil, 1023: nil}, size: 1024, channels: channelsOf(0, 0, 4, 0, 0, 8)}
	w := newTrial(t, f)
	r := &Rule{EtherType: 0x88B5, Queue: 3}
	must(t, w.steer(r, SteerAuto))
	if len(f.set) != 2 || word(f.set[0], 0) != setFlags || word(f.set[0], 1) != flagNTuple || string(f.set[1]) != string(r.insert(1022)) {
		t.Fatalf("requests %x", f.set)
	}
	w.tells(t, "eth7: ntuple: off -> on")
	w.tells(t, "rule/1022: none -> EtherType 0x88B5 to queue 3")
	f.set = nil
	must(t, w.restore())
	if len(f.set) != 2 || string(f.set[0]) != string(ruleRequest(deleteRule, 1022)) || word(f.set[1], 0) != setFlags || word(f.set[1], 1) != 0 {
		t.Fatalf("requests %x", f.set)
	}
	if s, err := w.readState("eth7"); s != nil || err != nil {
		t.Fatalf("kept %v, %v", s, err)
	}
}

// A NIC without rules steers UDP by its table, and says that this is all IP; raw Ethernet it cannot.
func TestSteerByRSS(t *testing.T) {
	f := &fake{table: []uint32{0, 1, 2, 3, 0, 1, 2, 3}, channels: channelsOf(0, 0, 4, 0, 0, 4)}
	w := newTrial(t, f)
	err := w.steer(&Rule{EtherType: 0x88B5, Queue: 1}, SteerAuto)
	expect(t, err, "eth7: cannot steer", "no ntuple filters", "queue 0")
	if len(f.set) != 0 {
		t.Fatalf("changed %x", f.set)
	}
	must(t, w.steer(&Rule{UDPPort: 7000, Queue: 2}, SteerAuto))
	w.tells(t, "all IP packets are steered instead")
	want := indirect([]uint32{2, 2, 2, 2, 2, 2, 2, 2})
	if len(f.set) != 1 || string(f.set[0]) != string(want) {
		t.Fatalf("requests %x", f.set)
	}
	must(t, w.restore())
	if got := joinTable(f.table); got != "0,1,2,3,0,1,2,3" {
		t.Fatalf("restored %s", got)
	}
}

// What cannot be is refused in one line, and nothing is changed.
func TestSteerRefuses(t *testing.T) {
	full := map[uint32][]byte{0: nil, 1: nil}
	for _, c := range []struct {
		name  string
		fake  fake
		rule  Rule
		by    string
		words []string
	}{
		{"nothing at all", fake{}, Rule{UDPPort: 7}, SteerAuto, []string{"cannot steer by RSS", "--queues 1"}},
		{"rules asked for", fake{table: []uint32{0}}, Rule{UDPPort: 7}, SteerNTuple, []string{"no ntuple filters", "--by rss"}},
		{"table full", fake{rules: full, size: 2}, Rule{EtherType: 0x88B5}, SteerAuto, []string{"all 2 rules", "ethtool -n"}},
		{"no such queue", fake{channels: channelsOf(0, 0, 2, 0, 0, 4)}, Rule{EtherType: 0x88B5, Queue: 2}, SteerAuto, []string{"queues 0 to 1, not 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTrial(t, &c.fake)
			expect(t, w.steer(&c.rule, c.by), c.words...)
			if len(c.fake.set) != 0 {
				t.Fatalf("changed %x", c.fake.set)
			}
		})
	}
	o := newTrial(t, &fake{}).Options
	for _, c := range []struct {
		rule Rule
		by   string
		word string
	}{
		{Rule{}, SteerAuto, "--ethertype"}, {Rule{EtherType: 0x88B5, UDPPort: 7}, SteerAuto, "one of the two"},
		{Rule{EtherType: 40}, SteerAuto, "a length"}, {Rule{UDPPort: 7, Queue: -1}, SteerAuto, "--queue -1"},
		{Rule{UDPPort: 7, VLAN: 4095}, SteerAuto, "--vlan 4095"}, {Rule{UDPPort: 7, IP: netip.MustParseAddr("::1")}, SteerAuto, "IPv4"},
		{Rule{EtherType: 0x88B5}, SteerRSS, "--by rss"}, {Rule{UDPPort: 7}, "magic", "--by magic"},
	} {
		expect(t, Steer(o, "nonexistent0", c.rule, c.by), c.word)
	}
}

// A rule that the driver refuses is no success, and restore has nothing to take back.
func TestSteerRefusedByDriver(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{}, size: 16, flags: flagNTuple, refuse: unix.EINVAL}
	w := newTrial(t, f)
	err := w.steer(&Rule{EtherType: 0x88B5}, SteerAuto)
	expect(t, err, "cannot steer by rules", "the driver refused rule/15", "--queues 1")
	if errors.Is(err, ErrPartly) {
		t.Errorf("nothing was changed: %v", err)
	}
	w.tells(t, "rule/15 stays none", "invalid argument")
	f.refuse, f.set = nil, nil
	must(t, w.restore())
	if len(f.set) != 0 {
		t.Fatalf("restore sent %x", f.set)
	}
}

// A driver whose filters are on for ever, and that says they are off, steers all the same.
func TestSteerWithFixedFilters(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{}, size: 16, fixed: flagNTuple}
	w := newTrial(t, f)
	must(t, w.steer(&Rule{EtherType: 0x88B5}, SteerAuto))
	w.tells(t, "ntuple is skipped")
	if len(f.rules) != 1 {
		t.Fatalf("rules %v", f.rules)
	}
	must(t, w.restore())
	if len(f.rules) != 0 {
		t.Fatalf("rules %v", f.rules)
	}
}

// A driver that tells nonsense is not believed.
func TestNonsenseOfDriver(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{}, size: 0}
	if _, err := newTrial(t, f).planRule(&Rule{EtherType: 0x88B5}); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Fatal(err)
	}
	if place, ok := (&ruleTable{size: 3, taken: []uint32{2, 9, 0}}).freePlace(); place != 1 || !ok {
		t.Fatalf("place %d %v", place, ok)
	}
}
