package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// taps are two interfaces of several queues in a network namespace of their own; the host's kernel gives what comes out of one to the other. QEMU has a
// file for each queue. Namespace and interfaces are gone when the last file is closed.
type taps struct {
	queues map[string][]*os.File // by name of the guest's NIC
}

// newTaps makes a tap for each of the two NICs. It needs root and /dev/net/tun.
func newTaps(between []machineNIC) (*taps, error) {
	t := &taps{queues: map[string][]*os.File{}}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread, which is in the namespace, ends with the goroutine
		done <- t.make(between)
	}()
	if err := <-done; err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *taps) make(between []machineNIC) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network namespace: %w", err)
	}
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644) // else the kernel's own traffic is on the pair
	var links []netlink.Link
	for _, n := range between {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = n.name
		link := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, NonPersist: true, Queues: cores, Flags: netlink.TUNTAP_MULTI_QUEUE_DEFAULTS}
		err := netlink.LinkAdd(link)
		t.queues[n.name] = link.Fds
		if err != nil {
			return fmt.Errorf("a tap: %w", err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("set tap %s up: %w", n.name, err)
		}
		found, err := netlink.LinkByName(n.name)
		if err != nil {
			return fmt.Errorf("tap %s: %w", n.name, err)
		}
		links = append(links, found)
	}
	return join(links[0], links[1])
}

// join lets each link send what the other receives.
func join(a, b netlink.Link) error {
	for _, way := range [][2]netlink.Link{{a, b}, {b, a}} {
		from, to := way[0].Attrs().Index, way[1].Attrs().Index
		ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: from, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}
		if err := netlink.QdiscAdd(ingress); err != nil {
			return fmt.Errorf("an ingress queue (CONFIG_NET_SCH_INGRESS): %w", err)
		}
		all := &netlink.U32{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: from, Parent: netlink.MakeHandle(0xffff, 0), Priority: 1, Protocol: unix.ETH_P_ALL},
			ClassId:     netlink.MakeHandle(1, 1),
			Actions:     []netlink.Action{netlink.NewMirredAction(to)},
		}
		if err := netlink.FilterAdd(all); err != nil {
			return fmt.Errorf("redirect between taps (CONFIG_NET_CLS_U32, CONFIG_NET_ACT_MIRRED): %w", err)
		}
	}
	return nil
}

// close lets go of the taps. A QEMU that runs keeps them.
func (t *taps) close() {
	if t == nil {
		return
	}
	for _, files := range t.queues {
		for _, f := range files {
			f.Close()
		}
	}
}
