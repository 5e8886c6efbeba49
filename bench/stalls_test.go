package bench

import (
	"testing"

	"wirepaxos/paxos"
)

const ms = 1_000_000

// answersAt is a load's report of stalls after answers at these times.
func answersAt(times ...paxos.Time) StallReport {
	l := &Load{}
	for _, at := range times {
		l.stalls.answer(at)
	}
	return l.Stalls()
}

func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []paxos.Time
		outage  int64
		over    bool
	}{
		{"no answer behind the window", []paxos.Time{99 * ms, 115 * ms}, 0, false},
		{"no answer at all", nil, 0, false},
		{"one stall around the event", []paxos.Time{99 * ms, 115 * ms, 300 * ms}, 200 * ms, true},
		{"values in flight are answered first", []paxos.Time{99 * ms, 101 * ms, 112 * ms, 113 * ms, 120 * ms, 126 * ms, 126*ms + 1, 204 * ms}, 104 * ms, true},
		{"only what is behind the event counts", []paxos.Time{10 * ms, 101 * ms, 103 * ms, 104 * ms, 199 * ms, 200 * ms}, 99 * ms, true},
		{"a stall that ended before", []paxos.Time{10 * ms, 99 * ms, 99*ms + 1, 102 * ms, 103 * ms, 201 * ms}, 101 * ms, true},
		{"one that begins behind the window", []paxos.Time{99 * ms, 104 * ms, 110 * ms, 200 * ms, 200*ms + 1, 900 * ms}, 100 * ms, true},
	} {
		r := answersAt(c.answers...)
		if outage, over := r.Outage(100*ms, 100*ms); outage != c.outage || over != c.over {
			t.Errorf("%s: outage %d, over %v; want %d, %v", c.name, outage, over, c.outage, c.over)
		}
	}
}

func TestNextAnswer(t *testing.T) {
	r := answersAt(99*ms, 101*ms, 101*ms+1, 130*ms, 130*ms+1)
	for from, want := range map[paxos.Time]paxos.Time{
		100 * ms: 101 * ms, 101 * ms: 101 * ms, 101*ms + 2: 130 * ms, 130*ms + 1: 130*ms + 1, // the last follows closely: the time itself
		130*ms + 2: 0, 500 * ms: 0,
	} {
		if got := r.Next(from); got != want {
			t.Errorf("the next answer from %d on came at %d, want %d", from, got, want)
		}
	}
}

// Answers that follow each other closely are no stall.
func TestOutageOfNothing(t *testing.T) {
	var times []paxos.Time
	for at := paxos.Time(1); at < 300*ms; at += leastStallNs - 1 {
		times = append(times, at)
	}
	r := answersAt(times...)
	if outage, over := r.Outage(100*ms, 100*ms); len(r.Stalls) != 0 || outage != 0 || !over || r.Next(100*ms) != 100*ms {
		t.Errorf("%d stalls, outage %d, over %v, next answer %d", len(r.Stalls), outage, over, r.Next(100*ms))
	}
}

// The ring holds the last second whatever happens, the latest stall last, and a load notes stalls without allocating.
func TestStallsOfTheLastSecond(t *testing.T) {
	l, n := &Load{}, paxos.Time(0)
	allocs := testing.AllocsPerRun(3*stallRing, func() {
		n++
		l.stalls.answer(n * leastStallNs)
	})
	r := l.Stalls()
	if allocs != 0 || len(r.Stalls) != stallRing || r.Last != n*leastStallNs || r.Stalls[stallRing-1].To != r.Last {
		t.Errorf("%v allocations, %d stalls up to %v, last answer %d", allocs, len(r.Stalls), r.Stalls[stallRing-1], r.Last)
	}
	for i, s := range r.Stalls[1:] {
		if s.From != r.Stalls[i].To {
			t.Fatalf("stall %d begins at %d, the one before ends at %d", i+1, s.From, r.Stalls[i].To)
		}
	}
	if r.Last-r.Stalls[0].From < 1e9 {
		t.Errorf("the ring covers %d ns only", r.Last-r.Stalls[0].From)
	}
}

// A load notes each answer of a value that was delivered.
func TestLoadNotesStalls(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, Values: 100})
	r.step()
	for range 5 {
		r.answerAll()
		r.step()
	}
	before := r.now
	r.now += 7 * ms
	r.answerAll()
	r.step()
	got := r.load.Stalls()
	if len(got.Stalls) != 1 || got.Stalls[0] != (Stall{before, r.now}) || got.Last != r.now {
		t.Errorf("stalls %+v, want one from %d to %d", got, before, r.now)
	}
}
