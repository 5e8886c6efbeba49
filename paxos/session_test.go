package paxos

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// openSession opens a client's session at a learner that never heard of it, as if that was chosen long ago.
func openSession(l *Learner, c ClientID) {
	v := Value{Client: c, Kind: ValueOpen, Data: make([]byte, TokenSize)}
	l.sessions.change(&v, l.next)
}

// sessionModel is what sessions promise, written down without a thought to room or time: it remembers every value for ever.
type sessionModel struct {
	room   int
	idle   Instance
	opened uint32
	live   map[ClientID]*modelSession
}

type modelSession struct {
	generation uint32
	token      uint64
	last       Instance
	below      uint64 // the highest oldest that its client named
	delivered  map[uint64]bool
}

func newSessionModel(room int, idle Instance) *sessionModel {
	return &sessionModel{room: room, idle: idle, live: map[ClientID]*modelSession{}}
}

func (m *sessionModel) value(v *Value, i Instance) (bool, Status) {
	s := m.live[v.Client]
	if s == nil || v.Generation > s.generation {
		return false, StatusUnknown
	}
	if v.Generation < s.generation {
		return false, StatusFenced
	}
	s.last, s.below = i, max(s.below, v.Oldest)
	if v.Sequence < s.below {
		return false, StatusOld
	}
	if s.delivered[v.Sequence] {
		return false, StatusDelivered
	}
	s.delivered[v.Sequence] = true
	return true, StatusDelivered
}

func (m *sessionModel) change(v *Value, i Instance) sessionAnswer {
	if v.Kind == ValueOpen {
		return m.open(v, i)
	}
	return m.close(v)
}

func (m *sessionModel) open(v *Value, i Instance) sessionAnswer {
	token := le.Uint64(v.Data)
	s := m.live[v.Client]
	a := sessionAnswer{token: token}
	switch {
	case s != nil && s.token == token:
	case s != nil && s.generation != v.Generation:
		a.status, a.generation = StatusTaken, s.generation
		return a
	case s == nil && v.Generation != 0:
		a.status = StatusUnknown
		return a
	case s == nil && !m.makeRoom(i):
		a.status = StatusNoRoom
		return a
	default:
		if s == nil {
			s = &modelSession{below: 1, delivered: map[uint64]bool{}}
			m.live[v.Client] = s
		}
		m.opened++
		s.token, s.generation, a.fresh = token, m.opened, true
	}
	s.last = i
	a.status, a.generation, a.next = StatusOpened, s.generation, 1
	for q := range s.delivered {
		a.next = max(a.next, q+1)
	}
	return a
}

func (m *sessionModel) makeRoom(i Instance) bool {
	if len(m.live) < m.room {
		return true
	}
	var oldest ClientID
	var least *modelSession
	for c, s := range m.live {
		if least == nil || s.last < least.last || s.last == least.last && c < oldest {
			oldest, least = c, s
		}
	}
	if i < least.last+m.idle {
		return false
	}
	delete(m.live, oldest)
	return true
}

func (m *sessionModel) close(v *Value) sessionAnswer {
	a := sessionAnswer{status: StatusClosed, generation: v.Generation}
	s := m.live[v.Client]
	switch {
	case s == nil || v.Generation > s.generation:
		a.status = StatusUnknown
	case v.Generation < s.generation:
		a.status = StatusFenced
	default:
		delete(m.live, v.Client)
	}
	return a
}

// walk draws values, opens and closes as clients and a network that keeps anything back and repeats it would send them.
type walk struct {
	rng     *rand.Rand
	clients int
	sent    []Value
	known   map[ClientID]uint32 // the latest generation of each client
	highest map[ClientID]uint64
}

