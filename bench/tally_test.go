package bench

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// feed delivers to a tally as a learner would, position by position, three values an instance.
type feed struct {
	tally *Tally
	d     paxos.Delivery
}

func newFeed(t *testing.T, clients int) *feed {
	t.Helper()
	tally, err := NewTally(clients)
	if err != nil {
		t.Fatal(err)
	}
	return &feed{tally: tally}
}

func (f *feed) deliver(client paxos.ClientID, sequences ...uint64) {
	for _, s := range sequences {
		f.d.Client, f.d.Sequence, f.d.Instance = client, s, paxos.Instance(f.d.Position/3)
		f.tally.Deliver(&f.d)
		f.d.Position++
	}
}

func (f *feed) want(t *testing.T, check func(r *TallyReport) bool) {
	t.Helper()
	if r := f.tally.Report(); !check(&r) {
		r.Clients = r.Clients[:min(len(r.Clients), 4)]
		t.Errorf("report %+v", r)
	}
}

func clean(r *TallyReport) bool {
	return r.Duplicated+r.Reordered+r.Jumps+r.Beyond+r.Overflow+r.Corrupt == 0
}

// Values of a client in any order within its span, several clients at once, against a model.
func TestTallyKeepsExactSets(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	f := newFeed(t, 8)
	const clients, values = 8, 200_000
	next, pending := [clients]uint64{}, [clients][]uint64{}
	seen := [clients]map[uint64]bool{}
	for c := range clients {
		seen[c] = map[uint64]bool{}
	}
	for range values {
		c := rng.Intn(clients)
		for len(pending[c]) < 500 {
			next[c]++
			pending[c] = append(pending[c], next[c])
		}
		i := rng.Intn(len(pending[c]))
		f.deliver(paxos.ClientID(1000+c), pending[c][i])
		seen[c][pending[c][i]] = true
		pending[c] = slices.Delete(pending[c], i, i+1)
	}
	r := f.tally.Report()
	if !clean(&r) || r.Values != values || r.NextPosition != values || r.FromPosition != 0 || len(r.Clients) != clients {
		t.Fatalf("report %+v", r)
	}
	for _, c := range r.Clients {
		got, want := spansOf(c.First, c.Below, c.Above), seen[c.Client-1000]
		if total(got) != uint64(len(want)) || c.First != 1 {
			t.Fatalf("client %d: %d sequences from %d, want %d", c.Client, total(got), c.First, len(want))
		}
		for _, s := range got {
			for x := s.from; x < s.to; x++ {
				if !want[x] {
					t.Fatalf("client %d: %d was not delivered", c.Client, x)
				}
			}
		}
	}
}

func TestTallyFindsDuplicates(t *testing.T) {
	f := newFeed(t, 2)
	f.deliver(1, 1, 2, 3, 5)
	f.want(t, clean)
	f.deliver(1, 2) // in the prefix
	f.deliver(1, 5) // past it
	f.deliver(2, 5)
	f.want(t, func(r *TallyReport) bool { return r.Duplicated == 2 && r.Reordered == 0 })
}

func TestTallyFindsDisorder(t *testing.T) {
	f := newFeed(t, 1)
	f.deliver(1, 1, 2, 3, 4)
	f.d.Position = 2
	f.deliver(1, 5) // position and instance go back
	f.want(t, func(r *TallyReport) bool { return r.Reordered == 1 })
	f.tally.Deliver(&paxos.Delivery{Instance: 9, Position: 3, Client: 1, Sequence: 6})
	f.tally.Deliver(&paxos.Delivery{Instance: 8, Position: 4, Client: 1, Sequence: 7})
	f.want(t, func(r *TallyReport) bool { return r.Reordered == 2 && r.Jumps == 0 && r.Duplicated == 0 })
	f.tally.Deliver(&paxos.Delivery{Instance: 20, Position: 3, Client: 1, Sequence: 8}) // the position alone
	f.want(t, func(r *TallyReport) bool { return r.Reordered == 3 && r.Jumps == 0 })
}

func TestTallyOfALearnerThatReturned(t *testing.T) {
	f := newFeed(t, 4)
	f.d.Position = 100_000
	f.deliver(1, 90_000, 89_998, 90_001)
	f.deliver(2, 7, 5, 7+4*tallySpan) // far past what it knows: nothing of that may be taken for this
	f.want(t, func(r *TallyReport) bool {
		return r.Jumps == 1 && r.FromPosition == 100_000 && r.Duplicated+r.Reordered+r.Beyond == 0
	})
	f.deliver(1, 90_000)
	f.want(t, func(r *TallyReport) bool { return r.Duplicated == 1 })
	for s := uint64(90_002); s < 400_000; s++ { // 89,999 was delivered before: it never comes, and must not stand in the way
		f.deliver(1, s)
	}
	f.deliver(1, 399_999)
	f.want(t, func(r *TallyReport) bool { return r.Duplicated == 2 && r.Beyond == 0 })
}

