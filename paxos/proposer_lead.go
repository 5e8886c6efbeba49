package paxos

import "math/bits"

// How a proposer comes to lead and is preempted: rounds, phase 1 over the suffix, recovery, heartbeats. When it begins, proposer_detect.go
// says.

// rounds are the rounds that this proposer reserved durably and has not used: [next, limit).
type rounds struct {
	next, limit uint64
	wanted      uint64 // at least this one is wanted; 0 while there are enough
}

// WantRounds tells whether the proposer waits for rounds and which is the least that is of use. The caller reserves some durably, so that
// no later incarnation of this node uses them again, and grants them.
func (p *Proposer) WantRounds() (atLeast uint64, want bool) {
	if p.rounds.limit == 0 {
		return 1, true
	}
	return p.rounds.wanted, p.rounds.wanted != 0
}

// GrantRounds gives the rounds [first, limit), which nobody has used or will use but this proposer in this incarnation.
func (p *Proposer) GrantRounds(first, limit uint64) {
	p.rounds = rounds{next: first, limit: min(limit, MaxRound+1)}
}

// haveRounds tells whether there is a round above every ballot seen, or asks for more rounds.
func (p *Proposer) haveRounds(out *Outbox) bool {
	r := &p.rounds
	round := p.nextRound()
	if round < r.limit {
		return true
	}
	if r.wanted == 0 {
		out.event(Event{Kind: EventRoundsUsedUp})
	}
	r.wanted = round
	return false
}

// keepRounds asks for rounds in advance: to a failover, or to a leader that has to begin phase 1 anew, the sync would cost a retry time.
func (p *Proposer) keepRounds() {
	if round := p.nextRound(); round >= p.rounds.limit {
		p.rounds.wanted = round
	}
}

func (p *Proposer) nextRound() uint64 { return max(p.rounds.next, p.known.Round()+1) }

// prepare begins phase 1, if there are rounds, and tells whether it did.
func (p *Proposer) prepare(now Time, why reason, out *Outbox) bool {
	p.asking.on = false
	if !p.haveRounds(out) {
		p.silence = now + p.cfg.Retry
		return false
	}
	b := MakeBallot(p.nextRound(), p.cfg.ID)
	p.rounds.next = b.Round() + 1
	p.history.record(Leadership{Ballot: p.highest, Since: now, Cause: why.cause, Node: why.node, For: why.lasted})
	p.phase, p.ballot, p.known, p.leader, p.heir, p.why = preparing, b, b, 0, 0, why
	p.giveUp = now + p.electionBound()
	p.from, p.reported = p.low, p.low
	p.next, p.chosen, p.recover, p.unchosen, p.extra, p.fetches = p.low, p.low, p.low, 0, 0, 0
	p.recent.begunAnew()
	p.nextScan = now + p.cfg.Retry
	p.Counters.Prepares++
	for k := range p.cfg.Members.Acceptors {
		v := &p.views[k]
		v.promise = promise{next: p.from}
		p.askPromise(k, out)
	}
	return true
}

// electionBound is for how long phase 1 may get no further. Whoever is cut off then asks again instead, and begins no other round before a
// quorum answers.
func (p *Proposer) electionBound() Time { return max(2*p.cfg.LeaderTimeout, 4*p.cfg.Retry) }

// askPromise asks an acceptor for the pages that are missing. All pages of one acceptor are of one incarnation.
func (p *Proposer) askPromise(k int, out *Outbox) {
	m := out.send(KindPrepare, p.cfg.Members.Acceptors[k])
	m.Ballot, m.Instance = p.ballot, p.views[k].promise.next
}

func (p *Proposer) tickPreparing(now Time, out *Outbox) {
	if now < p.nextScan {
		return
	}
	if now >= p.giveUp {
		p.stop(now, 0, reason{cause: CauseUnanswered, lasted: p.electionBound()}, out)
		p.silence = now
		return
	}
	p.nextScan = now + p.cfg.Retry
	for k := range p.cfg.Members.Acceptors {
		if !p.views[k].promise.done {
			p.askPromise(k, out)
		}
	}
}

