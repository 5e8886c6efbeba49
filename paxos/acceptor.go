package paxos

import "fmt"

// AcceptorConfig is what an acceptor is made of.
type AcceptorConfig struct {
	ID         NodeID
	Members    Members
	Window     int  // instances kept above the low watermark, a power of two
	ValueBytes int  // bytes kept for their values, a power of two
	MTU        int  // payload of a frame
	Aggregate  bool // one Accepted for the ranges of a burst; otherwise one per instance, as the paper has it
	Amnesia    bool // it has run before and storage is "memory": it must not vote
}

// Acceptor is one acceptor of a group.
//
// It keeps, per instance of its window, the ballot and the value that it accepted last, and one promised ballot for all of
// them. ("Paxos Made Simple", section 2.2 and section 3: a leader executes phase 1 for infinitely many instances at once.)
//
// What it holds to, always:
//
//	P1  it promises only ballots at least as high as any that it promised before;
//	P2  it accepts (b, v) only if b is at least the promised ballot, and then promises b too;
//	P3  a Promise reports, for each instance in the range that it covers, the last ballot and value accepted there;
//	P4  it says Accepted(b, i) only if what it stores for i is the value that came with b;
//	P5  it forgets an instance only below the low watermark, that is when a learner with a live lease has delivered it.
type Acceptor struct {
	cfg      AcceptorConfig
	promised Ballot
	low      Instance // trimmed below
	high     Instance // nothing is accepted at or above
	mask     Instance
	slots    []acceptorSlot
	values   byteRing
	stored   uint64 // instances from low on that hold a value
	largest  uint64 // bytes of the ring that the largest value takes
	cramped  bool   // a value found no room: look for more when the next step begins
	leases   leases
	learner  places
	proposer places
	heard    hearing
	votes    accumulator
	Counters AcceptorCounters
}

type acceptorSlot struct {
	instance Instance
	ballot   Ballot // 0: nothing accepted
	at       uint64 // of the value in the ring
	length   uint32
}

// AcceptorCounters count what an acceptor did.
type AcceptorCounters struct {
	Prepares    uint64 // answered with a promise
	Accepts     uint64 // voted for, first time
	Again       uint64 // voted for again: a retry, or the same value at a higher ballot
	Probes      uint64 // of followers, answered
	Preempted   uint64 // refused: a higher ballot is promised
	BelowLow    uint64 // refused: trimmed
	OutOfWindow uint64 // refused: beyond the window
	StoreFull   uint64 // refused: no room for the value
	Conflicts   uint64 // refused: another value at an equal ballot
	Fragments   uint64 // refused: fragments are not supported
	Silent      uint64 // not answered with a vote for want of its promises
	Repeated    uint64 // instances told again
	Compactions uint64 // of the ring of values
}

// NewAcceptor allocates an acceptor; nothing is allocated afterwards.
func NewAcceptor(cfg AcceptorConfig) *Acceptor {
	checkWindow(cfg.Window)
	cfg.MTU = min(cfg.MTU, MaxMTU)
	checkValueBytes(cfg.ValueBytes, cfg.MTU)
	return &Acceptor{
		cfg:      cfg,
		mask:     Instance(cfg.Window - 1),
		slots:    make([]acceptorSlot, cfg.Window),
		values:   newByteRing(cfg.ValueBytes),
		leases:   newLeases(),
		largest:  recordSize(cfg.MTU - AcceptOverhead),
		learner:  placesOf(cfg.Members.Learners),
		proposer: placesOf(cfg.Members.Proposers),
		votes:    newAccumulator(cfg.MTU, cfg.Aggregate),
	}
}

func checkWindow(n int) {
	if n < 2 || n&(n-1) != 0 {
		panic(fmt.Sprintf("paxos: window of %d instances, want a power of two", n))
	}
}

// checkValueBytes holds rings of values to a size at which an empty one takes any value, and a few.
func checkValueBytes(n, mtu int) {
	if mtu < MinMTU || mtu > MaxMTU {
		panic(fmt.Sprintf("paxos: frames of %d bytes, want %d to %d", mtu, MinMTU, MaxMTU))
	}
	if n < 4*mtu || n&(n-1) != 0 {
		panic(fmt.Sprintf("paxos: %d bytes for values, want a power of two, at least four frames of %d bytes", n, mtu))
	}
}

