package paxos

// sessions is the table of client sessions. It is part of the replicated state: every learner applies the same values in the same order to
// it, so that a value that two instances hold is delivered by the first of them alone, on every learner alike.
//
// Of a client it keeps which of the last SessionSpan sequences were delivered. A client never runs further than that past its oldest
// unanswered sequence, which each of its values names; so a sequence below is known to have been delivered.
type sessions struct {
	table  []session // open addressing, linear probing; client 0 with no use is free
	used   []bool
	n      int
	noRoom Instance // below, no session gives way: the earliest instance at which one has been idle for SessionIdle
}

type session struct {
	client ClientID
	base   uint64   // every sequence below was answered
	last   Instance // of its last value
	bits   [SessionSpan / 64]uint64
}

const (
	sessionTableSize = 2 * MaxSessions
	sessionEntrySize = 24 + SessionSpan/8 // client u64, base u64, last u64, bits
)

func newSessions() sessions {
	return sessions{table: make([]session, sessionTableSize), used: make([]bool, sessionTableSize)}
}

func (t *sessions) home(c ClientID) int {
	return int(uint64(c) * 0x9e3779b97f4a7c15 >> 32 & (sessionTableSize - 1))
}

// apply takes a chosen value: fresh tells that it is to be delivered now, status what its client is to be told.
func (t *sessions) apply(v *Value, i Instance) (fresh bool, status Status) {
	at := t.find(v.Client)
	if !t.used[at] {
		if v.Oldest != 1 {
			return false, StatusUnknown
		}
		if t.n == MaxSessions {
			if !t.evict(i) {
				return false, StatusNoRoom
			}
			at = t.find(v.Client)
		}
		t.used[at], t.table[at] = true, session{client: v.Client, base: 1}
		t.n++
	}
	s := &t.table[at]
	s.last = i
	s.forget(v.Oldest)
	switch {
	case v.Sequence < s.base:
		return false, StatusDelivered
	case v.Sequence-s.base >= SessionSpan:
		return false, StatusOutOfWindow
	}
	word, bit := &s.bits[v.Sequence/64%(SessionSpan/64)], uint64(1)<<(v.Sequence%64)
	if *word&bit != 0 {
		return false, StatusDelivered
	}
	*word |= bit
	return true, StatusDelivered
}

// forget moves the base up to the client's oldest unanswered sequence.
func (s *session) forget(oldest uint64) {
	if oldest <= s.base {
		return
	}
	if oldest-s.base >= SessionSpan {
		s.bits = [SessionSpan / 64]uint64{}
		s.base = oldest
		return
	}
	for ; s.base < oldest; s.base++ {
		s.bits[s.base/64%(SessionSpan/64)] &^= 1 << (s.base % 64)
	}
}

// find is the place of a client's session, or the free place where it would go.
func (t *sessions) find(c ClientID) int {
	at := t.home(c)
	for t.used[at] && t.table[at].client != c {
		at = (at + 1) & (sessionTableSize - 1)
	}
	return at
}

// evict lets the session that was idle longest give way, if that was for SessionIdle instances. All learners choose the same one.
func (t *sessions) evict(i Instance) bool {
	if i < t.noRoom {
		return false
	}
	oldest := -1
	for at := range t.table {
		if !t.used[at] {
			continue
		}
		if s := &t.table[at]; oldest < 0 || s.last < t.table[oldest].last ||
			s.last == t.table[oldest].last && s.client < t.table[oldest].client {
			oldest = at
		}
	}
	if t.noRoom = t.table[oldest].last + SessionIdle; i < t.noRoom {
		return false
	}
	t.noRoom = 0
	t.remove(oldest)
	return true
}

// remove frees a place and moves up what probing would no longer find.
func (t *sessions) remove(at int) {
	t.n--
	t.used[at] = false
	for next := (at + 1) & (sessionTableSize - 1); t.used[next]; next = (next + 1) & (sessionTableSize - 1) {
		home := t.home(t.table[next].client)
		if (next-home)&(sessionTableSize-1) >= (next-at)&(sessionTableSize-1) {
			t.table[at], t.used[at], t.used[next] = t.table[next], true, false
			at = next
		}
	}
}

// reset empties the table.
func (t *sessions) reset() {
	clear(t.used)
	t.n, t.noRoom = 0, 0
}

// save writes the sessions into b, which has room for MaxSessions entries, and returns how many bytes.
func (t *sessions) save(b []byte) int {
	n := 0
	for at := range t.table {
		if !t.used[at] {
			continue
		}
		s := &t.table[at]
		e := b[n : n+sessionEntrySize]
		put3(e, uint64(s.client), s.base, uint64(s.last))
		for w, bits := range s.bits {
			le.PutUint64(e[24+8*w:], bits)
		}
		n += sessionEntrySize
	}
	return n
}

// load adds the sessions of a page. False where one cannot be, or there are too many.
func (t *sessions) load(b []byte) bool {
	for ; len(b) >= sessionEntrySize; b = b[sessionEntrySize:] {
		s := session{client: ClientID(le.Uint64(b)), base: le.Uint64(b[8:]), last: Instance(le.Uint64(b[16:]))}
		for w := range s.bits {
			s.bits[w] = le.Uint64(b[24+8*w:])
		}
		at := t.find(s.client)
		if t.used[at] || t.n == MaxSessions || s.base > MaxSequence || s.last > MaxInstance {
			return false
		}
		t.used[at], t.table[at] = true, s
		t.n++
	}
	return true
}
