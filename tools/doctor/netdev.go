package doctor

import (
	"encoding/binary"
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
)

// ask asks the driver of an interface in the network namespace of the calling thread. What it does not tell stays empty.
func ask(s *afxdp.Sight) (d Driver) {
	if features, err := xdpFeatures(s.Index); err == nil {
		d.XDP, d.KnowsXDP = features, true
	}
	e, err := ethtool.NewEthtool()
	if err != nil {
		return d
	}
	defer e.Close()
	if d.Name, err = e.DriverName(s.Name); err != nil {
		d.Name = ""
	}
	if d.Features, err = e.Features(s.Name); err != nil {
		d.Features = nil
	}
	if table, err := e.GetIndir(s.Name); err == nil {
		d.RSS = table.RingIndex[:min(int(table.Size), len(table.RingIndex))]
	}
	if t, err := e.GetTimestampingInformation(s.Name); err == nil {
		switch {
		case t.SoTimestamping&unix.SOF_TIMESTAMPING_RX_HARDWARE != 0:
			d.Clock = "hardware"
		case t.SoTimestamping&unix.SOF_TIMESTAMPING_RX_SOFTWARE != 0:
			d.Clock = "software"
		}
	}
	return d
}

// The kernel's netdev family (Documentation/netlink/specs/netdev.yaml).
const (
	netdevFamily      = "netdev"
	netdevDevGet      = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3
)

// genericHeader is a generic netlink message's: command, version, and two bytes that the family wants to be 0. The library's own type has room for
// two and sends four.
type genericHeader [nl.SizeofGenlmsg]byte

func (h genericHeader) Len() int          { return len(h) }
func (h genericHeader) Serialize() []byte { return h[:] }

// xdpFeatures asks the netdev family what XDP the driver can do. Kernels before 6.3 do not have it.
func xdpFeatures(index int) (uint64, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return 0, fmt.Errorf("netlink family %s: %w", netdevFamily, err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	request.AddData(genericHeader{netdevDevGet, 1})
	request.AddData(nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(index))))
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, fmt.Errorf("ask the netlink family %s for interface %d: %w", netdevFamily, index, err)
	}
	for _, m := range messages {
		if len(m) < nl.SizeofGenlmsg {
			continue
		}
		attributes, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return 0, fmt.Errorf("netlink family %s: %w", netdevFamily, err)
		}
		for _, a := range attributes {
			if a.Attr.Type&^unix.NLA_F_NESTED == netdevXDPFeatures && len(a.Value) == 8 {
				return binary.NativeEndian.Uint64(a.Value), nil
			}
		}
	}
	return 0, fmt.Errorf("the netlink family %s does not tell about interface %d", netdevFamily, index)
}
