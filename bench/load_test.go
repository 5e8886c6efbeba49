package bench

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

func TestLoadKeepsPlacesFull(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 3, Outstanding: 4, Size: 64})
	rng := rand.New(rand.NewSource(1))
	for range 2000 {
		r.step()
		for s := range 3 {
			if r.c.Open(s) != 4 {
				t.Fatalf("session %d has %d values in flight, want 4", s, r.c.Open(s))
			}
		}
		r.answer(rng.Intn(min(len(r.held), 6)), paxos.StatusDelivered)
	}
}

func TestLoadEndsAfterValues(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 8, Size: 1, Values: 1001})
	r.finish(1000)
	res := r.result()
	if res.Submitted != 1001 || res.Values != 1001 || res.Unanswered != 0 || r.c.Counters.Submitted != 1001 || res.Warmup != 0 {
		t.Errorf("result %+v, want 1,001 values", res)
	}
	if want := int64(rigCycle) * 63; res.DurationNs != want { // ceil(1001/16) rounds of a cycle each
		t.Errorf("it took %d ns from the first submission to the last answer, want %d", res.DurationNs, want)
	}
}

func TestFewerValuesThanPlaces(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 4, Outstanding: 16, Size: 8, Values: 3})
	r.finish(10)
	if res := r.result(); res.Values != 3 || r.c.Counters.Submitted != 3 {
		t.Errorf("%d values, want 3", res.Values)
	}
}

func TestLoadEndsAfterDuration(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, DurationNs: 50 * rigCycle})
	begin := r.now + rigCycle
	r.step()
	for !r.load.Finished() {
		if d := r.load.Deadline(); r.load.stopped == (d == begin+50*rigCycle) && r.load.open > 0 {
			t.Fatalf("after %d ns the next Fill is due at %d", r.now-begin, d-begin)
		}
		r.answerAll()
		r.step()
		if r.now-begin > 60*rigCycle {
			t.Fatal("it goes on past its duration")
		}
	}
	if res := r.result(); res.DurationNs != 50*rigCycle || res.Values != 100 || res.Unanswered != 0 {
		t.Errorf("%d values in %d ns, %d unanswered; want 100 in %d", res.Values, res.DurationNs, res.Unanswered, 50*rigCycle)
	}
	if r.load.Deadline() != never {
		t.Error("a finished load wants to be called again")
	}
}

// A cluster that dies in the middle must not look fast by what it did before.
func TestDurationCountsSilence(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, DurationNs: 50 * rigCycle, DrainNs: 20 * rigCycle})
	for range 10 {
		r.answerAll()
		r.step()
	}
	for range 100 {
		r.step()
	}
	res := r.result()
	if !r.load.Finished() || res.DurationNs != 50*rigCycle || res.Unanswered != 2 {
		t.Errorf("finished %v, %d ns, %d unanswered, want the whole duration and 2", r.load.Finished(), res.DurationNs, res.Unanswered)
	}
}

func TestDrainIsBounded(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, Values: 2, DrainNs: 20 * rigCycle})
	r.step()
	for range 19 {
		r.step()
		if r.load.Finished() {
			t.Fatal("it did not wait for answers as long as it was told to")
		}
	}
	if d := r.load.Deadline(); d != r.now+rigCycle {
		t.Errorf("the next Fill is due in %d ns", d-r.now)
	}
	r.step()
	if res := r.result(); !r.load.Finished() || res.Unanswered != 2 || res.DurationNs != 20*rigCycle {
		t.Errorf("finished %v, %d unanswered after %d ns", r.load.Finished(), res.Unanswered, res.DurationNs)
	}
}

func TestWarmupIsNotMeasured(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 1, Size: 8, Values: 100, WarmupNs: 50 * rigCycle})
	for range 15 { // slow ones, in the warm-up
		r.step()
		r.now += 2 * rigCycle
		r.answerAll()
	}
	r.finish(1000)
	res := r.result()
	if res.Values != 100 || res.Submitted != 100 || res.Warmup == 0 || res.Warmup+100 != r.c.Counters.Delivered {
		t.Errorf("%d values of %d, %d in the warm-up", res.Values, res.Submitted, res.Warmup)
	}
	if slowest := r.load.measured.Max(); slowest > 2*rigCycle {
		t.Errorf("a value of %d ns was measured: that was in the warm-up", slowest)
	}
}

