package doctor

import (
	"errors"
	"testing"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/tools/nic"
)

func need(change func(n *NIC)) func(*machine, *Need) {
	return func(_ *machine, n *Need) { change(&n.NICs[0]) }
}

func sight(change func(s *afxdp.Sight)) func(*machine, *Need) {
	return func(m *machine, _ *Need) { change(&m.sight) }
}

func rule(place uint32, r nic.Rule) nic.PlacedRule {
	match := "other packets"
	switch {
	case r.EtherType != 0:
		match = "EtherType 0x88B5"
	case r.UDPPort != 0:
		match = "UDP port 7471"
	}
	return nic.PlacedRule{Place: place, Match: match, Queue: r.Queue, Rule: r}
}

var nicFindings = []finding{
	{"no interface named", need(func(n *NIC) { n.Interface = "" }), "node 1", Red, "no interface", "interface ="},
	{"no such interface", need(func(n *NIC) { n.Interface = "eth7" }), "eth7", Red, "no such", "nic list"},
	{"down", sight(func(s *afxdp.Sight) { s.Up = false }), "eth1 link", Red, "down", "ip link set dev eth1 up"},
	{"no carrier", sight(func(s *afxdp.Sight) { s.Carrier, s.State = false, "down" }), "eth1 link", Red, "hears nobody", "cable"},
	{"no such queue", need(func(n *NIC) { n.Queue = 1 }), "eth1 queue", Red, "queue 1", "wirepaxos nic tune eth1 --queues 2"},
	{"queue taken", func(m *machine, _ *Need) {
		m.taken = []nic.Holder{{Queue: 0, Processes: []nic.Process{{PID: 7, Command: "bird"}}}}
	}, "eth1 queue", Red, "0 is taken, by bird (pid 7)", "end that process"},
	{"queue taken by nobody who can be seen", func(m *machine, _ *Need) { m.taken = []nic.Holder{{Queue: 0}} }, "eth1 queue", Red, "cannot be seen", "another queue"},
	{"another queue taken", func(m *machine, _ *Need) { m.taken = []nic.Holder{{Queue: 1}} }, "eth1 queue", Green, "0 is free", ""},
	{"only an interface named, with a queue taken", func(m *machine, n *Need) {
		n.NICs[0].Queue, m.taken = NoQueue, []nic.Holder{{Queue: 1, Processes: []nic.Process{{PID: 7, Command: "bird"}}}}
	}, "eth1 queue", Green, "taken: 1 by bird (pid 7)", ""},
	{"only an interface named", need(func(n *NIC) { n.Queue = NoQueue }), "eth1 queue", Green, "1 in all, none is taken", ""},

	{"no zero-copy", driver(func(d *Driver) { d.XDP = inDriver }), "eth1 mode", Yellow, "copies", "mode = \"copy\""},
	{"no zero-copy, none wanted", func(m *machine, n *Need) {
		m.driver.XDP, n.NICs[0].Mode = inDriver, "copy"
	}, "eth1 mode", Green, "as asked for", ""},
	{"no zero-copy, but wanted", func(m *machine, n *Need) {
		m.driver.XDP, n.NICs[0].Mode = inDriver, "zerocopy"
	}, "eth1 mode", Red, "no zero-copy", "--mode copy"},
	{"no native XDP", driver(func(d *Driver) { d.XDP = 0 }), "eth1 mode", Yellow, "generic", "ice"},
	{"no native XDP, but zero-copy wanted", func(m *machine, n *Need) {
		m.driver.XDP, n.NICs[0].Mode = 0, "zerocopy"
	}, "eth1 mode", Red, "no native XDP", "mode"},
	{"zero-copy not used", need(func(n *NIC) { n.Mode = "copy" }), "eth1 mode", Yellow, "mode is copy", "auto"},
	{"a virtual machine without the flags", driver(func(d *Driver) { d.Name, d.Lacks = "virtio_net", []string{"queue_reset=on"} }), "eth1 mode", Yellow,
		"made without", "queue_reset=on (QEMU)"},
	{"a virtual machine without the flags, zero-copy wanted", func(m *machine, n *Need) {
		m.driver.Lacks, n.NICs[0].Mode = []string{"iommu_platform=on", "queue_reset=on"}, "zerocopy"
	}, "eth1 mode", Red, "mode is zerocopy", "iommu_platform=on,queue_reset=on"},
	{"zero-copy of a virtual machine, built in", driver(func(d *Driver) { d.Name = "virtio_net" }), "eth1 mode", Green, "zero-copy", ""},
	{"zero-copy of a virtual machine, a module", func(m *machine, _ *Need) {
		m.driver.Name, m.files["/sys/module/virtio_net/initstate"] = "virtio_net", "live\n"
	}, "eth1 mode", Yellow, "wrong address", "mode = \"copy\""},
	{"zero-copy of a virtual machine, a module, and copy asked for", func(m *machine, n *Need) {
		m.driver.Name, m.files["/sys/module/virtio_net/initstate"], n.NICs[0].Mode = "virtio_net", "live\n", "copy"
	}, "eth1 mode", Green, "the safe one", ""},
	{"another driver beside that module", func(m *machine, _ *Need) { m.files["/sys/module/virtio_net/initstate"] = "live\n" }, "eth1 mode", Green, "zero-copy", ""},
	{"a kernel too old for zero-copy", func(m *machine, n *Need) {
		m.driver.Name, m.driver.XDP, m.files["/proc/sys/kernel/osrelease"] = "virtio_net", inDriver, "6.12.1\n"
		n.NICs[0].Mode = "zerocopy"
	}, "eth1 mode", Red, "before kernel 6.13", "boot 6.13"},
	{"a kernel that does not tell", driver(func(d *Driver) { d.KnowsXDP = false }), "eth1 mode", Yellow, "does not tell", "mode"},
	{"ours in generic mode", sight(func(s *afxdp.Sight) {
		s.Program = afxdp.Attached{ID: 7, Name: "wirepaxos_1", Ours: true}
	}), "eth1 mode", Yellow, "generic", "xdpgeneric off"},
	{"ours in generic mode, zero-copy wanted", func(m *machine, n *Need) {
		m.sight.Program, n.NICs[0].Mode = afxdp.Attached{ID: 7, Ours: true}, "zerocopy"
	}, "eth1 mode", Red, "generic", "xdpgeneric off"},

	{"ours", sight(func(s *afxdp.Sight) {
		s.Program = afxdp.Attached{ID: 7, Name: "wirepaxos_1", Native: true, Ours: true}
	}), "eth1 program", Green, "id 7", ""},
	{"a stranger's", sight(func(s *afxdp.Sight) {
		s.Program = afxdp.Attached{ID: 7, Name: "cilium", Native: true}
	}), "eth1 program", Red, `"cilium" (id 7)`, "xdpdrv off"},
	{"nobody may tell whose", sight(func(s *afxdp.Sight) { s.Program = afxdp.Attached{ID: 7, Native: true} }), "eth1 program", Red, "id 7", "root"},

	{"several queues", sight(func(s *afxdp.Sight) { s.Queues = 4 }), "eth1 steering", Yellow, "4 queues", "nic steer eth1"},
	{"several queues, all to ours", func(m *machine, _ *Need) {
		m.sight.Queues, m.driver.RSS = 4, []uint32{0, 0, 0}
	}, "eth1 steering", Green, "queue 0", ""},
	{"several queues, some to ours", func(m *machine, _ *Need) {
		m.sight.Queues, m.driver.RSS = 4, []uint32{0, 1, 2}
	}, "eth1 steering", Yellow, "queue 0", "wirepaxos nic steer eth1 --ethertype 0x88B5 --queue 0, or leave it one queue: wirepaxos nic tune eth1 --queues 1"},
	{"another queue", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].Queue = 4, 2
	}, "eth1 steering", Yellow, "queue 2", "nic steer"},
	{"raw frames for two queues of one MAC", func(m *machine, n *Need) {
		m.sight.Queues = 4
		n.NICs = append(n.NICs, n.NICs[0])
	}, "eth1 steering", Yellow, "4 queues", `link = "udp4"`},
	{"UDP over several", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].UDP = 4, true
	}, "eth1 steering", Yellow, "spreads UDP", "nic steer"},

	{"another queue, by a rule", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].Queue = 4, 2
		m.driver.Rules = []nic.PlacedRule{rule(3, nic.Rule{EtherType: 0x88B5, Queue: 2})}
	}, "eth1 steering", Green, "rule 3 of the NIC: EtherType 0x88B5 to queue 2", ""},
	{"a rule to another queue", func(m *machine, _ *Need) {
		m.sight.Queues = 4
		m.driver.Rules = []nic.PlacedRule{rule(3, nic.Rule{EtherType: 0x88B5, Queue: 2})}
	}, "eth1 steering", Red, "queue 2; node 1 binds queue 0", "ethtool -N eth1 delete 3 && wirepaxos nic steer eth1 --ethertype 0x88B5 --queue 0"},
	{"a rule that drops", driver(func(d *Driver) {
		d.Rules = []nic.PlacedRule{rule(3, nic.Rule{EtherType: 0x88B5, Queue: nic.Dropped})}
	}), "eth1 steering", Red, "dropped", "delete 3"},
	{"rules that contradict each other", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].UDP = 4, true
		m.driver.Rules = []nic.PlacedRule{rule(3, nic.Rule{UDPPort: 7471, Queue: 0}), rule(4, nic.Rule{UDPPort: 7471, Queue: 2})}
	}, "eth1 steering", Yellow, "rule 4: UDP port 7471 to queue 2", "delete 4"},
	{"rules about others", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].Queue = 4, 2
		m.driver.Rules = []nic.PlacedRule{rule(3, nic.Rule{UDPPort: 7471, Queue: 2}), rule(4, nic.Rule{EtherType: 0x88B5, VLAN: 9, Queue: 2}), rule(5, nic.Rule{Queue: 2})}
	}, "eth1 steering", Yellow, "only if they are steered", "--ethertype 0x88B5 --queue 2"},
	{"UDP over other queues alone", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].UDP, n.NICs[0].VLAN, m.driver.RSS = 4, true, 7, []uint32{1, 2, 3, 1}
	}, "eth1 steering", Red, "hears nobody", "wirepaxos nic steer eth1 --udp-port 7471 --vlan 7 --queue 0"},

	{"busy polling, and interrupts", need(func(n *NIC) { n.BusyPoll = true }), "eth1 busy polling", Yellow, "not deferred", "wirepaxos nic tune eth1 --busy-poll"},
	{"busy polling, and a kernel that does not tell", func(m *machine, n *Need) {
		n.NICs[0].BusyPoll, m.driver.Defer = true, -1
	}, "eth1 busy polling", Yellow, "does not tell", "5.11"},
	{"busy polling as it should be", func(m *machine, n *Need) {
		n.NICs[0].BusyPoll, m.driver.Defer, m.driver.FlushNs = true, 2, 200000
	}, "eth1 busy polling", Green, "2 polls", ""},

	{"MTU too small", sight(func(s *afxdp.Sight) { s.MTU = 1300 }), "eth1 MTU", Red, "1300", "mtu 1400"},
	{"MTU too small for the headers", func(m *machine, n *Need) {
		m.sight.MTU, n.NICs[0].UDP = 1420, true
	}, "eth1 MTU", Red, "1420", "mtu 1428"},
	{"MTU too large", sight(func(s *afxdp.Sight) { s.MTU = 9000 }), "eth1 MTU", Yellow, "9000", "mtu 1500"},
	{"MTU too large for the cells, zero-copy wanted", func(m *machine, n *Need) {
		m.sight.MTU, n.NICs[0].Mode = 2000, "zerocopy"
	}, "eth1 MTU", Red, "cells of 2048 bytes", "mtu 1500, or chunk = 4096"},
	{"MTU too large for the cells", sight(func(s *afxdp.Sight) { s.MTU = 2000 }), "eth1 MTU", Yellow, "no queue is zero-copy", "chunk = 4096"},
	{"MTU too large for the cells, copy mode", func(m *machine, n *Need) {
		m.sight.MTU, m.driver.XDP, n.NICs[0].Mode = 2000, inDriver, "copy"
	}, "eth1 MTU", Green, "2000", ""},
	{"MTU for larger cells", func(m *machine, n *Need) { m.sight.MTU, n.Cell = 2000, 4096 }, "eth1 MTU", Green, "2000", ""},
	{"LRO", driver(func(d *Driver) { d.Features["rx-lro"] = true }), "eth1 offloads", Yellow, "lro", "ethtool -K eth1 lro off"},
	{"LRO and GRO in the NIC", driver(func(d *Driver) { d.Features["rx-lro"], d.Features["rx-gro-hw"] = true, true }), "eth1 offloads", Yellow, "rx-gro-hw",
		"ethtool -K eth1 lro off rx-gro-hw off"},
	{"tags taken off", func(m *machine, n *Need) {
		m.driver.Features["rx-vlan-hw-parse"], n.NICs[0].VLAN = true, 7
	}, "eth1 offloads", Red, "tagged 7", "wirepaxos nic tune eth1 --keep-vlan-tags"},
	{"tags taken off, none used", driver(func(d *Driver) { d.Features["rx-vlan-hw-parse"] = true }), "eth1 offloads", Green, "none", ""},
	{"another MAC", sight(func(s *afxdp.Sight) { s.MAC = []byte{2, 0, 0, 0, 0, 9} }), "eth1 MAC", Red, "02:00:00:00:00:01", "address 02:00:00:00:00:01"},
	{"time-stamps", func(*machine, *Need) {}, "eth1 time-stamps", Green, "hardware", ""},
}

func TestNICFindings(t *testing.T) {
	for _, c := range nicFindings {
		t.Run(c.name, c.check)
	}
}

func TestNetlinkThatFails(t *testing.T) {
	from := soundMachine().source(t)
	from.Look = func(string) (*afxdp.Sight, error) { return nil, errors.New("no netlink") }
	if l := Examine(cluster(), from).line(t, "eth1"); l.Grade != Red || l.Text != "no netlink" {
		t.Errorf("%v, %v", l.Grade, l)
	}
}
