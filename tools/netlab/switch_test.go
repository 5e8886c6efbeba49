package netlab

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var everyone = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Every host reaches every other one and nobody else; multicast reaches all but the sender.
func TestForwarding(t *testing.T) {
	for _, n := range []int{2, 3, 6} {
		t.Run(fmt.Sprint(n, " hosts"), func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c", "d", "e", "f")[:n], ForceSwitch: true})
			wires := make([]*wire, n)
			for i, h := range lab.Hosts() {
				wires[i] = plug(t, lab, h.Name, etherTypeTest)
			}
			group := net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
			for i, from := range wires {
				for j, to := range wires {
					if i != j {
						from.send(from.frameTo(to.host.MAC, 100*i+j))
					}
				}
				from.send(from.frameTo(everyone, 1000+i))
				from.send(from.frameTo(group, 2000+i))
				from.send(from.frameTo(from.host.MAC, 3000+i))                                // a switch does not hairpin
				from.send(from.frameTo(net.HardwareAddr{0x02, 0x57, 0x50, 0, 0, 99}, 4000+i)) // nobody's
			}
			settle(t, wires...)
			for j, to := range wires {
				want := make(map[int]int)
				for i := range wires {
					if i != j {
						want[100*i+j], want[1000+i], want[2000+i] = 1, 1, 1
					}
				}
				if got := to.count(len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("host %s got %v, want %v", to.host.Name, got, want)
				}
				if c := counters(t, lab, to.host.Name); c.Forwarded != uint64(n-1+2) || c.Unknown != 2 {
					t.Errorf("host %s: %+v", to.host.Name, c)
				}
			}
		})
	}
}

// A rate of one in four, by count. With 10,000 frames the bounds lie some ten standard deviations out.
func TestFaultRates(t *testing.T) {
	const frames, quarter, slack = 10_000, 2_500, 500
	near := func(got uint64) bool { return got > quarter-slack && got < quarter+slack }
	cases := map[string]struct {
		faults Faults
		check  func(c Counters, lost, doubled int) bool
	}{
		"none": {Faults{}, func(c Counters, lost, doubled int) bool {
			return c.Forwarded == frames && lost == 0 && doubled == 0
		}},
		"drop": {Faults{DropPPM: million / 4}, func(c Counters, lost, doubled int) bool {
			return near(c.Dropped) && lost == int(c.Dropped) && doubled == 0
		}},
		"duplicate": {Faults{DuplicatePPM: million / 4}, func(c Counters, lost, doubled int) bool {
			return near(c.Duplicated) && lost == 0 && doubled == int(c.Duplicated)
		}},
		"delay": {Faults{DelayPPM: million / 4, Delay: time.Millisecond}, func(c Counters, lost, doubled int) bool {
			return near(c.Delayed+c.Undelayed) && c.Released == c.Delayed && lost == 0 && doubled == 0
		}},
		"all": {Faults{DropPPM: million, DuplicatePPM: million}, func(c Counters, lost, doubled int) bool {
			return c.Dropped == frames && lost == frames && doubled == 0
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b"), Faults: tc.faults, ForceSwitch: true})
			if got, err := lab.Faults(); got != tc.faults || err != nil {
				t.Errorf("faults read back: %+v, %v", got, err)
			}
			a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest)
			for i := range frames {
				a.send(a.frameTo(b.host.MAC, i))
			}
			settle(t, a)
			c := counters(t, lab, "a")
			lost, doubled := frames, 0
			for _, times := range b.count(int(c.Forwarded + c.Duplicated + c.Released)) {
				lost--
				if times == 2 {
					doubled++
				} else if times > 2 {
					t.Errorf("a frame came %d times", times)
				}
			}
			if !tc.check(c, lost, doubled) {
				t.Errorf("lost %d, doubled %d, %+v", lost, doubled, c)
			}
		})
	}
}

func TestFaultsWhileRunning(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	a, b, c := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest), plug(t, lab, "c", etherTypeTest)
	set := func(f Faults) {
		t.Helper()
		settle(t, a)
		if err := lab.SetFaults(f); err != nil {
			t.Fatal(err)
		}
	}
	set(Faults{DropPPM: million})
	a.send(a.frameTo(everyone, 1))
	set(Faults{DuplicatePPM: million})
	a.send(a.frameTo(everyone, 2))
	set(Faults{DelayPPM: million, Delay: time.Millisecond})
	a.send(a.frameTo(everyone, 3))
	set(Faults{})
	a.send(a.frameTo(everyone, 4))
	for _, w := range []*wire{b, c} {
		if got := w.count(4); got[1] != 0 || got[2] != 2 || got[3] != 1 || got[4] != 1 {
			t.Errorf("host %s got %v", w.host.Name, got)
		}
	}
	if got := a.count(0); len(got) != 0 {
		t.Errorf("the sender got %v", got)
	}
	for _, wrong := range []Faults{{DropPPM: million + 1}, {DelayPPM: 1}, {DelayPPM: 1, Delay: time.Hour}} {
		if err := lab.SetFaults(wrong); err == nil {
			t.Errorf("%+v was accepted", wrong)
		}
	}
}

