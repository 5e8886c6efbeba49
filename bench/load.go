package bench

import (
	"fmt"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
)

// LoadConfig says how hard to load, and for how long. Times are nanoseconds.
type LoadConfig struct {
	Sessions    int    // of the client: clients in the sense of the report
	Outstanding int    // values unanswered at once, of each session; of an open loop at most
	Size        int    // bytes of a value, at least 1
	Values      uint64 // to submit after the warm-up; 0: no limit
	DurationNs  int64  // of the measurement, after the warm-up; 0: no limit
	WarmupNs    int64  // values submitted, or due, in it are not measured
	DrainNs     int64  // how long to wait for the last answers; 0: defaultDrainNs

	// An open loop: values are due at times of their own.
	Rate     float64 // values a second that are due, of all sessions together; 0: a closed loop
	Arrivals string  // ArrivalsPoisson or ArrivalsConstant; "" is the former
	Seed     uint64  // the times are drawn from it: one seed gives the same again
}

const defaultDrainNs = 2e9

// Load is a closed or an open loop on one client. All of it belongs to the loop that steps the client; others read it through Loop.Inspect,
// or once the loop has ended.
//
// A session gets values once it is open, and none after one failed or the session was lost, unless the client opens another in its place.
type Load struct {
	cfg      LoadConfig
	client   *client.Client // as of the first Fill
	sessions []session
	waiting  []int32 // a queue of sessions that may submit more: once there is budget again, or a value is due
	first    int     // of the queue
	queued   int
	budget   int           // of submissions that are left to this step
	arrivals *arrivals     // nil: a closed loop
	changes  uint64        // of the client's sessions, that were followed
	events   atomic.Uint64 // of which others should look
	begun    bool          // a session was opened
	past     []SessionAcks // of sessions that another took the place of
	value    []byte

	from      paxos.Time // the measurement's begin
	end       paxos.Time // no submissions from here on
	stoppedAt paxos.Time
	last      paxos.Time // of the last measured answer
	stopped   bool
	finished  bool
	open      int
	dead      int

	submitted uint64 // after the warm-up
	answered  uint64 // of those
	failed    uint64 // warm-up included
	delivered uint64 // warm-up included
	clamped   uint64 // answers later than a minute, recorded as one minute
	measured  *hdrhistogram.Histogram
	recent    *hdrhistogram.Histogram // since the last cut; nil unless somebody watches
	stalls    stalls
}

// session is what the load knows of one session: which sequences were answered, as a prefix and a bitmap over the span past it.
type session struct {
	id      client.SessionID
	first   uint64 // the lowest sequence of this run: what lies below is of an earlier one
	next    uint64 // the sequence that the client will give to the next value
	below   uint64 // every sequence below was answered
	bits    [paxos.SessionSpan / 64]uint64
	failed  []uint64
	missing int // values that it may have in flight and has not
	waits   bool
	dead    bool
}

const never paxos.Time = 1<<63 - 1

