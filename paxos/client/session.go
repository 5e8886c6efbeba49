package client

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"wirepaxos/paxos"
)

// How a client comes by its sessions, keeps them, and loses them. PROTOCOL.md, "Sessions".
//
// A session begins by an open, a value of its own in the log. It is sent again, always the same attempt, until a learner answers with the
// generation. Values name that generation. While a session is idle and the log goes on, the same open renews it. A session is lost
// where the answer is another: it expired, or another client has it.

// SessionID names a session and the generation in which its client had it: what a later run needs to resume it.
type SessionID struct {
	Client     paxos.ClientID
	Generation uint32
}

// String is 16 hexadecimal digits, a dot, and the generation: "00c2f1a09be07d11.17".
func (id SessionID) String() string { return fmt.Sprintf("%016x.%d", uint64(id.Client), id.Generation) }

// ParseSessionID reads what String writes.
func ParseSessionID(text string) (SessionID, error) {
	client, generation, _ := strings.Cut(text, ".")
	c, err := strconv.ParseUint(client, 16, 64)
	g, err2 := strconv.ParseUint(generation, 10, 32)
	id := SessionID{Client: paxos.ClientID(c), Generation: uint32(g)}
	if err != nil || err2 != nil || id.String() != text || g == 0 {
		return SessionID{}, fmt.Errorf("client: %q is no session: want 16 hexadecimal digits, a dot, and the generation, from 1", text)
	}
	return id, nil
}

// hold is what a client has of a session.
type hold struct {
	expected uint32 // by the open: the generation that the session has, 0 for a new one
	token    uint64 // of the present attempt
	asking   bool   // an open is unanswered
	asked    paxos.Time
	asks     int            // sends of it
	used     paxos.Instance // the watermark of its last use, as far as it was told
	lost     paxos.Status   // why it is lost; 0: it is not
	taken    uint32         // StatusTaken: the generation in which another client has it
}

// SessionError says how a session was lost.
type SessionError struct {
	Session int
	ID      SessionID // as the client had it, or wanted it; generation 0: it was to be a new one
	Status  paxos.Status
	Present uint32 // StatusTaken: the generation in which another client has it
}

func (e *SessionError) Error() string {
	switch e.Status {
	case paxos.StatusTaken:
		return fmt.Sprintf("session %v was not resumed: another client has it, in generation %d", e.ID, e.Present)
	case paxos.StatusFenced:
		return fmt.Sprintf("session %v is lost: another client resumed it; what was unanswered may have been delivered or not", e.ID)
	case paxos.StatusUnknown:
		return fmt.Sprintf("session %v has expired: it was idle while others opened many; what was unanswered may have been delivered or not", e.ID)
	case paxos.StatusNoRoom:
		return fmt.Sprintf("session %v was not opened: the learners keep no more sessions, and all are in use; raise sessions in the cluster file, "+
			"or end other clients", e.ID)
	}
	return fmt.Sprintf("session %v is lost: %v", e.ID, e.Status)
}

// never asked yet: long before any time.
const longAgo paxos.Time = -1 << 62

// begin makes session s anew: nothing was submitted, and it is to be opened.
func (c *Client) begin(s int, id paxos.ClientID, expected uint32) {
	e := &c.sessions[s]
	if at, known := c.byID[e.id]; known && at == s {
		delete(c.byID, e.id)
	}
	c.byID[id] = s
	asking := e.hold.asking
	*e = session{id: id, next: 1, oldest: 1, ring: e.ring, first: e.first, hold: hold{asking: asking}}
	c.ask(e, expected, mix(&c.seed))
}

// ask has an open sent in this step, and again until it is answered.
func (c *Client) ask(e *session, expected uint32, token uint64) {
	h := &e.hold
	if !h.asking {
		c.asking++
	}
	h.asking, h.asked, h.asks, h.expected, h.token = true, longAgo, 0, expected, token
	c.nextScan = min(c.nextScan, c.now)
}

func (c *Client) sendOpen(e *session) {
	h := &e.hold
	h.asked = c.now
	h.asks++
	binary.LittleEndian.PutUint64(c.token[:], h.token)
	v := paxos.Value{Client: e.id, Generation: h.expected, Kind: paxos.ValueOpen, Node: c.cfg.Node, Data: c.token[:]}
	c.put(&v)
}

// close ends the sessions that are open. It is said once: what is lost of it expires.
func (c *Client) close() {
	for s := range c.sessions {
		if e := &c.sessions[s]; e.generation != 0 {
			c.put(&paxos.Value{Client: e.id, Generation: e.generation, Kind: paxos.ValueClose, Node: c.cfg.Node})
		}
	}
	c.flush()
}

