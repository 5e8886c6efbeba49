package doctor

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/header"
)

// nativeMTU is the largest MTU that drivers take a native program of one buffer a packet for: a page without headroom and the kernel's own end.
const nativeMTU = 3498

// nic looks at one queue of an interface, without binding it.
func (e *exam) nic(n NIC) {
	if n.Interface == "" {
		e.red(n.Name, "it has no interface", "interface = \"eth1\" in the cluster file, or --interface")
		return
	}
	s, err := e.from.Look(n.Interface)
	switch {
	case errors.Is(err, afxdp.ErrNoInterface):
		e.red(n.Interface, "there is no such interface", "name one of those that `ip link` shows, with interface = in the cluster file, or --interface")
		return
	case err != nil:
		e.red(n.Interface, err.Error(), "check that netlink works for this process")
		return
	}
	d := e.from.Ask(s)
	if d.Name == "" {
		d.Name = "a driver without a name"
	}
	if !e.link(n, s) {
		return
	}
	e.queue(n, s)
	e.mode(n, s, &d)
	e.program(n, s)
	e.steering(n, s, &d)
	e.mtu(n, s)
	e.offloads(n, &d)
	e.address(n, s)
	e.timestamps(n, &d)
}

func (e *exam) link(n NIC, s *afxdp.Sight) bool {
	what := n.Interface + " link"
	switch {
	case !s.Up:
		e.red(what, "it is down", "ip link set dev "+n.Interface+" up")
		return false
	case !s.Carrier:
		e.red(what, "it is up, and hears nobody ("+s.State+")", "plug the cable in, or bring up the other end")
		return true
	}
	e.green(what, "up")
	return true
}

func (e *exam) queue(n NIC, s *afxdp.Sight) {
	what := n.Interface + " queue"
	queues := fmt.Sprintf("it has queues 0 to %d", s.Queues-1)
	switch {
	case n.Queue >= s.Queues:
		e.red(what, fmt.Sprintf("%s is to bind queue %d, and %s", n.Name, n.Queue, queues),
			fmt.Sprintf("ethtool -L %s combined %d, or another queue = in the cluster file", n.Interface, n.Queue+1))
	case n.Queue == NoQueue:
		e.green(what, queues)
	default:
		e.green(what, fmt.Sprintf("%d is there: %s", n.Queue, queues))
	}
}

// The bits of NETDEV_A_DEV_XDP_FEATURES (Documentation/netlink/specs/netdev.yaml).
const (
	xdpBasic     = 1 << 0
	xdpRedirect  = 1 << 1
	xdpZeroCopy  = 1 << 3
	xdpEnough    = xdpBasic | xdpRedirect
	chooseNotice = "take a NIC whose driver has it, or say that copy mode is meant: mode = \"copy\" in the cluster file, or --mode copy"
)

// mode tells what a socket would get, as far as the driver tells before it is bound.
func (e *exam) mode(n NIC, s *afxdp.Sight, d *Driver) {
	what := n.Interface + " mode"
	native := d.XDP&xdpEnough == xdpEnough
	zeroCopy := native && d.XDP&xdpZeroCopy != 0
	switch {
	case s.Program.ID != 0 && !s.Program.Native && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, "the program on it runs in generic mode, where nothing is zero-copy", "ip link set dev "+n.Interface+" xdpgeneric off")
	case s.Program.ID != 0 && !s.Program.Native:
		e.yellow(what, "the program on it runs in generic mode: every packet becomes a socket buffer first", "ip link set dev "+n.Interface+" xdpgeneric off")
	case !d.KnowsXDP:
		e.yellow(what, d.Name+": this kernel does not tell what drivers can do (the netdev family of 6.3)", "start a role and read the mode in its first lines")
	case !native && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, d.Name+" has no native XDP, and mode is zerocopy", chooseNotice)
	case !native:
		e.yellow(what, d.Name+" has no native XDP: every packet becomes a socket buffer first (generic mode)", "take a NIC whose driver has it, such as ixgbe, i40e, ice, mlx5")
	case !zeroCopy && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, d.Name+" has no zero-copy, and mode is zerocopy", chooseNotice)
	case !zeroCopy && n.Mode == afxdp.ModeCopy:
		e.green(what, d.Name+": native XDP; copy mode, as asked for")
	case !zeroCopy:
		e.yellow(what, d.Name+" has no zero-copy: the kernel copies every packet", chooseNotice)
	case n.Mode == afxdp.ModeCopy:
		e.yellow(what, d.Name+" has zero-copy, and mode is copy", "mode = \"auto\" or \"zerocopy\" in the cluster file")
	default:
		e.green(what, d.Name+": native XDP and zero-copy")
	}
}

