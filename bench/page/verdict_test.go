package page

import (
	"strings"
	"testing"
	"time"

	"wirepaxos/bench"
)

// verdictOf is the row of the verdict whose figure begins like this.
func verdictOf(t *testing.T, what string, suites ...*bench.Suite) (result, measured, of string) {
	t.Helper()
	for _, r := range verdictTable(suites).Rows {
		if strings.HasPrefix(r.Cells[0].Text, what) {
			return r.Cells[1].Text, r.Cells[2].Text, r.Cells[4].Text + " " + r.Cells[4].Code
		}
	}
	t.Fatalf("no bound begins with %q", what)
	return "", "", ""
}

// peakOf is a suite with one point of the peak scenario and these rates.
func peakOf(batch string, rates ...float64) *bench.Suite {
	p := bench.Point{Series: "AF_XDP", Config: bench.Config{
		System: "wirepaxos", Transport: "afxdp", Layout: "packed", Batch: batch, Idle: "spin", Storage: "memory", Acceptors: 3,
		Clients: 4, Outstanding: 2048, ValueSize: 64,
	}}
	for i, v := range rates {
		p.Runs = append(p.Runs, bench.Run{Round: i + 1, ValuesPerS: v, LatencyUs: bench.Latency{P50: 100}})
	}
	return &bench.Suite{Scenarios: []bench.Scenario{{Name: "peak", Command: "wirepaxos bench peak", Points: []bench.Point{p}}}}
}

func TestVerdictIsByTheMedian(t *testing.T) {
	for _, c := range []struct {
		rates []float64
		want  string
	}{
		{[]float64{1.6e6, 1.7e6, 1.8e6}, "✓ met"},
		{[]float64{1.5e6}, "✓ met"},
		{[]float64{1.4e6, 1.6e6, 1.7e6}, "✓ met by the median"},
		{[]float64{1.4e6, 1.45e6, 1.7e6}, "✗ missed by the median"},
		{[]float64{1.2e6, 1.3e6}, "✗ missed"},
		{nil, "not measured"},
	} {
		if got, _, _ := verdictOf(t, "values/s, batched, AF_XDP", peakOf("instance", c.rates...)); got != c.want {
			t.Errorf("%v: %s, want %s", c.rates, got, c.want)
		}
	}
	_, _, of := verdictOf(t, "values/s, batched, AF_XDP", peakOf("instance", 1e6))
	if !strings.Contains(of, "wirepaxos bench peak") || !strings.Contains(of, "2048 outstanding") {
		t.Errorf("%q does not name the command and the load", of)
	}
}

func TestVerdictTakesItsOwnConfiguration(t *testing.T) {
	for _, change := range []func(*bench.Config){
		func(c *bench.Config) { c.System = "made-up v1" }, func(c *bench.Config) { c.Transport = "udp" }, func(c *bench.Config) { c.ValueSize = 1000 },
		func(c *bench.Config) { c.Batch = "off" }, func(c *bench.Config) { c.Storage = "log" }, func(c *bench.Config) { c.Groups = 4 },
		func(c *bench.Config) { c.RatePerS = 9 }, func(c *bench.Config) { c.Outstanding = 1 },
	} {
		s := peakOf("instance", 9e6)
		change(&s.Scenarios[0].Points[0].Config)
		if got, measured, _ := verdictOf(t, "values/s, batched, AF_XDP", s); got != "not measured" {
			t.Errorf("%+v counts as AF_XDP batched: %s", s.Scenarios[0].Points[0].Config, measured)
		}
	}
	s := peakOf("instance", 9e6)
	s.Scenarios[0].Points[0].Runs[0].Problems = []string{"lost"}
	if got, _, _ := verdictOf(t, "values/s, batched, AF_XDP", s); got != "not measured" {
		t.Errorf("a run that failed the check counts: %s", got)
	}
}

