package paxos

import "github.com/cespare/xxhash/v2"

// byteRing holds the values of a window back to back, each a record behind a small header. Records are appended at the head; they die
// in any order, but room is won back at the tail only, where the owner tells whether the oldest record still lives. Since instances
// are trimmed in order and stored nearly in order, the tail follows the low watermark.
//
// Messages in an outbox show values as they lie in the ring. So room that is won back in the middle of a step is not written to before the
// next step, by when those messages are gone: settle says where that begins.
type byteRing struct {
	buf  []byte
	mask uint64
	head uint64 // bytes ever appended, padding included
	tail uint64 // bytes ever won back
	edge uint64 // the tail when this step began: nothing from there on is written over
	look uint64 // the head at which to look for dead records again

	last  Instance // of the record that was appended last
	mixed uint64   // from here on records lie in the order of instances, each of a higher one
}

// A record's header: instance u64 (padRecord: filler up to the end of the buffer), length u32, 0 u32. Records begin at multiples of 16.
const (
	recordHeader = 16
	padRecord    = ^uint64(0)
	nowhere      = ^uint64(0) // no position of a record
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
	if end := r.untilEnd(); size > end {
		size += end
	}
	return size <= r.free()
}

// free is the room that may be written to now.
func (r *byteRing) free() uint64 { return uint64(len(r.buf)) - (r.head - r.edge) }

// settle begins a step: views of what died before are gone.
func (r *byteRing) settle() { r.edge = r.tail }

// crowded tells whether it is time to look for dead records: when half of the ring is used, and then again after each 256th of it. The tail
// is memory that nobody touched for long; looked at in a row it costs far less than record by record.
func (r *byteRing) crowded() bool {
	if r.used() <= uint64(len(r.buf))/2 || r.head < r.look {
		return false
	}
	r.look = r.head + uint64(len(r.buf))/256
	return true
}

// clear forgets every record.
func (r *byteRing) clear() { r.tail = r.head }

func (r *byteRing) untilEnd() uint64 { return uint64(len(r.buf)) - r.head&r.mask }

// put appends a record and returns its position. The caller has asked fits.
func (r *byteRing) put(instance Instance, data []byte) (at uint64) {
	size := recordSize(len(data))
	if end := r.untilEnd(); size > end {
		r.pad(end)
	}
	at = r.head
	if instance <= r.last {
		r.mixed = at
	}
	r.last = instance
	pos := at & r.mask
	record := r.buf[pos : pos+size]
	put2(record, uint64(instance), uint64(len(data)))
	copy(record[recordHeader:], data)
	r.head = at + size
	return at
}

// pad fills up the end of the buffer.
func (r *byteRing) pad(end uint64) {
	put2(r.buf[r.head&r.mask:], padRecord, end)
	r.head += end
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

// dropBelow wins back the room of all records of instances below i, none of which lives: at once, where records lie in the order of instances. That
// is nearly always; looked at one by one, each would be a line of memory that no cache has any more. at is where the record of i lies, or nowhere.
// False where it cannot tell how far to go, and then nothing was done.
func (r *byteRing) dropBelow(i Instance, at uint64) bool {
	switch {
	case r.tail < r.mixed:
		return false
	case at != nowhere:
		r.tail = at
	case r.last < i:
		r.tail = r.head
	default:
		return false // there are records of later instances, somewhere
	}
	return true
}

// drop wins the oldest record's room back.
func (r *byteRing) drop() {
	r.tail += recordSize(int(le.Uint64(r.buf[r.tail&r.mask+8:])))
}

// used is the number of bytes between the oldest living record and the head.
func (r *byteRing) used() uint64 { return r.head - r.tail }

// digest names a value in promises, so that a value fetched later can be told to be the one that was promised.
func digest(value []byte) uint64 { return xxhash.Sum64(value) }

// compact moves the living records together at the tail, oldest first; moved hears of each that lies elsewhere now. It must not run while
// messages show values of the ring.
//
// A record never moves up: it fits before the end of the buffer wherever it did before. And it never lands on one that has yet to move,
// because the positions that are written to lie at most a whole ring below the head.
func (r *byteRing) compact(living func(i Instance, at uint64) bool, moved func(i Instance, at uint64)) {
	head := r.head
	r.head, r.mixed = r.tail, r.tail
	for from := r.tail; from < head; {
		pos := from & r.mask
		id, length := le.Uint64(r.buf[pos:]), le.Uint64(r.buf[pos+8:])
		if id == padRecord {
			from += length
			continue
		}
		if living(Instance(id), from) {
			if to := r.put(Instance(id), r.get(from, uint32(length))); to != from {
				moved(Instance(id), to)
			}
		}
		from += recordSize(int(length))
	}
	r.settle()
}