// onPromise takes a page. One that was overtaken by later ones is waited for; the timer asks for it again.
func (p *Proposer) onPromise(now Time, m *Message, out *Outbox) {
	k := p.acceptor.of(m.From)
	if k < 0 || p.phase != preparing || m.Ballot != p.ballot {
		return
	}
	v := &p.views[k]
	if v.incarnation != m.FromIncarnation { // pages of two incarnations are never one promise
		v.promise = promise{next: p.from}
	}
	p.alive(k, m, out)
	if v.promise.done || m.Until < v.promise.next {
		return
	}
	p.low = max(p.low, m.Low)
	if !p.merge(k, m) {
		p.Counters.Unpromised++
		return
	}
	before := v.promise.next
	v.promise.cover(m.Instance, m.Until, m.Flags&FlagLast != 0)
	if v.promise.next > before {
		p.giveUp = now + p.electionBound()
	}
	if v.promise.done {
		p.tryLead(now, out)
	} else if v.promise.pages >= promisePages {
		v.promise.pages = 0
		p.askPromise(k, out)
	}
}

// merge keeps, for each instance that the page lists, the highest ballot reported and who holds its value. All entries are
// checked before the first is kept: a page that cannot be is not half used.
func (p *Proposer) merge(k int, m *Message) bool {
	for list := m.Data; len(list) > 0; list = list[promiseEntrySize:] {
		e := promisedAt(list)
		if e.Instance < m.Instance || e.Instance >= m.Until || e.Ballot == 0 || e.Ballot >= p.ballot {
			return false
		}
		if e.Instance >= p.low && e.Instance-p.low > p.mask {
			return false // the acceptor's window is larger than ours: what it reports has no place here
		}
	}
	for list := m.Data; len(list) > 0; list = list[promiseEntrySize:] {
		e := promisedAt(list)
		if e.Instance < p.low {
			continue
		}
		s := &p.slots[e.Instance&p.mask]
		if s.instance != e.Instance || s.ballot != p.ballot || e.Ballot > s.found {
			*s = proposerSlot{
				instance: e.Instance, ballot: p.ballot, state: slotReported, found: e.Ballot, digest: e.Digest, length: e.Length,
			}
		}
		if e.Ballot == s.found {
			s.holders |= 1 << k
		}
		p.reported = max(p.reported, e.Instance+1)
	}
	return true
}

// tryLead ends phase 1 once every page of a quorum is there.
func (p *Proposer) tryLead(now Time, out *Outbox) {
	done := 0
	for k := range p.cfg.Members.Acceptors {
		if p.views[k].promise.done {
			done++
		}
	}
	if done < p.quorum {
		return
	}
	p.phase, p.highest, p.failures = leading, p.ballot, 0
	p.led(now, p.cfg.ID, p.ballot, p.why)
	for k := range p.heardOf {
		p.heardOf[k] = now // a quorum has just promised
	}
	p.progressAt = now
	p.reported = max(p.reported, p.low)
	p.chosen, p.recover, p.next = p.low, p.low, p.reported
	p.unchosen, p.extra, p.fetches = int(p.reported-p.low), 0, 0
	p.pace.reset()
	p.nextBeat, p.nextScan = now, now+p.cfg.Retry/2
	p.giveUp = now + recoveryRetries*p.cfg.Retry
	p.slow = slowness{}
	p.keepRounds()
	for _, id := range p.cfg.Members.Learners {
		p.leases.grant(id, now+p.cfg.Lease)
	}
	out.event(Event{Kind: EventLeading, Ballot: p.ballot, Instance: p.next})
}

// recovering tells whether something that phase 1 reported, or a hole among it, is not proposed yet.
func (p *Proposer) recovering() bool { return p.recover < p.reported || p.fetches > 0 }

// recoverMore fetches reported values and fills holes with no-ops, a bounded number at once. New values wait: learners could not deliver them
// before, and the room that they take may be what a reported value lacks.
func (p *Proposer) recoverMore(now Time, out *Outbox) {
	const fetchesInFlight = 128 // frames of values
	for p.recover < p.reported && p.fetches < fetchesInFlight && len(out.Now) < cap(out.Now)/2 {
		s := &p.slots[p.recover&p.mask]
		if s.instance == p.recover && s.ballot == p.ballot && s.state == slotReported {
			p.fetches += p.frames(int(s.length))
			p.fetch(now, s, out)
		} else if !p.propose(now, p.recover, nil, out) {
			return
		} else {
			p.Counters.Noops++
		}
		p.recover++
	}
}

// recoveryRetries is after how many retry times without a fetched value the recovery is begun anew, with another phase 1.
const recoveryRetries = 64

