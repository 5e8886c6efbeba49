package cluster

import (
	"errors"
	"fmt"
	"slices"
)

// Several groups of one file.
//
// Each group is a Paxos of its own, with the same nodes: node 3 of group 1 and node 3 of group 2 have the file, the machine and most often the process in
// common, and not one instance. A process has a loop, a port and a core for each group. The file says where each is by lists with a place for each
// group (queues, ports, cores, ethertypes); where it says one number, that is the first group's, and each next group has the next queue, UDP port and core.
// A node that names no core has none in any group, and all groups share an EtherType unless there are ethertypes.
//
// ForGroup is the file as one group sees it. All of this package but Validate, Encode and AddNode, and everything else, works on such a file; of a
// file with several groups it shows the first one.

// MaxGroups is how many groups a file has at most: a process has a loop, and rings in memory, for each.
const MaxGroups = 64

// AllGroups are the ids of the file's groups, in its order. There is at least one.
func (f *File) AllGroups() []uint16 {
	if len(f.Groups) == 0 {
		return []uint16{f.Group}
	}
	return slices.Clone(f.Groups)
}

// ForGroup returns the file as group sees it: that group alone, with its queues, ports and cores. Of a file with one group it is the file itself.
// The error names the groups that there are.
func (f *File) ForGroup(group uint16) (*File, error) {
	if len(f.Groups) == 0 && group == f.Group {
		return f, nil
	}
	if i := slices.Index(f.Groups, group); i >= 0 {
		return f.view(i), nil
	}
	return nil, f.fault("groups", "no group %d: choose from %s", group, joined(f.AllGroups(), "%d"))
}

// Split returns the file as each of its groups sees it, in their order.
func (f *File) Split() (files []*File) {
	if len(f.Groups) == 0 {
		return []*File{f}
	}
	for i := range f.Groups {
		files = append(files, f.view(i))
	}
	return files
}

// SetGroups makes the file one of several groups, or of one; whatever lists nodes had for each group are gone.
func (f *File) SetGroups(groups ...uint16) {
	f.Group, f.Groups, f.EtherTypes = groups[0], slices.Clone(groups), nil
	if len(groups) == 1 {
		f.Groups = nil
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		n.Queues, n.Ports, n.Cores = nil, nil, nil
	}
}

// view is the file of group number i. Where the file has several, its numbers have room for all of them once checkGroups has passed.
func (f *File) view(i int) *File {
	v := *f
	v.Group, v.Groups, v.EtherTypes = f.Groups[i], nil, nil
	v.UDPPort += uint16(i)
	if f.EtherTypes != nil {
		v.EtherType = f.EtherTypes[i]
	}
	v.Nodes = slices.Clone(f.Nodes)
	for k := range v.Nodes {
		v.Nodes[k].choose(i)
	}
	return &v
}

// choose makes the node that of group number i.
func (n *Node) choose(i int) {
	lines := n.lines
	listed := func(key, list string) {
		line, ok := n.lines[list]
		if !ok {
			return
		}
		if len(lines) == len(n.lines) { // the file's own map stays as it is
			lines = make(map[string]int, len(n.lines)+1)
			for k, v := range n.lines {
				lines[k] = v
			}
		}
		lines[key] = line
	}
	n.Queue, n.Core = n.Queue+i, next(n.Core, i, NoCore)
	n.Port = next(n.Port, uint16(i), 0)
	if n.Queues != nil {
		n.Queue = n.Queues[i]
		listed("queue", "queues")
	}
	if n.Ports != nil {
		n.Port = n.Ports[i]
		listed("port", "ports")
	}
	if n.Cores != nil {
		n.Core = n.Cores[i]
		listed("core", "cores")
	}
	n.lines = lines
	n.Queues, n.Ports, n.Cores = nil, nil, nil
}

// next is what a number of the first group is i groups further on; what was not said stays unsaid.
func next[N int | uint16](said, i, unsaid N) N {
	if said == unsaid {
		return unsaid
	}
	return said + i
}

// checkGroups checks what is said of several groups, up to where each can be looked at by itself.
func (f *File) checkGroups() error {
	for i, g := range f.Groups {
		switch err := spanGroup.check("group", int64(g)); {
		case err != nil:
			return f.fault("groups", "%v", err)
		case slices.Index(f.Groups, g) < i:
			return f.fault("groups", "group %d is there twice: take one out", g)
		}
	}
	switch n := len(f.Groups); {
	case n == 1, n > MaxGroups:
		return f.fault("groups", "%d groups: write 2 to %d, or leave groups out for one", n, MaxGroups)
	case n > 0 && f.Groups[0] != f.Group:
		return f.fault("group", "group %d is not the first of groups %v: write one of the two", f.Group, f.Groups)
	}
	if err := f.checkEtherTypes(); err != nil {
		return err
	}
	last := max(len(f.Groups), 1) - 1
	if int(f.UDPPort)+last > 0xFFFF {
		return f.fault("udp_port", "udp_port %d: there would be no port for group %d: write a lower one", f.UDPPort, f.Groups[last])
	}
	for _, n := range f.Nodes {
		if err := f.checkLists(n); err != nil {
			return err
		}
		if n.Ports == nil && n.Port != 0 && int(n.Port)+last > 0xFFFF {
			return f.NodeError(n, "port", "port %d: there would be none for group %d: write a lower one, or ports", n.Port, f.Groups[last])
		}
	}
	return nil
}