// Delayed frames come in the order in which they are due, and no sooner.
func TestDelayHolds(t *testing.T) {
	const delay, frames = 50 * time.Millisecond, 20
	lab := up(t, Spec{Hosts: hostsNamed("a", "b"), Faults: Faults{DelayPPM: million, Delay: delay}})
	a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest)
	sent := time.Now()
	for i := range frames {
		a.send(a.frameTo(b.host.MAC, i))
	}
	for i := range frames {
		frame := b.receive(testBound)
		if frame == nil {
			t.Fatalf("frame %d did not come", i)
		}
		if !bytes.Equal(frame, a.frameTo(b.host.MAC, i)) {
			t.Fatalf("frame %d came as %x", i, frame)
		}
		if held := time.Since(sent); held < delay {
			t.Fatalf("frame %d came after %v", i, held)
		}
	}
	if err := lab.SetFaults(Faults{DelayPPM: million, Delay: MaxDelay}); err != nil {
		t.Fatal(err)
	}
	a.send(a.frameTo(b.host.MAC, frames)) // Down does not wait for it
}

func TestCutAndHeal(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	wires := make([]*wire, 3)
	for i, h := range lab.Hosts() {
		wires[i] = plug(t, lab, h.Name, etherTypeTest)
	}
	// reach sends from everyone to everyone, alone and by broadcast, and draws who got what: "ab" is a frame from a to b.
	reach := func(want string) string {
		t.Helper()
		for i, from := range wires {
			for j, to := range wires {
				if i != j {
					from.send(from.frameTo(to.host.MAC, i))
				}
			}
			from.send(from.frameTo(everyone, 10+i))
		}
		settle(t, wires...)
		var drawn string
		for j, to := range wires {
			got := to.count(2 * strings.Count(want, to.host.Name+" "))
			for i, from := range wires {
				if got[i] != got[10+i] {
					t.Errorf("%s to %s: %d frames alone, %d by broadcast", from.host.Name, to.host.Name, got[i], got[10+i])
				}
				if i != j && got[i] == 1 {
					drawn += from.host.Name + to.host.Name + " "
				}
			}
		}
		return drawn
	}
	for _, step := range []struct {
		do       func(from, to string) error
		from, to string
		want     string
	}{
		{lab.Cut, "a", "b", "ba ca bc ac cb "},
		{lab.Cut, "b", "a", "ca bc ac cb "},
		{lab.Heal, "a", "b", "ca ab cb ac bc "},
		{lab.Cut, "c", "", "ab ac bc "},
		{lab.Cut, "", "c", "ab "},
		{lab.Heal, "", "", "ba ca ab cb ac bc "},
		{lab.Cut, "", "", ""},
		{lab.Heal, "", "b", "ab cb "},
	} {
		if err := step.do(step.from, step.to); err != nil {
			t.Fatal(err)
		}
		if got := reach(step.want); sorted(got) != sorted(step.want) {
			t.Errorf("after %q %q: %q, want %q", step.from, step.to, got, step.want)
		}
	}
	if c := counters(t, lab, "c"); c.Cut == 0 {
		t.Errorf("cut frames were not counted: %+v", c)
	}
	if err := lab.Cut("a", "nobody"); err == nil {
		t.Error("an unknown host was cut")
	}
}

func sorted(words string) string {
	all := bytes.Fields([]byte(words))
	for i := range all {
		for j := i; j > 0 && bytes.Compare(all[j-1], all[j]) > 0; j-- {
			all[j-1], all[j] = all[j], all[j-1]
		}
	}
	return string(bytes.Join(all, []byte(" ")))
}