func TestTallyOfALearnerThatTookState(t *testing.T) {
	f := newFeed(t, 4)
	f.deliver(1, 1, 2, 3, 4)
	f.d.Position += 50_000
	f.deliver(1, 50_100, 50_099)
	f.d.Position += 1_000_000
	f.deliver(1, 1_100_000)
	f.want(t, func(r *TallyReport) bool { return r.Jumps == 2 && r.Duplicated+r.Reordered+r.Beyond == 0 })
	f.deliver(1, 1_100_000)
	f.deliver(1, 4) // long ago
	f.want(t, func(r *TallyReport) bool { return r.Duplicated == 1 && r.Beyond == 1 })
}

func TestTallyIsBounded(t *testing.T) {
	f := newFeed(t, 2)
	f.deliver(1, 1)
	f.deliver(2, tallySpan, 1, 2) // the last that can be told apart
	f.want(t, clean)
	f.deliver(2, 5*tallySpan)
	f.want(t, func(r *TallyReport) bool {
		return r.Beyond == 1 && r.Overflow == 0 && slices.Equal(r.Clients[1].Above, []uint64{tallySpan})
	})
	f.deliver(3, 1, 2)
	f.deliver(1, 2)
	f.want(t, func(r *TallyReport) bool {
		return r.Overflow == 2 && r.Duplicated == 0 && len(r.Clients) == 2 && r.Values == 8 && r.Clients[0].Below == 3
	})
}

func TestTallyChecksBytes(t *testing.T) {
	f := newFeed(t, 1)
	f.tally.CheckValues()
	f.d.Data = make([]byte, 64)
	FillPattern(f.d.Data, 1, 1)
	f.deliver(1, 1)
	f.want(t, func(r *TallyReport) bool { return r.Corrupt == 0 && r.Bytes == 64 })
	f.deliver(1, 2) // with the bytes of 1
	f.want(t, func(r *TallyReport) bool { return r.Corrupt == 1 })
}

func TestTallyRefusesNonsense(t *testing.T) {
	for _, n := range []int{0, -1, paxos.MaxSessions + 1} {
		if _, err := NewTally(n); err == nil || !strings.Contains(err.Error(), "want 1 to 16384") {
			t.Errorf("%d clients: error %v", n, err)
		}
	}
}

func TestTallyAllocatesNothing(t *testing.T) {
	f := newFeed(t, 64)
	f.tally.CheckValues()
	f.d.Data = make([]byte, 64)
	s, jump := uint64(0), uint64(0)
	one := make([]uint64, 1)
	run := func() {
		for range 100 {
			s++
			one[0] = s/64 + 1 + jump
			f.deliver(paxos.ClientID(s%70), one...)
		}
	}
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("100 deliveries allocate %.1f times", n)
	}
	f.d.Position += 10
	jump = 1e6
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("100 deliveries after a jump allocate %.1f times", n)
	}
}

func BenchmarkTally(b *testing.B) {
	tally, err := NewTally(64)
	if err != nil {
		b.Fatal(err)
	}
	tally.CheckValues()
	d := paxos.Delivery{Data: make([]byte, 64)}
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		d.Position, d.Instance, d.Client, d.Sequence = i, paxos.Instance(i/16), paxos.ClientID(i/16%64), i
		tally.Deliver(&d)
	}
}

// Once a session is resumed, what its client before left out is missing for good: no gap, however far the session goes on, and nothing that
// may still come.
func TestTallyOfAResumedSession(t *testing.T) {
	f := newFeed(t, 2)
	f.d.Generation = 3
	f.deliver(7, 1, 2, 4, 8)
	f.d.Generation = 5
	f.deliver(7, 11, 9, 10)
	for s := uint64(12); s < 2*tallySpan; s++ {
		f.deliver(7, s)
	}
	f.want(t, func(r *TallyReport) bool {
		c := r.Clients[0]
		return clean(r) && c.First == 1 && c.Below == 2*tallySpan && len(c.Above) == 0 && slices.Equal(c.Missing, []uint64{3, 5, 6, 7})
	})
	f.deliver(7, 5)
	f.want(t, func(r *TallyReport) bool { return r.Duplicated == 1 })
	f.d.Generation = 3
	f.deliver(7, 2*tallySpan)
	f.want(t, func(r *TallyReport) bool { return r.Reordered == 1 })
}
