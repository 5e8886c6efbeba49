package afxdp

import (
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
)

// refillBurst is how many cells are gathered before the fill ring's index, which the kernel reads, is written.
const refillBurst = 64

// RxBurst takes received packets from the RX ring, checks and cuts off their headers and names their senders. What is malformed
// or of a stranger goes straight back to the pool.
func (p *Port) RxBurst(frames []dataplane.Frame) int {
	k := p.rx.ready(len(frames))
	if k == 0 {
		if k = p.pollEmpty(len(frames)); k == 0 {
			return 0
		}
	}
	n := 0
	bytes := uint64(0)
	shift := p.cells.shift & 63
	for i := range k {
		d := p.rx.at(i)
		cell := uint32(d.Addr >> shift)
		begin, end, key, fault := p.link.Parse(p.umem[d.Addr : d.Addr+uint64(d.Len)])
		if fault != header.OK {
			p.counters.RxMalformed++
			p.drop(cell)
			continue
		}
		peer := p.peers.find(key)
		if peer == dataplane.NoPeer {
			p.counters.RxStrangers++
			p.drop(cell)
			continue
		}
		last := d.Addr + uint64(end)
		frames[n] = dataplane.Frame{Data: p.umem[d.Addr+uint64(begin) : last : last], Peer: peer, Cell: uint64(cell)}
		bytes += uint64(end - begin)
		p.cells.state[cell] = received
		n++
	}
	p.rx.release(k)
	p.cells.filled -= k
	if p.cells.fillTarget-p.cells.filled >= refillBurst {
		p.refill()
	}
	p.wakeDriver()
	if n > 0 {
		p.counters.RxFrames += uint64(n)
		p.counters.RxBytes += bytes
		p.counters.RxBursts++
	}
	return n
}

// drop puts the cell of a received packet that nobody shall see back into the pool.
func (p *Port) drop(cell uint32) {
	p.cells.incoming--
	p.cells.push(cell)
}

// pollEmpty is what an RxBurst does that finds nothing: it completes the fill ring and, if the driver is busy-polled, makes it
// look. It returns how many packets are ready then.
func (p *Port) pollEmpty(limit int) int {
	if p.hasNews() {
		p.heed()
	}
	p.refill()
	if p.busyPoll {
		if !p.stall.napi {
			p.checkNAPI()
		}
		p.kickReceive()
		return p.rx.ready(limit)
	}
	p.wakeDriver()
	return 0
}

// refill gives the kernel cells until it has its share.
func (p *Port) refill() {
	n := p.cells.wanted()
	if n < p.cells.fillTarget-p.cells.filled && len(p.cells.pool) == n {
		p.reap()
		n = p.cells.wanted()
	}
	if n <= 0 {
		return
	}
	shift := p.cells.shift & 63
	for range n {
		p.fill.put(uint64(p.cells.pop(inKernel)) << shift)
	}
	p.cells.filled += n
	p.cells.incoming += n
	p.fill.publish()
}

// wakeDriver calls a driver that ran out of cells. It sleeps until then, however many cells we put: the flag is looked at
// in every RxBurst, not only after a refill.
func (p *Port) wakeDriver() {
	if p.fill.needWakeup() {
		p.kickReceive()
	}
}

