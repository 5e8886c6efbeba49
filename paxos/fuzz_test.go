package paxos

import (
	"bytes"
	"testing"
)

// frameOf writes messages into a frame as the bench's cluster and group.
func frameOf(from, to NodeID, messages ...Message) []byte {
	var w FrameWriter
	buf := make([]byte, benchMTU)
	w.Start(buf, FrameHeader{Cluster: 7, Incarnation: 9, Group: 1, Sender: from, Destination: to, Epoch: FirstEpoch})
	for i := range messages {
		if !w.Append(&messages[i]) {
			panic("the frame is full")
		}
	}
	return buf[:w.Finish()]
}

// samples has a message of every kind.
func samples() []Message {
	batch, _ := parseBatch("9:1:x,9:2:y")
	ranges, _ := parseRanges("0+3,5+4294967295,4611686018427387903+4294967295")
	holds, _ := parseHolds("0@1.4=9:1:x;1@2.5=9:2:y")
	state, _ := parseSessions("9:3,8:1")
	reply := make([]byte, replyEntrySize)
	putReplyRange(reply, ReplyRange{Client: 9, First: 1, Count: 2, Generation: 1})
	b := MakeBallot(3, 4)
	return []Message{
		{Kind: KindSubmit, Data: batch},
		{Kind: KindBusy, Reason: ReasonNotLeader, Leader: 4, Client: 9, Sequence: 1, Ballot: b},
		{Kind: KindPrepare, Ballot: b},
		{Kind: KindPromise, Ballot: b, Until: 2, Flags: FlagLast, Data: holds},
		{Kind: KindPreempted, Ballot: b, Promised: b + 1<<16},
		{Kind: KindAccept, Ballot: b, Total: uint32(len(batch)), Data: batch},
		{Kind: KindAccepted, Ballot: b, Data: ranges},
		{Kind: KindHeartbeat, Ballot: b, Low: 1, High: 5},
		{Kind: KindReply, Instance: 3, Data: reply},
		{Kind: KindHi, Instance: 1, Total: 2000},
		{Kind: KindOK, Low: 1, High: 5},
		{Kind: KindDelete},
		{Kind: KindRepeat, Instance: 0, Until: MaxInstance, Flags: FlagValues},
		{Kind: KindStored, Ballot: b, Total: uint32(len(batch)), Data: batch},
		{Kind: KindTrimmed, Low: 1},
		{Kind: KindRefused, Ballot: b, Reason: ReasonStoreFull},
		{Kind: KindCheckpointAsk, Instance: 1},
		{Kind: KindCheckpointPage, Instance: 8, Total: 1, High: 2, Data: state},
		{Kind: KindSession, Client: 9, Sequence: 1, Hash: 7, Offset: uint32(StatusOpened), Total: 1},
	}
}

// fragmentSamples are the pieces of a value, as an Accept, a Stored and a Submit.
func fragmentSamples() (all []Message) {
	batch, _ := parseBatch("9:1:x*900")
	for _, k := range []Kind{KindAccept, KindStored, KindSubmitPart} {
		for at := 0; at < len(batch); at += 384 {
			m := Message{Kind: k, Offset: uint32(at), Total: uint32(len(batch)), Data: batch[at:min(at+384, len(batch))]}
			if m.Kind == KindSubmitPart {
				m.Client, m.Sequence, m.Hash = 9, 1, 1
			} else {
				m.Ballot = MakeBallot(3, 4)
			}
			all = append(all, m)
		}
	}
	return all
}

