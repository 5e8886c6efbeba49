package nic

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// defaultCarriers are the indices of all interfaces of the namespace that a default route goes over, in any table: those that a route names, and
// those below them: the ports of a bond or bridge, the interface under a VLAN.
func defaultCarriers() (map[int]bool, error) {
	carriers := map[int]bool{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("read the routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst != nil {
				if ones, _ := r.Dst.Mask.Size(); ones != 0 {
					continue
				}
			}
			if r.Type != unix.RTN_UNICAST {
				continue
			}
			carriers[r.LinkIndex] = true
			for _, hop := range r.MultiPath {
				carriers[hop.LinkIndex] = true
			}
		}
	}
	delete(carriers, 0)
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("read the interfaces: %w", err)
	}
	addAllLower(carriers, links)
	return carriers, nil
}

// addAllLower adds all that lies below, as deep as interfaces can be stacked.
func addAllLower(carriers map[int]bool, links []netlink.Link) {
	for range links {
		addLower(carriers, links)
	}
}

// addLower adds what lies one layer below.
func addLower(carriers map[int]bool, links []netlink.Link) {
	for _, l := range links {
		a := l.Attrs()
		if carriers[a.MasterIndex] && a.MasterIndex != 0 {
			carriers[a.Index] = true
		}
		// The parent of a veth is its other end, of a tunnel its device, maybe in another namespace: only what stands on an interface counts.
		switch l.Type() {
		case "vlan", "macvlan", "ipvlan", "macsec":
			if carriers[a.Index] && a.ParentIndex != 0 {
				carriers[a.ParentIndex] = true
			}
		}
	}
}

// Guard refuses an interface that the machine may be reached over, unless force says to go on. It also finds the interface.
func Guard(name string, force bool) (netlink.Link, error) {
	link, err := find(name)
	if err != nil {
		return nil, err
	}
	carriers, err := defaultCarriers()
	if err != nil {
		return nil, err
	}
	if carriers[link.Attrs().Index] && !force {
		return nil, fmt.Errorf("%s carries the default route, and a change may cut this machine off: take another interface, or say --force", name)
	}
	return link, nil
}

func find(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err == nil {
		return link, nil
	}
	if _, ok := err.(netlink.LinkNotFoundError); ok {
		return nil, fmt.Errorf("interface %q does not exist: `wirepaxos nic list` shows those that do", name)
	}
	return nil, fmt.Errorf("interface %q: %w", name, err)
}
