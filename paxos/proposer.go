package paxos

// BatchMode says how many values share an instance and how many messages a frame.
type BatchMode uint8

// The modes.
const (
	BatchInstance BatchMode = iota // values of a burst share an instance, up to the MTU
	BatchFrame                     // one value an instance, several messages a frame
	BatchOff                       // one value an instance, one message a frame: as the Kernel Paxos paper has it
)

var batchNames = [...]string{"instance", "frame", "off"}

func (b BatchMode) String() string { return batchNames[b] }

// ProposerConfig is what a proposer is made of. Times are nanoseconds.
type ProposerConfig struct {
	ID            NodeID
	Members       Members
	Window        int // instances above the low watermark, a power of two, the acceptors' at most
	ValueBytes    int // bytes kept for values in flight, a power of two, at least four frames
	QueueBytes    int // bytes of values that wait for room; at least two frames, and two of the largest values
	InFlight      int // most frames of values, to each acceptor, proposed and not yet chosen; fewer while answers fail to come
	MTU           int // payload of a frame
	MaxValue      int // largest value, MaxValueBytes at most; 0: what fits a frame
	Batch         BatchMode
	Heartbeat     Time // between two heartbeats of a leader
	Retry         Time // after which an unanswered prepare or accept is sent again
	LeaderTimeout Time // silence of the leader after which acceptors are asked; a leader stops after four times that without a quorum
	Lease         Time // the learners'
	SlowAfter     Time // after which people are told of learners that hold the leader back
	DropSlow      bool // and after which such learners no longer do, until they have caught up
	Seed          uint64
}

type phase uint8

const (
	following phase = iota
	preparing
	leading
)

// Proposer is one proposer of a group. One at a time leads: the one with the highest ballot.
//
// It proposes in an instance only after every page of promises of one quorum is there, and then what the pages bind it to: the value
// reported with the highest ballot, or, where none of them reports one, a no-op below the highest reported instance and values of clients
// above. ("Paxos Made Simple", section 2.2, P2c; section 3 for the suffix of instances.)
//
// It sends one value per (ballot, instance), ever: the value's bytes stay in the ring until it is chosen, and a retry sends those.
type Proposer struct {
	cfg      ProposerConfig
	quorum   int
	room     int // of one accept, for its batch
	phase    phase
	stopped  bool
	ballot   Ballot // ours; meaningless while following
	known    Ballot // the highest seen of anyone
	highest  Ballot // the highest by which anyone led, as far as we know
	leader   NodeID // who leads, 0 unknown
	heir     NodeID // who preempted us and so probably leads soon; clients are told. 0 unknown
	rounds   rounds
	rand     uint64
	low      Instance // everything below is delivered and trimmed
	chosen   Instance // everything below is chosen
	next     Instance // the next to propose in
	unchosen int      // instances below next that are not chosen
	extra    int      // frames that their values take to an acceptor, less one each
	pace     pace
	slots    []proposerSlot
	mask     Instance
	values   byteRing
	queue    queue
	views    [MaxAcceptors]acceptorView
	from     Instance // where phase 1 began
	reported Instance // above the highest instance reported in phase 1
	recover  Instance // recovery has begun for everything below
	fetches  int      // frames of values asked for and not here
	submits  fragments
	recent   recent
	stored   fragments
	leases   leases
	learner  places
	acceptor places
	peer     places // proposers
	dests    []NodeID
	destsAt  uint64 // leases.changes when dests was made
	stepped  Time   // of the last step
	gap      Time   // from the one before to this one
	nextBeat Time
	nextScan Time
	silence  Time // when to ask the acceptors, while following
	heardAt  Time // of the last heartbeat of a leader
	grace    bool // the leader got some, because our own loop was away
	asking   asking
	failures int                // elections lost in a row
	why      reason             // of the election under way
	heardOf  [MaxAcceptors]Time // when the newest heartbeat left that the acceptor answered, while leading
	progress uint64             // what was chosen or refused for want of room, when that changed last
	handover handover
	handed   Ballot // of the leader whose request we took over by
	history  history

	progressAt Time
	pressed    uint64 // accepts refused for want of room

	cramped  bool     // a recovered value found no room: win back more when the next step begins
	giveUp   Time     // when an election, or a recovery, that does not get on is given up
	full     Instance // the low watermark when an acceptor was last reported full, plus 1
	again    Time     // when a gap that a learner tells of may begin phase 1 anew
	slow     slowness
	Counters ProposerCounters
}

type slotState uint8

const (
	slotFree     slotState = iota
	slotReported           // phase 1 reported a value; it is not here yet
	slotProposed           // the value is in the ring and was sent
	slotChosen
)

type proposerSlot struct {
	instance Instance
	ballot   Ballot // ours: what the slot says holds under this ballot alone
	state    slotState
	votes    uint8  // a bit for each acceptor that accepted
	holders  uint8  // a bit for each acceptor that reported the value at found
	again    bool   // it was sent more than once
	length   uint32 // of the value
	found    Ballot // the highest ballot reported
	digest   uint64 // of the value reported
	at       uint64 // of the value in the ring
	sent     Time
}

// acceptorView is what a proposer knows of an acceptor.
type acceptorView struct {
	promise     promise
	incarnation Incarnation
	amnesia     bool
}

// ProposerCounters count what a proposer did.
type ProposerCounters struct {
	Submitted        uint64 // values taken from clients
	Busy             uint64 // submits refused
	Proposed         uint64 // instances, no-ops included
	Noops            uint64 // instances proposed with nothing, to fill holes
	Chosen           uint64 // instances
	Retries          uint64 // accepts sent again
	Copies           uint64 // fragments of submitted values dropped: the value was under way
	Prepares         uint64 // phases 1 begun
	Preempted        uint64 // times that a higher ballot ended a phase
	Resigned         uint64 // times that it stopped leading without one: cut off, away or stuck
	Asked            uint64 // times that it began to ask the acceptors whether they hear a leader
	Undisturbed      uint64 // times that they heard one that it did not hear, so that it left it alone
	HandedOver       uint64 // handovers done
	HandoversFailed  uint64 // handovers that were given up: the other one did not take over
	HandoversIgnored uint64 // requests to take over that were not of the leader that it follows
	Fetched          uint64 // values fetched after phase 1
	Refused          uint64 // accepts refused by an acceptor
	Unpromised       uint64 // promise pages that could not be used
	HeldBack         uint64 // times that people were told of a learner that holds the cluster back
	LetGo            uint64 // learners that were too slow and do not count for the low watermark any more
	TakenBack        uint64 // such learners that have caught up
}

// NewProposer allocates a proposer that follows; nothing is allocated afterwards. It cannot lead until it was granted rounds.
func NewProposer(cfg ProposerConfig, now Time) *Proposer {
	checkWindow(cfg.Window)
	cfg.MTU = min(cfg.MTU, MaxMTU)
	largest := largestBatch(cfg.MTU, cfg.MaxValue)
	checkValueBytes(cfg.ValueBytes, cfg.MTU, cfg.MaxValue)
	checkQueueBytes(cfg.QueueBytes, max(cfg.MTU, largest))
	p := &Proposer{
		cfg:      cfg,
		quorum:   Quorum(len(cfg.Members.Acceptors)),
		room:     room(KindAccept, cfg.MTU),
		rand:     cfg.Seed,
		slots:    make([]proposerSlot, cfg.Window),
		mask:     Instance(cfg.Window - 1),
		values:   newByteRing(cfg.ValueBytes),
		queue:    newQueue(cfg.QueueBytes),
		submits:  newFragments(cfg.MTU, largest),
		recent:   newRecent(),
		stored:   newFragments(cfg.MTU, largest),
		leases:   newLeases(),
		pace:     newPace(cfg.InFlight),
		learner:  placesOf(cfg.Members.Learners),
		acceptor: placesOf(cfg.Members.Acceptors),
		peer:     placesOf(cfg.Members.Proposers),
		dests:    make([]NodeID, 0, MaxNodes),
	}
	// A leader that is there is heard within a few heartbeats; with none there is no reason to wait for long.
	p.silence = now + cfg.Heartbeat*Time(4+p.random(8))
	p.stepped, p.heardAt = now, now
	p.history.start(now)
	p.aim()
	return p
}

// Step handles a burst of messages; values of one burst share instances.
func (p *Proposer) Step(now Time, in []Message, out *Outbox) {
	p.begin(now)
	for i := range in {
		m := &in[i]
		switch m.Kind {
		case KindSubmit:
			p.onSubmit(m.From, m.Data, out)
		case KindSubmitPart:
			p.onSubmitPart(now, m, out)
		case KindAccepted:
			p.onAccepted(now, m, out)
		case KindPromise:
			p.onPromise(now, m, out)
		case KindStored:
			p.onStored(now, m, out)
		case KindPreempted:
			p.onPreempted(now, m, out)
		case KindHeartbeat:
			p.onHeartbeat(now, m, out)
		case KindHeard:
			p.onHeard(now, m, out)
		case KindProbed:
			p.onProbed(now, m, out)
		case KindHandover:
			p.onHandover(now, m, out)
		case KindRefused:
			p.onRefused(now, m, out)
		case KindTrimmed:
			if p.acceptor.of(m.From) >= 0 {
				p.setLow(m.Low)
			}
		case KindHi:
			p.onHi(now, m, out)
		case KindDelete:
			if m.Flags&FlagClient == 0 {
				p.leases.remove(m.From, m.FromIncarnation)
			}
		}
	}
	p.tick(now, out)
}

// begin makes room: no message shows a value of ours any more. It also notes for how long our loop did not step.
func (p *Proposer) begin(now Time) {
	p.gap, p.stepped = now-p.stepped, now
	if p.values.crowded() || p.cramped {
		p.reclaim()
	}
	if p.cramped {
		p.cramped = false
		p.compact()
	}
	p.values.settle()
}

// Tick does what time asks for: heartbeats, retries, taking the lead. Then it proposes what there is room for.
func (p *Proposer) Tick(now Time, out *Outbox) {
	p.begin(now)
	p.tick(now, out)
}

func (p *Proposer) tick(now Time, out *Outbox) {
	p.leases.expire(now, out)
	switch p.phase {
	case following:
		p.tickFollowing(now, out)
	case preparing:
		p.tickPreparing(now, out)
	case leading:
		p.tickLeading(now, out)
	}
}

// Deadline is when the next Tick is due though nothing arrives.
func (p *Proposer) Deadline() Time {
	switch p.phase {
	case following:
		if p.asking.on {
			return p.asking.next
		}
		return min(p.silence, p.stepped+p.cfg.LeaderTimeout/4) // often enough to tell when our own loop was away
	case preparing:
		return p.nextScan
	}
	return min(p.nextBeat, p.nextScan)
}

func (p *Proposer) tickLeading(now Time, out *Outbox) {
	if low, ok := p.leases.low(); ok {
		p.setLow(low)
	}
	if now >= p.nextBeat {
		if !p.stillLeads(now, out) {
			return
		}
		p.beat(now, out)
	}
	if p.recovering() {
		if now >= p.giveUp {
			// Those who hold a value that was reported do not give it. It may not have been chosen; another quorum will tell.
			p.prepare(now, reason{cause: CauseRecovery, lasted: recoveryRetries * p.cfg.Retry}, out)
			return
		}
		p.recoverMore(now, out)
	}
	if now >= p.nextScan {
		p.nextScan = now + p.cfg.Retry/2
		p.resend(now, out)
	}
	p.pump(now, out)
	p.watchSlow(now, out)
}
