package paxos

import (
	"fmt"
	"math/rand"
	"testing"
)

// bench is a group of roles on a lossy, reordering, duplicating network of its own, in virtual time. One seed decides all. Every message
// passes the codec, and the checker sees every message that is sent, lost or not, and every delivery.
type bench struct {
	t         testing.TB
	seed      int64
	rng       *rand.Rand
	now       Time
	members   Members
	acceptors map[NodeID]*Acceptor
	proposers map[NodeID]*Proposer
	learners  map[NodeID]*Learner
	outs      map[NodeID]*Outbox
	inc       map[NodeID]Incarnation
	wire      []packet
	loss, dup float64
	cut       [MaxNodes]bool // partitioned off: talks to nobody
	paused    [MaxNodes]Time // its loop does not run before; what it is sent waits
	drops     func(from NodeID, m *Message) bool
	replied   map[uint64]bool
	opened    map[ClientID]uint32 // the generation of each session of the client
	rounds    uint64
	cfg       benchConfig
	events    []string
	check     *checker
	parts     *Outbox // of the client
}

type packet struct {
	at    Time
	to    NodeID
	frame []byte
}

type benchConfig struct {
	acceptors, proposers, learners int
	window                         int
	valueBytes                     int // 0: 1 MiB
	inFlight                       int // 0: 64
	maxValue                       int // 0: what fits a frame; otherwise every fifth value is so large, or nearly
	dropSlow                       bool
	batch                          BatchMode
}

const (
	benchMTU    = 1500
	benchClient = NodeID(50)
	benchStep   = 200_000 // ns
	benchDelay  = 1e6     // ns, at most
)

func newBench(t testing.TB, seed int64, c benchConfig) *bench {
	if c.valueBytes == 0 {
		c.valueBytes = 1 << 20
	}
	if c.inFlight == 0 {
		c.inFlight = 64
	}
	b := &bench{
		t: t, seed: seed, rng: rand.New(rand.NewSource(seed)), cfg: c, acceptors: map[NodeID]*Acceptor{}, proposers: map[NodeID]*Proposer{},
		learners: map[NodeID]*Learner{}, outs: map[NodeID]*Outbox{}, inc: map[NodeID]Incarnation{}, replied: map[uint64]bool{}, rounds: 1,
		opened: map[ClientID]uint32{},
	}
	id := NodeID(1)
	for _, r := range []struct {
		n    int
		list *[]NodeID
	}{{c.acceptors, &b.members.Acceptors}, {c.proposers, &b.members.Proposers}, {c.learners, &b.members.Learners}} {
		for range r.n {
			*r.list = append(*r.list, id)
			b.outs[id] = outboxes.take()
			id++
		}
	}
	t.Cleanup(func() {
		for _, o := range b.outs {
			outboxes.give(o)
		}
	})
	b.check = newChecker(b)
	if c.maxValue > 0 {
		b.parts = outboxes.take()
		t.Cleanup(func() { outboxes.give(b.parts) })
	}
	for _, id := range b.members.Acceptors {
		b.startAcceptor(id, false)
	}
	for _, id := range b.members.Proposers {
		b.startProposer(id)
	}
	for _, id := range b.members.Learners {
		b.startLearner(id)
	}
	b.inc[benchClient] = 1
	return b
}

// outboxes are used again by the next seed: they are large.
var outboxes pool[Outbox]

type pool[T any] struct{ free []*T }

func (p *pool[T]) take() *T {
	if n := len(p.free); n > 0 {
		o := p.free[n-1]
		p.free = p.free[:n-1]
		return o
	}
	return any(NewOutbox()).(*T)
}

func (p *pool[T]) give(o *T) { p.free = append(p.free, o) }

func (b *bench) fatalf(format string, args ...any) {
	b.t.Helper()
	if len(b.events) > 40 {
		b.events = b.events[len(b.events)-40:]
	}
	b.t.Fatalf("seed %d, %.1f ms, %+v: %s\nlast events:\n%v", b.seed, float64(b.now)/1e6, b.cfg, fmt.Sprintf(format, args...), b.events)
}

func (b *bench) startAcceptor(id NodeID, amnesia bool) {
	b.inc[id] = Incarnation(b.rng.Uint64())
	b.acceptors[id] = NewAcceptor(AcceptorConfig{
		ID: id, Members: b.members, Window: b.cfg.window, ValueBytes: b.cfg.valueBytes, MTU: benchMTU, MaxValue: b.cfg.maxValue,
		Aggregate: b.cfg.batch != BatchOff, Amnesia: amnesia,
	})
}

