package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits on what a file may say.
const (
	MaxNodes     = 64      // node ids are below it and 0 is no node, so a set of nodes fits in one uint64
	MaxAcceptors = 7       // a quorum is counted in one byte; more acceptors only make a value slower
	MaxProposers = 8       // candidates for the leader
	MaxFileBytes = 1 << 20 // a longer file is refused before it is parsed
)

// NoCore is the Core of a node that is pinned nowhere. The zero value of Core is core 0: use NewNode.
const NoCore = -1

// Transport is what carries the frames.
type Transport string

// The transports.
const (
	TransportAFXDP Transport = "afxdp" // busy-polled AF_XDP rings
	TransportUDP   Transport = "udp"   // the kernel's UDP sockets
	TransportMem   Transport = "mem"   // rings in memory, of one process or one host
)

// Link is the link layer under AF_XDP.
type Link string

// The link layers.
const (
	LinkEthernet Link = "ethernet" // raw Ethernet frames of EtherType
	LinkUDP4     Link = "udp4"     // UDP over IPv4
)

// Mode is the AF_XDP mode to ask for. What was got, the port says.
type Mode string

// The modes.
const (
	ModeAuto     Mode = "auto"
	ModeZeroCopy Mode = "zerocopy"
	ModeCopy     Mode = "copy"
)

// Batch says what shares an instance and what shares a frame.
type Batch string

// The kinds of batching.
const (
	BatchInstance Batch = "instance" // values of one burst share an instance
	BatchFrame    Batch = "frame"    // one value an instance, several messages a frame
	BatchOff      Batch = "off"      // one value an instance, one message a frame
)

// Storage is where acceptors keep their promises and votes.
type Storage string

// StorageMemory is the only storage of this version: an acceptor that restarts does not vote again.
const StorageMemory Storage = "memory"

// SlowLearner is what a leader does about learners that hold the cluster back.
type SlowLearner string

// SlowHold tells people and waits; SlowDrop no longer waits for them, and they take state from another learner.
const (
	SlowHold SlowLearner = "hold"
	SlowDrop SlowLearner = "drop"
)

// Idle is what a loop does in a cycle without work.
type Idle string

// The idle strategies. IdleAuto spins on a core of the loop's own and blocks elsewhere.
const (
	IdleAuto    Idle = "auto"
	IdleSpin    Idle = "spin"
	IdleYield   Idle = "yield"
	IdleBackoff Idle = "backoff"
	IdleBlock   Idle = "block"
)

// Timing holds the periods and time limits of the protocol.
type Timing struct {
	Heartbeat     time.Duration // leader to everyone; acceptors answer
	Retry         time.Duration // proposer: resend of a Prepare or an Accept without an answer
	Lease         time.Duration // how long a learner's registration lives unless renewed
	LeaderTimeout time.Duration // silence after which a leader is taken for gone, and stops itself; at least leastBeats heartbeats
	ClientRetry   time.Duration // client: resend of a value without a reply
	SlowAfter     time.Duration // leader: how long learners may hold it back before something is done about it (SlowLearner)
}

// Node is one member of the cluster.
type Node struct {
	ID        uint16     // 1 to MaxNodes-1
	Roles     Roles      // at least one
	Interface string     // AF_XDP: the interface on the node's own machine; only that machine needs it
	Queue     int        // AF_XDP: queue of the interface
	MAC       MAC        // AF_XDP: link address; with LinkUDP4 it may be missing and comes from the kernel's neighbour table
	IP        netip.Addr // UDP and LinkUDP4: IPv4 address
	Port      uint16     // UDP and LinkUDP4; 0: the file's UDPPort
	Core      int        // core to pin the loop to, or NoCore
	Host      string     // name of the machine; "": told by the addresses (SameHost)
	Idle      Idle       // "": the file's
	Endpoint  string     // TransportMem: nodes of one name share a loop; "": the decimal id

	// Of a file with several groups, a number for each of them; Queue, Port and Core are then the first. nil: each group has the next (groups.go).
	Queues []int
	Ports  []uint16
	Cores  []int // NoCore: none

	lines map[string]int // key -> line in the file; "" is the line of the node itself
}