func TestStop(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 4, Size: 8})
	for range 10 {
		r.answerAll()
		r.step()
	}
	r.now += 30 * rigCycle // silence, which counts
	r.load.Stop(r.now)
	r.answerAll()
	r.c.Step(r.now, []paxos.Message{{Kind: paxos.KindReply, From: 2, Data: r.reply}}, r.out)
	r.reply = r.reply[:0]
	if r.load.open != 0 || r.load.Deadline() > r.now {
		t.Errorf("all is answered and the next Fill is due in %d ns", r.load.Deadline()-r.now)
	}
	r.finish(3)
	if res := r.result(); res.Unanswered != 0 || res.Values != 40 || res.DurationNs != 39*rigCycle {
		t.Errorf("%d values, %d unanswered, in %d ns", res.Values, res.Unanswered, res.DurationNs)
	}
}

// Waiting for answers after a stop is no part of the measurement.
func TestStopWithoutAnswers(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 4, Size: 8, DrainNs: 20 * rigCycle})
	for range 11 {
		r.step()
	}
	r.load.Stop(r.now)
	for range 30 {
		r.step()
	}
	if res := r.result(); !r.load.Finished() || res.Unanswered != 4 || res.DurationNs != 10*rigCycle {
		t.Errorf("finished %v, %d unanswered, in %d ns", r.load.Finished(), res.Unanswered, res.DurationNs)
	}
}

// A session that its oldest value holds back fills its places again when that one is answered.
func TestRefusedSubmissionsAreMadeUp(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: paxos.SessionSpan, Size: 8})
	for range 4 {
		r.step()
	}
	for len(r.held) > 1 {
		r.answer(1, paxos.StatusDelivered)
	}
	r.step()
	if r.c.Open(0) != 1 {
		t.Fatalf("%d in flight: the first one should hold the session", r.c.Open(0))
	}
	r.answerAll()
	r.step()
	if r.c.Open(0) != paxos.SessionSpan {
		t.Errorf("%d in flight after the oldest was answered, want %d", r.c.Open(0), paxos.SessionSpan)
	}
}

// More places than an outbox has room for are filled over several steps, and answers to all at once are followed up likewise.
func TestStepsAreBounded(t *testing.T) {
	const sessions, outstanding = 16, 1024
	r := newRig(t, LoadConfig{Sessions: sessions, Outstanding: outstanding, Size: 64})
	steps := func() (n int) {
		for total := 0; total < sessions*outstanding; n++ {
			if n > 100 {
				t.Fatalf("only %d of %d places were filled in %d steps", total, sessions*outstanding, n)
			}
			r.step()
			if total += r.sent; r.sent > 2048 || r.out.Dropped > 0 {
				t.Fatalf("%d values in one step, %d messages dropped", r.sent, r.out.Dropped)
			}
		}
		return n
	}
	if n := steps(); n != 8 {
		t.Errorf("filled in %d steps, want 8", n)
	}
	r.answerAll()
	if n := steps(); n != 8 {
		t.Errorf("filled again in %d steps, want 8", n)
	}
	if d := r.load.Deadline(); d != never {
		t.Errorf("with all places full the next Fill is due at %d", d)
	}
}

func TestFailedSessionsGetNoMore(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 2, Size: 8})
	r.step()
	first := r.held[1].Client
	r.answer(1, paxos.StatusNoRoom)
	r.step()
	if r.load.Finished() {
		t.Fatal("finished with a session left")
	}
	for range 10 {
		for i := len(r.held) - 1; i >= 0; i-- {
			if r.held[i].Client != first {
				r.answer(i, paxos.StatusDelivered)
			}
		}
		r.step()
	}
	acks := r.load.Acked()
	i := slices.IndexFunc(acks, func(a SessionAcks) bool { return a.Client == uint64(first) })
	if a := acks[i]; a.Submitted != 2 || !slices.Equal(a.Failed, []uint64{2}) || a.Below != 1 || len(a.Above) != 0 {
		t.Errorf("the session that failed: %+v", a)
	}
	for len(r.held) > 0 {
		r.answer(0, paxos.StatusUnknown)
	}
	r.step()
	if res := r.result(); !r.load.Finished() || res.Failed != 4 || res.Unanswered != 0 {
		t.Errorf("all sessions failed: finished %v, %d failed, %d unanswered", r.load.Finished(), res.Failed, res.Unanswered)
	}
}

