package check

import (
	"encoding/binary"

	"wirepaxos/paxos"
)

// sessions keeps the table of client sessions as PROTOCOL.md, "Sessions", has it, of what is chosen and of nothing else, and holds learners to it:
//
//	sessions    a learner delivers just the values that the table lets pass, in that order: none of an earlier generation after a resume, none twice
//	            within a session, whoever had it, none of a session that expired; what a learner answers to values and opens follows from the table
//
// It is what the values checker asks whether a client was told something else than "delivered" with reason.
type sessions struct {
	suite  *Suite
	ledger *ledger
	size   int
	idle   paxos.Instance

	next    paxos.Instance // everything below is applied
	opened  uint32         // generations given
	table   map[paxos.ClientID]*sessionEntry
	passed  []passed // by position
	seen    map[valueID]bool
	given   map[uint32]given // by generation; also of sessions that are gone
	history map[paxos.ClientID]*sessionPast
}

// sessionEntry is a session that the table has.
type sessionEntry struct {
	generation uint32
	token      uint64
	base, top  uint64 // answered below base; top is above all that were delivered
	last       paxos.Instance
	done       map[uint64]bool
}

// passed is a value that learners deliver.
type passed struct {
	id       valueID
	instance paxos.Instance
}

// given is whom a generation was given, and where that one goes on.
type given struct {
	client paxos.ClientID
	token  uint64
	next   uint64
	over   bool // the session is gone
}

// sessionPast is what became of a client id so far.
type sessionPast struct {
	latest  uint32 // generation
	gone    bool   // a session of it expired or was closed
	refused [16]bool
}

func newSessions(s *Suite, c Cluster, l *ledger) *sessions {
	return &sessions{
		suite: s, ledger: l, size: c.Sessions, idle: c.SessionIdle, table: map[paxos.ClientID]*sessionEntry{}, seen: map[valueID]bool{},
		given: map[uint32]given{}, history: map[paxos.ClientID]*sessionPast{},
	}
}

func (c *sessions) past(id paxos.ClientID) *sessionPast {
	p := c.history[id]
	if p == nil {
		p = &sessionPast{}
		c.history[id] = p
	}
	return p
}

// advance applies what is chosen by now.
func (c *sessions) advance() {
	for {
		batch, ok := c.ledger.chosen(c.next)
		if !ok {
			return
		}
		for v, rest, ok := valueAt(batch); ok; v, rest, ok = valueAt(rest) {
			c.apply(&v)
		}
		c.next++
	}
}

func (c *sessions) apply(v *batched) {
	switch v.kind {
	case paxos.ValueData:
		c.value(v)
	case paxos.ValueOpen:
		c.open(v)
	case paxos.ValueClose:
		if e := c.table[v.client]; e != nil && e.generation == v.generation {
			c.remove(v.client)
		}
	}
}

func (c *sessions) value(v *batched) {
	e := c.table[v.client]
	if e == nil || e.generation != v.generation {
		return
	}
	e.last, e.base = c.next, max(e.base, v.oldest)
	if v.sequence < e.base || v.sequence-e.base >= paxos.SessionSpan || e.done[v.sequence] {
		return
	}
	e.done[v.sequence], e.top = true, max(e.top, v.sequence+1)
	id := valueID{v.client, v.generation, v.sequence}
	c.passed = append(c.passed, passed{id, c.next})
	c.seen[id] = true
}

func (c *sessions) open(v *batched) {
	e, past := c.table[v.client], c.past(v.client)
	switch {
	case e != nil && e.token == v.token:
		e.last = c.next
		return
	case e == nil && v.generation != 0:
		past.refused[paxos.StatusUnknown] = true
		return
	case e != nil && e.generation != v.generation:
		past.refused[paxos.StatusTaken] = true
		return
	case e == nil && !c.room():
		past.refused[paxos.StatusNoRoom] = true
		return
	case e == nil:
		e = &sessionEntry{base: 1, top: 1, done: map[uint64]bool{}}
		c.table[v.client] = e
	}
	c.opened++
	e.token, e.generation, e.last, e.top = v.token, c.opened, c.next, max(e.top, e.base)
	past.latest = c.opened
	c.given[c.opened] = given{client: v.client, token: v.token, next: e.top}
}

// room lets the session that was idle longest give way in a full table, if that was long enough.
func (c *sessions) room() bool {
	if len(c.table) < c.size {
		return true
	}
	var oldest paxos.ClientID
	for id, e := range c.table { // the least of all, whatever the order
		if o := c.table[oldest]; o == nil || e.last < o.last || e.last == o.last && id < oldest {
			oldest = id
		}
	}
	if c.next < c.table[oldest].last+c.idle {
		return false
	}
	c.remove(oldest)
	return true
}

func (c *sessions) remove(id paxos.ClientID) {
	generation := c.table[id].generation
	g := c.given[generation]
	g.over = true
	c.given[generation] = g
	c.past(id).gone = true
	delete(c.table, id)
}

// OnDelivered holds a delivery to the table.
func (c *sessions) OnDelivered(a *Actor, d *paxos.Delivery) {
	c.advance()
	id := valueID{d.Client, d.Generation, d.Sequence}
	if d.Position >= uint64(len(c.passed)) || c.passed[d.Position] != (passed{id, d.Instance}) {
		c.suite.Fail("sessions", "%v delivered %v of instance %d at position %d, where the sessions let pass %s", a, id, d.Instance, d.Position,
			c.describe(d.Position))
	}
}

