package paxos

// The message header: PROTOCOL.md, "Message".
const (
	offKind   = 0 // u8
	offFlags  = 1 // u8
	offSize   = 2 // u16, the whole message
	offLeader = 4 // u16
	offReason = 6 // u8
	offZero   = 7 // u8, 0

	messageHeaderSize = 8
)

// Entry sizes of the lists that messages carry in Data.
const (
	acceptedEntrySize = 16 // first u64, count u32, 0 u32
	promiseEntrySize  = 32 // instance u64, ballot u64, digest u64, length u32, 0 u32
	replyEntrySize    = 24 // client u64, first sequence u64, count u16, status u16, generation u32
)

// format is the fixed part of a kind of message: how many bytes behind the message header, of what its list is made (0: bytes,
// or nothing where data is false), whether there must be a ballot, and whether its fields are
// bound in other ways (plausible).
type format struct {
	fixed  int
	entry  int
	data   bool
	ballot bool
	bound  bool
}

var formats = [numKinds]format{
	KindSubmit:         {fixed: 0, data: true},
	KindBusy:           {fixed: 24},
	KindPrepare:        {fixed: 16, ballot: true},
	KindPromise:        {fixed: 32, bound: true, ballot: true, data: true, entry: promiseEntrySize},
	KindPreempted:      {fixed: 24, bound: true, ballot: true},
	KindAccept:         {fixed: 32, ballot: true, data: true},
	KindAccepted:       {fixed: 8, ballot: true, data: true, entry: acceptedEntrySize},
	KindHeartbeat:      {fixed: 32, ballot: true},
	KindReply:          {fixed: 8, data: true, entry: replyEntrySize},
	KindHi:             {fixed: 16},
	KindOK:             {fixed: 16},
	KindDelete:         {fixed: 0},
	KindRepeat:         {fixed: 16, bound: true},
	KindStored:         {fixed: 32, ballot: true, data: true},
	KindTrimmed:        {fixed: 8},
	KindRefused:        {fixed: 16},
	KindCheckpointAsk:  {fixed: 16},
	KindCheckpointPage: {fixed: 40, bound: true, data: true, entry: sessionEntrySize},
	KindHeard:          {fixed: 16, ballot: true},
	KindProbe:          {fixed: 16},
	KindProbed:         {fixed: 32},
	KindHandover:       {fixed: 8, ballot: true},
	KindSubmitPart:     {fixed: 32, bound: true, data: true},
	KindSession:        {fixed: 32, bound: true},
}

// AcceptOverhead is what a frame with one Accept has besides the value: the bound on a batch is the port's MTU less this.
const AcceptOverhead = FrameHeaderSize + messageHeaderSize + 32

// EncodedSize is the number of bytes of m in a frame.
func EncodedSize(m *Message) int {
	return messageHeaderSize + formats[m.Kind].fixed + len(m.Data)
}

// room is how many bytes of data a message of the kind has in a frame with nothing else.
func room(kind Kind, mtu int) int {
	f := formats[kind]
	n := min(mtu, MaxMTU) - FrameHeaderSize - messageHeaderSize - f.fixed
	if f.entry > 0 {
		n -= n % f.entry
	}
	return n
}

// encode writes m into b, which has just its size. The message header is one number.
func encode(b []byte, m *Message) {
	le.PutUint64(b, uint64(m.Kind)<<(8*offKind)|uint64(m.Flags)<<(8*offFlags)|uint64(uint16(len(b)))<<(8*offSize)|
		uint64(m.Leader)<<(8*offLeader)|uint64(m.Reason)<<(8*offReason))
	fixed := messageHeaderSize + formats[m.Kind].fixed
	if m.Kind == KindAccept { // see Decode
		encodeAccept((*[32]byte)(b[messageHeaderSize:fixed]), m)
	} else {
		encodeFixed(b[messageHeaderSize:fixed], m)
	}
	copy(b[fixed:], m.Data)
}

func encodeAccept(p *[32]byte, m *Message) {
	put3(p[:24], uint64(m.Ballot), uint64(m.Instance), uint64(m.Low))
	putPair(p[24:], m.Offset, m.Total)
}

