// Package compare tells two suites apart, before and after a change: it holds each point of the one against the same point of the other, and says where
// the difference is more than the noise of the runs.
//
// Two points are the same if scenario, series and configuration are. Of the configuration some fields do not count, and are named where they differ:
// the mode, which is what the sockets got and not what was asked for; the version of a system; the rate of an open loop, which is a share of a peak that
// was measured before. Points of an open loop are found by name.
//
// The noise is the range from the least of the runs to the most. Where the ranges of both sides do not overlap, the change is better or worse, by at least
// the gap between them. Ranges need two runs on both sides; with one there is no verdict. This asks no more of the figures than that they be of the same
// machine in the same state: what is known to be unlike is named on top.
package compare

import (
	"fmt"
	"math"
	"strings"

	"wirepaxos/bench"
)

// Verdict is what became of a figure.
type Verdict string

// The verdicts. Same is that every run of both sides has the same figure.
const (
	Better    Verdict = "better"
	Worse     Verdict = "worse"
	Noise     Verdict = "within noise"
	Same      Verdict = "the same"
	NoVerdict Verdict = "no verdict"
)

// Result is a comparison: one JSON object.
type Result struct {
	A       Side     `json:"a"`
	B       Side     `json:"b"`
	Unlike  []string `json:"unlike"` // what is not the same of the machines, the builds and the commands: a line each
	Changes []Change `json:"changes"`
	OnlyA   []string `json:"only_a"` // points that B does not have
	OnlyB   []string `json:"only_b"`
	Left    []string `json:"left_out"` // runs and points that do not count, and why
}

// Side is one of the two suites.
type Side struct {
	Command string `json:"command"`
	Began   string `json:"began"`
	Quick   bool   `json:"quick"`
	bench.Machine
}

// Change is one figure of one point.
type Change struct {
	Scenario string       `json:"scenario"`
	Point    string       `json:"point"` // the series, and what of the configuration the scenario's points differ in
	Figure   string       `json:"figure"`
	A        bench.Spread `json:"a"`
	B        bench.Spread `json:"b"`
	Percent  *float64     `json:"percent"` // of the medians, from A to B; null where A's is 0
	Verdict  Verdict      `json:"verdict"`
	Gap      float64      `json:"gap_percent"` // better or worse: between the ranges, in percent of A's median
	Note     string       `json:"note,omitempty"`
}

// figure is what is compared of runs.
type figure struct {
	name        string
	of          func(*bench.Run) float64
	moreIsGood  bool
	zeroIsEmpty bool // 0 is no measurement
}

var figures = []figure{
	{"values/s", func(r *bench.Run) float64 { return r.ValuesPerS }, true, false},
	{"p50 µs", func(r *bench.Run) float64 { return r.LatencyUs.P50 }, false, true},
	{"p99 µs", func(r *bench.Run) float64 { return r.LatencyUs.P99 }, false, true},
}

// Suites compares b, from after a change, with a, from before it.
func Suites(a, b *bench.Suite) *Result {
	r := &Result{A: sideOf(a), B: sideOf(b), Unlike: unlike(a, b), Changes: []Change{}, OnlyA: []string{}, OnlyB: []string{}, Left: []string{}}
	if r.Unlike == nil {
		r.Unlike = []string{}
	}
	r.left("A", a)
	r.left("B", b)
	at := index(b)
	for _, p := range placesOf(a) {
		q, ok := at[p.key]
		if !ok {
			r.OnlyA = append(r.OnlyA, p.name())
			continue
		}
		delete(at, p.key)
		r.compare(p, q)
	}
	for _, q := range placesOf(b) {
		if _, ok := at[q.key]; ok {
			r.OnlyB = append(r.OnlyB, q.name())
		}
	}
	return r
}

func sideOf(s *bench.Suite) Side {
	return Side{Command: s.Command, Began: s.Began.UTC().Format("2006-01-02 15:04:05 UTC"), Quick: s.Quick, Machine: s.Machine}
}

// place is a point, a failover or a Go benchmark of a suite, and what it is found by.
type place struct {
	key      string
	scenario string
	label    string
	point    *bench.Point // its sound runs
	micro    *bench.Micro
	failover *bench.FailoverPoint
}

func (p *place) name() string { return p.scenario + ": " + p.label }

// placesOf are those of a suite. Where several have the same key, the second is found by the second.
func placesOf(s *bench.Suite) (list []place) {
	seen := map[string]int{}
	add := func(p place, parts ...any) {
		key := fmt.Sprintf("%s|%q", p.scenario, fmt.Sprint(parts...))
		seen[key]++
		p.key = fmt.Sprintf("%s|%d", key, seen[key])
		list = append(list, p)
	}
	for i := range s.Scenarios {
		sc := &s.Scenarios[i]
		varied := variedIn(sc)
		for k := range sc.Points {
			p := &sc.Points[k]
			name := "" // of a point of an open loop: its rate is a share of a peak that is measured anew each time
			if p.Config.RatePerS > 0 {
				name = p.Name
			}
			add(place{scenario: sc.Name, label: labelOf(p.Series, &p.Config, varied), point: p.Sound()}, "point", p.Series, name, asked(p.Config))
		}
		for k := range sc.Failovers {
			p := &sc.Failovers[k]
			add(place{scenario: sc.Name, label: p.Series, failover: p}, "failover", p.Series, p.LeaderTimeoutMs, p.HeartbeatMs, asked(p.Config))
		}
		for k := range sc.Micro {
			add(place{scenario: sc.Name, label: sc.Micro[k].Name, micro: &sc.Micro[k]}, "micro", sc.Micro[k].Name)
		}
	}
	return list
}

