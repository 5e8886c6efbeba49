package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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

	napiID  = 2
	napiIRQ = 3

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

// attribute is a number that a request names.
type attribute struct {
	kind  uint16
	value int
}

// netdevAsk sends one request of the family and gives the attributes of the answer. Dumps are not used: those of this family do not mark their
// messages as parts of one (NLM_F_MULTI), and the reader ends with the first.
func netdevAsk(command uint8, about ...attribute) (map[uint16][]byte, error) {
	family, err := netlink.GenlFamilyGet(netdevFamily)
	if err != nil {
		return nil, errNoNetdev
	}
	r := nl.NewNetlinkRequest(int(family.ID), 0)
	r.AddData(genlHeader{command, 1})
	for _, a := range about {
		r.AddData(nl.NewRtAttr(int(a.kind), nl.Uint32Attr(uint32(a.value))))
	}
	answers, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, fmt.Errorf("netdev netlink, command %d: %w", command, err)
	}
	one := map[uint16][]byte{}
	if len(answers) == 0 || len(answers[0]) < nl.SizeofGenlmsg {
		return one, nil
	}
	attributes, err := nl.ParseRouteAttr(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		return nil, fmt.Errorf("netdev netlink, command %d: %w", command, err)
	}
	for _, x := range attributes {
		one[x.Attr.Type&nl.NLA_TYPE_MASK] = x.Value
	}
	return one, nil
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
	a, err := netdevAsk(netdevDevGet, attribute{devIfindex, index})
	return number(a[devXDPFeatures]), uint32(number(a[devZCMaxSegs])), err
}

func askQueue(index, queue int) (map[uint16][]byte, error) {
	return netdevAsk(netdevQueueGet, attribute{queueIfindex, index}, attribute{queueType, queueTypeRx}, attribute{queueID, queue})
}

// askHeldQueues reads which of the first receive queues have an AF_XDP socket, of whatever process. Kernels before 6.15 do not tell: then none has. An
// interface that is down has no queues.
func askHeldQueues(index, queues int) (held []int, err error) {
	for q := range queues {
		a, err := askQueue(index, q)
		if errors.Is(err, errNoNetdev) {
			return nil, err
		}
		if _, ok := a[queueXSK]; ok { // none where the queue is not there, or not now
			held = append(held, q)
		}
	}
	return held, nil
}

// askInterrupts reads the interrupts that wake the first queues of an interface; drivers tell of them since 6.8, if they do.
func askInterrupts(index, queues int) (numbers []int) {
	for q := range queues {
		a, err := askQueue(index, q)
		if err != nil {
			break
		}
		napi, ok := a[queueNAPI]
		if !ok {
			continue
		}
		n, err := netdevAsk(netdevNAPIGet, attribute{napiID, int(number(napi))})
		if irq, ok := n[napiIRQ]; ok && err == nil {
			numbers = append(numbers, int(number(irq)))
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}