// Acknowledgements against a model that remembers each one.
func TestAcknowledgements(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 300, Size: 8})
	model := map[uint64]map[uint64]bool{}
	for round := range 3000 {
		r.step()
		for range rng.Intn(12) {
			i := rng.Intn(1 + rng.Intn(len(r.held)))
			v := r.held[i]
			if model[uint64(v.Client)] == nil {
				model[uint64(v.Client)] = map[uint64]bool{}
			}
			model[uint64(v.Client)][v.Sequence] = true
			r.answer(i, paxos.StatusDelivered)
		}
		if round%100 == 99 {
			r.step()
			checkAcks(t, r.load.Acked(), model)
		}
	}
}

func checkAcks(t *testing.T, acks []SessionAcks, model map[uint64]map[uint64]bool) {
	t.Helper()
	for _, a := range acks {
		n := int(a.Below) - 1 + len(a.Above)
		if n != len(model[a.Client]) || !slices.IsSorted(a.Above) || model[a.Client][a.Below] {
			t.Fatalf("client %x: %d acknowledged below %d, and %d, want %d", a.Client, a.Below-1, a.Below, len(a.Above), len(model[a.Client]))
		}
		for _, s := range a.Above {
			if s <= a.Below || s > a.Submitted || !model[a.Client][s] {
				t.Fatalf("client %x: %d was not acknowledged, below %d, submitted %d", a.Client, s, a.Below, a.Submitted)
			}
		}
	}
}

func TestLatencyIsFromSubmissionToAnswer(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 1, Size: 8, Values: 4})
	for _, took := range []paxos.Time{2e3, 50e3, 7e6, 100e9} {
		r.step()
		r.now += took - rigCycle
		r.answerAll()
	}
	r.finish(2)
	m := mustMerge(t, r.result())
	for _, c := range []struct{ got, want int64 }{
		{m.Measured.Min(), 2e3}, {m.Measured.ValueAtPercentile(50), 50e3}, {m.Measured.ValueAtPercentile(75), 7e6}, {m.Measured.Max(), 60e9},
	} {
		if !m.Measured.ValuesAreEquivalent(c.got, c.want) {
			t.Errorf("measured %d ns, want %d", c.got, c.want)
		}
	}
	if m.Clamped != 1 {
		t.Errorf("%d answers over a minute, want 1", m.Clamped)
	}
}

