package paxos

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// What one core does per message and per value, without ports and loops. A benchmark that begins anew after a round (rewind) does so instead of
// writing other frames between the runs of the clock: what it measures is the receiver alone.

// cpuClock is the processor time of the process: on a machine that others use too, it says more than the time on the wall.
type cpuClock syscall.Rusage

// startCPU collects first what the benchmark's making left: it would be collected while the clock runs.
func startCPU() cpuClock {
	runtime.GC()
	return readCPU()
}

func readCPU() (c cpuClock) {
	syscall.Getrusage(syscall.RUSAGE_SELF, (*syscall.Rusage)(&c))
	return c
}

func (c cpuClock) report(b *testing.B, n float64) {
	now := readCPU()
	b.ReportMetric(float64(now.Utime.Nano()+now.Stime.Nano()-c.Utime.Nano()-c.Stime.Nano())/n, "cpu-ns/each")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/each")
}

// timed times what is so short that the loop around it would count.
func timed(b *testing.B, f func()) {
	const unrolled = 16
	cpu := startCPU()
	for b.Loop() {
		for range unrolled {
			f()
		}
	}
	cpu.report(b, float64(b.N)*unrolled)
}

// spent keeps the compiler from leaving out what nobody uses.
var spent uint32

const (
	speedValue = 64 // bytes, as in the design's figures
	speedRound = 1024
	speedMTU   = 1500
)

var speedMembers = Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4}, Learners: []NodeID{5}}

// speedAccepts are accepts of a round of instances, each with one value, so many in a frame. The low watermark follows at a distance. A round is so
// short that it stays in the caches, as what a port has just received does.
func speedAccepts(to NodeID, perFrame int) (frames [][]byte) {
	var w FrameWriter
	for i, all := 0, make([]byte, speedRound*168); i < speedRound; {
		w.Start(all, FrameHeader{Cluster: 7, Incarnation: 9, Group: 1, Sender: 4, Destination: to, Epoch: FirstEpoch})
		for range perFrame {
			value := make([]byte, ValueOverhead+speedValue)
			PutValue(value, 0, &Value{Client: 9, Sequence: uint64(i + 1), Oldest: uint64(max(1, i-50)), Generation: 1, Node: 6, Data: make([]byte, speedValue)})
			w.Append(&Message{
				Kind: KindAccept, Ballot: MakeBallot(1, 4), Instance: Instance(i), Low: Instance(max(0, i-100)), Total: uint32(len(value)), Data: value,
			})
			i++
		}
		n := w.Finish()
		frames, all = append(frames, all[:n:n]), all[n:]
	}
	return frames
}

// speedDecode is what a node does with a received frame.
func speedDecode(b *testing.B, in []Message, frame []byte) []Message {
	h, rest, drop := ParseFrame(frame, 7, 1)
	for len(rest) > 0 && drop == DropNone {
		in = in[:len(in)+1]
		m := &in[len(in)-1]
		m.From, m.To, m.FromIncarnation = h.Sender, h.Destination, h.Incarnation
		rest, drop = Decode(rest, m)
	}
	if drop != DropNone {
		b.Fatal(drop)
	}
	return in
}

// speedWriter is what a node does with a role's messages: those to one destination share frames.
type speedWriter struct {
	w    [MaxNodes]FrameWriter
	open []NodeID
	out  [MaxNodes][][]byte // finished frames
	n    [MaxNodes]int      // of them
	one  bool               // message a frame

	submit [1]Message
}

// newSpeedWriter has so many frames to each node: what is timed makes none.
func newSpeedWriter(one bool, frames int) *speedWriter {
	s := &speedWriter{one: one, open: make([]NodeID, 0, 8*frames)}
	for id := range s.out[:7] {
		for range frames {
			s.out[id] = append(s.out[id], make([]byte, speedMTU))
		}
	}
	return s
}

func (s *speedWriter) write(b *testing.B, from NodeID, list []Message) {
	for i := range list {
		m := &list[i]
		w := &s.w[m.To]
		if w.buf != nil && w.Append(m) {
			if s.one {
				s.finish(m.To)
			}
			continue
		}
		if w.buf != nil {
			s.finish(m.To)
		}
		s.open = append(s.open, m.To)
		w.Start(s.out[m.To][s.n[m.To]][:speedMTU], FrameHeader{Cluster: 7, Incarnation: 9, Group: 1, Sender: from, Destination: m.To, Epoch: FirstEpoch})
		if !w.Append(m) {
			b.Fatal("too long")
		}
		if s.one {
			s.finish(m.To)
		}
	}
}

