package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/nic"
)

// Commands that cannot run say why in one line. None gets as far as an interface: there is none of that name.
func TestNICBadFlags(t *testing.T) {
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"nic nonsense", []string{`unknown command "nonsense"`, "nic --help"}},
		{"nic list wpx9", []string{`"wpx9"`, "does not exist", "nic list"}},
		{"nic attach", []string{"name one interface", "nic attach eth1"}},
		{"nic attach wpx9 wpx8", []string{"name one interface"}},
		{"nic attach wpx9", []string{`"wpx9"`, "does not exist"}},
		{"nic detach wpx9", []string{`"wpx9"`, "does not exist"}},
		{"nic restore wpx9", []string{`"wpx9"`, "does not exist"}},
		{"nic tune wpx9", []string{"say what to set", "--busy-poll"}},
		{"nic tune wpx9 --busy-poll", []string{`"wpx9"`, "does not exist"}},
		{"nic tune wpx9 --queues 0", []string{"--queues 0"}},
		{"nic tune wpx9 --loop-cores 3-1", []string{"--loop-cores", "3-1", "0-3,8"}},
		{"nic tune wpx9 --gro-flush-timeout -1us", []string{"--gro-flush-timeout"}},
		{"nic steer wpx9", []string{"say which packets", "--ethertype", "--udp-port"}},
		{"nic steer wpx9 --ethertype pigeon", []string{"--ethertype pigeon", "0x88B5"}},
		{"nic steer wpx9 --ethertype 0x88B5 --udp-port 7", []string{"one of the two"}},
		{"nic steer wpx9 --udp-port 7 --ip here", []string{"--ip here", "IPv4"}},
		{"nic steer wpx9 --udp-port 7 --by magic", []string{"--by magic", "ntuple or rss"}},
		{"nic steer wpx9 --ethertype 0x88B5 --by rss", []string{"--by rss", "queue 0"}},
	} {
		t.Run(c.args, func(t *testing.T) { refused(t, strings.Fields(c.args), c.words...) })
	}
}

// list works on any machine, also without root, and tells of every interface but the loopback one.
func TestNICListHere(t *testing.T) {
	p := begin(t, "nic", "list", "--json")
	if status := p.status(); status != 0 {
		t.Fatalf("status %d: %s", status, p.stderr.String())
	}
	var all []nic.Interface
	if err := json.Unmarshal([]byte(p.stdout.String()), &all); err != nil {
		t.Fatalf("%v in %s", err, p.stdout.String())
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i := range all {
		names[all[i].Name] = true
	}
	for _, l := range links {
		if names[l.Name] == (l.Flags&net.FlagLoopback != 0) {
			t.Errorf("%s: listed %v", l.Name, names[l.Name])
		}
	}
}

// nic runs a command of that name on a host of the bed's lab and gives what it printed.
func (b *bed) nic(host string, args ...string) string {
	b.t.Helper()
	p := newProgram(b.t, append([]string{"nic"}, args...)...)
	p.startIn(b.lab, host)
	if status := p.status(); status != 0 {
		b.t.Fatalf("%v: status %d: %s", args, status, p.stderr.String())
	}
	return p.stdout.String()
}

// looks asks `nic list` about the interface of a host.
func (b *bed) looks(host string) nic.Interface {
	b.t.Helper()
	h, err := b.lab.Host(host)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []nic.Interface
	text := b.nic(host, "list", h.Interface, "--json")
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
		b.t.Fatalf("%v: %s", err, text)
	}
	return all[0]
}

// pinFolders are the pins on this machine.
func pinFolders(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(afxdp.PinDir, "net*_if*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Two role processes share a NIC of two queues, are killed with -9 in any order and come back. Without `nic attach` nothing is left on the link when both
// are dead; with it the program stays, until `nic detach`, which leaves nothing either.
func TestKilledOnASharedNIC(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, layout: layoutSharedNIC, proposers: 3})
	const first, second = 5, 6 // proposers, on the third host; another one lives on
	host := b.plan.hosts[2].Name
	h, err := b.lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	b.startAll()
	b.goesOn("the start")
	gone := func(what string) {
		t.Helper()
		eventually(t, what, func() bool { return b.looks(host).Program == nil }, func() string { return fmt.Sprintf("%+v", b.looks(host)) })
	}
	killBoth := func(one, other uint16) {
		t.Helper()
		b.kill(one)
		b.goesOn("the death of one")
		eventually(t, "the queue of the dead is free, and no other", func() bool { return len(b.looks(host).Holders) == 1 }, b.describe)
		if i := b.looks(host); i.Program == nil {
			t.Fatalf("the program went with one of two: %+v", i)
		}
		b.kill(other)
	}
	killBoth(first, second)
	gone("nothing is left on the link")
	b.start(second, first)
	b.goesOn("their return")

	before := pinFolders(t)
	b.nic(host, "attach", h.Interface)
	t.Cleanup(func() { // before the lab goes, also when the test fails
		if len(pinFolders(t)) > len(before) {
			b.nic(host, "detach", h.Interface)
		}
	})
	pinned := b.looks(host)
	if !pinned.Pinned || len(pinned.Holders) != 2 || len(pinFolders(t)) != len(before)+1 {
		t.Fatalf("%+v", pinned)
	}
	for _, order := range [][2]uint16{{first, second}, {second, first}} {
		killBoth(order[0], order[1])
		eventually(t, "the queues are free", func() bool { return len(b.looks(host).Holders) == 0 }, b.describe)
		if i := b.looks(host); i.Program == nil || i.Program.ID != pinned.Program.ID {
			t.Fatalf("the program did not stay: %+v", i)
		}
		b.goesOn("the death of both")
		b.start(order[0], order[1])
		b.goesOn("their return")
	}
	if text := b.nic(host, "detach", h.Interface); !strings.Contains(text, "stays attached while processes have ports there") {
		t.Error(text)
	}
	b.goesOn("the detaching")
	killBoth(second, first)
	gone("nothing is left on the link after the detaching")
	if now := pinFolders(t); len(now) != len(before) {
		t.Fatalf("pins are left: %v, were %v", now, before)
	}
	b.start(first, second) // the files of their ring stay with whoever was killed last: those who come back take them up, and away
	b.agree()
}

