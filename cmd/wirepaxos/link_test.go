package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/paxos/cluster"
)

// onLink calls fn with the interface of the host with a node, on a thread in its namespace.
func (b *bed) onLink(id uint16, fn func(l netlink.Link) error) {
	b.t.Helper()
	host := b.plan.hosts[id-1].Name
	h, err := b.lab.Host(host)
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.lab.Do(host, func() error {
		l, err := netlink.LinkByName(h.Interface)
		if err != nil {
			return err
		}
		return fn(l)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// troubled waits until the status of a node has words among its troubles; "": until nothing of its interface is.
func (b *bed) troubled(id uint16, words string) {
	b.t.Helper()
	var last []string
	eventually(b.t, fmt.Sprintf("node %d has trouble %q", id, words), func() bool {
		last = b.status(id).Trouble
		if words == "" {
			return !slices.ContainsFunc(last, func(s string) bool { return strings.Contains(s, "queue 0: ") })
		}
		return slices.ContainsFunc(last, func(s string) bool { return strings.Contains(s, words) })
	}, func() string { return strings.Join(last, "\n") })
}

// health is what a node's port tells of its interface.
func (b *bed) health(id uint16) afxdp.Health {
	b.t.Helper()
	for _, p := range b.status(id).Ports {
		if p.Health != nil {
			return *p.Health
		}
	}
	b.t.Fatalf("node %d tells nothing of its interface", id)
	return afxdp.Health{}
}

// Nodes of a bed with 3 acceptors, 1 proposer, 1 learner and 1 client, each with a host of its own.
const (
	anAcceptor  = 1
	theProposer = 4
)

// The interface of the only proposer is set down, loses its carrier, gets a small MTU, and goes away, and each time comes back: it is told in a line when it happens
// and in one when it is over, the status says so meanwhile, and values go on without anything being started again.
func TestInterfaceGoesAndComesBack(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	b.startAll()
	b.goesOn("the start")

	b.onLink(theProposer, netlink.LinkSetDown)
	b.tells(theProposer, "queue 0: the interface was set down")
	b.troubled(theProposer, "nothing comes or goes until `ip link set dev wp0 up`")
	b.onLink(theProposer, netlink.LinkSetUp)
	b.tells(theProposer, "queue 0: the link is back after ")
	b.troubled(theProposer, "")
	b.goesOn("its link")

	b.onLink(theProposer, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 600) })
	b.tells(theProposer, "MTU is 600: frames with more than 600 bytes")
	b.troubled(theProposer, "or restart every process of the cluster with a smaller mtu in its file")
	b.onLink(theProposer, func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1500) })
	b.tells(theProposer, "MTU is 1500 again")
	b.troubled(theProposer, "")
	b.goesOn("the old MTU")

	for round := range uint64(2) {
		b.unplugged(theProposer, func() {
			b.tells(theProposer, "queue 0: the interface is gone")
			b.troubled(theProposer, "waiting for one of that name")
		})
		eventually(t, "it is opened anew", func() bool { return b.health(theProposer).Reopened == round+1 }, b.describe)
		b.tells(theProposer, "the queue is bound anew, in mode copy")
		b.troubled(theProposer, "")
		b.goesOn("its return")
	}
	if h := b.health(theProposer); h.State != afxdp.LinkUp || h.Losses != 3 || h.AwayS <= 0 {
		t.Errorf("%+v", h)
	}
	b.agree()
}

// unplugged takes the interface of a node's host out of its namespace, as when a device is unplugged, calls meanwhile, and puts it back.
func (b *bed) unplugged(id uint16, meanwhile func()) {
	b.t.Helper()
	elsewhere := netns.None()
	defer func() { _ = elsewhere.Close() }()
	b.onLink(id, func(l netlink.Link) error {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		if elsewhere, err = netns.New(); err != nil {
			return err
		}
		if err := netns.Set(home); err != nil {
			return err
		}
		return netlink.LinkSetNsFd(l, int(elsewhere))
	})
	meanwhile()
	host := b.plan.hosts[id-1].Name
	err := b.lab.Do(host, func() error {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		if err := netns.Set(elsewhere); err != nil {
			return err
		}
		l, err := netlink.LinkByName("wp0")
		if err == nil {
			err = netlink.LinkSetNsFd(l, int(home))
		}
		if back := netns.Set(home); err == nil {
			err = back
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.onLink(id, netlink.LinkSetUp)
}

// Acceptors that learn by multicast and whose interfaces go one after the other come back to it: values go on while one is away, and
// when all but one have been, those that came back vote.
func TestInterfacesGoInTurn(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, multicast: true})
	b.startAll()
	b.goesOn("the start")
	for id := uint16(anAcceptor); id < theProposer; id++ {
		b.unplugged(id, func() {
			b.tells(id, "the interface is gone")
			b.goesOn("the loss of an acceptor")
		})
		eventually(t, "it is opened anew", func() bool { return b.health(id).Reopened == 1 }, b.describe)
		from := b.status(id).Acceptors[0].High
		b.goesOn("its return")
		eventually(t, "it votes again", func() bool { return b.status(id).Acceptors[0].High > from }, b.describe)
	}
	b.agree()
}

// The program of a stranger keeps a role off the interface, which names it; `nic attach --replace`, which names it too, lets the role on.
func TestStrangerIsReplaced(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	host := b.plan.hosts[anAcceptor-1].Name
	h, err := b.lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "somebody_else", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}}) // XDP_PASS
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	b.onLink(anAcceptor, func(l netlink.Link) error { return netlink.LinkSetXdpFd(l, prog.FD()) })
	k := b.nodes[anAcceptor]
	if err := b.launch(k); err != nil {
		t.Fatal(err)
	}
	b.gone(anAcceptor)
	for _, words := range []string{`program "somebody_else" (id `, "nic attach " + h.Interface + " --replace"} {
		if text := b.told[k].String(); !strings.Contains(text, words) {
			t.Errorf("%q is missing in %s", words, text)
		}
	}
	if text := b.nic(host, "attach", h.Interface, "--replace"); !strings.Contains(text, `take off the XDP program "somebody_else"`) {
		t.Error(text)
	}
	t.Cleanup(func() { b.nic(host, "detach", h.Interface) })
	b.startAll()
	b.goesOn("the stranger's end")
	b.agree()
}

// Two processes that share an interface both come back to it, and to one program.
func TestSharedInterfaceGoes(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, layout: layoutSharedNIC, proposers: 3})
	const first, second = 5, 6 // proposers, on the third host; another one lives on
	host := uint16(3)
	b.startAll()
	b.goesOn("the start")
	b.unplugged(host, func() {
		for _, id := range []uint16{first, second} {
			b.tells(id, "the interface is gone")
		}
	})
	for _, id := range []uint16{first, second} {
		eventually(t, "it is opened anew", func() bool { return b.health(id).Reopened == 1 }, b.describe)
	}
	b.goesOn("their return")
	if i := b.looks(b.plan.hosts[host-1].Name); i.Program == nil || len(i.Holders) != 2 {
		t.Errorf("%+v", i)
	}
	b.agree()
}
