package doctor

import (
	"errors"
	"testing"

	"wirepaxos/dataplane/afxdp"
)

func need(change func(n *NIC)) func(*machine, *Need) {
	return func(_ *machine, n *Need) { change(&n.NICs[0]) }
}

func sight(change func(s *afxdp.Sight)) func(*machine, *Need) {
	return func(m *machine, _ *Need) { change(&m.sight) }
}

var nicFindings = []finding{
	{"no interface named", need(func(n *NIC) { n.Interface = "" }), "node 1", Red, "no interface", "interface ="},
	{"no such interface", need(func(n *NIC) { n.Interface = "eth7" }), "eth7", Red, "no such", "ip link"},
	{"down", sight(func(s *afxdp.Sight) { s.Up = false }), "eth1 link", Red, "down", "ip link set dev eth1 up"},
	{"no carrier", sight(func(s *afxdp.Sight) { s.Carrier, s.State = false, "down" }), "eth1 link", Red, "hears nobody", "cable"},
	{"no such queue", need(func(n *NIC) { n.Queue = 1 }), "eth1 queue", Red, "queue 1", "ethtool -L eth1 combined 2"},
	{"only an interface named", need(func(n *NIC) { n.Queue = NoQueue }), "eth1 queue", Green, "0 to 0", ""},

	{"no zero-copy", driver(func(d *Driver) { d.XDP = xdpEnough }), "eth1 mode", Yellow, "copies", "mode = \"copy\""},
	{"no zero-copy, none wanted", func(m *machine, n *Need) {
		m.driver.XDP, n.NICs[0].Mode = xdpEnough, "copy"
	}, "eth1 mode", Green, "as asked for", ""},
	{"no zero-copy, but wanted", func(m *machine, n *Need) {
		m.driver.XDP, n.NICs[0].Mode = xdpEnough, "zerocopy"
	}, "eth1 mode", Red, "no zero-copy", "--mode copy"},
	{"no native XDP", driver(func(d *Driver) { d.XDP = 0 }), "eth1 mode", Yellow, "generic", "ice"},
	{"no native XDP, but zero-copy wanted", func(m *machine, n *Need) {
		m.driver.XDP, n.NICs[0].Mode = 0, "zerocopy"
	}, "eth1 mode", Red, "no native XDP", "mode"},
	{"zero-copy not used", need(func(n *NIC) { n.Mode = "copy" }), "eth1 mode", Yellow, "mode is copy", "auto"},
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
	}), "eth1 program", Red, `"cilium" (id 7)`, "xdp off"},
	{"nobody may tell whose", sight(func(s *afxdp.Sight) { s.Program = afxdp.Attached{ID: 7, Native: true} }), "eth1 program", Red, "id 7", "root"},

	{"several queues", sight(func(s *afxdp.Sight) { s.Queues = 4 }), "eth1 steering", Yellow, "4 queues", "nic steer eth1"},
	{"several queues, all to ours", func(m *machine, _ *Need) {
		m.sight.Queues, m.driver.RSS = 4, []uint32{0, 0, 0}
	}, "eth1 steering", Green, "queue 0", ""},
	{"several queues, some to ours", func(m *machine, _ *Need) {
		m.sight.Queues, m.driver.RSS = 4, []uint32{0, 1, 2}
	}, "eth1 steering", Yellow, "queue 0", "combined 1"},
	{"another queue", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].Queue = 4, 2
	}, "eth1 steering", Yellow, "queue 2", "nic steer"},
	{"UDP over several", func(m *machine, n *Need) {
		m.sight.Queues, n.NICs[0].UDP = 4, true
	}, "eth1 steering", Yellow, "spreads UDP", "nic steer"},

	{"MTU too small", sight(func(s *afxdp.Sight) { s.MTU = 1300 }), "eth1 MTU", Red, "1300", "mtu 1400"},
	{"MTU too small for the headers", func(m *machine, n *Need) {
		m.sight.MTU, n.NICs[0].UDP = 1420, true
	}, "eth1 MTU", Red, "1420", "mtu 1428"},
	{"MTU too large", sight(func(s *afxdp.Sight) { s.MTU = 9000 }), "eth1 MTU", Yellow, "9000", "mtu 1500"},
	{"LRO", driver(func(d *Driver) { d.Features["rx-lro"] = true }), "eth1 offloads", Yellow, "lro", "ethtool -K eth1 lro off"},
	{"LRO and GRO in the NIC", driver(func(d *Driver) { d.Features["rx-lro"], d.Features["rx-gro-hw"] = true, true }), "eth1 offloads", Yellow, "rx-gro-hw",
		"ethtool -K eth1 lro off rx-gro-hw off"},
	{"tags taken off", func(m *machine, n *Need) {
		m.driver.Features["rx-vlan-hw-parse"], n.NICs[0].VLAN = true, 7
	}, "eth1 offloads", Red, "tagged 7", "rxvlan off"},
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