func (w *walk) next(i Instance) Value {
	if len(w.sent) > 0 && w.rng.Intn(3) == 0 {
		return w.sent[w.rng.Intn(len(w.sent))] // a copy of anything that was ever sent
	}
	c := ClientID(1+w.rng.Intn(w.clients)) * 0x8000000001
	v := Value{Client: c, Generation: w.known[c], Node: 50}
	switch n := w.rng.Intn(20); {
	case n < 3:
		if w.rng.Intn(3) == 0 {
			v.Generation = uint32(w.rng.Intn(int(w.known[c]) + 2))
		}
		v.Kind, v.Data = ValueOpen, le.AppendUint64(nil, uint64(w.rng.Intn(40)))
	case n == 3:
		v.Kind, v.Generation = ValueClose, max(1, v.Generation)
	default:
		v.Generation = max(1, v.Generation)
		if w.rng.Intn(50) == 0 {
			v.Generation++ // nobody has it yet, or another client
		}
		v.Oldest = 1 + w.highest[c] - min(w.highest[c], uint64(w.rng.Intn(25)))
		if w.rng.Intn(2000) == 0 {
			v.Oldest += 5 * SessionSpan
		}
		v.Sequence = v.Oldest + uint64(w.rng.Intn(20))
		if w.rng.Intn(30) == 0 {
			v.Sequence = v.Oldest + SessionSpan - 1
		}
		w.highest[c] = max(w.highest[c], v.Sequence)
	}
	w.sent = append(w.sent, v)
	if len(w.sent) > 2000 {
		w.sent = w.sent[1000:]
	}
	return v
}

// learn takes an answer as a client would: it goes on in the generation that it is told, and begins anew where there is no session.
func (w *walk) learn(v *Value, a sessionAnswer) {
	if a.status == StatusOpened || a.status == StatusTaken || v.Kind == ValueOpen && a.status == StatusUnknown {
		w.known[v.Client] = a.generation
	}
}

// Random opens, resumes, values, closes and copies of all of them, against the model. A second table is told the same and comes from a
// checkpoint of the first every now and then: it decides alike, and gives way to the same newcomers.
func TestSessionsAgainstAModel(t *testing.T) {
	for seed := range int64(6) {
		const room = 12
		idle := Instance(1) << (2 * seed)
		w := &walk{rng: rand.New(rand.NewSource(seed)), clients: room + 1 + int(seed)*3, known: map[ClientID]uint32{}, highest: map[ClientID]uint64{}}
		model, a, b := newSessionModel(room, idle), newSessions(room, idle), newSessions(room, idle)
		saved := make([]byte, room*sessionEntrySize)
		statuses := map[Status]int{}
		for n := range Instance(40_000) {
			i := n / 3 // a few in each batch
			if n%1000 == 500 {
				b.reset()
				b.opened = a.opened
				if !b.load(saved[:a.save(saved)]) {
					t.Fatal("the checkpoint cannot be loaded")
				}
			}
			v := w.next(i)
			if v.Kind == ValueData {
				fresh, status := a.apply(&v, i)
				wantFresh, want := model.value(&v, i)
				otherFresh, other := b.apply(&v, i)
				if fresh != wantFresh || status != want || otherFresh != wantFresh || other != want {
					t.Fatalf("seed %d, instance %d, %+v: %v %v, the copy %v %v, want %v %v", seed, i, v, fresh, status, otherFresh, other, wantFresh, want)
				}
				statuses[status]++
				continue
			}
			want := model.change(&v, i)
			got, other := a.change(&v, i), b.change(&v, i)
			if got != want || other != want {
				t.Fatalf("seed %d, instance %d, %+v: %+v, the copy %+v, want %+v", seed, i, v, got, other, want)
			}
			w.learn(&v, got)
			statuses[got.status]++
		}
		if a.n != len(model.live) || a.opened != model.opened {
			t.Errorf("seed %d: %d sessions and %d generations, want %d and %d", seed, a.n, a.opened, len(model.live), model.opened)
		}
		for s := range numStatuses {
			if statuses[s] == 0 && s != StatusOutOfWindow && (s != StatusNoRoom || seed > 2) {
				t.Errorf("seed %d: no answer was %v", seed, s)
			}
		}
	}
}

