package page

import (
	"fmt"
	"strings"

	"wirepaxos/bench"
)

// drawable is a chart before it has a size.
type drawable interface{ draw(extent) *drawing }

// plot is a drawable under its name, which is that of its files too.
type plot struct {
	name  string
	chart drawable
}

// measure is a figure of a run, and how plots and tables call it.
type measure struct {
	name  string // in the name of a file
	title string
	unit  string // of a table's column
	of    func(*bench.Run) float64
	label func(float64) string // of an axis
}

var (
	throughput = measure{"throughput", "Throughput", "values/s", func(r *bench.Run) float64 { return r.ValuesPerS }, amount}
	median     = measure{"median", "Median latency", "p50, µs", func(r *bench.Run) float64 { return r.LatencyUs.P50 }, span}
	p99        = measure{"p99", "99th percentile of latency", "p99, µs", func(r *bench.Run) float64 { return r.LatencyUs.P99 }, span}
)

// axis names the figure beside its axis, whose labels have the unit.
func (m *measure) axis() string {
	name, _, _ := strings.Cut(m.unit, ",")
	return name
}

// bandwidth is what a run's values amount to, without any header.
func bandwidth(p *bench.Point) measure {
	bits := float64(p.Config.ValueSize) * 8
	return measure{"mbit", "Throughput in bits", "Mbit/s", func(r *bench.Run) float64 { return r.ValuesPerS * bits / 1e6 }, trimmed}
}

// spreadNote says what a marker and its whisker are.
func spreadNote(lines []line) string {
	most := 0
	for i := range lines {
		for _, p := range lines[i].points {
			most = max(most, len(p.Runs))
		}
	}
	if most < 2 {
		return "one run each"
	}
	return fmt.Sprintf("median of %d runs, least to most", most)
}

func legendOf(lines []line) (legend []entry) {
	for i := range lines {
		if len(lines[i].measured()) > 0 {
			legend = append(legend, entry{label: lines[i].label, look: lines[i].look})
		}
	}
	return legend
}

// curveChart draws latency against throughput, a line a series, each point labelled with its X: clients, or values outstanding.
func curveChart(p *panel, x *bench.Field, latency measure) *chart {
	c := &chart{title: latency.title + " against throughput", legend: legendOf(p.lines), xLabel: "values/s", yLabel: "latency"}
	c.sub = joined(p.title, "labels: "+x.Title+"; "+spreadNote(p.lines))
	var xs, ys []float64
	for i := range p.lines {
		for _, q := range p.lines[i].measured() {
			xs, ys = append(xs, q.Over(throughput.of).Max), append(ys, q.Over(latency.of).Median, q.Over(latency.of).Max)
			xs = append(xs, q.Over(throughput.of).Min)
		}
	}
	c.x, c.y = fitScale(xs, amount), fitScale(ys, span)
	c.body = func(f *field) {
		for i := range p.lines {
			l := &p.lines[i]
			var at []xy
			for _, q := range l.measured() {
				v, u := q.Over(throughput.of), q.Over(latency.of)
				at = append(at, f.at(v.Median, u.Median))
				if v.N > 1 {
					f.line(l.look.colour, .8, f.at(v.Min, u.Median), f.at(v.Max, u.Median))
					f.line(l.look.colour, .8, f.at(v.Median, u.Min), f.at(v.Median, u.Max))
				}
			}
			f.stroke(l.look, at)
		}
		for i := range p.lines {
			l := &p.lines[i]
			for _, q := range l.measured() {
				v, u := q.Over(throughput.of), q.Over(latency.of)
				at := f.at(v.Median, u.Median)
				f.marker(l.look, at, fmt.Sprintf("%s, %s: %s values/s, %s %s µs", l.label, x.Phrase(&q.Config), spreadText(v), latency.name, spreadText(u)))
				f.taken = append(f.taken, box{at.x - 4, at.y - 4, at.x + 4, at.y + 4})
			}
		}
		for i := range p.lines {
			for _, q := range p.lines[i].measured() {
				f.note(exact(xOf(x, q)), f.at(q.Over(throughput.of).Median, q.Over(latency.of).Median), false)
			}
		}
	}
	return c
}

// lineChart draws a figure over the scenario's X.
func lineChart(p *panel, x *bench.Field, what func(*bench.Point) measure) *chart {
	m := what(&bench.Point{})
	c := &chart{title: m.title + " by " + x.Title, sub: joined(p.title, spreadNote(p.lines)), legend: legendOf(p.lines), xLabel: x.Title, yLabel: m.axis()}
	var xs, ys []float64
	for i := range p.lines {
		for _, q := range p.lines[i].measured() {
			s := q.Over(what(q).of)
			xs, ys = append(xs, xOf(x, q)), append(ys, s.Min, s.Max)
		}
	}
	c.x, c.y = pointScale(xs), fitScale(ys, m.label)
	c.body = func(f *field) {
		for i := range p.lines {
			l := &p.lines[i]
			var at []xy
			for _, q := range l.measured() {
				s := q.Over(what(q).of)
				at = append(at, f.at(xOf(x, q), s.Median))
				if s.N > 1 {
					f.whisker(l.look.colour, f.at(xOf(x, q), s.Min), f.at(xOf(x, q), s.Max))
				}
			}
			f.stroke(l.look, at)
		}
		for i := range p.lines {
			l := &p.lines[i]
			for _, q := range l.measured() {
				s := q.Over(what(q).of)
				f.marker(l.look, f.at(xOf(x, q), s.Median), fmt.Sprintf("%s, %s: %s %s", l.label, x.Phrase(&q.Config), spreadText(s), m.unit))
			}
		}
	}
	return c
}
