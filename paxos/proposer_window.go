package paxos

import "math/bits"

// Phase 2 of a proposer: the instances in flight, their values, votes and retries.

// pump proposes queued values while the windows allow.
func (p *Proposer) pump(now Time, out *Outbox) {
	for !p.queue.empty() && p.canPropose(out) {
		batch := p.queue.take(p.cfg.MTU-AcceptOverhead, p.cfg.Batch == BatchInstance)
		if !p.mayShow(len(batch), out) || !p.propose(now, p.next, batch, out) {
			return
		}
		if len(batch) > p.room {
			p.recent.proposed(batch, p.next)
		}
		p.queue.taken(len(batch))
		p.next++
	}
}

func (p *Proposer) canPropose(out *Outbox) bool {
	return p.next-p.low <= p.mask && !p.recovering() && p.unchosen+p.extra < p.pace.flight && len(out.Now)+len(p.dests) < cap(out.Now)-cap(out.Now)/8
}

// mayShow tells whether the outbox has room for all fragments of a large value: the rest of them would be missed everywhere.
func (p *Proposer) mayShow(length int, out *Outbox) bool {
	n := p.frames(length)
	return n == 1 || len(out.Now)+n*len(p.dests) <= cap(out.Now)-cap(out.Now)/8
}

// frames is how many frames a value takes to an acceptor.
func (p *Proposer) frames(length int) int {
	if length <= p.room {
		return 1
	}
	return frameCount(KindAccept, p.cfg.MTU, length)
}

// propose sends phase 2a for an instance. False where the ring has no room: nothing was sent.
func (p *Proposer) propose(now Time, i Instance, value []byte, out *Outbox) bool {
	if !p.fits(i, len(value)) {
		p.reclaim()
		if !p.fits(i, len(value)) {
			p.cramped = p.recovering()
			return false
		}
	}
	s := &p.slots[i&p.mask]
	*s = proposerSlot{} // and field by field: a literal would be made elsewhere and copied
	s.instance, s.ballot, s.state, s.sent = i, p.ballot, slotProposed, now
	s.length, s.at = uint32(len(value)), p.values.put(i, value)
	if i >= p.next {
		p.unchosen++ // what lies below was counted when recovery took charge of it
	}
	p.extra += p.frames(len(value)) - 1
	p.Counters.Proposed++
	p.aim()
	p.accept(p.dests, s, out)
	return true
}

// fits tells whether there is room for an instance's value. While values are recovered, in whatever order they come, room is kept for the first
// that is not chosen: acceptors may refuse all others until they have that one, so nothing else would ever make room for it. A second largest
// value is for the end of the buffer, where one may not fit.
func (p *Proposer) fits(i Instance, length int) bool {
	if i != p.chosen && p.recovering() && recordSize(length)+2*recordSize(largestBatch(p.cfg.MTU, p.cfg.MaxValue)) > p.values.free() {
		return false
	}
	return p.values.fits(length)
}

// accept sends a value to some nodes: in one message each, or in fragments.
func (p *Proposer) accept(to []NodeID, s *proposerSlot, out *Outbox) {
	value := p.values.get(s.at, s.length)
	if len(value) > p.room {
		p.acceptParts(to, s, value, out)
		return
	}
	for _, id := range to {
		m := out.send(KindAccept, id)
		m.Ballot, m.Instance, m.Low = p.ballot, s.instance, p.low
		m.Total, m.Data = s.length, value
	}
}

// acceptParts sends each fragment to all, one after the other: said in a row, it may leave once for all of them.
func (p *Proposer) acceptParts(to []NodeID, s *proposerSlot, value []byte, out *Outbox) {
	size, n, first := pieceSize(KindAccept, p.cfg.MTU), p.frames(len(value)), 0
	if s.again {
		first = firstPiece(n, p.Counters.Retries)
	}
	for i := range n {
		at := (first + i) % n * size
		for _, id := range to {
			m := out.send(KindAccept, id)
			m.Ballot, m.Instance, m.Low = p.ballot, s.instance, p.low
			m.Offset, m.Total, m.Data = uint32(at), s.length, value[at:min(at+size, len(value))]
		}
	}
}

// aim lists whom accepts go to: acceptors and registered learners, a node that is both once.
func (p *Proposer) aim() {
	if len(p.dests) > 0 && p.destsAt == p.leases.changes {
		return
	}
	p.dests = append(p.dests[:0], p.cfg.Members.Acceptors...)
	for _, id := range p.leases.list[:p.leases.n] {
		if p.acceptor.of(id) < 0 {
			p.dests = append(p.dests, id)
		}
	}
	p.destsAt = p.leases.changes
}