// No frame gets past the programs to the protocols of the switch's namespace, which would count it as dropped.
func TestNothingReachesTheSwitchItself(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c"), Faults: Faults{DuplicatePPM: million}})
	if err := lab.Cut("a", "b"); err != nil {
		t.Fatal(err)
	}
	a, c := plug(t, lab, "a", etherTypeTest), plug(t, lab, "c", etherTypeTest)
	for i := range 10 {
		a.send(a.frameTo(c.host.MAC, i))
		a.send(a.frameTo(everyone, i))
	}
	settle(t, a)
	if got := c.count(40); got[0] != 4 {
		t.Errorf("got %v", got)
	}
	err := inNamespace(namespaceOf(lab.Name(), switchName), func() error {
		link, err := netlink.LinkByName(endName(0))
		if err == nil && link.Attrs().Statistics.RxDropped != 0 {
			t.Errorf("%d frames did", link.Attrs().Statistics.RxDropped)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A frame that is delayed while the way is cut does not arrive, and counts as released.
func TestCutHoldsForDelayedFrames(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b"), Faults: Faults{DelayPPM: million, Delay: 2 * time.Second}})
	a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest)
	a.send(a.frameTo(b.host.MAC, 1))
	eventually(t, "the frame is held", func() bool { return counters(t, lab, "a").Delayed == 1 })
	if err := lab.Cut("a", "b"); err != nil {
		t.Fatal(err)
	}
	settle(t, a)
	if got := b.count(0); len(got) != 0 {
		t.Errorf("it arrived: %v", got)
	}
}

// The rules of a host with several queues choose, tag or not; queue 0 gets the rest. What has its own queue gets no other frame.
func TestSteering(t *testing.T) {
	const queues = 3
	lab := up(t, Spec{Hosts: []HostSpec{
		{Name: "a"},
		{Name: "b", Queues: queues, Steer: []Rule{
			{Offset: 14, Bytes: []byte{1, 0, 0, 0}, Queue: 1}, // number 1, as frameTo writes it
			{Offset: 14, Bytes: []byte{2, 0}, Queue: 2},
			{Offset: 17, Bytes: []byte{0x80}, Queue: 1},
			{Offset: 2000, Bytes: []byte{0}, Queue: 2}, // past the end of every frame
		}},
	}})
	a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", 0x0003)
	tag := func(frame []byte) []byte {
		return append(frame[:12:12], append([]byte{0x81, 0, 0, 7}, frame[12:]...)...)
	}
	to := b.host.MAC
	for _, step := range []struct {
		frame []byte
		queue int
	}{
		{a.frameTo(to, 1), 1}, {a.frameTo(to, 2), 2}, {a.frameTo(to, 2|1<<16), 2}, {a.frameTo(to, 1|1<<16), 0},
		{a.frameTo(to, 0x80<<24), 1}, {a.frameTo(to, 3), 0}, {a.frameTo(everyone, 2), 2},
		{tag(a.frameTo(to, 1)), 1}, {tag(a.frameTo(to, 2)), 2}, {tag(a.frameTo(to, 3)), 0}, {a.frameTo(to, 1)[:14], 0},
		{nil, 0}, // from here on with a delay: the serving process sends them
		{a.frameTo(to, 1), 1}, {a.frameTo(to, 3), 0}, {tag(a.frameTo(to, 1)), 1}, {tag(a.frameTo(to, 3)), 0}, {a.frameTo(everyone, 2), 2},
	} {
		if step.frame == nil {
			if err := lab.SetFaults(Faults{DelayPPM: million, Delay: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		before := queueCounts(t, lab, "b", queues)
		a.send(step.frame)
		if b.receive(testBound) == nil {
			t.Fatalf("%x did not arrive", step.frame)
		}
		eventually(t, fmt.Sprintf("queue %d counts %x", step.queue, step.frame[:18:18]), func() bool {
			after := queueCounts(t, lab, "b", queues)
			for q := range after {
				after[q] -= before[q]
			}
			want := make([]uint64, queues)
			want[step.queue] = 1
			return fmt.Sprint(after) == fmt.Sprint(want)
		})
	}
}

// queueCounts reads how many frames each receive queue of a host has had.
func queueCounts(t *testing.T, lab *Lab, host string, queues int) []uint64 {
	t.Helper()
	counts := make([]uint64, queues)
	err := lab.Do(host, func() error {
		stats, err := ethtool.Stats(Interface)
		for q := range counts {
			counts[q] = stats[fmt.Sprintf("rx_queue_%d_xdp_packets", q)]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// A program of the host's own can be attached, sees what is redirected to it, and leaves the host reachable when it is gone.
func TestHostsOwnProgram(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest)
	attach := func(fd int) error {
		return lab.Do("b", func() error {
			link, err := netlink.LinkByName(Interface)
			if err != nil {
				return err
			}
			return netlink.LinkSetXdpFdWithFlags(link, fd, unix.XDP_FLAGS_DRV_MODE)
		})
	}
	drop, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, xdpDrop), asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = drop.Close() }()
	for number, fd := range []int{-1, drop.FD(), -1} {
		if fd >= 0 || number > 0 {
			if err := attach(fd); err != nil {
				t.Fatal(err)
			}
		}
		a.send(a.frameTo(b.host.MAC, number))
		settle(t, a)
		total := 1
		if fd >= 0 {
			total = 0
		}
		if got := b.count(total); got[number] != total {
			t.Errorf("program %d: got %v", fd, got)
		}
	}
}
