package nic

import (
	"fmt"
	"net"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/netdev"
)

// Interface is what there is to know of a network interface before a queue of it is bound. Its JSON is what scripts read: names and meanings stay, every
// field is always there, and a list is never null.
type Interface struct {
	Name         string       `json:"name"`
	Index        int          `json:"index"`
	Kind         string       `json:"kind"`   // as `ip -d link` calls it: "device" for hardware, "veth", ...
	Driver       string       `json:"driver"` // "" where there is none
	Bus          string       `json:"bus"`    // where the device sits, "0000:3b:00.0"; "" where it does not tell
	MAC          string       `json:"mac"`
	MTU          int          `json:"mtu"`
	Up           bool         `json:"up"`         // it was set up
	Running      bool         `json:"running"`    // and its link is there
	SpeedMbps    int          `json:"speed_mbps"` // 0: unknown
	NUMANode     int          `json:"numa_node"`  // -1: none, or unknown
	Queues       Queues       `json:"queues"`
	XDP          XDP          `json:"xdp"`
	Program      *Program     `json:"program"` // nil: none is attached
	Pinned       bool         `json:"pinned"`  // by Attach
	Holders      []Holder     `json:"holders"` // of AF_XDP sockets
	Rules        []PlacedRule `json:"rules"`   // that steer packets
	DefaultRoute bool         `json:"default_route"`
	Changed      int          `json:"changed"` // settings that Steer and Tune changed, and Restore would put back
	Notes        []string     `json:"notes"`   // what could not be read, and why
}

// Queues are counts as `ethtool -l` tells them, or of what the kernel allocated where the driver does not tell.
type Queues struct {
	Combined    int  `json:"combined"`
	Rx          int  `json:"rx"` // that only receive
	Tx          int  `json:"tx"`
	MaxCombined int  `json:"max_combined"`
	MaxRx       int  `json:"max_rx"`
	MaxTx       int  `json:"max_tx"`
	FromDriver  bool `json:"from_driver"`
}

// Usable is the number of queues with both a receive and a transmit side: a port can have those from 0 on.
func (q *Queues) Usable() int { return q.Combined + min(q.Rx, q.Tx) }

// XDP is what the driver says of itself in the netdev family, and of a virtio device what its host gave it. A driver may still refuse: for its MTU, its
// queues, its settings.
type XDP struct {
	Known       bool     `json:"known"` // the kernel has the family
	Native      bool     `json:"native"`
	ZeroCopy    bool     `json:"zero_copy"`
	Lacks       []string `json:"lacks"` // what keeps a virtio device from zero-copy
	Features    []string `json:"features"`
	MaxSegments int      `json:"zero_copy_max_segments"`
}

// Program is the XDP program on an interface.
type Program struct {
	ID     uint32 `json:"id"`
	Name   string `json:"name"`
	Ours   bool   `json:"ours"`
	Native bool   `json:"native"` // it runs in the driver
}

