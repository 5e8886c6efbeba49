package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A driver that refuses one of many settings, for whatever reason: a line says which and why, the rest is done, nothing is kept of what was not changed,
// and restore goes back.
func TestEachRefusal(t *testing.T) {
	kinds := []struct {
		command uint32
		names   []string // settings that it refuses
		advice  map[error]string
	}{
		{setChannels, []string{"queues"}, map[error]string{unix.EINVAL: "AF_XDP socket", unix.EBUSY: "AF_XDP socket"}},
		{setRing, []string{"ring/rx", "ring/tx"}, map[error]string{unix.EINVAL: "powers of two", unix.ENOMEM: "powers of two", unix.EBUSY: "end the roles"}},
		{setCoalesce, []string{"coalesce/adaptive-rx", "coalesce/rx-usecs", "coalesce/tx-usecs"}, map[error]string{unix.EINVAL: "both directions", unix.EBUSY: "end the roles"}},
		{setFlags, []string{"rx-vlan-offload"}, map[error]string{unix.EBUSY: "end the roles"}},
		{refuseFiles, []string{"napi_defer_hard_irqs", "gro_flush_timeout"}, map[error]string{unix.EBUSY: "end the roles", unix.EPERM: "run as root"}},
		{refuseIRQs, []string{"irq/30"}, map[error]string{unix.ENOSPC: "interrupt vector", unix.EBUSY: "end the roles"}},
	}
	all := 10
	for _, k := range kinds {
		for _, errno := range []error{unix.EOPNOTSUPP, unix.EINVAL, unix.EBUSY, unix.EPERM, unix.ENOSPC, unix.ENOMEM} {
			t.Run(fmt.Sprintf("%s %v", k.names[0], errno), func(t *testing.T) {
				f := fullNIC()
				f.refuses = map[uint32]error{k.command: errno}
				w := newTrial(t, f)
				err := w.tune(everything())
				// EINVAL of a feature, and EPERM of an interrupt, say that it cannot be changed at all.
				never := errno == unix.EOPNOTSUPP || errno == unix.EINVAL && k.command == setFlags || errno == unix.EPERM && k.command == refuseIRQs
				if errors.Is(err, ErrPartly) == never || !never && !strings.Contains(err.Error(), fmt.Sprintf("%d refused", len(k.names))) {
					t.Errorf("%v", err)
				}
				for _, name := range k.names {
					if never {
						w.tells(t, name+" is skipped: the driver refuses it")
					} else {
						w.tells(t, name+" stays", errno.Error(), k.advice[errno])
					}
				}
				s, err := w.readState("eth7")
				must(t, err)
				for _, name := range k.names {
					if s.has(name) {
						t.Errorf("%s is kept, and was not changed", name)
					}
				}
				if len(s.Old) != all-len(k.names) {
					t.Errorf("%d settings were changed, want %d: %v", len(s.Old), all-len(k.names), s.Old)
				}
				must(t, w.restore())
				sameAsFresh(t, f)
			})
		}
	}
}

func sameAsFresh(t *testing.T, f *fake) {
	t.Helper()
	fresh := fullNIC()
	if string(f.channels[4:]) != string(fresh.channels[4:]) || string(f.ring[4:]) != string(fresh.ring[4:]) || string(f.coalesce[4:]) != string(fresh.coalesce[4:]) ||
		f.flags != fresh.flags || fmt.Sprint(f.irqs, f.files) != fmt.Sprint(fresh.irqs, fresh.files) {
		t.Errorf("not as it was: %+v", f)
	}
}

// An interface that went away is no driver that lacks settings; a NIC that takes no tags may still look behind them.
func TestGoneAndTags(t *testing.T) {
	f := fullNIC()
	f.refuses = map[uint32]error{setRing: unix.ENODEV}
	w := newTrial(t, f)
	expect(t, w.tune(&Tuning{RxRing: number32(512)}), "1 refused")
	w.tells(t, "ring/rx stays 256", "went away")
	f = &fake{rules: map[uint32][]byte{}, size: 16, flags: flagNTuple, refuses: map[uint32]error{insertRule: unix.EOPNOTSUPP}}
	expect(t, newTrial(t, f).steer(&Rule{EtherType: 0x88B5, VLAN: 7}, SteerAuto), "cannot steer", "without --vlan")
}