// onSession takes what a learner says of an open. Only the answer to the present attempt is one to us: another may be of an earlier run of this
// node, whatever generation it names.
func (c *Client) onSession(m *paxos.Message) {
	s, mine := c.byID[m.Client]
	if !mine {
		return
	}
	e := &c.sessions[s]
	h := &e.hold
	if m.Hash != h.token || h.lost != 0 {
		return
	}
	c.quietSince, c.lastReason = c.now, paxos.ReasonNone
	status := paxos.Status(m.Offset)
	switch {
	case status == paxos.StatusOpened && e.generation == 0:
		c.opened(e, m)
	case status == paxos.StatusOpened && e.generation == m.Total:
		c.renewed(e)
	case status == paxos.StatusOpened: // it expired, and a copy of the first open made it anew
		c.lose(s, paxos.StatusUnknown)
	case status == paxos.StatusTaken && e.generation != 0:
		c.lose(s, paxos.StatusFenced)
	case status == paxos.StatusTaken && c.cfg.TakeOver:
		c.ask(e, m.Total, mix(&c.seed))
	case status == paxos.StatusTaken:
		h.taken = m.Total
		c.lose(s, status)
	case status == paxos.StatusNoRoom && e.generation != 0: // a copy of the first open found no room, and this one did: what matters is what comes now
	case status == paxos.StatusNoRoom, status == paxos.StatusUnknown:
		c.lose(s, status)
	}
}

// opened gives a session its generation, moves it to where it goes on, and sends what was submitted meanwhile.
func (c *Client) opened(e *session, m *paxos.Message) {
	c.settle(e)
	e.generation = m.Total
	ahead := m.Sequence - e.oldest // nothing was answered, so that is 1
	e.shift -= ahead
	for i := range e.ring {
		if p := &e.ring[i]; p.sequence != 0 {
			p.sequence += ahead
		}
	}
	e.oldest += ahead
	e.next += ahead
	c.changes++
	c.Counters.Opened++
	for q := e.oldest; q < e.next; q++ {
		c.send(e, e.at(q))
	}
}

func (c *Client) renewed(e *session) {
	if e.hold.asking {
		c.settle(e)
		c.Counters.Renewed++
	}
}

// settle notes that the open is answered: the session was used just now.
func (c *Client) settle(e *session) {
	h := &e.hold
	h.used = max(h.used, c.watermark)
	c.renewAt = min(c.renewAt, h.used+c.patienceOfLog())
	if h.asking {
		h.asking = false
		c.asking--
	}
}

// patienceOfLog is how far the log goes on before an idle session is renewed: early enough that the renewal may take its time.
func (c *Client) patienceOfLog() paxos.Instance { return max(1, c.cfg.SessionIdle/4) }

// renew sends the open of each session again that was idle for long, and finds out when to look again.
func (c *Client) renew() {
	c.renewAt = paxos.MaxInstance
	for s := range c.sessions {
		e := &c.sessions[s]
		if e.generation == 0 || e.hold.asking {
			continue
		}
		if due := e.hold.used + c.patienceOfLog(); c.watermark < due {
			c.renewAt = min(c.renewAt, due)
		} else {
			c.ask(e, e.generation, e.hold.token)
		}
	}
}

// lose ends a session and all that is unanswered of it. Where it expired, and that is wanted, a new one takes its place.
func (c *Client) lose(s int, status paxos.Status) {
	e := &c.sessions[s]
	h := &e.hold
	h.lost = status
	if e.generation != 0 {
		h.expected = e.generation
	}
	e.generation = 0
	if h.asking {
		h.asking = false
		c.asking--
	}
	c.changes++
	c.lost++
	c.Counters.Lost++
	for q := e.oldest; q < e.next; q++ {
		if p := e.at(q); p.sequence == q {
			c.end(s, p, status)
		}
	}
	if status == paxos.StatusUnknown && c.cfg.Reopen {
		c.lost--
		c.begin(s, paxos.ClientID(mix(&c.seed)), 0)
	}
}

// Next is a session, with its generation, and the sequence that its next value gets. Before it is open and once it is lost, the generation is 0
// and the sequence means nothing.
func (c *Client) Next(s int) (id SessionID, sequence uint64) {
	e := &c.sessions[s]
	return SessionID{e.id, e.generation}, e.next
}

// IsLost tells whether a session is lost for good.
func (c *Client) IsLost(s int) bool { return c.sessions[s].hold.lost != 0 }

// AllLost tells whether no session is left.
func (c *Client) AllLost() bool { return c.lost == len(c.sessions) }

// Changes counts what happens to sessions: one more whenever one was opened, resumed or lost.
func (c *Client) Changes() uint64 { return c.changes }

// Lost is how the first session was lost of those that are lost for good, or nil.
func (c *Client) Lost() error {
	for s := range c.sessions {
		e := &c.sessions[s]
		if h := &e.hold; h.lost != 0 {
			return &SessionError{Session: s, ID: SessionID{e.id, h.expected}, Status: h.lost, Present: h.taken}
		}
	}
	return nil
}

// SessionIDs are the sessions with their generations; 0 for one that is not open.
func (c *Client) SessionIDs() []SessionID {
	ids := make([]SessionID, len(c.sessions))
	for s := range c.sessions {
		ids[s] = SessionID{c.sessions[s].id, c.sessions[s].generation}
	}
	return ids
}
