package paxos

import (
	"bytes"
	"fmt"
)

// AcceptorConfig is what an acceptor is made of.
type AcceptorConfig struct {
	ID         NodeID
	Members    Members
	Window     int  // instances kept above the low watermark, a power of two
	ValueBytes int  // bytes kept for their values, a power of two
	MTU        int  // payload of a frame
	MaxValue   int  // largest value, MaxValueBytes at most; 0: what fits a frame
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
	spare    uint64 // bytes of the ring that no new instance takes
	cramped  bool   // a value found no room: look for more when the next step begins
	first    bool   // one of the instance at the low watermark did not
	leases   leases
	learner  places
	proposer places
	heard    hearing
	votes    accumulator
	pieces   fragments
	told     repeats
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
	TooLarge    uint64 // refused: larger than a value of this cluster
	Silent      uint64 // not answered with a vote for want of its promises
	Repeated    uint64 // instances told again
	Deferred    uint64 // repeats cut short: enough was told again in that step
	Compactions uint64 // of the ring of values
}

// NewAcceptor allocates an acceptor; nothing is allocated afterwards.
func NewAcceptor(cfg AcceptorConfig) *Acceptor {
	checkWindow(cfg.Window)
	cfg.MTU = min(cfg.MTU, MaxMTU)
	checkValueBytes(cfg.ValueBytes, cfg.MTU, cfg.MaxValue)
	largest := largestBatch(cfg.MTU, cfg.MaxValue)
	return &Acceptor{
		cfg:      cfg,
		mask:     Instance(cfg.Window - 1),
		slots:    make([]acceptorSlot, cfg.Window),
		values:   newByteRing(cfg.ValueBytes),
		leases:   newLeases(),
		largest:  recordSize(largest),
		spare:    max(2*recordSize(largest), uint64(cfg.ValueBytes)/8),
		learner:  placesOf(cfg.Members.Learners),
		proposer: placesOf(cfg.Members.Proposers),
		votes:    newAccumulator(cfg.MTU, cfg.Aggregate),
		pieces:   newFragments(cfg.MTU, largest),
	}
}

func checkWindow(n int) {
	if n < 2 || n&(n-1) != 0 {
		panic(fmt.Sprintf("paxos: window of %d instances, want a power of two", n))
	}
}

// checkValueBytes holds rings of values to a size at which an empty one takes any value, and a few.
func checkValueBytes(n, mtu, maxValue int) {
	if mtu < MinMTU || mtu > MaxMTU {
		panic(fmt.Sprintf("paxos: frames of %d bytes, want %d to %d", mtu, MinMTU, MaxMTU))
	}
	if least := 4 * max(mtu, largestBatch(mtu, maxValue)); n < least || n&(n-1) != 0 {
		panic(fmt.Sprintf("paxos: %d bytes for values, want a power of two, at least %d: four frames or four of the largest values", n, least))
	}
}

// Step handles a burst of messages.
func (a *Acceptor) Step(now Time, in []Message, out *Outbox) {
	a.makeRoom()
	a.told = repeats{}
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
		if m.Offset == 0 {
			out.send(KindTrimmed, m.From).Low = a.low
		}
		return
	case m.Instance-a.low > a.mask:
		a.Counters.OutOfWindow++
		a.refuse(m, ReasonOutOfWindow, out)
		return
	case recordSize(int(m.Total)) > a.largest, a.pieces.most == 0 && !whole(m):
		a.Counters.TooLarge++
		a.refuse(m, ReasonTooLarge, out)
		return
	}
	if !whole(m) {
		a.onFragment(m, out)
		return
	}
	a.accept(m, out)
}

// onFragment keeps a piece of a value and accepts the value with the last of them: until then there is neither a promise nor a vote, and a
// ballot that is promised meanwhile ends it, for a piece is held to P2 like a value. A piece of what was accepted by just that ballot
// comes again because the vote was lost.
func (a *Acceptor) onFragment(m *Message, out *Outbox) {
	if s := a.slot(m.Instance); s != nil && s.ballot == m.Ballot {
		end := int(m.Offset) + len(m.Data)
		if m.Total != s.length || end > int(s.length) || !bytes.Equal(a.values.get(s.at, s.length)[m.Offset:end], m.Data) {
			a.Counters.Conflicts++
			value := *m
			value.Offset = 0
			a.refuse(&value, ReasonConflict, out)
			return
		}
		a.Counters.Again++
		a.votes.add(a, m.Ballot, m.Instance, out)
		return
	}
	a.pieces.outdate(uint64(a.low), uint64(a.promised))
	value, done := a.pieces.add(acceptName(m), m)
	if !done {
		return
	}
	complete := *m
	complete.Offset, complete.Data = 0, value
	a.accept(&complete, out)
}

// accept stores a whole value that P2 allows, and votes.
func (a *Acceptor) accept(m *Message, out *Outbox) {
	if reason := a.store(m); reason != ReasonNone {
		a.refuse(m, reason, out)
		return
	}
	a.promised = m.Ballot
	a.votes.add(a, m.Ballot, m.Instance, out)
}

// preempt and refuse answer the first piece of a value for all of them.
func (a *Acceptor) preempt(m *Message, out *Outbox) {
	if m.Offset > 0 {
		return
	}
	p := out.send(KindPreempted, m.From)
	p.Ballot, p.Promised, p.Instance = m.Ballot, a.promised, m.Instance
}

func (a *Acceptor) refuse(m *Message, reason Reason, out *Outbox) {
	if m.Offset > 0 {
		return
	}
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
