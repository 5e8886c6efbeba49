package paxos

// What an acceptor tells of what it accepted: promises, repeats, registrations, votes.

// Bounds on the answers to one message, so that no request makes a burst that nobody can take.
const (
	promisePages  = 8    // pages of one answer to a Prepare; the proposer asks for the next
	repeatStored  = 64   // values of one answer to a Repeat
	repeatScanned = 4096 // instances that one Repeat looks at

	// What all Repeats of one step get together: frames of values, and instances looked at. Votes come before repair; who asks for more gets it
	// by asking again.
	repeatFrames     = 256
	repeatScannedAll = 4 * repeatScanned
)

// onPrepare answers phase 1a. A page is valid by itself; the proposer puts them together and asks for a missing one by a Prepare of the
// same ballot from where its pages end.
func (a *Acceptor) onPrepare(m *Message, out *Outbox) {
	switch {
	case a.proposer.of(m.From) < 0 || m.Ballot.Proposer() != m.From:
		return // somebody else's ballot
	case a.cfg.Amnesia:
		a.refuseToVote(m, out)
		return
	case m.Ballot < a.promised: // P1
		a.Counters.Preempted++
		a.preempt(m, out)
		return
	}
	a.promised = m.Ballot
	a.Counters.Prepares++
	from := max(m.Instance, a.low)
	for page := 0; page < promisePages; page++ {
		next, last := a.promisePage(m, from, out)
		if last || next == from {
			return // or the outbox is full: the proposer asks again
		}
		from = next
	}
}

// promisePage covers [from, next), P3: every accepted instance in there is listed. The first page of an answer begins where it was asked to,
// also when the low watermark is above: what lies below is chosen, delivered and gone, which Low says.
func (a *Acceptor) promisePage(m *Message, from Instance, out *Outbox) (next Instance, last bool) {
	most := room(KindPromise, a.cfg.MTU)
	list := out.bytes(most)
	if list == nil {
		return from, false
	}
	p := out.sendAfter(KindPromise, m.From)
	n := 0
	for next = from; next < a.high && n+promiseEntrySize <= len(list); next++ {
		if s := a.slot(next); s != nil {
			sum := digest(a.values.get(s.at, s.length))
			putPromised(list[n:], promised{Instance: next, Ballot: s.ballot, Digest: sum, Length: s.length})
			n += promiseEntrySize
		}
	}
	if next >= a.high {
		last = true
		p.Flags = FlagLast
	}
	p.Ballot, p.Instance, p.Until, p.Low, p.Data = m.Ballot, from, next, a.low, list[:n]
	if from == max(m.Instance, a.low) {
		p.Instance = m.Instance
	}
	return next, last
}

// onRepeat tells again what was accepted in a range: with FlagValues the values, each with the ballot at which it was accepted, never the
// promised one; otherwise the votes alone. Nothing below the low watermark can be told again.
func (a *Acceptor) onRepeat(m *Message, out *Outbox) {
	if m.Instance < a.low {
		out.send(KindTrimmed, m.From).Low = a.low
	}
	from := max(m.Instance, a.low)
	until := min(m.Until, a.high, from+repeatScanned)
	stored := 0
	for i := from; i < until; i++ {
		if a.told.scanned++; a.told.scanned > repeatScannedAll {
			a.Counters.Deferred++
			break
		}
		s := a.slot(i)
		if s == nil {
			continue
		}
		if m.Flags&FlagValues == 0 {
			a.Counters.Repeated++
			a.votes.addTo(a, m.From, s.ballot, i, out)
			continue
		}
		if stored++; stored > repeatStored {
			break
		}
		if !a.tellStored(m.From, i, s, out) {
			a.Counters.Deferred++
			break
		}
		a.Counters.Repeated++
	}
	a.votes.flush(a, out)
}

// repeats counts what the Repeats of a step got.
type repeats struct{ frames, scanned int }

// tellStored sends the value of a slot, in fragments if it is too large for a frame: all of it or, where the step has told enough, nothing. The
// first value of a step is told whatever its size, so that asking gets on.
func (a *Acceptor) tellStored(to NodeID, i Instance, s *acceptorSlot, out *Outbox) bool {
	n := frameCount(KindStored, a.cfg.MTU, int(s.length))
	if a.told.frames > 0 && a.told.frames+n > repeatFrames {
		return false
	}
	a.told.frames += n
	value, size, first := a.values.get(s.at, s.length), pieceSize(KindStored, a.cfg.MTU), firstPiece(n, a.Counters.Repeated)
	for k := range n {
		at, end := 0, len(value)
		if n > 1 {
			at = (first + k) % n * size
			end = min(at+size, end)
		}
		r := out.sendAfter(KindStored, to)
		r.Ballot, r.Instance, r.Low = s.ballot, i, a.low
		r.Offset, r.Total, r.Data = uint32(at), s.length, value[at:end]
	}
	return true
}

