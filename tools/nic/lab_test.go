package nic

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/netdev"
)

// The ends of the veth pair that every test makes for itself, in a network namespace of its own.
const nameA, nameB = "wpna", "wpnb"

// newNet gives the calling goroutine a thread in such a namespace, and places and a list of what was said.
func newNet(t *testing.T) (o Options, said func() string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and XDP")
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	must(t, err)
	inner, err := netns.New()
	if err != nil {
		home.Close()
		t.Skipf("needs network namespaces: %v", err)
	}
	dir := t.TempDir()
	pins := filepath.Join(dir, "bpf")
	t.Cleanup(func() {
		_ = unix.Unmount(pins, unix.MNT_DETACH) // where a test failed
		if l, err := netlink.LinkByName(nameA); err == nil {
			_ = netlink.LinkDel(l)
		}
		inner.Close()
		if err := netns.Set(home); err != nil {
			t.Errorf("back to the namespace of the test: %v", err) // the thread stays locked and dies with the goroutine
			return
		}
		home.Close()
		runtime.UnlockOSThread()
	})
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues = nameA, 4, 4
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNumRxQueues: 4, PeerNumTxQueues: 4}); err != nil {
		t.Skipf("needs veth: %v", err)
	}
	for _, name := range []string{nameA, nameB} {
		must(t, netlink.LinkSetUp(byName(t, name)))
	}
	var lines []string
	o = Options{Places: Places{Pins: pins, State: filepath.Join(dir, "state")}}
	o.Say = func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	return o, func() string { text := strings.Join(lines, "\n"); lines = nil; return text }
}

func byName(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

func list(t *testing.T, o Options, name string) Interface {
	t.Helper()
	all, err := List(o.Places, name)
	must(t, err)
	return all[0]
}

func sysfsFile(t *testing.T, name, file string) string {
	t.Helper()
	s, err := netdev.OpenSysfs(name, byName(t, name).Attrs().Index)
	must(t, err)
	defer s.Close()
	text, err := s.Read(file)
	must(t, err)
	return text
}

// What veth has is really changed, what it has not is skipped, and all of it goes back.
func TestTuneVeth(t *testing.T) {
	o, said := newNet(t)
	tuning := Tuning{Queues: number32(2), RxRing: number32(512), CoalesceUsecs: number32(0), KeepTags: true, LoopCores: []int{0}}
	tuning.BusyPolling()
	must(t, Tune(o, nameA, tuning))
	text := said()
	for _, line := range []string{"queues: rx 4 tx 4 combined 0 -> rx 2 tx 2 combined 0", "ring/rx is skipped", "rx-vlan-offload: on -> off"} {
		if !strings.Contains(text, nameA+": "+line) {
			t.Errorf("%q is missing in:\n%s", line, text)
		}
	}
	i := list(t, o, nameA)
	if i.Queues.Usable() != 2 || i.Queues.MaxRx != 4 || i.Changed != 4 {
		t.Errorf("%+v", i)
	}
	if a, b := sysfsFile(t, nameA, "napi_defer_hard_irqs"), sysfsFile(t, nameA, "gro_flush_timeout"); a != "2" || b != "200000" {
		t.Errorf("napi_defer_hard_irqs %s, gro_flush_timeout %s", a, b)
	}
	must(t, Restore(o, nameA))
	i = list(t, o, nameA)
	if i.Queues.Usable() != 4 || i.Changed != 0 {
		t.Errorf("%+v", i)
	}
	if a, b := sysfsFile(t, nameA, "napi_defer_hard_irqs"), sysfsFile(t, nameA, "gro_flush_timeout"); a != "0" || b != "0" {
		t.Errorf("napi_defer_hard_irqs %s, gro_flush_timeout %s", a, b)
	}
	expect(t, Steer(o, nameA, Rule{EtherType: 0x88B5, Queue: 1}, SteerAuto), nameA, "cannot steer", "no ntuple filters")
}

// The kernel itself refuses to take a queue away that has an AF_XDP socket: that is said, the rest is done, and it works once the socket is closed.
func TestTuneBesideASocket(t *testing.T) {
	o, said := newNet(t)
	port, err := afxdp.Open(afxdp.Config{Interface: nameA, Queue: 3, Mode: afxdp.ModeCopy})
	if err != nil {
		t.Skipf("needs AF_XDP: %v", err)
	}
	defer port.Close()
	tuning := Tuning{Queues: number32(2)}
	tuning.BusyPolling()
	expect(t, Tune(o, nameA, tuning), "not everything could be done (1 refused")
	if text := said(); !strings.Contains(text, "queues stays rx 4 tx 4") || !strings.Contains(text, "a queue that would go has an AF_XDP socket") {
		t.Error(text)
	}
	if i := list(t, o, nameA); i.Queues.Usable() != 4 || i.Changed != 2 {
		t.Errorf("%+v", i)
	}
	must(t, port.Close())
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) { // the kernel lets go of the queue a moment later
		if err = Tune(o, nameA, tuning); err == nil || time.Since(start) > 20*time.Second {
			break
		}
	}
	must(t, err)
	if i := list(t, o, nameA); i.Queues.Usable() != 2 || i.Changed != 3 {
		t.Errorf("%+v", i)
	}
	must(t, Restore(o, nameA))
	if i := list(t, o, nameA); i.Queues.Usable() != 4 || i.Changed != 0 {
		t.Errorf("%+v", i)
	}
}

