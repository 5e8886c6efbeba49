package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// upTimeout bounds the wait for a link to carry. The kernel reports it within milliseconds, or after a second where it is lazy.
const upTimeout = 5 * time.Second

// upPoll is how often the state of a link is asked for meanwhile.
const upPoll = time.Millisecond

// veth is a pair to make: the near end in the namespace of the caller's thread, the far end in a named one, or beside
// it where none is named.
type veth struct {
	near, far       string
	nearMAC, farMAC net.HardwareAddr // nil: the kernel draws one
	farNamespace    string
	mtu, queues     int // both ends have as many queues: native XDP wants no more at the peer than it has itself
}

// add makes the pair. The thread must be in the near end's namespace.
func (v veth) add() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = v.near, v.mtu, v.nearMAC
	attrs.NumRxQueues, attrs.NumTxQueues = v.queues, v.queues
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerHardwareAddr = v.far, v.farMAC
	pair.PeerMTU, pair.PeerNumRxQueues, pair.PeerNumTxQueues = uint32(v.mtu), uint32(v.queues), uint32(v.queues)
	if v.farNamespace != "" {
		far, err := netns.GetFromName(v.farNamespace)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", v.farNamespace, err)
		}
		defer func() { _ = far.Close() }() // it was only read
		pair.PeerNamespace = netlink.NsFd(far)
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("veth pair %s-%s, MTU %d, %d queues: %w", v.near, v.far, v.mtu, v.queues, err)
	}
	return nil
}

// plainFrames turns off what would leave a frame unfinished for hardware that is not there. A checksum or a VLAN tag that the
// kernel keeps beside the frame is lost when XDP redirects it, and a segment to be cut later is no frame at all. GRO is off
// too, so that frames stay as they were sent.
func plainFrames(name string) error {
	return setFeatures(name, func(feature string) (on, touch bool) {
		return false, feature == "rx-gro" || feature == "rx-gro-list" || feature == "rx-udp-gro-forwarding" || feature == "tx-gso-list" ||
			strings.HasPrefix(feature, "tx-checksum-") || strings.HasSuffix(feature, "-hw-insert") ||
			strings.HasPrefix(feature, "tx-") && strings.HasSuffix(feature, "-segmentation")
	})
}

// pollRedirected makes a link whose peer XDP redirects into take those frames: veth does so only where the receiving end polls
// (NAPI), and one without an XDP program of its own polls only for GRO. The link must be up: turned on before, GRO
// makes the end poll but does not tell its peer (seen on Linux 6.18).
func pollRedirected(name string) error {
	return setFeatures(name, func(feature string) (on, touch bool) { return true, feature == "rx-gro" })
}

// setFeatures asks which of the link's features to touch and sets them. Kernels differ in which there are.
func setFeatures(name string, choose func(feature string) (on, touch bool)) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("interface %s: open ethtool: %w", name, err)
	}
	defer tool.Close()
	has, err := tool.Features(name)
	if err != nil {
		return fmt.Errorf("interface %s: read its features: %w", name, err)
	}
	want := make(map[string]bool)
	for feature := range has {
		if on, touch := choose(feature); touch {
			want[feature] = on
		}
	}
	if err := tool.Change(name, want); err != nil {
		return fmt.Errorf("interface %s: set its offloads: %w", name, err)
	}
	return nil
}

// configureHost gives a host's end its address and the addresses of the others, and sets it and the loopback up. The thread must
// be in the host's namespace.
func configureHost(host Host, all []Host, redirected bool) error {
	if err := plainFrames(host.Interface); err != nil {
		return err
	}
	link, err := netlink.LinkByName(host.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", host.Interface, err)
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: host.IP.AsSlice(), Mask: net.CIDRMask(subnetBits, 32)}}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("interface %s: address %v: %w", host.Interface, host.IP, err)
	}
	for _, name := range []string{"lo", host.Interface} {
		if err := setUp(name); err != nil {
			return err
		}
	}
	if redirected {
		if err := pollRedirected(host.Interface); err != nil {
			return err
		}
	}
	for _, other := range all {
		if other.Name == host.Name {
			continue
		}
		neighbour := &netlink.Neigh{
			LinkIndex: link.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
			IP: other.IP.AsSlice(), HardwareAddr: other.MAC,
		}
		if err := netlink.NeighSet(neighbour); err != nil {
			return fmt.Errorf("interface %s: neighbour %v: %w", host.Interface, other.IP, err)
		}
	}
	return nil
}

func setUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// waitUp returns when the kernel has reported the link as carrying: before that, its queue discarded what was sent.
func waitUp(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, upTimeout, fmt.Errorf("not up after %v", upTimeout))
	defer cancel()
	for {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("interface %s: %w", name, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("interface %s: %w", name, context.Cause(ctx))
		case <-time.After(upPoll):
		}
	}
}

// removeLink deletes a link and with it its peer and the programs on both. One that is gone is no error.
func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) {
		return fmt.Errorf("remove interface %s: %w", name, err)
	}
	return nil
}
