package afxdp

import "golang.org/x/sys/unix"

// txRing takes packets to send. We produce.
type txRing struct {
	ringMemory
	next      uint32 // our producer index
	published uint32 // what the kernel has been shown of it
	taken     uint32 // the kernel's consumer index, as last seen
	mask      uint32
}

// room is how many packets can be put, at most limit. The kernel's index is read only when what was last seen is not enough.
func (r *txRing) room(limit int) int {
	size := r.mask + 1
	if free := size - (r.next - r.taken); int(free) < limit {
		r.taken = r.consumer.Load()
	}
	return min(int(size-(r.next-r.taken)), limit)
}

// put adds a packet. There must be room.
func (r *txRing) put(addr uint64, length int) {
	r.descriptors[r.next&r.mask] = descriptor{Addr: addr, Len: uint32(length)}
	r.next++
}

// publish shows the kernel what was put. The store is a full barrier: the kernel sets need_wakeup and then looks at the
// index once more, we store the index and then look at the flag, so that one of the two sees the other.
func (r *txRing) publish() {
	if r.published != r.next {
		r.published = r.next
		r.producer.Store(r.next)
	}
}

// drained tells that the kernel has taken all that was published.
func (r *txRing) drained() bool {
	r.taken = r.consumer.Load()
	return r.taken == r.published
}

// needWakeup tells that the kernel sends nothing until it is called.
func (r *txRing) needWakeup() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }
