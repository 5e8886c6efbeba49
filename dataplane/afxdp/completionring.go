package afxdp

// completionRing brings back the cells of packets that were sent. The kernel produces.
type completionRing struct {
	ringMemory
	next uint32 // our consumer index
	mask uint32
}

// ready is how many cells have come back.
func (r *completionRing) ready() int { return int(r.producer.Load() - r.next) }

// at is the address of the i-th packet that was sent; its cell is the one around it.
func (r *completionRing) at(i int) uint64 { return r.addresses[(r.next+uint32(i))&r.mask] }

// release gives n places back to the kernel. Their entries must have been read.
func (r *completionRing) release(n int) {
	r.next += uint32(n)
	r.consumer.Store(r.next)
}
