// Package client submits values and learns what became of them, exactly once each.
//
// The life of a value:
//
//  1. Submit copies it into the session's ring and into the batch that is open; the batch leaves as one Submit message when it is full
//     or the step ends, to the proposer that is believed to lead.
//  2. Without a reply within the retry time it is sent again, under the same (client, sequence): however many instances it ends up in,
//     every learner delivers it once. Where values take longer than that, because there are so many, it waits longer: sending
//     again what is on its way only adds to the load.
//  3. A learner's Reply ends it: Done is called, its place is free.
//
// Who leads, a client learns from the proposers that refuse it, and from the learner that serves it, which tells of each change: what the
// leader before has not answered is then sent to the new one at once.
//
// Before any of that, each session is opened: by a value of its own in the log, which session.go asks for again until it is answered. What is
// submitted meanwhile waits in the ring.
//
// A client is a role like the others: a pure step function, stepped by a loop, with no clock and no I/O of its own.
//
// A session is 64 random bits, and a generation that the cluster gives to whoever opens or resumes it. It never runs further than
// paxos.SessionSpan past its oldest unanswered sequence: past that, Submit refuses until the oldest is answered.
package client

import (
	"cmp"
	"fmt"

	"wirepaxos/paxos"
)

// Config is what a client is made of. Times are nanoseconds.
type Config struct {
	Node        paxos.NodeID
	Proposers   []paxos.NodeID // the first is tried first
	Learners    []paxos.NodeID // likewise; the one in use gets the registration and sends the replies
	Sessions    int            // client sessions, each with its own sequence
	Outstanding int            // most values unanswered at once, of one session; 1 to paxos.SessionSpan
	MaxValue    int            // largest value that is submitted
	ClusterMax  int            // largest value that the cluster takes, max_value of its file; 0: what fits a frame
	MTU         int            // payload of a frame
	Alone       bool           // one value a message, as the Kernel Paxos paper has it
	Retry       paxos.Time     // without a reply after which a value is sent again, at the earliest
	Lease       paxos.Time     // of the registration with a learner
	Seed        uint64         // session ids and tokens are drawn from it: it must be random

	SessionIdle paxos.Instance // as the learners have it; 0: paxos.SessionIdle
	Resume      []SessionID    // sessions of an earlier run, to go on with; the rest are new
	TakeOver    bool           // resume one also if another client has it in another generation by now
	Reopen      bool           // go on with a new session, under a new id, where one has expired
	Keep        bool           // Leave does not close the sessions: they are to be resumed

	// Done is told the outcome of each value, in the middle of a step. It may Submit.
	Done func(now paxos.Time, o *Outcome)
}

// Outcome is what became of a value. With StatusUnknown and StatusFenced that cannot be known any more: the session went away while the value
// was on its way, and it may have been delivered before.
type Outcome struct {
	Session   int
	Sequence  uint64
	Status    paxos.Status
	Submitted paxos.Time
	Sends     int // how often it was sent
}

// Counters count what a client did.
type Counters struct {
	Submitted uint64 // values
	Delivered uint64 // values that a learner told delivered
	Failed    uint64 // values with another outcome
	Retries   uint64 // values sent again
	Late      uint64 // replies about values that were answered before
	Refused   uint64 // Busy messages, by a proposer
	Redirects uint64 // times that another proposer was chosen
	Switches  uint64 // times that another learner was chosen
	Opened    uint64 // sessions opened or resumed
	Renewed   uint64 // sessions renewed, for they were idle
	Lost      uint64 // sessions that were refused, expired, or went to another client
}

