package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"wirepaxos/bench"
)

// The aims: against the best peer of the same run, and against libpaxos.
const (
	aimThroughput         = 5.0
	aimLatency            = 1.0 / 5
	aimLibpaxosThroughput = 10.0
	aimLibpaxosLatency    = 1.0 / 8
	libpaxosTitle         = "libpaxos (C)"
)

// medianUs is the median latency of a run; the mean where there are no percentiles.
func medianUs(r *bench.Run) float64 {
	if r.LatencyUs.P50 == 0 {
		return r.LatencyUs.Mean
	}
	return r.LatencyUs.P50
}

func valuesPerS(r *bench.Run) float64 { return r.ValuesPerS }

// table tells a scenario: who was how fast with how many values under way, and what that is in ratios.
func (c *contest) table(w io.Writer, s *bench.Scenario) {
	fmt.Fprintf(w, "\n%s: median (least - most) of %d rounds; switches are voluntary ones\n", s.Title, c.rounds)
	for _, outstanding := range c.outstanding {
		points := pointsAt(s, outstanding)
		fmt.Fprintf(w, "\n%-18s %33s %32s %13s %13s\n", fmt.Sprintf("%d outstanding", outstanding), "values/s", "p50, µs", "CPU µs/value", "switches/value")
		for _, p := range points {
			rate, latency := p.Over(valuesPerS), p.Over(medianUs)
			if rate.N == 0 {
				fmt.Fprintf(w, "  %-16s no run can be believed: %s\n", p.Series, cmp.Or(p.Failed, "each had a problem, told above"))
				continue
			}
			fmt.Fprintf(w, "  %-16s %s %s %13s %13s%s\n", p.Series, padded(33, spread(rate, thousands)), padded(32, spread(latency, tenths)),
				counted(p, func(c *bench.Costs) float64 { return 1e6 * c.CPUS }),
				counted(p, func(c *bench.Costs) float64 { return float64(c.Voluntary) }), remarks(p, c.rounds))
		}
		c.verdicts(w, points)
	}
}

// pointsAt are the points with so many values under way, without the runs that prove nothing.
func pointsAt(s *bench.Scenario, outstanding int) (points []*bench.Point) {
	for i := range s.Points {
		if s.Points[i].Config.Outstanding == outstanding {
			points = append(points, s.Points[i].Sound())
		}
	}
	return points
}

// counted is a cost of all processes together for each value, the median over the runs; where nobody counted, a dash.
func counted(p *bench.Point, cost func(*bench.Costs) float64) string {
	for i := range p.Runs {
		if c := &p.Runs[i].Costs; c.Values == 0 || cost(c) < 0 {
			return "-"
		}
	}
	return hundredths(p.Over(func(r *bench.Run) float64 { return cost(&r.Costs) / float64(r.Costs.Values) }).Median)
}

// remarks say what a reader must know of a line.
func remarks(p *bench.Point, rounds int) string {
	var list []string
	if p.Runs[0].LatencyUs.P50 == 0 {
		list = append(list, "the mean: it tells no median")
	}
	if n := len(p.Runs); n < rounds {
		list = append(list, fmt.Sprintf("%d of %d runs left out: they failed or cannot be believed", rounds-n, rounds))
	}
	if len(list) == 0 {
		return ""
	}
	return "  (" + strings.Join(list, "; ") + ")"
}

// verdicts hold our best transport against the best of the others, and against libpaxos, ratio by ratio of the rounds.
func (c *contest) verdicts(w io.Writer, points []*bench.Point) {
	var libpaxos *bench.Point
	var own, others []*bench.Point
	for _, p := range points {
		switch {
		case len(p.Runs) == 0:
		case p.Config.System == "wirepaxos":
			if len(own) == 0 || p.Config.Transport == own[0].Config.Transport { // AF_XDP comes first where it works
				own = append(own, p)
			}
		case p.Series == libpaxosTitle:
			libpaxos = p
		default:
			others = append(others, p)
		}
	}
	for _, p := range own {
		if len(others) > 0 {
			fastest := slices.MaxFunc(others, func(a, b *bench.Point) int { return compare(a.Over(valuesPerS).Median, b.Over(valuesPerS).Median) })
			quickest := slices.MinFunc(others, func(a, b *bench.Point) int { return compare(a.Over(medianUs).Median, b.Over(medianUs).Median) })
			verdict(w, p, fastest, quickest, aimThroughput, aimLatency)
		}
		if libpaxos != nil {
			verdict(w, p, libpaxos, libpaxos, aimLibpaxosThroughput, aimLibpaxosLatency)
		}
	}
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// verdict is a line for each of two ratios.
func verdict(w io.Writer, own, fastest, quickest *bench.Point, least, most float64) {
	if r := ratios(own, fastest, valuesPerS); r.N > 0 {
		fmt.Fprintf(w, "  %s to %s: %s times the values/s; the aim is at least %g: %s\n", own.Series, fastest.Series, spread(r, hundredths), least,
			met(r.Median >= least))
	}
	if r := ratios(own, quickest, medianUs); r.N > 0 {
		fmt.Fprintf(w, "  %s to %s: %s of the median latency; the aim is at most %g: %s\n", own.Series, quickest.Series, spread(r, hundredths), most,
			met(r.Median <= most))
	}
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "not met"
}

// ratios are those of the runs of one round: machines that are shared are slow for a while, and then for both.
func ratios(own, other *bench.Point, figure func(*bench.Run) float64) bench.Spread {
	var list []float64
	for i := range own.Runs {
		for k := range other.Runs {
			if a, b := &own.Runs[i], &other.Runs[k]; a.Round == b.Round && figure(b) > 0 {
				list = append(list, figure(a)/figure(b))
			}
		}
	}
	return bench.SpreadOf(list)
}

// closing says under which conditions all that was.
func (c *contest) closing(w io.Writer, s *bench.Suite) {
	fmt.Fprintln(w)
	fmt.Fprintln(w, "Unlike our own set-up:")
	common := ""
	for _, e := range c.entrants {
		if e.common != "" && e.common != common {
			common = e.common
			fmt.Fprintf(w, "  all that are libraries: %s.\n", common)
		}
	}
	for _, e := range c.entrants {
		if e.unlike != "" {
			fmt.Fprintf(w, "  %s: %s.\n", e.series, e.unlike)
		}
	}
	for _, p := range s.Scenarios[0].Points {
		if p.Config.System == "wirepaxos" && len(p.Runs) > 0 {
			mode := ""
			if p.Config.Mode != "" {
				mode = ", " + p.Config.Mode + " mode"
			}
			fmt.Fprintf(w, "%s: wirepaxos%s, layout %s, idle strategy %s, storage %s; latency includes the hops of the client.\n", p.Series, mode,
				p.Config.Layout, p.Config.Idle, p.Config.Storage)
			break
		}
	}
	for _, note := range c.notes {
		fmt.Fprintln(w, "note: "+note)
	}
	fmt.Fprintf(w, "%d runs in %.0f s on %d CPUs (%s), kernel %s; the host gave %.0f %% of the CPU time to other machines.\n", c.made, s.TookS, s.CPUs,
		s.CPU, s.Kernel, s.StealPercent)
}

// spread writes a median with the least and the most.
func spread(s bench.Spread, format func(float64) string) string {
	return fmt.Sprintf("%s (%s - %s)", format(s.Median), format(s.Min), format(s.Max))
}

func thousands(x float64) string {
	digits := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func tenths(x float64) string     { return strconv.FormatFloat(x, 'f', 1, 64) }
func hundredths(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) }

// padded puts spaces before a text.
func padded(width int, text string) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}
