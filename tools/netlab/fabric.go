package netlab

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// endName is the switch's end of a host's pair, in the switch's namespace.
func endName(slot int) string { return fmt.Sprintf("s%d", slot) }

// buildSwitch fills the tables and attaches the programs to the switch ends, which must be there and down. The thread must be in the
// switch's namespace: the devmap and the links are looked up in it. The programs stay when this process is gone.
func buildSwitch(spec *Spec, hosts []Host) (*tables, error) {
	t, err := newTables()
	if err != nil {
		return nil, err
	}
	if err := t.connect(spec, hosts); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tables) connect(spec *Spec, hosts []Host) error {
	cell := new(settings)
	cell.setFaults(spec.Faults)
	indices := make([]uint32, len(hosts))
	for slot, host := range hosts {
		link, err := netlink.LinkByName(endName(slot))
		if err != nil {
			return fmt.Errorf("switch end %s: %w", endName(slot), err)
		}
		indices[slot] = uint32(link.Attrs().Index)
		cell.setEnd(slot, indices[slot])
		if err := t.ends.Put(uint32(slot), indices[slot]); err != nil {
			return fmt.Errorf("switch end %s: enter it in the table of ends: %w", endName(slot), err)
		}
		target := uint32(slot)
		if host.Queues > 1 {
			target |= targetSteered
		}
		if err := t.addresses.Put(addressKey(host.MAC), target); err != nil {
			return fmt.Errorf("switch end %s: enter the address of host %s: %w", endName(slot), host.Name, err)
		}
	}
	cell.setEveryoneSlow(hosts)
	if err := t.writeSettings(cell); err != nil {
		return err
	}
	for slot := range hosts {
		if err := t.attach(slot, indices, spec.Hosts[slot]); err != nil {
			return fmt.Errorf("switch end %s: %w", endName(slot), err)
		}
	}
	return nil
}

// setEveryoneSlow notes whether the devmap's broadcast will do, which knows neither cuts nor queues.
func (s *settings) setEveryoneSlow(hosts []Host) {
	var slow uint64
	for slot, host := range hosts {
		if host.Queues > 1 || s.cuts(slot) != 0 {
			slow = 1
		}
	}
	s.setWord(settingEveryoneSlow, slow)
}

// attach loads and attaches the programs of one end.
func (t *tables) attach(slot int, indices []uint32, host HostSpec) error {
	link, err := netlink.LinkByName(endName(slot))
	if err != nil {
		return fmt.Errorf("find it: %w", err)
	}
	forward, err := ebpf.NewProgram(t.forwarder(slot))
	if err != nil {
		return fmt.Errorf("load the forwarder: %w", err)
	}
	defer func() { _ = forward.Close() }() // the link holds it
	// The forwarder does not count the frames that were sent on late, but whoever finds the other tables through it needs that one too.
	if err := forward.BindMap(t.released); err != nil {
		return fmt.Errorf("bind table %s: %w", mapReleased, err)
	}
	if err := attachClassifiers(link, t.copier(slot, indices), host); err != nil {
		return err
	}
	if err := netlink.LinkSetXdpFdWithFlags(link, forward.FD(), unix.XDP_FLAGS_DRV_MODE); err != nil {
		return fmt.Errorf("attach the forwarder in native mode: %w", err)
	}
	return nil
}

func attachClassifiers(link netlink.Link, copier *ebpf.ProgramSpec, host HostSpec) error {
	attrs := netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}
	if err := netlink.QdiscAdd(&netlink.GenericQdisc{QdiscAttrs: attrs, QdiscType: "clsact"}); err != nil {
		return fmt.Errorf("add clsact: %w", err)
	}
	if err := attachClassifier(link, copier, netlink.HANDLE_MIN_INGRESS); err != nil {
		return err
	}
	if host.Queues > 1 {
		return attachClassifier(link, steerer(host.Steer), netlink.HANDLE_MIN_EGRESS)
	}
	return nil
}

func attachClassifier(link netlink.Link, spec *ebpf.ProgramSpec, parent uint32) error {
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return fmt.Errorf("load classifier %s: %w", spec.Name, err)
	}
	defer func() { _ = prog.Close() }() // the link holds it
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: link.Attrs().Index, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: prog.FD(), Name: spec.Name, DirectAction: true,
	}
	if err := netlink.FilterAdd(filter); err != nil {
		return fmt.Errorf("attach classifier %s: %w", spec.Name, err)
	}
	return nil
}

// openSwitch finds the tables of a running lab's switch through its first end.
func openSwitch(lab string) (t *tables, err error) {
	err = inNamespace(namespaceOf(lab, switchName), func() error {
		link, err := netlink.LinkByName(endName(0))
		if err != nil {
			return fmt.Errorf("switch end %s: %w", endName(0), err)
		}
		xdp := link.Attrs().Xdp
		if xdp == nil || !xdp.Attached {
			return errors.New("switch end has lost its program: take the lab down")
		}
		t, err = openTables(ebpf.ProgramID(xdp.ProgId))
		return err
	})
	return t, err
}
