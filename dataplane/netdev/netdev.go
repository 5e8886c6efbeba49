// Package netdev asks the kernel what neither rtnetlink nor ethtool tells of an interface, without changing anything of it.
//
//   - What XDP the driver can do, which of its queues have an AF_XDP socket and which interrupts wake them: the generic netlink family netdev
//     (Documentation/netlink/specs/netdev.yaml). It speaks of the network namespace of the calling thread. Kernels before 6.3 do not have it (ErrNone), and
//     later ones told more: of queues and interrupts since 6.8, of AF_XDP sockets since 6.15.
//   - Files of the interface: a sysfs of that same namespace (OpenSysfs).
//
// What a driver says it can do it may still refuse: for its MTU, its queues, its settings.
package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of the family (include/uapi/linux/netdev.h).
const (
	familyName = "netdev"

	devGet   = 1
	queueGet = 10
	napiGet  = 11

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

// ErrNone says that the kernel has no such family.
var ErrNone = errors.New("the kernel has no netdev netlink family (6.3 has)")

// Features are what XDP a driver can do: NETDEV_A_DEV_XDP_FEATURES.
type Features uint64

// The features that matter to a port.
const (
	Basic       Features = 1 << 0
	Redirect    Features = 1 << 1
	XSKZeroCopy Features = 1 << 3 // the driver's part of zero-copy
)

// featureNames are those of the specification, by their bits.
var featureNames = []string{"basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg"}

// Native tells that a program of ours can run in the driver.
func (f Features) Native() bool { return f&(Basic|Redirect) == Basic|Redirect }

// ZeroCopy tells that a socket could be zero-copy.
func (f Features) ZeroCopy() bool { return f.Native() && f&XSKZeroCopy != 0 }

// Names are the specification's words for what is there.
func (f Features) Names() []string {
	names := []string{}
	for bit, name := range featureNames {
		if f&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// XDP reads what the driver of an interface says that it can do, and of how many buffers a zero-copy packet may be.
func XDP(index int) (f Features, segments int, err error) {
	a, err := ask(devGet, attribute{devIfindex, index})
	return Features(number(a[devXDPFeatures])), int(number(a[devZCMaxSegs])), err
}

// HeldQueues reads which of the first receive queues have an AF_XDP socket, of whatever process. Kernels before 6.15 do not tell (TellsHeld): then none
// has. An interface that is down has no queues.
func HeldQueues(index, queues int) (held []int, err error) {
	for q := range queues {
		a, err := askQueue(index, q)
		if errors.Is(err, ErrNone) {
			return nil, err
		}
		if _, ok := a[queueXSK]; ok { // none where the queue is not there, or not now
			held = append(held, q)
		}
	}
	return held, nil
}

// TellsHeld tells that the kernel is one whose HeldQueues is an answer.
func TellsHeld() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 6 || major == 6 && minor >= 15
}

// Interrupts reads those that wake the first queues of an interface, ascending, of drivers that tell.
func Interrupts(index, queues int) (numbers []int) {
	for q := range queues {
		a, err := askQueue(index, q)
		if err != nil {
			break
		}
		napi, ok := a[queueNAPI]
		if !ok {
			continue
		}
		n, err := ask(napiGet, attribute{napiID, int(number(napi))})
		if irq, ok := n[napiIRQ]; ok && err == nil {
			numbers = append(numbers, int(number(irq)))
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// attribute is a number that a request names.
type attribute struct {
	kind  uint16
	value int
}

func askQueue(index, queue int) (map[uint16][]byte, error) {
	return ask(queueGet, attribute{queueIfindex, index}, attribute{queueType, queueTypeRx}, attribute{queueID, queue})
}

// genericHeader is struct genlmsghdr: command, version, and two bytes that the kernel wants to be zero. The library's own type has room for two bytes and
// sends four.
type genericHeader [nl.SizeofGenlmsg]byte

func (genericHeader) Len() int            { return nl.SizeofGenlmsg }
func (h genericHeader) Serialize() []byte { return h[:] }

// ask sends one request of the family and gives the attributes of the answer. Dumps are not used: those of this family do not mark their messages as parts
// of one (NLM_F_MULTI), and the reader ends with the first.
func ask(command uint8, about ...attribute) (map[uint16][]byte, error) {
	family, err := netlink.GenlFamilyGet(familyName)
	if err != nil {
		return nil, ErrNone
	}
	r := nl.NewNetlinkRequest(int(family.ID), 0)
	r.AddData(genericHeader{command, 1})
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