// Whatever bytes come, nothing panics, nothing is read past the frame, and what is taken has just that one encoding.
func FuzzFrame(f *testing.F) {
	for _, m := range samples() {
		f.Add(frameOf(1, 4, m))
	}
	f.Add(frameOf(1, 4, samples()...))
	for _, m := range fragmentSamples() {
		f.Add(frameOf(1, 4, m))
	}
	for _, nodes := range []NodeSet{setOf(1, 2, 3), setOf(2, 18), setOf(47, 63), setOf(62, 63)} {
		f.Add(manyFrame(4, nodes, samples()...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, rest, drop := ParseFrame(data, 7, 1)
		if drop != DropNone {
			return
		}
		if again := (FrameHeader{}); h.Nodes().Has(0) || again.SetNodes(h.Nodes()) != 0 || again.Destination != h.Destination || again.Also != h.Also {
			t.Fatalf("destination %d, also %b: for nodes %b", h.Destination, h.Also, h.Nodes())
		}
		var w FrameWriter
		buf := make([]byte, len(data))
		w.Start(buf, h)
		for len(rest) > 0 {
			var m Message
			if rest, drop = Decode(rest, &m); drop != DropNone {
				return
			}
			if !w.Append(&m) {
				t.Fatalf("%v of %d bytes has no room where it was", m.Kind, EncodedSize(&m))
			}
		}
		if n := w.Finish(); !bytes.Equal(buf[:n], data[:n]) {
			t.Fatalf("written again it is\n%x, was\n%x", buf[:n], data[:n])
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, m := range samples() {
		b := make([]byte, EncodedSize(&m))
		encode(b, &m)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		rest, drop := Decode(data, &m)
		if drop != DropNone {
			return
		}
		b := make([]byte, EncodedSize(&m))
		encode(b, &m)
		if !bytes.Equal(b, data[:len(data)-len(rest)]) {
			t.Fatalf("written again it is\n%x, was\n%x", b, data)
		}
	})
}

// Any decoded messages, from anyone, in any order: a role neither panics nor loops, and says only what fits a frame. Its steps leave its own
// invariants standing.
func FuzzRoles(f *testing.F) {
	seed := func(messages ...Message) {
		var b []byte
		for i := range messages {
			e := make([]byte, 2+EncodedSize(&messages[i]))
			e[0], e[1] = byte(1+i%7), byte(i)
			encode(e[2:], &messages[i])
			b = append(b, e...)
		}
		f.Add(b)
	}
	seed(samples()...)
	for _, m := range samples() {
		seed(m, m)
	}
	seed(fragmentSamples()...)
	members := Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6, 7}}
	acceptorOut, proposerOut, learnerOut := NewOutbox(), NewOutbox(), NewOutbox()
	f.Fuzz(func(t *testing.T, data []byte) {
		a := NewAcceptor(AcceptorConfig{ID: 1, Members: members, Window: 8, ValueBytes: 4096, MTU: 512, MaxValue: 1000, Aggregate: true})
		p := NewProposer(ProposerConfig{
			ID: 4, Members: members, Window: 8, ValueBytes: 4096, QueueBytes: 4096, InFlight: 8, MTU: 512, MaxValue: 1000, SlowAfter: 5e6, DropSlow: true, Heartbeat: 1e6, Retry: 2e6, LeaderTimeout: 1e7,
			Lease: 1e8,
		}, 0)
		p.GrantRounds(1, 1000)
		l := fuzzLearner(members)
		roles := []struct {
			stepper
			out *Outbox
		}{{a, acceptorOut}, {p, proposerOut}, {l, learnerOut}}
		var in []Message
		for now := Time(0); len(data) > 2; now += 3e6 {
			in = in[:0]
			m := Message{From: NodeID(data[0]%(MaxNodes-1)) + 1, FromIncarnation: Incarnation(data[1] % 4), To: 1}
			rest, drop := Decode(data[2:], &m)
			if drop != DropNone {
				return
			}
			data = rest
			in = append(in, m)
			for _, r := range roles {
				r.out.Reset()
				r.Step(now, in, r.out)
				for i := range r.out.Now {
					if EncodedSize(&r.out.Now[i]) > 512-FrameHeaderSize {
						t.Fatalf("%v of %d bytes", r.out.Now[i].Kind, EncodedSize(&r.out.Now[i]))
					}
				}
			}
			if a.high < a.low || a.high-a.low > a.mask+1 || p.next < p.low || p.unchosen < 0 || p.extra < 0 || p.fetches < 0 {
				t.Fatalf("acceptor low %d, high %d; proposer low %d, next %d, %d unchosen, %d fetches", a.low, a.high, p.low, p.next, p.unchosen, p.fetches)
			}
		}
	})
}

// fuzzLearner has a small table: fuzzing makes many.
func fuzzLearner(members Members) *Learner {
	l := NewLearner(LearnerConfig{
		ID: 6, Members: members, Window: 8, ValueBytes: 4096, MTU: 512, MaxValue: 1000, Lease: 1e8, Retry: 2e6, Repair: 1e6, Sessions: 2, SessionIdle: 2,
	}, 0)
	openSession(l, 9)
	return l
}

func FuzzBatch(f *testing.F) {
	for _, text := range []string{"9:1:x,9:2:y", "9:1024:x", "9.4294967295:5/5:", "9:open:7,9.1:open:8,9.2:close:"} {
		b, _ := parseBatch(text)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Value
		again := make([]byte, 0, len(data))
		for rest := data; len(rest) > 0; {
			var ok bool
			if rest, ok = NextValue(rest, &v); !ok {
				return
			}
			if v.Node == 0 || v.Node >= MaxNodes || v.Kind >= numValueKinds {
				t.Fatalf("took %+v", v)
			}
			if v.Kind == ValueData && (v.Oldest == 0 || v.Oldest > v.Sequence || v.Sequence-v.Oldest >= SessionSpan || v.Generation == 0) {
				t.Fatalf("took %+v", v)
			}
			n := len(again)
			again = append(again, make([]byte, ValueOverhead+len(v.Data))...)
			PutValue(again, n, &v)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("written again it is\n%x, was\n%x", again, data)
		}
	})
}

func FuzzSessions(f *testing.F) {
	b, _ := parseSessions("9:3,8:1,10:7")
	f.Add(b)
	f.Add(append(b, b...))
	const room = 64
	table, other := newSessions(room, 4), newSessions(room, 4)
	saved := make([]byte, room*sessionEntrySize)
	f.Fuzz(func(t *testing.T, data []byte) {
		table.reset()
		table.opened = 9
		if !table.load(data) {
			return
		}
		other.reset()
		other.opened = 9
		if n := table.save(saved); !other.load(saved[:n]) || other.n != table.n || n != len(data)/sessionEntrySize*sessionEntrySize {
			t.Fatalf("%d sessions, saved and loaded %d", table.n, other.n)
		}
		v := Value{Client: 9, Sequence: MaxSequence, Oldest: MaxSequence - SessionSpan + 1, Generation: 1}
		table.apply(&v, MaxInstance)
		v = Value{Client: 10, Kind: ValueOpen, Data: make([]byte, TokenSize)}
		table.change(&v, MaxInstance)
	})
}
