package mem

import "wirepaxos/dataplane"

// cellState is where the sender knows one of its cells to be. It is private: what the peer says is checked against it.
type cellState uint8

const (
	cellFree   cellState = iota // on the stack
	cellCaller                  // handed out by Alloc
	cellSent                    // with the peer, or on its way there or back
)

// Port is one end of a link. It implements dataplane.Port.
type Port struct {
	_ [lineBytes]byte // ports of two loops may be neighbours on the heap

	me, peer  sideView
	sent      outRing // descriptors of my cells
	returned  outRing // numbers of the peer's cells
	arrived   inRing  // descriptors of the peer's cells
	reclaimed inRing  // numbers of my cells
	free      []uint32
	state     []cellState // of my cells
	held      []bool      // the peer's cells that my caller has
	bell      bell
	ready     bool   // in a session: both sides have prepared for it
	armed     bool   // my flag asleep may be up
	session   uint32 // that I have prepared for; 0 for none
	mtu       int
	stride    int
	frames    uint64 // cells in each direction; Frame.Cell below it is the peer's cell, from it on mine
	counters  dataplane.Counters

	side Side
	info dataplane.Info
	file *sharedFile // nil within one process

	_ [lineBytes]byte
}

var _ dataplane.Port = (*Port)(nil)

// RxBurst hands out what the peer has published.
func (p *Port) RxBurst(frames []dataplane.Frame) int {
	if p.armed {
		p.armed = false
		p.me.asleep.Store(0)
	}
	if !p.ready && !p.meet() {
		return 0
	}
	available, fault := p.arrived.available()
	if fault != ringSound {
		p.mend(fault)
		return 0
	}
	n, bytes := 0, 0
	for ; available > 0 && n < len(frames); available-- {
		descriptor := p.arrived.pop()
		cell, length := uint64(uint32(descriptor)), int(descriptor>>32)
		if cell >= p.frames || p.held[cell] {
			p.counters.RxMalformed++
			continue
		}
		if length < 1 || length > p.mtu {
			p.counters.RxMalformed++
			p.returned.push(cell)
			p.returned.publish()
			continue
		}
		p.held[cell] = true
		at := int(cell) * p.stride
		frames[n] = dataplane.Frame{Data: p.peer.cells[at : at+length : at+p.mtu], Peer: 0, Cell: cell}
		n++
		bytes += length
	}
	if n > 0 {
		p.counters.RxBursts++
		p.counters.RxFrames += uint64(n)
		p.counters.RxBytes += uint64(bytes)
	}
	return n
}

// Alloc hands out empty cells, those first that the peer returned last: few cells go round and round while little is under way, and stay in the
// caches. (With one value at a time 2,048 cells in turn cost 18 % more time for it.) It finds none while the peer holds them all, or
// while no peer is there.
func (p *Port) Alloc(frames []dataplane.Frame) int {
	p.reclaim()
	n := 0
	if p.ready {
		n = min(len(frames), len(p.free))
	}
	for i := range frames[:n] {
		last := len(p.free) - 1
		cell := p.free[last]
		p.free = p.free[:last]
		p.state[cell] = cellCaller
		at := int(cell) * p.stride
		frames[i] = dataplane.Frame{Data: p.me.cells[at : at : at+p.mtu], Peer: dataplane.NoPeer, Cell: p.frames + uint64(cell)}
	}
	p.counters.AllocFailed += uint64(len(frames) - n)
	return n
}

// reclaim takes back the cells that the peer has returned.
func (p *Port) reclaim() {
	if !p.ready && !p.meet() {
		return
	}
	available, fault := p.reclaimed.available()
	if fault != ringSound {
		p.mend(fault)
		return
	}
	for ; available > 0; available-- {
		cell := p.reclaimed.pop()
		if cell >= p.frames || p.state[cell] != cellSent {
			p.counters.RxMalformed++ // not one that the peer can have had: it must not be handed out twice
			continue
		}
		p.state[cell] = cellFree
		p.free = append(p.free, uint32(cell)) // within its capacity: each cell is on it once
	}
}

// TxBurst queues frames for the next Flush. It takes all of them while a peer is there and none while it is not: cells are the only limit,
// and these have theirs.
func (p *Port) TxBurst(frames []dataplane.Frame) int {
	if !p.ready && !p.meet() {
		p.counters.TxFull += uint64(len(frames))
		return 0
	}
	for i := range frames {
		f := &frames[i]
		cell := f.Cell - p.frames
		if cell >= p.frames || p.state[cell] != cellCaller {
			p.counters.TxErrors++ // not a cell that Alloc gave, or one that was sent before
			if f.Cell < p.frames {
				p.giveBack(f.Cell)
				p.returned.publish()
			}
			continue
		}
		length := len(f.Data)
		if f.Peer != 0 || length == 0 || length > p.mtu || &f.Data[0] != &p.me.cells[int(cell)*p.stride] {
			p.counters.TxErrors++
			p.giveBack(f.Cell)
			continue
		}
		p.state[cell] = cellSent
		p.sent.push(uint64(length)<<32 | cell)
		p.counters.TxFrames++
		p.counters.TxBytes += uint64(length)
	}
	return len(frames)
}

// Flush publishes what TxBurst queued, and rings the doorbell if the peer sleeps: the only system call of a port, and none between
// loops that spin.
//
// No wake-up is lost: publish stores the index and then loads the flag; Arm stores the flag and then loads the index. All four are sequentially
// consistent, so at least one side sees what the other stored. Whoever takes the flag down rings, so one sleep costs one ring.
func (p *Port) Flush() {
	if !p.sent.publish() {
		return
	}
	if p.peer.asleep.Load() != 0 && p.peer.asleep.Swap(0) != 0 {
		p.counters.TxSyscalls++
		p.bell.ring()
	}
}

// Free gives cells back: received ones to the peer, unused ones to Alloc. One frame given back twice is a broken invariant: it panics.
func (p *Port) Free(frames []dataplane.Frame) {
	for i := range frames {
		p.giveBack(frames[i].Cell)
	}
	p.returned.publish()
}

func (p *Port) giveBack(cell uint64) {
	switch own := cell - p.frames; {
	case cell < p.frames && p.held[cell]:
		p.held[cell] = false
		p.returned.push(cell)
	case own < p.frames && p.state[own] == cellCaller:
		p.state[own] = cellFree
		p.free = append(p.free, uint32(own)) // within its capacity: each cell is on it once
	default:
		panic("mem: a frame was given back that the caller does not own: twice, or another port's")
	}
}

// Arm puts up the flag that makes the peer ring, then looks once more.
func (p *Port) Arm() bool {
	p.counters.RxSyscalls++
	p.bell.quiet() // first: a ring from now on is for this sleep
	p.armed = true
	p.me.asleep.Store(1)
	if !p.ready && !p.meet() {
		return true // the peer rings when it begins
	}
	available, fault := p.arrived.available()
	return available == 0 && fault == ringSound
}

// MTU is the largest payload of one frame, in bytes.
func (p *Port) MTU() int { return p.mtu }

// Info tells what the port is; Interface is the ring's name.
func (p *Port) Info() dataplane.Info { return p.info }

// Counters are the port's counts. RxMalformed is what the peer wrote into the rings and must not have.
func (p *Port) Counters() *dataplane.Counters { return &p.counters }

// FD is the doorbell; -1 once the port is closed.
func (p *Port) FD() int { return p.bell.mine }

// Close leaves the link. A shared ring's file is removed when the other side is not there either. Frames that were flushed before can still
// be received by the peer.
func (p *Port) Close() error {
	if p.bell.mine < 0 {
		return nil
	}
	var err error
	if p.file != nil {
		err = p.leave()
	}
	p.bell.close()
	p.ready, p.armed, p.session = false, false, 0
	return err
}