// A value is delivered once whatever is chosen again: in all the lives of a session, a generation's sequence comes at most once, and no value
// of an earlier generation comes after one of a later.
func TestNoSequenceTwiceInAGeneration(t *testing.T) {
	w := &walk{rng: rand.New(rand.NewSource(7)), clients: 6, known: map[ClientID]uint32{}, highest: map[ClientID]uint64{}}
	table := newSessions(4, 30)
	type name struct {
		client     ClientID
		generation uint32
		sequence   uint64
	}
	delivered, latest := map[name]bool{}, map[ClientID]uint32{}
	for i := range Instance(200_000) {
		v := w.next(i)
		if v.Kind != ValueData {
			w.learn(&v, table.change(&v, i))
			continue
		}
		fresh, _ := table.apply(&v, i)
		n := name{v.Client, v.Generation, v.Sequence}
		if fresh && (delivered[n] || v.Generation < latest[v.Client]) {
			t.Fatalf("instance %d delivers %+v; generation %d was seen", i, v, latest[v.Client])
		}
		if fresh {
			delivered[n], latest[v.Client] = true, v.Generation
		}
	}
	if len(delivered) < 5_000 {
		t.Errorf("%d values delivered only", len(delivered))
	}
}

// The end of the generations is the end of opening, not a second life for the first ones.
func TestGenerationsDoNotWrap(t *testing.T) {
	table := newSessions(4, 8)
	table.opened = maxGeneration - 1
	open := func(c ClientID, expected uint32, token uint64) sessionAnswer {
		return table.change(&Value{Client: c, Generation: expected, Kind: ValueOpen, Data: le.AppendUint64(nil, token)}, 1)
	}
	if a := open(1, 0, 1); a.status != StatusOpened || a.generation != maxGeneration {
		t.Errorf("the last generation: %+v", a)
	}
	if a := open(2, 0, 2); a.status != StatusNoRoom {
		t.Errorf("one more: %+v", a)
	}
	if a := open(1, maxGeneration, 2); a.status != StatusNoRoom {
		t.Errorf("one more of a session that is there: %+v", a)
	}
	if a := open(1, maxGeneration, 1); a.status != StatusOpened || a.fresh {
		t.Errorf("the same attempt: %+v", a)
	}
}

// Pages come from the network: what no table could have is not loaded.
func TestBadSessionsAreNotLoaded(t *testing.T) {
	good, err := parseSessions("9:3,8.2:1")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b []byte, t *sessions){
		"a client twice":              func(b []byte, _ *sessions) { copy(b[sessionEntrySize:], b[:8]) },
		"a base of 0":                 func(b []byte, _ *sessions) { le.PutUint64(b[16:], 0) },
		"a base past all":             func(b []byte, _ *sessions) { le.PutUint64(b[16:], MaxSequence+1) },
		"an instance past all":        func(b []byte, _ *sessions) { le.PutUint64(b[24:], uint64(MaxInstance)+1) },
		"no generation":               func(b []byte, _ *sessions) { le.PutUint32(b[32:], 0) },
		"a generation never given":    func(b []byte, _ *sessions) { le.PutUint32(b[32:], 3) },
		"more than there is room for": func(_ []byte, t *sessions) { *t = newSessions(1, 8); t.opened = 2 },
	} {
		table := newSessions(8, 8)
		table.opened = 2
		b := append([]byte(nil), good...)
		change(b, &table)
		if table.load(b) {
			t.Errorf("%s: loaded", name)
		}
	}
	table := newSessions(8, 8)
	table.opened = 2
	if !table.load(good) || table.n != 2 {
		t.Error("what is good was not loaded")
	}
}

