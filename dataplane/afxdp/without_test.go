package afxdp

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// Interfaces that have no native XDP work in generic mode and say why, and are refused where zero-copy is asked for; those that are no Ethernet are refused. Whatever
// was asked for, nothing is left on them.
func TestInterfacesWithoutXDP(t *testing.T) {
	newNet(t, 1)
	attrs := func(name string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = name
		return a
	}
	must(t, netlink.LinkSetUp(byName(t, "lo")))
	for _, l := range []netlink.Link{
		&netlink.Bridge{LinkAttrs: attrs("wpbr")}, &netlink.Ifb{LinkAttrs: attrs("wpifb")},
		&netlink.Tuntap{LinkAttrs: attrs("wptun"), Mode: netlink.TUNTAP_MODE_TUN},
	} {
		if err := netlink.LinkAdd(l); err != nil {
			t.Logf("without %s, which this kernel has not: %v", l.Type(), err)
			continue
		}
		must(t, netlink.LinkSetUp(l))
	}
	for _, c := range []struct{ name, refusal, note string }{
		{"lo", "needs an Ethernet interface", ""},
		{"wptun", "needs an Ethernet interface", ""},
		{"wpbr", "", "the driver refuses native XDP"},
		{"wpifb", "", "the driver refuses native XDP"},
	} {
		if _, err := netlink.LinkByName(c.name); err != nil {
			continue
		}
		config, _ := ends(LinkEthernet)
		config.Interface, config.Mode = c.name, ModeAuto
		p, err := Open(config)
		switch {
		case err != nil:
			if c.refusal == "" || kind(t, err) != ErrConfig || !contains(err.Error(), c.refusal) || contains(err.Error(), "\n") {
				t.Errorf("%s: %v; want %q", c.name, err, c.refusal)
			}
		case c.refusal != "" || p.Info().Mode != "generic" || !contains(p.Info().Note, c.note):
			t.Errorf("%s: %+v; want %q", c.name, p.Info(), c.refusal+c.note)
		}
		if p != nil {
			must(t, p.Close())
		}
		config.Mode = ModeZeroCopy
		if p, err := Open(config); err == nil {
			p.Close()
			t.Errorf("%s: zero-copy", c.name)
		}
		if attached(t, c.name) != 0 {
			t.Errorf("%s: a program is left on it", c.name)
		}
	}
}

// Native XDP and an MTU that fits no page exclude each other: the port works without, and says what would help.
func TestJumboMTU(t *testing.T) {
	newNet(t, 1)
	for _, name := range []string{nameA, nameB} {
		must(t, netlink.LinkSetMTU(byName(t, name), 9000))
	}
	ca, cb := ends(LinkEthernet)
	ca.Mode, cb.Mode = ModeAuto, ModeAuto
	a, b := openPort(t, ca), openPort(t, cb)
	if i := a.Info(); i.Mode != "generic" || !contains(i.Note, "its MTU is 9000") || !contains(i.Note, "ip link set dev wpa mtu 1500") {
		t.Errorf("%+v", i)
	}
	exchange(t, a, b)
}