// Attach leaves a program that no process holds, and says nothing is there to detach afterwards; the bpffs comes and goes with it.
func TestAttachDetach(t *testing.T) {
	o, said := newNet(t)
	o.DryRun = true
	must(t, Attach(o, nameA))
	if i := list(t, o, nameA); i.Program != nil {
		t.Fatalf("a dry run attached %+v", i.Program)
	}
	o.DryRun = false
	must(t, Attach(o, nameA))
	must(t, Attach(o, nameA)) // once more changes nothing
	must(t, Attach(o, nameB))
	i := list(t, o, nameA)
	if i.Program == nil || !i.Program.Ours || !i.Pinned {
		t.Fatalf("%+v", i)
	}
	must(t, Detach(o, nameA))
	if i := list(t, o, nameA); i.Program != nil || i.Pinned {
		t.Fatalf("%+v", i)
	}
	if mounted, err := o.pinsMounted(); err != nil || !mounted {
		t.Fatalf("the pins of %s have gone with those of %s: %v", nameB, nameA, err)
	}
	said()
	must(t, Detach(o, nameA))
	if text := said(); !strings.Contains(text, "nothing is pinned") {
		t.Fatal(text)
	}
	// The other interface goes away: its pins are swept by the next one.
	must(t, netlink.LinkDel(byName(t, nameB)))
	other := netlink.NewLinkAttrs()
	other.Name = "wpnc"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: other, PeerName: "wpnd"}))
	must(t, Detach(o, "wpnc"))
	if text := said(); !strings.Contains(text, "whose interface is gone") {
		t.Fatal(text)
	}
	if _, err := os.Stat(o.Pins); !os.IsNotExist(err) {
		t.Fatalf("the bpffs is left: %v", err)
	}
}

// A link that is away after attaching is waited for, and how long it took is told.
func TestLinkIsWaitedFor(t *testing.T) {
	o, said := newNet(t)
	before := byName(t, nameA)
	must(t, o.waitLink(before))
	if text := said(); text != "" {
		t.Fatalf("a link that is there: %s", text)
	}
	peer := byName(t, nameB)
	must(t, netlink.LinkSetDown(peer))
	here, err := netlink.NewHandle() // of this namespace, for another goroutine
	must(t, err)
	defer here.Close()
	time.AfterFunc(1200*time.Millisecond, func() { _ = here.LinkSetUp(peer) })
	must(t, o.waitLink(before))
	text := said()
	for _, word := range []string{"waiting for it, 1s so far", "it is back after"} {
		if !strings.Contains(text, word) {
			t.Errorf("%q is missing in %q", word, text)
		}
	}
}

// While a port is open its program survives the detaching, and list tells of it and of the queue's holder.
func TestListTellsWhoHolds(t *testing.T) {
	o, said := newNet(t)
	port, err := afxdp.Open(afxdp.Config{Interface: nameA, Queue: 2, Mode: afxdp.ModeCopy})
	if err != nil {
		t.Skipf("needs AF_XDP: %v", err)
	}
	defer port.Close()
	must(t, Attach(o, nameA))
	must(t, Detach(o, nameA))
	if text := said(); !strings.Contains(text, "stays attached while processes have ports there") {
		t.Fatal(text)
	}
	i := list(t, o, nameA)
	if i.Driver != "veth" || !i.Up || !i.Running || i.MTU != 1500 || !i.XDP.Native || i.XDP.ZeroCopy || i.NUMANode != -1 || i.DefaultRoute {
		t.Errorf("%+v", i)
	}
	if i.Program == nil || !i.Program.Native || i.Pinned {
		t.Errorf("%+v", i)
	}
	mine := func(p Process) bool { return p.PID == os.Getpid() }
	if len(i.Holders) != 1 || i.Holders[0].Queue != 2 || !slices.ContainsFunc(i.Holders[0].Processes, mine) {
		t.Errorf("holders %+v, notes %v", i.Holders, i.Notes)
	}
	for _, word := range []string{"veth", "native, copy only", "ours", "goes with the last process", "queue 2", fmt.Sprint("pid ", os.Getpid())} {
		if !strings.Contains(i.String(), word) {
			t.Errorf("%q is missing in\n%s", word, i.String())
		}
	}
	text, err := json.Marshal(&i)
	must(t, err)
	back := Interface{}
	must(t, json.Unmarshal(text, &back))
	if back.String() != i.String() {
		t.Errorf("JSON tells another thing:\n%s%s", i.String(), back.String())
	}
	must(t, port.Close())
	for start := time.Now(); len(list(t, o, nameA).Holders) != 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatal("the queue is held after the port was closed")
		}
	}
}

