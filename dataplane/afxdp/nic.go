package afxdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// nic is what Open must know of an interface. All of it comes from netlink and ioctl, which speak of the network namespace
// of the calling thread; sysfs may show another one.
type nic struct {
	name      string
	index     int
	mtu       int
	mac       net.HardwareAddr
	queues    int  // queues that have both a receive and a transmit side
	maxQueues int  // most receive queues that the interface may ever have
	carrier   bool // whoever is at the other end hears
}

// lookNIC finds the interface and checks that it is up and has the queue.
//
// The queue is checked here because not every driver does: binding zero-copy past the last queue of virtio_net succeeds,
// and the kernel fails later.
func lookNIC(name string, queue int) (*nic, *Error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return nil, fault(ErrNoInterface, nil, "name one of those that `ip link` shows")
		}
		return nil, fault(ErrNoInterface, err, "check that netlink works for this process")
	}
	a := link.Attrs()
	if a.Flags&net.FlagUp == 0 {
		return nil, fault(ErrInterfaceDown, nil, "run `ip link set dev %s up`", name)
	}
	n := &nic{name: name, index: a.Index, mtu: a.MTU, mac: a.HardwareAddr, maxQueues: max(a.NumRxQueues, 1), carrier: hasCarrier(link)}
	n.queues = usableQueues(name, min(a.NumRxQueues, a.NumTxQueues))
	n.maxQueues = max(n.maxQueues, n.queues)
	if queue >= n.queues {
		return nil, fault(ErrNoQueue, nil, "%s has queues 0 to %d; `ethtool -L %s combined N` may give it more", name, n.queues-1, name)
	}
	return n, nil
}

// hasCarrier is what the driver says. IFF_RUNNING says the same later, when the kernel has thought about it.
func hasCarrier(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 }

// usableQueues asks the driver for its channels. A driver that does not tell has what the kernel allocated for it.
func usableQueues(name string, allocated int) int {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return max(allocated, 1)
	}
	defer e.Close()
	c, err := e.GetChannels(name)
	if err != nil {
		return max(allocated, 1)
	}
	return max(int(c.CombinedCount+min(c.RxCount, c.TxCount)), 1)
}

// attachedProgram is the id of the XDP program on the interface (0: none) and whether it runs inside the driver.
func (n *nic) attachedProgram() (id uint32, native bool, err error) {
	link, err := netlink.LinkByIndex(n.index)
	if err != nil {
		return 0, false, fmt.Errorf("read the interface's XDP state: %w", err)
	}
	x := link.Attrs().Xdp
	if x == nil || !x.Attached {
		return 0, false, nil
	}
	const attachedGeneric = 2 // XDP_ATTACHED_SKB in linux/if_link.h
	return x.ProgId, x.AttachMode != attachedGeneric, nil
}

// firstIPv4 is the interface's first IPv4 address.
func (n *nic) firstIPv4() (netip.Addr, *Error) {
	addrs, err := netlink.AddrList(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: n.index, Name: n.name}}, unix.AF_INET)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, fault(ErrConfig, err,
			"give the port its IPv4 address, or the interface one: `ip addr add ADDRESS/24 dev %s`", n.name)
	}
	ip, _ := netip.AddrFromSlice(addrs[0].IP.To4())
	return ip, nil
}

// neighbour is the link address that packets to ip go to: ip's own, or its gateway's. ARP is the kernel's work; we read its
// table.
func (n *nic) neighbour(ip netip.Addr) (net.HardwareAddr, *Error) {
	if mac := n.resolved(ip); mac != nil {
		return mac, nil
	}
	routes, err := netlink.RouteGet(ip.AsSlice())
	if err != nil || len(routes) == 0 {
		return nil, fault(ErrNoNeighbour, err, "there is no route to %v: add one, or give the peer's MAC", ip)
	}
	r := routes[0]
	if r.LinkIndex != n.index {
		return nil, fault(ErrNoNeighbour, nil,
			"the route to %v does not go out of %s: change the route, the interface, or give the peer's MAC", ip, n.name)
	}
	if gw, ok := netip.AddrFromSlice(r.Gw.To4()); ok && r.Gw != nil {
		if mac := n.resolved(gw); mac != nil {
			return mac, nil
		}
	}
	return nil, fault(ErrNoNeighbour, nil, "%v is not in the neighbour table of %s: ping it once, or give its MAC", ip, n.name)
}

// resolved is the link address that the kernel's neighbour table has for ip, or nil.
func (n *nic) resolved(ip netip.Addr) net.HardwareAddr {
	entries, err := netlink.NeighList(n.index, unix.AF_INET)
	if err != nil {
		return nil
	}
	const known = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	for _, e := range entries {
		if e.State&known != 0 && e.IP.Equal(ip.AsSlice()) && len(e.HardwareAddr) == 6 {
			return e.HardwareAddr
		}
	}
	return nil
}
