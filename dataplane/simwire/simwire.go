// Package simwire is a network in virtual time: ports joined by a wire that delays, reorders, loses, doubles and corrupts frames, and that can
// be cut, all from one seed. The simulator runs a whole cluster on it in one goroutine; the code above the port is the one that runs on a NIC.
//
// The life of a frame. A Net has cells, in one pool, and a cell is always in one of these places:
//
//	pool ── Alloc ──▶ sender ── TxBurst ──▶ port ── Flush ──▶ wire ── AdvanceTo ──▶ receive queue ── RxBurst ──▶ receiver ── Free ──▶ pool
//
// A peer may be a group, as a multicast address on a switch: what is sent to it is copied for each member, and each copy goes its own way from
// there. Whoever gets one sees the sender as with any other frame: groups are for sending only.
//
// Flush is the moment of sending, at the Net's time. There the frame's fate is decided, and with it when it arrives: at once, so that a frame
// once sent owes nothing to what happens later, except that its receiver may be gone or full by then. Nothing arrives by itself. The driver
// asks Next for the time of the next arrival and calls AdvanceTo, which moves the clock, puts all that has arrived into the receive queues and
// says whose. Frames arrive in the order of their times, and at one time in the order in which they were sent. A frame without delay arrives
// with the next AdvanceTo, also with one that does not move the clock.
//
// The life of a port. Open gives a name, which stands for an address, a port. Close drops what the port has queued in either direction and
// takes back the frames that its owner holds. Open with the same name is the restarted node: frames that were on their way meanwhile arrive, as
// on a real wire; one that arrives while no port is open is lost.
//
// A fate is a function of the seed, the link (a pair of names, one-way), the number of the frame on that link, and the fault that is
// asked about. So traffic on one link does not change the fates on another, nor does one kind of fault those of another kind, and the
// same calls make the same network again, byte for byte. Nothing here reads a clock, a random source, or the order of a map.
//
// What is full: Alloc runs dry at Config.Cells frames that the owner holds, RxBurst at as many received ones; a full receive queue drops what
// arrives (RxDropped, QueueFull), a full wire what is sent (WireFull).
//
// One goroutine owns the Net and all of its ports. In the steady state nothing is allocated: cells and tables grow to what was needed at
// once, and stay. One frame from Alloc to Free costs about 0.1 µs (BenchmarkBurst; 64 bytes, one core of a virtual machine).
package simwire

import (
	"fmt"
	"slices"

	"wirepaxos/dataplane"
)

const (
	// DefaultMTU is that of the udp port.
	DefaultMTU = 1472
	// MaxMTU bounds the cells.
	MaxMTU = 1 << 17
	// DefaultQueue is how many frames a port's receive queue holds.
	DefaultQueue = 1024
	// DefaultCells is how many frames a port's owner may hold.
	DefaultCells = 1024
	// DefaultWire is how many frames may be on their way.
	DefaultWire = 1 << 16
)

// Config says what network to make. A field that is 0 has its default.
type Config struct {
	Seed  uint64 // of all fates
	MTU   int    // largest payload in bytes, at most MaxMTU
	Queue int    // frames that a port's receive queue holds
	Cells int    // frames that a port's owner may hold, from Alloc or on their way to Flush; and as many received ones
	Wire  int    // frames on their way at once, of all links
}

func (c *Config) settle() {
	for _, f := range []struct {
		name           string
		value          *int
		standard, most int
	}{
		{"MTU", &c.MTU, DefaultMTU, MaxMTU},
		{"Queue", &c.Queue, DefaultQueue, 1 << 20},
		{"Cells", &c.Cells, DefaultCells, 1 << 20},
		{"Wire", &c.Wire, DefaultWire, 1 << 24},
	} {
		if *f.value == 0 {
			*f.value = f.standard
		}
		if *f.value < 1 || *f.value > f.most {
			panic(fmt.Sprintf("simwire: %s is %d: give 1 to %d, or 0 for %d", f.name, *f.value, f.most, f.standard))
		}
	}
}