// A stranger's program is named and stays; ports and attach refuse.
func TestAttachRefusesStranger(t *testing.T) {
	o, _ := newNet(t)
	stop := attachStranger(t, nameA)
	defer stop()
	expect(t, Attach(o, nameA), nameA, `"somebody_else"`, "--replace")
	i := list(t, o, nameA)
	if i.Program == nil || i.Program.Ours || i.Program.Name != "somebody_else" {
		t.Fatalf("%+v", i.Program)
	}
	if !strings.Contains(i.String(), "a stranger's") {
		t.Fatal(i.String())
	}
	if _, err := os.Stat(o.Pins); !os.IsNotExist(err) {
		t.Fatalf("the bpffs is left: %v", err)
	}
}

// A default route goes also over what lies below the interface that it names, however deep; not over the other end of a veth.
func TestLowerLayers(t *testing.T) {
	at := func(index, above, parent int) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, MasterIndex: above, ParentIndex: parent}
	}
	links := []netlink.Link{
		&netlink.Device{LinkAttrs: at(2, 4, 0)}, // a port of the bond
		&netlink.Device{LinkAttrs: at(3, 4, 0)}, // another
		&netlink.Bond{LinkAttrs: at(4, 0, 0)},
		&netlink.Vlan{LinkAttrs: at(5, 0, 4)}, // on the bond
		&netlink.Veth{LinkAttrs: at(6, 0, 7)},
		&netlink.Veth{LinkAttrs: at(7, 0, 6)},
		&netlink.Device{LinkAttrs: at(8, 0, 0)},
	}
	for from, want := range map[int][]int{5: {2, 3, 4, 5}, 4: {2, 3, 4}, 2: {2}, 6: {6}, 8: {8}} {
		carriers := map[int]bool{from: true}
		addAllLower(carriers, links)
		if got := slices.Sorted(maps.Keys(carriers)); !slices.Equal(got, want) {
			t.Errorf("a route over %d goes over %v, want %v", from, got, want)
		}
	}
}

// What carries the default route is left alone without force: the interface that the route names, and the one under a VLAN.
func TestDefaultRouteIsGuarded(t *testing.T) {
	o, said := newNet(t)
	over := []string{nameA}
	vlan := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "wpna.7", ParentIndex: byName(t, nameA).Attrs().Index}, VlanId: 7}
	if err := netlink.LinkAdd(vlan); err == nil {
		over = append(over, vlan.Name)
	} else {
		t.Logf("without a VLAN interface: %v; TestLowerLayers has what lies below", err)
	}
	for _, name := range over {
		carrier := byName(t, name)
		must(t, netlink.LinkSetUp(carrier))
		_, all, err := net.ParseCIDR("0.0.0.0/0")
		must(t, err)
		route := &netlink.Route{LinkIndex: carrier.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK, Table: 77} // of any table
		must(t, netlink.RouteAdd(route))
		tuning := Tuning{}
		tuning.BusyPolling()
		for what, err := range map[string]error{
			"attach": Attach(o, nameA), "detach": Detach(o, nameA), "tune": Tune(o, nameA, tuning), "restore": Restore(o, nameA),
			"steer": Steer(o, nameA, Rule{EtherType: 0x88B5}, SteerAuto),
		} {
			if err == nil || !strings.Contains(err.Error(), "carries the default route") || !strings.Contains(err.Error(), "--force") {
				t.Errorf("%s over %s: %v", what, name, err)
			}
		}
		if i := list(t, o, nameA); !i.DefaultRoute || i.Program != nil || sysfsFile(t, nameA, "gro_flush_timeout") != "0" {
			t.Errorf("%+v", i)
		}
		if i := list(t, o, nameB); i.DefaultRoute {
			t.Errorf("%+v", i)
		}
		if text := said(); text != "" {
			t.Errorf("said %s", text)
		}
		forced := o
		forced.Force = true
		must(t, Tune(forced, nameA, tuning))
		must(t, Restore(forced, nameA))
		must(t, netlink.RouteDel(route))
		said()
	}
}
