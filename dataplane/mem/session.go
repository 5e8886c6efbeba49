package mem

import "sync/atomic"

// How two sides meet.
//
// Every incarnation of a side draws a generation, a number that no incarnation of either side had before in this file, and shows it in
// its word generation. Two incarnations make a session, named by the larger of their generations: whoever came
// later made it, and can be in no other with an older peer. No frame flows before both have prepared for the same session:
//
//  1. prepare: a side that sees a peer's generation which makes a new session forgets what is in the rings, writes into its bitmap which of the
//     peer's cells its caller still holds, sets its two indices to (session, 0), and then shows the session in its word ready.
//  2. adopt: once the peer's word ready shows the same session, the side's cells are free, except those that its own caller has and those in the
//     peer's bitmap, which come back through the ring of returns like any others. Now it may send.
//
// Why this is safe:
//
//   - A side writes only its own words, rings, bitmap and cells (and takes down the peer's flag asleep). The kernel lets at most one incarnation
//     of a side live (sharedFile), and releases its lock only when none of its threads can write any more.
//   - A side writes a cell, a descriptor or a return slot anew only after adopt, that is after the peer prepared for this session and
//     so will never again read an entry of an older one. Before that a survivor may go on reading what the dead one had published: whole frames,
//     that nobody overwrites.
//   - A cell that a survivor's caller still holds is in its bitmap, so the new owner of the cell does not hand it out until it comes back.
//     No cell has two holders, and no frame changes under its reader, whoever died.
//   - An index carries its session, so an index of another session is seen as such in the very load that would have used it, also when
//     counts happen to agree.
//
// Frames in flight when a side dies are lost. All words are read and written with sequentially consistent atomics.

// onlySession is that of a pair within one process, which never meets anyone else.
const onlySession = 1

// begin makes p ready for a session with nothing in flight.
func (p *Port) begin(session uint32) {
	p.prepare(session)
	p.adopt(nil)
	p.ready = true
}

// meet tries to get into the session of both sides' present incarnations, and tells whether p is in it.
func (p *Port) meet() bool {
	if p.file == nil || p.bell.mine < 0 {
		return p.ready // a pair within one process is in its session from the start; a closed port in none
	}
	generation := uint32(p.peer.generation.Load())
	if generation == 0 {
		p.ready = false // gone, or about to begin
		return false
	}
	session := max(p.file.generation, generation)
	if session == p.session && p.ready {
		return true
	}
	if session != p.session {
		p.prepare(session)
		p.bell.ring() // unasked: the peer may sleep until someone comes
	}
	if uint32(p.peer.ready.Load()) != session {
		return false
	}
	p.adopt(p.peer.held)
	// The bitmap was the session's only if its writer has not been succeeded meanwhile: a successor takes ready down first.
	p.ready = uint32(p.peer.ready.Load()) == session
	return p.ready
}

// mend looks after a ring whose index is not of this session or out of bounds.
func (p *Port) mend(fault ringFault) {
	if fault == ringForeign && p.file != nil {
		if was := p.session; !p.meet() || p.session != was {
			return // a new incarnation
		}
	}
	p.counters.RxMalformed++ // the same incarnation wrote nonsense
}

// prepare is step 1.
func (p *Port) prepare(session uint32) {
	p.ready, p.session = false, session
	for i := range p.me.held {
		bits := uint64(0)
		for j := range 64 {
			if p.held[i*64+j] {
				bits |= 1 << j
			}
		}
		atomic.StoreUint64(&p.me.held[i], bits)
	}
	p.sent.begin(session)
	p.returned.begin(session)
	p.arrived.begin(session)
	p.reclaimed.begin(session)
	p.me.ready.Store(uint64(session))
}

// adopt is step 2: held is the peer's bitmap, nil for none.
func (p *Port) adopt(held []uint64) {
	p.free = p.free[:0]
	bits := uint64(0)
	for cell := range p.state {
		if held != nil && cell%64 == 0 {
			bits = atomic.LoadUint64(&held[cell/64])
		}
		switch {
		case p.state[cell] == cellCaller: // the caller's, whatever the peer says
		case bits>>(cell%64)&1 != 0:
			p.state[cell] = cellSent
		default:
			p.state[cell] = cellFree
			p.free = append(p.free, uint32(cell))
		}
	}
}