func (s *speedWriter) finish(to NodeID) {
	f := &s.out[to][s.n[to]]
	*f = (*f)[:s.w[to].Finish()]
	s.n[to]++
	s.w[to] = FrameWriter{}
}

func (s *speedWriter) flush() {
	for _, id := range s.open {
		if s.w[id].buf != nil {
			s.finish(id)
		}
	}
	s.open = s.open[:0]
}

// BenchmarkAccept is one Accept through decode, accept and reply, for bursts of so many accepts a step. The acceptor has no learner, so each
// step ends in one frame to the proposer; with one message a frame, in one for each.
func BenchmarkAccept(b *testing.B) {
	for _, c := range []struct{ burst, perFrame int }{{1, 1}, {32, 1}, {32, 8}, {256, 1}, {256, 8}} {
		b.Run(fmt.Sprintf("burst=%d/a-frame=%d", c.burst, c.perFrame), func(b *testing.B) {
			a := NewAcceptor(AcceptorConfig{
				ID: 1, Members: speedMembers, Window: speedRound, ValueBytes: 1 << 17, MTU: speedMTU, Aggregate: c.burst == 1 || c.perFrame > 1,
			})
			fresh, frames, out, w := *a, speedAccepts(1, c.perFrame), NewOutbox(), newSpeedWriter(c.perFrame == 1, c.burst)
			in := make([]Message, c.burst)
			b.ReportAllocs()
			cpu := startCPU()
			n, at := 0, 0
			for b.Loop() {
				if at == len(frames) {
					*a = fresh
					clear(a.slots)
					at = 0
				}
				in = in[:0]
				for len(in) < c.burst {
					in = speedDecode(b, in, frames[at])
					at++
				}
				out.Reset()
				a.Step(Time(n), in, out)
				w.n[4] = 0
				w.write(b, 1, out.After)
				w.flush()
				n += len(in)
			}
			cpu.report(b, float64(n))
			if a.Counters.Accepts != uint64(at*c.perFrame) || a.Counters.Again != 0 || len(out.Now) != 0 || w.n[4] == 0 {
				b.Fatalf("%+v, %d of %d frames: that is not what was to be measured", a.Counters, at, len(frames))
			}
		})
	}
}

// BenchmarkAcceptorStep is the acceptor's part of it.
func BenchmarkAcceptorStep(b *testing.B) {
	for _, burst := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			a := NewAcceptor(AcceptorConfig{ID: 1, Members: speedMembers, Window: speedRound, ValueBytes: 1 << 17, MTU: speedMTU, Aggregate: true})
			fresh, out := *a, NewOutbox()
			all := make([]Message, 0, speedRound)
			for _, f := range speedAccepts(1, 8) {
				all = speedDecode(b, all, f)
			}
			n, at := 0, 0
			cpu := startCPU()
			for b.Loop() {
				if at == len(all) {
					*a = fresh
					clear(a.slots)
					at = 0
				}
				out.Reset()
				a.Step(Time(n), all[at:at+burst], out)
				at += burst
				n += burst
			}
			cpu.report(b, float64(n))
		})
	}
}

// BenchmarkLearner is an accept and the votes of three acceptors until the value is delivered; so many values in each accept.
func BenchmarkLearner(b *testing.B) {
	for _, burst := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			l := NewLearner(LearnerConfig{
				ID: 5, Members: speedMembers, Window: speedRound, ValueBytes: 1 << 17, MTU: speedMTU, Lease: 1e9, Retry: 1e7, Repair: 1e7, Sessions: 16,
				Deliver: func(*Delivery) {},
			}, 0)
			openSession(l, 9)
			out := NewOutbox()
			l.Step(0, []Message{{Kind: KindHi, From: 6, Flags: FlagClient, FromIncarnation: 1, Total: 600_000}}, out)
			fresh, session := *l, *l.sessions.of(9)
			all := make([]Message, 0, speedRound)
			for _, f := range speedAccepts(5, 8) {
				all = speedDecode(b, all, f)
			}
			in, votes := make([]Message, 0, burst+3), make([]byte, acceptedEntrySize)
			n, at := 0, 0
			b.ReportAllocs()
			cpu := startCPU()
			for b.Loop() {
				if at == len(all) {
					*l = fresh
					*l.sessions.of(9) = session
					clear(l.slots)
					at = 0
				}
				in = append(in[:0], all[at:at+burst]...)
				putAcceptedRange(votes, acceptedRange{First: Instance(at), Count: uint32(burst)})
				for _, id := range speedMembers.Acceptors {
					in = append(in, Message{Kind: KindAccepted, From: id, Ballot: MakeBallot(1, 4), Data: votes})
				}
				out.Reset()
				l.Step(1, in, out)
				at += burst
				n += burst
			}
			cpu.report(b, float64(n))
			if l.count != uint64(at) || l.Counters.Delivered != uint64(at) {
				b.Fatalf("%d of %d values delivered", l.count, at)
			}
		})
	}
}

