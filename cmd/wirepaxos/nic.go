package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"wirepaxos/tools/nic"
)

func newNIC() *cobra.Command {
	c := &cobra.Command{
		Use:   "nic",
		Short: "Look at network interfaces, and set one up for roles",
		Long: `A NIC stays a Linux interface: roles take queues of it, and what is not theirs goes on to the kernel. These commands show what there is, and change
settings that poll loops profit from. Every change is printed before it is made; --dry-run prints alone. All but list need root.

  nic list      driver, queues, NUMA node, link, XDP and zero-copy support, XDP program, who holds which queue
  nic attach    keeps our XDP program on an interface while no role runs; nic detach ends that
  nic steer     makes a group's frames arrive on its queue
  nic tune      number of queues, rings, coalescing, what busy polling wants, interrupts off the cores of loops
  nic restore   puts back all that steer and tune changed

An interface that carries the default route is changed only with --force. What was, is kept in /run/wirepaxos/nic until restore: a reboot makes both the
settings and what was kept void.`,
		Example: `  wirepaxos nic list
  wirepaxos nic tune eth1 --queues 2 --busy-poll --loop-cores 2,3
  wirepaxos nic steer eth1 --ethertype 0x88B5 --queue 1
  wirepaxos nic attach eth1
  wirepaxos nic detach eth1 && wirepaxos nic restore eth1`,
	}
	c.AddCommand(newNICList(), newNICAttach(), newNICDetach(), newNICSteer(), newNICTune(), newNICRestore())
	return c
}

// nicFlags are those of every command that changes something.
type nicFlags struct{ force, dryRun bool }

func (f *nicFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.force, "force", false, "also if the interface carries the default route")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print what would be changed, and change nothing")
}

func (f *nicFlags) options() nic.Options {
	return nic.Options{
		Places: nic.DefaultPlaces(), Force: f.force, DryRun: f.dryRun,
		Say: func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
	}
}

// nicCommand is a command on one interface.
func nicCommand(verb, short, long, example string, do func(o nic.Options, name string) error) *cobra.Command {
	var f nicFlags
	c := &cobra.Command{
		Use: verb + " INTERFACE", Short: short, Long: long, Example: example,
		Args: oneInterface,
		RunE: func(_ *cobra.Command, args []string) error { return nicOutcome(do(f.options(), args[0])) },
	}
	f.add(c)
	return c
}

func oneInterface(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name one interface: `%s eth1`; `wirepaxos nic list` shows them", c.CommandPath())
	}
	return nil
}

// nicOutcome tells what was done in part from what could not be done.
func nicOutcome(err error) error {
	if errors.Is(err, nic.ErrPartly) {
		return failure{err}
	}
	return err
}

func newNICAttach() *cobra.Command {
	var replace bool
	c := nicCommand("attach", "Keep our XDP program on an interface",
		`Without it the first role on an interface attaches the program, others share it, and it goes with the last one. Some NICs reset their link each time.
attach pins program and maps in a bpffs of our own, mounted on /run/wirepaxos/bpf: they stay when no role runs, and roles that open a port use them. While no
role has a queue, all packets go to the kernel. Another XDP program is named, and stays; with --replace it is taken off, and is not put back later.`,
		"  wirepaxos nic attach eth1\n  wirepaxos nic attach eth1 --replace --dry-run",
		func(o nic.Options, name string) error {
			o.Replace = replace
			return nic.Attach(o, name)
		})
	c.Flags().BoolVar(&replace, "replace", false, "take off another XDP program that is attached")
	return c
}

func newNICDetach() *cobra.Command {
	return nicCommand("detach", "Take away what attach pinned",
		`Removes the pins, and the bpffs when nothing is left in it. Where roles run, the program goes with the last of them. Pins of interfaces that are gone are
removed too.`, "  wirepaxos nic detach eth1", nic.Detach)
}

func newNICRestore() *cobra.Command {
	return nicCommand("restore", "Put back what steer and tune changed",
		`Every setting that steer or tune changed goes back to what it was before the first change, the last one first; also after a crash of such a command.`,
		"  wirepaxos nic restore eth1 --dry-run", nic.Restore)
}

func newNICSteer() *cobra.Command {
	var etherType, ip, by string
	var r nic.Rule
	c := nicCommand("steer", "Make a group's frames arrive on its queue",
		`A port receives what arrives on its own queue. NICs send frames that are no IP to queue 0, and spread IP packets by a hash. steer puts in an ntuple rule
(as ethtool -N does): raw Ethernet frames by their EtherType, UDP by its destination port. Where the NIC has no such rules, --by rss sends all IP packets to the
queue by the hash's indirection table; raw Ethernet then works on queue 0 alone. restore takes rules and table back.`,
		`  wirepaxos nic steer eth1 --ethertype 0x88B5 --queue 1
  wirepaxos nic steer eth1 --udp-port 7000 --queue 2
  wirepaxos nic steer eth1 --udp-port 7000 --queue 0 --by rss`,
		func(o nic.Options, name string) error {
			if etherType != "" {
				n, err := strconv.ParseUint(etherType, 0, 16)
				if err != nil {
					return fmt.Errorf("--ethertype %s: want a number like 0x88B5", etherType)
				}
				r.EtherType = uint16(n)
			}
			if ip != "" {
				a, err := netip.ParseAddr(ip)
				if err != nil {
					return fmt.Errorf("--ip %s: want an IPv4 address", ip)
				}
				r.IP = a
			}
			return nic.Steer(o, name, r, by)
		})
	f := c.Flags()
	f.StringVar(&etherType, "ethertype", "", "of raw Ethernet frames; wirepaxos uses 0x88B5 if the cluster file does not say otherwise")
	f.Uint16Var(&r.UDPPort, "udp-port", 0, "destination port of UDP packets")
	f.StringVar(&ip, "ip", "", "destination address of UDP packets; any if empty")
	f.Uint16Var(&r.VLAN, "vlan", 0, "802.1Q tag")
	f.IntVar(&r.Queue, "queue", 0, "where they shall arrive")
	f.StringVar(&by, "by", nic.SteerAuto, "auto, ntuple or rss; auto: ntuple, and rss for UDP where the NIC has no rules")
	return c
}
