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
	client  *client.Client // nil until its first step
	open    []unanswered
	changes uint64             // of the client's sessions, as far as they were followed
	next    []uint64           // sequence of each session
	ids     []client.SessionID // of each session
	due     int64              // when to submit the next value, on the machine's clock
	turn    int                // session that is next
	full    bool               // no session takes a value before one is answered
	ackedAt []int64            // of the last few
	buffer  []byte
}

// unanswered is a value in flight, or one that waits until its session is open.
type unanswered struct {
	session  int
	sequence uint64
	op, size int
	id       client.SessionID // in which it was sent; generation 0: not yet
}

func newSource(m *machine) *source {
	p := m.w.plan
	o := &source{
		m: m, random: random{state: m.random.next()}, next: make([]uint64, p.sessions), ids: make([]client.SessionID, p.sessions),
		buffer: make([]byte, p.maxValue),
	}
	for i := range o.next {
		o.next[i] = 1
	}
	o.due = m.clock.local(m.w.now) + o.random.below(p.paceNs+1)
	return o
}

// Fill submits what is due.
func (o *source) Fill(now paxos.Time, c *client.Client) {
	if o.client == nil {
		o.client = c
		o.ids = c.SessionIDs()
	}
	o.follow()
	p := o.m.w.plan
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

// follow notes what happened to the sessions: one that opens moves what waits to where it goes on, and sends it.
func (o *source) follow() {
	c := o.client
	if c.Changes() == o.changes {
		return
	}
	o.changes, o.full = c.Changes(), false
	for s := range o.ids {
		id, next := c.Next(s)
		ahead := next - o.next[s]
		if id.Client != o.ids[s].Client {
			o.m.w.features.count(featReopened)
		}
		o.ids[s], o.next[s] = id, next
		for i := range o.open {
			u := &o.open[i]
			if u.session != s || u.id.Generation != 0 {
				continue
			}
			u.sequence += ahead
			if id.Generation != 0 {
				o.sent(u, id)
			}
		}
	}
	o.m.sessionsChanged()
}

// sent tells that a value leaves, in the generation that its session has.
func (o *source) sent(u *unanswered, id client.SessionID) {
	u.id = id
	g := &o.m.w.registry
	g.bind(u.op, valueID{id.Client, id.Generation, u.sequence})
	g.fill(u.op, o.buffer[:u.size])
	o.m.w.suite.Submitted(&check.Submitted{Client: id.Client, Generation: id.Generation, Sequence: u.sequence, Data: o.buffer[:u.size]})
}

// submit draws an operation and submits it, if the session has room.
func (o *source) submit(c *client.Client, session int) bool {
	p, g := o.m.w.plan, &o.m.w.registry
	if c.Open(session) >= p.outstanding || c.IsLost(session) {
		return false
	}
	size := o.size()
	op := g.call(&o.random)
	g.fill(op, o.buffer[:size])
	if !c.Submit(session, o.buffer[:size]) {
		g.cancel()
		return false
	}
	o.open = append(o.open, unanswered{session: session, sequence: o.next[session], op: op, size: size})
	o.next[session]++
	if id := o.ids[session]; id.Generation != 0 {
		o.sent(&o.open[len(o.open)-1], id)
	}
	return true
}

// size draws the length of a value: the ends of what may be, those about the size of a frame, and all between.
func (o *source) size() int {
	r, most := &o.random, o.m.w.plan.maxValue
	if o.m.w.plan.oneSize {
		return most
	}
	switch r.below(16) {
	case 0:
		return 0
	case 1:
		return most
	case 2:
		return min(most, int(r.below(17)))
	case 3:
		return min(most, paxos.MaxValue(o.m.w.plan.file.MTU)+int(r.between(-1, 1)))
	}
	return int(r.below(int64(most) + 1))
}

// Done hears what became of a value.
func (o *source) Done(_ paxos.Time, out *client.Outcome) {
	o.follow()
	o.full = false
	w := o.m.w
	for i, u := range o.open {
		if u.session != out.Session || u.sequence != out.Sequence {
			continue
		}
		if u.id.Generation == 0 {
			u.id.Client = o.ids[u.session].Client
		}
		w.features.ended(out.Status)
		w.suite.Told(&check.Outcome{Client: u.id.Client, Generation: u.id.Generation, Sequence: u.sequence, Status: out.Status})
		o.open[i] = o.open[len(o.open)-1]
		o.open = o.open[:len(o.open)-1]
		if out.Status == paxos.StatusDelivered {
			w.registry.answer(u.op)
			o.note(w.now)
		}
		return
	}
	w.suite.Fail("acknowledged", "client %x is told twice of value %d, or of one that it did not submit", uint64(o.ids[out.Session].Client), out.Sequence)
}

// note keeps when values were acknowledged.
func (o *source) note(at int64) {
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

// abandon forgets what is in flight: the client is gone, and nobody knows what becomes of it.
func (o *source) abandon() { o.open = nil }

// Deadline is when the next value is due.
func (o *source) Deadline() paxos.Time {
	if o.m.w.quiet || o.full {
		return never
	}
	return o.due
}
