package bench

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// A run of two learners and two clients in which all is well.
func goodRun() ([]SessionAcks, map[paxos.NodeID]TallyReport, []LearnerEnd) {
	acks := []SessionAcks{{Client: 1, Submitted: 12, Below: 10, Above: []uint64{11}}, {Client: 2, Submitted: 5, Below: 6}}
	tally := TallyReport{NextPosition: 16, Values: 16, Clients: []TallyClient{
		{Client: 2, First: 1, Below: 6, Max: 5}, {Client: 1, First: 1, Below: 10, Above: []uint64{11, 12}, Max: 12},
	}}
	other := tally
	other.Clients = slices.Clone(tally.Clients)
	tallies := map[paxos.NodeID]TallyReport{4: tally, 5: other}
	ends := []LearnerEnd{{ID: 5, Delivered: 16, Hash: 77, Watermark: 9}, {ID: 4, Delivered: 16, Hash: 77, Watermark: 9}}
	return acks, tallies, ends
}

// run is what Check is given.
type run struct {
	acks    []SessionAcks
	tallies map[paxos.NodeID]TallyReport
	ends    []LearnerEnd
}

func (r *run) edit(id paxos.NodeID, change func(*TallyReport)) {
	tally := r.tallies[id]
	change(&tally)
	r.tallies[id] = tally
}

var checkCases = []struct {
	name                        string
	change                      func(r *run)
	lost, duplicated, reordered uint64
	equal, ok                   bool
	says                        string // in problems or notes
}{
	{name: "good", change: func(*run) {}, equal: true, ok: true, says: "nothing lost"},
	{name: "lost in the prefix", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Clients[0].Below = 4 }) },
		lost: 2, equal: true, says: "learner 5 did not deliver 2 values that were acknowledged"},
	{name: "lost past the prefix", change: func(r *run) { r.edit(4, func(t *TallyReport) { t.Clients[1].Above = []uint64{12} }) },
		lost: 1, equal: true, says: "learner 4 did not deliver 1 values"},
	{name: "the same one lost by both is one value", change: func(r *run) {
		r.edit(4, func(t *TallyReport) { t.Clients[0].Below = 5 })
		r.edit(5, func(t *TallyReport) { t.Clients[0].Below = 4 })
	}, lost: 2, equal: true, says: "did not deliver"},
	{name: "a client never delivered", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Clients = t.Clients[:1] }) },
		lost: 10, equal: true, says: "learner 5 did not deliver 10"},
	{name: "refused values are not lost", change: func(r *run) {
		r.acks[0].Failed = []uint64{9}
		r.edit(5, func(t *TallyReport) { t.Clients[1].Below = 9 })
	}, equal: true, says: "1 values of 1 clients were not answered as delivered"},
	{name: "a session of two runs", change: func(r *run) {
		r.acks = append(r.acks, SessionAcks{Client: 1, First: 14, Submitted: 15, Below: 16})
		for _, id := range []paxos.NodeID{4, 5} {
			r.edit(id, func(t *TallyReport) {
				t.Clients = slices.Clone(t.Clients)
				t.Clients[1] = TallyClient{Client: 1, First: 1, Below: 16, Missing: []uint64{10, 13}, Max: 15}
			})
		}
	}, equal: true, ok: true, says: "nothing lost"},
	{name: "a session of two runs, lost in the first", change: func(r *run) {
		r.acks = append(r.acks, SessionAcks{Client: 1, First: 14, Submitted: 15, Below: 16})
		r.edit(4, func(t *TallyReport) {
			t.Clients[1] = TallyClient{Client: 1, First: 1, Below: 16, Missing: []uint64{10, 11, 13}, Max: 15}
		})
		r.edit(5, func(t *TallyReport) {
			t.Clients[1] = TallyClient{Client: 1, First: 1, Below: 16, Missing: []uint64{10, 13}, Max: 15}
		})
	}, lost: 1, equal: true, says: "learner 4 did not deliver 1 values"},
	{name: "unanswered values may be missing", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Clients[1].Above = []uint64{11} }) },
		equal: true, ok: true, says: "nothing lost"},
	{name: "doubled", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Duplicated = 3 }) },
		duplicated: 3, equal: true, says: "learner 5 delivered 3 values twice"},
	{name: "went back", change: func(r *run) { r.edit(4, func(t *TallyReport) { t.Reordered = 2 }) },
		reordered: 2, equal: true, says: "learner 4 went back 2 times"},
	{name: "another hash", change: func(r *run) { r.ends[0].Hash++ }, reordered: 1, says: "hash 000000000000004e: not the same sequence"},
	{name: "another count", change: func(r *run) {
		r.ends[0].Delivered++
		r.edit(5, func(t *TallyReport) { t.NextPosition++ })
	}, reordered: 1, says: "not the same sequence"},
	{name: "not as far", change: func(r *run) { r.ends[0].Watermark, r.ends[0].Hash = 8, 1 }, says: "at instance 9 and learner 5 at 8"},
	{name: "left out positions", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Jumps, t.FromPosition = 1, 3 }) },
		reordered: 1, equal: true, says: "took state only 0 times"},
	{name: "took state", change: func(r *run) {
		r.ends[0].Transfers = 1
		r.edit(5, func(t *TallyReport) { t.Jumps, t.FromPosition, t.Clients = 1, 14, nil })
	}, equal: true, ok: true, says: "note: learner 5 took state from another learner"},
	{name: "took state and delivered nothing since", change: func(r *run) {
		r.ends[0].Transfers = 1
		r.tallies[5] = TallyReport{}
	}, equal: true, ok: true, says: "note: learner 5 took state"},
	{name: "no tally", change: func(r *run) { delete(r.tallies, 5) }, equal: true, ok: true, says: "note: learner 5 kept no tally"},
	{name: "no tally at all", change: func(r *run) { r.tallies = nil }, equal: true, ok: true, says: "note: no learner saw all deliveries"},
	{name: "bytes", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Corrupt = 1 }) }, equal: true, says: "other bytes than were sent"},
	{name: "too many clients", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Overflow = 1 }) }, equal: true, says: "than its tally has room for"},
	{name: "too far", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.Beyond = 1 }) }, equal: true, says: "too far from"},
	{name: "the application got less", change: func(r *run) { r.edit(5, func(t *TallyReport) { t.NextPosition = 15 }) },
		equal: true, says: "learner 5 counts 16 values and gave its application 15"},
	{name: "invented", change: func(r *run) { r.acks[0].Submitted = 11 }, equal: true, says: "delivered 1 values that were never submitted"},
	{name: "a client that did not report", change: func(r *run) { r.acks = r.acks[:1] }, equal: true, ok: true, says: "values of 1 clients that did not report"},
	{name: "no learners", change: func(r *run) { r.ends = nil }, says: "no learner reported"},
}

