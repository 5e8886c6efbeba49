package paxos

// How a learner that fell behind the low watermark, or starts when the log was trimmed, takes state from another learner: where it
// stands, how much it delivered, the running hash, and the client sessions. It comes in pages of one checkpoint. Without it delivery
// stops: going on with an empty session table would deliver retries twice.
type transfer struct {
	low      Instance    // the highest low watermark heard of: state is needed where it lies above the delivered watermark
	from     int         // the learner that is asked
	position Instance    // of the checkpoint that is being taken; 0 none yet
	page     uint32      // the next one
	giver    Incarnation // of the learner that gives it: another incarnation may cut its pages differently
	since    Time        // of the last ask
	asked    bool
	tries    int // of this page with this learner
	failures int // since a page came
	stuck    bool
	incoming sessions

	// What this learner gives to others: its state at saved, copied at savedAt.
	saved      []byte
	savedAt    Time
	askedAt    Time // when a page other than the first was asked for last
	gave       bool // a page, in this step: saved is shown in a message
	savedTo    int
	savedState CheckpointState
	perPage    int
}

// CheckpointState is where a learner stands besides its sessions.
type CheckpointState struct {
	Position Instance // everything below is delivered
	Values   uint64
	Hash     uint64
	Opened   uint32 // generations given to sessions so far
}

// A checkpoint is given out for checkpointAgeNs before a new one is made, and for as long as a learner is taking it: one that has not asked
// for checkpointRestNs is not. However often it is asked for, a new one is not made sooner than that, either.
const (
	checkpointAgeNs  = 100e6
	checkpointRestNs = 10e6
)

// How often a page is asked for in vain before another learner is asked: the first one, and one of a checkpoint that was begun.
const (
	triesOfFirst = 2
	triesOfLater = 12
)

func newTransfer(cfg *LearnerConfig) transfer {
	return transfer{
		incoming: newSessions(cfg.Sessions, cfg.SessionIdle),
		saved:    make([]byte, cfg.Sessions*sessionEntrySize),
		perPage:  room(KindCheckpointPage, cfg.MTU) / sessionEntrySize * sessionEntrySize,
		savedAt:  -checkpointAgeNs, askedAt: -checkpointRestNs,
	}
}

func (t *transfer) behind(l *Learner) bool { return t.low > l.next }

func (t *transfer) deadline(l *Learner) Time {
	if !t.behind(l) {
		return never
	}
	return t.since + l.cfg.Retry
}

// onLow takes a low watermark: below it nothing can be told again by acceptors that heard of it.
func (l *Learner) onLow(low Instance) {
	if low > l.state.low {
		l.state.low = low
		l.high = max(l.high, low)
	}
}

// tickTransfer asks one learner after the other, page by page.
func (l *Learner) tickTransfer(now Time, out *Outbox) {
	t := &l.state
	others := len(l.cfg.Members.Learners) - 1
	if !t.asked {
		t.asked, t.position, t.page, t.tries, t.failures = true, 0, 0, 0, 0
		out.event(Event{Kind: EventBehind, Instance: t.low})
		if others > 0 {
			l.nextPeer()
			l.askPage(now, out)
			return
		}
	}
	if now-t.since < l.cfg.Retry {
		return
	}
	t.since = now
	t.tries++
	if t.failures++; t.failures > triesOfLater+2*triesOfFirst*max(others, 1) && !t.stuck {
		t.stuck = true
		out.event(Event{Kind: EventNoState, Instance: l.next})
	}
	if others > 0 {
		if t.page == 0 && t.tries >= triesOfFirst || t.tries >= triesOfLater {
			l.nextPeer()
			t.position, t.page, t.tries = 0, 0, 0
		}
		l.askPage(now, out)
	}
}

func (l *Learner) nextPeer() {
	t := &l.state
	for range l.cfg.Members.Learners {
		t.from = (t.from + 1) % len(l.cfg.Members.Learners)
		if l.cfg.Members.Learners[t.from] != l.cfg.ID {
			return
		}
	}
}

// askPage asks for page 0 of any checkpoint that is far enough, or for another page of the one that was begun.
func (l *Learner) askPage(now Time, out *Outbox) {
	t := &l.state
	t.since = now
	m := out.send(KindCheckpointAsk, l.cfg.Members.Learners[t.from])
	m.Instance, m.Offset = t.low, t.page
	if t.page > 0 {
		m.Instance = t.position
	}
}

