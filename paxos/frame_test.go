package paxos

import (
	"bytes"
	"reflect"
	"testing"
)

// setOf is the set of these nodes.
func setOf(ids ...NodeID) (s NodeSet) {
	for _, id := range ids {
		s |= SetOf(id)
	}
	return s
}

func TestNodeSet(t *testing.T) {
	s := setOf(1, 5, MaxNodes-1)
	for id := NodeID(0); id < 2*MaxNodes; id++ {
		if want := id == 1 || id == 5 || id == MaxNodes-1; s.Has(id) != want {
			t.Errorf("node %d is in: %v, want %v", id, s.Has(id), want)
		}
	}
	if s.Least() != 1 || s.Len() != 3 || setOf(MaxNodes-1).Least() != MaxNodes-1 {
		t.Errorf("least %d, %d nodes, least of the last %d", s.Least(), s.Len(), setOf(MaxNodes-1).Least())
	}
	for _, id := range []NodeID{MaxNodes, 0xFFFF} {
		if SetOf(id) != 0 {
			t.Errorf("node %d is out of range, and its set is %b", id, SetOf(id))
		}
	}
	if NodeSet(0).Len() != 0 || NodeSet(0).Has(0) {
		t.Error("the empty set has nodes")
	}
}

// A header names the least node and any of the sixteen above it; what lies higher is left for another frame.
func TestHeaderNames(t *testing.T) {
	for _, c := range []struct {
		set, rest NodeSet
		also      uint16
	}{
		{set: setOf(1)},
		{set: setOf(MaxNodes - 1)},
		{set: setOf(1, 2), also: 1},
		{set: setOf(1, 17), also: 1 << 15},
		{set: setOf(1, 18), rest: setOf(18)},
		{set: setOf(46, 47, 62, 63), also: 1 | 1<<15, rest: setOf(63)},
		{set: setOf(62, 63), also: 1},
		{set: setOf(2, 3, 18, 19, 20, 40, 63), also: 1 | 1<<15, rest: setOf(19, 20, 40, 63)},
		{set: ^NodeSet(1), also: 0xFFFF, rest: ^NodeSet(1) &^ (1<<18 - 1)},
	} {
		var h FrameHeader
		rest := h.SetNodes(c.set)
		if rest != c.rest || h.Destination != c.set.Least() || h.Also != c.also {
			t.Errorf("%b: destination %d, also %b, rest %b; want also %b, rest %b", c.set, h.Destination, h.Also, rest, c.also, c.rest)
		}
		if got := h.Nodes(); got != c.set&^c.rest {
			t.Errorf("%b: the header names %b", c.set, got)
		}
	}
	// Any set, however wide, is told in a few headers, each node in one of them.
	for set, frames := ^NodeSet(1), 0; set != 0; frames++ {
		var h FrameHeader
		rest := h.SetNodes(set)
		if rest&h.Nodes() != 0 || rest|h.Nodes() != set || frames == 4 {
			t.Fatalf("of %b one header names %b and leaves %b", set, h.Nodes(), rest)
		}
		set = rest
	}
}

// manyFrame is a frame for several nodes.
func manyFrame(from NodeID, nodes NodeSet, messages ...Message) []byte {
	h := FrameHeader{Cluster: 7, Incarnation: 9, Group: 1, Sender: from, Epoch: FirstEpoch}
	h.SetNodes(nodes)
	var w FrameWriter
	buf := make([]byte, benchMTU)
	w.Start(buf, h)
	for i := range messages {
		if !w.Append(&messages[i]) {
			panic("the frame is full")
		}
	}
	return buf[:w.Finish()]
}

