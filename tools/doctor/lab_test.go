package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/tools/netlab"
	"wirepaxos/tools/nic"
)

// labHost is where the tests look: an end of a veth pair with two queues.
const labHost = "a"

// newLab builds a pair of hosts, and takes it down at the test's end.
func newLab(t *testing.T) *netlab.Lab {
	t.Helper()
	if err := netlab.Supported(); err != nil {
		t.Skipf("needs root and veth: %v", err)
	}
	lab, err := netlab.Up(context.Background(), netlab.Spec{
		Name: fmt.Sprintf("doctor_%d", os.Getpid()), Hosts: []netlab.HostSpec{{Name: labHost, Queues: 2}, {Name: "b", Queues: 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// labNIC is the lines about the interface of the lab, looked at from its namespace.
func labNIC(t *testing.T, lab *netlab.Lab, n NIC) *Page {
	t.Helper()
	n.Name, n.Interface = "node 1", netlab.Interface
	e := &exam{need: &Need{AFXDP: true, NICs: []NIC{n}}, from: Here()}
	if err := lab.Do(labHost, func() error {
		e.nic(n)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &e.page
}

func expect(t *testing.T, page *Page, what string, grade Grade, words ...string) {
	t.Helper()
	l := page.line(t, what)
	if l.Grade != grade {
		t.Errorf("want %v: %v, %v", grade, l.Grade, l)
	}
	for _, w := range words {
		if !strings.Contains(l.String(), w) {
			t.Errorf("%q is missing in %v", w, l)
		}
	}
}

// The kernel itself: each fault is made on a veth pair, seen, and mended as the line says.
func TestLab(t *testing.T) {
	lab := newLab(t)
	host, err := lab.Host(labHost)
	if err != nil {
		t.Fatal(err)
	}
	const nic = netlab.Interface
	sound := NIC{Mode: afxdp.ModeCopy, MTU: 1400, MAC: host.MAC}

	page := labNIC(t, lab, sound)
	if page.Count(Red) > 0 {
		t.Errorf("nothing is wrong: %v", page.First())
	}
	expect(t, page, nic+" queue", Green, "0 is free", "0 to 1")
	expect(t, page, nic+" mode", Green, "veth", "native")
	expect(t, page, nic+" program", Green, "none")
	expect(t, page, nic+" steering", Yellow, "2 queues")

	bad := sound
	bad.Queue = 2
	expect(t, labNIC(t, lab, bad), nic+" queue", Red, "queue 2", "0 to 1", "--queues 3")
	bad = sound
	bad.Mode = afxdp.ModeZeroCopy
	expect(t, labNIC(t, lab, bad), nic+" mode", Red, "veth has no zero-copy")
	bad = sound
	bad.MAC = []byte{2, 0, 0, 0, 0, 77}
	expect(t, labNIC(t, lab, bad), nic+" MAC", Red, host.MAC.String(), "02:00:00:00:00:4d")

	inLab(t, lab, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1200) })
	expect(t, labNIC(t, lab, sound), nic+" MTU", Red, "1200", "ip link set dev wp0 mtu 1400")
	inLab(t, lab, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1500) })
	expect(t, labNIC(t, lab, sound), nic+" MTU", Green)

	inLab(t, lab, netlink.LinkSetDown)
	expect(t, labNIC(t, lab, sound), nic+" link", Red, "ip link set dev wp0 up")
	inLab(t, lab, netlink.LinkSetUp)
	expect(t, labNIC(t, lab, sound), nic+" link", Green)
}

func inLab(t *testing.T, lab *netlab.Lab, change func(netlink.Link) error) {
	t.Helper()
	if err := lab.Do(labHost, func() error {
		l, err := netlink.LinkByName(netlab.Interface)
		if err != nil {
			return err
		}
		return change(l)
	}); err != nil {
		t.Fatal(err)
	}
}

// A stranger's program, and ours.
func TestLabPrograms(t *testing.T) {
	lab := newLab(t)
	const nic = netlab.Interface
	sound := NIC{Mode: afxdp.ModeCopy, MTU: 1400}

	var attached link.Link
	inLab(t, lab, func(l netlink.Link) (err error) {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "stranger", Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer p.Close()
		attached, err = link.AttachXDP(link.XDPOptions{Program: p, Interface: l.Attrs().Index, Flags: link.XDPGenericMode})
		return err
	})
	page := labNIC(t, lab, sound)
	expect(t, page, nic+" program", Red, `"stranger"`, "ip link set dev wp0 xdpgeneric off")
	expect(t, page, nic+" mode", Yellow, "generic")
	if err := attached.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, labNIC(t, lab, sound), nic+" program", Green, "none")

	var port *afxdp.Port
	if err := lab.Do(labHost, func() (err error) {
		port, err = afxdp.Open(afxdp.Config{Interface: nic})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	expect(t, labNIC(t, lab, sound), nic+" program", Green, "ours")
}

// Interrupts that are not deferred while a socket polls: the command defers them.
func TestLabBusyPolling(t *testing.T) {
	lab := newLab(t)
	n := NIC{Mode: afxdp.ModeCopy, MTU: 1400, BusyPoll: true}
	const what = netlab.Interface + " busy polling"
	expect(t, labNIC(t, lab, n), what, Yellow, "napi_defer_hard_irqs 0", "wirepaxos nic tune wp0 --busy-poll")
	var tuning nic.Tuning // that command's
	tuning.BusyPolling()
	dir := t.TempDir()
	o := nic.Options{Places: nic.Places{Pins: dir + "/bpf", State: dir}, Say: t.Logf}
	inLab(t, lab, func(netlink.Link) error { return nic.Tune(o, netlab.Interface, tuning) })
	expect(t, labNIC(t, lab, n), what, Green, "2 polls, 200000 ns")
	inLab(t, lab, func(netlink.Link) error { return nic.Restore(o, netlab.Interface) })
	expect(t, labNIC(t, lab, n), what, Yellow)
}

// Hugepages that are wanted and not reserved: the command reserves them.
func TestHugePagesHere(t *testing.T) {
	const reserved = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	lock, err := os.Open(reserved)
	if err != nil {
		t.Skipf("needs hugepages: %v", err)
	}
	defer lock.Close()
	// Tests of other packages that change it wait here for one another.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(reserved)
	if err != nil || strings.TrimSpace(string(before)) != "0" || os.Getuid() != 0 {
		t.Skipf("needs root and a machine on which nobody has reserved hugepages: %q, %v", before, err)
	}
	need := &Need{Bare: true, HugePages: true}
	page := Examine(need, Here())
	expect(t, page, "hugepages", Red, "reserved: none", "echo 4 > "+reserved)
	defer func() {
		if err := os.WriteFile(reserved, before, 0o644); err != nil {
			t.Error(err)
		}
	}()
	if out, err := exec.Command("sh", "-c", page.line(t, "hugepages").Mend).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if now, err := os.ReadFile(reserved); err != nil || strings.TrimSpace(string(now)) != "4" {
		t.Skipf("needs 8 MiB of memory in one piece each of 2: %s, %v", now, err)
	}
	expect(t, Examine(need, Here()), "hugepages", Green, "4 free")
}

// This machine is whatever it is; the page about it is whole, and mends what it finds wrong.
func TestHere(t *testing.T) {
	page := Examine(&Need{Bare: true, FIFO: true, DMALatency: true, LockMemory: true}, Here())
	for _, l := range page.Lines {
		if l.What == "" || l.Text == "" || strings.Contains(l.String(), "\n") || (l.Grade > Green) == (l.Mend == "") {
			t.Errorf("%v: %+v", l.Grade, l)
		}
	}
	for _, what := range []string{"kernel", "capabilities", "AF_XDP socket", "XDP program", "clock source", "steal", "isolated cores", "locked memory", "hyper-threads", "NUMA nodes", "C-states", "frequency", "NICs"} {
		page.line(t, what)
	}
}
