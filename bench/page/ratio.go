package page

import (
	"fmt"
	"slices"

	"wirepaxos/bench"
)

// versus is our point beside another of the same load in the same scenario. Above 1 is for us in both.
type versus struct {
	ours, theirs *bench.Point
	throughput   bench.Spread // ours over theirs, round by round
	latency      bench.Spread // their median over ours, round by round
}

// isOurs says if a point is of this project.
func isOurs(c *bench.Config) bool { return c.System == "" || c.System == "wirepaxos" }

// against compares two points by the runs of the same rounds: what the machine did to one, it did to the other too.
func against(ours, theirs *bench.Point) versus {
	v := versus{ours: ours, theirs: theirs}
	var rates, times []float64
	for i := range ours.Runs {
		a := &ours.Runs[i]
		for k := range theirs.Runs {
			b := &theirs.Runs[k]
			if a.Round != b.Round {
				continue
			}
			if b.ValuesPerS > 0 {
				rates = append(rates, a.ValuesPerS/b.ValuesPerS)
			}
			if a.LatencyUs.P50 > 0 {
				times = append(times, b.LatencyUs.P50/a.LatencyUs.P50)
			}
			break
		}
	}
	v.throughput, v.latency = bench.SpreadOf(rates), bench.SpreadOf(times)
	return v
}

// likeLoad are the fields in which points must agree for their ratio to mean something; likeCluster those that both have where both are ours.
var (
	likeLoad    = []string{"value_size", "outstanding", "rate_per_s", "arrivals", "storage", "groups"}
	likeCluster = []string{"batch", "multicast", "clients", "acceptors", "proposers", "learners"}
)

// comparable says if two points were under the same load.
func comparable(a, b *bench.Config) bool {
	fields := likeLoad
	if isOurs(a) && isOurs(b) {
		fields = append(append([]string{}, likeLoad...), likeCluster...)
	}
	for _, name := range fields {
		if f := bench.FieldOf(name); f.Value(a) != f.Value(b) {
			return false
		}
	}
	return true
}

// likeLayout says if two points of ours have the same layout, or the other's transport has none of ours to choose.
func likeLayout(points []*bench.Point, a, b *bench.Point) bool {
	return a.Config.Layout == b.Config.Layout || !slices.ContainsFunc(points, func(p *bench.Point) bool {
		return isOurs(&p.Config) && p.Config.Transport == b.Config.Transport && p.Config.Layout == a.Config.Layout
	})
}

// versusIn pairs our points over a transport with every point of another series under the same load.
func versusIn(points []*bench.Point, transport string) (list []versus) {
	for _, a := range points {
		if !isOurs(&a.Config) || a.Config.Transport != transport {
			continue
		}
		for _, b := range points {
			ours := isOurs(&b.Config)
			if ours && b.Config.Transport == transport || !comparable(&a.Config, &b.Config) || ours && !likeLayout(points, a, b) {
				continue
			}
			if v := against(a, b); v.throughput.N > 0 || v.latency.N > 0 {
				list = append(list, v)
			}
		}
	}
	return list
}

// ratioPlots draw how many times better AF_XDP is than everything else in a panel; where there was no AF_XDP, the kernel's sockets.
func ratioPlots(sc *bench.Scenario, p *panel, order seriesOrder) (plots []plot) {
	var points []*bench.Point
	for i := range p.lines {
		points = append(points, p.lines[i].points...)
	}
	base := fileName(sc.Name, p.name)
	for _, transport := range []string{"afxdp", "udp"} {
		if list := versusIn(points, transport); len(list) > 0 {
			x := bench.FieldOf(sc.X)
			split := keysOf(sc, points)
			name := family("", &list[0].ours.Config)
			rates := ratioChart("Throughput of "+name+" over others", list, x, split, order, func(v *versus) bench.Spread { return v.throughput })
			delays := ratioChart("Median latency of others over "+name, list, x, split, order, func(v *versus) bench.Spread { return v.latency })
			rates.sub, delays.sub = joined(p.title, rates.sub), joined(p.title, delays.sub)
			return []plot{{fileName(base, "ratio-throughput"), rates}, {fileName(base, "ratio-latency"), delays}}
		}
	}
	return nil
}

func ratioChart(title string, list []versus, x *bench.Field, split []*bench.Field, order seriesOrder, of func(*versus) bench.Spread) *barChart {
	c := &barChart{title: title, xLabel: "times; above 1× is for " + family("", &list[0].ours.Config), from: 1}
	lo, hi, most := 1.0, 1.0, 0
	several := slices.ContainsFunc(list, func(v versus) bool { return labelOf(v.ours, split) != labelOf(list[0].ours, split) })
	for _, key := range keysOfVersus(list, x) {
		for i := range list {
			v := &list[i]
			s := of(v)
			if keyOf(x, v.ours) != key || s.N == 0 {
				continue
			}
			r := barRow{label: labelOf(v.theirs, split), look: lookOf(order.of(v.theirs.Series, &v.theirs.Config), 0, 1), spread: s, text: timesText(s)}
			if x != nil {
				r.group = x.Phrase(&v.ours.Config)
			}
			if several {
				r.group = joined(labelOf(v.ours, split), r.group)
			}
			lo, hi, most = min(lo, s.Min), max(hi, s.Max), max(most, s.N)
			c.rows = append(c.rows, r)
		}
	}
	c.sub = "ratio of the runs of one round"
	if most > 1 {
		c.sub = fmt.Sprintf("ratios of the runs of the same round; median of %d, least to most", most)
	}
	c.x = logScale(max(lo, 1e-3), hi, times)
	return c
}

func keysOfVersus(list []versus, x *bench.Field) (keys []string) {
	seen := map[string]bool{}
	for i := range list {
		if key := keyOf(x, list[i].ours); !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// timesText is a spread of ratios.
func timesText(s bench.Spread) string {
	if s.N < 2 {
		return figure(s.Median) + "×"
	}
	return fmt.Sprintf("%s× (%s–%s)", figure(s.Median), figure(s.Min), figure(s.Max))
}
