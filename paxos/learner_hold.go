package paxos

// How a learner keeps values until they are delivered: in a ring of bytes, those that came in fragments once they are whole.

// hold keeps a value with the ballot that it came with, if it can still be of use: the value at the ballot that is chosen, or, before
// that is known, the one at the highest ballot. Of a piece of a value it keeps what it can of the rest; it tells whether it has the value now.
func (l *Learner) hold(m *Message) bool {
	s := l.slot(m.Instance)
	if s == nil || s.chosen != 0 && m.Ballot != s.chosen || m.Ballot <= s.ballot && s.ballot != 0 && s.chosen == 0 || s.ballot == m.Ballot {
		return false
	}
	value := m.Data
	if !whole(m) {
		l.pieces.outdate(uint64(l.next), 0)
		var done bool
		if value, done = l.pieces.add(acceptName(m), m); !done {
			return false
		}
	}
	if !l.makeRoom(m.Instance, len(value)) {
		l.Counters.StoreFull++
		return false
	}
	s.ballot, s.length, s.at = m.Ballot, uint32(len(value)), l.values.put(m.Instance, value)
	return true
}

// makeRoom wins back the room of delivered and replaced values. Where that does not do for the very instance that delivery waits for, it
// forgets the values of all others: they can be had again, and nothing else would ever make room.
func (l *Learner) makeRoom(i Instance, length int) bool {
	if l.values.fits(length) {
		return true
	}
	l.reclaim()
	if !l.values.fits(length) && i == l.next {
		l.forget()
	}
	return l.values.fits(length)
}

// forget drops all values that are held. An instance that was chosen by several ballots is delivered by the last of them from now on: acceptors
// tell a value at the ballot at which they accepted it last, so nobody might have the value of an earlier one any more.
func (l *Learner) forget() {
	l.values.clear()
	l.values.settle()
	for at := range l.slots {
		s := &l.slots[at]
		s.ballot = 0
		for _, b := range s.votes {
			if b > s.chosen && s.count(b) >= l.quorum {
				s.chosen = b
			}
		}
	}
	l.Counters.Forgotten++
}

// reclaim wins back room at once: no message of a learner shows values.
func (l *Learner) reclaim() {
	at := nowhere
	if s := &l.slots[l.next&l.mask]; s.instance == l.next && s.ballot != 0 {
		at = s.at
	}
	if l.values.dropBelow(l.next, at) {
		l.values.settle()
		return
	}
	for {
		instance, at, ok := l.values.oldest()
		if !ok {
			return
		}
		s := &l.slots[instance&l.mask]
		if instance >= l.next && s.instance == instance && s.ballot != 0 && s.at == at {
			return
		}
		l.values.drop()
		l.values.settle()
	}
}
