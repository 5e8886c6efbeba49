package afxdp

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// What cannot be opened says in one line what, where and what to do, and leaves nothing behind.
func TestOpenErrors(t *testing.T) {
	newNet(t, 2)
	good, _ := ends(LinkEthernet)
	goodUDP, _ := ends(LinkUDP4)
	cases := []struct {
		name  string
		want  error
		text  string
		spoil func(c *Config)
	}{
		{"missing interface", ErrNoInterface, "ip link", func(c *Config) { c.Interface = "wpnone" }},
		{"no interface", ErrConfig, "no interface", func(c *Config) { c.Interface = "" }},
		{"queue out of range", ErrNoQueue, "queues 0 to 1", func(c *Config) { c.Queue = 2 }},
		{"negative queue", ErrConfig, "negative", func(c *Config) { c.Queue = -1 }},
		{"zero-copy on veth", ErrNoZeroCopy, `"auto"`, func(c *Config) { c.Mode = ModeZeroCopy }},
		{"unknown mode", ErrConfig, "fast", func(c *Config) { c.Mode = "fast" }},
		{"cells of 1024", ErrConfig, "cells of 1024", func(c *Config) { c.CellSize = 1024 }},
		{"hugepages", ErrConfig, `"maybe"`, func(c *Config) { c.Hugepages = "maybe" }},
		{"unknown link", ErrConfig, "token-ring", func(c *Config) { c.Link = "token-ring" }},
		{"ring of 1000", ErrConfig, "TX ring of 1000", func(c *Config) { c.TxRing = 1000 }},
		{"cells of 32", ErrConfig, "cells of 32", func(c *Config) { c.Cells = 32 }},
		{"VLAN 5000", ErrConfig, "VLAN 5000", func(c *Config) { c.VLAN = 5000 }},
		{"EtherType of ARP", ErrConfig, "0x0806", func(c *Config) { c.EtherType = 0x0806 }},
		{"peer without MAC", ErrConfig, "peer 0", func(c *Config) { c.Peers[0].MAC = nil }},
		{"udp4 without port", ErrConfig, "UDP port", func(c *Config) { *c = goodUDP; c.UDPPort = 0 }},
		{"udp4 without address", ErrConfig, "ip addr add", func(c *Config) { *c = goodUDP; c.LocalIP = netip.Addr{} }},
		{"udp4 without route", ErrNoNeighbour, "no route", func(c *Config) { *c = goodUDP; c.Peers[0].MAC = nil }},
		{"busy poll", ErrConfig, "busy-poll", func(c *Config) { c.BusyPoll.Budget = -1 }},
	}
	before := leftovers(t)
	for _, c := range cases {
		config := good
		config.Peers = append([]PeerAddr(nil), good.Peers...)
		c.spoil(&config)
		p, err := Open(config)
		if err == nil {
			p.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		t.Log(err)
		if kind(t, err) != c.want || !errors.Is(err, c.want) || !contains(err.Error(), c.text) || contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %v and %q in one line", c.name, err, c.want, c.text)
		}
		if attached(t, nameA) != 0 {
			t.Errorf("%s: the program is still attached", c.name)
		}
	}
	expectNothingLeft(t, before)

	must(t, netlink.LinkSetDown(byName(t, nameA)))
	if _, err := Open(good); kind(t, err) != ErrInterfaceDown {
		t.Error(err)
	}
}

// A queue that is taken by another process says so; once that process is gone the retry finds it free.
func TestQueueTaken(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	holder := start(t, child{Config: ca})
	if got := holder.says(t); got != "open copy" {
		t.Fatal(got)
	}
	before := leftovers(t)
	ca.BusyRetry = 50 * time.Millisecond
	_, err := Open(ca)
	if kind(t, err) != ErrQueueTaken || !errors.Is(err, unix.EBUSY) {
		t.Fatal(err)
	}
	t.Log(err)
	expectNothingLeft(t, before)
	b := openPort(t, cb)
	expectEcho(t, b) // the holder was not disturbed

	ca.BusyRetry = patience
	gone := time.AfterFunc(50*time.Millisecond, func() { _ = holder.cmd.Process.Kill() })
	defer gone.Stop()
	exchange(t, openPort(t, ca), b)
}

// A queue that this process has is taken as well.
func TestQueueTakenByUs(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	a, b := openPort(t, ca), openPort(t, cb)
	ca.BusyRetry = -1
	if _, err := Open(ca); kind(t, err) != ErrQueueTaken {
		t.Fatal(err)
	}
	exchange(t, a, b)
}

// A child that was started while a port was open does not keep its queue.
func TestChildrenDoNotHoldTheQueue(t *testing.T) {
	newNet(t, 2)
	ca, cb := ends(LinkEthernet)
	a, err := Open(ca)
	must(t, err)
	other := start(t, child{Config: onQueue(ca, 1)})
	if got := other.says(t); got != "open copy" {
		t.Fatal(got)
	}
	must(t, a.Close())
	exchange(t, openPort(t, ca), openPort(t, cb))
}

