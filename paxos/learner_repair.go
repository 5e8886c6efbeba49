package paxos

// How a learner registers, and how it gets what the network lost.

// registration keeps this learner known to the acceptors and proposers: a Hi to each until it is answered, then a renewal long before the
// lease ends, with the delivered watermark. Between renewals the leader alone hears of progress, so that it can trim.
type registration struct {
	nodes    [MaxNodes]NodeID
	n        int
	answered [MaxNodes]Incarnation // by which incarnation of the node; 0 not yet
	next     Time
	renewal  Time
	reported Instance
	bytes    uint64 // delivered since
}

func newRegistration(m Members, now Time) registration {
	r := registration{next: now, renewal: now}
	var seen [MaxNodes]bool
	for _, role := range [][]NodeID{m.Acceptors, m.Proposers} {
		for _, id := range role {
			if !seen[id] {
				seen[id] = true
				r.nodes[r.n] = id
				r.n++
			}
		}
	}
	return r
}

func (l *Learner) tickRegistration(now Time, out *Outbox) {
	r := &l.register
	if (l.next-r.reported > min(l.mask>>4, reportEvery) || r.bytes > uint64(l.cfg.ValueBytes)>>4) && l.leader != 0 {
		r.reported, r.bytes = l.next, 0
		l.hi(l.leader, FlagUpdate, out)
	}
	if now < r.next {
		return
	}
	all := now >= r.renewal
	if all {
		r.renewal = now + l.cfg.Lease/8
		r.reported, r.bytes = l.next, 0
	}
	waiting := false
	for _, id := range r.nodes[:r.n] {
		if all || r.answered[id] == 0 {
			l.hi(id, 0, out)
		}
		waiting = waiting || r.answered[id] == 0
	}
	r.next = r.renewal
	if waiting {
		r.next = min(r.renewal, now+l.cfg.Retry)
	}
}

// reportEvery is how many instances a learner delivers at most before the leader hears of it. What a leader has not heard of as delivered, the
// next one proposes again before anything new: a few thousand instances of that take longer than the election.
const reportEvery = 256

func (l *Learner) hi(to NodeID, flags uint8, out *Outbox) {
	m := out.send(KindHi, to)
	m.Flags, m.Instance, m.Total = flags, l.next, uint32(l.cfg.Lease/1e6)
}

// onHi registers a client: its replies go to its node from now on.
func (l *Learner) onHi(now Time, m *Message, out *Outbox) {
	if m.Flags&FlagClient == 0 {
		return
	}
	l.clients.renew(now, m, out)
	l.okClient(m.From, out)
}

// onOK notes who knows us, and how far that node is: a gap at the very end shows even while nobody leads. The answer of a learner to a client
// of this node is not for us: what it calls low is its own delivered watermark.
func (l *Learner) onOK(m *Message) {
	if m.Flags&FlagClient != 0 || l.acceptor.of(m.From) < 0 && l.proposer.of(m.From) < 0 {
		return
	}
	l.register.answered[m.From] = m.FromIncarnation
	l.high = max(l.high, m.High)
	l.onLow(m.Low)
}

// Leave unregisters, for a shutdown in good order: without it the lease would hold trimming back until it ends.
func (l *Learner) Leave(out *Outbox) {
	for _, id := range l.register.nodes[:l.register.n] {
		out.send(KindDelete, id)
	}
}

// repair asks for gaps. A gap is asked for after a time without progress; from then on ranges go out as fast as answers come in, until
// what was known when it began is delivered.
type repair struct {
	active bool
	since  Time     // of the last progress
	next   Instance // the delivered watermark then
	asked  Instance // everything below was asked for
	end    Instance // where the gap is held to end
	turn   int      // the acceptor that is asked for values; the others for votes alone
	vain   int      // times that a range was asked for without any progress
	ahead  Instance // how far past the delivered watermark is asked: more while answers come, least again when they do not
	weight int      // frames that a value takes, smoothed, in units of 1/weightUnit
}

// Bounds of the ranges that are asked for.
const (
	repairRange = repeatStored
	repairAhead = 4 * repairRange // frames of values too: what one step of an acceptor tells
	repairLeast = 8
	repairVain  = 8 // tries in vain from which on the leader is told; each waits twice as long as the one before, up to
	repairSlow  = 5 // doublings

	weightUnit = 16
)

// weigh learns from a value that came how many of them are a burst.
func (r *repair) weigh(frames int) { r.weight += (frames*weightUnit - r.weight) / 8 }

// reach is how far past the delivered watermark is asked: what is on its way never exceeds repairAhead frames by much.
func (r *repair) reach() Instance {
	if r.weight <= weightUnit {
		return r.ahead
	}
	return min(r.ahead, max(1, Instance(repairAhead*weightUnit/r.weight)))
}

func (r *repair) deadline(l *Learner) Time {
	if l.next >= l.high {
		return never
	}
	return r.since + r.wait(l)
}

// wait is the time without progress after which a range is asked for (again). It doubles while asking is in vain: a cluster that is
// overloaded must not get more to do by it.
func (r *repair) wait(l *Learner) Time { return l.cfg.Repair << min(r.vain, repairSlow) }

func (l *Learner) tickRepair(now Time, out *Outbox) {
	r := &l.repair
	if l.next >= l.high {
		r.active, r.since, r.next, r.vain = false, now, l.next, 0
		return
	}
	if l.next != r.next {
		r.since, r.next, r.vain = now, l.next, 0
		if !r.active {
			return
		}
		r.ahead = min(2*r.ahead, repairAhead)
	} else if now-r.since >= r.wait(l) {
		// Nothing moved: begin anew, with the next acceptor.
		r.active, r.since, r.asked, r.end, r.ahead = true, now, l.next, l.high, repairLeast
		r.turn = (r.turn + 1) % len(l.cfg.Members.Acceptors)
		if r.vain++; r.vain >= repairVain && l.leader != 0 {
			// The votes that chose it may have been of an acceptor that is gone: a quorum of the others has to vote again. It is said with each
			// further try: the first may be lost, or come while the leader cannot tell yet that the instance is chosen.
			l.hi(l.leader, FlagUpdate|FlagGap, out)
		}
	}
	if !r.active {
		return
	}
	if l.next >= r.end {
		r.active = false
		return
	}
	l.ask(out)
}

// ask sends for the holes between what was asked for and the bound ahead of the delivered watermark.
func (l *Learner) ask(out *Outbox) {
	r := &l.repair
	r.asked = max(r.asked, l.next)
	for limit := min(l.next+r.reach(), r.end, l.next+l.mask+1); r.asked < limit; {
		from := r.asked
		for from < limit && l.ready(from) {
			from++
		}
		until := from
		for until < limit && until-from < repairRange && !l.ready(until) {
			until++
		}
		r.asked = until
		if from == until {
			return
		}
		l.Counters.Repeats++
		for k, id := range l.cfg.Members.Acceptors {
			m := out.send(KindRepeat, id)
			m.Instance, m.Until = from, until
			if k == r.turn {
				m.Flags = FlagValues
			}
		}
	}
}
