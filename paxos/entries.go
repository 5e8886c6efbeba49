package paxos

// A batch is what an instance holds and what a Submit carries: values back to back, each behind a header of valueHeaderSize bytes.
// An empty batch is a no-op. PROTOCOL.md, "Batch".
const (
	offValueClient   = 0  // u64
	offValueSequence = 8  // u64
	offValueBehind   = 16 // u16: sequence less the client's oldest unanswered one
	offValueNode     = 18 // u16: the client's node, which gets the reply
	offValueLength   = 20 // u32

	valueHeaderSize = 24
)

// ValueOverhead is what a value costs in a batch besides its bytes.
const ValueOverhead = valueHeaderSize

// MaxValue is the largest value on a network whose frames have mtu bytes of payload.
func MaxValue(mtu int) int { return min(mtu, MaxMTU) - AcceptOverhead - ValueOverhead }

// Value is one value of a batch.
type Value struct {
	Client   ClientID
	Sequence uint64 // from 1
	Oldest   uint64 // the client's oldest unanswered sequence when it sent this
	Node     NodeID // of the client
	Data     []byte // a view
}

// PutValue writes v behind the n bytes that b holds already and returns the new length. It panics where b has no room: the caller knows
// len(v.Data)+ValueOverhead, and v.Sequence-v.Oldest < SessionSpan.
func PutValue(b []byte, n int, v *Value) int {
	e := b[n : n+valueHeaderSize+len(v.Data)]
	le.PutUint64(e[offValueClient:], uint64(v.Client))
	le.PutUint64(e[offValueSequence:], v.Sequence)
	le.PutUint16(e[offValueBehind:], uint16(v.Sequence-v.Oldest))
	le.PutUint16(e[offValueNode:], uint16(v.Node))
	le.PutUint32(e[offValueLength:], uint32(len(v.Data)))
	copy(e[valueHeaderSize:], v.Data)
	return n + len(e)
}

// NextValue reads the first value of a batch and returns the batch behind it. ok is false at a value that cannot be; the rest is unreadable.
func NextValue(batch []byte, v *Value) (rest []byte, ok bool) {
	if len(batch) < valueHeaderSize {
		return nil, false
	}
	length := int(le.Uint32(batch[offValueLength:]))
	if length > len(batch)-valueHeaderSize {
		return nil, false
	}
	v.Client = ClientID(le.Uint64(batch[offValueClient:]))
	v.Sequence = le.Uint64(batch[offValueSequence:])
	behind := uint64(le.Uint16(batch[offValueBehind:]))
	v.Oldest = v.Sequence - behind
	v.Node = NodeID(le.Uint16(batch[offValueNode:]))
	v.Data = batch[valueHeaderSize : valueHeaderSize+length : valueHeaderSize+length]
	if behind >= SessionSpan || v.Oldest == 0 || behind >= v.Sequence || v.Sequence > MaxSequence || v.Node == 0 || v.Node >= MaxNodes {
		return nil, false
	}
	return batch[valueHeaderSize+length:], true
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

// ReplyRange is an entry of a Reply: sequences [First, First+Count) of a client.
type ReplyRange struct {
	Client ClientID
	First  uint64
	Count  uint32
	Status Status
}

func putReplyRange(b []byte, r ReplyRange) {
	put2(b, uint64(r.Client), r.First)
	putPair(b[16:], r.Count, uint32(r.Status))
}

// NextReplyRange reads the first entry of a Reply's Data and returns the data behind it; ok is false at the end or at an entry that cannot be.
func NextReplyRange(data []byte) (r ReplyRange, rest []byte, ok bool) {
	if len(data) < replyEntrySize {
		return r, nil, false
	}
	r = ReplyRange{
		Client: ClientID(le.Uint64(data)), First: le.Uint64(data[8:]), Count: le.Uint32(data[16:]), Status: Status(le.Uint32(data[20:])),
	}
	if r.Count > SessionSpan || r.First > MaxSequence || r.Status >= numStatuses {
		return r, nil, false
	}
	return r, data[replyEntrySize:], true
}
