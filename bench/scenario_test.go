package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// sampleRun has n latencies of so many nanoseconds.
func sampleRun(t *testing.T, round int, n, ns int64, problems ...string) Run {
	t.Helper()
	h := newHistogram()
	record(h, ns, n)
	encoded, err := encode(h)
	if err != nil {
		t.Fatal(err)
	}
	return Run{
		Round: round, DurationS: 1, Values: uint64(n), ValuesPerS: float64(n), LatencyUs: latencyOf(h), HistogramV2: encoded, Problems: problems,
		Costs: Costs{Values: uint64(n), CPUS: 1, Voluntary: 2 * n, Involuntary: n, LoopVoluntary: -1, LoopInvoluntary: -1, Frames: 7 * n, Syscalls: 5},
	}
}

func TestReportAsRun(t *testing.T) {
	r := sampleReport(t)
	r.Equal, r.Problems = true, nil
	run, err := r.Run(3)
	if err != nil {
		t.Fatal(err)
	}
	if run.Round != 3 || run.Values != 20_000 || run.LatencyUs != r.LatencyUs || *run.LatencyCorrectedUs != r.LatencyCorrectedUs || len(run.Problems) != 0 {
		t.Errorf("run %+v", run)
	}
	p := Point{Runs: []Run{run, run}}
	if h, err := p.Histogram(); err != nil || h.TotalCount() != 40_000 {
		t.Errorf("two runs of 20,000 values have a histogram of %d, %v", h.TotalCount(), err)
	}
	c := Config{System: "wirepaxos"}
	r.Config(&c)
	if c.System != "wirepaxos" || c.Mode != "copy" || c.Transport != "afxdp" || c.Acceptors != 3 || c.WireHops != 3 || c.ValueSize != 64 {
		t.Errorf("config %+v", c)
	}
}

// A run that proves nothing says why.
func TestReportAsRunWithProblems(t *testing.T) {
	for _, c := range []struct {
		spoil func(*Report)
		want  []string
	}{
		{func(r *Report) { r.Equal = true }, nil},
		{func(r *Report) { r.Equal = false }, []string{"the learners did not deliver the same"}},
		{func(r *Report) { r.Equal, r.Problems = false, []string{"lost 3"} }, []string{"lost 3"}},
		{func(r *Report) { r.Equal, r.Values = true, 0 }, []string{"no value was delivered"}},
	} {
		r := sampleReport(t)
		r.Problems = nil
		c.spoil(r)
		run, err := r.Run(1)
		if err != nil || !slices.Equal(run.Problems, c.want) {
			t.Errorf("problems %q, want %q (%v)", run.Problems, c.want, err)
		}
	}
}

