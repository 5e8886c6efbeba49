package afxdp

import "golang.org/x/sys/unix"

// fillRing gives the kernel cells to receive into. We produce.
type fillRing struct {
	ringMemory
	next uint32 // our producer index, published or not
	mask uint32
}

// put adds the cell at an address. There is always room: no more cells are in the kernel than the ring has places (newCells).
func (r *fillRing) put(addr uint64) {
	r.addresses[r.next&r.mask] = addr
	r.next++
}

// publish shows the kernel what was put. The store is a full barrier, so that a flag read afterwards is newer than the entries.
func (r *fillRing) publish() { r.producer.Store(r.next) }

// needWakeup tells that the driver sleeps until it is called: it found the ring empty.
func (r *fillRing) needWakeup() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }
