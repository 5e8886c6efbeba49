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
	QueueBytes    int // bytes of values that wait for room; at least two frames
	InFlight      int // most instances proposed and not yet chosen; fewer while answers fail to come
	MTU           int // payload of a frame
	Batch         BatchMode
	Heartbeat     Time // between two heartbeats of a leader
	Retry         Time // after which an unanswered prepare or accept is sent again
	LeaderTimeout Time // silence of the leader after which to try to lead
	Lease         Time // the learners'
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
	phase    phase
	stopped  bool
	ballot   Ballot // ours; meaningless while following
	known    Ballot // the highest seen of anyone
	leader   NodeID // who leads, 0 unknown
	rounds   rounds
	rand     uint64
	low      Instance // everything below is delivered and trimmed
	chosen   Instance // everything below is chosen
	next     Instance // the next to propose in
	unchosen int      // instances below next that are not chosen
	pace     pace
	slots    []proposerSlot
	mask     Instance
	values   byteRing
	queue    queue
	views    [MaxAcceptors]acceptorView
	from     Instance // where phase 1 began
	reported Instance // above the highest instance reported in phase 1
	recover  Instance // recovery has begun for everything below
	fetches  int      // values asked for and not here
	leases   leases
	learner  places
	acceptor places
	peer     places // proposers
	dests    []NodeID
	destsAt  uint64 // leases.changes when dests was made
	nextBeat Time
	beats    uint64
	nextScan Time
	silence  Time     // when to try to lead, while following
	giveUp   Time     // when a recovery that does not get on is begun anew, while leading
	cramped  bool     // a recovered value found no room: win back more when the next step begins
	full     Instance // the low watermark when an acceptor was last reported full, plus 1
	again    Time     // when a gap that a learner tells of may begin phase 1 anew
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
	next        Instance // promise pages cover everything below
	pages       int
	done        bool // the last page is there
	incarnation Incarnation
	amnesia     bool
}

// ProposerCounters count what a proposer did.
type ProposerCounters struct {
	Submitted  uint64 // values taken from clients
	Busy       uint64 // submits refused
	Proposed   uint64 // instances, no-ops included
	Noops      uint64 // instances proposed with nothing, to fill holes
	Chosen     uint64 // instances
	Retries    uint64 // accepts sent again
	Prepares   uint64 // phases 1 begun
	Preempted  uint64 // times that a higher ballot ended a phase
	Fetched    uint64 // values fetched after phase 1
	Refused    uint64 // accepts refused by an acceptor
	Unpromised uint64 // promise pages that could not be used
}

// NewProposer allocates a proposer that follows; nothing is allocated afterwards. It cannot lead until it was granted rounds.
func NewProposer(cfg ProposerConfig, now Time) *Proposer {
	checkWindow(cfg.Window)
	cfg.MTU = min(cfg.MTU, MaxMTU)
	checkValueBytes(cfg.ValueBytes, cfg.MTU)
	checkQueueBytes(cfg.QueueBytes, cfg.MTU)
	p := &Proposer{
		cfg:      cfg,
		quorum:   Quorum(len(cfg.Members.Acceptors)),
		rand:     cfg.Seed,
		slots:    make([]proposerSlot, cfg.Window),
		mask:     Instance(cfg.Window - 1),
		values:   newByteRing(cfg.ValueBytes),
		queue:    newQueue(cfg.QueueBytes),
		leases:   newLeases(),
		pace:     newPace(cfg.InFlight),
		learner:  placesOf(cfg.Members.Learners),
		acceptor: placesOf(cfg.Members.Acceptors),
		peer:     placesOf(cfg.Members.Proposers),
		dests:    make([]NodeID, 0, MaxNodes),
	}
	// A leader that is there is heard within a few heartbeats; with none there is no reason to wait for long.
	p.silence = now + cfg.Heartbeat*Time(4+p.random(8))
	p.aim()
	return p
}

// Step handles a burst of messages; values of one burst share instances.
func (p *Proposer) Step(now Time, in []Message, out *Outbox) {
	p.begin()
	for i := range in {
		m := &in[i]
		switch m.Kind {
		case KindSubmit:
			p.onSubmit(m, out)
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
		case KindRefused:
			p.onRefused(m, out)
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

// begin makes room: no message shows a value of ours any more.
func (p *Proposer) begin() {
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
	p.begin()
	p.tick(now, out)
}

func (p *Proposer) tick(now Time, out *Outbox) {
	p.leases.expire(now, out)
	switch p.phase {
	case following:
		if now >= p.silence {
			p.prepare(now, out)
		}
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
		return p.silence
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
		p.beat(now, out)
	}
	if p.recovering() {
		if now >= p.giveUp {
			// Those who hold a value that was reported do not give it. It may not have been chosen; another quorum will tell.
			p.prepare(now, out)
			return
		}
		p.recoverMore(now, out)
	}
	if now >= p.nextScan {
		p.nextScan = now + p.cfg.Retry/2
		p.resend(now, out)
	}
	p.pump(now, out)
}
