package compare

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"wirepaxos/bench"
)

// suiteOf has one scenario with a point whose runs have these rates; their latencies are a million over that.
func suiteOf(rates ...float64) *bench.Suite {
	p := bench.Point{Series: "AF_XDP", Config: bench.Config{System: "wirepaxos", Transport: "afxdp", Mode: "copy", Outstanding: 1}}
	for i, v := range rates {
		p.Runs = append(p.Runs, bench.Run{Round: i + 1, ValuesPerS: v, LatencyUs: bench.Latency{P50: 1e6 / v, P99: 2e6 / v}})
	}
	return &bench.Suite{Command: "wirepaxos bench latency", Scenarios: []bench.Scenario{{Name: "latency", X: "outstanding", Points: []bench.Point{p}}}}
}

func text(t *testing.T, r *Result) string {
	t.Helper()
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name      string
		a, b      []float64
		want      Verdict
		gap       float64 // of values/s
		inText    string
		perCentOf float64
	}{
		{"apart, more", []float64{100, 110, 120}, []float64{131, 140, 150}, Better, 10, "better, by 10.0 % at least", 27.27},
		{"apart, less", []float64{131, 140, 150}, []float64{100, 110, 117}, Worse, 10, "worse, by 10.0 % at least", -21.43},
		{"overlapping", []float64{100, 110, 120}, []float64{119, 140, 150}, Noise, 0, "within noise", 27.27},
		{"touching", []float64{100, 110, 120}, []float64{120, 140}, Noise, 0, "within noise", 18.18},
		{"all the same", []float64{100, 100}, []float64{100, 100}, Same, 0, "the same", 0},
		{"one run each", []float64{100}, []float64{200}, NoVerdict, 0, "one run each: no verdict", 100},
		{"one run before", []float64{100}, []float64{200, 210}, NoVerdict, 0, "one run in A: no verdict", 105},
		{"one run after", []float64{200, 210}, []float64{100}, NoVerdict, 0, "one run in B: no verdict", -51.22},
	} {
		r := Suites(suiteOf(c.a...), suiteOf(c.b...))
		if len(r.Changes) != 3 {
			t.Fatalf("%s: %d changes, want values/s, p50 and p99", c.name, len(r.Changes))
		}
		got := r.Changes[0]
		if got.Verdict != c.want || math.Abs(got.Gap-c.gap) > 0.01 || math.Abs(*got.Percent-c.perCentOf) > 0.01 {
			t.Errorf("%s: %s by %.2f %%, change %.2f %%, want %s by %g %%, change %g %%", c.name, got.Verdict, got.Gap, *got.Percent, c.want, c.gap, c.perCentOf)
		}
		if latency := r.Changes[1]; latency.Figure != "p50 µs" || latency.Verdict != c.want {
			t.Errorf("%s: %s is %s, want %s: less of it is better", c.name, latency.Figure, latency.Verdict, c.want)
		}
		if all := text(t, r); !strings.Contains(all, c.inText) {
			t.Errorf("%s: the text has no %q:\n%s", c.name, c.inText, all)
		}
	}
}

