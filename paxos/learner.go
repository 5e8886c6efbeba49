package paxos

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// LearnerConfig is what a learner is made of. Times are nanoseconds.
type LearnerConfig struct {
	ID         NodeID
	Members    Members
	Window     int // instances above the delivered watermark, a power of two, at least the acceptors'
	ValueBytes int // bytes kept for their values, a power of two
	MTU        int // payload of a frame
	MaxValue   int // largest value, MaxValueBytes at most; 0: what fits a frame
	Lease      Time
	Retry      Time // between two tries of a registration that is not answered
	Repair     Time // without progress after which a gap is asked for
	Seed       uint64

	// Sessions is how many client sessions it keeps, and SessionIdle after how many instances without use one gives way where that is not enough;
	// 0: MaxSessions and SessionIdle. All learners of a group have the same, for the table is part of the replicated state.
	Sessions    int
	SessionIdle Instance

	// Deliver gets every value once, in the same order on every learner. It runs in the middle of a step: it must not block, and
	// d and its Data are good until it returns.
	Deliver func(d *Delivery)
}

// Delivery is a delivered value.
type Delivery struct {
	Instance Instance
	Position uint64 // of the value in the order of all, from 0
	Client   ClientID
	Sequence uint64
	Node     NodeID // of the client
	Data     []byte

	// Generation is that of the client's session. Once a later one is seen, no value of an earlier one is delivered any more.
	Generation uint32
}

// Learner is one learner of a group.
//
// It counts, per instance, at which ballot each acceptor accepted last, and holds one value with the ballot that it came with. An instance is
// chosen once a quorum accepted at one ballot ("Paxos Made Simple", section 2.3), and is delivered only with the value of just that
// ballot, in the order of instances. A ballot that was merely promised counts nowhere.
type Learner struct {
	cfg      LearnerConfig
	quorum   int
	next     Instance // the delivered watermark: everything below is delivered
	high     Instance // nothing is known at or above
	mask     Instance
	slots    []learnerSlot
	values   byteRing
	pieces   fragments
	sessions sessions
	count    uint64
	hash     uint64
	acceptor places
	peer     places // learners
	proposer places
	clients  leases
	replies  replies
	delivery Delivery
	register registration
	repair   repair
	state    transfer
	leader   NodeID
	led      Ballot // by which it leads: the highest heard
	announce bool   // clients are to be told of another leader
	Counters LearnerCounters
}

type learnerSlot struct {
	instance Instance
	votes    [MaxAcceptors]Ballot // at which each acceptor accepted last
	chosen   Ballot               // at which a quorum accepted; 0 none yet
	ballot   Ballot               // of the value held; 0 none
	at       uint64               // of the value in the ring
	length   uint32
}

// LearnerCounters count what a learner did.
type LearnerCounters struct {
	Delivered   uint64 // values
	Duplicates  uint64 // values chosen again and not delivered again
	Rejected    uint64 // values, opens and closes chosen and refused: no session, another generation, no room
	Opened      uint64 // sessions opened or resumed
	Instances   uint64 // delivered, no-ops included
	Noops       uint64
	Unreadable  uint64 // batches that could not be read
	OutOfWindow uint64 // accepts and votes dropped: beyond the window
	StoreFull   uint64 // accepts dropped: no room for the value
	Forgotten   uint64 // times that all values held were dropped to make room for the next one
	Repeats     uint64 // ranges asked for again
	Repaired    uint64 // values that came by repair
	Transfers   uint64 // states taken from another learner
	Served      uint64 // pages of state given to others
}

// NewLearner allocates a learner that has delivered nothing; nothing is allocated afterwards.
func NewLearner(cfg LearnerConfig, now Time) *Learner {
	checkWindow(cfg.Window)
	cfg.MTU = min(cfg.MTU, MaxMTU)
	checkValueBytes(cfg.ValueBytes, cfg.MTU, cfg.MaxValue)
	checkSessions(&cfg)
	l := &Learner{
		cfg:      cfg,
		quorum:   Quorum(len(cfg.Members.Acceptors)),
		mask:     Instance(cfg.Window - 1),
		slots:    make([]learnerSlot, cfg.Window),
		values:   newByteRing(cfg.ValueBytes),
		pieces:   newFragments(cfg.MTU, largestBatch(cfg.MTU, cfg.MaxValue)),
		sessions: newSessions(cfg.Sessions, cfg.SessionIdle),
		acceptor: placesOf(cfg.Members.Acceptors),
		peer:     placesOf(cfg.Members.Learners),
		proposer: placesOf(cfg.Members.Proposers),
		clients:  newLeases(),
		replies:  newReplies(cfg.MTU),
		register: newRegistration(cfg.Members, now),
		state:    newTransfer(&cfg),
	}
	l.repair.turn = int(cfg.Seed % uint64(len(cfg.Members.Acceptors)))
	return l
}

