package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
)

// trace is everything that happens, in order: as a running hash, always, and as lines for people, where somebody reads them.
type trace struct {
	w     *world
	out   io.Writer // nil: nobody reads
	hash  uint64
	lines uint64
}

func (t *trace) word(x uint64) { t.hash = (bits.RotateLeft64(t.hash, 29) ^ x) * 0x9FB21C651E98DF25 }

// frame hears the network. A frame's check stands for all of it but its first bytes, unless it was damaged.
func (t *trace) frame(e simwire.TapEvent) {
	t.word(uint64(e.Now))
	t.word(uint64(e.From)<<32 | uint64(e.To)<<16 | uint64(e.Kind))
	if e.Kind == simwire.Corrupted || len(e.Data) < paxos.FrameHeaderSize {
		t.word(xxhash.Sum64(e.Data))
	} else {
		t.word(binary.LittleEndian.Uint64(e.Data))
		t.word(binary.LittleEndian.Uint64(e.Data[24:]))
	}
	if t.out != nil {
		t.line("%s > %s %v%s", t.w.net.Name(e.From), t.w.net.Name(e.To), e.Kind, t.messages(e.Data))
	}
}

// event is something that happens on a machine.
func (t *trace) event(m *machine, format string, args ...any) {
	t.word(uint64(t.w.now))
	t.word(uint64(m.index))
	t.word(xxhash.Sum64String(format))
	if t.out != nil {
		t.line("%s %s", m.name, fmt.Sprintf(format, args...))
	}
}

// text is something that happens to no one machine.
func (t *trace) text(format string, args ...any) {
	t.word(uint64(t.w.now))
	t.word(xxhash.Sum64String(format))
	if t.out != nil {
		t.line(format, args...)
	}
}

func (t *trace) delivered(m *machine, id paxos.NodeID, d *paxos.Delivery) {
	t.word(uint64(t.w.now))
	t.word(uint64(id)<<48 | d.Position)
	t.word(uint64(d.Client) ^ d.Sequence)
	if t.out != nil {
		t.line("%s learner %d delivers position %d: value %d of client %x, in instance %d", m.name, id, d.Position, d.Sequence, uint64(d.Client), d.Instance)
	}
}

// line writes a line that begins with the time in milliseconds.
func (t *trace) line(format string, args ...any) {
	t.lines++
	fmt.Fprintf(t.out, "%6d.%06d %s\n", t.w.now/ms, t.w.now%ms, fmt.Sprintf(format, args...))
}

// messages are what a frame carries.
func (t *trace) messages(data []byte) (text string) {
	f := t.w.plan.file
	h, rest, drop := paxos.ParseFrame(data, paxos.Cluster(f.Cluster), paxos.Group(f.Group))
	if drop != paxos.DropNone {
		return fmt.Sprintf(" %d bytes, damaged: %v", len(data), drop)
	}
	text = fmt.Sprintf(" %d to", h.Sender)
	for nodes := h.Nodes(); nodes != 0; nodes &= nodes - 1 {
		text += fmt.Sprintf(" %d", nodes.Least())
	}
	text += ":"
	for len(rest) > 0 {
		var m paxos.Message
		if rest, drop = paxos.Decode(rest, &m); drop != paxos.DropNone {
			return text + fmt.Sprintf(" unreadable: %v", drop)
		}
		text += " [" + Describe(&m) + "]"
	}
	return text
}

// Describe is a message as text: its kind and what is not zero.
func Describe(m *paxos.Message) string {
	text := m.Kind.String()
	field := func(name string, value any, has bool) {
		if has {
			text += fmt.Sprintf(" %s=%v", name, value)
		}
	}
	field("b", m.Ballot, m.Ballot != 0)
	field("promised", m.Promised, m.Promised != 0)
	field("i", m.Instance, m.Instance != 0)
	field("until", m.Until, m.Until != 0)
	field("low", m.Low, m.Low != 0)
	field("high", m.High, m.High != 0)
	field("flags", m.Flags, m.Flags != 0)
	field("reason", m.Reason, m.Reason != 0)
	field("leader", m.Leader, m.Leader != 0)
	field("client", fmt.Sprintf("%x", uint64(m.Client)), m.Client != 0)
	field("sequence", m.Sequence, m.Sequence != 0)
	field("hash", fmt.Sprintf("%x", m.Hash), m.Hash != 0)
	field("offset", m.Offset, m.Offset != 0)
	field("total", m.Total, m.Total != 0)
	field("data", fmt.Sprintf("%d:%04x", len(m.Data), xxhash.Sum64(m.Data)&0xffff), len(m.Data) > 0)
	return text
}