// onCheckpointAsk gives a page. Page 0 may be of a new checkpoint, the others are of the one that the asker names.
func (l *Learner) onCheckpointAsk(now Time, m *Message, out *Outbox) {
	t := &l.state
	if l.peer.of(m.From) < 0 || t.behind(l) {
		return
	}
	if m.Offset == 0 {
		l.makeCheckpoint(now, m.Instance)
		if t.savedState.Position < m.Instance {
			return // we are behind as well, or just now busy with another
		}
	} else {
		if t.savedState.Position != m.Instance {
			return
		}
		t.askedAt = now
	}
	pages := max(1, (t.savedTo+t.perPage-1)/t.perPage)
	if int(m.Offset) >= pages {
		return
	}
	from := int(m.Offset) * t.perPage
	p := out.send(KindCheckpointPage, m.From)
	p.Instance, p.Sequence, p.Hash = t.savedState.Position, t.savedState.Values, t.savedState.Hash
	p.Offset, p.Total, p.High = m.Offset, uint32(pages), Instance(t.savedState.Opened)
	p.Data = t.saved[from:min(from+t.perPage, t.savedTo)]
	t.gave = true
	l.Counters.Served++
}

// makeCheckpoint copies the state, if the present copy is too old for what is asked for, or old and in nobody's use.
func (l *Learner) makeCheckpoint(now Time, atLeast Instance) {
	t := &l.state
	age, rest := now-t.savedAt, now-t.askedAt
	switch {
	case t.gave || l.next < atLeast || age < checkpointRestNs:
		return
	case t.savedState.Position < atLeast || age >= checkpointAgeNs && rest >= checkpointRestNs:
		t.savedTo, t.savedAt = l.sessions.save(t.saved), now
		t.savedState = CheckpointState{Position: l.next, Values: l.count, Hash: l.hash, Opened: l.sessions.opened}
	}
}

// onCheckpointPage takes the page that is next, and with the last one the whole state.
func (l *Learner) onCheckpointPage(now Time, m *Message, out *Outbox) {
	t := &l.state
	if l.peer.of(m.From) < 0 || !t.behind(l) || !t.asked || m.From != l.cfg.Members.Learners[t.from] || m.Offset != t.page {
		return
	}
	if m.Instance <= l.next { // delivery has got past it meanwhile: going back would deliver twice
		t.position, t.page = 0, 0
		return
	}
	if m.Offset == 0 {
		t.incoming.reset()
		t.position, t.giver = m.Instance, m.FromIncarnation
	} else if m.Instance != t.position || m.FromIncarnation != t.giver {
		return
	}
	t.incoming.opened = uint32(m.High)
	if !t.incoming.load(m.Data) {
		t.position, t.page = 0, 0
		return
	}
	t.tries, t.failures, t.stuck = 0, 0, false
	if t.page++; t.page < m.Total {
		l.askPage(now, out)
		return
	}
	l.restore(CheckpointState{Position: m.Instance, Values: m.Sequence, Hash: m.Hash})
	out.event(Event{Kind: EventRestored, Instance: m.Instance, Node: m.From})
}

// restore goes on from another learner's state.
func (l *Learner) restore(s CheckpointState) {
	t := &l.state
	l.sessions, t.incoming = t.incoming, l.sessions
	l.next, l.count, l.hash = s.Position, s.Values, s.Hash
	l.high = max(l.high, l.next)
	l.register.renewal, l.register.next = 0, 0 // tell everyone at once
	t.position, t.page, t.failures, t.asked, t.stuck = 0, 0, 0, false, false
	l.Counters.Transfers++
}

// High is the instance above the highest that the learner has heard of.
func (l *Learner) High() Instance { return l.high }

// Behind tells whether the learner needs state from another one, and Stuck whether none has answered.
func (l *Learner) Behind() bool { return l.state.behind(l) }
func (l *Learner) Stuck() bool  { return l.state.behind(l) && l.state.stuck }

// Sessions is the number of client sessions.
func (l *Learner) Sessions() int { return l.sessions.n }