// Client submits values of a number of sessions.
type Client struct {
	cfg      Config
	sessions []session
	values   []byte // a cell of MaxValue bytes for each place of each session's ring
	byID     map[paxos.ClientID]int
	open     int // unanswered, of all sessions
	asking   int // sessions with an open that is unanswered
	lost     int // sessions that are lost for good
	proposer int
	learner  int
	known    bool         // the learner answered our registration
	told     paxos.NodeID // who leads, as the learner said last; 0 nothing yet

	now        paxos.Time
	out        *paxos.Outbox
	batch      []byte // open: bytes of the outbox
	batched    int
	nextHi     paxos.Time
	renewal    paxos.Time
	nextScan   paxos.Time
	resendAt   paxos.Time // what was sent up to refusedAt is sent again then; never without reason
	refusedAt  paxos.Time // of the last refusal, by the proposer in use
	lastReason paxos.Reason
	stopped    bool
	stoppedAt  paxos.Time
	quietSince paxos.Time // of the last reply, or since something is unanswered again
	took       paxos.Time // what values take, smoothed
	redirected paxos.Time // of the last redirect
	nextTurn   paxos.Time // no other proposer or learner is tried before
	turns      int
	outcome    Outcome
	value      paxos.Value // that is being sent
	large      large
	seed       uint64
	token      [paxos.TokenSize]byte // of the open that is being sent
	watermark  paxos.Instance        // the highest delivered watermark that a learner told
	renewAt    paxos.Instance        // at this watermark sessions are looked at: one may want renewing
	changes    uint64

	Counters Counters
}

type session struct {
	id         paxos.ClientID
	generation uint32 // 0: not open, or lost
	next       uint64 // the next sequence; until it is open, as if that began at 1
	oldest     uint64 // the oldest unanswered one
	open       int    // unanswered
	ring       []place
	shift      uint64 // of a sequence, to its place
	first      int    // of its cells
	hold       hold
}

type place struct {
	sequence  uint64 // 0: free
	submitted paxos.Time
	sent      paxos.Time
	length    int
	sends     int
	waits     bool // a large value that was not sent yet
}

const never paxos.Time = 1<<63 - 1

// What a configuration may ask for: leases travel as milliseconds, and what is unanswered is kept.
const (
	minRetry = 1e3
	minLease = 4e6
	maxBytes = 4 << 30
)

// New allocates a client; nothing is allocated afterwards.
func New(cfg Config, now paxos.Time) (*Client, error) {
	if len(cfg.Proposers) == 0 || len(cfg.Learners) == 0 {
		return nil, fmt.Errorf("client: no proposer or no learner to talk to: the cluster file must name one of each")
	}
	if cfg.Outstanding < 1 || cfg.Outstanding > paxos.SessionSpan {
		return nil, fmt.Errorf("client: %d outstanding values, want 1 to %d; more in flight takes more clients", cfg.Outstanding, paxos.SessionSpan)
	}
	if len(cfg.Resume) > cfg.Sessions {
		return nil, fmt.Errorf("client: %d sessions to resume, and %d clients: want at least as many", len(cfg.Resume), cfg.Sessions)
	}
	if cfg.Sessions < 1 || cfg.Sessions > paxos.MaxSessions {
		return nil, fmt.Errorf("client: %d clients, want 1 to %d", cfg.Sessions, paxos.MaxSessions)
	}
	if err := checkMaxValue(&cfg); err != nil {
		return nil, err
	}
	// Answers come out of order, so a ring has room for more than what is unanswered.
	ring := 1
	for ring < 4*cfg.Outstanding && ring < paxos.SessionSpan {
		ring *= 2
	}
	if cfg.Retry < minRetry || cfg.Lease < minLease {
		return nil, fmt.Errorf("client: retry after %d ns, want at least 1 µs, and a lease of %d ns, want at least 4 ms", cfg.Retry, cfg.Lease)
	}
	if bytes := cfg.Sessions * ring * cfg.MaxValue; bytes > maxBytes {
		return nil, fmt.Errorf("client: %d clients with %d outstanding values of %d bytes keep %d MiB, want at most %d: take fewer or smaller ones",
			cfg.Sessions, cfg.Outstanding, cfg.MaxValue, bytes>>20, maxBytes>>20)
	}
	c := &Client{
		cfg:      cfg,
		sessions: make([]session, cfg.Sessions),
		values:   make([]byte, cfg.Sessions*ring*cfg.MaxValue),
		byID:     make(map[paxos.ClientID]int, cfg.Sessions),
		resendAt: never, quietSince: now, redirected: now - cfg.Retry, now: now, seed: cfg.Seed, renewAt: paxos.MaxInstance,
	}
	c.cfg.SessionIdle = cmp.Or(cfg.SessionIdle, paxos.SessionIdle)
	for i := range c.sessions {
		c.sessions[i] = session{ring: make([]place, ring), first: i * ring}
		c.begin(i, paxos.ClientID(mix(&c.seed)), 0)
	}
	for i, id := range cfg.Resume {
		if _, twice := c.byID[id.Client]; twice {
			return nil, fmt.Errorf("client: session %v is to be resumed twice", id)
		}
		c.begin(i, id.Client, id.Generation)
	}
	return c, nil
}

