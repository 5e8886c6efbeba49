package simwire

import "wirepaxos/dataplane"

// Port is a port of the network. It implements dataplane.Port.
type Port struct {
	net      *Net
	self     Address
	peers    []Address
	groups   [][]Address      // the peers behind peers
	peerOf   []dataplane.Peer // of each address that there was at Open
	queue    queue
	sending  []uint32 // cells that Flush puts on the wire
	empty    int      // cells that the owner has from Alloc
	received int      // cells that the owner has from RxBurst
	counters dataplane.Counters
	info     dataplane.Info
	closed   bool
}

var _ dataplane.Port = (*Port)(nil)

// Address is where the port is.
func (p *Port) Address() Address { return p.self }

// queue is the frames that have arrived, the oldest first.
type queue struct {
	slots       []uint32 // cells
	head, count int
}

func (q *queue) full() bool { return q.count == len(q.slots) }

// push must not be called on a full queue.
func (q *queue) push(cell uint32) {
	at := q.head + q.count
	if at >= len(q.slots) {
		at -= len(q.slots)
	}
	q.slots[at] = cell
	q.count++
}

// pop must not be called on an empty queue.
func (q *queue) pop() uint32 {
	cell := q.slots[q.head]
	q.count--
	if q.head++; q.head == len(q.slots) {
		q.head = 0
	}
	return cell
}

// RxBurst hands out what has arrived, and nothing more while the owner holds Config.Cells received frames.
func (p *Port) RxBurst(frames []dataplane.Frame) int {
	n, bytes := 0, 0
	for n < len(frames) && p.queue.count > 0 && p.received < p.net.config.Cells {
		i := p.queue.pop()
		c := &p.net.cells.all[i]
		if int(c.from) >= len(p.peerOf) || p.peerOf[c.from] == dataplane.NoPeer {
			p.counters.RxStrangers++
			p.net.cells.give(i)
			continue
		}
		c.state = received
		p.received++
		frames[n] = dataplane.Frame{Data: c.data[:c.length], Peer: p.peerOf[c.from], Cell: uint64(i)}
		n++
		bytes += c.length
	}
	if n > 0 {
		p.counters.RxBursts++
		p.counters.RxFrames += uint64(n)
		p.counters.RxBytes += uint64(bytes)
	}
	return n
}

// Alloc hands out empty cells, as long as the owner and TxBurst's queue have fewer than Config.Cells.
func (p *Port) Alloc(frames []dataplane.Frame) int {
	n := 0
	if !p.closed {
		n = min(len(frames), p.net.config.Cells-p.empty-len(p.sending))
	}
	for i := range frames[:n] {
		cell := p.net.cells.take(empty, p)
		frames[i] = dataplane.Frame{Data: p.net.cells.all[cell].data[:0], Peer: dataplane.NoPeer, Cell: uint64(cell)}
	}
	p.empty += n
	p.counters.AllocFailed += uint64(len(frames) - n)
	return n
}

// TxBurst queues frames for the next Flush. It takes all of them: cells are the only limit, and these have theirs.
func (p *Port) TxBurst(frames []dataplane.Frame) int {
	if p.closed {
		return 0
	}
	for i := range frames {
		f := &frames[i]
		if !p.sendable(f) {
			p.counters.TxErrors++
			p.giveBack(f.Cell)
			continue
		}
		c := &p.net.cells.all[f.Cell]
		c.state, c.length, c.from = sending, len(f.Data), p.self
		if g := int(f.Peer) - len(p.peers); g < 0 {
			c.to = p.peers[f.Peer]
		} else {
			c.to = ^Address(g)
		}
		p.empty--
		p.sending = append(p.sending, uint32(f.Cell)) // within its capacity: Alloc sees to that
		p.counters.TxFrames++
		p.counters.TxBytes += uint64(len(f.Data))
	}
	return len(frames)
}

// sendable tells whether the caller kept to the contract: a peer of the table, 1 to MTU bytes, in the cell that it was given.
func (p *Port) sendable(f *dataplane.Frame) bool {
	if int(f.Peer) >= len(p.peers)+len(p.groups) || len(f.Data) == 0 || len(f.Data) > p.net.config.MTU || f.Cell >= uint64(len(p.net.cells.all)) {
		return false
	}
	c := &p.net.cells.all[f.Cell]
	return c.port == p && c.state == empty && &f.Data[0] == &c.data[0]
}

// Flush sends what is queued.
func (p *Port) Flush() {
	for _, i := range p.sending {
		if to := p.net.cells.all[i].to; to < 0 {
			p.net.spread(i, p.groups[^to])
		} else {
			p.net.send(i)
		}
	}
	p.sending = p.sending[:0]
}

// Free gives cells back. One frame given back twice is a broken invariant: it panics.
func (p *Port) Free(frames []dataplane.Frame) {
	if p.closed {
		return // Close took them back
	}
	for i := range frames {
		p.giveBack(frames[i].Cell)
	}
}

func (p *Port) giveBack(i uint64) {
	if i < uint64(len(p.net.cells.all)) && p.net.cells.all[i].port == p {
		switch p.net.cells.all[i].state {
		case empty:
			p.empty--
			p.net.cells.give(uint32(i))
			return
		case received:
			p.received--
			p.net.cells.give(uint32(i))
			return
		}
	}
	panic("simwire: a frame was given back that the caller does not own: twice, or another port's")
}

// MTU is the largest payload of one frame, in bytes.
func (p *Port) MTU() int { return p.net.config.MTU }

// Info tells what the port is; Interface is its name.
func (p *Port) Info() dataplane.Info { return p.info }

// Counters are the port's counts since it was opened. RxDropped is what found its queue full. A frame to a group counts once.
func (p *Port) Counters() *dataplane.Counters { return &p.counters }

// FD is -1: nobody sleeps in virtual time.
func (p *Port) FD() int { return -1 }

// Arm answers whether nothing has arrived.
func (p *Port) Arm() bool { return p.queue.count == 0 }

// Close takes the port off the network. What it had queued in either direction is gone; what is on the wire is not.
func (p *Port) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	p.net.cells.giveAll(p)
	p.net.ends[p.self].port = nil
	p.sending, p.queue.count, p.empty, p.received = p.sending[:0], 0, 0, 0
	return nil
}