// onHi registers a learner, or renews. An acceptor that restarted hears of its learners within one renewal, and a lost OK costs nothing:
// the learner asks again.
func (a *Acceptor) onHi(now Time, m *Message, out *Outbox) {
	if a.learner.of(m.From) < 0 || m.Flags&FlagClient != 0 {
		return
	}
	a.leases.renew(now, m, out)
	ok := out.send(KindOK, m.From)
	ok.Low, ok.High = a.low, a.high
}

// accumulator gathers votes of one ballot into ranges. What it holds goes to the ballot's proposer and to the learners, or, after addTo, to
// one node that asked.
type accumulator struct {
	ballot Ballot
	to     NodeID // 0: proposer and learners
	ranges []acceptedRange
	alone  bool // one Accepted for each instance
}

// maxRange bounds the instances of a range: their number has 32 bits.
const maxRange = 1 << 31

func newAccumulator(mtu int, aggregate bool) accumulator {
	return accumulator{ranges: make([]acceptedRange, 0, room(KindAccepted, mtu)/acceptedEntrySize), alone: !aggregate}
}

func (v *accumulator) add(a *Acceptor, b Ballot, i Instance, out *Outbox) {
	if n := len(v.ranges); n > 0 && v.to == 0 && v.ballot == b {
		r := &v.ranges[n-1]
		switch r.First + Instance(r.Count) {
		case i + 1:
			return // said just now: fragments of what was accepted come in a row
		case i:
			if !v.alone && r.Count < maxRange {
				r.Count++
				return
			}
		}
	}
	if v.to != 0 || v.ballot != b || v.alone {
		v.flush(a, out)
		v.ballot = b
	}
	v.extend(a, i, out)
}

// addTo is add for an answer to one node. It never mixes with votes for all: the first of either kind flushes the other.
func (v *accumulator) addTo(a *Acceptor, to NodeID, b Ballot, i Instance, out *Outbox) {
	if v.to != to || v.ballot != b || len(v.ranges) == cap(v.ranges) {
		v.flush(a, out)
		v.ballot, v.to = b, to
	}
	v.append(i)
}

func (v *accumulator) extend(a *Acceptor, i Instance, out *Outbox) {
	if n := len(v.ranges); n == cap(v.ranges) && v.ranges[n-1].First+Instance(v.ranges[n-1].Count) != i {
		b := v.ballot
		v.flush(a, out)
		v.ballot = b
	}
	v.append(i)
}

func (v *accumulator) append(i Instance) {
	if n := len(v.ranges); n > 0 {
		r := &v.ranges[n-1]
		if r.First+Instance(r.Count) == i && r.Count < maxRange {
			r.Count++
			return
		}
	}
	v.ranges = append(v.ranges, acceptedRange{First: i, Count: 1})
}

// flush sends what was gathered. A node that is both proposer and learner gets one message and hands it to both roles.
func (v *accumulator) flush(a *Acceptor, out *Outbox) {
	if len(v.ranges) == 0 {
		return
	}
	if v.to != 0 {
		v.flushTo(out)
		return
	}
	list := v.list(out)
	leader := v.ballot.Proposer()
	m := out.sendAfter(KindAccepted, leader)
	m.Ballot, m.Data = v.ballot, list
	for _, id := range a.leases.list[:a.leases.n] {
		if id != leader {
			m := out.sendAfter(KindAccepted, id)
			m.Ballot, m.Data = v.ballot, list
		}
	}
	v.ranges, v.ballot = v.ranges[:0], 0
}

func (v *accumulator) flushTo(out *Outbox) {
	if len(v.ranges) > 0 {
		m := out.sendAfter(KindAccepted, v.to)
		m.Ballot, m.Data = v.ballot, v.list(out)
	}
	v.ranges, v.ballot, v.to = v.ranges[:0], 0, 0
}

func (v *accumulator) list(out *Outbox) []byte {
	list := out.bytes(len(v.ranges) * acceptedEntrySize)
	if list == nil {
		return nil
	}
	for i, r := range v.ranges {
		putAcceptedRange(list[i*acceptedEntrySize:], r)
	}
	return list
}