func encodeFixed(b []byte, m *Message) {
	switch m.Kind {
	case KindAccept, KindStored:
		encodeAccept((*[32]byte)(b), m)
	case KindAccepted:
		le.PutUint64(b, uint64(m.Ballot))
	case KindBusy:
		put3(b, uint64(m.Client), m.Sequence, uint64(m.Ballot))
	case KindPrepare, KindRefused:
		put2(b, uint64(m.Ballot), uint64(m.Instance))
	case KindPromise:
		put3(b, uint64(m.Ballot), uint64(m.Instance), uint64(m.Until))
		le.PutUint64(b[24:], uint64(m.Low))
	case KindPreempted:
		put3(b, uint64(m.Ballot), uint64(m.Promised), uint64(m.Instance))
	case KindHeartbeat:
		put3(b, uint64(m.Ballot), uint64(m.Low), uint64(m.High))
		le.PutUint64(b[24:], m.Sequence)
	case KindReply:
		le.PutUint64(b, uint64(m.Instance))
	case KindHi, KindCheckpointAsk:
		le.PutUint64(b, uint64(m.Instance))
		putPair(b[8:], m.Offset, m.Total)
	case KindOK:
		put2(b, uint64(m.Low), uint64(m.High))
	case KindRepeat:
		put2(b, uint64(m.Instance), uint64(m.Until))
	case KindTrimmed:
		le.PutUint64(b, uint64(m.Low))
	case KindCheckpointPage:
		put3(b, uint64(m.Instance), m.Sequence, m.Hash)
		putPair(b[24:], m.Offset, m.Total)
		le.PutUint64(b[32:], uint64(m.High))
	case KindHeard, KindProbe:
		put2(b, uint64(m.Ballot), m.Sequence)
	case KindProbed:
		put3(b, uint64(m.Ballot), m.Sequence, m.Hash)
		le.PutUint64(b[24:], uint64(m.Promised))
	case KindHandover:
		le.PutUint64(b, uint64(m.Ballot))
	case KindSubmitPart:
		put2(b, uint64(m.Client), m.Sequence)
		putPair(b[16:], m.Offset, m.Total)
		putPair(b[24:], uint32(m.Hash), 0)
	case KindSession:
		put3(b, uint64(m.Client), m.Sequence, m.Hash)
		putPair(b[24:], m.Offset, m.Total)
	}
}

// Numbers in a row are read and written through an array: its length is checked once, and a part of it costs nothing.

func put2(b []byte, x, y uint64) {
	p := (*[16]byte)(b)
	le.PutUint64(p[:8], x)
	le.PutUint64(p[8:], y)
}

func put3(b []byte, x, y, z uint64) {
	p := (*[24]byte)(b)
	le.PutUint64(p[:8], x)
	le.PutUint64(p[8:16], y)
	le.PutUint64(p[16:], z)
}

func putPair(b []byte, x, y uint32) {
	le.PutUint64(b, uint64(x)|uint64(y)<<32)
}

// Decode reads the first message of a frame's messages into m, whose From, To and FromIncarnation it leaves alone, and returns the
// messages behind it. Anything may be in b. The rest of the frame cannot be read once a message is malformed. Each message has one
// encoding: what Decode takes, a FrameWriter writes again to the byte.
func Decode(b []byte, m *Message) (rest []byte, drop Drop) {
	if len(b) < messageHeaderSize {
		return nil, DropMessage
	}
	head := le.Uint64(b)
	kind, size := Kind(head>>(8*offKind)), int(uint16(head>>(8*offSize)))
	if kind == 0 || kind >= numKinds {
		return nil, DropKind
	}
	f := &formats[kind]
	fixed := messageHeaderSize + f.fixed
	if size < fixed || size > len(b) || head>>(8*offZero) != 0 || !f.whole(size-fixed) {
		return nil, DropMessage
	}
	from, to, incarnation := m.From, m.To, m.FromIncarnation
	*m = Message{} // and field by field: a literal would be made elsewhere and copied
	m.Kind, m.Flags, m.Leader, m.Reason = kind, uint8(head>>(8*offFlags)), NodeID(head>>(8*offLeader)), Reason(head>>(8*offReason))
	m.From, m.To, m.FromIncarnation, m.Data = from, to, incarnation, b[fixed:size:size]
	if kind == KindAccept { // most of all messages: it need not be looked up
		decodeAccept((*[32]byte)(b[messageHeaderSize:fixed]), m)
	} else {
		decodeFixed(b[messageHeaderSize:fixed], m)
	}
	if !plausible(m, f) {
		return nil, DropMessage
	}
	return b[size:], DropNone
}

func decodeAccept(p *[32]byte, m *Message) {
	m.Ballot, m.Instance, m.Low = Ballot(le.Uint64(p[:8])), Instance(le.Uint64(p[8:16])), Instance(le.Uint64(p[16:24]))
	m.Offset, m.Total = le.Uint32(p[24:28]), le.Uint32(p[28:])
}

// whole tells whether n bytes of data can be: none, any, or whole entries. Each divisor is a constant, for a division takes longer than all the rest.
func (f *format) whole(n int) bool {
	switch f.entry {
	case 0:
		return f.data || n == 0
	case acceptedEntrySize:
		return uint(n)%acceptedEntrySize == 0
	case replyEntrySize:
		return uint(n)%replyEntrySize == 0
	case promiseEntrySize:
		return uint(n)%promiseEntrySize == 0
	}
	return uint(n)%uint(f.entry) == 0
}