// Restore goes on where a setting is refused, keeps that one alone, and a later try puts it back.
func TestRestoreGoesOn(t *testing.T) {
	for _, command := range []uint32{setChannels, setRing, setCoalesce, setFlags, refuseFiles, refuseIRQs} {
		f := fullNIC()
		w := newTrial(t, f)
		must(t, w.tune(everything()))
		f.refuses = map[uint32]error{command: unix.EBUSY}
		expect(t, w.restore(), "not everything could be done", "try again")
		s, err := w.readState("eth7")
		must(t, err)
		if s == nil || len(s.Old) == 0 || len(s.Old) > 3 {
			t.Errorf("%#x: kept %+v", command, s)
		}
		f.refuses = nil
		must(t, w.restore())
		sameAsFresh(t, f)
	}
}

// What a driver tells of its rules is read back as it was put in; what is of another kind, or matches by parts of fields, has no name.
func TestRulesAreRead(t *testing.T) {
	rules := []Rule{
		{EtherType: 0x88B5, Queue: 3}, {EtherType: 0x88B5, VLAN: 7, Queue: 1}, {UDPPort: 7000, Queue: 2},
		{UDPPort: 7000, IP: netip.MustParseAddr("10.0.0.9"), VLAN: 9, Queue: 0},
	}
	f := &fake{rules: map[uint32][]byte{}, size: 64}
	for i, r := range rules {
		f.rules[uint32(i)] = r.insert(uint32(i))
	}
	change := func(place uint32, r Rule, change func(b []byte)) {
		f.rules[place] = r.insert(place)
		change(f.rules[place])
	}
	change(10, rules[0], func(b []byte) { binary.NativeEndian.PutUint64(b[specQueue:], cookieDrop) })
	change(11, rules[0], func(b []byte) { binary.NativeEndian.PutUint64(b[specQueue:], 3<<32|1) })
	change(12, rules[0], func(b []byte) { b[specMask] = 0xff })                                   // by a part of the destination too
	change(13, rules[2], func(b []byte) { binary.BigEndian.PutUint32(b[specMask:], 0xffffffff) }) // by the source too
	change(14, rules[2], func(b []byte) { binary.NativeEndian.PutUint32(b[rxnfcSpec:], 1) })      // TCP
	change(15, rules[1], func(b []byte) { copy(b[specExtraMsk+extraTag:], []byte{0xff, 0xff}) })  // with the priority of the tag
	change(16, rules[0], func(b []byte) { binary.NativeEndian.PutUint32(b[rxnfcSpec:], flowEther|flowRSS) })
	all, err := listRulesOf(f)
	must(t, err)
	got := []string{}
	for _, p := range all {
		got = append(got, fmt.Sprintf("%d %v", p.Place, &p.Rule))
	}
	want := []string{
		"0 EtherType 0x88B5 to queue 3", "1 EtherType 0x88B5, VLAN 7 to queue 1", "2 UDP port 7000 to queue 2", "3 UDP port 7000 of 10.0.0.9, VLAN 9 to queue 0",
		"10 EtherType 0x88B5 dropped", "11 EtherType 0x88B5 to other queues than the interface's own", "12 other packets to queue 3", "13 other packets to queue 2",
		"14 other packets to queue 2", "15 EtherType 0x88B5, VLAN 7 to queue 1", "16 EtherType 0x88B5 to other queues than the interface's own",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, r := range rules {
		for _, place := range []uint32{locationAny, 0, 1023} {
			s, err := settingOf(ruleSetting{place: place, rule: r}.name())
			if err != nil || s != (ruleSetting{place: place, rule: r}) {
				t.Errorf("%v: %v, %v", r, s, err)
			}
		}
	}
	for _, text := range []string{"rule/x", "rule/7", "rule/7/nonsense", "irq/x", "irq/-1", "colour"} {
		if s, err := settingOf(text); err == nil {
			t.Errorf("%s: %v", text, s)
		}
	}
}

// Steering to where packets go already changes nothing; steering to another queue replaces our own rule, and leaves a stranger's alone.
func TestSteerAgain(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{}, size: 16, flags: flagNTuple, channels: channelsOf(0, 0, 4, 0, 0, 4)}
	w := newTrial(t, f)
	r := &Rule{EtherType: 0x88B5, Queue: 1}
	must(t, w.steer(r, SteerAuto))
	f.set = nil
	must(t, w.steer(r, SteerAuto))
	w.tells(t, "to queue 1 already, by rule 15")
	if len(f.set) != 0 {
		t.Errorf("changed %x", f.set)
	}
	must(t, w.steer(&Rule{EtherType: 0x88B5, Queue: 2}, SteerAuto))
	all, err := listRulesOf(f)
	must(t, err)
	if len(all) != 1 || all[0].Queue != 2 {
		t.Errorf("%+v", all)
	}
	must(t, w.restore())
	if len(f.rules) != 0 {
		t.Errorf("left: %v", f.rules)
	}

	f.rules[3] = r.insert(3)
	f.set = nil
	expect(t, w.steer(&Rule{EtherType: 0x88B5, Queue: 2}, SteerAuto), "rule 3", "wirepaxos did not make", "ethtool -N eth7 delete 3")
	f.rules[3] = (&Rule{UDPPort: 7000, Queue: 1}).insert(3)
	must(t, w.steer(&Rule{UDPPort: 7000, IP: netip.MustParseAddr("10.0.0.9"), Queue: 2}, SteerAuto))
	w.tells(t, "rule 3 has UDP port 7000 to queue 1: it may take these packets too")
	must(t, w.restore())
	if len(f.rules) != 1 || f.rules[3] == nil {
		t.Errorf("left: %v", f.rules)
	}
}