func TestJoinRuns(t *testing.T) {
	a, b := sampleRun(t, 2, 100, 5000, "lost 1"), sampleRun(t, 2, 300, 9000)
	joined, err := JoinRuns([]Run{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if joined.Values != 400 || joined.ValuesPerS != 400 || joined.Round != 2 || joined.LatencyUs.Min > 5.1 || joined.LatencyUs.P50 < 8.9 {
		t.Errorf("joined %+v", joined)
	}
	if !slices.Equal(joined.Problems, []string{"group 1: lost 1"}) {
		t.Errorf("problems %q", joined.Problems)
	}
	if c := joined.Costs; c.Voluntary != 800 || c.Frames != 2800 || c.LoopVoluntary != -1 || c.CPUS != 2 || c.Values != 400 {
		t.Errorf("costs %+v", c)
	}
	if one, err := JoinRuns([]Run{a}); err != nil || one.HistogramV2 != a.HistogramV2 || one.Problems[0] != "lost 1" {
		t.Errorf("of one run %+v, %v", one, err)
	}
	if _, err := JoinRuns([]Run{a, {HistogramV2: "garbage"}}); err == nil {
		t.Error("a histogram that cannot be read was joined")
	}
}

func sampleSuite(t *testing.T) *Suite {
	t.Helper()
	config := Config{Transport: "afxdp", Mode: "copy", Driver: "veth", Layout: "packed", Idle: "spin", Clients: 16, WireHops: 2, ValueSize: 64}
	other, shared := config, []CoreUse{{Core: 1}, {Core: -1}}
	other.Clients = 1
	sleeps := other
	sleeps.Idle = "block"
	return &Suite{Schema: SuiteSchema, Scenarios: []Scenario{
		{
			Name: "curve", Title: "more and more clients", Command: "wirepaxos bench curve", X: "clients", TookS: 12,
			Notes: []string{strings.Repeat("a long note ", 20)},
			Points: []Point{
				{Name: "afxdp-c1", Series: "AF_XDP", Config: other, Runs: []Run{
					sampleRun(t, 1, 1000, 7000), sampleRun(t, 2, 3000, 9000), sampleRun(t, 3, 5000, 9000, "lost 3"),
				}},
				{Name: "udp-c1", Series: "kernel UDP", Config: sleeps, Cores: shared, Failed: "round 2: it broke", Runs: []Run{sampleRun(t, 1, 500, 20_000)}},
				{Name: "afxdp-c16", Series: "AF_XDP", Config: config, Runs: []Run{sampleRun(t, 1, 123_456, 50_000)}},
				{Name: "mem-c1", Series: "memory", Config: other, Failed: "not measured: no AF_XDP"},
			},
		},
		{
			Name: "failover", Title: "leaders die", Command: "wirepaxos bench failover", Failovers: []FailoverPoint{
				{Name: "udp", Series: "kernel UDP", Kills: 5, ValueMs: FailoverTimes{1, 9.5, 11, 12}, HistogramV2: sampleRun(t, 1, 5, 9_500_000).HistogramV2,
					Problems: []string{"doubled 1"}},
				{Name: "afxdp", Failed: "not measured: no AF_XDP"},
			},
		},
		{Name: "micro", Title: "hot functions", Micro: []Micro{{Name: "paxos.Decode", NsPerOp: []float64{30, 20, 40}, NsEach: []float64{3, 2, 4}, AllocsPerOp: 1}}},
		{Name: "other", Title: "nothing", Skipped: "there is none"},
	}}
}

// A table has its points by series, medians with their ranges, and what went wrong.
func TestScenarioText(t *testing.T) {
	s := sampleSuite(t)
	var b strings.Builder
	for i := range s.Scenarios {
		if err := s.Scenarios[i].Text(&b); err != nil {
			t.Fatal(err)
		}
	}
	text := b.String()
	last := -1
	for _, want := range []string{
		"curve: more and more clients\n  wirepaxos bench curve, 3 runs of 1 s a point, in turn, 12 s in all\n" +
			"  afxdp in copy mode on veth\n  packed: idle spin, a core for each loop; packed: idle block, no cores of their own\n\n",
		"clients             values/s", "AF_XDP            1  2,000 (1,000–3,000)", "AF_XDP           16              123,456", "kernel UDP        1",
		"PROBLEM: afxdp-c1, round 3: lost 3", "udp-c1: round 2: it broke", "mem-c1: not measured", "  * a long note",
		"afxdp: not measured: no AF_XDP", "kernel UDP      5", "9.5  11.0   12.0", "PROBLEM: udp: doubled 1", "paxos.Decode  30.0 (20.0–40.0)  3.00 (2.00–4.00)",
		"skipped: there is none",
	} {
		at := strings.Index(text, want)
		if at < 0 || at < last {
			t.Errorf("%q is missing or not in its place in:\n%s", want, text)
		}
		last = max(last, at)
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(line) > 121 {
			t.Errorf("%d columns: %s", utf8.RuneCountInString(line), line)
		}
	}
}

// Scenarios that are about something else than the highest percentiles show that.
func TestScenarioTextOfItsOwn(t *testing.T) {
	s := sampleSuite(t)
	run := &s.Scenarios[0].Points[0].Runs[0]
	run.Stages = []Stage{
		{From: "client", To: "proposer", Samples: 5, LatencyUs: Latency{P50: 0.75}}, {From: "proposer", To: "acceptor"},
		{From: "client", To: "client", Samples: 5, LatencyUs: Latency{P50: 6.5}},
	}
	run.Wire, run.Behind, run.StealPercent = &Wire{FloorUs: 4.5, RatioFloor: 1.25}, 12, 7
	for name, want := range map[string][]string{
		"cpu":    {"switches/s", " 6,000", "370,368", "of loops/s", "-", "CPU µs/value"},
		"hops":   {"hops", "frames/value", "7.00"},
		"stages": {"to proposer  to acceptor  in all", "0.75            -    6.50"},
		"sizes":  {"Mbit/s", "      1  "},
		"curve":  {"floor µs", "4.50", "ratio", "1.25", "behind", "steal %"},
	} {
		sc := s.Scenarios[0]
		sc.Name, sc.Points = name, slices.Clone(sc.Points)
		if name == "curve" || name == "stages" {
			sc.Points = sc.Points[:1]
			sc.Points[0].Runs = sc.Points[0].Runs[:1]
		}
		var b strings.Builder
		if err := sc.Text(&b); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: %q is missing in:\n%s", name, w, b.String())
			}
		}
	}
}

