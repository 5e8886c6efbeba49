package page

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wirepaxos/bench"
)

// bound is one of the figures that the project is built for, and what was measured of it. The table of them is the design's.
type bound struct {
	what    string
	want    string
	limit   float64
	atLeast bool // else at most
	unit    string
	got     bench.Spread
	missing string // why it was not measured
	command string
	where   string // which point of which scenario
}

// result is by the median, as the bounds are; it says so where the runs do not agree.
func (b *bound) result() cell {
	if b.got.N == 0 {
		return cell{Text: "not measured", Class: "poor", Detail: b.missing}
	}
	holds := func(v float64) bool {
		if b.atLeast {
			return v >= b.limit
		}
		return v <= b.limit
	}
	c := cell{Text: "✗ missed", Class: "bad"}
	if holds(b.got.Median) {
		c = cell{Text: "✓ met", Class: "good"}
	}
	if holds(b.got.Min) != holds(b.got.Max) {
		c.Text += " by the median"
	}
	if b.limit > 0 && c.Class == "bad" {
		share := b.got.Median / b.limit
		c.Detail = fmt.Sprintf("%s of the bound", timesOf(share))
	}
	return c
}

func timesOf(share float64) string {
	switch {
	case share < 0.01:
		return "less than 1 %"
	case share < 1:
		return strconv.FormatFloat(100*share, 'f', 0, 64) + " %"
	}
	return figure(share) + "×"
}

// evidence is every sound point of the suites, the newest suite first.
type evidence struct {
	suites []*bench.Suite
	all    []finding
}

type finding struct {
	scenario *bench.Scenario
	point    *bench.Point
}

func gather(suites []*bench.Suite) *evidence {
	e := &evidence{suites: slices.Clone(suites)}
	slices.SortStableFunc(e.suites, func(a, b *bench.Suite) int { return b.Began.Compare(a.Began) })
	for _, s := range e.suites {
		for i := range s.Scenarios {
			sc := &s.Scenarios[i]
			for _, p := range soundPoints(sc) {
				if len(p.Runs) > 0 {
					e.all = append(e.all, finding{sc, p})
				}
			}
		}
	}
	return e
}

// find looks for the best point that matches: first in the scenario that is about it, then in all. Where several suites have that scenario, the
// newest counts.
func (e *evidence) find(scenario string, match func(*bench.Config) bool, better func(a, b *bench.Point) bool) (finding, bool) {
	for _, only := range []string{scenario, ""} {
		var best finding
		for _, f := range e.all {
			if only != "" && f.scenario.Name != only || !match(&f.point.Config) {
				continue
			}
			if best.point == nil || (only == "" || f.scenario == best.scenario) && better(f.point, best.point) {
				best = f
			}
		}
		if best.point != nil {
			return best, true
		}
	}
	return finding{}, false
}

func faster(a, b *bench.Point) bool {
	return a.Over(throughput.of).Median > b.Over(throughput.of).Median
}

func quicker(a, b *bench.Point) bool { return a.Over(median.of).Median < b.Over(median.of).Median }

// take fills in what a point measured.
func (b bound) take(f finding, ok bool, of func(*bench.Run) float64) bound {
	if !ok {
		b.missing = "no such point is in the suites"
		return b
	}
	var figures []float64
	for i := range f.point.Runs {
		if v := of(&f.point.Runs[i]); !math.IsNaN(v) {
			figures = append(figures, v)
		}
	}
	b.got, b.command, b.where = bench.SpreadOf(figures), f.scenario.Command, f.point.Series
	if b.got.N == 0 {
		b.missing = "the runs did not count it"
	}
	for _, name := range []string{"layout", "batch", "clients", "outstanding"} {
		if text := bench.FieldOf(name).Phrase(&f.point.Config); !strings.Contains(b.where, text) {
			b.where = joined(b.where, text)
		}
	}
	return b
}

// busy is a load that is there to be as many values as it takes.
func busy(c *bench.Config) bool { return c.Outstanding >= 64 }

// load64 are 64-byte values in memory, of one group of three acceptors, closed loop: the load that the bounds are for.
func load64(c *bench.Config, transport, batch string) bool {
	return isOurs(c) && c.Transport == transport && (batch == "" || c.Batch == batch) && c.ValueSize == 64 && inMemory(c) && c.Groups <= 1 && c.RatePerS == 0
}

func inMemory(c *bench.Config) bool { return c.Storage == "" || c.Storage == "memory" }

// castings are without and with multicast. A suite may know nothing of it.
var castings = []casting{{}, {value: "on", title: ", multicast", optional: true}}

type casting struct {
	value, title string
	optional     bool
}

// only is match for such points.
func (m casting) only(match func(*bench.Config) bool) func(*bench.Config) bool {
	return func(c *bench.Config) bool { return c.Multicast == m.value && match(c) }
}

// overFloor is the median latency over the time of the hops.
func overFloor(r *bench.Run) float64 {
	if r.Wire == nil || r.Wire.FloorUs <= 0 {
		return math.NaN()
	}
	return r.LatencyUs.P50 / r.Wire.FloorUs
}

