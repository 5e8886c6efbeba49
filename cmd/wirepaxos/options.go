package main

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// nodeFlags are the flags that every command has that runs nodes.
type nodeFlags struct {
	config, state, control string
	ids                    string
	iface, idle            string
	transport, link, batch string
	group, mtu             int
	queues, cores          []int
	multicast              bool
	heartbeat, timeout     time.Duration
	extra                  []string
	quiet                  bool
	stages                 uint
	hold                   holdFlags
	rings                  queueFlags
	gc                     string
	strict                 bool
	flags                  *pflag.FlagSet
}

// defaultState is where nodes keep what must survive a restart and a reboot.
const defaultState = "/var/lib/wirepaxos"

func (o *nodeFlags) add(flags *pflag.FlagSet) {
	o.flags = flags
	flags.StringVarP(&o.config, "config", "f", "cluster.toml", "cluster file: cluster.toml, or a paxos.conf of Kernel Paxos or libpaxos")
	flags.StringVar(&o.ids, "id", "", "node to run, or several of one endpoint: 1,2,3 (in a paxos.conf: the role's number)")
	flags.StringVar(&o.state, "state-dir", defaultState, "directory of what must survive a restart: proposer rounds, acceptor marker")
	flags.StringVar(&o.control, "control", "", "Unix socket to answer \"wirepaxos status\" and \"wirepaxos admin\" on")
	flags.StringVarP(&o.iface, "interface", "i", "", "interface to bind a queue of, in place of the file's")
	flags.IntVar(&o.group, "group", 0, "group to run alone, of a cluster file with several; 0: all, each on a loop of its own")
	flags.IntSliceVar(&o.queues, "queue", nil, "queue of the interface, in place of the file's; of several groups the first one's, or one for each: 0,2")
	flags.IntSliceVar(&o.cores, "core", nil, "core to pin the loop to, in place of the file's; -1: none; of several groups the first one's, or one for each: 2,4")
	flags.StringVar(&o.idle, "idle", "", "what an empty cycle does: spin, yield, backoff, block; auto: spin on a core of its own, else block")
	flags.StringVar(&o.transport, "transport", "", "afxdp, udp or mem, in place of the file's; the same on all nodes")
	flags.StringVar(&o.link, "link", "", "ethernet or udp4 under AF_XDP, in place of the file's; the same on all nodes")
	flags.StringVar(&o.batch, "batch", "", "instance, frame or off, in place of the file's; the same on all nodes")
	flags.BoolVar(&o.multicast, "multicast", false, "send what is for several nodes once for each way to them, in place of the file's")
	flags.IntVar(&o.mtu, "mtu", 0, "largest payload of a frame, in place of the file's; the same on all nodes")
	flags.DurationVar(&o.heartbeat, "heartbeat", 0, "time between two heartbeats of the leader, in place of the file's; the same on all nodes")
	flags.DurationVar(&o.timeout, "leader-timeout", 0,
		"silence after which another proposer takes over, in place of the file's, at least 3 heartbeats; the same on all nodes")
	flags.StringArrayVar(&o.extra, "node", nil,
		"a node that the file does not name, as ROLE@MAC, ROLE@IP or ROLE@IP:PORT; repeat it, the same on all nodes")
	flags.UintVar(&o.stages, "stages", 0, "note when one value in so many passes the roles of this process, for \"wirepaxos demo --stages\"; 0: none")
	o.hold.add(flags)
	o.rings.add(flags)
	flags.StringVar(&o.gc, "gc", gcBounded, "garbage collector, once all is allocated: bounded (a loop leaves it nothing to do), or off until 1 GiB is garbage")
	flags.BoolVar(&o.strict, "strict", false, "refuse to start where \"wirepaxos doctor\" has a yellow or red line about these nodes")
	flags.BoolVarP(&o.quiet, "quiet", "q", false, "do not tell of events")
}

// load reads the cluster file and applies the flags that were given.
func (o *nodeFlags) load() (*cluster.File, error) {
	f, err := loadFile(o.config)
	if err != nil {
		return nil, err
	}
	for _, e := range o.extra {
		if err := addNode(f, e); err != nil {
			return nil, fmt.Errorf("--node %s: %w", e, err)
		}
	}
	given := givenOf(o.flags)
	if !o.flags.Changed("quiet") && (f.Verbosity == "quiet" || f.Verbosity == "error") { // events are told from "info" on
		o.quiet = true
	}
	given("transport", func() { f.Transport = cluster.Transport(o.transport) })
	given("link", func() { f.Link = cluster.Link(o.link) })
	given("batch", func() { f.Batch = cluster.Batch(o.batch) })
	given("multicast", func() { f.Multicast = o.multicast })
	given("mtu", func() { f.MTU = o.mtu })
	o.rings.apply(f, given)
	given("heartbeat", func() { f.Timing.Heartbeat = o.heartbeat })
	given("leader-timeout", func() { f.Timing.LeaderTimeout = o.timeout })
	if err := f.Validate(); err != nil {
		return nil, err
	}
	return chooseGroup(f, o.group)
}

// givenOf calls set for a flag that was given.
func givenOf(flags *pflag.FlagSet) func(name string, set func()) {
	return func(name string, set func()) {
		if flags.Changed(name) {
			set()
		}
	}
}