func TestNewLoadSaysWhatIsWrong(t *testing.T) {
	good := LoadConfig{Sessions: 1, Outstanding: 1, Size: 1}
	for want, change := range map[string]func(*LoadConfig){
		"values of 0 bytes":    func(c *LoadConfig) { c.Size = 0 },
		"0 clients":            func(c *LoadConfig) { c.Sessions = 0 },
		"16385 clients":        func(c *LoadConfig) { c.Sessions = paxos.MaxSessions + 1 },
		"0 outstanding values": func(c *LoadConfig) { c.Outstanding = 0 },
		"takes more clients":   func(c *LoadConfig) { c.Outstanding = paxos.SessionSpan + 1 },
		"a negative time":      func(c *LoadConfig) { c.DrainNs = -1 },
	} {
		cfg := good
		change(&cfg)
		if _, err := NewLoad(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestLoadAllocatesNothing(t *testing.T) {
	for _, size := range []int{1, 64, 1396} {
		r := newRig(t, LoadConfig{Sessions: 4, Outstanding: 64, Size: size})
		NewProgress(r.load, r.now)
		cycle := func() {
			r.answerAll()
			r.step()
		}
		for range 20 {
			cycle()
		}
		if n := testing.AllocsPerRun(100, cycle); n != 0 {
			t.Errorf("values of %d bytes: a step of a load allocates %.1f times", size, n)
		}
		if r.load.answered < 100*128 {
			t.Errorf("nothing was measured: %d values", r.load.answered)
		}
	}
}

func TestPattern(t *testing.T) {
	for size := 1; size <= 40; size++ {
		b, other := make([]byte, size), make([]byte, size)
		same := 0
		for s := uint64(1); s <= 1000; s++ {
			FillPattern(b, 77, s)
			if !IsPattern(b, 77, s) {
				t.Fatalf("%d bytes: not the pattern of what they are", size)
			}
			FillPattern(other, 77, s+1)
			if slices.Equal(b, other) {
				same++
			}
			for i := range b { // SEEDS, fault 1: each byte counts, the last ones too
				b[i]++
				if IsPattern(b, 77, s) {
					t.Fatalf("%d bytes: a change of byte %d is not found", size, i)
				}
				b[i]--
			}
		}
		if size == 1 && same > 20 || size >= 8 && same > 0 {
			t.Errorf("%d bytes: %d of 1,000 neighbours are alike", size, same)
		}
	}
}

// BenchmarkLoad is 256 values that are answered, recorded and followed by others: Load with the client below it.
func BenchmarkLoad(b *testing.B) {
	r := newRig(b, LoadConfig{Sessions: 4, Outstanding: 64, Size: 64})
	b.ReportAllocs()
	for b.Loop() {
		r.answerAll()
		r.step()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*256), "ns/value")
}

func BenchmarkRecord(b *testing.B) {
	h := newHistogram()
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		record(h, 8000+i&4095, 1)
	}
}

// A resumed session goes on above what the earlier run had delivered.
func TestLoadOfResumedSessions(t *testing.T) {
	r := newRigFrom(t, LoadConfig{Sessions: 2, Outstanding: 4, Size: 8, Values: 20}, 5000, false)
	r.finish(100)
	for _, a := range r.load.Acked() {
		if a.First != 5000 || a.Below != a.Submitted+1 || a.Submitted < 5000 || len(a.Above) != 0 {
			t.Errorf("acknowledged %+v", a)
		}
	}
}

// A session that expired is reported as it ended, and the new one in its place is loaded; without one in its place the load ends.
func TestLoadGoesOnInANewSession(t *testing.T) {
	r := newRigFrom(t, LoadConfig{Sessions: 1, Outstanding: 4, Size: 8, Values: 40}, 1, true)
	r.step()
	old := r.held[0].Client
	r.answer(0, paxos.StatusDelivered)
	r.answer(0, paxos.StatusUnknown)
	r.held = r.held[:0]
	r.step()
	if r.load.Finished() || r.load.open != 0 {
		t.Fatalf("finished %v, %d open", r.load.Finished(), r.load.open)
	}
	r.finish(100)
	acks := r.load.Acked()
	if len(acks) != 2 || acks[0].Client == uint64(old) || acks[1].Client != uint64(old) {
		t.Fatalf("acknowledged %+v, want both sessions", acks)
	}
	if a := acks[1]; a.Submitted != 5 || !slices.Equal(a.Failed, []uint64{2, 3, 4, 5}) || a.Below != 6 {
		t.Errorf("the old session: %+v", a)
	}
	if a := acks[0]; a.First != 1 || a.Submitted != 35 || len(a.Failed) != 0 || a.Below != 36 {
		t.Errorf("the new session: %+v", a)
	}
	if res := r.result(); res.Values != 36 || res.Failed != 4 {
		t.Errorf("%d values, %d failed", res.Values, res.Failed)
	}
}

// Without an open session nothing is submitted, nobody is kept busy, and the run ends in its time.
func TestLoadWithoutSessionsEnds(t *testing.T) {
	r := newRigFrom(t, LoadConfig{Sessions: 1, Outstanding: 4, Size: 8, DurationNs: 50 * rigCycle}, 0, false)
	begin := r.now + rigCycle
	r.step()
	if d := r.load.Deadline(); d != begin+50*rigCycle || r.sent != 0 {
		t.Errorf("%d values were sent; the next Fill is due at %d, want the end at %d", r.sent, d-begin, 50*rigCycle)
	}
	for range 52 {
		r.step()
	}
	if !r.load.Finished() || r.result().Submitted != 0 {
		t.Error("it goes on without a session")
	}
}
