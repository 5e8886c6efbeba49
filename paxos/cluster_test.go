package paxos

import (
	"fmt"
	"math/rand"
	"testing"
)

// bench is a group of roles on a lossy, reordering, duplicating network of its own, in virtual time. One seed decides all.
type bench struct {
	t         testing.TB
	rng       *rand.Rand
	now       Time
	members   Members
	acceptors map[NodeID]*Acceptor
	proposers map[NodeID]*Proposer
	learners  map[NodeID]*Learner
	outs      map[any]*Outbox
	inc       map[NodeID]Incarnation
	wire      []packet
	loss, dup float64
	delivered map[NodeID][]string
	replied   map[uint64]bool
	rounds    uint64
	cfg       benchConfig
	events    []string
}

type packet struct {
	at    Time
	to    NodeID
	frame []byte
}

type benchConfig struct {
	acceptors, proposers, learners int
	window                         int
	batch                          BatchMode
}

const (
	benchMTU    = 1500
	benchClient = NodeID(50)
)

func newBench(t testing.TB, seed int64, c benchConfig) *bench {
	b := &bench{
		t: t, rng: rand.New(rand.NewSource(seed)), cfg: c, acceptors: map[NodeID]*Acceptor{}, proposers: map[NodeID]*Proposer{},
		learners: map[NodeID]*Learner{}, outs: map[any]*Outbox{}, inc: map[NodeID]Incarnation{}, delivered: map[NodeID][]string{},
		replied: map[uint64]bool{}, rounds: 1,
	}
	id := NodeID(1)
	for _, r := range []struct {
		n    int
		list *[]NodeID
	}{{c.acceptors, &b.members.Acceptors}, {c.proposers, &b.members.Proposers}, {c.learners, &b.members.Learners}} {
		for range r.n {
			*r.list = append(*r.list, id)
			id++
		}
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

func (b *bench) startAcceptor(id NodeID, amnesia bool) {
	b.inc[id] = Incarnation(b.rng.Uint64())
	a := NewAcceptor(AcceptorConfig{ID: id, Members: b.members, Window: b.cfg.window, ValueBytes: 1 << 20, MTU: benchMTU, Aggregate: true, Amnesia: amnesia})
	b.acceptors[id], b.outs[a] = a, NewOutbox()
}

func (b *bench) startProposer(id NodeID) {
	b.inc[id] = Incarnation(b.rng.Uint64())
	p := NewProposer(ProposerConfig{
		ID: id, Members: b.members, Window: b.cfg.window, ValueBytes: 1 << 20, QueueBytes: 1 << 18, InFlight: 64, MTU: benchMTU, Batch: b.cfg.batch,
		Heartbeat: 1e6, Retry: 4e6, LeaderTimeout: 50e6, Lease: 100e6, Seed: b.rng.Uint64(),
	}, b.now)
	b.proposers[id], b.outs[p] = p, NewOutbox()
}

func (b *bench) startLearner(id NodeID) {
	b.inc[id] = Incarnation(b.rng.Uint64())
	b.delivered[id] = nil
	l := NewLearner(LearnerConfig{
		ID: id, Members: b.members, Window: b.cfg.window, ValueBytes: 1 << 20, MTU: benchMTU, Lease: 100e6, Retry: 4e6, Repair: 2e6, Seed: b.rng.Uint64(),
		Deliver: func(d *Delivery) {
			b.delivered[id] = append(b.delivered[id], fmt.Sprintf("%d:%d:%d:%s", d.Position, d.Client, d.Sequence, d.Data))
		},
	}, b.now)
	b.learners[id], b.outs[l] = l, NewOutbox()
}

// run lets virtual time pass until done, at most limit.
func (b *bench) run(limit Time, done func() bool) bool {
	for end := b.now + limit; b.now < end; b.now += 100_000 {
		if done() {
			return true
		}
		inboxes := map[NodeID][]Message{}
		rest := b.wire[:0:0]
		for _, p := range b.wire {
			if p.at > b.now {
				rest = append(rest, p)
				continue
			}
			inboxes[p.to] = append(inboxes[p.to], b.decode(p)...)
		}
		b.wire = rest
		for _, id := range b.members.Acceptors {
			if a := b.acceptors[id]; a != nil {
				b.step(id, a, b.outs[a], inboxes[id])
			}
		}
		for _, id := range b.members.Proposers {
			if p := b.proposers[id]; p != nil {
				if least, want := p.WantRounds(); want {
					b.rounds = max(b.rounds, least)
					p.GrantRounds(b.rounds, b.rounds+4)
					b.rounds += 4
				}
				b.step(id, p, b.outs[p], inboxes[id])
			}
		}
		for _, id := range b.members.Learners {
			if l := b.learners[id]; l != nil {
				b.step(id, l, b.outs[l], inboxes[id])
			}
		}
		b.client(inboxes[benchClient])
	}
	return done()
}

type stepper interface {
	Step(now Time, in []Message, out *Outbox)
}

func (b *bench) step(id NodeID, s stepper, out *Outbox, in []Message) {
	out.Reset()
	s.Step(b.now, in, out)
	for _, m := range out.Now {
		b.send(id, &m)
	}
	for _, m := range out.After {
		b.send(id, &m)
	}
	for _, e := range out.Events {
		b.events = append(b.events, fmt.Sprintf("%dms node %d %v", b.now/1e6, id, e))
	}
}

func (b *bench) send(from NodeID, m *Message) {
	var w FrameWriter
	buf := make([]byte, benchMTU)
	w.Start(buf, FrameHeader{Cluster: 7, Incarnation: b.inc[from], Group: 1, Sender: from, Destination: m.To, Epoch: FirstEpoch})
	if !w.Append(m) {
		b.t.Fatalf("%v of %d bytes does not fit a frame", m.Kind, EncodedSize(m))
	}
	frame := buf[:w.Finish()]
	for n := 1; n > 0; n-- {
		if b.rng.Float64() < b.dup {
			n++
		}
		if b.rng.Float64() >= b.loss {
			b.wire = append(b.wire, packet{at: b.now + Time(b.rng.Intn(1e6)), to: m.To, frame: frame})
		}
	}
}

func (b *bench) decode(p packet) (in []Message) {
	h, rest, drop := ParseFrame(p.frame, 7, 1)
	if drop != DropNone {
		b.t.Fatalf("dropped: %v", drop)
	}
	for len(rest) > 0 {
		m := Message{From: h.Sender, To: h.Destination, FromIncarnation: h.Incarnation}
		if rest, drop = Decode(rest, &m); drop != DropNone {
			b.t.Fatalf("dropped: %v", drop)
		}
		in = append(in, m)
	}
	return in
}

func (b *bench) client(in []Message) {
	for _, m := range in {
		if m.Kind != KindReply {
			continue
		}
		for r, rest, ok := NextReplyRange(m.Data); ok; r, rest, ok = NextReplyRange(rest) {
			for i := range uint64(r.Count) {
				if r.Status == StatusDelivered {
					b.replied[r.First+i] = true
				}
			}
		}
	}
}

// submit sends a client's value to every proposer.
func (b *bench) submit(sequence uint64, data string) {
	oldest := uint64(1)
	for b.replied[oldest] {
		oldest++
	}
	v := Value{Client: 9, Sequence: sequence, Oldest: min(oldest, sequence), Node: benchClient, Data: []byte(data)}
	buf := make([]byte, ValueOverhead+len(data))
	PutValue(buf, 0, &v)
	for _, id := range b.members.Proposers {
		b.send(benchClient, &Message{Kind: KindSubmit, To: id, Data: buf})
	}
}

func (b *bench) registerClient() {
	for _, id := range b.members.Learners {
		b.send(benchClient, &Message{Kind: KindHi, Flags: FlagClient, To: id, Total: 600_000})
	}
}

// drive submits values 1 to n, at most 32 unanswered, each again until it is answered.
func (b *bench) drive(n uint64, limit Time) {
	b.t.Helper()
	var next uint64 = 1
	var last Time
	ok := b.run(limit, func() bool {
		if b.now-last >= 5e6 {
			last = b.now
			b.registerClient()
			done := true
			unanswered := 0
			for s := uint64(1); s <= n && unanswered < 32; s++ {
				if !b.replied[s] {
					done = false
					unanswered++
					b.submit(s, fmt.Sprintf("value %d", s))
					next = max(next, s+1)
				}
			}
			return done
		}
		return false
	})
	if !ok {
		b.t.Fatalf("%d of %d values answered in %d ms; events:\n%v", len(b.replied), n, b.now/1e6, b.events)
	}
}

// settle waits until every learner is where the others are and holds them to equal histories without a value twice.
func (b *bench) settle(n int) {
	b.t.Helper()
	b.loss, b.dup = 0, 0
	b.run(2e9, func() bool {
		for _, l := range b.learners {
			if l.next < l.high || l.count < uint64(n) {
				return false
			}
		}
		return true
	})
	var first *Learner
	for _, id := range b.members.Learners {
		l := b.learners[id]
		if first == nil {
			first = l
		}
		if l.count != uint64(n) || l.hash != first.hash || l.next != first.next {
			b.t.Errorf("learner %d: %d values, hash %x, watermark %d; first has %d, %x, %d; want %d values\nevents %v",
				id, l.count, l.hash, l.next, first.count, first.hash, first.next, n, b.events)
		}
	}
}

func TestClusterAgrees(t *testing.T) {
	for seed := range int64(12) {
		for _, batch := range []BatchMode{BatchInstance, BatchOff} {
			b := newBench(t, seed, benchConfig{acceptors: 3 + 2*int(seed%2), proposers: 1 + int(seed%3), learners: 2, window: 256, batch: batch})
			b.loss, b.dup = 0.1, 0.1
			b.drive(500, 60e9)
			b.settle(500)
		}
	}
}

func TestLeadersCome(t *testing.T) {
	b := newBench(t, 3, benchConfig{acceptors: 3, proposers: 3, learners: 2, window: 256})
	b.loss, b.dup = 0.05, 0.05
	b.drive(100, 60e9)
	for round := range 6 {
		for _, id := range b.members.Proposers {
			if _, leads := b.proposers[id].Leading(); leads {
				b.startProposer(id) // killed and started again
			}
		}
		b.drive(uint64(200+100*round), 60e9)
	}
	b.settle(700)
}

func TestLearnerReturns(t *testing.T) {
	b := newBench(t, 4, benchConfig{acceptors: 3, proposers: 1, learners: 3, window: 64})
	b.loss = 0.05
	b.drive(2000, 120e9)
	b.startLearner(b.members.Learners[1])
	b.drive(2500, 120e9)
	b.settle(2500)
	if b.learners[b.members.Learners[1]].Counters.Transfers == 0 {
		t.Error("the learner that came back took no state, though the log was trimmed")
	}
}

func TestAmnesiacsStopTheCluster(t *testing.T) {
	b := newBench(t, 5, benchConfig{acceptors: 3, proposers: 1, learners: 1, window: 64})
	b.drive(50, 60e9)
	b.startAcceptor(1, true)
	b.drive(100, 60e9)
	b.startAcceptor(2, true)
	b.submit(101, "x")
	b.run(1e9, func() bool { return b.proposers[4].Stopped() })
	if !b.proposers[4].Stopped() {
		t.Errorf("two of three acceptors lost their promises and the cluster did not say that it has stopped: %v", b.events)
	}
	if b.replied[101] {
		t.Error("a value was chosen without a quorum")
	}
}
