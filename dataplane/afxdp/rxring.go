package afxdp

// rxRing brings received packets. The kernel produces.
type rxRing struct {
	ringMemory
	next uint32 // our consumer index
	end  uint32 // the kernel's producer index, as last seen
	mask uint32
}

// ready is how many packets can be taken, at most limit. The kernel's index is read only when what was last seen is used up.
func (r *rxRing) ready(limit int) int {
	if r.end == r.next {
		r.end = r.producer.Load()
	}
	return min(int(r.end-r.next), limit)
}

// at is the i-th packet that is ready.
func (r *rxRing) at(i int) descriptor { return r.descriptors[(r.next+uint32(i))&r.mask] }

// release gives n places back to the kernel. Their descriptors must have been read.
func (r *rxRing) release(n int) {
	r.next += uint32(n)
	r.consumer.Store(r.next)
}