func TestPointsAreFoundByConfiguration(t *testing.T) {
	a, b := suiteOf(100, 110), suiteOf(100, 110)
	another := b.Scenarios[0].Points[0]
	another.Config.Outstanding = 64
	b.Scenarios[0].Points = append([]bench.Point{another}, b.Scenarios[0].Points...)
	missing := a.Scenarios[0].Points[0]
	missing.Series = "memory"
	a.Scenarios[0].Points = append(a.Scenarios[0].Points, missing)
	r := Suites(a, b)
	if len(r.Changes) != 3 || r.Changes[0].Verdict != Noise {
		t.Errorf("changes %+v, want those of the point that both have", r.Changes)
	}
	if strings.Join(r.OnlyA, "|") != "latency: memory" || strings.Join(r.OnlyB, "|") != "latency: AF_XDP, 64 outstanding" {
		t.Errorf("only in A %q, only in B %q", r.OnlyA, r.OnlyB)
	}
	all := text(t, r)
	for _, want := range []string{"Only in A:\n  latency: memory", "Only in B:\n  latency: AF_XDP, 64 outstanding"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

func TestWhatSocketsGotAndVersionsAreNamed(t *testing.T) {
	a, b := suiteOf(100, 110), suiteOf(100, 110)
	b.Scenarios[0].Points[0].Config.Mode = "zerocopy"
	r := Suites(a, b)
	if len(r.Changes) != 3 || r.Changes[0].Note != "mode: copy before, zerocopy after" {
		t.Errorf("%+v, want the points side by side with both modes named", r.Changes)
	}
	for i, s := range []*bench.Suite{a, b} {
		s.Scenarios[0].Points[0].Config = bench.Config{System: []string{"other v1.2", "other v1.3"}[i]}
	}
	if r = Suites(a, b); len(r.Changes) != 3 || r.Changes[0].Note != "system: other v1.2 before, other v1.3 after" {
		t.Errorf("%+v, want the points side by side with both versions named", r.Changes)
	}
	for i, s := range []*bench.Suite{a, b} {
		s.Scenarios[0].Points[0].Name, s.Scenarios[0].Points[0].Config = "afxdp-50pct", bench.Config{RatePerS: float64(1000 * (i + 1))}
	}
	if r = Suites(a, b); len(r.Changes) != 3 || !strings.Contains(r.Changes[0].Note, "rate_per_s: 1000 before, 2000 after") {
		t.Errorf("%+v, want the shares of two peaks side by side", r.Changes)
	}
}

func TestUnlikeMachinesAreNamed(t *testing.T) {
	a, b := suiteOf(1, 2), suiteOf(1, 2)
	if r := Suites(a, b); len(r.Unlike) != 0 {
		t.Errorf("unlike: %q, of the same conditions", r.Unlike)
	}
	a.Machine = bench.Machine{Kernel: "6.1", CPU: "x", CPUs: 2, Commit: "abc", StealPercent: 12.5}
	b.Machine = bench.Machine{Kernel: "6.2", CPU: "x", CPUs: 4}
	b.Quick = true
	all := strings.Join(Suites(a, b).Unlike, "\n")
	for _, want := range []string{"kernel: A 6.1, B 6.2", "CPUs: A 2, B 4", "commit: A abc, B (not known)", "steal: the host took 12.5 %", "quick:"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
	if strings.Contains(all, "CPU: ") {
		t.Errorf("the same CPU is named:\n%s", all)
	}
}

func TestRunsThatProveNothingAreLeftOut(t *testing.T) {
	a, b := suiteOf(100, 110, 5000), suiteOf(100, 110)
	a.Scenarios[0].Points[0].Runs[2].Problems = []string{"lost"}
	b.Scenarios = append(b.Scenarios, bench.Scenario{Name: "micro", Skipped: "no sources"})
	r := Suites(a, b)
	if got := r.Changes[0]; got.A.N != 2 || got.A.Max != 110 {
		t.Errorf("A is %+v, want two runs up to 110", got.A)
	}
	if want := "A: latency, AF_XDP: 1 of 3 runs failed the check|B: micro was skipped: no sources"; strings.Join(r.Left, "|") != want {
		t.Errorf("left out %q, want %q", r.Left, want)
	}
}

func TestBenchmarksAndFailovers(t *testing.T) {
	side := func(ns, ms float64, allocations float64) *bench.Suite {
		kills := []bench.Failover{{ValueMs: ms}, {ValueMs: ms + 1}}
		return &bench.Suite{Scenarios: []bench.Scenario{
			{Name: "micro", Micro: []bench.Micro{{Name: "paxos.Accept", NsPerOp: []float64{ns, ns + 1}, AllocsPerOp: allocations}}},
			{Name: "failover", Failovers: []bench.FailoverPoint{{Series: "AF_XDP", Failovers: kills}}},
		}}
	}
	r := Suites(side(100, 9, 0), side(50, 20, 1))
	if len(r.Changes) != 2 {
		t.Fatalf("%+v", r.Changes)
	}
	if c := r.Changes[0]; c.Figure != "ns/op" || c.Verdict != Better || c.Note != "allocations/op: 0 before, 1 after" {
		t.Errorf("%+v", c)
	}
	if c := r.Changes[1]; c.Figure != "next value ms" || c.Verdict != Worse {
		t.Errorf("%+v", c)
	}
}

func TestNothingInCommon(t *testing.T) {
	r := Suites(&bench.Suite{Command: "wirepaxos bench latency"}, suiteOf(1, 2))
	if all := text(t, r); !strings.Contains(all, "Nothing is in both") {
		t.Errorf("%s", all)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"changes":[]`, `"only_a":[]`, `"unlike":[]`, `"left_out":[]`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("no %s in %s", want, data)
		}
	}
	if _, err := json.Marshal(Suites(suiteOf(1e-300, 1), suiteOf(1e300, 2e300))); err != nil {
		t.Errorf("extreme figures: %v", err)
	}
}