// NewLoad allocates a load; nothing is allocated afterwards, unless values fail.
func NewLoad(cfg LoadConfig) (*Load, error) {
	switch {
	case cfg.Size < 1:
		return nil, fmt.Errorf("bench: values of %d bytes, want at least 1", cfg.Size)
	case cfg.Sessions < 1 || cfg.Sessions > paxos.MaxSessions:
		return nil, fmt.Errorf("bench: %d clients, want 1 to %d", cfg.Sessions, paxos.MaxSessions)
	case cfg.Outstanding < 1 || cfg.Outstanding > paxos.SessionSpan:
		return nil, fmt.Errorf("bench: %d outstanding values, want 1 to %d; more in flight takes more clients", cfg.Outstanding, paxos.SessionSpan)
	case cfg.DurationNs < 0 || cfg.WarmupNs < 0 || cfg.DrainNs < 0:
		return nil, fmt.Errorf("bench: a negative time: duration %d ns, warm-up %d ns, drain %d ns", cfg.DurationNs, cfg.WarmupNs, cfg.DrainNs)
	}
	if cfg.DrainNs == 0 {
		cfg.DrainNs = defaultDrainNs
	}
	l := &Load{
		cfg: cfg, sessions: make([]session, cfg.Sessions), waiting: make([]int32, cfg.Sessions), value: make([]byte, cfg.Size), end: never,
		measured: newHistogram(),
	}
	for s := range l.sessions {
		l.sessions[s] = session{first: 1, next: 1, below: 1}
	}
	l.budget = l.stepBudget()
	if cfg.Rate != 0 || cfg.Arrivals != "" {
		var err error
		if l.arrivals, err = newArrivals(&cfg); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// stepBudget bounds the submissions of one step: the lists of a step's outbox are finite, and what does not fit waits for a retry.
func (l *Load) stepBudget() int {
	const most = 2048
	return max(1, min(most, paxos.ArenaSize/4/(l.cfg.Size+paxos.ValueOverhead)))
}

// Done is the client's Done callback.
func (l *Load) Done(now paxos.Time, o *client.Outcome) {
	e := &l.sessions[o.Session]
	l.open--
	e.missing++
	e.answer(o.Sequence)
	if o.Status == paxos.StatusDelivered {
		l.delivered++
		l.stalls.answer(now)
		began := o.Submitted
		if l.arrivals != nil {
			began = *l.arrivals.of(o.Session, o.Sequence)
		}
		l.record(now, began)
	} else {
		l.fail(e, o.Sequence)
	}
	if l.arrivals != nil {
		l.wait(e, int32(o.Session)) // for a value that is due: Fill follows in this step
		return
	}
	if now >= l.end {
		l.stop(now)
	}
	l.submit(now, int32(o.Session))
}

// record notes what a value took that began then: was submitted, or was due.
func (l *Load) record(now, began paxos.Time) {
	took := max(now-began, 0)
	if took > highestNs {
		took = highestNs
		l.clamped++
	}
	if began >= l.from {
		l.answered++
		l.last = now
		record(l.measured, took, 1)
	}
	if l.recent != nil {
		record(l.recent, took, 1)
	}
}

func (l *Load) fail(e *session, sequence uint64) {
	l.failed++
	e.failed = append(e.failed, sequence)
	if !e.dead {
		e.dead = true
		l.dead++
	}
}

// answer notes that a sequence was answered.
func (e *session) answer(sequence uint64) {
	const words = paxos.SessionSpan / 64
	e.bits[sequence/64%words] |= 1 << (sequence % 64)
	for e.bits[e.below/64%words]&(1<<(e.below%64)) != 0 {
		e.bits[e.below/64%words] &^= 1 << (e.below % 64)
		e.below++
	}
}

// submit gives a session as many values as it lacks. Where the client refuses one, the session runs too far past its oldest unanswered
// value: the answer to that one brings it here again.
func (l *Load) submit(now paxos.Time, s int32) {
	e := &l.sessions[s]
	for e.missing > 0 && !l.stopped && !e.dead {
		if l.budget == 0 {
			l.wait(e, s)
			return
		}
		if !l.put(now, now, s) {
			return
		}
	}
}

// put submits a value of a session that lacks one, and tells whether the client took it. began is what decides if it is measured.
func (l *Load) put(now, began paxos.Time, s int32) bool {
	e := &l.sessions[s]
	FillPattern(l.value, uint64(e.id.Client), e.next)
	if !l.client.Submit(int(s), l.value) {
		return false
	}
	e.next++
	e.missing--
	l.open++
	l.budget--
	if began >= l.from {
		if l.submitted++; l.submitted == l.cfg.Values {
			l.stop(now)
		}
	}
	return true
}

func (l *Load) wait(e *session, s int32) {
	if !e.waits {
		e.waits = true
		l.waiting[(l.first+l.queued)%len(l.waiting)] = s
		l.queued++
	}
}

// next takes a session out of the queue, which is not empty.
func (l *Load) next() int32 {
	s := l.waiting[l.first]
	l.first = (l.first + 1) % len(l.waiting)
	l.queued--
	l.sessions[s].waits = false
	return s
}

// Fill is called once in every step, between the client's Step or Tick and its End: it makes the first submissions, those that a step had
// no budget for, and ends the run in time.
func (l *Load) Fill(now paxos.Time, c *client.Client) {
	if l.client == nil {
		l.client = c
		l.start(now)
	}
	if n := c.Changes(); n != l.changes {
		l.changes = n
		l.follow(now)
		l.events.Add(1)
	}
	if l.arrivals != nil {
		l.submitDue(now) // also what was due just before the end
	}
	if now >= l.end || l.dead == len(l.sessions) {
		l.stop(now)
	}
	if l.arrivals == nil {
		for n := l.queued; n > 0 && l.budget > 0; n-- {
			l.submit(now, l.next())
		}
	}
	l.budget = l.stepBudget()
	if l.stopped && (l.open == 0 || now >= l.stoppedAt+l.cfg.DrainNs) && !l.finished {
		l.finished = true
		l.events.Add(1)
		if l.open > 0 && l.stoppedAt < l.end {
			l.last = now // without an end of its own, the run lasted as long as it waited
		}
	}
}

// start sets the times of the run: from the first Fill on, and once more from the first session that is open. So opening takes nothing from the
// measurement, and a run without an open session ends nevertheless.
func (l *Load) start(now paxos.Time) {
	l.from = now + l.cfg.WarmupNs
	if l.cfg.DurationNs > 0 {
		l.end = l.from + l.cfg.DurationNs
	}
	if l.arrivals != nil {
		l.arrivals.start(now)
	}
}

// follow gives values to the sessions that were opened since.
func (l *Load) follow(now paxos.Time) {
	for s := range l.sessions {
		e := &l.sessions[s]
		if l.client.IsLost(s) && !e.dead {
			e.dead = true
			l.dead++
		}
		id, next := l.client.Next(s)
		if e.id.Generation != 0 && id.Client != e.id.Client { // another takes its place
			l.past = append(l.past, e.acks())
			l.revive(e)
		}
		if id.Generation == 0 || id == e.id {
			continue
		}
		if !l.begun {
			l.begun = true
			if !l.stopped {
				l.start(now)
			}
		}
		e.id, e.first, e.next, e.below, e.missing = id, next, next, next, l.cfg.Outstanding
		l.wait(e, int32(s))
	}
}

// revive makes a session one that is not open yet.
func (l *Load) revive(e *session) {
	if e.dead {
		l.dead--
	}
	*e = session{first: 1, next: 1, below: 1, waits: e.waits}
}

// Stop ends the submissions early, as at the end of the duration.
func (l *Load) Stop(now paxos.Time) {
	l.stop(now)
	l.end = min(l.end, now)
}

func (l *Load) stop(now paxos.Time) {
	if !l.stopped {
		l.stopped, l.stoppedAt = true, now
	}
}

// Events counts what somebody who waits for the load wants to look at: sessions that were opened or lost, and its end. Anyone may read it at any time;
// so nobody has to hold up the loop, nor to allocate, only to learn that nothing is new.
func (l *Load) Events() uint64 { return l.events.Load() }

// Phase is where a load is, in readings of its loop's clock.
type Phase struct {
	Begun    bool       `json:"begun"`    // a session is open, and the times stand
	Stopped  bool       `json:"stopped"`  // nothing more is submitted
	Finished bool       `json:"finished"` // and nothing is waited for
	From     paxos.Time `json:"from"`     // of the measurement
	End      paxos.Time `json:"end"`      // likewise; 0: not known before it is there
}

// Phase tells where the load is. It belongs to the loop.
func (l *Load) Phase() Phase {
	p := Phase{Begun: l.begun, Stopped: l.stopped, Finished: l.finished, From: l.from}
	if l.end != never && l.cfg.Values == 0 {
		p.End = l.end
	}
	return p
}

// Finished tells that nothing more is submitted, and that everything was answered or the time to wait for answers is over.
func (l *Load) Finished() bool { return l.finished }

// Deadline is when Fill is due though nothing arrives.
func (l *Load) Deadline() paxos.Time {
	switch {
	case l.finished:
		return never
	case l.client == nil || l.stopped && l.open == 0:
		return 0
	case l.stopped:
		return l.stoppedAt + l.cfg.DrainNs
	case l.queued == 0:
		return l.end
	case l.arrivals != nil:
		return min(l.end, l.arrivals.due())
	}
	return 0
}