func TestNewestSuiteCounts(t *testing.T) {
	before, after := peakOf("frame", 1e5), peakOf("frame", 8e5)
	before.Began, after.Began = time.Unix(1, 0), time.Unix(2, 0)
	for _, suites := range [][]*bench.Suite{{before, after}, {after, before}} {
		if got, _, _ := verdictOf(t, "values/s, one value an instance, several", suites...); got != "✓ met" {
			t.Errorf("%s: not the newest suite's", got)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	s := peakOf("instance", 200, 900, 400)
	theirs := peakOf("instance", 100, 300, 100).Scenarios[0].Points[0]
	theirs.Series, theirs.Config.Transport = "kernel UDP", "udp"
	theirs.Runs[2].Round = 7 // of a round that ours did not have
	for i := range theirs.Runs {
		theirs.Runs[i].LatencyUs.P50 = 150
	}
	s.Scenarios[0].Points = append(s.Scenarios[0].Points, theirs)
	result, measured, _ := verdictOf(t, "AF_XDP over kernel UDP, throughput: batched", s)
	if result != "✓ met" || measured != "2.50 (2.00–3.00) ×" {
		t.Errorf("%s %s, want 2 and 3 of two rounds", result, measured)
	}
	result, measured, _ = verdictOf(t, "kernel UDP over AF_XDP, median latency: batched", s)
	if result != "✗ missed" || measured != "1.50 ×" {
		t.Errorf("%s %s, want 1.5 times", result, measured)
	}
	s.Scenarios[0].Points[1].Config.Clients = 1
	if result, _, _ = verdictOf(t, "AF_XDP over kernel UDP, throughput: batched", s); result != "not measured" {
		t.Errorf("%s, although the loads are not the same", result)
	}
}

func TestBestPeerCounts(t *testing.T) {
	g := newSynthetic(t, 11, 3)
	s := &bench.Suite{Scenarios: []bench.Scenario{g.peers()}}
	for _, n := range []string{"1", "64", "256", "1024"} {
		if _, _, of := verdictOf(t, "AF_XDP over the best peer, throughput: "+n+" outstanding", s); !strings.Contains(of, "made-up/raft v0.0.0") {
			t.Errorf("%s outstanding: against %s, want the one with the most values/s", n, of)
		}
	}
	if got, _, _ := verdictOf(t, "AF_XDP against C libpaxos", s); got != "not measured" {
		t.Errorf("libpaxos: %s", got)
	}
	for i := range s.Scenarios[0].Points {
		if c := &s.Scenarios[0].Points[i].Config; c.System == "imaginary v0.0.0" {
			c.System = "C libpaxos"
		}
	}
	if got, measured, _ := verdictOf(t, "AF_XDP over C libpaxos, throughput: 1 outstanding", s); got != "✓ met" {
		t.Errorf("libpaxos: %s %s", got, measured)
	}
}

func TestAcceptBenchmarkIsForOneAccept(t *testing.T) {
	s := &bench.Suite{Scenarios: []bench.Scenario{{Name: "micro", Command: "wirepaxos bench micro", Micro: []bench.Micro{
		{Name: "paxos.AcceptorStep/burst=32", NsPerOp: []float64{1}},
		{Name: "paxos.Accept/burst=32/a-frame=8", NsPerOp: []float64{3200, 1600}, AllocsPerOp: 2},
	}}}}
	rows := verdictTable([]*bench.Suite{s}).Rows
	var got []string
	for _, r := range rows {
		if strings.HasPrefix(r.Cells[0].Text, "one Accept") {
			got = append(got, r.Cells[2].Text+" "+r.Cells[1].Text)
		}
	}
	if want := "75.0 (50.0–100) ns ✗ missed by the median|2.00 ✗ missed"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", strings.Join(got, "|"), want)
	}
}

func TestSteadyStateCounts(t *testing.T) {
	s := peakOf("instance", 1e6, 1e6)
	for i := range s.Scenarios[0].Points[0].Runs {
		s.Scenarios[0].Points[0].Runs[i].Costs = bench.Costs{Values: 1000, Allocations: 3, GCCycles: 0, LoopVoluntary: -1}
	}
	for what, want := range map[string]string{"allocations": "✗ missed", "GC cycles": "✓ met", "voluntary": "not measured"} {
		if got, _, _ := verdictOf(t, "steady state, in a whole run: "+what, s); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	s.Scenarios[0].Points[0].Config.Idle = "block"
	if got, _, _ := verdictOf(t, "steady state, in a whole run: GC", s); got != "not measured" {
		t.Errorf("loops that sleep count as spinning: %s", got)
	}
}