func decodeFixed(b []byte, m *Message) {
	switch m.Kind {
	case KindAccept, KindStored:
		decodeAccept((*[32]byte)(b), m)
	case KindAccepted:
		m.Ballot = Ballot(le.Uint64(b))
	case KindBusy:
		m.Client, m.Sequence, m.Ballot = ClientID(le.Uint64(b)), le.Uint64(b[8:]), Ballot(le.Uint64(b[16:]))
	case KindPrepare, KindRefused:
		m.Ballot, m.Instance = Ballot(le.Uint64(b)), Instance(le.Uint64(b[8:]))
	case KindPromise:
		m.Ballot, m.Instance = Ballot(le.Uint64(b)), Instance(le.Uint64(b[8:]))
		m.Until, m.Low = Instance(le.Uint64(b[16:])), Instance(le.Uint64(b[24:]))
	case KindPreempted:
		m.Ballot, m.Promised, m.Instance = Ballot(le.Uint64(b)), Ballot(le.Uint64(b[8:])), Instance(le.Uint64(b[16:]))
	case KindHeartbeat:
		m.Ballot, m.Low, m.High = Ballot(le.Uint64(b)), Instance(le.Uint64(b[8:])), Instance(le.Uint64(b[16:]))
		m.Sequence = le.Uint64(b[24:])
	case KindReply:
		m.Instance = Instance(le.Uint64(b))
	case KindHi, KindCheckpointAsk:
		m.Instance, m.Offset, m.Total = Instance(le.Uint64(b)), le.Uint32(b[8:]), le.Uint32(b[12:])
	case KindOK:
		m.Low, m.High = Instance(le.Uint64(b)), Instance(le.Uint64(b[8:]))
	case KindRepeat:
		m.Instance, m.Until = Instance(le.Uint64(b)), Instance(le.Uint64(b[8:]))
	case KindTrimmed:
		m.Low = Instance(le.Uint64(b))
	case KindCheckpointPage:
		m.Instance, m.Sequence, m.Hash = Instance(le.Uint64(b)), le.Uint64(b[8:]), le.Uint64(b[16:])
		m.Offset, m.Total, m.High = le.Uint32(b[24:]), le.Uint32(b[28:]), Instance(le.Uint64(b[32:]))
	case KindHeard, KindProbe:
		m.Ballot, m.Sequence = Ballot(le.Uint64(b)), le.Uint64(b[8:])
	case KindProbed:
		m.Ballot, m.Sequence, m.Hash = Ballot(le.Uint64(b)), le.Uint64(b[8:]), le.Uint64(b[16:])
		m.Promised = Ballot(le.Uint64(b[24:]))
	case KindHandover:
		m.Ballot = Ballot(le.Uint64(b))
	case KindSubmitPart:
		m.Client, m.Sequence = ClientID(le.Uint64(b)), le.Uint64(b[8:])
		m.Offset, m.Total, m.Hash = le.Uint32(b[16:]), le.Uint32(b[20:]), le.Uint64(b[24:])
	case KindSession:
		m.Client, m.Sequence, m.Hash = ClientID(le.Uint64(b)), le.Uint64(b[8:]), le.Uint64(b[16:])
		m.Offset, m.Total = le.Uint32(b[24:]), le.Uint32(b[28:])
	}
}

// plausible holds what every receiver may then rely on: instances far from overflow, ranges that do not run backwards, reasons and
// leaders that can be looked up, ballots where there must be one.
func plausible(m *Message, f *format) bool {
	// MaxInstance is one less than a power of two: what is or-ed is above it if one of them is.
	if m.Instance|m.Until|m.Low|m.High > MaxInstance || m.Reason >= numReasons || m.Leader >= MaxNodes {
		return false
	}
	if f.ballot && (m.Ballot.Round() == 0 || m.Ballot.Proposer() == 0 || m.Ballot.Proposer() >= MaxNodes) {
		return false
	}
	return !f.bound || bound(m)
}

func bound(m *Message) bool {
	switch m.Kind {
	case KindPromise, KindRepeat:
		return m.Until >= m.Instance
	case KindPreempted:
		return m.Promised > m.Ballot
	case KindCheckpointPage:
		return m.Offset < m.Total && m.High <= maxGeneration
	case KindSubmitPart:
		return m.Hash <= maxGeneration && m.Sequence <= MaxSequence
	case KindSession:
		return m.Offset < uint32(numStatuses) && m.Sequence <= MaxSequence+1
	}
	return true
}