// Step handles a burst of messages and delivers what has become deliverable.
func (l *Learner) Step(now Time, in []Message, out *Outbox) {
	l.state.gave = false // the pages that the last step gave are on their way
	for i := range in {
		m := &in[i]
		switch m.Kind {
		case KindAccept:
			l.onAccept(m)
		case KindAccepted:
			l.onAccepted(m)
		case KindStored:
			l.onStored(m)
		case KindHeartbeat:
			l.onHeartbeat(m)
		case KindTrimmed:
			if l.acceptor.of(m.From) >= 0 {
				l.onLow(m.Low)
			}
		case KindOK:
			l.onOK(m)
		case KindHi:
			l.onHi(now, m, out)
		case KindDelete:
			if m.Flags&FlagClient != 0 {
				l.clients.remove(m.From, m.FromIncarnation)
			}
		case KindCheckpointAsk:
			l.onCheckpointAsk(now, m, out)
		case KindCheckpointPage:
			l.onCheckpointPage(now, m, out)
		}
	}
	l.deliver(out)
	if l.announce {
		l.announceLeader(out)
	}
	l.Tick(now, out)
}

// Tick does what time asks for: registration, repair, state.
func (l *Learner) Tick(now Time, out *Outbox) {
	l.clients.expire(now, out)
	l.tickRegistration(now, out)
	if l.state.behind(l) {
		l.tickTransfer(now, out)
		return
	}
	l.state.asked, l.state.stuck = false, false
	l.tickRepair(now, out)
}

// Deadline is when the next Tick is due though nothing arrives.
func (l *Learner) Deadline() Time {
	return min(l.register.next, l.repair.deadline(l), l.state.deadline(l), l.clients.next)
}

// onAccept takes a value from the proposer that owns the ballot. It is not chosen by that.
func (l *Learner) onAccept(m *Message) {
	if l.proposer.of(m.From) < 0 || m.Ballot.Proposer() != m.From {
		return
	}
	l.heed(m)
	l.onLow(m.Low)
	l.hold(m)
}

// slot is the place of an instance that can still be delivered, made anew where it held an earlier instance; nil outside the window.
func (l *Learner) slot(i Instance) *learnerSlot {
	if i < l.next {
		return nil
	}
	if i-l.next > l.mask {
		l.Counters.OutOfWindow++
		return nil
	}
	s := &l.slots[i&l.mask]
	if s.instance != i {
		*s = learnerSlot{instance: i}
	}
	if i >= l.high {
		l.high = i + 1
	}
	return s
}

// onAccepted counts the votes of an acceptor: for each instance, at the ballot at which it accepted. No message makes it look at more
// instances than the window has.
func (l *Learner) onAccepted(m *Message) {
	k := l.acceptor.of(m.From)
	if k < 0 {
		return
	}
	budget := l.mask + 1
	for list := m.Data; len(list) >= acceptedEntrySize; list = list[acceptedEntrySize:] {
		r, ok := acceptedRangeAt(list)
		if !ok {
			return
		}
		end := r.First + Instance(r.Count)
		if limit := l.next + l.mask + 1; end > limit {
			l.Counters.OutOfWindow++
			l.high = max(l.high, min(end, MaxInstance))
			end = limit
		}
		for i := max(r.First, l.next); i < end && budget > 0; i++ {
			budget--
			l.vote(i, k, m.Ballot)
		}
	}
}

func (l *Learner) vote(i Instance, k int, b Ballot) {
	s := l.slot(i)
	if s == nil || s.votes[k] >= b {
		return
	}
	s.votes[k] = b
	// A second quorum, at a higher ballot, chose the same value: it counts where the value of the first cannot be had any more.
	if (s.chosen == 0 || s.ballot != s.chosen) && s.count(b) >= l.quorum {
		s.chosen = b
	}
}

