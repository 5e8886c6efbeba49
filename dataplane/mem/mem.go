// Package mem is a port that is one end of a link between exactly two loops: of one process (NewPair), or of two processes of one host that
// map one file (OpenShared). Nothing is copied: a loop reads a frame where the other wrote it.
//
// The life of a cell. Each side has cells of its own to send from, and nobody else ever hands them out:
//
//  1. The sender's Alloc takes an empty cell from a private stack, the caller writes the payload, TxBurst puts a descriptor (cell, length)
//     into the ring of descriptors, Flush publishes all of them with one store.
//  2. The receiver's RxBurst reads the descriptor and hands the cell to its caller, who owns it until Free. Free puts the cell's number
//     into the ring of returns and publishes.
//  3. The sender takes returned cells back when it needs some.
//
// So each direction has its cells and two rings, and one direction can never hold the other's cells hostage. Cells are the credit: a ring has
// as many slots as there are cells, a cell is in one place at a time, so neither ring can overflow, and the
// producer of a ring need not know how far its consumer has come. Each ring has one shared index, its producer's, on cache lines of its
// own; the consumer keeps a copy and reads the shared one only when the copy says that nothing is left.
//
// A receiver that does not read makes Alloc run dry; nothing is lost. Peer is always 0: the other end.
//
// Nothing read from the rings is trusted: indices are masked and bounded, cells and lengths checked against what this side itself
// knows, and what does not fit is dropped and counted as RxMalformed.
//
// How two processes meet, and meet again after one died, is told in session.go.
package mem

import (
	"fmt"

	"wirepaxos/dataplane"
)

const (
	// DefaultMTU is that of the udp port, so that a frame fits either.
	DefaultMTU = 1472
	// MaxMTU bounds the cells.
	MaxMTU = 1 << 16
	// DefaultFrames is the number of cells in each direction.
	DefaultFrames = 1024
	// DefaultDir is where shared rings lie: memory that is not written to a disk.
	DefaultDir = "/dev/shm"

	minFrames = 64 // one word of the bitmap of held cells
	maxFrames = 1 << 20
)

// Side is one of the two ends of a link.
type Side uint8

// The two sides are alike; they only have to differ.
const (
	A Side = iota
	B
)

func (s Side) String() string { return string('A' + rune(s)) }

// Config says what to open. Both sides of a shared ring give the same Dir, Name, MTU and Frames.
type Config struct {
	Name   string // of the ring; of its file, so letters, digits, dot, dash and underscore. "loops" by default
	Dir    string // shared rings: the directory of the file; DefaultDir
	Side   Side   // shared rings: which end this is
	MTU    int    // largest payload in bytes, at most MaxMTU; DefaultMTU
	Frames int    // cells in each direction, a power of two; DefaultFrames
}

// settle fills in the defaults and refuses what cannot be.
func (c *Config) settle() error {
	if c.Name == "" {
		c.Name = "loops"
	}
	if c.Dir == "" {
		c.Dir = DefaultDir
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.Frames == 0 {
		c.Frames = DefaultFrames
	}
	switch {
	case !nameHolds(c.Name):
		return fmt.Errorf("mem: ring %q: a name has 1 to 100 letters, digits, dots, dashes and underscores, and no dot in front", c.Name)
	case c.Side > B:
		return fmt.Errorf("mem: ring %s: side %d: there are only A (0) and B (1)", c.Name, c.Side)
	case c.MTU < 1 || c.MTU > MaxMTU:
		return fmt.Errorf("mem: ring %s: MTU %d: give 1 to %d", c.Name, c.MTU, MaxMTU)
	case c.Frames < minFrames || c.Frames > maxFrames || c.Frames&(c.Frames-1) != 0:
		return fmt.Errorf("mem: ring %s: %d frames: give a power of two from %d to %d", c.Name, c.Frames, minFrames, maxFrames)
	}
	return nil
}

func nameHolds(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return len(name) <= 100 && name != "" && name[0] != '.'
}

// NewPair opens both ends of a link within this process. Dir and Side of c say nothing here. Each port is then owned by a loop of its own.
func NewPair(c Config) (a, b *Port, err error) {
	if err := c.settle(); err != nil {
		return nil, nil, err
	}
	bells, err := newBells()
	if err != nil {
		return nil, nil, fmt.Errorf("mem: ring %s: open the doorbells: %w: raise the limit of open files", c.Name, err)
	}
	l := layoutOf(c)
	region := heapRegion(l)
	a, b = newPort(c, l, region, A, bells[A]), newPort(c, l, region, B, bells[B])
	a.begin(onlySession)
	b.begin(onlySession)
	return a, b, nil
}

// newPort builds the side's end of the link over region, without a session.
func newPort(c Config, l layout, region []byte, side Side, bell bell) *Port {
	p := &Port{bell: bell, side: side, mtu: c.MTU, stride: l.stride, frames: uint64(c.Frames)}
	p.info = dataplane.Info{Transport: "mem", Interface: c.Name}
	p.me, p.peer = l.view(region, side), l.view(region, 1-side)
	p.sent, p.returned = newOutRing(p.me.sent, p.me.descriptors), newOutRing(p.me.returned, p.me.returns)
	p.arrived, p.reclaimed = newInRing(p.peer.sent, p.peer.descriptors), newInRing(p.peer.returned, p.peer.returns)
	p.free = make([]uint32, 0, c.Frames)
	p.state = make([]cellState, c.Frames)
	p.held = make([]bool, c.Frames)
	return p
}