// Step handles a burst of messages.
func (a *Acceptor) Step(now Time, in []Message, out *Outbox) {
	a.makeRoom()
	a.leases.expire(now, out)
	for i := range in {
		m := &in[i]
		switch m.Kind {
		case KindAccept:
			a.onAccept(now, m, out)
		case KindPrepare:
			a.onPrepare(m, out)
		case KindHeartbeat:
			a.onHeartbeat(now, m, out)
		case KindProbe:
			a.onProbe(now, m, out)
		case KindRepeat:
			a.onRepeat(m, out)
		case KindHi:
			a.onHi(now, m, out)
		case KindDelete:
			if m.Flags&FlagClient == 0 {
				a.leases.remove(m.From, m.FromIncarnation)
			}
		}
	}
	a.votes.flush(a, out)
}

// Tick lets leases run out when nothing arrives.
func (a *Acceptor) Tick(now Time, out *Outbox) { a.leases.expire(now, out) }

func (a *Acceptor) onAccept(now Time, m *Message, out *Outbox) {
	switch {
	case a.proposer.of(m.From) < 0 || m.Ballot.Proposer() != m.From:
		return // somebody else's ballot
	case a.cfg.Amnesia:
		a.refuseToVote(m, out)
		return
	}
	a.trim(m.Low)
	switch {
	case m.Ballot < a.promised: // P2
		a.Counters.Preempted++
		a.preempt(m, out)
		return
	}
	a.heard = hearing{leader: m.Ballot, at: now}
	switch {
	case m.Instance < a.low:
		a.Counters.BelowLow++
		out.send(KindTrimmed, m.From).Low = a.low
		return
	case m.Instance-a.low > a.mask:
		a.Counters.OutOfWindow++
		a.refuse(m, ReasonOutOfWindow, out)
		return
	case m.Offset != 0 || int(m.Total) != len(m.Data):
		a.Counters.Fragments++
		a.refuse(m, ReasonUnsupported, out)
		return
	}
	if reason := a.store(m); reason != ReasonNone {
		a.refuse(m, reason, out)
		return
	}
	a.promised = m.Ballot
	a.votes.add(a, m.Ballot, m.Instance, out)
}

func (a *Acceptor) preempt(m *Message, out *Outbox) {
	p := out.send(KindPreempted, m.From)
	p.Ballot, p.Promised, p.Instance = m.Ballot, a.promised, m.Instance
}

func (a *Acceptor) refuse(m *Message, reason Reason, out *Outbox) {
	r := out.send(KindRefused, m.From)
	r.Ballot, r.Instance, r.Reason = m.Ballot, m.Instance, reason
}

// refuseToVote is the whole answer of an acceptor that lost its promises. (Merely going on would break P1: it might promise or accept
// below what it promised before it restarted.)
func (a *Acceptor) refuseToVote(m *Message, out *Outbox) {
	a.Counters.Silent++
	a.refuse(m, ReasonAmnesia, out)
}

// slot is what was accepted in an instance of the window, or nil.
func (a *Acceptor) slot(i Instance) *acceptorSlot {
	if i < a.low || i-a.low > a.mask {
		return nil
	}
	s := &a.slots[i&a.mask]
	if s.ballot == 0 || s.instance != i {
		return nil
	}
	return s
}

// Promised is the highest ballot that it promised, 0 none.
func (a *Acceptor) Promised() Ballot { return a.promised }

// Low is the low watermark: instances below are trimmed.
func (a *Acceptor) Low() Instance { return a.low }

// High is the instance above the highest accepted one.
func (a *Acceptor) High() Instance { return a.high }

// Amnesia tells whether the acceptor does not vote because it restarted without its promises.
func (a *Acceptor) Amnesia() bool { return a.cfg.Amnesia }

// Learners is the number of learners registered.
func (a *Acceptor) Learners() int { return a.leases.n }
