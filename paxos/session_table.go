package paxos

import (
	"cmp"
	"fmt"
)

// sessions is the table of client sessions: a pool of entries that stay where they are, an index by client, and an order by last use.
//
// What the table decides follows from the entries alone, not from where they lie: a table that was loaded from a checkpoint has them
// elsewhere and decides alike.
type sessions struct {
	pool   []session
	free   []int32 // places of the pool
	index  []int32 // open addressing, linear probing: place in the pool plus one, 0 free
	order  []int32 // a heap: the least key first, of several the least client
	n      int
	opened uint32 // generations given so far
	idle   Instance
}

const sessionEntrySize = 40 + SessionSpan/8 // client u64, token u64, base u64, last u64, generation u32, 0 u32, bits

// checkSessions fills in what a configuration leaves open and refuses what no table can be.
func checkSessions(cfg *LearnerConfig) {
	cfg.Sessions = cmp.Or(cfg.Sessions, MaxSessions)
	cfg.SessionIdle = cmp.Or(cfg.SessionIdle, SessionIdle)
	if cfg.Sessions < 1 || cfg.Sessions > MaxSessions || cfg.SessionIdle > MaxInstance {
		panic(fmt.Sprintf("paxos: %d sessions that give way after %d instances, want 1 to %d sessions", cfg.Sessions, cfg.SessionIdle, MaxSessions))
	}
}

func newSessions(n int, idle Instance) sessions {
	t := sessions{
		pool: make([]session, n), free: make([]int32, 0, n), index: make([]int32, indexSize(n)), order: make([]int32, 0, n), idle: idle,
	}
	t.reset()
	return t
}

// reset empties the table.
func (t *sessions) reset() {
	clear(t.index)
	t.order, t.free = t.order[:0], t.free[:0]
	for at := range t.pool {
		t.pool[at].generation = 0
		t.free = append(t.free, int32(len(t.pool)-1-at))
	}
	t.n, t.opened = 0, 0
}

// home is where the search for a client begins.
func (t *sessions) home(c ClientID) int {
	return int(uint64(c)*0x9e3779b97f4a7c15>>32) & (len(t.index) - 1)
}

// find is the place in the index of a client's session, or the free place where it would go.
func (t *sessions) find(c ClientID) int {
	at := t.home(c)
	for t.index[at] != 0 && t.pool[t.index[at]-1].client != c {
		at = (at + 1) & (len(t.index) - 1)
	}
	return at
}

// of is a client's session, nil where there is none.
func (t *sessions) of(c ClientID) *session {
	if at := t.index[t.find(c)]; at != 0 {
		return &t.pool[at-1]
	}
	return nil
}

// insert makes an entry for a client that has none, as of instance i. There is room. The caller gives it a generation.
func (t *sessions) insert(c ClientID, i Instance) *session {
	at := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.index[t.find(c)] = at + 1
	s := &t.pool[at]
	*s = session{client: c, base: 1, last: i, key: i, place: int32(t.n)}
	t.n++
	t.order = append(t.order, at)
	t.up(t.n - 1)
	return s
}

// remove frees an entry, and moves up in the index what probing would no longer find.
func (t *sessions) remove(s *session) {
	at := t.find(s.client)
	t.free = append(t.free, t.index[at]-1)
	t.index[at] = 0
	mask := len(t.index) - 1
	for next := (at + 1) & mask; t.index[next] != 0; next = (next + 1) & mask {
		home := t.home(t.pool[t.index[next]-1].client)
		if (next-home)&mask >= (next-at)&mask {
			t.index[at], t.index[next] = t.index[next], 0
			at = next
		}
	}
	t.n--
	place := int(s.place)
	t.swap(place, t.n)
	t.order = t.order[:t.n]
	if place < t.n {
		t.up(place)
		t.down(place)
	}
	s.generation = 0
}

// oldest is the session with the earliest last use, of several the one with the least client. A use does not move a session in the order: that
// is made up for here, so that values pay nothing for it. Every key is at most the true one; one that is true is therefore the least.
func (t *sessions) oldest() *session {
	for {
		s := &t.pool[t.order[0]]
		if s.key == s.last {
			return s
		}
		s.key = s.last
		t.down(0)
	}
}

func (t *sessions) before(a, b int) bool {
	x, y := &t.pool[t.order[a]], &t.pool[t.order[b]]
	return x.key < y.key || x.key == y.key && x.client < y.client
}

func (t *sessions) swap(a, b int) {
	t.order[a], t.order[b] = t.order[b], t.order[a]
	t.pool[t.order[a]].place, t.pool[t.order[b]].place = int32(a), int32(b)
}

func (t *sessions) up(at int) {
	for at > 0 && t.before(at, (at-1)/2) {
		t.swap(at, (at-1)/2)
		at = (at - 1) / 2
	}
}

func (t *sessions) down(at int) {
	for {
		least := at
		for child := 2*at + 1; child <= 2*at+2 && child < t.n; child++ {
			if t.before(child, least) {
				least = child
			}
		}
		if least == at {
			return
		}
		t.swap(at, least)
		at = least
	}
}

// save writes the sessions into b, which has room for all, and returns how many bytes.
func (t *sessions) save(b []byte) int {
	n := 0
	for _, at := range t.order {
		s := &t.pool[at]
		e := b[n : n+sessionEntrySize]
		put3(e, uint64(s.client), s.token, s.base)
		le.PutUint64(e[24:], uint64(s.last))
		putPair(e[32:], s.generation, 0)
		for w, bits := range s.bits {
			le.PutUint64(e[40+8*w:], bits)
		}
		n += sessionEntrySize
	}
	return n
}

// load adds the sessions of a page; opened was told before. False where one cannot be, or there are too many.
func (t *sessions) load(b []byte) bool {
	for ; len(b) >= sessionEntrySize; b = b[sessionEntrySize:] {
		client, base, last := ClientID(le.Uint64(b)), le.Uint64(b[16:]), Instance(le.Uint64(b[24:]))
		generation := le.Uint32(b[32:])
		if t.n == len(t.pool) || t.of(client) != nil || base == 0 || base > MaxSequence || last > MaxInstance {
			return false
		}
		if generation == 0 || generation > t.opened {
			return false
		}
		s := t.insert(client, last)
		s.token, s.base, s.generation = le.Uint64(b[8:]), base, generation
		for w := range s.bits {
			s.bits[w] = le.Uint64(b[40+8*w:])
		}
	}
	return true
}
