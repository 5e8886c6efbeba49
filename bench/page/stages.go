package page

import (
	"fmt"
	"math"
	"slices"

	"wirepaxos/bench"
)

// stagesChart stacks the medians of the parts of a value's way; nil where no run sampled them.
func stagesChart(sc *bench.Scenario, p *panel) *barChart {
	c := &barChart{
		title: "Where a value's time goes", xLabel: "µs",
		sub: joined(p.title, "medians of sampled values; the sum of medians is near the median of the whole, and not equal to it"),
	}
	x := bench.FieldOf(sc.X)
	hi := 0.0
	for i := range p.lines {
		for _, q := range p.lines[i].measured() {
			r := barRow{label: p.lines[i].label}
			sum := 0.0
			for _, name := range stagesOf(q) {
				size := stageSpread(q, name).Median
				sum += size
				r.segments = append(r.segments, segment{label: name, size: size, look: c.stageLook(name)})
			}
			if len(r.segments) == 0 {
				continue
			}
			if x != nil {
				r.group = x.Phrase(&q.Config)
			}
			r.text = figure(sum)
			hi = max(hi, sum)
			c.rows = append(c.rows, r)
		}
	}
	if len(c.rows) == 0 {
		return nil
	}
	slices.SortStableFunc(c.rows, func(a, b barRow) int { return firstRow(c.rows, a.group) - firstRow(c.rows, b.group) })
	c.x = linearScale(hi, span)
	return c
}

// firstRow is where a group begins.
func firstRow(rows []barRow, group string) int {
	return slices.IndexFunc(rows, func(r barRow) bool { return r.group == group })
}

// stageLook gives each stage a colour, and the legend an entry.
func (c *barChart) stageLook(name string) look {
	at := slices.IndexFunc(c.legend, func(e entry) bool { return e.label == name })
	if at < 0 {
		at = len(c.legend)
		c.legend = append(c.legend, entry{label: name, look: lookOf(at, 0, 1), area: true})
	}
	return c.legend[at].look
}

func stageName(s *bench.Stage) string { return s.From + " → " + s.To }

// stagesOf are the stages that a point's runs sampled, in their order.
func stagesOf(p *bench.Point) (names []string) {
	for i := range p.Runs {
		for k := range p.Runs[i].Stages {
			if name := stageName(&p.Runs[i].Stages[k]); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// stageSpread is over the runs that sampled a stage.
func stageSpread(p *bench.Point, name string) bench.Spread {
	var figures []float64
	for i := range p.Runs {
		for k := range p.Runs[i].Stages {
			if s := &p.Runs[i].Stages[k]; stageName(s) == name && s.Samples > 0 {
				figures = append(figures, s.LatencyUs.P50)
			}
		}
	}
	return bench.SpreadOf(figures)
}

// failoverBars is how many bars the histogram of failovers has, about.
const failoverBars = 24

// failoverChart is a histogram of the times from the signal to the next delivered value; nil where there are none.
func failoverChart(sc *bench.Scenario, order seriesOrder) *chart {
	c := &chart{title: "From kill -9 of the leader to the next delivered value", xLabel: "ms", yLabel: "failovers", sub: "dashed: the medians"}
	hi := 0.0
	for i := range sc.Failovers {
		p := &sc.Failovers[i]
		for k := range p.Failovers {
			hi = max(hi, p.Failovers[k].ValueMs)
		}
	}
	if hi == 0 {
		return nil
	}
	c.x = linearScale(hi, trimmed)
	step := c.x.hi / failoverBars
	most := 0
	counts := make([][]int, len(sc.Failovers))
	for i := range sc.Failovers {
		p := &sc.Failovers[i]
		counts[i] = make([]int, failoverBars)
		for k := range p.Failovers {
			at := min(failoverBars-1, int(p.Failovers[k].ValueMs/step))
			counts[i][at]++
			most = max(most, counts[i][at])
		}
		if len(p.Failovers) > 0 {
			c.legend = append(c.legend, entry{label: p.Series, look: lookOf(order.of(p.Series, &p.Config), 0, 1), area: true})
		}
	}
	c.y = countScale(most)
	c.body = func(f *field) {
		for i := range sc.Failovers {
			f.outline(lookOf(order.of(sc.Failovers[i].Series, &sc.Failovers[i].Config), 0, 1), counts[i], step, &sc.Failovers[i])
		}
	}
	return c
}

// outline draws a histogram as bars that let the others show through, and a line at the median.
func (f *field) outline(l look, counts []int, step float64, p *bench.FailoverPoint) {
	for i, n := range counts {
		if n == 0 {
			continue
		}
		from, to := f.at(float64(i)*step, float64(n)), f.at(float64(i+1)*step, 0)
		tip := fmt.Sprintf("%s: %d of %d failovers took %s to %s ms", p.Series, n, len(p.Failovers), figure(float64(i)*step), figure(float64(i+1)*step))
		f.rect(l.colour, .4, from.x+.5, from.y, to.x-.5, to.y, tip)
		f.line(l.colour, 2, xy{from.x + .5, from.y}, xy{to.x - .5, from.y})
	}
	if p.ValueMs.Median > 0 && !math.IsInf(p.ValueMs.Median, 0) {
		at := f.x.at(p.ValueMs.Median)
		f.marks = append(f.marks, mark{shape: polyline, at: []xy{{at, f.y.a}, {at, f.y.b}}, stroke: l.colour, width: 1.5, dash: []float64{4, 3}})
	}
}