// checkMaxValue refuses values that the cluster does not take, before anything is sent.
func checkMaxValue(cfg *Config) error {
	limit := paxos.LargestValue(cfg.MTU, cfg.ClusterMax)
	switch {
	case cfg.MaxValue >= 0 && cfg.MaxValue <= limit:
		return nil
	case cfg.ClusterMax == 0:
		return fmt.Errorf("client: values of %d bytes, want at most %d: a value must fit one frame of %d bytes, unless the cluster file sets max_value, "+
			"%d at most", cfg.MaxValue, limit, cfg.MTU, paxos.MaxValueBytes)
	}
	return fmt.Errorf("client: values of %d bytes, want at most %d: that is max_value of the cluster file", cfg.MaxValue, limit)
}

// mix draws 64 bits: splitmix64.
func mix(seed *uint64) uint64 {
	*seed += 0x9e3779b97f4a7c15
	z := *seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Submit takes a value for a session, to be sent in this step, or as soon as the session is open. False: the session has Outstanding values
// unanswered, runs too far ahead of its oldest, or is lost; nothing happened. It may be called between Begin and End, and from Done.
func (c *Client) Submit(s int, value []byte) bool {
	e := &c.sessions[s]
	if e.open >= c.cfg.Outstanding || e.next-e.oldest >= uint64(len(e.ring)) || len(value) > c.cfg.MaxValue {
		return false
	}
	if e.hold.lost != 0 || e.next > paxos.MaxSequence {
		return false
	}
	p := e.at(e.next)
	*p = place{sequence: e.next, submitted: c.now, length: len(value)}
	copy(c.cell(e, e.next), value)
	e.next++
	e.open++
	if c.open++; c.open == 1 {
		c.quietSince = c.now
	}
	c.Counters.Submitted++
	if e.generation != 0 {
		c.send(e, p)
	}
	return true
}

// Open is the number of values of a session that are unanswered.
func (c *Client) Open(s int) int { return c.sessions[s].open }

// at is the place of a sequence.
func (e *session) at(sequence uint64) *place { return &e.ring[e.index(sequence)] }

func (e *session) index(sequence uint64) int {
	return int((sequence + e.shift) & uint64(len(e.ring)-1))
}

func (c *Client) cell(e *session, sequence uint64) []byte {
	at := (e.first + e.index(sequence)) * c.cfg.MaxValue
	return c.values[at : at+c.cfg.MaxValue]
}

// Begin opens a step: what is submitted until End leaves with it.
func (c *Client) Begin(now paxos.Time, out *paxos.Outbox) {
	c.now, c.out = now, out
}

// Step handles a burst of messages.
func (c *Client) Step(now paxos.Time, in []paxos.Message, out *paxos.Outbox) {
	c.Begin(now, out)
	for i := range in {
		m := &in[i]
		switch m.Kind {
		case paxos.KindReply:
			c.onReply(m)
		case paxos.KindSession:
			c.onSession(m)
		case paxos.KindBusy:
			c.onBusy(m)
		case paxos.KindOK:
			c.onOK(m)
		}
	}
	c.tick()
}

// Tick does what time asks for: retries and registration.
func (c *Client) Tick(now paxos.Time, out *paxos.Outbox) {
	c.Begin(now, out)
	c.tick()
}

// End closes the step: the open batch is sent.
func (c *Client) End() { c.flush() }

// Deadline is when the next Tick is due though nothing arrives.
func (c *Client) Deadline() paxos.Time { return min(c.nextHi, c.nextScan, c.resendAt) }

// send puts a value into the open batch.
func (c *Client) send(e *session, p *place) {
	p.sent = c.now
	if p.length > paxos.MaxValue(c.cfg.MTU) {
		c.sendLarge(e, p)
		return
	}
	p.sends++
	v := &c.value // likewise
	v.Client, v.Sequence, v.Oldest, v.Generation, v.Node = e.id, p.sequence, e.oldest, e.generation, c.cfg.Node
	v.Data = c.cell(e, p.sequence)[:p.length]
	c.put(v)
}

func (c *Client) put(v *paxos.Value) {
	need := paxos.ValueOverhead + len(v.Data)
	if len(c.batch)-c.batched < need {
		c.flush()
		most := c.cfg.MTU - paxos.AcceptOverhead
		if c.cfg.Alone {
			most = need
		}
		if c.batch = c.out.Bytes(most); c.batch == nil {
			return // the retry sends it
		}
	}
	c.batched = paxos.PutValue(c.batch, c.batched, v)
}

func (c *Client) flush() {
	if c.batched > 0 {
		m := c.out.Send(paxos.KindSubmit, c.cfg.Proposers[c.proposer])
		m.Data = c.batch[:c.batched:c.batched]
	}
	c.batch, c.batched = nil, 0
}

// onReply takes what a learner says of values. Only that of the present generation is about values of ours.
func (c *Client) onReply(m *paxos.Message) {
	c.quietSince = c.now
	c.onLeader(m)
	c.watermark = max(c.watermark, m.Instance)
	for r, rest, ok := paxos.NextReplyRange(m.Data); ok; r, rest, ok = paxos.NextReplyRange(rest) {
		s, mine := c.byID[r.Client]
		if !mine {
			continue
		}
		e := &c.sessions[s]
		if r.Generation != e.generation {
			c.Counters.Late += uint64(r.Count)
			continue
		}
		if r.Status == paxos.StatusUnknown || r.Status == paxos.StatusFenced {
			c.lose(s, r.Status)
			continue
		}
		e.hold.used = max(e.hold.used, m.Instance)
		for sequence := r.First; sequence < r.First+uint64(r.Count); sequence++ {
			c.answer(s, sequence, r.Status)
		}
	}
}

// answer ends a value, if it is unanswered.
func (c *Client) answer(s int, sequence uint64, status paxos.Status) {
	e := &c.sessions[s]
	p := e.at(sequence)
	if sequence < e.oldest || p.sequence != sequence {
		c.Counters.Late++
		return
	}
	c.learn(p, status)
	c.end(s, p, status)
}

// end frees the place of a value and tells its outcome.
func (c *Client) end(s int, p *place, status paxos.Status) {
	c.landed(p)
	e := &c.sessions[s]
	o := &c.outcome // field by field: a literal would be made elsewhere and copied
	o.Session, o.Sequence, o.Status, o.Submitted, o.Sends = s, p.sequence, status, p.submitted, p.sends
	p.sequence = 0
	e.open--
	c.open--
	for e.oldest < e.next && e.at(e.oldest).sequence == 0 {
		e.oldest++
	}
	if status == paxos.StatusDelivered {
		c.Counters.Delivered++
	} else {
		c.Counters.Failed++
	}
	if c.cfg.Done != nil {
		c.cfg.Done(c.now, o)
	}
}