// fetch asks the holders of a reported value in turn.
func (p *Proposer) fetch(now Time, s *proposerSlot, out *Outbox) {
	n := int(p.random(uint64(bits.OnesCount8(s.holders))))
	for k, id := range p.cfg.Members.Acceptors {
		if s.holders&(1<<k) == 0 {
			continue
		}
		if n == 0 {
			m := out.send(KindRepeat, id)
			m.Flags, m.Instance, m.Until = FlagValues, s.instance, s.instance+1
			break
		}
		n--
	}
	s.sent = now
}

func (p *Proposer) unfetch(s *proposerSlot) {
	if s.instance < p.recover {
		p.fetches -= p.frames(int(s.length))
	}
}

// onStored takes a fetched value if it is the one that was promised, and proposes it by our ballot.
func (p *Proposer) onStored(now Time, m *Message, out *Outbox) {
	if p.acceptor.of(m.From) < 0 || p.phase != leading || m.Instance < p.chosen || m.Instance >= p.recover {
		return
	}
	s := &p.slots[m.Instance&p.mask]
	if s.instance != m.Instance || s.ballot != p.ballot || s.state != slotReported || s.found != m.Ballot {
		return
	}
	value := m.Data
	if !whole(m) {
		p.stored.outdate(uint64(p.chosen), 0)
		var done bool
		if value, done = p.stored.add(acceptName(m), m); !done {
			return
		}
	}
	if int(s.length) != len(value) || s.digest != digest(value) {
		return
	}
	if frames := p.frames(len(value)); p.propose(now, m.Instance, value, out) {
		p.fetches -= frames
		p.Counters.Fetched++
		p.giveUp = now + recoveryRetries*p.cfg.Retry
	}
}

// onPreempted ends our phase: an acceptor promised a higher ballot.
func (p *Proposer) onPreempted(now Time, m *Message, out *Outbox) {
	if p.acceptor.of(m.From) < 0 {
		return
	}
	p.known = max(p.known, m.Promised)
	if p.phase != following && m.Ballot == p.ballot && m.Promised > p.ballot {
		p.preempted(now, m.Promised, out)
	}
}

// preempted ends a phase for a higher ballot. Its owner probably leads soon: clients are told, which costs them one more redirect if it
// does not.
func (p *Proposer) preempted(now Time, b Ballot, out *Outbox) {
	p.Counters.Preempted++
	wasPreparing := p.phase == preparing
	if p.phase == leading {
		out.event(Event{Kind: EventPreempted, Ballot: p.ballot, Other: b})
	}
	why := reason{cause: CausePreempted, node: b.Proposer()}
	if p.handover.to == b.Proposer() {
		why.cause = CauseHandedOver
		p.Counters.HandedOver++
	}
	heir := b.Proposer()
	if p.peer.of(heir) < 0 || heir == p.cfg.ID {
		heir = 0
	}
	p.stop(now, heir, why, out)
	p.silence = now + p.patience()
	if wasPreparing {
		// Whoever it was may have been preempted too: its heartbeats, if it leads, come long before this. Losers wait longer each time.
		p.silence = now + max(2*p.cfg.Retry, p.cfg.Heartbeat*Time(8+p.random(16)))<<min(p.failures, mostFailures)
		p.failures++
	}
}

// mostFailures bounds how often the wait after a lost election doubles.
const mostFailures = 4

// beat tells everyone who leads and how far: learners see by High a gap at the very end, followers that we live. Acceptors answer, and tell
// followers that do not hear us. A node that has several roles gets one message.
func (p *Proposer) beat(now Time, out *Outbox) {
	p.nextBeat = now + p.cfg.Heartbeat
	var told uint64
	for _, role := range [...][]NodeID{p.cfg.Members.Proposers, p.leases.list[:p.leases.n], p.cfg.Members.Acceptors} {
		for _, id := range role {
			if told&(1<<id) == 0 && (id != p.cfg.ID || p.learner.of(id) >= 0 || p.acceptor.of(id) >= 0) {
				told |= 1 << id
				m := out.send(KindHeartbeat, id)
				m.Ballot, m.Low, m.High, m.Sequence = p.ballot, p.low, p.next, uint64(now)
			}
		}
	}
	p.tickHandover(now, out)
}

// random is below n, or 0: splitmix64.
func (p *Proposer) random(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	p.rand += 0x9e3779b97f4a7c15
	z := p.rand
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) % n
}