// reclaim wins back the room of the oldest values, up to the first that is not chosen: from there on acceptors keep them.
func (p *Proposer) reclaim() {
	at := nowhere
	if s := &p.slots[p.chosen&p.mask]; p.lives(p.chosen, s.at) {
		at = s.at
	}
	if p.values.dropBelow(p.chosen, at) {
		return
	}
	for {
		instance, at, ok := p.values.oldest()
		if !ok || p.lives(instance, at) {
			return
		}
		p.values.drop()
	}
}

func (p *Proposer) lives(i Instance, at uint64) bool {
	s := &p.slots[i&p.mask]
	return s.state == slotProposed && s.ballot == p.ballot && s.instance == i && s.at == at && i >= p.low
}

// compact wins back what lies dead between values that are not chosen: recovered ones come in any order. It is long work, but only a recovery
// that lacks room asks for it.
func (p *Proposer) compact() {
	p.values.compact(p.lives, func(i Instance, at uint64) { p.slots[i&p.mask].at = at })
}

// onAccepted counts votes for our ballot. No message makes it look at more instances than the window has.
func (p *Proposer) onAccepted(now Time, m *Message, out *Outbox) {
	k := p.acceptor.of(m.From)
	if k < 0 || p.phase != leading || m.Ballot != p.ballot {
		return
	}
	p.alive(k, m, out)
	budget := p.mask + 1
	for list := m.Data; len(list) >= acceptedEntrySize; list = list[acceptedEntrySize:] {
		r, ok := acceptedRangeAt(list)
		if !ok {
			return
		}
		end := min(r.First+Instance(r.Count), p.next)
		for i := max(r.First, p.chosen); i < end && budget > 0; i++ {
			budget--
			s := &p.slots[i&p.mask]
			if s.instance != i || s.ballot != p.ballot || s.state != slotProposed {
				continue
			}
			s.votes |= 1 << k
			if bits.OnesCount8(s.votes) >= p.quorum {
				s.state = slotChosen
				frames := p.frames(int(s.length))
				p.unchosen--
				p.extra -= frames - 1
				p.Counters.Chosen++
				if s.again {
					p.pace.chosen(frames, 0)
				} else {
					p.pace.chosen(frames, now-s.sent)
				}
			}
		}
	}
	p.advance()
}

// advance moves the mark below which everything is chosen.
func (p *Proposer) advance() {
	for p.chosen < p.next {
		s := &p.slots[p.chosen&p.mask]
		if s.instance != p.chosen || s.ballot != p.ballot || s.state != slotChosen {
			return
		}
		p.chosen++
	}
}

// setLow takes a higher low watermark. What lies below was delivered, so it is chosen, whether or not this proposer saw the votes.
func (p *Proposer) setLow(low Instance) {
	if low <= p.low {
		return
	}
	if p.phase == leading {
		for i := p.chosen; i < min(low, p.next); i++ {
			if s := &p.slots[i&p.mask]; s.instance != i || s.ballot != p.ballot || s.state != slotChosen {
				p.unchosen--
				if s.instance == i && s.ballot == p.ballot {
					switch s.state {
					case slotReported:
						p.unfetch(s)
					case slotProposed:
						p.extra -= p.frames(int(s.length)) - 1
					}
				}
				s.instance, s.ballot, s.state = i, p.ballot, slotChosen
			}
		}
	}
	if p.full == p.low+1 {
		p.pace.room()
	}
	p.low = low
	p.chosen = max(p.chosen, low)
	p.next = max(p.next, low)
	p.recover = max(p.recover, low)
	p.advance()
}

// resend sends again what was not chosen in time, the oldest first, no more frames than may be in flight. Of a large value all fragments are sent
// again: acceptors keep what they have, so that two tries together are mostly enough.
func (p *Proposer) resend(now Time, out *Outbox) {
	wait := p.pace.wait(p.cfg.Retry)
	seen, n := 0, 0
	for i := p.chosen; i < p.next && seen < p.pace.flight && len(out.Now) < cap(out.Now)/2; i++ {
		s := &p.slots[i&p.mask]
		if s.instance != i || s.ballot != p.ballot || s.state == slotChosen {
			continue
		}
		if seen += p.frames(int(s.length)); now-s.sent < wait {
			continue
		}
		switch s.state {
		case slotProposed:
			s.sent, s.again = now, true
			n++
			p.Counters.Retries++
			for k := range p.cfg.Members.Acceptors {
				if s.votes&(1<<k) == 0 {
					p.accept(p.cfg.Members.Acceptors[k:k+1], s, out)
				}
			}
			p.acceptLearners(s, out)
		case slotReported:
			n++
			p.fetch(now, s, out)
		}
	}
	if n > 0 {
		p.pace.lost(now, wait)
	}
}

// acceptLearners sends an accept again to the learners that are not acceptors too.
func (p *Proposer) acceptLearners(s *proposerSlot, out *Outbox) {
	p.aim()
	p.accept(p.dests[len(p.cfg.Members.Acceptors):], s, out)
}