// NewNode makes a node without addresses, pinned nowhere.
func NewNode(id uint16, roles Roles) Node { return Node{ID: id, Roles: roles, Core: NoCore} }

// File is the configuration of one cluster, alike on all its machines.
type File struct {
	Name        string   // for error messages: where it came from
	Cluster     uint64   // frames of other clusters are dropped; never 0
	Group       uint16   // many groups may share a NIC; never 0
	Groups      []uint16 // all groups of the file, Group the first of them; nil: Group is the only one (groups.go)
	Transport   Transport
	Link        Link // TransportAFXDP only; LinkLayer says what is really used
	Mode        Mode
	EtherType   uint16
	EtherTypes  []uint16 // one for each of Groups, so that a NIC can tell them apart, EtherType the first; nil: all have EtherType
	VLAN        uint16   // 0: untagged
	UDPPort     uint16
	MTU         int // largest payload of a frame in bytes; 0: what the interface has
	Chunk       int // TransportAFXDP: bytes of a cell of the UMEM, SmallChunk or LargeChunk
	Hugepages   Hugepages
	BusyPoll    BusyPoll
	Batch       Batch
	Multicast   bool // what is for several nodes leaves once for each way to them
	Storage     Storage
	Idle        Idle
	Window      int64 // instances, a power of two
	ValueBytes  int64 // ring of values in bytes, a power of two
	MaxValue    int64 // largest value in bytes; 0: what fits a frame
	SlowLearner SlowLearner
	Sessions    int // client sessions that learners keep

	// SessionIdle is after how many instances without use a session gives way where learners keep no more.
	SessionIdle int64

	Verbosity string // "", or one of quiet, error, info, debug
	Timing    Timing
	Nodes     []Node // in the order of the file

	lines map[string]int // key -> line in the file
	names map[confName]uint16
}

// New is a configuration with a freshly drawn cluster id, everything else at its default, and no nodes yet.
func New() *File {
	f := defaults()
	for f.Cluster == 0 {
		var b [8]byte
		rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
		f.Cluster = binary.BigEndian.Uint64(b[:])
	}
	return f
}

// defaults is what a file without any key means. The cluster id has no default.
func defaults() *File {
	return &File{
		Name:        "cluster.toml",
		Group:       1,
		Transport:   TransportAFXDP,
		Link:        LinkEthernet,
		Mode:        ModeAuto,
		EtherType:   0x88B5,
		UDPPort:     7471,
		Chunk:       SmallChunk,
		Hugepages:   HugepagesAuto,
		BusyPoll:    BusyPollOff,
		Batch:       BatchInstance,
		Storage:     StorageMemory,
		Idle:        IdleAuto,
		Window:      1 << 16,
		ValueBytes:  1 << 26,
		SlowLearner: SlowHold,
		Sessions:    1 << 14,

		SessionIdle: 1 << 20,
		Timing: Timing{
			Heartbeat:     time.Millisecond,
			Retry:         10 * time.Millisecond,
			Lease:         2 * time.Second,
			LeaderTimeout: 50 * time.Millisecond,
			ClientRetry:   10 * time.Millisecond,
			SlowAfter:     time.Second,
		},
	}
}

// LinkLayer is the link layer that the transport really uses: UDP sockets are always LinkUDP4, memory has none ("").
func (f *File) LinkLayer() Link {
	switch f.Transport {
	case TransportUDP:
		return LinkUDP4
	case TransportMem:
		return ""
	}
	return f.Link
}

// Acceptors returns the nodes that are acceptors, by id.
func (f *File) Acceptors() []Node { return f.having(Acceptor) }