// What is not ours flows on: a TCP connection through the kernel, as SSH is one, on the very interfaces on which roles run, both ways, while values go on.
func TestTCPBesideARole(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	b.startAll()
	b.goesOn("the start")
	server, client := b.plan.hosts[0].Name, b.plan.hosts[3].Name // of an acceptor and of the proposer
	h, err := b.lab.Host(server)
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	in := func(host string, fn func() error) {
		t.Helper()
		if err := b.lab.Do(host, fn); err != nil {
			t.Fatal(err)
		}
	}
	in(server, func() (err error) {
		listener, err = net.Listen("tcp4", net.JoinHostPort(h.IP.String(), "2222"))
		return err
	})
	defer listener.Close()
	go func() { // echoes one connection, until it is closed
		c, err := listener.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	var c net.Conn
	in(client, func() (err error) {
		c, err = net.DialTimeout("tcp4", listener.Addr().String(), testBound)
		return err
	})
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(testBound)); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		sent := bytes.Repeat([]byte{byte(round), 1, 2, 3, 5, 8, 13, 21}, 1<<13)
		go func() { _, _ = c.Write(sent) }() // a failure shows in what comes back
		back := make([]byte, len(sent))
		if _, err := io.ReadFull(c, back); err != nil || !bytes.Equal(sent, back) {
			t.Fatalf("round %d: %v, or other bytes", round, err)
		}
		b.goesOn("TCP beside it")
	}
	for _, host := range []string{server, client} {
		if i := b.looks(host); i.Program == nil || !i.Program.Ours || len(i.Holders) != 1 {
			t.Errorf("no role runs on %s: %+v", host, i)
		}
	}
	b.agree()
}

// A process with mounts of its own, as `ip netns exec` gives, pins among the machine's, or says that it cannot; pins that go with it would be a lie.
func TestAttachWithMountsOfItsOwn(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	host := b.plan.hosts[0].Name
	h, err := b.lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	before := pinFolders(t)
	p := newProgram(t, "nic", "attach", h.Interface)
	p.cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	p.startIn(b.lab, host)
	if p.status() == 0 {
		if i := b.looks(host); !i.Pinned || len(pinFolders(t)) != len(before)+1 {
			t.Errorf("pinned where nobody sees it: %+v", i)
		}
		b.nic(host, "detach", h.Interface)
		return
	}
	p.refuses("mounts of its own", "CAP_SYS_PTRACE")
	if i := b.looks(host); i.Program != nil || len(pinFolders(t)) != len(before) {
		t.Errorf("left behind: %+v", i)
	}
}

// A command that is told to look only says what it would do, and does nothing; exit status 0.
func TestNICDryRun(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	host := b.plan.hosts[0].Name
	h, err := b.lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"tune %s --busy-poll --dry-run", "gro_flush_timeout: 0 -> 200000"},
		{"attach %s --dry-run", "attach our XDP program"},
		{"detach %s --dry-run", "nothing is pinned"},
		{"restore %s --dry-run", "no setting was changed"},
	} {
		if text := b.nic(host, strings.Fields(fmt.Sprintf(c.args, h.Interface))...); !strings.Contains(text, c.says) {
			t.Errorf("%s: %s", c.args, text)
		}
	}
	if i := b.looks(host); i.Program != nil || i.Changed != 0 {
		t.Errorf("%+v", i)
	}
	b.nic(host, "tune", h.Interface, "--busy-poll")
	if i := b.looks(host); i.Changed != 2 {
		t.Errorf("%+v", i)
	}
	b.nic(host, "restore", h.Interface)
	if left, _ := filepath.Glob(filepath.Join(nic.DefaultPlaces().State, h.Interface+"@*")); len(left) > 0 {
		for _, path := range left {
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), h.MAC.String()) {
				t.Errorf("%s is left: %s", path, text)
			}
		}
	}
}
