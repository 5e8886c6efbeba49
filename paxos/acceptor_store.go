package paxos

import "bytes"

// What an acceptor keeps: one value per instance of its window, in a ring of bytes that is sized by configuration and not by the window.
//
// The ring must never be full of instances that cannot be delivered yet because one before them found no room: learners would wait for that
// one, the low watermark for the learners, and the room for the low watermark. So a new instance is taken only if every instance
// between the low watermark and it that is missing here could still be stored after it, at its largest. Nor must it be full of values that later
// ballots made larger: whatever is stored elsewhere leaves room for another value of the instance at the low watermark.

// store makes m's value the accepted one of its instance. P4: on any reason but ReasonNone nothing changed and there is no vote.
func (a *Acceptor) store(m *Message) Reason {
	s := &a.slots[m.Instance&a.mask]
	again := s.instance == m.Instance && s.ballot != 0
	if again {
		same := bytes.Equal(a.values.get(s.at, s.length), m.Data)
		if m.Ballot == s.ballot && !same {
			a.Counters.Conflicts++
			return ReasonConflict
		}
		if same { // a retry, or a later leader's proposal of the value that it found here
			s.ballot = m.Ballot
			a.Counters.Again++
			return ReasonNone
		}
	}
	if !a.fits(m.Instance, len(m.Data)) {
		a.cramped = true
		a.first = a.first || m.Instance == a.low
		a.Counters.StoreFull++
		return ReasonStoreFull
	}
	if !again {
		a.stored++
	}
	s.instance, s.ballot, s.length = m.Instance, m.Ballot, uint32(len(m.Data)) // a literal would be made elsewhere and copied
	s.at = a.values.put(m.Instance, m.Data)
	if m.Instance >= a.high {
		a.high = m.Instance + 1
	}
	a.Counters.Accepts++
	return ReasonNone
}

// fits tells whether there is room for a value and for whatever is still missing below it. A record more is for the end of the buffer,
// where one may not fit; an eighth of the ring is for values that later ballots replace.
//
// The instance at the low watermark takes what all others leave: room for its value, for another that a later ballot puts in its place, and for the
// end of the buffer. It alone brings the low watermark on, and with it everything else.
func (a *Acceptor) fits(i Instance, length int) bool {
	switch {
	case i == a.low:
		return a.values.fits(length)
	case i >= a.high:
		missing := uint64(i-a.low) - a.stored
		return recordSize(length)+(missing+1)*a.largest+a.spare <= a.values.free()
	default:
		return recordSize(length)+3*a.largest <= a.values.free()
	}
}

// makeRoom begins a step: no message shows a value of ours any more.
func (a *Acceptor) makeRoom() {
	if a.values.crowded() || a.cramped {
		a.reclaim()
	}
	if a.cramped {
		a.compact()
		a.cramped, a.first = false, false
	}
	a.values.settle()
}

// reclaim wins back the room of the oldest values, up to the first that is neither trimmed nor replaced.
func (a *Acceptor) reclaim() {
	at := nowhere
	if s := a.slot(a.low); s != nil {
		at = s.at
	}
	if a.values.dropBelow(a.low, at) {
		return
	}
	for {
		instance, at, ok := a.values.oldest()
		if !ok || a.lives(instance, at) {
			return
		}
		a.values.drop()
	}
}

func (a *Acceptor) lives(i Instance, at uint64) bool {
	s := a.slot(i)
	return s != nil && s.at == at
}

// compact wins back what lies dead between living values: replaced values, and those that came late. It is long work, so only a full ring asks
// for it, and where that much is dead: an eighth of the ring, or anything if the instance at the low watermark found no room.
func (a *Acceptor) compact() {
	living := uint64(0)
	for i := a.low; i < a.high; i++ {
		if s := a.slot(i); s != nil {
			living += recordSize(int(s.length))
		}
	}
	if dead := a.values.used() - living; dead < uint64(len(a.values.buf))/8 && !a.first || dead == 0 {
		return
	}
	a.values.compact(a.lives, func(i Instance, at uint64) { a.slots[i&a.mask].at = at })
	a.Counters.Compactions++
}

// trim raises the low watermark. That everything below was chosen and delivered is a fact, whoever tells it and by whichever ballot.
func (a *Acceptor) trim(low Instance) {
	if low <= a.low || a.cfg.Amnesia {
		return
	}
	// Slots keep their old content: it is told from new by its instance, and below low nobody looks.
	if end := min(low, a.high); a.stored == uint64(a.high-a.low) {
		a.stored -= uint64(end - a.low) // nothing is missing
	} else {
		for i := a.low; i < end; i++ {
			if s := &a.slots[i&a.mask]; s.ballot != 0 && s.instance == i {
				a.stored--
			}
		}
	}
	a.low = low
	a.high = max(a.high, low)
}