// count is how many acceptors accepted last at a ballot.
func (s *learnerSlot) count(b Ballot) (n int) {
	for k := range s.votes {
		if s.votes[k] == b {
			n++
		}
	}
	return n
}

// onStored takes an acceptor's answer to a Repeat: a vote at the ballot at which it accepted, and the value that it accepted there.
func (l *Learner) onStored(m *Message) {
	k := l.acceptor.of(m.From)
	if k < 0 {
		return
	}
	l.onLow(m.Low)
	if m.Instance >= l.next && m.Instance-l.next <= l.mask {
		l.vote(m.Instance, k, m.Ballot)
		if l.hold(m) {
			l.Counters.Repaired++
			l.repair.weigh(frameCount(KindStored, l.cfg.MTU, int(m.Total)))
		}
	}
}

func (l *Learner) onHeartbeat(m *Message) {
	if l.proposer.of(m.From) < 0 || m.Ballot.Proposer() != m.From {
		return
	}
	l.heed(m)
	l.high = max(l.high, m.High)
	l.onLow(m.Low)
}

// ready tells whether an instance can be delivered once those before it are.
func (l *Learner) ready(i Instance) bool {
	s := &l.slots[i&l.mask]
	return s.instance == i && s.chosen != 0 && s.ballot == s.chosen && i < l.high
}

func (l *Learner) deliver(out *Outbox) {
	for l.ready(l.next) {
		s := &l.slots[l.next&l.mask]
		l.deliverBatch(l.next, l.values.get(s.at, s.length), out)
		l.register.bytes += uint64(s.length)
		s.chosen, s.ballot = 0, 0
		l.next++
		l.Counters.Instances++
	}
	l.replies.flush(l.next, out)
}

// hashPrime spreads the running hash; odd, so that no state is lost.
const hashPrime = 0x9fb21c651e98df25

// addHash takes values that were delivered one after the other, as they lie in their batch, into the running hash.
func (l *Learner) addHash(values []byte) {
	if len(values) > 0 {
		l.hash = (bits.RotateLeft64(l.hash, 29) ^ xxhash.Sum64(values)) * hashPrime
	}
}

// deliverBatch delivers the values of a batch that are fresh. Those in a row are hashed at once: a hash costs as much to begin and to end as a small
// value takes.
func (l *Learner) deliverBatch(i Instance, batch []byte, out *Outbox) {
	if len(batch) == 0 {
		l.Counters.Noops++
		return
	}
	var v Value
	run := batch // what is not hashed begins here
	for len(batch) > 0 {
		rest, ok := NextValue(batch, &v)
		if !ok {
			l.Counters.Unreadable++
			out.event(Event{Kind: EventUnreadableBatch, Instance: i})
			break
		}
		if !l.apply(&v, i, out) {
			l.addHash(run[:len(run)-len(batch)])
			run = rest
		}
		batch = rest
	}
	l.addHash(run[:len(run)-len(batch)])
}

// apply takes a chosen value, and tells whether it was delivered.
func (l *Learner) apply(v *Value, i Instance, out *Outbox) bool {
	if v.Kind != ValueData {
		l.applySession(v, i, out)
		return false
	}
	fresh, status := l.sessions.apply(v, i)
	switch {
	case fresh:
		d := &l.delivery
		d.Instance, d.Position, d.Client, d.Sequence, d.Node, d.Data, d.Generation = i, l.count, v.Client, v.Sequence, v.Node, v.Data, v.Generation
		l.count++
		l.Counters.Delivered++
		if l.cfg.Deliver != nil {
			l.cfg.Deliver(d)
		}
	case status == StatusDelivered || status == StatusOld:
		l.Counters.Duplicates++
	default:
		l.Counters.Rejected++
	}
	if l.clients.of[v.Node].live {
		l.replies.add(v, status, out)
	}
	return fresh
}

// Delivered tells how far the learner is: the delivered watermark, how many values, and the running hash over them in order. Two learners
// with the same watermark have the same of both.
func (l *Learner) Delivered() (watermark Instance, values, hash uint64) {
	return l.next, l.count, l.hash
}