// kickReceive is recvfrom(2) without a buffer: AF_XDP's call to the driver's receive side. It does not block, hence RawSyscall.
func (p *Port) kickReceive() {
	p.counters.RxSyscalls++
	_, _, _ = unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(p.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

// Alloc gives cells whose payload begins at payloadAt.
func (p *Port) Alloc(frames []dataplane.Frame) int {
	n := p.cells.spare()
	if n < len(frames) {
		p.reap()
		n = p.cells.spare()
	}
	if n < len(frames) {
		p.waited()
		p.counters.AllocFailed += uint64(len(frames) - n)
		frames = frames[:n]
	}
	shift := p.cells.shift & 63
	for i := range frames {
		cell := p.cells.pop(empty)
		at := int(cell)<<shift + payloadAt
		frames[i] = dataplane.Frame{Data: p.umem[at : at : at+p.mtu], Peer: dataplane.NoPeer, Cell: uint64(cell)}
	}
	p.cells.outgoing += len(frames)
	return len(frames)
}

// TxBurst writes the headers in front of the payloads and puts the packets into the TX ring. The kernel sees them at Flush.
func (p *Port) TxBurst(frames []dataplane.Frame) int {
	room := p.tx.room(len(frames))
	queued, bytes := 0, uint64(0)
	shift := p.cells.shift & 63
	for i := range frames {
		f := &frames[i]
		payload := f.Cell<<shift + payloadAt
		if !p.sendable(f, payload) {
			p.counters.TxErrors++
			if p.cells.owned(f.Cell) {
				p.cells.giveBack(f.Cell)
			}
			continue
		}
		if queued == room {
			p.counters.TxFull += uint64(len(frames) - i)
			frames = frames[:i]
			break
		}
		p.put(f, payload)
		bytes += uint64(len(f.Data))
		queued++
	}
	if queued > 0 {
		p.txPending = true
		p.counters.TxFrames += uint64(queued)
		p.counters.TxBytes += bytes
	}
	return len(frames)
}

// sendable tells whether f came from Alloc, still begins where it did, at payload, has a length that fits and a peer that exists.
func (p *Port) sendable(f *dataplane.Frame, payload uint64) bool {
	return f.Cell < uint64(len(p.cells.state)) && p.cells.state[f.Cell] == empty &&
		len(f.Data) > 0 && len(f.Data) <= p.mtu && int(f.Peer) < len(p.templates) &&
		&f.Data[0] == &p.umem[payload]
}

// put enters f, whose payload begins there, into the TX ring. A packet shorter than Ethernet's least is filled up with zeros: not every driver does so in
// zero-copy mode, and what lay in the cell before is nobody's business.
func (p *Port) put(f *dataplane.Frame, payload uint64) {
	start := payload - uint64(p.headerLen)
	p.templates[f.Peer].Put(p.umem[start:payload], len(f.Data))
	length := p.headerLen + len(f.Data)
	if length < header.MinPacket {
		clear(p.umem[start+uint64(length) : start+header.MinPacket])
		length = header.MinPacket
	}
	p.cells.state[f.Cell] = sending
	p.tx.put(start, length)
}

// Flush shows the kernel what TxBurst queued and calls it if it sleeps. What one call does not move (an older kernel sends 32
// packets a call; a receiver may be full) the next Flush asks for again.
func (p *Port) Flush() {
	if !p.txPending {
		return
	}
	p.tx.publish()
	if p.tx.needWakeup() {
		p.kickSend()
	}
	p.txPending = !p.tx.drained()
	p.reap()
}

// kickSend is sendto(2) without a buffer: AF_XDP's call to send what is in the TX ring. It does not block, hence RawSyscall.
//
// EBUSY says that a packet was dropped behind the kernel's back (a full receiver), and that the rest waits. EAGAIN,
// ENOBUFS: later. ENETDOWN, ENXIO: the interface is down or gone, and the packets stay in the ring; no call is made until there is news of it.
func (p *Port) kickSend() {
	if p.refused() {
		return
	}
	p.counters.TxSyscalls++
	_, _, p.lastKick = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(p.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	if p.lastKick == unix.EBUSY {
		p.counters.TxErrors++
	}
	p.waited()
}

// reap takes back the cells of packets that were sent.
func (p *Port) reap() {
	n := p.comp.ready()
	if n == 0 {
		return
	}
	p.stall.waits, p.stall.since = 0, 0
	shift := p.cells.shift & 63
	for i := range n {
		p.cells.push(uint32(p.comp.at(i) >> shift))
	}
	p.comp.release(n)
	p.cells.outgoing -= n
}

// Free gives cells back to the pool. It panics on a frame that the caller does not own.
func (p *Port) Free(frames []dataplane.Frame) {
	for i := range frames {
		p.cells.giveBack(frames[i].Cell)
	}
}

// Arm readies the port for a sleep in poll(2): cells that were sent are taken back, the fill ring is full, a sleeping
// driver is called, and what waits to be sent is sent. It answers false if packets are there, or wait to be sent over an
// interface that is up. While asleep, poll itself keeps sending what is in the TX ring.
func (p *Port) Arm() bool {
	p.Flush()
	p.reap()
	p.refill()
	p.wakeDriver()
	if p.txPending && p.lastKick != unix.ENETDOWN && p.lastKick != unix.ENXIO {
		return false
	}
	return p.rx.ready(1) == 0
}