func (e *exam) program(n NIC, s *afxdp.Sight) {
	what := n.Interface + " program"
	switch p := s.Program; {
	case p.ID == 0:
		e.green(what, "none attached")
	case p.Ours:
		e.green(what, fmt.Sprintf("ours (id %d): processes share it", p.ID))
	case p.Name == "":
		e.red(what, fmt.Sprintf("one is attached (id %d), and this process may not ask whose it is", p.ID), "run as root")
	default:
		e.red(what, fmt.Sprintf("%q (id %d) is not ours, and an interface has room for one", p.Name, p.ID),
			fmt.Sprintf("stop what attached it; if nothing runs: ip link set dev %s xdp off", n.Interface))
	}
}

// steering is about which queue our packets come in on.
func (e *exam) steering(n NIC, s *afxdp.Sight, d *Driver) {
	what := n.Interface + " steering"
	if s.Queues <= 1 {
		e.green(what, "one queue, where everything arrives")
		return
	}
	if n.Queue == NoQueue {
		e.green(what, fmt.Sprintf("%d queues; which of them a role needs, its cluster file says", s.Queues))
		return
	}
	mend := fmt.Sprintf("wirepaxos nic steer %s, or leave it one queue: ethtool -L %s combined 1", n.Interface, n.Interface)
	elsewhere := 0
	for _, queue := range d.RSS {
		if int(queue) != n.Queue {
			elsewhere++
		}
	}
	switch {
	case len(d.RSS) > 0 && elsewhere == 0:
		e.green(what, fmt.Sprintf("everything arrives on queue %d", n.Queue))
	case !n.UDP && n.Queue == 0:
		e.yellow(what, fmt.Sprintf("%d queues: most NICs deliver raw Ethernet frames on queue 0, not all", s.Queues), mend)
	case n.UDP:
		e.yellow(what, fmt.Sprintf("%d queues: the NIC spreads UDP over them by addresses and ports, and only queue %d is bound", s.Queues, n.Queue), mend)
	default:
		e.yellow(what, fmt.Sprintf("%d queues: frames arrive on queue %d only if they are steered there", s.Queues, n.Queue), mend)
	}
}

func (e *exam) mtu(n NIC, s *afxdp.Sight) {
	what := n.Interface + " MTU"
	headers := 0
	if n.UDP {
		headers = header.IPv4Len + header.UDPLen
	}
	switch {
	case n.MTU+headers > s.MTU:
		e.red(what, fmt.Sprintf("%d, and frames of %s have up to %d bytes of payload behind %d of headers", s.MTU, n.Name, n.MTU, headers),
			fmt.Sprintf("ip link set dev %s mtu %d, or a smaller mtu = in the cluster file", n.Interface, n.MTU+headers))
	case s.MTU > nativeMTU:
		e.yellow(what, fmt.Sprintf("%d: most drivers take no native program beyond %d", s.MTU, nativeMTU), fmt.Sprintf("ip link set dev %s mtu 1500", n.Interface))
	default:
		e.green(what, fmt.Sprint(s.MTU))
	}
}

// offloads are those that change packets before a program sees them.
func (e *exam) offloads(n NIC, d *Driver) {
	what := n.Interface + " offloads"
	var bad []string
	for _, o := range []struct{ name, short string }{{"rx-lro", "lro"}, {"rx-gro-hw", "rx-gro-hw"}} {
		if d.Features[o.name] {
			bad = append(bad, o.short)
		}
	}
	if n.VLAN != 0 && d.Features["rx-vlan-hw-parse"] {
		e.red(what, fmt.Sprintf("the NIC takes VLAN tags off before the program sees them, and frames of %s are tagged %d", n.Name, n.VLAN),
			"ethtool -K "+n.Interface+" rxvlan off")
	}
	if len(bad) > 0 {
		e.yellow(what, "the NIC joins packets before the program sees them ("+strings.Join(bad, ", ")+"), and drivers refuse XDP beside it",
			"ethtool -K "+n.Interface+" "+strings.Join(bad, " off ")+" off")
		return
	}
	if n.VLAN == 0 || !d.Features["rx-vlan-hw-parse"] {
		e.green(what, "none that changes packets before the program sees them")
	}
}

// address compares what peers send to with what the NIC listens to.
func (e *exam) address(n NIC, s *afxdp.Sight) {
	what := n.Interface + " MAC"
	if n.MAC == nil || bytes.Equal(n.MAC, s.MAC) {
		e.green(what, s.MAC.String())
		return
	}
	e.red(what, fmt.Sprintf("%v, and the cluster file says %v: what peers send does not get in", s.MAC, n.MAC),
		fmt.Sprintf("mac = %q in the cluster file, or: ip link set dev %s address %v", s.MAC, n.Interface, n.MAC))
}

func (e *exam) timestamps(n NIC, d *Driver) {
	text := d.Clock
	if text == "" {
		text = "none told"
	}
	e.green(n.Interface+" time-stamps", text+"; nothing here needs them")
}