// BenchmarkProposer is values of a client until they stand in accepts to three acceptors and a learner, and the votes for them.
func BenchmarkProposer(b *testing.B) {
	for _, batch := range []BatchMode{BatchInstance, BatchFrame} {
		for _, perSubmit := range []int{1, 16} {
			b.Run(fmt.Sprintf("%v/submit=%d", batch, perSubmit), func(b *testing.B) {
				s := newSteady(b, perSubmit, speedValue, batch)
				for range 3 {
					s.cycle(b, false) // the votes for what is in flight
				}
				s.inbox[4] = s.inbox[4][:0]
				s.fill()
				submit := s.inbox[4][0]
				votes := make([]byte, acceptedEntrySize)
				out, in := s.outs[4], make([]Message, 0, 8)
				n := 0
				b.ReportAllocs()
				cpu := startCPU()
				for b.Loop() {
					s.now++
					out.Reset()
					from := s.proposer.next
					s.proposer.Step(s.now, append(in[:0], submit), out)
					putAcceptedRange(votes, acceptedRange{First: from, Count: uint32(s.proposer.next - from)})
					in = in[:0]
					for _, id := range s.members.Acceptors {
						in = append(in, Message{Kind: KindAccepted, From: id, FromIncarnation: 1, Ballot: s.proposer.ballot, Data: votes})
					}
					if s.proposer.next-s.proposer.low > 1<<11 {
						in = append(in, Message{Kind: KindHi, Flags: FlagUpdate, From: 5, FromIncarnation: 1, Instance: s.proposer.chosen, Total: 600_000})
					}
					out.Reset()
					s.proposer.Step(s.now, in, out)
					n += perSubmit
				}
				cpu.report(b, float64(n))
				if s.proposer.Counters.Retries != 0 || s.proposer.Counters.Busy != 0 {
					b.Fatalf("%+v", s.proposer.Counters)
				}
			})
		}
	}
}

// BenchmarkApply is what the session table does for a value, with so many clients in turn.
func BenchmarkApply(b *testing.B) {
	for _, clients := range []int{1, 64, 4096} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			t := newSessions(MaxSessions, SessionIdle)
			token := make([]byte, TokenSize)
			values := make([]Value, clients)
			for c := range values {
				open := Value{Client: ClientID(c)*0x9e3779b97f4a7c15 + 1, Kind: ValueOpen, Data: token}
				values[c] = Value{Client: open.Client, Generation: t.open(&open, 0).generation}
			}
			at, i := 0, Instance(0)
			timed(b, func() {
				v := &values[at]
				v.Sequence++
				v.Oldest = v.Sequence - min(v.Sequence-1, 500)
				if fresh, status := t.apply(v, i); !fresh {
					b.Fatal(status)
				}
				i++
				if at++; at == len(values) {
					at = 0
				}
			})
		})
	}
}

func BenchmarkCodec(b *testing.B) {
	ballot := MakeBallot(1, 4)
	for _, c := range []struct {
		name string
		m    Message
	}{
		{"accept", Message{Kind: KindAccept, Ballot: ballot, Total: 88, Data: make([]byte, 88)}},
		{"accepted", Message{Kind: KindAccepted, Ballot: ballot, Data: make([]byte, acceptedEntrySize)}},
		{"submit", Message{Kind: KindSubmit, Data: make([]byte, 88)}},
		{"reply", Message{Kind: KindReply, Data: make([]byte, replyEntrySize)}},
	} {
		frame := frameOf(4, 1, c.m)
		b.Run("decode/"+c.name, func(b *testing.B) {
			var m Message
			timed(b, func() {
				if _, drop := Decode(frame[FrameHeaderSize:], &m); drop != DropNone {
					b.Fatal(drop)
				}
			})
		})
		b.Run("append/"+c.name, func(b *testing.B) {
			var w FrameWriter
			w.Start(make([]byte, speedMTU), FrameHeader{})
			timed(b, func() {
				w.n = FrameHeaderSize
				if !w.Append(&c.m) {
					b.Fatal("full")
				}
			})
		})
	}
}