// A rule of somebody else that sits where ours was is not taken away.
func TestRestoreLeavesStrangersRules(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{}, size: 16, flags: flagNTuple}
	w := newTrial(t, f)
	must(t, w.steer(&Rule{EtherType: 0x88B5}, SteerAuto))
	f.rules[15] = (&Rule{UDPPort: 53, Queue: 1}).insert(15)
	must(t, w.restore())
	if len(f.rules) != 1 {
		t.Errorf("left: %v", f.rules)
	}
	// A driver that tells of our rule in other words is understood.
	must(t, w.steer(&Rule{EtherType: 0x88B5}, SteerAuto))
	binary.NativeEndian.PutUint32(f.rules[14][rxnfcSpec:], flowEther|flowMACExtra)
	f.rules[14][specMask] = 0xff
	must(t, w.restore())
	if len(f.rules) != 1 {
		t.Errorf("left: %v", f.rules)
	}
}

// A driver that chooses places itself is given none, and restore finds the rule wherever it is.
func TestDriverChoosesPlaces(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{7: (&Rule{UDPPort: 53}).insert(7)}, chooses: true, flags: flagNTuple}
	w := newTrial(t, f)
	must(t, w.steer(&Rule{EtherType: 0x88B5, VLAN: 3}, SteerAuto))
	if len(f.rules) != 2 {
		t.Fatalf("rules %v", f.rules)
	}
	must(t, w.restore())
	if len(f.rules) != 1 || f.rules[7] == nil {
		t.Errorf("left: %v", f.rules)
	}
}

// Where a rule is refused, UDP goes by the table; a refused table changes nothing. A table that was the driver's own is that again afterwards.
func TestSteerFallsBack(t *testing.T) {
	f := &fake{rules: map[uint32][]byte{}, size: 16, table: []uint32{0, 1, 2, 3}, channels: channelsOf(0, 0, 4, 0, 0, 4), refuses: map[uint32]error{insertRule: unix.EINVAL}}
	w := newTrial(t, f)
	must(t, w.steer(&Rule{UDPPort: 7000, Queue: 2}, SteerAuto))
	w.tells(t, "refused rule/15", "all IP packets are steered instead")
	if joinTable(f.table) != "2,2,2,2" || f.flags != flagNTuple {
		t.Errorf("%+v", f)
	}
	must(t, w.restore())
	if joinTable(f.table) != "0,1,2,3" || f.flags != 0 {
		t.Errorf("%+v", f)
	}
	if !slices.ContainsFunc(f.set, func(b []byte) bool { return string(b) == string(indirect(nil)) }) {
		t.Errorf("the table is not the driver's own again: %x", f.set)
	}

	w = newTrial(t, f)
	expect(t, w.steer(&Rule{EtherType: 0x88B5, Queue: 2}, SteerAuto), "cannot steer", "refused rule/15", "not everything", "nic restore eth7")
	must(t, w.restore())
	if f.flags != 0 {
		t.Errorf("%+v", f)
	}

	f.refuses[setIndirect] = unix.EBUSY
	w = newTrial(t, f)
	err := w.steer(&Rule{UDPPort: 7000, Queue: 2}, SteerRSS)
	expect(t, err, "refused the table")
	if !errors.Is(err, ErrPartly) || joinTable(f.table) != "0,1,2,3" {
		t.Errorf("%v, %+v", err, f)
	}
	// A table that somebody made is put back as it was.
	f.refuses, f.table = nil, []uint32{3, 3, 1, 1}
	w = newTrial(t, f)
	must(t, w.steer(&Rule{UDPPort: 7000, Queue: 2}, SteerRSS))
	must(t, w.restore())
	if joinTable(f.table) != "3,3,1,1" {
		t.Errorf("%v", f.table)
	}
}
