package bench

import (
	"math/rand"
	"testing"

	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
)

// field is a whole group, roles and clients, on a lossy, reordering, duplicating network in virtual time. One seed decides all.
type field struct {
	t         *testing.T
	rng       *rand.Rand
	now       paxos.Time
	loss, dup float64
	members   paxos.Members
	roles     map[paxos.NodeID]stepper
	outs      map[paxos.NodeID]*paxos.Outbox
	inc       map[paxos.NodeID]paxos.Incarnation
	order     []paxos.NodeID
	wire      []packet
	tallies   map[paxos.NodeID]*Tally
	loads     []*Load
	clients   []*client.Client
	rounds    uint64
}

type stepper interface {
	Step(now paxos.Time, in []paxos.Message, out *paxos.Outbox)
}

type packet struct {
	at    paxos.Time
	to    paxos.NodeID
	frame []byte
}

const (
	fieldMTU         = 1500
	fieldCycle       = 100e3
	firstClient      = 20
	fieldLearner     = 4
	fieldLastLearner = 5
)

// newField has acceptors 1 to 3, learners 4 and 5, proposers 6 and 7, and a client node from 20 on for each load.
func newField(t *testing.T, seed int64, loads ...LoadConfig) *field {
	f := &field{
		t: t, rng: rand.New(rand.NewSource(seed)), loss: 0.05, dup: 0.05, roles: map[paxos.NodeID]stepper{}, outs: map[paxos.NodeID]*paxos.Outbox{},
		inc: map[paxos.NodeID]paxos.Incarnation{}, tallies: map[paxos.NodeID]*Tally{}, rounds: 1,
		members: paxos.Members{Acceptors: []paxos.NodeID{1, 2, 3}, Learners: []paxos.NodeID{fieldLearner, fieldLastLearner}, Proposers: []paxos.NodeID{6, 7}},
	}
	for _, id := range f.members.Acceptors {
		f.start(id, paxos.NewAcceptor(paxos.AcceptorConfig{
			ID: id, Members: f.members, Window: 256, ValueBytes: 1 << 20, MTU: fieldMTU, Aggregate: true,
		}))
	}
	for _, id := range f.members.Proposers {
		f.start(id, paxos.NewProposer(paxos.ProposerConfig{
			ID: id, Members: f.members, Window: 256, ValueBytes: 1 << 20, QueueBytes: 1 << 18, InFlight: 64, MTU: fieldMTU, Heartbeat: 1e6,
			Retry: 4e6, LeaderTimeout: 50e6, Lease: 100e6, Seed: f.rng.Uint64(),
		}, f.now))
	}
	for _, id := range f.members.Learners {
		f.startLearner(id)
	}
	for i, cfg := range loads {
		f.startClient(paxos.NodeID(firstClient+i), cfg)
	}
	return f
}

func (f *field) start(id paxos.NodeID, role stepper) {
	if f.roles[id] == nil {
		f.order = append(f.order, id)
	}
	f.roles[id], f.outs[id], f.inc[id] = role, paxos.NewOutbox(), paxos.Incarnation(f.rng.Uint64())
}

// startLearner starts a learner with nothing, and an application with nothing.
func (f *field) startLearner(id paxos.NodeID) {
	tally, err := NewTally(16)
	if err != nil {
		f.t.Fatal(err)
	}
	tally.CheckValues()
	f.tallies[id] = tally
	f.start(id, paxos.NewLearner(paxos.LearnerConfig{
		ID: id, Members: f.members, Window: 256, ValueBytes: 1 << 20, MTU: fieldMTU, Lease: 100e6, Retry: 4e6, Repair: 2e6, Seed: f.rng.Uint64(),
		Deliver: tally.Deliver,
	}, f.now))
}

// loaded steps a client and its load together, as a node does.
type loaded struct {
	c *client.Client
	l *Load
}

func (n loaded) Step(now paxos.Time, in []paxos.Message, out *paxos.Outbox) {
	n.c.Step(now, in, out)
	n.l.Fill(now, n.c)
	n.c.End()
}