// Address is the place of a name in the network, counted from 0 in the order in which names were first heard.
type Address int

// end is an address: a place where a port may be.
type end struct {
	name  string
	port  *Port   // nil while none is open
	links []*link // to each address that it has a link to; nil where there is none
	woken uint64  // the last AdvanceTo that it is in the answer of
}

// Net is the network. The zero value is not ready; New makes one.
type Net struct {
	config   Config
	now      int64
	sequence uint64 // of frames put on the wire
	flights  []flight
	cells    cells

	byName map[string]Address // for lookups only: nothing walks it
	ends   []*end
	faults Faults // of links that are made from now on

	arrived  []Address
	advances uint64

	taps   []func(TapEvent)
	counts Counts
}

// New makes a network without ports, at time 0. It panics if the configuration says what cannot be.
func New(c Config) *Net {
	c.settle()
	return &Net{config: c, byName: make(map[string]Address), cells: cells{mtu: c.MTU}}
}

// Address is the address of a name, the same one for ever. A port need not be open there.
func (n *Net) Address(name string) Address {
	if a, ok := n.byName[name]; ok {
		return a
	}
	a := Address(len(n.ends))
	n.byName[name] = a
	n.ends = append(n.ends, &end{name: name})
	return a
}

// Name is the name of an address that Address gave.
func (n *Net) Name(a Address) string { return n.ends[a].name }

// Addresses is how many addresses there are: all below it.
func (n *Net) Addresses() int { return len(n.ends) }

// Open opens the port of a name. Peer i of the port is peers[i]; the peers behind those reach a group of addresses each, peers of the port or not.
// It fails if the name's port is open, if a group is empty, or if a peer or a member of a group is not an address of this network, is there
// twice, or is the port itself: a switch does not send a frame back to where it came from.
func (n *Net) Open(name string, peers []Address, groups ...[]Address) (*Port, error) {
	self := n.Address(name)
	e := n.ends[self]
	if e.port != nil {
		return nil, fmt.Errorf("simwire: port %s is open: close it before it is opened again", name)
	}
	if len(peers)+len(groups) >= int(dataplane.NoPeer) {
		return nil, fmt.Errorf("simwire: port %s: %d peers: at most %d", name, len(peers)+len(groups), dataplane.NoPeer-1)
	}
	p := &Port{net: n, self: self, peers: slices.Clone(peers), peerOf: make([]dataplane.Peer, len(n.ends))}
	for i := range p.peerOf {
		p.peerOf[i] = dataplane.NoPeer
	}
	if err := n.reach(self, "peer", peers); err != nil {
		return nil, fmt.Errorf("simwire: port %s: %w", name, err)
	}
	for i, a := range peers {
		p.peerOf[a] = dataplane.Peer(i)
	}
	for i, members := range groups {
		if len(members) == 0 {
			return nil, fmt.Errorf("simwire: port %s: group %d is empty: leave it out", name, i)
		}
		if err := n.reach(self, "member", members); err != nil {
			return nil, fmt.Errorf("simwire: port %s: group %d: %w", name, i, err)
		}
		p.groups = append(p.groups, slices.Clone(members))
	}
	p.queue.slots = make([]uint32, n.config.Queue)
	p.sending = make([]uint32, 0, n.config.Cells)
	p.info = dataplane.Info{Transport: "simwire", Interface: name}
	e.port = p
	return p, nil
}

// reach makes the links from a port to what it can send to, and says what cannot be.
func (n *Net) reach(self Address, what string, list []Address) error {
	for i, a := range list {
		switch first := slices.Index(list, a); {
		case a < 0 || int(a) >= len(n.ends):
			return fmt.Errorf("%s %d: there is no address %d: ask Address for it", what, i, a)
		case a == self:
			return fmt.Errorf("%s %d is the port itself: leave it out", what, i)
		case first < i:
			return fmt.Errorf("%ss %d and %d are both %s: leave one out", what, first, i, n.Name(a))
		}
		n.link(self, a)
	}
	return nil
}
