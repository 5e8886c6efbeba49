package sim

import (
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/sim/check"
)

// source is the application of a client: it works on registers through the log. It implements node.Source.
type source struct {
	m       *machine
	random  random
	open    []unanswered
	next    []uint64 // sequence of each session
	ids     []paxos.ClientID
	due     int64 // when to submit the next value, on the machine's clock
	turn    int   // session that is next
	full    bool  // no session takes a value before one is answered
	gone    bool
	acked   uint64
	ackedAt []int64 // of the last few
	buffer  []byte
}

// unanswered is a value in flight.
type unanswered struct {
	session  int
	sequence uint64
	op       int
}

func newSource(m *machine) *source {
	p := m.w.plan
	o := &source{m: m, random: random{state: m.random.next()}, next: make([]uint64, p.sessions), buffer: make([]byte, max(p.maxValue, opSize))}
	for i := range o.next {
		o.next[i] = 1
	}
	o.due = m.clock.local(m.w.now) + o.random.below(p.paceNs+1)
	return o
}

// Fill submits what is due.
func (o *source) Fill(now paxos.Time, c *client.Client) {
	p := o.m.w.plan
	if o.ids == nil {
		o.ids = c.IDs()
	}
	o.due = max(o.due, now-8*p.paceNs) // after a pause not all at once
	for !o.m.w.quiet && !o.full && now >= o.due {
		o.full = true
		for range p.sessions {
			if o.submit(c, o.turn) {
				o.full = false
			}
			if o.turn++; o.turn == p.sessions {
				o.turn = 0
			}
			if !o.full {
				break
			}
		}
		o.due += p.paceNs/2 + o.random.below(p.paceNs+1)
	}
}

// submit draws an operation and submits it, if the session has room.
func (o *source) submit(c *client.Client, session int) bool {
	p := o.m.w.plan
	if c.Open(session) >= p.outstanding {
		return false
	}
	size := max(opSize, p.maxValue)
	if o.random.percent(70) { // else as large as the others that are so: it takes values of one length to take one for the other
		size = opSize + int(o.random.below(int64(size-opSize)+1))
	}
	id := paxos.ClientID(o.ids[session])
	op := o.m.w.registry.call(&o.random, valueID{id, o.next[session]}, o.buffer[:size])
	if !c.Submit(session, o.buffer[:size]) {
		o.m.w.registry.cancel()
		return false
	}
	o.m.w.suite.Submitted(&check.Submitted{Client: id, Sequence: o.next[session], Data: o.buffer[:size]})
	o.open = append(o.open, unanswered{session, o.next[session], op})
	o.next[session]++
	return true
}

// Done hears what became of a value.
func (o *source) Done(_ paxos.Time, out *client.Outcome) {
	o.full = false
	w := o.m.w
	w.suite.Told(&check.Outcome{Client: o.ids[out.Session], Sequence: out.Sequence, Status: out.Status})
	for i, u := range o.open {
		if u.session == out.Session && u.sequence == out.Sequence {
			o.open[i] = o.open[len(o.open)-1]
			o.open = o.open[:len(o.open)-1]
			if out.Status == paxos.StatusDelivered {
				w.registry.answer(u.op)
				o.note(w.now)
			}
			return
		}
	}
	w.suite.Fail("acknowledged", "client %x is told twice of value %d", uint64(o.ids[out.Session]), out.Sequence)
}

// note keeps when values were acknowledged.
func (o *source) note(at int64) {
	o.acked++
	if len(o.ackedAt) == ackedEach {
		copy(o.ackedAt, o.ackedAt[1:])
		o.ackedAt = o.ackedAt[:ackedEach-1]
	}
	o.ackedAt = append(o.ackedAt, at)
}

// ackedSince counts what was acknowledged since then, as far as it was kept.
func (o *source) ackedSince(at int64) (n int) {
	for _, t := range o.ackedAt {
		if t > at {
			n++
		}
	}
	return n
}

func (o *source) unanswered() int { return len(o.open) }

// abandon forgets what is in flight: the client is gone.
func (o *source) abandon() { o.open, o.gone = nil, true }

// Deadline is when the next value is due.
func (o *source) Deadline() paxos.Time {
	if o.m.w.quiet || o.full {
		return never
	}
	return o.due
}