// The running hash is over runs of values that are delivered in a row, as PROTOCOL.md has it: what is not delivered ends a run, and so does a batch.
func TestRunningHash(t *testing.T) {
	members := Members{Acceptors: []NodeID{1}, Proposers: []NodeID{4}, Learners: []NodeID{6}}
	l := NewLearner(LearnerConfig{ID: 6, Members: members, Window: 16, ValueBytes: 1 << 12, MTU: 512, Lease: 1e9, Retry: 1e6, Repair: 1e6}, 0)
	openSession(l, 9)
	out, b := NewOutbox(), MakeBallot(1, 4)
	want := uint64(0)
	for i, c := range []struct {
		batch string
		runs  []string
	}{
		{"9:1:a,9:2:b", []string{"9:1:a,9:2:b"}},
		{"9:3:c", []string{"9:3:c"}},
		{"9:4:d,9:2:b,9:5:e,9:6:f", []string{"9:4:d", "9:5:e,9:6:f"}},
		{"9:1:a,9:2:b", nil},
		{"7:1:x,9:7:g,7:2:y", []string{"9:7:g"}}, // 7 has no session
	} {
		batch, err := parseBatch(c.batch)
		if err != nil {
			t.Fatal(err)
		}
		ranges, _ := parseRanges(fmt.Sprint(i))
		out.Reset()
		l.Step(1, []Message{
			{Kind: KindAccept, From: 4, Ballot: b, Instance: Instance(i), Total: uint32(len(batch)), Data: batch},
			{Kind: KindAccepted, From: 1, Ballot: b, Data: ranges},
		}, out)
		for _, run := range c.runs {
			bytes, _ := parseBatch(run)
			want = (want<<29 | want>>35 ^ xxhash.Sum64(bytes)) * 0x9fb21c651e98df25
		}
		if at, _, hash := l.Delivered(); at != Instance(i)+1 || hash != want {
			t.Fatalf("%s: delivered below %d, hash %x, want %x", c.batch, at, hash, want)
		}
	}
}

// A checkpoint page has room for a session on every network that the protocol runs on.
func TestAPageHasRoomForASession(t *testing.T) {
	if n := room(KindCheckpointPage, MinMTU); n != sessionEntrySize {
		t.Errorf("%d bytes in the smallest frame, a session takes %d", n, sessionEntrySize)
	}
}

// Opening, resuming and giving way allocate nothing, in a table that is full.
func TestSessionsAllocateNothing(t *testing.T) {
	table := newSessions(100, 50)
	token := make([]byte, TokenSize)
	i := Instance(0)
	if n := testing.AllocsPerRun(2000, func() {
		i++
		le.PutUint64(token, uint64(i))
		v := Value{Client: ClientID(i % 150), Kind: ValueOpen, Data: token}
		a := table.change(&v, i)
		v = Value{Client: v.Client, Sequence: 1, Oldest: 1, Generation: max(1, a.generation)}
		table.apply(&v, i)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if table.n != 100 {
		t.Errorf("%d sessions", table.n)
	}
}

// One value of one of many sessions, and one newcomer to a full table in which all others are in use.
func BenchmarkSessions(b *testing.B) {
	table := newSessions(MaxSessions, SessionIdle)
	for c := range ClientID(MaxSessions) {
		table.change(&Value{Client: c * 0x9e3779b9, Kind: ValueOpen, Data: make([]byte, TokenSize)}, 0)
	}
	b.Run("value", func(b *testing.B) {
		cpu := startCPU()
		for i := range b.N {
			c := ClientID(i % MaxSessions)
			q := uint64(i/MaxSessions) + 1
			table.apply(&Value{Client: c * 0x9e3779b9, Sequence: q, Oldest: q, Generation: uint32(c) + 1}, Instance(i))
		}
		cpu.report(b, float64(b.N))
	})
	b.Run("newcomer", func(b *testing.B) {
		cpu := startCPU()
		for i := range b.N {
			at := SessionIdle * Instance(1+i)
			table.change(&Value{Client: ClientID(i) << 40, Kind: ValueOpen, Data: make([]byte, TokenSize)}, at)
		}
		cpu.report(b, float64(b.N))
	})
}
