package paxos

// queue holds values of clients back to back, as a batch does, until the windows have room.
type queue struct {
	buf        []byte
	head, tail int // buf[tail:head] waits
	values     int
}

func newQueue(size int) queue { return queue{buf: make([]byte, size)} }

func (q *queue) empty() bool { return q.tail == q.head }

// put appends a batch whose values were checked. False where it does not fit.
func (q *queue) put(batch []byte, values int) bool {
	if len(batch) > len(q.buf)-q.head {
		copy(q.buf, q.buf[q.tail:q.head])
		q.head, q.tail = q.head-q.tail, 0
		if len(batch) > len(q.buf)-q.head {
			return false
		}
	}
	q.head += copy(q.buf[q.head:], batch)
	q.values += values
	return true
}

// take is a view of the oldest values: as many as fit in most bytes, or one. The caller tells with taken that they are gone.
func (q *queue) take(most int, several bool) []byte {
	n := 0
	for n < q.head-q.tail {
		size := valueHeaderSize + int(le.Uint32(q.buf[q.tail+n+offValueLength:]))
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
		q.head, q.tail, q.values = 0, 0, 0
	}
}

func (q *queue) clear() { q.head, q.tail, q.values = 0, 0, 0 }