// List tells of all interfaces of the calling thread's network namespace but the loopback one, or of those named.
func List(p Places, names ...string) ([]Interface, error) {
	var links []netlink.Link
	if len(names) == 0 {
		all, err := netlink.LinkList()
		if err != nil {
			return nil, fmt.Errorf("read the interfaces: %w", err)
		}
		for _, l := range all {
			if l.Attrs().Flags&net.FlagLoopback == 0 {
				links = append(links, l)
			}
		}
	}
	for _, name := range names {
		l, err := find(name)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	carriers, err := defaultCarriers()
	if err != nil {
		return nil, err
	}
	all := []Interface{}
	for _, l := range links {
		i := look(l, p)
		i.DefaultRoute = carriers[i.Index]
		all = append(all, i)
	}
	return all, nil
}

// look reads everything of one interface. What cannot be read is a note.
func look(l netlink.Link, p Places) Interface {
	a := l.Attrs()
	i := Interface{
		Name: a.Name, Index: a.Index, Kind: l.Type(), MAC: a.HardwareAddr.String(), MTU: a.MTU, NUMANode: -1,
		Up: a.Flags&net.FlagUp != 0, Running: a.RawFlags&unix.IFF_RUNNING != 0, Holders: []Holder{}, Rules: []PlacedRule{}, Notes: []string{},
	}
	note := func(err error) {
		if err != nil {
			i.Notes = append(i.Notes, err.Error())
		}
	}
	features, segments, err := netdev.XDP(a.Index)
	note(err)
	i.XDP = XDP{Known: err == nil, Native: features.Native(), ZeroCopy: features.ZeroCopy(), Features: features.Names(), Lacks: []string{}, MaxSegments: segments}
	i.lookDriver(a, note)
	program, err := afxdp.ProgramOn(a.Index)
	note(err)
	if program != nil {
		i.Program = &Program{ID: program.ID, Name: program.Name, Ours: program.Ours, Native: program.Native}
	}
	held, err := Holders(a.Index, a.NumRxQueues)
	note(err)
	i.Holders = append(i.Holders, held...)
	rules, err := Rules(a.Name)
	note(err)
	i.Rules = append(i.Rules, rules...)
	isPinned := func() error {
		index, _ := afxdp.PinnedIn(p.pins(a.Index))
		i.Pinned = index == a.Index
		return nil
	}
	if program != nil && program.Ours {
		note(p.machineMounts(isPinned))
	}
	if s, err := p.readState(a.Name); err != nil {
		note(err)
	} else if s != nil && s.isOf(l) == nil {
		i.Changed = len(s.Old)
	}
	return i
}

// lookDriver reads driver, queues, NUMA node and speed.
func (i *Interface) lookDriver(a *netlink.LinkAttrs, note func(error)) {
	i.Queues = Queues{Combined: min(a.NumRxQueues, a.NumTxQueues), MaxCombined: min(a.NumRxQueues, a.NumTxQueues)}
	if e, err := ethtool.NewEthtool(); err != nil {
		note(err)
	} else {
		defer e.Close()
		if d, err := e.DriverInfo(a.Name); err == nil {
			i.Driver, i.Bus = d.Driver, d.BusInfo
		}
		if c, err := e.GetChannels(a.Name); err == nil {
			i.Queues = Queues{Combined: int(c.CombinedCount), Rx: int(c.RxCount), Tx: int(c.TxCount),
				MaxCombined: int(c.MaxCombined), MaxRx: int(c.MaxRx), MaxTx: int(c.MaxTx), FromDriver: true}
		}
	}
	s, err := netdev.OpenSysfs(a.Name, a.Index)
	if err != nil {
		note(err)
		return
	}
	defer s.Close()
	i.NUMANode = s.NUMANode()
	// Virtual interfaces have no speed that means anything; those that are down answer EINVAL.
	if n, err := s.Number("speed"); err == nil && n > 0 {
		i.SpeedMbps = n
	}
	if i.Driver == "" {
		i.Driver = s.Driver()
	}
	if lacks := s.VirtioLacks(); i.XDP.ZeroCopy && len(lacks) > 0 {
		i.XDP.ZeroCopy, i.XDP.Lacks = false, lacks
	}
}

// String tells of an interface in some lines, for people.
func (i *Interface) String() string {
	var b strings.Builder
	state := "down"
	switch {
	case i.Running:
		state = "up"
	case i.Up:
		state = "up, no link"
	}
	fmt.Fprintf(&b, "%s  %s  %s  MTU %d  %s", i.Name, orElse(i.Driver, i.Kind), state, i.MTU, i.MAC)
	if i.SpeedMbps > 0 {
		fmt.Fprintf(&b, "  %d Mbit/s", i.SpeedMbps)
	}
	if i.NUMANode >= 0 {
		fmt.Fprintf(&b, "  NUMA node %d", i.NUMANode)
	}
	fmt.Fprintf(&b, "\n  queues   %s\n", i.Queues.describe())
	fmt.Fprintf(&b, "  XDP      %s\n", i.XDP.describe())
	if i.Program != nil {
		fmt.Fprintf(&b, "  program  %s\n", i.describeProgram())
	}
	for _, h := range i.Holders {
		fmt.Fprintf(&b, "  queue %-3d%s\n", h.Queue, h.describe())
	}
	for _, r := range i.Rules {
		fmt.Fprintf(&b, "  rule %-4d%s %s\n", r.Place, r.Match, r.where())
	}
	if i.Changed > 0 {
		fmt.Fprintf(&b, "  changed  %d setting(s): `wirepaxos nic restore %s` puts them back\n", i.Changed, i.Name)
	}
	if i.DefaultRoute {
		b.WriteString("  carries the default route: changed only with --force\n")
	}
	for _, n := range i.Notes {
		fmt.Fprintf(&b, "  unknown  %s\n", n)
	}
	return b.String()
}