func index(s *bench.Suite) map[string]place {
	at := map[string]place{}
	for _, p := range placesOf(s) {
		at[p.key] = p
	}
	return at
}

// asked is a configuration without what is found out and not asked for.
func asked(c bench.Config) bench.Config {
	c.Mode, c.RatePerS = "", 0
	if i := strings.LastIndex(c.System, " "); i > 0 {
		c.System = c.System[:i]
	}
	return c
}

// variedIn are the fields that a scenario's points differ in.
func variedIn(sc *bench.Scenario) (fields []*bench.Field) {
	for i := range bench.Fields {
		f := &bench.Fields[i]
		for k := range sc.Points {
			if f.Value(&sc.Points[k].Config) != f.Value(&sc.Points[0].Config) {
				fields = append(fields, f)
				break
			}
		}
	}
	return fields
}

// unsaid are fields that the series says already.
var unsaid = map[string]bool{"system": true, "transport": true, "mode": true, "link": true, "driver": true, "wire_hops": true, "idle": true}

func labelOf(series string, c *bench.Config, varied []*bench.Field) string {
	label := series
	for _, f := range varied {
		text := f.Phrase(c)
		if word, ok := f.Value(c).(string); unsaid[f.Name] || text == "" || ok && strings.Contains(series, word) {
			continue
		}
		label += ", " + text
	}
	return label
}

// compare holds every figure of two places against each other.
func (r *Result) compare(p, q place) {
	add := func(name string, moreIsGood bool, a, b bench.Spread, note string) {
		c := judge(a, b, moreIsGood)
		c.Scenario, c.Point, c.Figure, c.Note = p.scenario, p.label, name, note
		r.Changes = append(r.Changes, c)
	}
	switch {
	case p.micro != nil:
		a, b := p.micro, q.micro
		note := ""
		if a.AllocsPerOp != b.AllocsPerOp {
			note = fmt.Sprintf("allocations/op: %g before, %g after", a.AllocsPerOp, b.AllocsPerOp)
		}
		if len(a.NsPerOp) > 0 && len(b.NsPerOp) > 0 {
			add("ns/op", false, bench.SpreadOf(a.NsPerOp), bench.SpreadOf(b.NsPerOp), note)
		}
	case p.failover != nil:
		if a, b := valueMs(p.failover), valueMs(q.failover); len(a) > 0 && len(b) > 0 {
			add("next value ms", false, bench.SpreadOf(a), bench.SpreadOf(b), "each kill is a run")
		}
	default:
		var notes []string
		for _, name := range []string{"mode", "system", "rate_per_s"} {
			if f := bench.FieldOf(name); f.Value(&p.point.Config) != f.Value(&q.point.Config) {
				notes = append(notes, fmt.Sprintf("%s: %v before, %v after", name, f.Value(&p.point.Config), f.Value(&q.point.Config)))
			}
		}
		for i := range figures {
			if a, b := over(p.point, &figures[i]), over(q.point, &figures[i]); a.N > 0 && b.N > 0 {
				add(figures[i].name, figures[i].moreIsGood, a, b, strings.Join(notes, "; "))
			}
		}
	}
}

func over(p *bench.Point, f *figure) bench.Spread {
	var got []float64
	for i := range p.Runs {
		if v := f.of(&p.Runs[i]); v != 0 || !f.zeroIsEmpty {
			got = append(got, v)
		}
	}
	return bench.SpreadOf(got)
}

func valueMs(p *bench.FailoverPoint) (ms []float64) {
	if len(p.Problems) > 0 {
		return nil
	}
	for i := range p.Failovers {
		ms = append(ms, p.Failovers[i].ValueMs)
	}
	return ms
}

// judge gives the verdict on two spreads.
func judge(a, b bench.Spread, moreIsGood bool) Change {
	c := Change{A: a, B: b, Verdict: Noise}
	if a.Median != 0 {
		percent := 100 * (b.Median - a.Median) / a.Median
		c.Percent = &percent
	}
	gap, rose := 0.0, false
	switch {
	case b.Min > a.Max:
		gap, rose = b.Min-a.Max, true
	case a.Min > b.Max:
		gap = a.Min - b.Max
	}
	switch {
	case a.N < 2 || b.N < 2:
		c.Verdict = NoVerdict
	case a.Min == a.Max && a == b:
		c.Verdict = Same
	case gap > 0 && rose == moreIsGood:
		c.Verdict = Better
	case gap > 0:
		c.Verdict = Worse
	}
	if c.Verdict == Better || c.Verdict == Worse {
		if c.Gap = 100 * gap / a.Median; math.IsInf(c.Gap, 0) {
			c.Gap = 0
		}
	}
	return c
}
