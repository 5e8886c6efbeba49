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
	seen := e.look(n.Interface)
	s, d := seen.sight, &seen.driver
	switch {
	case errors.Is(seen.err, afxdp.ErrNoInterface):
		e.red(n.Interface, "there is no such interface", "name one of those that `wirepaxos nic list` shows, with interface = in the cluster file, or --interface")
		return
	case seen.err != nil:
		e.red(n.Interface, seen.err.Error(), "check that netlink works for this process")
		return
	}
	if !e.link(n, s) {
		return
	}
	e.queue(n, s)
	e.mode(n, s, d)
	e.program(n, s)
	e.steering(n, s, d)
	e.mtu(n, s, d)
	e.offloads(n, d)
	e.busyPolling(n, d)
	e.address(n, s)
	e.timestamps(n, d)
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
	queues := "it has no other"
	if s.Queues > 1 {
		queues = fmt.Sprintf("it has 0 to %d", s.Queues-1)
	}
	taken := []string{}
	for _, h := range e.from.Held(s, n.Queue) {
		who := orWord(h.Who(), "a process that cannot be seen from here")
		if h.Queue == n.Queue {
			e.red(what, fmt.Sprintf("%d is taken, by %s", n.Queue, who), "end that process, or name another queue = in the cluster file")
			return
		}
		taken = append(taken, fmt.Sprintf("%d by %s", h.Queue, who))
	}
	switch {
	case n.Queue >= s.Queues:
		e.red(what, fmt.Sprintf("%s is to bind queue %d, and it has 0 to %d", n.Name, n.Queue, s.Queues-1),
			fmt.Sprintf("wirepaxos nic tune %s --queues %d, or another queue = in the cluster file", n.Interface, n.Queue+1))
	case n.Queue != NoQueue:
		e.green(what, fmt.Sprintf("%d is free; %s", n.Queue, queues))
	case len(taken) > 0:
		e.green(what, fmt.Sprintf("%d in all; taken: %s", s.Queues, strings.Join(taken, ", ")))
	default:
		e.green(what, fmt.Sprintf("%d in all, none is taken", s.Queues))
	}
}

const chooseNotice = "take a NIC whose driver has it, or say that copy mode is meant: mode = \"copy\" in the cluster file, or --mode copy"

// zeroCopySince are kernels that brought zero-copy to drivers that virtual and small machines have (the kernel's history).
var zeroCopySince = map[string]version{"virtio_net": {6, 13}, "igb": {6, 14}}

// noZeroCopy says why a driver has none, and what to do.
func (e *exam) noZeroCopy(d *Driver) (why, mend string) {
	release, _ := e.read("/proc/sys/kernel/osrelease")
	v, err := parseVersion(release)
	since, known := zeroCopySince[d.Name]
	switch {
	case len(d.Lacks) > 0:
		return "the virtual machine's device was made without what zero-copy needs",
			fmt.Sprintf("start it with -device virtio-net-pci,…,%s (QEMU), or mode = \"copy\"", strings.Join(d.Lacks, ","))
	case known && err == nil && v.less(since):
		return fmt.Sprintf("%s has no zero-copy before kernel %v", d.Name, since), fmt.Sprintf("boot %v or later, or mode = \"copy\"", since)
	}
	return d.Name + " has no zero-copy", chooseNotice
}

// mode tells what a socket would get, as far as the driver tells before it is bound.
func (e *exam) mode(n NIC, s *afxdp.Sight, d *Driver) {
	what := n.Interface + " mode"
	native, zeroCopy := d.XDP.Native(), d.XDP.ZeroCopy() && len(d.Lacks) == 0
	why, mend := e.noZeroCopy(d)
	switch {
	case s.Program.ID != 0 && !s.Program.Native && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, "the program on it runs in generic mode, where nothing is zero-copy", takeOff(s))
	case s.Program.ID != 0 && !s.Program.Native:
		e.yellow(what, "the program on it runs in generic mode: every packet becomes a socket buffer first", takeOff(s))
	case !d.KnowsXDP:
		e.yellow(what, d.Name+": this kernel does not tell what drivers can do (the netdev family of 6.3)", "start a role and read the mode in its first lines")
	case !native && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, d.Name+" has no native XDP, and mode is zerocopy", chooseNotice)
	case !native:
		e.yellow(what, d.Name+" has no native XDP: every packet becomes a socket buffer first (generic mode)", "take a NIC whose driver has it, such as ixgbe, i40e, ice, mlx5")
	case !zeroCopy && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, why+", and mode is zerocopy", mend)
	case !zeroCopy && n.Mode == afxdp.ModeCopy:
		e.green(what, d.Name+": native XDP; copy mode, as asked for")
	case !zeroCopy:
		e.yellow(what, why+": the kernel copies every packet", mend)
	case e.modular(d) && n.Mode == afxdp.ModeCopy:
		e.green(what, d.Name+": native XDP; copy mode, which is the safe one where virtio_net is a module")
	case e.modular(d):
		e.yellow(what, d.Name+": native XDP and zero-copy, which as a module gives the device a wrong address for the header of what is sent: frames may be lost, and the device may break",
			"mode = \"copy\" in the cluster file, or --mode copy; or a kernel with CONFIG_VIRTIO_NET=y")
	case n.Mode == afxdp.ModeCopy:
		e.yellow(what, d.Name+" has zero-copy, and mode is copy", "mode = \"auto\" or \"zerocopy\" in the cluster file")
	default:
		e.green(what, d.Name+": native XDP and zero-copy")
	}
}

