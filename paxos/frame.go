package paxos

import (
	"encoding/binary"
	"math/bits"

	"wirepaxos/paxos/crc32c"
)

// The frame header: PROTOCOL.md, "Frame". Little-endian, offsets fixed.
const (
	offMagic       = 0  // u16
	offVersion     = 2  // u8
	offFrameKind   = 3  // u8
	offCheck       = 4  // u32, CRC32C of everything behind it, seeded with the four bytes before it
	offCluster     = 8  // u64
	offIncarnation = 16 // u64
	offGroup       = 24 // u16
	offSender      = 26 // u8
	offDestination = 27 // u8
	offAlso        = 28 // u16, bit k: for node destination+1+k as well
	offLength      = 30 // u16, bytes behind the header
	offEpoch       = 32 // u32
	offReserved    = 36 // u32, 0: the upper half of a keyed MAC later, which this version cannot check

	// FrameHeaderSize is the number of bytes before the first message of a frame.
	FrameHeaderSize = 40

	// MaxMTU is the longest frame: lengths have 16 bits.
	MaxMTU = FrameHeaderSize + 1<<16 - 1

	// MinMTU is the least payload of a frame that the protocol runs on: it has room for a session in a page of a checkpoint.
	MinMTU = 256

	// Magic opens every frame: "WP" as it lies on the wire.
	Magic uint16 = 'W' | 'P'<<8

	// Version of the wire format. A frame of another version is dropped.
	Version uint8 = 1

	// FrameMessages is the only kind of frame so far: a header and messages back to back.
	FrameMessages uint8 = 1
)

var le = binary.LittleEndian

// FrameHeader is a frame's header but for magic, version, kind, length and check, which are derived.
type FrameHeader struct {
	Cluster     Cluster
	Incarnation Incarnation
	Group       Group
	Sender      NodeID
	Destination NodeID
	Also        uint16 // bit k: for node Destination+1+k as well
	Epoch       Epoch
}

// SetNodes makes the frame one for the nodes of set, and returns those that it cannot name: all more than alsoBits above the least.
func (h *FrameHeader) SetNodes(set NodeSet) (rest NodeSet) {
	h.Destination = set.Least()
	above := set >> (h.Destination + 1)
	h.Also = uint16(above)
	return above >> alsoBits << alsoBits << (h.Destination + 1)
}

// Nodes are all nodes that the frame is for.
func (h *FrameHeader) Nodes() NodeSet {
	return SetOf(h.Destination) | NodeSet(h.Also)<<(h.Destination+1)
}

// alsoBits is how many nodes above the first a frame can name.
const alsoBits = 16

// Drop says why bytes from the wire were dropped. DropNone is none.
type Drop uint8

// The reasons, in the order in which a frame is checked.
const (
	DropNone        Drop = iota
	DropShort            // shorter than a header, or than its length says
	DropMagic            // not ours
	DropVersion          // another version of the wire format
	DropFrameKind        // unknown kind of frame
	DropCluster          // another cluster
	DropGroup            // another group
	DropCheck            // checksum wrong
	DropEpoch            // another membership
	DropSender           // sender out of range or not in the cluster file
	DropDestination      // destination out of range, or not here
	DropKind             // unknown kind of message
	DropMessage          // message whose length or fields cannot be
	DropRole             // message for a role that the destination has not, or from one that must not send it
	NumDrops
)

var dropNames = [NumDrops]string{
	"none", "short", "magic", "version", "frame-kind", "cluster", "group", "check", "epoch", "sender", "destination", "kind", "message",
	"role",
}

func (d Drop) String() string {
	if d >= NumDrops {
		return "?"
	}
	return dropNames[d]
}

