package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestSpecIsChecked(t *testing.T) {
	two := hostsNamed("a", "b")
	many := make([]HostSpec, MaxHosts+1)
	for i := range many {
		many[i].Name = fmt.Sprintf("h%d", i)
	}
	withB := func(b HostSpec) []HostSpec { b.Name = "b"; return []HostSpec{{Name: "a"}, b} }
	for want, spec := range map[string]Spec{
		"":                       {Name: "x", Hosts: two},
		`lab ""`:                 {Hosts: two},
		`lab "A"`:                {Name: "A", Hosts: two},
		`lab "a-b"`:              {Name: "a-b", Hosts: two},
		`lab "../x"`:             {Name: "../x", Hosts: two},
		"1 hosts":                {Name: "x", Hosts: two[:1]},
		"65 hosts":               {Name: "x", Hosts: many},
		"host a is there twice":  {Name: "x", Hosts: hostsNamed("a", "a")},
		`host "sw"`:              {Name: "x", Hosts: hostsNamed("a", "sw")},
		`host "a/b"`:             {Name: "x", Hosts: hostsNamed("a", "a/b")},
		"MTU 67":                 {Name: "x", Hosts: two, MTU: MinMTU - 1},
		"MTU 3401":               {Name: "x", Hosts: two, MTU: MaxMTU + 1},
		"drop rate":              {Name: "x", Hosts: two, Faults: Faults{DropPPM: million + 1}},
		"duplicate rate":         {Name: "x", Hosts: two, Faults: Faults{DuplicatePPM: million + 1}},
		"delay rate":             {Name: "x", Hosts: two, Faults: Faults{DelayPPM: million + 1, Delay: 1}},
		"delay 11s":              {Name: "x", Hosts: two, Faults: Faults{Delay: 11 * time.Second}},
		"by nothing":             {Name: "x", Hosts: two, Faults: Faults{DelayPPM: 1}},
		"17 queues":              {Name: "x", Hosts: withB(HostSpec{Queues: MaxQueues + 1})},
		"-1 queues":              {Name: "x", Hosts: withB(HostSpec{Queues: -1})},
		"65 steering rules":      {Name: "x", Hosts: withB(HostSpec{Steer: make([]Rule, MaxRules+1)})},
		"matches 3 bytes":        {Name: "x", Hosts: withB(HostSpec{Steer: []Rule{{Bytes: make([]byte, 3)}}})},
		"queue 1: the host has":  {Name: "x", Hosts: withB(HostSpec{Steer: []Rule{{Bytes: make([]byte, 2), Queue: 1}}})},
		"offset -1 lies in no":   {Name: "x", Hosts: withB(HostSpec{Steer: []Rule{{Offset: -1, Bytes: make([]byte, 2)}}})},
		"offset 3401 lies in no": {Name: "x", Hosts: withB(HostSpec{Steer: []Rule{{Offset: MaxMTU + 1, Bytes: make([]byte, 2)}}})},
	} {
		err := spec.validate()
		if want == "" {
			if err != nil || spec.MTU != DefaultMTU || spec.Hosts[0].Queues != 1 {
				t.Errorf("a good spec: %v, %+v", err, spec)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if two[0].Queues != 0 {
		t.Error("the caller's hosts were changed")
	}
}

// The addresses of a host are the same in every lab, and no two hosts share one.
func TestAddresses(t *testing.T) {
	seen := make(map[string]bool)
	for slot := range MaxHosts {
		mac, ip := addressOf(slot)
		if mac[0]&3 != 2 || !ip.Is4() || seen[mac.String()] || seen[ip.String()] {
			t.Errorf("slot %d: %v %v", slot, mac, ip)
		}
		seen[mac.String()], seen[ip.String()] = true, true
	}
}

// The largest lab fits the tables, and the verifier takes its programs.
func TestLargestLab(t *testing.T) {
	hosts := make([]HostSpec, MaxHosts)
	for i := range hosts {
		hosts[i].Name = fmt.Sprintf("h%d", i)
	}
	rules := make([]Rule, MaxRules)
	for i := range rules {
		rules[i] = Rule{Offset: 14, Bytes: []byte{byte(i), 1}, Queue: i % MaxQueues}
	}
	hosts[MaxHosts-1].Queues, hosts[MaxHosts-1].Steer = MaxQueues, rules
	lab := up(t, Spec{Hosts: hosts, MTU: MaxMTU})
	first, last := plug(t, lab, "h0", etherTypeTest), plug(t, lab, fmt.Sprintf("h%d", MaxHosts-1), etherTypeTest)
	first.send(first.frameTo(last.host.MAC, 1))
	first.send(first.frameTo(everyone, 2))
	if got := last.count(2); got[1] != 1 || got[2] != 1 {
		t.Errorf("the last host got %v", got)
	}
	last.send(last.frameTo(first.host.MAC, 3))
	if got := first.count(1); got[3] != 1 {
		t.Errorf("the first host got %v", got)
	}
}

func TestSettingsRoundTrip(t *testing.T) {
	for _, ppm := range []uint32{0, 1, 2, 999, 50_000, 333_333, 999_999, million} {
		if got := ppmOf(chance(ppm)); got != ppm {
			t.Errorf("%d ppm came back as %d", ppm, got)
		}
	}
	if chance(million) != 1<<32 || chance(0) != 0 {
		t.Error("never and always are not exact")
	}
	if recordSize%8 != 0 || recordFrame < recordLength+4 || delayRingBytes < 2*recordSize {
		t.Error("the ring's record does not fit")
	}
	if key := addressKey(net.HardwareAddr{1, 2, 3, 4, 5, 6}); binary.BigEndian.Uint64(key[:]) != 0x0102030405060000 {
		t.Errorf("key %x", key)
	}
}