// chooseGroup is the file as --group wants it: as that group sees it, or whole where it is 0.
func chooseGroup(f *cluster.File, group int) (*cluster.File, error) {
	if group == 0 {
		return f, nil
	}
	if group < 0 || group > math.MaxUint16 {
		return nil, fmt.Errorf("--group %d: want one of the groups of %s, %v", group, f.Name, f.AllGroups())
	}
	f, err := f.ForGroup(uint16(group))
	if err != nil {
		return nil, fmt.Errorf("--group: %w", err)
	}
	return f, nil
}

// place applies the flags that say where the nodes of this process run.
func (o *nodeFlags) place(f *cluster.File, ids []uint16) error {
	for i := range f.Nodes {
		n := &f.Nodes[i]
		for _, id := range ids {
			if n.ID != id {
				continue
			}
			if o.flags.Changed("interface") {
				n.Interface = o.iface
			}
			if o.flags.Changed("queue") {
				n.Queue, n.Queues = eachOr(o.queues)
			}
			if o.flags.Changed("core") {
				n.Core, n.Cores = eachOr(o.cores)
			}
			if o.flags.Changed("idle") {
				n.Idle = cluster.Idle(o.idle)
			}
		}
	}
	return f.Validate()
}

// eachOr is what a flag with a number for each group says: the first one's, and the list if there is more than that.
func eachOr(list []int) (first int, each []int) {
	if len(list) == 1 {
		return list[0], nil
	}
	return list[0], list
}

// find turns --id into node ids, the first of which has the role.
func (o *nodeFlags) find(f *cluster.File, role cluster.Roles) (ids []uint16, err error) {
	if o.ids == "" {
		return nil, fmt.Errorf("--id is missing: which node of %s shall run?", f.Name)
	}
	for word := range strings.SplitSeq(o.ids, ",") {
		number, err := strconv.ParseUint(strings.TrimSpace(word), 10, 16)
		if err != nil {
			return nil, fmt.Errorf("--id %s: %q is no node id: want a number, or several with commas", o.ids, word)
		}
		n, err := f.Find(role, uint16(number))
		if err != nil {
			return nil, err
		}
		ids = append(ids, n.ID)
		role = 0
	}
	return ids, nil
}

// addNode adds ROLE@ADDRESS.
func addNode(f *cluster.File, text string) error {
	name, address, ok := strings.Cut(text, "@")
	if !ok {
		return fmt.Errorf("want ROLE@MAC, ROLE@IP or ROLE@IP:PORT, say learner@02:00:00:00:00:05")
	}
	role, err := cluster.ParseRole(name)
	if err != nil {
		return err
	}
	n := cluster.NewNode(0, role)
	if mac, err := cluster.ParseMAC(address); err == nil {
		n.MAC = mac
	} else if ip, err := netip.ParseAddr(address); err == nil {
		n.IP = ip
	} else if both, err := netip.ParseAddrPort(address); err == nil {
		n.IP, n.Port = both.Addr(), both.Port()
	} else {
		return fmt.Errorf("%q is neither a MAC nor an IPv4 address", address)
	}
	_, err = f.AddNode(n)
	return err
}

// spec is what the flags and the file say to run of one group, which is one of several or not.
func (o *nodeFlags) spec(f *cluster.File, ids []uint16, several bool) node.Spec {
	group := ""
	if several {
		group = fmt.Sprintf("group %d: ", f.Group)
	}
	s := node.Spec{File: f, Nodes: ids, StateDir: o.state, Core: node.CoreOfFile, Hold: o.hold.spec()}
	s.Warn = func(format string, args ...any) { fmt.Fprintf(os.Stderr, "wirepaxos: "+group+format+"\n", args...) }
	if !o.quiet {
		s.Notice = func(n node.Notice) { fmt.Fprintf(os.Stderr, "%s%v %d: %v\n", group, n.Role, n.Node, n.Event) }
	}
	return s
}

// needsState tells whether nodes keep something in the state directory.
func needsState(f *cluster.File, ids []uint16) bool {
	for _, id := range ids {
		if n, err := f.Node(id); err == nil && n.Roles&(cluster.Acceptor|cluster.Proposer) != 0 {
			return true
		}
	}
	return false
}

// makeState makes the default state directory at its first use; another one must be there: a missing mount must not look like a first start.
func (o *nodeFlags) makeState(f *cluster.File, ids []uint16) error {
	if !needsState(f, ids) || o.flags.Changed("state-dir") {
		return nil
	}
	if err := os.MkdirAll(defaultState, 0o700); err != nil {
		return fmt.Errorf("state directory: %w: name one that can be written with --state-dir", err)
	}
	return nil
}

// describe is one line for each port: what it really got.
func describe(ports []node.PortStatus) (lines []string) {
	for _, p := range ports {
		line := p.Transport
		if p.Mode != "" {
			line += " " + p.Mode + " mode"
		}
		if p.Link != "" {
			line += ", link " + p.Link
		}
		if p.Interface != "" {
			line += fmt.Sprintf(", %s", p.Interface)
			if p.Transport == "afxdp" {
				line += fmt.Sprintf(" queue %d", p.Queue) + described(&p.Info)
			}
		}
		if p.Note != "" {
			line += " (" + p.Note + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// described is what an AF_XDP port's memory and driver are like.
func described(i *dataplane.Info) string {
	text := fmt.Sprintf(", cells of %d bytes in %s pages", i.Cell, i.Pages)
	if i.Node != "" {
		text += " on NUMA node " + i.Node
	}
	if i.BusyPoll == "prefer" {
		text += ", busy-polled"
	}
	return text
}
