package paxos

import "math/bits"

// Client sessions are part of the replicated state: every learner applies the same values in the same order to the same table, so that what
// was chosen twice is delivered by the first instance alone, on every learner alike. PROTOCOL.md, "Sessions", has the argument.
//
// A session is opened by a value of its own. The answer names its generation: a number that no other session and no other client of this one
// ever gets. Every value carries the generation that it was sent in, and only those of the present one are delivered. So a value that the
// network kept back reaches neither a session that was opened anew nor one that another client resumed meanwhile.
//
// Of a client the table keeps which of the last SessionSpan sequences were delivered. A client never runs further than that past its oldest
// unanswered sequence, which each of its values names; so a sequence below is known to have been answered.
type session struct {
	client     ClientID
	token      uint64   // of the attempt that has the session
	base       uint64   // every sequence below was answered
	last       Instance // of its last use
	key        Instance // last, as far as its place in the order knows
	generation uint32   // 0: free
	place      int32    // in the order
	bits       [sessionWords]uint64
}

const (
	sessionWords  = SessionSpan / 64
	maxGeneration = 1<<32 - 1
)

// sessionAnswer is what became of an open or a close.
type sessionAnswer struct {
	status     Status
	fresh      bool   // the client got a generation by it
	generation uint32 // the present one of the session, where there is one; of a close the one that it named
	next       uint64 // opened: the sequence above all that were delivered
	token      uint64 // of the open, which the client knows it by
}

// applySession takes a chosen open or close, and tells the client's node what became of it.
func (l *Learner) applySession(v *Value, i Instance, out *Outbox) {
	a := l.sessions.change(v, i)
	switch {
	case a.fresh:
		l.Counters.Opened++
	case a.status != StatusOpened && a.status != StatusClosed:
		l.Counters.Rejected++
	}
	if !l.clients.of[v.Node].live {
		return
	}
	m := out.send(KindSession, v.Node)
	m.Client, m.Sequence, m.Hash, m.Offset, m.Total = v.Client, a.next, a.token, uint32(a.status), a.generation
}

// apply takes a chosen value for the application: fresh tells that it is to be delivered now, status what its client is to be told.
func (t *sessions) apply(v *Value, i Instance) (fresh bool, status Status) {
	s := t.of(v.Client)
	switch {
	case s == nil || v.Generation > s.generation:
		return false, StatusUnknown
	case v.Generation < s.generation:
		return false, StatusFenced
	}
	s.last = i
	s.forget(v.Oldest)
	switch {
	case v.Sequence < s.base:
		return false, StatusOld
	case v.Sequence-s.base >= SessionSpan:
		return false, StatusOutOfWindow
	}
	word, bit := &s.bits[v.Sequence/64%sessionWords], uint64(1)<<(v.Sequence%64)
	if *word&bit != 0 {
		return false, StatusDelivered
	}
	*word |= bit
	return true, StatusDelivered
}

// change takes a chosen open or close.
func (t *sessions) change(v *Value, i Instance) sessionAnswer {
	if v.Kind == ValueClose {
		return t.close(v)
	}
	return t.open(v, i)
}

// open opens a session that is not there, hands over one that is there in just the generation that was expected, and renews the client's own.
// The same attempt may be chosen more than once: its token tells, and it gets the same generation again.
func (t *sessions) open(v *Value, i Instance) sessionAnswer {
	a := sessionAnswer{token: le.Uint64(v.Data)}
	s := t.of(v.Client)
	switch {
	case s != nil && s.token == a.token:
	case s == nil && v.Generation != 0:
		a.status = StatusUnknown
		return a
	case s != nil && s.generation != v.Generation:
		a.status, a.generation = StatusTaken, s.generation
		return a
	case t.opened == maxGeneration || s == nil && !t.room(i):
		a.status = StatusNoRoom
		return a
	default:
		if s == nil {
			s = t.insert(v.Client, i)
		}
		t.opened++
		s.token, s.generation, a.fresh = a.token, t.opened, true
	}
	s.last = i
	a.status, a.generation, a.next = StatusOpened, s.generation, s.next()
	return a
}

// close ends a session, if its client still has it.
func (t *sessions) close(v *Value) sessionAnswer {
	a := sessionAnswer{status: StatusClosed, generation: v.Generation}
	s := t.of(v.Client)
	switch {
	case s == nil || v.Generation > s.generation:
		a.status = StatusUnknown
	case v.Generation < s.generation:
		a.status = StatusFenced
	default:
		t.remove(s)
	}
	return a
}

// room makes room for one more session: if need be, the one that was idle longest gives way, once that was for idle instances.
func (t *sessions) room(i Instance) bool {
	if t.n < len(t.pool) {
		return true
	}
	s := t.oldest()
	if i < s.last+t.idle {
		return false
	}
	t.remove(s)
	return true
}

// next is the sequence above all that were delivered.
func (s *session) next() uint64 {
	for q := s.base + SessionSpan; q > s.base; {
		q--
		if s.bits[q/64%sessionWords]&(1<<(q%64)) != 0 {
			return q + 1
		}
	}
	return s.base
}

// forget moves the base up to the client's oldest unanswered sequence.
func (s *session) forget(oldest uint64) {
	if oldest <= s.base {
		return
	}
	if oldest-s.base >= SessionSpan {
		s.bits = [sessionWords]uint64{}
		s.base = oldest
		return
	}
	for ; s.base < oldest; s.base++ {
		s.bits[s.base/64%sessionWords] &^= 1 << (s.base % 64)
	}
}

// indexSize is the least power of two that leaves half of an index of n places free.
func indexSize(n int) int { return 1 << bits.Len(uint(2*n-1)) }
