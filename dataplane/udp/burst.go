package udp

import (
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

var _ dataplane.Port = (*Port)(nil)

// RxBurst receives up to 64 datagrams with one recvmmsg. Those of strangers, empty ones and ones longer than the MTU are dropped and
// counted, so 0 does not mean that nothing more waits.
func (p *Port) RxBurst(frames []dataplane.Frame) int {
	if p.rx.armed < rxVector {
		p.arm()
	}
	want := min(len(frames), p.rx.armed)
	if want == 0 {
		return 0
	}
	p.counters.RxSyscalls++
	got, errno := p.rx.receive(p.fd, want)
	if errno != 0 {
		if errno == unix.ECONNREFUSED {
			p.counters.TxErrors++ // not about what we receive: a peer's host refused a datagram that we sent earlier
		}
		return 0
	}
	n := 0
	for i := range got {
		if p.accept(i, &frames[n]) {
			n++
		}
	}
	// Backwards, because a dry pool closes the gap with the last armed entry, and that must not be one that still waits for its turn.
	for i := got - 1; i >= 0; i-- {
		p.rearm(i)
	}
	if n > 0 {
		p.counters.RxBursts++
		p.counters.RxFrames += uint64(n)
	}
	return n
}

// accept looks at entry i, which holds a datagram. If it is a frame, f becomes it and the entry is left without a cell.
func (p *Port) accept(i int, f *dataplane.Frame) bool {
	if drops, told := p.rx.drops(i); told {
		p.counters.RxDropped += uint64(drops - p.rx.dropsSeen) // the kernel's counter has 32 bits and wraps
		p.rx.dropsSeen = drops
	}
	length, truncated := p.rx.datagram(i)
	if truncated || length == 0 || length > p.mtu {
		p.counters.RxMalformed++
		return false
	}
	peer := p.peers.find(&p.rx.names[i])
	if peer == dataplane.NoPeer {
		p.counters.RxStrangers++
		return false
	}
	cell := p.rx.cells[i]
	p.rx.cells[i] = noCell
	p.counters.RxBytes += uint64(length)
	at := int(cell) * p.stride
	*f = dataplane.Frame{Data: p.cells[at : at+length : at+p.mtu], Peer: peer, Cell: uint64(cell)}
	return true
}

// rearm makes entry i ready for the next datagram, with a new cell if its own went to the caller.
func (p *Port) rearm(i int) {
	if p.rx.cells[i] == noCell {
		cell, ok := p.rxFree.take()
		if !ok {
			p.rx.armed--
			last := p.rx.armed
			cell = p.rx.cells[last]
			p.rx.cells[last] = noCell
			if i == last {
				return
			}
		}
		p.rx.place(i, cell, p.cells[int(cell)*p.stride:], p.mtu)
	}
	p.rx.reset(i)
}

// arm gives cells to the entries that have none.
func (p *Port) arm() {
	for p.rx.armed < rxVector {
		cell, ok := p.rxFree.take()
		if !ok {
			return
		}
		p.rx.place(p.rx.armed, cell, p.cells[int(cell)*p.stride:], p.mtu)
		p.rx.reset(p.rx.armed)
		p.rx.armed++
	}
}

// Alloc hands out empty cells to send from.
func (p *Port) Alloc(frames []dataplane.Frame) int {
	for i := range frames {
		cell, ok := p.txFree.take()
		if !ok {
			p.counters.AllocFailed += uint64(len(frames) - i)
			return i
		}
		at := int(cell) * p.stride
		frames[i] = dataplane.Frame{Data: p.cells[at : at : at+p.mtu], Peer: dataplane.NoPeer, Cell: uint64(cell)}
	}
	return len(frames)
}

// TxBurst queues frames for the next Flush. It makes no system call, and takes fewer when the sending vector is full.
func (p *Port) TxBurst(frames []dataplane.Frame) int {
	for i := range frames {
		f := &frames[i]
		if !p.sendable(f) {
			p.counters.TxErrors++
			p.giveBack(f.Cell)
			continue
		}
		if !p.tx.room() {
			p.counters.TxFull += uint64(len(frames) - i)
			return i
		}
		p.tx.push(&p.peers.names[f.Peer], uint32(f.Cell), f.Data)
		p.counters.TxFrames++
		p.counters.TxBytes += uint64(len(f.Data))
	}
	return len(frames)
}

// sendable tells whether the caller kept to the contract: a peer of the table, 1 to MTU bytes, in the cell that it was given.
func (p *Port) sendable(f *dataplane.Frame) bool {
	if int(f.Peer) >= len(p.peers.names) || len(f.Data) == 0 || len(f.Data) > p.mtu || f.Cell-p.frames >= p.frames {
		return false
	}
	return &f.Data[0] == &p.cells[int(f.Cell)*p.stride]
}

// Flush sends what is queued with one sendmmsg. What the kernel has no room for stays queued for the next Flush; a datagram that it
// refuses is dropped and counted as TxErrors, and those behind it wait for the next Flush as well.
func (p *Port) Flush() {
	if p.tx.empty() {
		return
	}
	p.counters.TxSyscalls++
	sent, errno := p.tx.send(p.fd)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.EINTR:
		return // no room now
	case unix.ECONNREFUSED:
		p.counters.TxErrors++ // of a datagram that we sent earlier: this one has not been tried
		return
	default:
		p.counters.TxErrors++
		sent = 1 // sendmmsg(2) tells the error of the first datagram, or none
	}
	for range sent {
		p.txFree.give(p.tx.pop())
	}
}

// Free gives cells back.
func (p *Port) Free(frames []dataplane.Frame) {
	for i := range frames {
		p.giveBack(frames[i].Cell)
	}
}

func (p *Port) giveBack(cell uint64) {
	switch {
	case cell < p.frames:
		p.rxFree.give(uint32(cell))
	case cell < 2*p.frames:
		p.txFree.give(uint32(cell))
	default:
		panic("udp: a frame of another port was given back")
	}
}

// Arm answers false if a datagram waits, or if something is still queued that the kernel had no room for: a loop that slept on the
// socket would not be woken to send it.
func (p *Port) Arm() bool {
	if !p.tx.empty() {
		return false
	}
	p.counters.RxSyscalls++
	return !readable(p.fd)
}
