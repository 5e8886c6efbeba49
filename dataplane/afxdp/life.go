package afxdp

import (
	"bytes"
	"fmt"
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/header"
)

// What becomes of a port whose interface goes away (its driver is unloaded, the device unplugged, moved to another namespace) and comes back.
//
// The kernel unbinds the socket, for good; the program goes with the interface. A watch (watch.go) notices. It offers the loop rings in which nothing
// comes and into which nothing goes, and when the loop has taken them closes all that belonged to the old socket. When an interface of that name comes
// back, it opens everything anew, beside the loop, and offers that. The loop looks for an offer where it found nothing to receive and where it cannot
// send: one load.
//
// The UMEM is what stays: the new socket registers the same memory, so that frames that the caller holds are good all the while. Cells that
// the old socket had are free when the loop takes the new one. The descriptor keeps its number too, for who sleeps on it.

// mailbox is where a watch and the loop meet.
type mailbox struct {
	news    atomic.Uint32        // raised by the watch whenever something has changed
	offered atomic.Pointer[Port] // what the loop shall take over; the watch gets what it gives in exchange
	answer  atomic.Uint32        // the news that the loop has heard
	heard   uint32               // the same; the loop's own
}

// refused tells that the last kick met an interface that is down or gone. Until there is news another would too.
func (p *Port) refused() bool {
	return (p.lastKick == unix.ENETDOWN || p.lastKick == unix.ENXIO) && !p.hasNews()
}

func (p *Port) hasNews() bool { return p.mail.news.Load() != p.mail.heard }

// heed takes what the watch offers, and makes the port try again what the kernel refused. Only the owning loop calls it.
func (p *Port) heed() {
	p.mail.heard = p.mail.news.Load()
	p.lastKick = 0
	if q := p.mail.offered.Swap(nil); q != nil {
		p.exchange(q)
	}
	p.mail.answer.Store(p.mail.heard)
}

// exchange takes q's rings and all that belongs to them and gives q its own. What the rings hold stays where it is, until other rings
// of the kernel's take their place: the old socket is closed by then, and nobody but the caller has a cell.
func (p *Port) exchange(q *Port) {
	p.fill, q.fill = q.fill, p.fill
	p.comp, q.comp = q.comp, p.comp
	p.rx, q.rx = q.rx, p.rx
	p.tx, q.tx = q.tx, p.tx
	p.zeroCopy, q.zeroCopy = q.zeroCopy, p.zeroCopy
	p.steering, q.steering = q.steering, p.steering
	p.listener, q.listener = q.listener, p.listener
	p.busyPoll = q.busyPoll
	p.txPending = false
	p.stall.waits, p.stall.since, p.stall.stuck = 0, 0, false
	p.stall.napi, p.stall.seenBefore = false, p.counters.RxFrames
	if p.steering == nil {
		return // nothing to receive into and nothing to send by
	}
	q.info.Pages, q.info.Node = p.info.Pages, p.info.Node // the memory has not moved
	p.info = q.info
	p.driver = driverCounters{rxDropped: p.counters.RxDropped, unsteered: p.counters.Unsteered}
	p.cells.reclaim()
	p.refill()
}

// reclaim takes back every cell that the caller does not have.
func (c *cells) reclaim() {
	c.pool, c.filled, c.incoming, c.outgoing = c.pool[:0], 0, 0, 0
	for i := len(c.state) - 1; i >= 0; i-- {
		switch c.state[i] {
		case received:
			c.incoming++
		case empty:
			c.outgoing++
		default:
			c.push(uint32(i))
		}
	}
}

// parked makes what a port is while its interface is away: rings of our own, as large as those of c, in which nobody is on the other side.
func parked(c *Config) *Port {
	memory := func(addresses, descriptors int) ringMemory {
		return ringMemory{producer: new(atomic.Uint32), consumer: new(atomic.Uint32), flags: new(atomic.Uint32),
			addresses: make([]uint64, addresses), descriptors: make([]descriptor, descriptors)}
	}
	size := uint32(c.TxRing)
	return &Port{listener: -1, socket: socket{
		fill: fillRing{ringMemory: memory(c.FillRing, 0), mask: uint32(c.FillRing - 1)},
		comp: completionRing{ringMemory: memory(c.CompletionRing, 0), mask: uint32(c.CompletionRing - 1)},
		rx:   rxRing{ringMemory: memory(0, c.RxRing), mask: uint32(c.RxRing - 1)},
		tx:   txRing{ringMemory: memory(0, c.TxRing), next: size, published: size, mask: size - 1}, // full
	}}
}

// discard releases all of a port but its UMEM and its descriptor.
func (p *Port) discard() {
	p.fill.unmap()
	p.comp.unmap()
	p.rx.unmap()
	p.tx.unmap()
	if p.steering != nil {
		p.steering.closeDescriptors()
	}
	if p.listener >= 0 {
		_ = unix.Close(p.listener) // nothing depends on it any more
	}
}

// unbound tells whether the socket has lost its interface: the kernel answers ENXIO to whoever asks it to receive, and loses nothing by being asked.
func unbound(fd int) bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno == unix.ENXIO
}

// vacate puts a socket that was never bound into the place of the descriptor: who uses it is answered as by one that has lost its interface, and the
// old one ends.
func vacate(fd int) error {
	empty, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return replaceFD(empty, fd)
}

// replaceFD makes fd what from is, and closes from.
func replaceFD(from, fd int) error {
	err := unix.Dup3(from, fd, unix.O_CLOEXEC)
	_ = unix.Close(from) // it lives on as fd
	return err
}

// reopen opens the queue anew on the interface that has the name now. What it gives back is a port but for the cells: those are the loop's, and
// so is the memory that the new socket shares with the old one. The caller puts its descriptor in the place of the old one.
func reopen(config *Config, link *header.Link, memory []byte) (*Port, *Error) {
	n, err := lookNIC(config.Interface, config.Queue)
	if err != nil {
		return nil, err
	}
	if config.LocalMAC == nil && !bytes.Equal(n.mac, link.MAC[:]) {
		return nil, fault(ErrConfig, fmt.Errorf("it has the address %v, and the peers know it by %v", n.mac, net.HardwareAddr(link.MAC[:])),
			"run `ip link set dev %s address %v`", n.name, net.HardwareAddr(link.MAC[:]))
	}
	c := *config
	c.Peers = nil // known already; the neighbour table may have gone with the interface
	c.LocalIP = link.IP
	c.BusyRetry = -1 // whoever calls has patience
	c.memory = memory
	return open(c)
}

// bindOver opens and binds a socket over a UMEM that is there already and that stays when the socket is freed.
func bindOver(index int, c *Config, flags uint16) (*bound, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	if err := bindOwn(fd, index, c.memory, c, flags); err != nil {
		_ = unix.Close(fd) // the first error is the one to tell
		return nil, err
	}
	return &bound{fd: fd, umem: c.memory, free: func() error { return unix.Close(fd) }}, nil
}