func (b *bench) startProposer(id NodeID) {
	b.inc[id] = Incarnation(b.rng.Uint64())
	b.proposers[id] = NewProposer(ProposerConfig{
		ID: id, Members: b.members, Window: b.cfg.window, ValueBytes: min(b.cfg.valueBytes, 1<<17), QueueBytes: 1 << 15, InFlight: b.cfg.inFlight,
		MTU: benchMTU, MaxValue: b.cfg.maxValue, Batch: b.cfg.batch, Heartbeat: 1e6, Retry: 4e6, LeaderTimeout: 50e6, Lease: 100e6, SlowAfter: 20e6,
		DropSlow: b.cfg.dropSlow, Seed: b.rng.Uint64(),
	}, b.now)
}

func (b *bench) startLearner(id NodeID) {
	b.inc[id] = Incarnation(b.rng.Uint64())
	b.learners[id] = NewLearner(LearnerConfig{
		ID: id, Members: b.members, Window: b.cfg.window, ValueBytes: b.cfg.valueBytes, MTU: benchMTU, MaxValue: b.cfg.maxValue, Lease: 100e6, Retry: 4e6, Repair: 2e6,
		Seed: b.rng.Uint64(), Deliver: func(d *Delivery) { b.check.delivered(id, d) },
	}, b.now)
}

// run lets virtual time pass until done, at most limit.
func (b *bench) run(limit Time, done func() bool) bool {
	inboxes := map[NodeID][]Message{}
	for end := b.now + limit; b.now < end; b.now += benchStep {
		if done() {
			return true
		}
		for id := range inboxes {
			inboxes[id] = inboxes[id][:0]
		}
		rest := b.wire[:0]
		for _, p := range b.wire {
			if p.at > b.now || b.paused[p.to] > b.now {
				rest = append(rest, p)
			} else if !b.cut[p.to] {
				inboxes[p.to] = b.decode(inboxes[p.to], p)
			}
		}
		b.wire = rest
		for _, id := range b.members.Acceptors {
			b.step(id, b.acceptors[id], inboxes[id])
		}
		for _, id := range b.members.Proposers {
			p := b.proposers[id]
			if least, want := p.WantRounds(); want {
				b.rounds = max(b.rounds, least)
				p.GrantRounds(b.rounds, b.rounds+4)
				b.rounds += 4
			}
			b.step(id, p, inboxes[id])
		}
		for _, id := range b.members.Learners {
			b.step(id, b.learners[id], inboxes[id])
		}
		b.client(inboxes[benchClient])
	}
	return done()
}

type stepper interface {
	Step(now Time, in []Message, out *Outbox)
}

func (b *bench) step(id NodeID, s stepper, in []Message) {
	if b.paused[id] > b.now {
		return
	}
	out := b.outs[id]
	out.Reset()
	s.Step(b.now, in, out)
	for _, list := range [][]Message{out.Now, out.After} {
		for i := range list {
			b.check.sent(id, &list[i])
			b.send(id, &list[i])
		}
	}
	for _, e := range out.Events {
		b.events = append(b.events, fmt.Sprintf("%.1fms node %d %v\n", float64(b.now)/1e6, id, e))
	}
}

func (b *bench) send(from NodeID, m *Message) {
	if b.drops != nil && b.drops(from, m) {
		return
	}
	var w FrameWriter
	buf := make([]byte, FrameHeaderSize+EncodedSize(m))
	if len(buf) > benchMTU {
		b.fatalf("%v of %d bytes does not fit a frame", m.Kind, EncodedSize(m))
	}
	w.Start(buf, FrameHeader{Cluster: 7, Incarnation: b.inc[from], Group: 1, Sender: from, Destination: m.To, Epoch: FirstEpoch})
	w.Append(m)
	w.Finish()
	for n := 1; n > 0; n-- {
		if b.rng.Float64() < b.dup {
			n++
		}
		if b.rng.Float64() >= b.loss && !b.cut[from] {
			b.wire = append(b.wire, packet{at: b.now + Time(b.rng.Intn(benchDelay)), to: m.To, frame: buf})
		}
	}
}

func (b *bench) decode(in []Message, p packet) []Message {
	h, rest, drop := ParseFrame(p.frame, 7, 1)
	if drop != DropNone {
		b.fatalf("dropped: %v", drop)
	}
	for len(rest) > 0 {
		m := Message{From: h.Sender, To: h.Destination, FromIncarnation: h.Incarnation}
		if rest, drop = Decode(rest, &m); drop != DropNone {
			b.fatalf("dropped: %v", drop)
		}
		in = append(in, m)
	}
	return in
}