func (f *File) checkEtherTypes() error {
	if f.EtherTypes == nil {
		return nil
	}
	if err := f.checkLength("ethertypes", len(f.EtherTypes)); err != nil {
		return f.fault("ethertypes", "%v", err)
	}
	for i, t := range f.EtherTypes {
		err := checkEtherType(t)
		if err == nil && slices.Index(f.EtherTypes, t) < i {
			err = fmt.Errorf("ethertype 0x%04X is there twice: give each group one of its own, or write one ethertype for all", t)
		}
		if err != nil {
			return f.fault("ethertypes", "%v", err)
		}
	}
	return nil
}

// checkLists checks the lists of a node.
func (f *File) checkLists(n Node) error {
	lists := []struct {
		key    string
		length int
		there  bool
		first  bool // the single number is that of the first group
	}{
		{"queues", len(n.Queues), n.Queues != nil, len(n.Queues) > 0 && n.Queues[0] == n.Queue},
		{"ports", len(n.Ports), n.Ports != nil, len(n.Ports) > 0 && n.Ports[0] == n.Port},
		{"cores", len(n.Cores), n.Cores != nil, len(n.Cores) > 0 && n.Cores[0] == n.Core},
	}
	for _, l := range lists {
		if !l.there {
			continue
		}
		if err := f.checkLength(l.key, l.length); err != nil {
			return f.NodeError(n, l.key, "%v", err)
		}
		if !l.first {
			return f.NodeError(n, l.key, "%s does not begin with the number that stands for the first group: write one of the two", l.key)
		}
	}
	return nil
}

// checkLength says why a list does not have a place for each group.
func (f *File) checkLength(key string, length int) error {
	switch groups := len(f.Groups); {
	case groups == 0:
		return fmt.Errorf("%s is a list with a number for each group, and there is one group: write groups = and their number", key)
	case length != groups:
		return fmt.Errorf("%s has %d numbers, and there are %d groups: write one for each", key, length, groups)
	}
	return nil
}

// checkEach checks the file as each group but the first sees it, and the groups against each other; the first one's view has been checked.
func (f *File) checkEach() error {
	if len(f.Groups) == 0 {
		return nil
	}
	for i := 1; i < len(f.Groups); i++ {
		err := f.view(i).Validate()
		if e := (*Error)(nil); errors.As(err, &e) {
			e.Text = fmt.Sprintf("group %d: %s", f.Groups[i], e.Text)
		}
		if err != nil {
			return err
		}
	}
	return f.checkApart()
}

// taken is what an endpoint of a group has for itself.
type taken struct {
	group uint16
	node  uint16
}

// checkApart refuses groups that take each other's queue or address: a queue has one socket, and what comes to one address and UDP port cannot be told
// apart by the NIC.
func (f *File) checkApart() error {
	queues, ports := map[string]taken{}, map[string]taken{}
	for _, v := range f.Split() {
		for _, e := range v.Endpoints() {
			n, own := e.Nodes[0], taken{v.Group, e.Nodes[0].ID}
			if f.Transport == TransportAFXDP {
				nic := "ip " + e.IP.String()
				if !e.MAC.IsZero() {
					nic = "mac " + e.MAC.String()
				}
				if other, ok := queues[fmt.Sprintf("%s/%d", nic, e.Queue)]; ok {
					return v.NodeError(n, "queue", "queue %d of %s in group %d is that of node %d in group %d: write queues = [...], one for each group, that nobody else has",
						e.Queue, nic, v.Group, other.node, other.group)
				}
				queues[fmt.Sprintf("%s/%d", nic, e.Queue)] = own
			}
			if f.LinkLayer() != LinkUDP4 {
				continue
			}
			key := fmt.Sprintf("%s:%d", e.IP, e.Port)
			if other, ok := ports[key]; ok && other.group != v.Group {
				return v.NodeError(n, "port", "%s in group %d is that of node %d in group %d: write ports = [...], one for each group, that nobody else has",
					key, v.Group, other.node, other.group)
			}
			ports[key] = own
		}
	}
	return nil
}