// modular tells whether a driver is virtio_net, loaded as a module. Its zero-copy sends a header that is a variable of the module and maps it as if it lay in
// the kernel's own memory (drivers/net/virtio_net.c, xsk_hdr). Seen with kernel 7.3: the device read past the end of a small machine's memory, and broke.
func (e *exam) modular(d *Driver) bool {
	_, loaded := e.read("/sys/module/virtio_net/initstate") // what is built in has none
	return d.Name == "virtio_net" && loaded
}

// takeOff takes a program away that outlived whoever attached it. The command has to name the mode, or the kernel looks for one in the driver alone.
func takeOff(s *afxdp.Sight) string {
	mode := "xdpgeneric"
	if s.Program.Native {
		mode = "xdpdrv"
	}
	return fmt.Sprintf("end what attached it; if nothing runs that did: ip link set dev %s %s off, or wirepaxos nic attach %s --replace", s.Name, mode, s.Name)
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
			takeOff(s))
	}
}

func (e *exam) mtu(n NIC, s *afxdp.Sight, d *Driver) {
	what := n.Interface + " MTU"
	headers, room := 0, afxdp.LargestMTU(e.need.cell())
	tooLong := fmt.Sprintf("%d: packets do not fit cells of %d bytes, so that no queue is zero-copy", s.MTU, e.need.cell())
	mend := fmt.Sprintf("ip link set dev %s mtu %d, or chunk = %d in the cluster file", n.Interface, min(room, 1500), afxdp.LargeCell)
	if n.UDP {
		headers = header.IPv4Len + header.UDPLen
	}
	switch {
	case n.MTU+headers > s.MTU:
		e.red(what, fmt.Sprintf("%d, and frames of %s have up to %d bytes of payload behind %d of headers", s.MTU, n.Name, n.MTU, headers),
			fmt.Sprintf("ip link set dev %s mtu %d, or a smaller mtu = in the cluster file", n.Interface, n.MTU+headers))
	case s.MTU > room && n.Mode == afxdp.ModeZeroCopy:
		e.red(what, tooLong+", and mode is zerocopy", mend)
	case s.MTU > room && s.MTU <= nativeMTU && n.Mode != afxdp.ModeCopy && d.XDP.ZeroCopy():
		e.yellow(what, tooLong, mend)
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
			"wirepaxos nic tune "+n.Interface+" --keep-vlan-tags")
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

// busyPolling is about the two settings without which the kernel polls for a socket and interrupts it all the same (Documentation/networking/af_xdp.rst).
func (e *exam) busyPolling(n NIC, d *Driver) {
	if !n.BusyPoll {
		return
	}
	what := n.Interface + " busy polling"
	switch {
	case d.Defer < 0 || d.FlushNs < 0:
		e.yellow(what, "the kernel does not tell whether interrupts are deferred", "boot a kernel of 5.11 or later, or busy_poll = \"off\" in the cluster file")
	case d.Defer == 0 || d.FlushNs == 0:
		e.yellow(what, fmt.Sprintf("interrupts are not deferred while a socket polls (napi_defer_hard_irqs %d, gro_flush_timeout %d)", d.Defer, d.FlushNs),
			"wirepaxos nic tune "+n.Interface+" --busy-poll")
	default:
		e.green(what, fmt.Sprintf("interrupts are deferred: %d polls, %d ns", d.Defer, d.FlushNs))
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
