package paxos

import (
	"bytes"
	"testing"
)

func TestFrameDrops(t *testing.T) {
	good := frameOf(1, 4, Message{Kind: KindTrimmed, Low: 7})
	h, rest, drop := ParseFrame(append(bytes.Clone(good), 0, 0, 0), 7, 1)
	if drop != DropNone || h.Sender != 1 || h.Destination != 4 || len(rest) != 16 {
		t.Fatalf("padded: %v %+v, %d bytes", drop, h, len(rest))
	}
	for n := range good {
		if _, _, drop := ParseFrame(good[:n:n], 7, 1); drop != DropShort {
			t.Errorf("%d bytes: %v", n, drop)
		}
		for bit := range 8 {
			b := bytes.Clone(good)
			b[n] ^= 1 << bit
			if _, _, drop := ParseFrame(b, 7, 1); drop == DropNone {
				t.Errorf("bit %d of byte %d flipped, and the frame was taken", bit, n)
			}
		}
	}
	header := FrameHeader{Cluster: 7, Group: 1, Sender: 1, Destination: 4, Epoch: FirstEpoch}
	for want, change := range map[Drop]func(h *FrameHeader){
		DropCluster:     func(h *FrameHeader) { h.Cluster = 8 },
		DropGroup:       func(h *FrameHeader) { h.Group = 2 },
		DropEpoch:       func(h *FrameHeader) { h.Epoch = 2 },
		DropSender:      func(h *FrameHeader) { h.Sender = MaxNodes },
		DropDestination: func(h *FrameHeader) { h.Destination = 0 },
	} {
		h := header
		change(&h)
		var w FrameWriter
		buf := make([]byte, 100)
		w.Start(buf, h)
		if _, _, drop := ParseFrame(buf[:w.Finish()], 7, 1); drop != want {
			t.Errorf("want %v, got %v", want, drop)
		}
	}
}

func TestMessageDrops(t *testing.T) {
	b := MakeBallot(1, 4)
	for name, m := range map[string]Message{
		"no ballot":                {Kind: KindPrepare},
		"no proposer":              {Kind: KindPrepare, Ballot: 1 << 16},
		"no such proposer":         {Kind: KindAccept, Ballot: MakeBallot(1, MaxNodes)},
		"backwards":                {Kind: KindRepeat, Instance: 2, Until: 1},
		"promise backwards":        {Kind: KindPromise, Ballot: b, Instance: 2, Until: 1},
		"instance past all":        {Kind: KindTrimmed, Low: MaxInstance + 1},
		"preempted by a lower":     {Kind: KindPreempted, Ballot: b, Promised: b},
		"page past the last":       {Kind: KindCheckpointPage, Offset: 1, Total: 1},
		"reason past all":          {Kind: KindRefused, Ballot: b, Reason: numReasons},
		"leader past all":          {Kind: KindBusy, Leader: MaxNodes},
		"generations past all":     {Kind: KindCheckpointPage, Total: 1, High: maxGeneration + 1},
		"status past all":          {Kind: KindSession, Offset: uint32(numStatuses)},
		"sequence past all":        {Kind: KindSession, Sequence: MaxSequence + 2},
		"half an entry":            {Kind: KindAccepted, Ballot: b, Data: make([]byte, 8)},
		"data where there is none": {Kind: KindHi, Data: make([]byte, 8)},
	} {
		e := make([]byte, EncodedSize(&m))
		encode(e, &m)
		if _, drop := Decode(e, &Message{}); drop != DropMessage {
			t.Errorf("%s: %v", name, drop)
		}
	}
	for _, m := range samples() {
		e := make([]byte, EncodedSize(&m))
		encode(e, &m)
		for n := range e {
			if _, drop := Decode(e[:n:n], &Message{}); drop == DropNone {
				t.Errorf("%v: took %d of %d bytes", m.Kind, n, len(e))
			}
		}
		e[offZero] = 1
		if _, drop := Decode(e, &Message{}); drop != DropMessage {
			t.Errorf("%v: took a second encoding", m.Kind)
		}
		e[offZero], e[offKind] = 0, byte(numKinds)
		if _, drop := Decode(e, &Message{}); drop != DropKind {
			t.Errorf("unknown kind: %v", drop)
		}
	}
}

// A value has one form. What else the bits could say is unreadable, not something a little different.
func TestUnreadableValues(t *testing.T) {
	token := make([]byte, TokenSize)
	value := Value{Client: 9, Sequence: 5, Oldest: 3, Generation: 1, Node: 50, Data: token}
	open := Value{Client: 9, Node: 50, Kind: ValueOpen, Data: token}
	closing := Value{Client: 9, Node: 50, Generation: 1, Kind: ValueClose}
	read := func(v *Value) bool {
		b := make([]byte, ValueOverhead+len(v.Data))
		PutValue(b, 0, v)
		var got Value
		rest, ok := NextValue(b, &got)
		return ok && len(rest) == 0
	}
	for _, v := range []Value{value, open, closing} {
		if !read(&v) {
			t.Errorf("%+v is unreadable", v)
		}
	}
	for name, change := range map[string]func(value, open, closing *Value) *Value{
		"a value without a generation": func(v, _, _ *Value) *Value { v.Generation = 0; return v },
		"a value without a sequence":   func(v, _, _ *Value) *Value { v.Sequence, v.Oldest = 0, 0; return v },
		"a value without a node":       func(v, _, _ *Value) *Value { v.Node = 0; return v },
		"an oldest of 0":               func(v, _, _ *Value) *Value { v.Oldest = 0; return v },
		"an oldest too far behind":     func(v, _, _ *Value) *Value { v.Sequence = 5000; return v },
		"a fourth kind":                func(v, _, _ *Value) *Value { v.Kind = numValueKinds; return v },
		"an open with a sequence":      func(_, o, _ *Value) *Value { o.Sequence, o.Oldest = 1, 1; return o },
		"an open with what is behind":  func(_, o, _ *Value) *Value { o.Oldest--; return o },
		"an open with half a token":    func(_, o, _ *Value) *Value { o.Data = o.Data[:4]; return o },
		"an open without a node":       func(_, o, _ *Value) *Value { o.Node = 0; return o },
		"a close of no generation":     func(_, _, c *Value) *Value { c.Generation = 0; return c },
		"a close with data":            func(_, _, c *Value) *Value { c.Data = token; return c },
	} {
		v, o, c := value, open, closing
		if changed := change(&v, &o, &c); read(changed) {
			t.Errorf("%s was read: %+v", name, changed)
		}
	}
}

// A frame that is longer than 16 bits can say is not written past what they can.
func TestFrameWriterStopsAtMaxMTU(t *testing.T) {
	var w FrameWriter
	w.Start(make([]byte, 2*MaxMTU), FrameHeader{Cluster: 7, Group: 1, Sender: 1, Destination: 4, Epoch: FirstEpoch})
	big := Message{Kind: KindSubmit, Data: make([]byte, 1<<16)}
	if w.Append(&big) {
		t.Error("a message of more than 64 KiB was written")
	}
	big.Data = big.Data[:1<<16-1-messageHeaderSize]
	if !w.Append(&big) {
		t.Error("the largest message was not written")
	}
	if _, rest, drop := ParseFrame(w.buf[:w.Finish()], 7, 1); drop != DropNone || len(rest) != 1<<16-1 {
		t.Errorf("%v, %d bytes", drop, len(rest))
	}
}
