package afxdp

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// What a driver can do, by the bits of netdev's xdp-features (Documentation/netlink/specs/netdev.yaml).
const (
	FeatureBasic    = 1 << 0
	FeatureRedirect = 1 << 1
	FeatureZeroCopy = 1 << 3
)

const (
	netdevFamily      = "netdev"
	netdevDevGet      = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3
)

// genericHeader is a generic netlink message's: command, version, and two bytes that the family wants to be 0.
type genericHeader [nl.SizeofGenlmsg]byte

func (h genericHeader) Len() int          { return len(h) }
func (h genericHeader) Serialize() []byte { return h[:] }

// XDPFeatures asks the kernel what the driver of an interface can do, in the network namespace of the calling thread. Kernels before 6.3 do not tell.
func XDPFeatures(index int) (uint64, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return 0, fmt.Errorf("netlink family %s, which came with kernel 6.3: %w", netdevFamily, err)
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
			if a.Attr.Type&nl.NLA_TYPE_MASK == netdevXDPFeatures && len(a.Value) == 8 {
				return binary.NativeEndian.Uint64(a.Value), nil
			}
		}
	}
	return 0, fmt.Errorf("the netlink family %s does not tell about interface %d", netdevFamily, index)
}