// Whatever privilege is missing, wherever on the way it is noticed, the answer says so.
func TestNoPrivilege(t *testing.T) {
	newNet(t, 2)
	ca, _ := ends(LinkEthernet)
	refused := func(c child, kind error, advice string) {
		t.Helper()
		got := start(t, c).says(t)
		t.Log(got)
		if !contains(got, kind.Error()) || !contains(got, advice) {
			t.Errorf("%s; want %q and %q", got, kind, advice)
		}
	}
	refused(child{Config: ca, DropAll: true}, ErrNoPrivilege, "run as root")
	refused(child{Config: ca, Drop: []int{unix.CAP_NET_RAW}}, ErrNoPrivilege, "run as root")
	refused(child{Config: ca, Drop: []int{unix.CAP_BPF, unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN}}, ErrNoPrivilege, "run as root")
	refused(child{Config: ca, Drop: []int{unix.CAP_IPC_LOCK}, LockedKiB: 64}, ErrLockedMemory, "ulimit -l")
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
	openPort(t, ca)
	other := onQueue(ca, 1) // joining needs the right to open what another process made
	refused(child{Config: other, Drop: []int{unix.CAP_SYS_ADMIN}}, ErrNoPrivilege, "run as root")
}

// A kernel without AF_XDP is not at hand; what its socket(2) answers is.
func TestKernelWithoutAFXDP(t *testing.T) {
	if err := explainProbe(unix.EAFNOSUPPORT); err.Kind != ErrNoAFXDP {
		t.Error(err)
	}
	if err := explainProbe(unix.EPERM); err.Kind != ErrNoPrivilege {
		t.Error(err)
	}
}

// asavie/xdp gives errors as text; every one that we act on must be read back.
func TestErrnoOf(t *testing.T) {
	for _, e := range knownErrnos {
		if got := errnoOf(errors.New("syscall.Bind SockaddrXDP failed: " + e.Error())); got != e {
			t.Errorf("%v became %v", e, got)
		}
	}
	if got := errnoOf(errors.New("something else")); got != 0 {
		t.Errorf("nothing became %v", got)
	}
}

// leftover is what a port that was closed, or never opened, must not leave.
type leftover struct {
	descriptors, mappings int
	huge                  int    // mappings of hugepages
	locked, pinned        string // of /proc/self/status
}

func leftovers(t testing.TB) leftover {
	t.Helper()
	var l leftover
	for i := range 10 { // the watch of another port may be asking the kernel something, which is over soon
		fds, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		if i == 0 || len(fds) < l.descriptors {
			l.descriptors = len(fds)
		}
		time.Sleep(5 * time.Millisecond)
	}
	maps, err := socketMappings()
	must(t, err)
	l.mappings, l.huge = len(maps), hugeMappings(t)
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "VmLck" {
			l.locked = value
		} else if name == "VmPin" {
			l.pinned = value
		}
	}
	return l
}

// expectNothingLeft fails if more is there than before.
func expectNothingLeft(t testing.TB, before leftover) {
	t.Helper()
	if after := leftovers(t); after != before {
		t.Errorf("left behind: %+v, before %+v", after, before)
	}
}

// One queue opened and closed a hundred times is free each time, and nothing is left.
func TestOpenCloseHundredTimes(t *testing.T) {
	for _, pages := range []string{HugepagesOff, HugepagesOn} {
		t.Run(pages, func(t *testing.T) { openHundredTimes(t, pages) })
	}
}

func openHundredTimes(t *testing.T, pages string) {
	newNet(t, 1)
	if pages == HugepagesOn {
		reserveHugepages(t)
	}
	ca, cb := ends(LinkEthernet)
	ca.Hugepages, cb.Hugepages = pages, HugepagesOff
	b := openPort(t, cb)
	var before leftover
	var address uint64
	for i := range 101 {
		a, err := Open(ca)
		if err != nil {
			t.Fatalf("time %d: %v", i, err)
		}
		if i%10 == 0 {
			exchange(t, a, b)
		}
		must(t, a.Close())
		if i == 0 {
			before = leftovers(t) // what the runtime and the first use open for good is open now
		}
		if i == 10 {
			address = addressSpace(t) // the C library keeps memory for the threads that end, up to a bound
		}
	}
	expectNothingLeft(t, before)
	// A UMEM that stayed would be 8 MiB a time; a thread that the runtime starts meanwhile is 72 MiB.
	if now := addressSpace(t); now > address+400<<20 {
		t.Errorf("address space grew from %d to %d bytes", address, now)
	}
	if attached(t, nameA) != 0 {
		t.Error("the program is still attached")
	}
}

// addressSpace is the size of this process's address space, in bytes.
func addressSpace(t testing.TB) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	must(t, err)
	pages := uint64(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			break
		}
		pages = pages*10 + uint64(c-'0')
	}
	return pages * uint64(os.Getpagesize())
}