func TestCheck(t *testing.T) {
	for _, c := range checkCases {
		var r run
		r.acks, r.tallies, r.ends = goodRun()
		c.change(&r)
		v := Check(r.acks, r.tallies, r.ends)
		if v.Lost != c.lost || v.Duplicated != c.duplicated || v.Reordered != c.reordered || v.Equal != c.equal || v.OK() != c.ok {
			t.Errorf("%s: ok %v, %+v", c.name, v.OK(), v)
		}
		if !strings.Contains(v.String(), c.says) {
			t.Errorf("%s: it says %q, want %q", c.name, v.String(), c.says)
		}
	}
}

func TestSpans(t *testing.T) {
	rng := rand.New(rand.NewSource(6))
	const size = 40
	draw := func() (spans []span, set [size]bool) {
		from := uint64(rng.Intn(size / 2))
		below := from + uint64(rng.Intn(size/4))
		var list []uint64
		for s := from; s < size; s++ {
			if set[s] = s < below || s > below && rng.Intn(3) == 0; set[s] && s >= below {
				list = append(list, s)
			}
		}
		return spansOf(from, below, list), set
	}
	same := func(what string, spans []span, want func(i int) bool) {
		t.Helper()
		var got [size]bool
		last := uint64(0)
		for i, s := range spans {
			if s.from >= s.to || i > 0 && s.from <= last {
				t.Fatalf("%s: spans %v", what, spans)
			}
			for last = s.from; last < s.to; last++ {
				got[last] = true
			}
		}
		n := uint64(0)
		for i := range got {
			if got[i] != want(i) {
				t.Fatalf("%s: %v, wrong about %d", what, spans, i)
			}
			if got[i] {
				n++
			}
		}
		if total(spans) != n {
			t.Fatalf("%s: total %d, want %d", what, total(spans), n)
		}
	}
	for range 5000 {
		a, inA := draw()
		b, inB := draw()
		same("of", a, func(i int) bool { return inA[i] })
		same("minus", minus(a, b), func(i int) bool { return inA[i] && !inB[i] })
		same("union", union(a, b), func(i int) bool { return inA[i] || inB[i] })
	}
}

func TestHashAsText(t *testing.T) {
	var h Hash
	if err := h.UnmarshalText([]byte(Hash(0xfedcba9876543210).String())); err != nil || h != 0xfedcba9876543210 {
		t.Errorf("%v, %v", h, err)
	}
	if err := h.UnmarshalText([]byte("12z")); err == nil {
		t.Error("12z was read as a hash")
	}
}
