package paxos

// leases are the registrations of learners (with acceptors and proposers) and of clients (with learners). A registration is bound to a node
// and its incarnation, lasts until its lease ends, and is renewed long before. Deleting one leaves the others of the same machine alone.
type leases struct {
	of   [MaxNodes]lease
	list [MaxNodes]NodeID // the live ones, in the order in which they came
	n    int
	next Time // when the first of them ends

	changes uint64 // of the list
}

type lease struct {
	live        bool
	incarnation Incarnation
	gone        [goneIncarnations]Incarnation // those before, the latest first: what they still say comes too late
	until       Time
	delivered   Instance // as of the last renewal
	letGo       bool     // too slow: it does not count for the low watermark

	// An incarnation that is held to be gone and still speaks may be the one that lives: then the present one's Hi was late. So what it reports
	// counts too, for as long as its lease would last.
	floor      Instance
	floorUntil Time
}

// goneIncarnations is how many earlier incarnations of a node are told from new ones.
const goneIncarnations = 3

func (e *lease) isGone(i Incarnation) bool {
	for _, g := range e.gone {
		if g == i && g != 0 {
			return true
		}
	}
	return false
}

func (e *lease) leave() {
	if e.incarnation != 0 {
		copy(e.gone[1:], e.gone[:])
		e.gone[0] = e.incarnation
	}
}

// maxLeaseMs bounds what a Hi may ask for.
const maxLeaseMs = 600_000

const never Time = 1<<63 - 1

func newLeases() leases { return leases{next: never} }

// renew takes a Hi. It tells whether the registration is new: another incarnation, or none before.
func (l *leases) renew(now Time, m *Message, out *Outbox) (fresh bool) {
	if m.From == 0 || m.From >= MaxNodes {
		return false
	}
	e := &l.of[m.From]
	until := now + Time(min(m.Total, maxLeaseMs))*1e6
	if e.isGone(m.FromIncarnation) {
		if e.live {
			e.hold(m.Instance, until)
			l.next = min(l.next, until)
		}
		return false
	}
	if !e.live {
		l.list[l.n] = m.From
		l.n++
		l.changes++
		fresh = true
	} else if e.incarnation != m.FromIncarnation {
		fresh = true
		e.leave()
	}
	delivered := m.Instance
	if !fresh && delivered < e.delivered {
		delivered = e.delivered // an older Hi that was overtaken
	}
	e.live, e.incarnation, e.delivered, e.until, e.letGo = true, m.FromIncarnation, delivered, until, e.letGo && !fresh
	l.next = min(l.next, until)
	if fresh {
		out.event(Event{Kind: EventRegistered, Node: m.From})
	}
	return fresh
}

// hold lets trimming be held back at an instance for some time.
func (e *lease) hold(at Instance, until Time) {
	if e.floorUntil == 0 || at < e.floor {
		e.floor = at
	}
	e.floorUntil = until
}

// least is the watermark that holds trimming back.
func (e *lease) least() Instance {
	if e.floorUntil != 0 {
		return min(e.delivered, e.floor)
	}
	return e.delivered
}

// grant gives a node a lease that it did not ask for: a new leader does so for all learners, because it cannot know yet how far they are.
func (l *leases) grant(id NodeID, until Time) {
	e := &l.of[id]
	if !e.live {
		l.list[l.n] = id
		l.n++
		l.changes++
		*e = lease{live: true, until: until, gone: e.gone}
		l.next = min(l.next, until)
	}
}

// remove takes a Delete. One of an earlier incarnation is too late.
func (l *leases) remove(id NodeID, incarnation Incarnation) {
	if id < MaxNodes && l.of[id].live && l.of[id].incarnation == incarnation {
		gone := l.of[id]
		gone.leave()
		l.drop(id)
		l.of[id].gone = gone.gone
	}
}

func (l *leases) drop(id NodeID) {
	l.of[id] = lease{}
	for i, e := range l.list[:l.n] {
		if e == id {
			copy(l.list[i:], l.list[i+1:l.n])
			l.n--
			l.changes++
			return
		}
	}
}

// expire drops the leases that have ended.
func (l *leases) expire(now Time, out *Outbox) {
	if now < l.next {
		return
	}
	l.next = never
	for i := l.n - 1; i >= 0; i-- {
		id := l.list[i]
		if e := &l.of[id]; now >= e.until {
			l.drop(id) // whoever it was: a later Hi is taken, for that incarnation may only have been cut off
			out.event(Event{Kind: EventLeaseExpired, Node: id})
		} else {
			l.next = min(l.next, e.until)
			if e.floorUntil != 0 && now >= e.floorUntil {
				e.floorUntil = 0
			} else if e.floorUntil != 0 {
				l.next = min(l.next, e.floorUntil)
			}
		}
	}
}

// low is the least delivered watermark of the live ones that count; ok is false where there are none.
func (l *leases) low() (low Instance, ok bool) {
	for _, id := range l.list[:l.n] {
		if e := &l.of[id]; !e.letGo && (!ok || e.least() < low) {
			low, ok = e.least(), true
		}
	}
	return low, ok
}