// BenchmarkBatch is writing and reading a value in a batch.
func BenchmarkBatch(b *testing.B) {
	v := Value{Client: 9, Sequence: 700, Oldest: 600, Generation: 1, Node: 6, Data: make([]byte, speedValue)}
	batch := make([]byte, ValueOverhead+speedValue)
	b.Run("put", func(b *testing.B) {
		timed(b, func() { spent += uint32(PutValue(batch, 0, &v)) })
	})
	b.Run("next", func(b *testing.B) {
		var got Value
		timed(b, func() {
			if _, ok := NextValue(batch, &got); !ok {
				b.Fatal("unreadable")
			}
		})
	})
}

// BenchmarkFrame is what each frame costs besides its messages: an Accepted of one range, an Accept of one value, a frame full of values.
func BenchmarkFrame(b *testing.B) {
	h := FrameHeader{Cluster: 7, Incarnation: 9, Group: 1, Sender: 4, Destination: 1, Epoch: FirstEpoch}
	for _, n := range []int{72, 168, speedMTU} {
		frame := frameOf(4, 1, Message{Kind: KindSubmit, Data: make([]byte, min(n, benchMTU)-FrameHeaderSize-messageHeaderSize)})
		b.Run(fmt.Sprintf("parse/%d", n), func(b *testing.B) {
			timed(b, func() {
				if _, _, drop := ParseFrame(frame, 7, 1); drop != DropNone {
					b.Fatal(drop)
				}
			})
		})
		b.Run(fmt.Sprintf("write/%d", n), func(b *testing.B) {
			var w FrameWriter
			timed(b, func() {
				w.Start(frame, h)
				w.n = n
				w.Finish()
			})
		})
		b.Run(fmt.Sprintf("check/%d", n), func(b *testing.B) {
			timed(b, func() { spent += frameCheck(frame) })
		})
	}
}

func BenchmarkDigest(b *testing.B) {
	for _, n := range []int{ValueOverhead + speedValue, speedMTU - AcceptOverhead} {
		value := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			timed(b, func() { spent += uint32(xxhash.Sum64(value)) })
		})
	}
}

// framed is a cycle of a group whose roles talk in frames, as processes do: client, proposer, acceptors, learner and client again.
func (s *steady) framed(b *testing.B, w *speedWriter) {
	const perSubmit = (speedMTU - FrameHeaderSize - messageHeaderSize) / (ValueOverhead + speedValue)
	s.fill()
	for rest := s.submit; len(rest) > 0; {
		n := min(len(rest), perSubmit*(ValueOverhead+speedValue))
		w.submit[0] = Message{Kind: KindSubmit, To: 4, Data: rest[:n]}
		w.write(b, 6, w.submit[:])
		rest = rest[n:]
	}
	w.flush()
	s.now += 20_000
	step := func(id NodeID, r stepper) {
		in := s.inbox[id][:0]
		for _, f := range w.out[id][:w.n[id]] {
			in = speedDecode(b, in, f)
		}
		w.n[id] = 0
		if r == nil {
			return
		}
		out := s.outs[id]
		out.Reset()
		r.Step(s.now, in, out)
		w.write(b, id, out.Now)
		w.write(b, id, out.After)
		w.flush()
	}
	step(4, s.proposer)
	for i, id := range s.members.Acceptors {
		step(id, s.acceptors[i])
	}
	step(5, s.learner)
	step(6, nil)
}

// BenchmarkGroup is a value's way through all roles of a group of three. With frames every message passes the codec, as between processes;
// without, roles hand their messages over, as on one loop.
func BenchmarkGroup(b *testing.B) {
	for _, batch := range []BatchMode{BatchInstance, BatchFrame, BatchOff} {
		for _, frames := range []bool{false, true} {
			b.Run(fmt.Sprintf("%v/frames=%v", batch, frames), func(b *testing.B) {
				s := newSteady(b, 64, speedValue, batch)
				w := newSpeedWriter(batch == BatchOff, 1024)
				clear(s.inbox[4])
				s.inbox[4] = s.inbox[4][:0]
				before := s.learner.count
				b.ReportAllocs()
				cpu := startCPU()
				for b.Loop() {
					if frames {
						s.framed(b, w)
					} else {
						s.cycle(b, true)
					}
				}
				cpu.report(b, float64(s.learner.count-before))
				if s.learner.Counters.Repeats != 0 || s.proposer.Counters.Retries != 0 {
					b.Fatal("something was lost")
				}
			})
		}
	}
}