func (c *sessions) describe(position uint64) string {
	if position >= uint64(len(c.passed)) {
		return "nothing yet"
	}
	return c.passed[position].id.String()
}

// OnSaid holds a learner's answers to the table.
func (c *sessions) OnSaid(a *Actor, m *paxos.Message) {
	if a.Role != paxos.RoleLearner {
		return
	}
	switch m.Kind {
	case paxos.KindReply:
		c.advance()
		eachReply(m.Data, func(client paxos.ClientID, first uint64, count uint16, status paxos.Status, generation uint32) {
			for sequence := first; sequence < first+uint64(count); sequence++ {
				id := valueID{client, generation, sequence}
				if !c.may(id, status) {
					c.suite.Fail("sessions", "%v answers %v: %v, which is not so", a, id, status)
				}
			}
		})
	case paxos.KindSession:
		c.advance()
		c.answered(a, m)
	}
}

// may tells whether an answer to a value is true.
func (c *sessions) may(id valueID, status paxos.Status) bool {
	g, is := c.given[id.generation]
	mine := is && g.client == id.client
	switch status {
	case paxos.StatusDelivered:
		return c.seen[id]
	case paxos.StatusFenced:
		return mine && c.past(id.client).latest > id.generation
	case paxos.StatusUnknown:
		return !mine || g.over
	case paxos.StatusOld:
		return mine // a copy that is late
	}
	return false
}

// answered holds the answer to an open to the table: a generation has one token, and goes on above what was delivered before.
func (c *sessions) answered(a *Actor, m *paxos.Message) {
	past := c.past(m.Client)
	switch status := paxos.Status(m.Offset); status {
	case paxos.StatusOpened:
		if g := c.given[m.Total]; g.client != m.Client || g.token != m.Hash || m.Sequence < g.next {
			c.suite.Fail("sessions", "%v gives client %x generation %d with token %x from value %d on; the generation is client %x's, with token %x, from %d on",
				a, uint64(m.Client), m.Total, m.Hash, m.Sequence, uint64(g.client), g.token, g.next)
		}
	case paxos.StatusClosed:
		if !c.given[m.Total].over {
			c.suite.Fail("sessions", "%v says that generation %d of client %x is closed", a, m.Total, uint64(m.Client))
		}
	case paxos.StatusFenced: // to a close
		if past.latest <= m.Total {
			c.suite.Fail("sessions", "%v says that another resumed the session of client %x after generation %d", a, uint64(m.Client), m.Total)
		}
	default:
		if !past.refused[status&15] && !(status == paxos.StatusUnknown && past.gone) {
			c.suite.Fail("sessions", "%v answers client %x: %v, which is not so", a, uint64(m.Client), status)
		}
	}
}

// mayEnd tells whether a client may be told that of a value which was not delivered as far as it knows.
func (c *sessions) mayEnd(o *Outcome) bool {
	c.advance()
	past := c.past(o.Client)
	switch {
	case o.Generation == 0: // its session was never open, or no longer than a moment
		return past.refused[o.Status&15] || o.Status == paxos.StatusUnknown && past.gone || o.Status == paxos.StatusFenced && past.refused[paxos.StatusTaken]
	case o.Status == paxos.StatusFenced:
		return past.latest > o.Generation
	case o.Status == paxos.StatusUnknown:
		return c.given[o.Generation].over
	}
	return false
}

// batched is a value of a batch, by PROTOCOL.md, "Batch".
type batched struct {
	client           paxos.ClientID
	sequence, oldest uint64
	generation       uint32
	kind             paxos.ValueKind
	token            uint64 // of an open
}

// valueAt reads the first value of a batch: client u64, sequence u48, sequence less oldest u16, generation u32, length u24, node u6, kind u2, and the
// bytes. It reads what the roles have let pass as readable.
func valueAt(batch []byte) (v batched, rest []byte, ok bool) {
	const header = 24
	if len(batch) < header {
		return v, nil, false
	}
	le := binary.LittleEndian
	sequence, last := le.Uint64(batch[8:]), le.Uint32(batch[20:])
	size := header + int(last&(1<<24-1))
	if size > len(batch) {
		return v, nil, false
	}
	v = batched{client: paxos.ClientID(le.Uint64(batch)), sequence: sequence & (1<<48 - 1), generation: le.Uint32(batch[16:]), kind: paxos.ValueKind(last >> 30)}
	v.oldest = v.sequence - sequence>>48
	if v.kind == paxos.ValueOpen {
		if size != header+8 {
			return v, nil, false
		}
		v.token = le.Uint64(batch[header:])
	}
	return v, batch[size:], true
}

// eachReply reads the entries of a Reply, by PROTOCOL.md: client u64, first sequence u64, count u16, status u16, generation u32.
func eachReply(data []byte, hear func(client paxos.ClientID, first uint64, count uint16, status paxos.Status, generation uint32)) {
	le := binary.LittleEndian
	for ; len(data) >= 24; data = data[24:] {
		hear(paxos.ClientID(le.Uint64(data)), le.Uint64(data[8:]), le.Uint16(data[16:]), paxos.Status(le.Uint16(data[18:])), le.Uint32(data[20:]))
	}
}
