package paxos

// Kind is what a message says. PROTOCOL.md has the table of them all.
type Kind uint8

// The kinds, in the order in which a value meets them; then those of registration, repair and state.
const (
	KindSubmit         Kind = 1 + iota // client → proposer: values to be chosen
	KindBusy                           // proposer → client: values refused, and why; who leads
	KindPrepare                        // proposer → acceptor: 1a
	KindPromise                        // acceptor → proposer: 1b, one page
	KindPreempted                      // acceptor → proposer: a higher ballot was promised
	KindAccept                         // proposer → acceptor and learner: 2a
	KindAccepted                       // acceptor → learner and proposer: 2b, ranges of instances
	KindHeartbeat                      // leader → acceptor, proposer, learner: who leads, how far
	KindReply                          // learner → client: values delivered
	KindHi                             // learner → acceptor and proposer, client → learner: (re)register
	KindOK                             // the answer to Hi
	KindDelete                         // learner → acceptor and proposer, client → learner: unregister
	KindRepeat                         // learner or proposer → acceptor: tell again what you accepted
	KindStored                         // acceptor → learner or proposer: the value that it accepted
	KindTrimmed                        // acceptor → whoever asked: that lies below my low watermark
	KindRefused                        // acceptor → proposer or learner: I do not vote, and why
	KindCheckpointAsk                  // learner → learner: give me a page of your state
	KindCheckpointPage                 // learner → learner: a page of it
	KindHeard                          // acceptor → leader: the answer to a heartbeat
	KindProbe                          // proposer → acceptor: do you hear a leader?
	KindProbed                         // acceptor → proposer: the answer
	KindHandover                       // leader → proposer: take over
	KindSubmitPart                     // client → proposer: a fragment of a value
	KindSession                        // learner → client: what became of an open or a close of a session
	numKinds
)

var kindNames = [numKinds]string{
	"?", "submit", "busy", "prepare", "promise", "preempted", "accept", "accepted", "heartbeat", "reply", "hi", "ok", "delete",
	"repeat", "stored", "trimmed", "refused", "checkpoint-ask", "checkpoint-page", "heard", "probe", "probed", "handover", "submit-part",
	"session",
}

func (k Kind) String() string {
	if k >= numKinds {
		return "?"
	}
	return kindNames[k]
}

// Message is any message of the protocol, decoded. Which fields mean something depends on the kind (PROTOCOL.md); the others are zero.
//
// Data is a view: of the received frame, or of memory of the role that sent it. It is valid during the Step that gets the message.
type Message struct {
	Kind            Kind
	Flags           uint8
	Reason          Reason // Busy, Refused: why
	From            NodeID
	To              NodeID
	Leader          NodeID      // Busy, Reply, OK of a learner: who leads as far as the sender knows, 0 unknown
	FromIncarnation Incarnation // of From

	Ballot   Ballot   // the ballot that it is about
	Promised Ballot   // Preempted: the higher one. Probed: the acceptor's
	Instance Instance // the instance, or the first of a range
	Until    Instance // the end of the range, exclusive
	Low      Instance // the sender's low watermark
	High     Instance // Heartbeat: the next instance to be proposed. CheckpointPage: generations given to sessions so far
	Client   ClientID // Busy, SubmitPart, Session: whose value
	Sequence uint64   // Busy: the first value refused. SubmitPart: the value. CheckpointPage: values delivered. Heartbeat … Probed: the asker's clock. Session: where to go on
	Hash     uint64   // CheckpointPage: running hash of what was delivered. Probed: nanoseconds since a leader was heard. Session: the open's token
	Offset   uint32   // of a fragment. CheckpointAsk, CheckpointPage: number of the page. Session: Status
	Total    uint32   // length of the whole value. CheckpointPage: number of pages. Session: the present generation
	Data     []byte
}

// SaysTheSame tells whether o is m to another node, perhaps. Data are the same if they are the same memory.
func (m *Message) SaysTheSame(o *Message) bool {
	return m.Instance == o.Instance && m.Kind == o.Kind && m.Offset == o.Offset && len(m.Data) == len(o.Data) &&
		(len(m.Data) == 0 || &m.Data[0] == &o.Data[0]) && m.Ballot == o.Ballot && m.Total == o.Total && m.Low == o.Low && m.High == o.High &&
		m.Until == o.Until && m.Promised == o.Promised && m.Sequence == o.Sequence && m.Client == o.Client && m.Hash == o.Hash &&
		m.Flags == o.Flags && m.Reason == o.Reason && m.Leader == o.Leader
}

// Flags of messages.
const (
	FlagLast   uint8 = 1 << iota // Promise: nothing is accepted at or above Until
	FlagValues                   // Repeat: answer with the values, not only with what was accepted
	FlagUpdate                   // Hi: the registration stands, this renews it; no answer is wanted
	FlagClient                   // Hi, OK, Delete: of a client with a learner, not of a learner with an acceptor or proposer
	FlagGap                      // Hi: Instance cannot be learned from the acceptors that answer; if it is chosen, propose it again by a higher ballot
)

// Reason says why something was refused.
type Reason uint8

// The reasons.
const (
	ReasonNone        Reason = iota
	ReasonNotLeader          // Busy: another proposer leads; Leader says which
	ReasonNoLeader           // Busy: no proposer leads yet
	ReasonWindowFull         // Busy: too many instances or bytes in flight
	ReasonStopped            // Busy: more than a minority of acceptors are gone for good
	ReasonMalformed          // Busy: the values cannot be read, or one is over the limit
	ReasonAmnesia            // Refused: restarted without its promises, so it must not vote
	ReasonStoreFull          // Refused: no room for the value
	ReasonConflict           // Refused: another value at an equal ballot
	ReasonOutOfWindow        // Refused: the instance lies beyond the window
	ReasonTooLarge           // Refused: larger than the values that this cluster is set to take
	numReasons
)

var reasonNames = [numReasons]string{
	"none", "not the leader", "no leader yet", "window full", "cluster stopped", "malformed values", "restarted without its promises",
	"store full", "another value at an equal ballot", "instance beyond the window", "value too large for this cluster",
}

func (r Reason) String() string {
	if r >= numReasons {
		return "?"
	}
	return reasonNames[r]
}

// Status is what became of a value, in a Reply, or of an open or a close, in a Session.
type Status uint16

// The statuses. A retry of a delivered value is answered with StatusDelivered again.
const (
	StatusDelivered   Status = iota
	StatusNoRoom             // open: the table is full of sessions in use
	StatusUnknown            // no session: it was never opened, was closed, or gave way to others
	StatusOutOfWindow        // the sequence is SessionSpan or more past the oldest unanswered one
	StatusOpened             // open: the session is the client's, in the generation that the answer names
	StatusTaken              // open: the session is there, and neither this client's nor in the generation that it expected
	StatusFenced             // the session was resumed since, in a later generation
	StatusOld                // the sequence lies below what the client itself said was answered
	StatusClosed             // close: the session is gone
	numStatuses
)

var statusNames = [numStatuses]string{
	"delivered", "no room for another session", "unknown session", "sequence out of window", "opened", "client id in use by another client",
	"another client resumed this session", "sequence jumped back", "closed",
}

func (s Status) String() string {
	if s >= numStatuses {
		return "?"
	}
	return statusNames[s]
}
