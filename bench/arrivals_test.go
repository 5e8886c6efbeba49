package bench

import (
	"math"
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// Values are submitted in the first step from their due time on, whether or not there were answers.
func TestOpenLoopFollowsItsSchedule(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 3, Outstanding: 64, Size: 64, Rate: 250e3, Arrivals: ArrivalsConstant, DurationNs: 100 * 4 * rigCycle})
	begin := r.now + rigCycle
	for n := range 100 {
		for k := range 4 { // one value every four cycles
			if r.step(); r.sent != 1 && k == 0 || r.sent != 0 && k > 0 {
				t.Fatalf("value %d, cycle %d: %d were sent", n, k, r.sent)
			}
			if want := begin + paxos.Time(n+1)*4*rigCycle; r.load.Deadline() != want {
				t.Fatalf("value %d, cycle %d: the next Fill is due at %d, want %d", n, k, r.load.Deadline()-begin, want-begin)
			}
		}
	}
	per := map[paxos.ClientID]int{}
	for _, v := range r.held {
		per[v.Client]++
	}
	for client, n := range per {
		if n < 33 || n > 34 {
			t.Errorf("client %v has %d of 100 values, want a third", client, n)
		}
	}
	r.finish(3)
	if res := r.result(); res.Values != 100 || res.Behind != 0 || res.Waited != 0 || res.RatePerS != 250e3 || res.Arrivals != ArrivalsConstant || res.IntervalNs != 0 {
		t.Errorf("result %+v", res)
	}
}

// What a value waited for is part of what it took: a cluster that stands still must not look fast.
func TestOpenLoopMeasuresFromWhenAValueWasDue(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 5, Size: 8, Rate: 1e6, Arrivals: ArrivalsConstant, DurationNs: 1000 * rigCycle})
	for range 500 { // ten values fill the places, the others wait
		r.step()
	}
	if r.load.open != 10 || r.load.Deadline() != r.load.end {
		t.Fatalf("%d in flight, the next Fill due at %d", r.load.open, r.load.Deadline()-r.now)
	}
	if n := r.load.behind(); n != 490 {
		t.Errorf("in the middle %d values wait, want 490", n)
	}
	for range 499 { // answered in the cycle behind the submission from now on
		r.answerAll()
		r.step()
	}
	r.finish(10)
	res := r.result()
	m := mustMerge(t, res)
	if res.Values != 1000 || res.Behind != 0 || res.Waited < 490 {
		t.Errorf("%d values, %d behind, %d waited; want all, for ten a cycle catch up", res.Values, res.Behind, res.Waited)
	}
	if longest := m.Measured.Max(); longest < 499*rigCycle {
		t.Errorf("the longest took %d ns, want what the stall took", longest)
	}
	// A closed loop would have seen the stall ten times. Half of all values were due in it, and waited 275 cycles in the mean.
	if p75 := m.Measured.ValueAtPercentile(75); p75 < 250*rigCycle {
		t.Errorf("three in four took at most %d ns: half of all waited for long", p75)
	}
	if late := m.Late.Max(); late < 480*rigCycle || m.Late.TotalCount() != 1000 {
		t.Errorf("submitted at most %d ns late, %d values", late, m.Late.TotalCount())
	}
}

// What cannot be submitted at all is told.
func TestOpenLoopTellsWhatItIsBehind(t *testing.T) {
	for _, spread := range []string{ArrivalsConstant, ArrivalsPoisson} {
		r := newRig(t, LoadConfig{
			Sessions: 1, Outstanding: 4, Size: 8, Rate: 8e6, Arrivals: spread, WarmupNs: 100 * rigCycle, DurationNs: 1000 * rigCycle, Seed: 5,
		})
		for !r.load.Finished() { // four of the eight values that are due in a cycle
			r.answerAll()
			r.step()
		}
		res := r.result()
		due := float64(res.Submitted + res.Behind)
		if math.Abs(due-8000) > 5*math.Sqrt(8000) || spread == ArrivalsConstant && due != 8000 {
			t.Errorf("%s: %d submitted and %d behind, want 8,000 together", spread, res.Submitted, res.Behind)
		}
		// What was left of the warm-up waits no more.
		if res.Submitted < 3990 || res.Submitted > 4010 || res.Unanswered != 0 || res.Values != res.Submitted {
			t.Errorf("%s: %d submitted, %d answered", spread, res.Submitted, res.Values)
		}
		m := mustMerge(t, res)
		var report Report
		report.TakeClients(&m)
		var b strings.Builder
		if err := report.Text(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"open loop: 8,000,000 values/s due, " + spread, "were due and never submitted", "lower bound", "late submit", "values waited"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is missing in:\n%s", want, b.String())
			}
		}
		if report.Load != "open" || report.Behind != res.Behind || report.Waited == 0 || report.LateSubmitUs.P50 == 0 || report.LatencyUs != report.LatencyCorrectedUs {
			t.Errorf("report %+v", report)
		}
	}
}

// What is due between the last cycle before the end and the end is submitted by the first one behind it.
func TestOpenLoopSubmitsUpToItsEnd(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 64, Size: 8, Rate: 4e6, Arrivals: ArrivalsConstant, DurationNs: 10 * rigCycle})
	for range 10 {
		r.step()
	}
	if r.load.submitted != 37 {
		t.Fatalf("%d submitted a cycle before the end, want 37", r.load.submitted)
	}
	r.finish(5)
	if res := r.result(); res.Submitted != 40 || res.Values != 40 || res.Behind != 0 {
		t.Errorf("result %+v", res)
	}
}

// Every value was asked for and submitted: nothing is behind, however late.
func TestOpenLoopEndsAfterValues(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, Rate: 8e6, Values: 100})
	r.finish(100)
	if res := r.result(); res.Submitted != 100 || res.Values != 100 || res.Behind != 0 {
		t.Errorf("result %+v", res)
	}
}

// Without a session nothing is submitted, and all that was due is behind.
func TestOpenLoopWithoutSessions(t *testing.T) {
	r := newRigFrom(t, LoadConfig{Sessions: 1, Outstanding: 4, Size: 8, Rate: 1e6, Arrivals: ArrivalsConstant, DurationNs: 50 * rigCycle}, 0, false)
	for range 60 {
		r.step()
	}
	if res := r.result(); !r.load.Finished() || res.Submitted != 0 || res.Behind != 50 {
		t.Errorf("finished %v, result %+v", r.load.Finished(), res)
	}
}

// One that runs too far past its oldest unanswered value gets none until that is answered; the others do.
func TestOpenLoopPassesOverASessionThatIsHeldBack(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 8, Size: 8, Rate: 2e6, Arrivals: ArrivalsConstant})
	r.step()
	r.step()
	oldest := r.held[0]
	for range 300 {
		for len(r.held) > 1 {
			r.answer(1, paxos.StatusDelivered)
		}
		r.step()
	}
	if e := r.load.behind(); e != 0 {
		t.Errorf("%d values wait though a session has room", e)
	}
	before := r.load.submitted
	r.answer(slices.IndexFunc(r.held, func(v paxos.Value) bool {
		return v.Client == oldest.Client && v.Sequence == oldest.Sequence
	}), paxos.StatusDelivered)
	for range 4 {
		r.step()
	}
	if r.load.submitted < before+4 || !slices.ContainsFunc(r.held, func(v paxos.Value) bool { return v.Client == oldest.Client }) {
		t.Errorf("client %v gets no values after its oldest was answered", oldest.Client)
	}
}

// The draws have the distribution that they are called by, and a seed gives them again.
func TestArrivalsArePoisson(t *testing.T) {
	const n, mean = 200_000, 500.0
	draw := func(seed uint64) (gaps []float64) {
		s := newSchedule(mean, true, seed)
		s.start(1000)
		for last := 0.0; len(gaps) < n; s.pass() {
			gaps = append(gaps, s.offset-last)
			last = s.offset
		}
		return gaps
	}
	gaps := draw(7)
	if !slices.Equal(gaps, draw(7)) || slices.Equal(gaps, draw(8)) {
		t.Error("one seed must give one sequence")
	}
	sum, over := 0.0, [3]int{}
	for _, g := range gaps {
		sum += g
		for k := range over {
			if g > mean*float64(k+1) {
				over[k]++
			}
		}
	}
	if m := sum / n; math.Abs(m-mean) > 5*mean/math.Sqrt(n) {
		t.Errorf("mean %g, want %g", m, mean)
	}
	for k, got := range over {
		p := math.Exp(-float64(k + 1))
		if sigma := math.Sqrt(n * p * (1 - p)); math.Abs(float64(got)-n*p) > 5*sigma {
			t.Errorf("%d gaps over %d means, want %g", got, k+1, n*p)
		}
	}
}

func TestCountUntil(t *testing.T) {
	s := newSchedule(10, false, 0)
	s.start(1000)
	for _, c := range []struct {
		from, until paxos.Time
		want        uint64
	}{{0, 1000, 0}, {0, 1001, 1}, {1000, 1100, 10}, {1050, 1100, 5}, {1051, 1100, 4}, {2000, 1500, 0}, {0, 1000 + 1e10, 1e9}} {
		if n := s.countUntil(c.from, c.until); n != c.want {
			t.Errorf("from %d until %d there are %d, want %d", c.from, c.until, n, c.want)
		}
	}
	if s.n != 0 || s.due() != 1000 {
		t.Error("counting passed times")
	}
	s = newSchedule(10, true, 3)
	s.start(0)
	whole := s.countUntil(0, 10_000)
	for range 100 {
		s.pass()
	}
	if n := s.countUntil(0, 10_000); n != whole-100 {
		t.Errorf("%d of %d are left behind the first 100", n, whole)
	}
}

func TestCheckArrivals(t *testing.T) {
	for _, c := range []struct {
		rate   float64
		spread string
		want   string
	}{
		{0, ArrivalsPoisson, "0 values/s"}, {-1, ArrivalsPoisson, "-1 values/s"}, {math.NaN(), ArrivalsPoisson, "NaN"},
		{2e8, ArrivalsConstant, "at most 100000000"}, {5, "bursts", `"bursts"`},
	} {
		if _, err := NewLoad(LoadConfig{Sessions: 1, Outstanding: 1, Size: 1, Rate: c.rate, Arrivals: c.spread}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

func TestOpenLoopAllocatesNothing(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 4, Outstanding: 64, Size: 64, Rate: 200e6 / 2, Seed: 1})
	NewProgress(r.load, r.now)
	cycle := func() {
		r.answerAll()
		r.step()
	}
	for range 20 {
		cycle()
	}
	if n := testing.AllocsPerRun(200, cycle); n != 0 {
		t.Errorf("a step of an open loop allocates %.1f times", n)
	}
	if r.load.answered < 200*50 {
		t.Errorf("nothing was measured: %d values", r.load.answered)
	}
}

func BenchmarkOpenLoop(b *testing.B) {
	r := newRig(b, LoadConfig{Sessions: 4, Outstanding: 1024, Size: 64, Rate: 1e8})
	b.ReportAllocs()
	for i := 0; i < b.N; i += 100 {
		r.answerAll()
		r.step()
	}
}

func BenchmarkGap(b *testing.B) {
	s := newSchedule(1000, true, 1)
	s.start(0)
	b.ReportAllocs()
	for b.Loop() {
		s.pass()
	}
}