func (f *field) startClient(id paxos.NodeID, cfg LoadConfig) {
	l, err := NewLoad(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := client.New(client.Config{
		Node: id, Proposers: f.members.Proposers, Learners: f.members.Learners, Sessions: cfg.Sessions, Outstanding: cfg.Outstanding,
		MaxValue: cfg.Size, MTU: fieldMTU, Retry: 10e6, Lease: 200e6, Seed: f.rng.Uint64(), Done: l.Done,
	}, f.now)
	if err != nil {
		f.t.Fatal(err)
	}
	f.loads, f.clients = append(f.loads, l), append(f.clients, c)
	f.start(id, loaded{c, l})
}

// run lets time pass until done, at most limit.
func (f *field) run(limit paxos.Time, done func() bool) bool {
	for end := f.now + limit; f.now < end && !done(); f.now += fieldCycle {
		inboxes := map[paxos.NodeID][]paxos.Message{}
		rest := f.wire[:0]
		for _, p := range f.wire {
			if p.at > f.now {
				rest = append(rest, p)
			} else {
				inboxes[p.to] = append(inboxes[p.to], f.decode(p)...)
			}
		}
		f.wire = rest
		for _, id := range f.order {
			f.step(id, inboxes[id])
		}
	}
	return done()
}

func (f *field) step(id paxos.NodeID, in []paxos.Message) {
	out := f.outs[id]
	out.Reset()
	if p, ok := f.roles[id].(*paxos.Proposer); ok {
		if least, want := p.WantRounds(); want {
			f.rounds = max(f.rounds, least)
			p.GrantRounds(f.rounds, f.rounds+4)
			f.rounds += 4
		}
	}
	f.roles[id].Step(f.now, in, out)
	for _, list := range [][]paxos.Message{out.Now, out.After} {
		for i := range list {
			f.send(id, &list[i])
		}
	}
}

func (f *field) send(from paxos.NodeID, m *paxos.Message) {
	var w paxos.FrameWriter
	buf := make([]byte, fieldMTU)
	w.Start(buf, paxos.FrameHeader{Cluster: 7, Incarnation: f.inc[from], Group: 1, Sender: from, Destination: m.To, Epoch: paxos.FirstEpoch})
	if !w.Append(m) {
		f.t.Fatalf("%v of %d bytes does not fit a frame", m.Kind, paxos.EncodedSize(m))
	}
	frame := buf[:w.Finish()]
	for n := 1; n > 0; n-- {
		if f.rng.Float64() < f.dup {
			n++
		}
		if f.rng.Float64() >= f.loss {
			f.wire = append(f.wire, packet{at: f.now + f.rng.Int63n(500e3), to: m.To, frame: frame})
		}
	}
}

func (f *field) decode(p packet) (in []paxos.Message) {
	h, rest, drop := paxos.ParseFrame(p.frame, 7, 1)
	for drop == paxos.DropNone && len(rest) > 0 {
		m := paxos.Message{From: h.Sender, To: h.Destination, FromIncarnation: h.Incarnation}
		if rest, drop = paxos.Decode(rest, &m); drop == paxos.DropNone {
			in = append(in, m)
		}
	}
	if drop != paxos.DropNone {
		f.t.Fatalf("dropped: %v", drop)
	}
	return in
}

// verdict waits for the loads to finish and the learners to be level, and checks.
func (f *field) verdict() (Verdict, Merged) {
	f.t.Helper()
	if !f.run(60e9, func() bool {
		for _, l := range f.loads {
			if !l.Finished() {
				return false
			}
		}
		return true
	}) {
		f.t.Fatalf("not finished after %d virtual seconds: %+v; trouble: %q", f.now/1e9, f.clients[0].Counters, f.clients[0].Trouble(f.now))
	}
	f.run(5e9, func() bool {
		a, na, _ := f.roles[fieldLearner].(*paxos.Learner).Delivered()
		b, nb, _ := f.roles[fieldLastLearner].(*paxos.Learner).Delivered()
		return a == b && na == nb && a >= f.roles[fieldLearner].(*paxos.Learner).High() && a >= f.roles[fieldLastLearner].(*paxos.Learner).High()
	})
	var results []ClientResult
	for i, l := range f.loads {
		result, err := l.Result(paxos.NodeID(firstClient + i))
		if err != nil {
			f.t.Fatal(err)
		}
		results = append(results, result)
	}
	merged := mustMerge(f.t, results...)
	tallies, ends := map[paxos.NodeID]TallyReport{}, []LearnerEnd{}
	for _, id := range f.members.Learners {
		l := f.roles[id].(*paxos.Learner)
		watermark, values, hash := l.Delivered()
		ends = append(ends, LearnerEnd{
			ID: uint16(id), Delivered: values, Hash: Hash(hash), Watermark: uint64(watermark), Transfers: l.Counters.Transfers,
		})
		tallies[id] = f.tallies[id].Report()
	}
	return Check(merged.Acknowledged, tallies, ends), merged
}

// The tally, which knows nothing of sessions, against everything that retries, loss and duplication can do.
func TestNothingIsLostOrDoubled(t *testing.T) {
	for seed := range int64(4) {
		f := newField(t, seed,
			LoadConfig{Sessions: 3, Outstanding: 8, Size: 64, Values: 1500}, LoadConfig{Sessions: 1, Outstanding: 1, Size: 1, Values: 40},
			LoadConfig{Sessions: 2, Outstanding: 4, Size: paxos.MaxValue(fieldMTU), Values: 300})
		v, m := f.verdict()
		if !v.OK() || len(v.Notes) > 0 || m.Values != 1840 || m.Failed+m.Unanswered > 0 {
			t.Errorf("seed %d: %d values, %d failed, %d unanswered; %v", seed, m.Values, m.Failed, m.Unanswered, &v)
		}
		if m.Retries == 0 {
			t.Errorf("seed %d: a lossy network without a retry shows nothing", seed)
		}
	}
}

func TestALearnerReturns(t *testing.T) {
	f := newField(t, 9, LoadConfig{Sessions: 4, Outstanding: 16, Size: 64, Values: 20_000})
	f.run(60e9, func() bool { return f.loads[0].answered >= 10_000 })
	f.startLearner(fieldLastLearner)
	v, m := f.verdict()
	if !v.OK() || m.Values != 20_000 {
		t.Errorf("%d values; %v", m.Values, &v)
	}
	if len(v.Notes) != 1 {
		t.Errorf("the learner that returned should be noted: %v", v.Notes)
	}
}

// The learner that replies is killed: the client goes on with the other one, or with the new self of the first.
func TestTheReplyingLearnerReturns(t *testing.T) {
	f := newField(t, 10, LoadConfig{Sessions: 2, Outstanding: 4, Size: 64, Values: 4000})
	f.run(60e9, func() bool { return f.loads[0].answered >= 2000 })
	before := f.now
	f.startLearner(f.clients[0].Learner())
	if !f.run(5e9, func() bool { return f.loads[0].answered >= 2100 }) {
		t.Fatalf("no answers after the learner restarted: %q", f.clients[0].Trouble(f.now))
	}
	t.Logf("100 values later after %d virtual ms", (f.now-before)/1e6)
	if v, m := f.verdict(); !v.OK() || m.Values != 4000 {
		t.Errorf("%d values; %v", m.Values, &v)
	}
}

// A learner that delivers twice is found out, though its own counts and hash say that all is well.
func TestTheCheckFindsABrokenLearner(t *testing.T) {
	f := newField(t, 11, LoadConfig{Sessions: 1, Outstanding: 8, Size: 64, Values: 500})
	f.run(60e9, func() bool { return f.loads[0].answered >= 100 })
	twice := f.tallies[fieldLearner]
	e := &twice.entries[0]
	position := twice.next - 1
	twice.Deliver(&paxos.Delivery{Instance: twice.last, Position: twice.next, Client: paxos.ClientID(e.client), Sequence: e.below - 1})
	twice.next = position + 1
	if v, _ := f.verdict(); v.OK() || v.Duplicated != 1 || v.Lost != 0 {
		t.Errorf("a value delivered twice: %v", &v)
	}
}