// What a frame says of its nodes is read back as it was written. One that names a node that cannot be is dropped.
func TestFrameForSeveralNodes(t *testing.T) {
	for _, set := range []NodeSet{setOf(1, 2, 3), setOf(1, 17), setOf(5, 9, 21), setOf(62, 63), setOf(47, 63), setOf(63)} {
		h, rest, drop := ParseFrame(manyFrame(4, set, Message{Kind: KindTrimmed, Low: 7}), 7, 1)
		if drop != DropNone || h.Nodes() != set || h.Sender != 4 || len(rest) != 16 {
			t.Errorf("%b: %v, for %b from %d, %d bytes", set, drop, h.Nodes(), h.Sender, len(rest))
		}
	}
	for destination := NodeID(0); destination <= MaxNodes; destination++ {
		for bit := range alsoBits {
			var w FrameWriter
			buf := make([]byte, FrameHeaderSize)
			w.Start(buf, FrameHeader{Cluster: 7, Group: 1, Sender: 1, Destination: destination, Also: 1 << bit, Epoch: FirstEpoch})
			want := DropNone
			if destination == 0 || int(destination)+1+bit >= MaxNodes {
				want = DropDestination
			}
			if _, _, drop := ParseFrame(buf[:w.Finish()], 7, 1); drop != want {
				t.Errorf("for node %d and bit %d: %v, want %v", destination, bit, drop, want)
			}
		}
	}
}

// A frame that is readdressed is sound, says the same, and names just the nodes that it was given.
func TestReaddress(t *testing.T) {
	all := setOf(2, 3, 9, 18)
	for _, nodes := range []NodeSet{setOf(2), setOf(18), setOf(3, 9), all} {
		was := manyFrame(4, all, Message{Kind: KindTrimmed, Low: 7})
		is := bytes.Clone(was)
		Readdress(is, nodes)
		h, rest, drop := ParseFrame(is, 7, 1)
		if drop != DropNone || h.Nodes() != nodes || h.Sender != 4 || h.Incarnation != 9 || !bytes.Equal(rest, was[FrameHeaderSize:]) {
			t.Errorf("for %b: %v, for %b from %d, messages %x, were %x", nodes, drop, h.Nodes(), h.Sender, rest, was[FrameHeaderSize:])
		}
		if nodes == all && !bytes.Equal(is, was) {
			t.Error("the same nodes make another frame")
		}
	}
}

// Whatever a message says, a message that differs in one field of it says something else; only whom it is from and to does not matter. A field that is
// added and forgotten in SaysTheSame shows here: two nodes would be told the same where they are not.
func TestSaysTheSame(t *testing.T) {
	data := []byte{1, 2, 3}
	whole := func() Message {
		m := Message{Data: data}
		fields := reflect.ValueOf(&m).Elem()
		for i := range fields.NumField() {
			if f := fields.Field(i); f.CanUint() {
				f.SetUint(uint64(i) + 3)
			}
		}
		return m
	}
	m, o := whole(), whole()
	if !m.SaysTheSame(&o) || !m.SaysTheSame(&m) || !new(Message).SaysTheSame(new(Message)) {
		t.Fatal("a message does not say what it says")
	}
	addresses := map[string]bool{"From": true, "To": true, "FromIncarnation": true}
	kind := reflect.TypeFor[Message]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		o := whole()
		switch f := reflect.ValueOf(&o).Elem().Field(i); {
		case f.CanUint():
			f.SetUint(f.Uint() + 1)
		case name == "Data":
			o.Data = data[:2]
		default:
			t.Fatalf("this test does not know how to change %s", name)
		}
		if same := m.SaysTheSame(&o); same != addresses[name] || o.SaysTheSame(&m) != same {
			t.Errorf("another %s: says the same %v, want %v", name, same, addresses[name])
		}
	}
}

// Data are the same memory or none: equal bytes elsewhere are not looked at.
func TestSaysTheSameData(t *testing.T) {
	data := []byte{1, 2, 3, 1, 2, 3}
	for _, c := range []struct {
		name string
		a, b []byte
		same bool
	}{
		{"the same memory", data[:3], data[:3], true},
		{"the same memory, with more behind it", data[:3], data[:3:3], true},
		{"equal bytes elsewhere", data[:3], data[3:], false},
		{"less of it", data[:3], data[:2], false},
		{"none", nil, nil, true},
		{"none, of some memory", nil, data[:0], true},
		{"none and some", nil, data[:1], false},
	} {
		a, b := Message{Data: c.a}, Message{Data: c.b}
		if a.SaysTheSame(&b) != c.same || b.SaysTheSame(&a) != c.same {
			t.Errorf("%s: %v", c.name, !c.same)
		}
	}
}
