package paxos

import "math/bits"

// How a proposer comes to lead and stops: phase 1 over the suffix, recovery, heartbeats, preemption.

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

// newBallot takes the next round above every ballot seen, or asks for more rounds.
func (p *Proposer) newBallot(out *Outbox) (Ballot, bool) {
	r := &p.rounds
	round := max(r.next, p.known.Round()+1)
	if round >= r.limit {
		if r.wanted == 0 {
			out.event(Event{Kind: EventRoundsUsedUp})
		}
		r.wanted = round
		return 0, false
	}
	r.next = round + 1
	return MakeBallot(round, p.cfg.ID), true
}

// prepare begins phase 1.
func (p *Proposer) prepare(now Time, out *Outbox) {
	b, ok := p.newBallot(out)
	if !ok {
		p.silence = now + p.cfg.Retry
		return
	}
	p.phase, p.ballot, p.known, p.leader = preparing, b, b, 0
	p.from, p.reported = p.low, p.low
	p.next, p.chosen, p.recover, p.unchosen, p.fetches = p.low, p.low, p.low, 0, 0
	p.nextScan = now + p.cfg.Retry
	p.Counters.Prepares++
	for k := range p.cfg.Members.Acceptors {
		v := &p.views[k]
		v.next, v.pages, v.done = p.from, 0, false
		p.askPromise(k, out)
	}
}

// askPromise asks an acceptor for the pages that are missing. All pages of one acceptor are of one incarnation.
func (p *Proposer) askPromise(k int, out *Outbox) {
	m := out.send(KindPrepare, p.cfg.Members.Acceptors[k])
	m.Ballot, m.Instance = p.ballot, p.views[k].next
}

func (p *Proposer) tickPreparing(now Time, out *Outbox) {
	if now < p.nextScan {
		return
	}
	p.nextScan = now + p.cfg.Retry
	for k := range p.cfg.Members.Acceptors {
		if !p.views[k].done {
			p.askPromise(k, out)
		}
	}
}

// onPromise takes a page. A page that does not continue what is there is left: the timer asks for the missing one.
func (p *Proposer) onPromise(now Time, m *Message, out *Outbox) {
	k := p.acceptor.of(m.From)
	if k < 0 || p.phase != preparing || m.Ballot != p.ballot {
		return
	}
	v := &p.views[k]
	if v.incarnation != m.FromIncarnation { // pages of two incarnations are never one promise
		v.next, v.pages, v.done = p.from, 0, false
	}
	p.alive(k, m, out)
	if v.done || m.Instance != v.next {
		return
	}
	p.low = max(p.low, m.Low)
	if !p.merge(k, m) {
		p.Counters.Unpromised++
		return
	}
	v.next = m.Until
	v.pages++
	if m.Flags&FlagLast != 0 {
		v.done = true
		p.tryLead(now, out)
	} else if v.pages%promisePages == 0 {
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
		if p.views[k].done {
			done++
		}
	}
	if done < p.quorum {
		return
	}
	p.phase, p.leader = leading, p.cfg.ID
	p.reported = max(p.reported, p.low)
	p.chosen, p.recover, p.next = p.low, p.low, p.reported
	p.unchosen, p.fetches = int(p.reported-p.low), 0
	p.pace.reset()
	p.nextBeat, p.nextScan = now, now+p.cfg.Retry/2
	p.giveUp = now + recoveryRetries*p.cfg.Retry
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
	const fetchesInFlight = 128
	for p.recover < p.reported && p.fetches < fetchesInFlight && len(out.Now) < cap(out.Now)/2 {
		s := &p.slots[p.recover&p.mask]
		if s.instance == p.recover && s.ballot == p.ballot && s.state == slotReported {
			p.fetches++
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
		p.fetches--
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
	if m.Offset != 0 || int(m.Total) != len(m.Data) || int(s.length) != len(m.Data) || s.digest != digest(m.Data) {
		return
	}
	if p.propose(now, m.Instance, m.Data, out) {
		p.fetches--
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
		p.stepDown(now, m.Promised, 0, out)
	}
}

// stepDown ends a phase for a higher ballot. leader is who leads now, 0 if that is not known yet.
func (p *Proposer) stepDown(now Time, b Ballot, leader NodeID, out *Outbox) {
	p.Counters.Preempted++
	wasPreparing := p.phase == preparing
	if p.phase == leading {
		out.event(Event{Kind: EventPreempted, Ballot: p.ballot, Other: b})
	}
	p.phase, p.leader = following, leader
	p.refuseQueued(out)
	p.values.clear()
	p.silence = now + p.patience()
	if wasPreparing { // whoever it was may have been preempted too: its heartbeats, if it leads, come long before this
		p.silence = now + max(2*p.cfg.Retry, p.cfg.Heartbeat*Time(8+p.random(16)))
	}
}

// patience is how long a silent leader is waited for: spread, so that two followers seldom try at once.
func (p *Proposer) patience() Time {
	t := p.cfg.LeaderTimeout
	return t + Time(p.random(uint64(t/2)+1))
}

// onHeartbeat follows whoever leads by a higher ballot.
func (p *Proposer) onHeartbeat(now Time, m *Message, out *Outbox) {
	if p.peer.of(m.From) < 0 || m.Ballot.Proposer() != m.From || m.From == p.cfg.ID || m.Ballot < p.known {
		return
	}
	p.known = m.Ballot
	if p.phase != following {
		p.stepDown(now, m.Ballot, m.From, out)
		out.event(Event{Kind: EventFollowing, Ballot: m.Ballot})
	}
	if p.leader != m.From {
		p.leader = m.From
		out.event(Event{Kind: EventFollowing, Ballot: m.Ballot})
	}
	p.silence = now + p.patience()
	p.setLow(m.Low)
}

// beat tells everyone who leads and how far: learners see by High a gap at the very end, followers that we live.
func (p *Proposer) beat(now Time, out *Outbox) {
	const acceptorsEvery = 8 // accepts tell them the low watermark meanwhile
	p.nextBeat = now + p.cfg.Heartbeat
	for _, id := range p.cfg.Members.Proposers {
		if id != p.cfg.ID {
			p.beatTo(id, out)
		}
	}
	for _, id := range p.leases.list[:p.leases.n] {
		if p.peer.of(id) < 0 || id == p.cfg.ID {
			p.beatTo(id, out)
		}
	}
	if p.beats++; p.beats%acceptorsEvery == 0 {
		for _, id := range p.cfg.Members.Acceptors {
			if p.peer.of(id) < 0 && !p.leases.of[id].live {
				p.beatTo(id, out)
			}
		}
	}
}

func (p *Proposer) beatTo(id NodeID, out *Outbox) {
	m := out.send(KindHeartbeat, id)
	m.Ballot, m.Low, m.High = p.ballot, p.low, p.next
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
