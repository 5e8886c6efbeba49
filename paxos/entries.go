package paxos

// A batch is what an instance holds and what a Submit carries: values back to back, each behind a header of valueHeaderSize bytes.
// An empty batch is a no-op. PROTOCOL.md, "Batch".
const (
	offValueClient     = 0  // u64
	offValueSequence   = 8  // u48
	offValueBehind     = 14 // u16: sequence less the client's oldest unanswered one
	offValueGeneration = 16 // u32: of the client's session
	offValueLength     = 20 // u24
	offValueNode       = 23 // u8: the client's node, which gets the reply; the kind in its upper two bits

	valueHeaderSize = 24
	maxValueLength  = 1<<24 - 1
)

// ValueOverhead is what a value costs in a batch besides its bytes.
const ValueOverhead = valueHeaderSize

// MaxValue is the largest value on a network whose frames have mtu bytes of payload.
func MaxValue(mtu int) int { return min(mtu, MaxMTU) - AcceptOverhead - ValueOverhead }

// ValueKind tells a value for the application from what a client says of its session. All of them go through the log.
type ValueKind uint8

// The kinds of values.
const (
	ValueData     ValueKind = iota // for the application
	ValueOpen                      // opens, resumes or renews the session: the data is a token, the generation the one that is expected there, 0 none
	ValueClose                     // ends the session
	numValueKinds                  // the fourth that two bits could say is unreadable
)

// TokenSize is the length of a ValueOpen's data: 64 random bits that name the attempt.
const TokenSize = 8

// Value is one value of a batch.
type Value struct {
	Client     ClientID
	Sequence   uint64 // from 1; 0 unless ValueData
	Oldest     uint64 // the client's oldest unanswered sequence when it sent this; 0 unless ValueData
	Generation uint32 // of the client's session, from 1
	Kind       ValueKind
	Node       NodeID // of the client
	Data       []byte // a view
}

// PutValue writes v behind the n bytes that b holds already and returns the new length. It panics where b has no room: the caller knows
// len(v.Data)+ValueOverhead, at most 16 MiB, and v.Sequence-v.Oldest < SessionSpan.
func PutValue(b []byte, n int, v *Value) int {
	e := b[n : n+valueHeaderSize+len(v.Data)]
	le.PutUint64(e[offValueClient:], uint64(v.Client))
	le.PutUint64(e[offValueSequence:], v.Sequence|(v.Sequence-v.Oldest)<<48)
	le.PutUint32(e[offValueGeneration:], v.Generation)
	le.PutUint32(e[offValueLength:], uint32(len(v.Data))|uint32(v.Node)<<24|uint32(v.Kind)<<30)
	copy(e[valueHeaderSize:], v.Data)
	return n + len(e)
}

// valueSize is the length in a batch of the value that begins there, which was read before.
func valueSize(batch []byte) int {
	return valueHeaderSize + int(le.Uint32(batch[offValueLength:])&maxValueLength)
}

// NextValue reads the first value of a batch and returns the batch behind it. ok is false at a value that cannot be; the rest is unreadable.
func NextValue(batch []byte, v *Value) (rest []byte, ok bool) {
	if len(batch) < valueHeaderSize {
		return nil, false
	}
	size := valueSize(batch)
	if size > len(batch) {
		return nil, false
	}
	word, place := le.Uint64(batch[offValueSequence:]), batch[offValueNode]
	behind := word >> 48
	v.Client = ClientID(le.Uint64(batch[offValueClient:]))
	v.Sequence = word & MaxSequence
	v.Oldest = v.Sequence - behind
	v.Generation = le.Uint32(batch[offValueGeneration:])
	v.Kind, v.Node = ValueKind(place>>6), NodeID(place&(MaxNodes-1))
	v.Data = batch[valueHeaderSize:size:size]
	if v.Kind != ValueData {
		return batch[size:], v.aboutSession(word)
	}
	if behind >= SessionSpan || behind >= v.Sequence || v.Generation == 0 || v.Node == 0 {
		return nil, false
	}
	return batch[size:], true
}

// aboutSession holds an open or a close to its one form: no sequence, a token or nothing, and to close a generation.
func (v *Value) aboutSession(word uint64) bool {
	if word != 0 || v.Node == 0 {
		return false
	}
	return v.Kind == ValueOpen && len(v.Data) == TokenSize || v.Kind == ValueClose && len(v.Data) == 0 && v.Generation != 0
}

// acceptedRange is an entry of an Accepted: instances [First, First+Count).
type acceptedRange struct {
	First Instance
	Count uint32
}

func putAcceptedRange(b []byte, r acceptedRange) {
	le.PutUint64(b, uint64(r.First))
	putPair(b[8:], r.Count, 0)
}

func acceptedRangeAt(b []byte) (r acceptedRange, ok bool) {
	r = acceptedRange{First: Instance(le.Uint64(b)), Count: le.Uint32(b[8:])}
	return r, r.First <= MaxInstance
}

// CountAccepted is how many instances the list of an Accepted names. It is for lists of our own making: nothing is checked.
func CountAccepted(list []byte) (n int) {
	for ; len(list) >= acceptedEntrySize; list = list[acceptedEntrySize:] {
		n += int(le.Uint32(list[8:]))
	}
	return n
}

// promised is an entry of a Promise: what the acceptor accepted last in an instance. ("Paxos Made Simple", section 2.2: the
// highest-numbered proposal less than n that it has accepted.)
type promised struct {
	Instance Instance
	Ballot   Ballot
	Digest   uint64
	Length   uint32
}

func putPromised(b []byte, p promised) {
	put3(b, uint64(p.Instance), uint64(p.Ballot), p.Digest)
	putPair(b[24:], p.Length, 0)
}

func promisedAt(b []byte) promised {
	return promised{
		Instance: Instance(le.Uint64(b)), Ballot: Ballot(le.Uint64(b[8:])), Digest: le.Uint64(b[16:]), Length: le.Uint32(b[24:]),
	}
}

// ReplyRange is an entry of a Reply: sequences [First, First+Count) of a client, sent in one generation of its session.
type ReplyRange struct {
	Client     ClientID
	First      uint64
	Count      uint16
	Status     Status
	Generation uint32
}

func putReplyRange(b []byte, r ReplyRange) {
	put2(b, uint64(r.Client), r.First)
	putPair(b[16:], uint32(r.Count)|uint32(r.Status)<<16, r.Generation)
}

// NextReplyRange reads the first entry of a Reply's Data and returns the data behind it; ok is false at the end or at an entry that cannot be.
func NextReplyRange(data []byte) (r ReplyRange, rest []byte, ok bool) {
	if len(data) < replyEntrySize {
		return r, nil, false
	}
	r = ReplyRange{
		Client: ClientID(le.Uint64(data)), First: le.Uint64(data[8:]), Count: le.Uint16(data[16:]), Status: Status(le.Uint16(data[18:])),
		Generation: le.Uint32(data[20:]),
	}
	if r.Count > SessionSpan || r.First > MaxSequence || r.Status >= numStatuses {
		return r, nil, false
	}
	return r, data[replyEntrySize:], true
}