// bounds are the figures of the design, then those of the comparison with other systems.
func bounds(suites []*bench.Suite) []bound {
	e := gather(suites)
	one := func(c *bench.Config) bool {
		return load64(c, "afxdp", "") && c.Outstanding == 1 && c.Layout == "packed" && c.Acceptors == 3
	}
	var list []bound
	for _, m := range castings {
		f, ok := e.find("latency", m.only(one), quicker)
		if !ok && m.optional {
			continue
		}
		list = append(list,
			bound{what: "client to client, 1 outstanding, AF_XDP, packed" + m.title + ": median", want: "≤ 8 µs", limit: 8, unit: "µs"}.take(f, ok, median.of),
			bound{what: "the same, over the time of the wire hops really crossed", want: "≤ 1.6×", limit: 1.6, unit: "×"}.take(f, ok, overFloor))
	}
	for _, p := range []struct {
		what, transport, batch string
		limit                  float64
	}{
		{"batched, AF_XDP", "afxdp", "instance", 1_500_000},
		{"one value an instance, several messages a frame, AF_XDP", "afxdp", "frame", 700_000},
		{"one value an instance, one message a frame (as the paper), AF_XDP", "afxdp", "off", 150_000},
		{"batched, in-process memory", "mem", "instance", 5_000_000},
	} {
		for _, m := range castings {
			f, ok := e.find("peak", m.only(func(c *bench.Config) bool { return load64(c, p.transport, p.batch) && busy(c) }), faster)
			if !ok && m.optional {
				continue
			}
			b := bound{what: "values/s, " + p.what + m.title, want: "≥ " + grouped(p.limit), limit: p.limit, atLeast: true}
			list = append(list, b.take(f, ok, throughput.of))
		}
	}
	list = append(list, e.sockets()...)
	list = append(list, e.accepts()...)
	f, ok := e.find("peak", func(c *bench.Config) bool { return load64(c, "mem", "instance") && busy(c) }, faster)
	work := bound{what: "CPU time of a value through a full cluster in memory, batched", want: "≤ 250 ns", limit: 250, unit: "ns"}
	list = append(list, work.take(f, ok, costColumns[0].of))
	list = append(list, e.durable()...)
	list = append(list, e.failover())
	list = append(list, e.steady()...)
	return append(list, e.peers()...)
}

// sockets holds AF_XDP against the same roles on UDP sockets in the same run.
func (e *evidence) sockets() (list []bound) {
	for _, c := range []struct {
		scenario, what string
		match          func(*bench.Config) bool
	}{
		{"latency", "1 outstanding", func(c *bench.Config) bool { return c.Outstanding == 1 && c.Layout == "packed" }},
		{"peak", "batched", func(c *bench.Config) bool { return c.Batch == "instance" && busy(c) }},
		{"peak", "one value an instance", func(c *bench.Config) bool { return c.Batch == "frame" && busy(c) }},
		{"peak", "one message a frame", func(c *bench.Config) bool { return c.Batch == "off" && busy(c) }},
	} {
		f, ok := e.find(c.scenario, castings[0].only(func(q *bench.Config) bool { return load64(q, "afxdp", "") && c.match(q) }), faster)
		rate := bound{what: "AF_XDP over kernel UDP, throughput: " + c.what, want: "≥ 2×", limit: 2, atLeast: true, unit: "×"}
		delay := bound{what: "kernel UDP over AF_XDP, median latency: " + c.what, want: "≥ 2×", limit: 2, atLeast: true, unit: "×"}
		rate.missing, delay.missing = "not both are in one scenario under the same load", "not both are in one scenario under the same load"
		if ok {
			for _, v := range versusIn(soundPoints(f.scenario), "afxdp") {
				if v.theirs.Config.Transport == "udp" && isOurs(&v.theirs.Config) && v.ours.Config == f.point.Config {
					rate.got, delay.got = v.throughput, v.latency
					rate.command, delay.command = f.scenario.Command, f.scenario.Command
				}
			}
		}
		list = append(list, rate, delay)
	}
	return list
}

// acceptBenchmark is the Go benchmark of one Accept through decode, accept and reply; its number is of accepts a step.
var acceptBenchmark = regexp.MustCompile(`(?:^|[./])(?:Benchmark)?Accept/burst=(\d+)(\S*?)(?:-\d+)?$`)

// accepts are the benchmarks of an Accept, for each size of burst; then the most allocations of any.
func (e *evidence) accepts() (list []bound) {
	const what = "one Accept through decode, accept and reply"
	most := bound{what: what + ": allocations, the most of these", want: "0", got: bench.Spread{N: 1}}
	for _, s := range e.suites {
		for i := range s.Scenarios {
			for _, m := range s.Scenarios[i].Micro {
				found := acceptBenchmark.FindStringSubmatch(m.Name)
				if found == nil {
					continue
				}
				burst, err := strconv.ParseFloat(found[1], 64)
				if err != nil || burst < 1 {
					continue
				}
				each := make([]float64, len(m.NsPerOp))
				for k, ns := range m.NsPerOp {
					each[k] = ns / burst
				}
				command := s.Scenarios[i].Command
				list = append(list, bound{what: what, want: "≤ 60 ns", limit: 60, unit: "ns", got: bench.SpreadOf(each), command: command, where: m.Name})
				if most.command == "" || m.AllocsPerOp > most.got.Median {
					most.got, most.command, most.where = bench.SpreadOf([]float64{m.AllocsPerOp}), command, m.Name
				}
			}
		}
		if len(list) > 0 {
			return append(list, most)
		}
	}
	return []bound{{what: what, want: "≤ 60 ns, 0 allocations", missing: "no benchmark of it is in the suites"}}
}
