package mem

import "sync/atomic"

// A ring's shared index is one 64-bit word: the session in the upper half, in the lower half how many entries its producer has
// published in that session (free-running, so that full and empty differ). One store publishes both: a consumer
// never takes an index of one session for one of another.
func indexWord(session, count uint32) uint64 { return uint64(session)<<32 | uint64(count) }

// outRing is the producer's end. It is never full: see the package doc on credit.
type outRing struct {
	tail      *atomic.Uint64
	slots     []uint64
	mask      uint32
	session   uint32
	next      uint32 // entries pushed
	published uint32 // entries that the consumer may see
}

func newOutRing(tail *atomic.Uint64, slots []uint64) outRing {
	return outRing{tail: tail, slots: slots, mask: uint32(len(slots) - 1)}
}

// begin empties the ring for a session.
func (r *outRing) begin(session uint32) {
	r.session, r.next, r.published = session, 0, 0
	r.tail.Store(indexWord(session, 0))
}

// push writes an entry that the consumer sees after publish.
func (r *outRing) push(v uint64) {
	r.slots[r.next&r.mask] = v
	r.next++
}

// publish makes what was pushed visible, and tells whether there was anything. The store is a release for the entries and the cells that
// they name, and a full barrier (Go's atomics are sequentially consistent) for the load of the sleeper's flag that follows it in Flush.
func (r *outRing) publish() bool {
	if r.next == r.published {
		return false
	}
	r.tail.Store(indexWord(r.session, r.next))
	r.published = r.next
	return true
}

// inRing is the consumer's end.
type inRing struct {
	tail    *atomic.Uint64
	slots   []uint64
	mask    uint32
	session uint32
	next    uint32 // entries popped
	seen    uint32 // entries published, when last looked
}

func newInRing(tail *atomic.Uint64, slots []uint64) inRing {
	return inRing{tail: tail, slots: slots, mask: uint32(len(slots) - 1)}
}

// begin forgets what is in the ring and expects a session's entries.
func (r *inRing) begin(session uint32) { r.session, r.next, r.seen = session, 0, 0 }

// ringFault says why available found nothing although the index moved.
type ringFault uint8

const (
	ringSound   ringFault = iota
	ringForeign           // the index is of another session
	ringBroken            // the index is further than the ring is long: the peer wrote what it must not
)

// available is the number of entries to pop.
func (r *inRing) available() (uint32, ringFault) {
	if r.next != r.seen {
		return r.seen - r.next, ringSound
	}
	word := r.tail.Load()
	if uint32(word>>32) != r.session {
		return 0, ringForeign
	}
	n := uint32(word) - r.next
	if n > r.mask+1 {
		return 0, ringBroken
	}
	r.seen = uint32(word)
	return n, ringSound
}

// pop takes the next entry, of those available. It is read exactly once: what is checked is what is used.
func (r *inRing) pop() uint64 {
	v := atomic.LoadUint64(&r.slots[r.next&r.mask])
	r.next++
	return v
}
