package paxos

import "github.com/cespare/xxhash/v2"

// byteRing holds the values of a window back to back, each a record behind a small header. Records are appended at the head; they die
// in any order, but room is won back at the tail only, where the owner tells whether the oldest record still lives. Since instances
// are trimmed in order and stored nearly in order, the tail follows the low watermark.
type byteRing struct {
	buf  []byte
	mask uint64
	head uint64 // bytes ever appended, padding included
	tail uint64 // bytes ever won back
}

// A record's header: instance u64 (padRecord: filler up to the end of the buffer), length u32, 0 u32. Records begin at multiples of 16.
const (
	recordHeader = 16
	padRecord    = ^uint64(0)
)

// newByteRing allocates a ring of size bytes, a power of two.
func newByteRing(size int) byteRing {
	if size < 64 || size&(size-1) != 0 {
		panic("paxos: the size of a byte ring must be a power of two of at least 64")
	}
	return byteRing{buf: make([]byte, size), mask: uint64(size - 1)}
}

func recordSize(length int) uint64 { return uint64(recordHeader+length+15) &^ 15 }

// fits tells whether put would succeed now.
func (r *byteRing) fits(length int) bool {
	size := recordSize(length)
	return size <= r.untilEnd() && r.head+size-r.tail <= uint64(len(r.buf)) ||
		size > r.untilEnd() && r.head+r.untilEnd()+size-r.tail <= uint64(len(r.buf))
}

func (r *byteRing) untilEnd() uint64 { return uint64(len(r.buf)) - r.head&r.mask }

// put appends a record and returns its position. The caller has asked fits.
func (r *byteRing) put(instance Instance, data []byte) (at uint64) {
	size := recordSize(len(data))
	if end := r.untilEnd(); size > end {
		pos := r.head & r.mask
		put2(r.buf[pos:], padRecord, end)
		r.head += end
	}
	at = r.head
	pos := at & r.mask
	put2(r.buf[pos:], uint64(instance), uint64(len(data)))
	copy(r.buf[pos+recordHeader:], data)
	r.head += size
	return at
}

// get is a view of the value at a position; it is good until the record dies and room is needed.
func (r *byteRing) get(at uint64, length uint32) []byte {
	pos := at&r.mask + recordHeader
	return r.buf[pos : pos+uint64(length) : pos+uint64(length)]
}

// oldest is the record at the tail; ok is false where the ring is empty. Padding is skipped.
func (r *byteRing) oldest() (instance Instance, at uint64, ok bool) {
	for r.tail < r.head {
		pos := r.tail & r.mask
		id := le.Uint64(r.buf[pos:])
		if id != padRecord {
			return Instance(id), r.tail, true
		}
		r.tail += le.Uint64(r.buf[pos+8:])
	}
	return 0, 0, false
}

// drop wins the oldest record's room back.
func (r *byteRing) drop() {
	r.tail += recordSize(int(le.Uint64(r.buf[r.tail&r.mask+8:])))
}

// used is the number of bytes between the oldest living record and the head.
func (r *byteRing) used() uint64 { return r.head - r.tail }

// digest names a value in promises, so that a value fetched later can be told to be the one that was promised.
func digest(value []byte) uint64 { return xxhash.Sum64(value) }