// A table that would be too wide gives up the range of the highest percentile.
func TestScenarioTextNarrows(t *testing.T) {
	s := sampleSuite(t).Scenarios[0]
	s.Name = "peak"
	s.Points = []Point{{Series: strings.Repeat("wide ", 8), Config: s.Points[0].Config,
		Runs: []Run{sampleRun(t, 1, 1_000_000, 123_456_789), sampleRun(t, 2, 3_000_000, 987_654_321)}}}
	var b strings.Builder
	s.points(&b)
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(line) > textWidth+1 {
			t.Errorf("%d columns:\n%s", utf8.RuneCountInString(line), b.String())
		}
	}
}

func TestSuiteProblems(t *testing.T) {
	want := []string{"curve, afxdp-c1, round 3: lost 3", "failover, udp: doubled 1"}
	if got := sampleSuite(t).Problems(); !slices.Equal(got, want) {
		t.Errorf("problems %q, want %q", got, want)
	}
}

func TestSuiteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s := sampleSuite(t)
	if err := s.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{
		"curve-afxdp-c1.csv", "curve-afxdp-c1.hgrm", "curve-afxdp-c16.csv", "curve-afxdp-c16.hgrm", "curve-udp-c1.csv", "curve-udp-c1.hgrm",
		"failover-udp.csv", "failover-udp.hgrm", "suite.json",
	}
	if !slices.Equal(names, want) {
		t.Errorf("files %q, want %q", names, want)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "curve-afxdp-c1.csv")); err != nil || !strings.Contains(string(text), "11.111111,7.003,1000\n") {
		t.Errorf("the table of both runs is %s, %v", text, err)
	}
	if back, err := ReadSuite(filepath.Join(dir, "suite.json")); err != nil || len(back.Scenarios) != 4 {
		t.Errorf("read back %v", err)
	}
	s.Scenarios[0].Points[0].Runs[0].HistogramV2 = "garbage"
	if err := s.WriteFiles(dir); err == nil || !strings.Contains(err.Error(), "point afxdp-c1, round 1") {
		t.Errorf("a histogram that cannot be read: %v", err)
	}
}

// What was added to the form of a suite keeps its names.
func TestSuiteNames(t *testing.T) {
	text, err := json.Marshal(sampleSuite(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"governor":`, `"name":"afxdp-c1"`, `"wire_hops":2`, `"driver":`, `"failovers":[{"name":"udp"`, `"value_ms":{`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
}
