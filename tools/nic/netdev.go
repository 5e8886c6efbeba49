package nic

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of the generic netlink family netdev (include/uapi/linux/netdev.h, Documentation/netlink/specs/netdev.yaml).
const (
	netdevFamily = "netdev"

	netdevDevGet   = 1
	netdevQueueGet = 10
	netdevNAPIGet  = 11

	devIfindex     = 1
	devXDPFeatures = 3
	devZCMaxSegs   = 4

	queueID      = 1
	queueIfindex = 2
	queueType    = 3
	queueNAPI    = 4
	queueXSK     = 7

	napiIfindex = 1
	napiIRQ     = 3

	queueTypeRx = 0
)

// xdpFeatures are the bits of netdev's xdp-features, by their names in the specification.
var xdpFeatures = []string{"basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg"}

const (
	featureBasic    = 1 << 0
	featureRedirect = 1 << 1
	featureZeroCopy = 1 << 3
)

// errNoNetdev says that the kernel has no such family: it came with 6.3.
var errNoNetdev = errors.New("the kernel has no netdev netlink family (6.3 has)")

// genlHeader is struct genlmsghdr: command, version, and two bytes that the kernel wants to be zero.
type genlHeader [4]byte

func (genlHeader) Len() int            { return nl.SizeofGenlmsg }
func (h genlHeader) Serialize() []byte { return h[:] }

// netdevAsk sends one request of the family and gives the attributes of each answer.
func netdevAsk(command uint8, flags int, attribute uint16, index int) ([]map[uint16][]byte, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return nil, errNoNetdev
	}
	r := nl.NewNetlinkRequest(int(family.ID), flags)
	r.AddData(genlHeader{command, 1})
	r.AddData(nl.NewRtAttr(int(attribute), nl.Uint32Attr(uint32(index))))
	answers, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, fmt.Errorf("netdev netlink, command %d: %w", command, err)
	}
	var all []map[uint16][]byte
	for _, a := range answers {
		if len(a) < nl.SizeofGenlmsg {
			continue
		}
		attributes, err := nl.ParseRouteAttr(a[nl.SizeofGenlmsg:])
		if err != nil {
			return nil, fmt.Errorf("netdev netlink, command %d: %w", command, err)
		}
		one := map[uint16][]byte{}
		for _, x := range attributes {
			one[x.Attr.Type&nl.NLA_TYPE_MASK] = x.Value
		}
		all = append(all, one)
	}
	return all, nil
}

// number reads an attribute of 4 or 8 bytes; the kernel writes them in the machine's order.
func number(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

// askXDP reads what the driver says of itself.
func askXDP(index int) (features uint64, segments uint32, err error) {
	all, err := netdevAsk(netdevDevGet, 0, devIfindex, index)
	if err != nil || len(all) == 0 {
		return 0, 0, err
	}
	return number(all[0][devXDPFeatures]), uint32(number(all[0][devZCMaxSegs])), nil
}

// askHeldQueues reads which receive queues have an AF_XDP socket, of whatever process. Kernels before 6.15
// do not tell: then none is.
func askHeldQueues(index int) (held []int, err error) {
	all, err := netdevAsk(netdevQueueGet, unix.NLM_F_DUMP, queueIfindex, index)
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		if _, ok := q[queueXSK]; ok && number(q[queueType]) == queueTypeRx {
			held = append(held, int(number(q[queueID])))
		}
	}
	return held, nil
}

// askInterrupts reads the interrupts of the NAPI instances of an interface; drivers tell of them since 6.8, if they do.
func askInterrupts(index int) ([]int, error) {
	all, err := netdevAsk(netdevNAPIGet, unix.NLM_F_DUMP, napiIfindex, index)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, n := range all {
		if irq, ok := n[napiIRQ]; ok {
			numbers = append(numbers, int(number(irq)))
		}
	}
	return numbers, nil
}
