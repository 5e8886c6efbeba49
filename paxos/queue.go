package paxos

import "fmt"

// queue holds values of clients back to back, as a batch does, until the windows have room.
type queue struct {
	buf        []byte
	head, tail int // buf[tail:head] waits
}

func newQueue(size int) queue { return queue{buf: make([]byte, size)} }

// checkQueueBytes holds a queue to a size that has room for the largest batch whatever waits at its end.
func checkQueueBytes(n, largest int) {
	if n < 2*largest {
		panic(fmt.Sprintf("paxos: a queue of %d bytes, want at least two of the largest batches, of %d bytes", n, largest))
	}
}

func (q *queue) empty() bool { return q.tail == q.head }

// put appends a batch whose values were checked. False where it does not fit. What waits is moved to the front only once it takes less than
// half of the room, so that a full queue does not move all its bytes for every batch.
func (q *queue) put(batch []byte) bool {
	if len(batch) > len(q.buf)-q.head {
		if q.tail < len(q.buf)/2 {
			return false
		}
		copy(q.buf, q.buf[q.tail:q.head])
		q.head, q.tail = q.head-q.tail, 0
		if len(batch) > len(q.buf)-q.head {
			return false
		}
	}
	q.head += copy(q.buf[q.head:], batch)
	return true
}

// take is a view of the oldest values: as many as fit in most bytes, or one. The caller tells with taken that they are gone.
func (q *queue) take(most int, several bool) []byte {
	n := 0
	for n < q.head-q.tail {
		size := valueSize(q.buf[q.tail+n:])
		if n > 0 && n+size > most {
			break
		}
		n += size
		if !several {
			break
		}
	}
	return q.buf[q.tail : q.tail+n : q.tail+n]
}

func (q *queue) taken(n int) {
	q.tail += n
	if q.tail == q.head {
		q.clear()
	}
}

func (q *queue) clear() { q.head, q.tail = 0, 0 }