// Proposers returns the nodes that are proposers, by id.
func (f *File) Proposers() []Node { return f.having(Proposer) }

// Learners returns the nodes that are learners, by id.
func (f *File) Learners() []Node { return f.having(Learner) }

// Clients returns the nodes that are clients, by id.
func (f *File) Clients() []Node { return f.having(Client) }

// having returns the nodes that have all of roles, by id.
func (f *File) having(roles Roles) []Node {
	var nodes []Node
	for _, n := range f.Nodes {
		if n.Roles.Has(roles) {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return int(a.ID) - int(b.ID) })
	return nodes
}

// Node returns the node of that id. The error names the ids that there are.
func (f *File) Node(id uint16) (Node, error) {
	for _, n := range f.Nodes {
		if n.ID == id {
			return n, nil
		}
	}
	return Node{}, &Error{File: f.Name, Text: fmt.Sprintf("no node %d: %s", id, listed("nodes", f.having(0)))}
}

// Find returns the node that a user means by "acceptor 2". In a cluster.toml the number is the node's id; in a paxos.conf it is the
// number in the line, where every role counts for itself, and the nodes that AddNode added go by their id.
// Roles may hold several roles (Replica): the node must have all. The error names the numbers that there are.
func (f *File) Find(roles Roles, number uint16) (Node, error) {
	if id, ok := f.names[confName{roles, number}]; ok {
		return f.Node(id)
	}
	known := f.having(roles)
	for _, n := range known {
		if _, named := f.confNameOf(n); n.ID == number && !named {
			return n, nil
		}
	}
	if n, err := f.Node(number); err == nil && f.names == nil {
		return Node{}, f.NodeError(n, "roles", "is %s, not %s: %s", n.Roles, roles, listed(roles.String(), known))
	}
	return Node{}, &Error{File: f.Name, Text: fmt.Sprintf("no %s %d: %s", roles, number, f.numbered(roles, known))}
}

// numbered lists nodes by the numbers that Find takes.
func (f *File) numbered(roles Roles, nodes []Node) string {
	numbers := slices.Clone(nodes)
	for i, n := range numbers {
		if name, ok := f.confNameOf(n); ok {
			numbers[i].ID = name.number
		}
	}
	return listed(roles.String(), numbers)
}

// listed says which ids a user can choose from.
func listed(what string, nodes []Node) string {
	if len(nodes) == 0 {
		return "the file names none, add a [[node]]"
	}
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		ids[i] = strconv.Itoa(int(n.ID))
	}
	return fmt.Sprintf("choose from %s %s", what, strings.Join(ids, ", "))
}

// firstAdded is the first id that AddNode draws: above all ids that a paxos.conf maps to.
const firstAdded = 49

// AddNode adds a node that the file does not name, checks the whole file again, and returns the node's id. An ID of 0 takes the first
// free id from 49 up, else from 1 up. Every process of the cluster that is to know the node must add the same nodes in the same
// order. On an error the file is as before.
func (f *File) AddNode(n Node) (uint16, error) {
	if n.ID == 0 {
		n.ID = f.freeID()
		if n.ID == 0 {
			return 0, &Error{File: f.Name, Text: fmt.Sprintf("no node id is free: a cluster has at most %d nodes", MaxNodes-1)}
		}
	}
	before := f.Nodes
	f.Nodes = append(slices.Clone(before), n)
	if err := f.Validate(); err != nil {
		f.Nodes = before
		return 0, err
	}
	return n.ID, nil
}

// freeID is the id that the next added node gets, or 0.
func (f *File) freeID() uint16 {
	var used [MaxNodes]bool
	for _, n := range f.Nodes {
		if n.ID < MaxNodes {
			used[n.ID] = true
		}
	}
	for i := range MaxNodes - 1 {
		id := 1 + (firstAdded-1+i)%(MaxNodes-1)
		if !used[id] {
			return uint16(id)
		}
	}
	return 0
}