// ParseFrame checks a received frame against the cluster and group that the caller belongs to and returns its header and its messages.
// Anything may be in data; nothing is read past it. Bytes behind the length in the header are link-layer padding and ignored.
func ParseFrame(data []byte, cluster Cluster, group Group) (h FrameHeader, messages []byte, drop Drop) {
	if len(data) < FrameHeaderSize {
		return h, nil, DropShort
	}
	switch {
	case le.Uint16(data[offMagic:]) != Magic:
		return h, nil, DropMagic
	case data[offVersion] != Version:
		return h, nil, DropVersion
	case data[offFrameKind] != FrameMessages:
		return h, nil, DropFrameKind
	case Cluster(le.Uint64(data[offCluster:])) != cluster:
		return h, nil, DropCluster
	case Group(le.Uint16(data[offGroup:])) != group:
		return h, nil, DropGroup
	}
	end := FrameHeaderSize + int(le.Uint16(data[offLength:]))
	if end > len(data) {
		return h, nil, DropShort
	}
	if le.Uint32(data[offReserved:]) != 0 || frameCheck(data[:end]) != le.Uint32(data[offCheck:]) {
		return h, nil, DropCheck
	}
	h = FrameHeader{
		Cluster:     cluster,
		Incarnation: Incarnation(le.Uint64(data[offIncarnation:])),
		Group:       group,
		Sender:      NodeID(data[offSender]),
		Destination: NodeID(data[offDestination]),
		Also:        le.Uint16(data[offAlso:]),
		Epoch:       Epoch(le.Uint32(data[offEpoch:])),
	}
	switch {
	case h.Epoch != FirstEpoch:
		return h, nil, DropEpoch
	case h.Sender == 0 || h.Sender >= MaxNodes:
		return h, nil, DropSender
	case h.Destination == 0 || h.Destination >= MaxNodes || h.Also != 0 && int(h.Destination)+bits.Len16(h.Also) >= MaxNodes:
		return h, nil, DropDestination
	}
	return h, data[FrameHeaderSize:end], DropNone
}

// Readdress makes a sound frame, whole and without padding, one for some of its nodes only.
func Readdress(frame []byte, nodes NodeSet) {
	var h FrameHeader
	h.SetNodes(nodes)
	frame[offDestination] = uint8(h.Destination)
	le.PutUint16(frame[offAlso:], h.Also)
	le.PutUint32(frame[offCheck:], frameCheck(frame))
}

// frameCheck is the checksum of a whole frame. Its seed covers the bytes before the check itself.
func frameCheck(frame []byte) uint32 {
	return crc32c.Update(le.Uint32(frame), frame[offCluster:])
}

// FrameWriter writes one frame in place: Start, Append until it is false, Finish. The zero value is ready for Start.
type FrameWriter struct {
	buf      []byte
	n        int
	Messages int // appended since Start
}

// Start begins a frame in buf, whose length is the room that there is: at least FrameHeaderSize; what lies past MaxMTU is not used.
func (w *FrameWriter) Start(buf []byte, h FrameHeader) {
	buf = buf[:min(len(buf), MaxMTU)]
	_ = buf[FrameHeaderSize-1]
	le.PutUint16(buf[offMagic:], Magic)
	buf[offVersion] = Version
	buf[offFrameKind] = FrameMessages
	le.PutUint64(buf[offCluster:], uint64(h.Cluster))
	le.PutUint64(buf[offIncarnation:], uint64(h.Incarnation))
	le.PutUint16(buf[offGroup:], uint16(h.Group))
	buf[offSender], buf[offDestination] = uint8(h.Sender), uint8(h.Destination)
	le.PutUint16(buf[offAlso:], h.Also)
	le.PutUint32(buf[offEpoch:], uint32(h.Epoch))
	le.PutUint32(buf[offReserved:], 0)
	w.buf, w.n, w.Messages = buf, FrameHeaderSize, 0
}

// Append writes m behind the others. It is false, and nothing is written, if there is no room.
func (w *FrameWriter) Append(m *Message) bool {
	size := EncodedSize(m)
	if size > len(w.buf)-w.n {
		return false
	}
	encode(w.buf[w.n:w.n+size], m)
	w.n += size
	w.Messages++
	return true
}

// Finish completes the header and returns the frame's length.
func (w *FrameWriter) Finish() int {
	le.PutUint16(w.buf[offLength:], uint16(w.n-FrameHeaderSize))
	le.PutUint32(w.buf[offCheck:], frameCheck(w.buf[:w.n]))
	return w.n
}
