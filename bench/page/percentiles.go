package page

import (
	"fmt"
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/bench"
)

// mostNines ends the axis of a percentile curve: 99.999 %.
const mostNines = 5

// curveSteps is how many places of a percentile curve are read for each further nine.
const curveSteps = 24

// histogramOf joins the latencies of all runs of a point that have them; nil where none has.
func histogramOf(p *bench.Point) (*hdrhistogram.Histogram, error) {
	q := *p
	q.Runs = slices.DeleteFunc(slices.Clone(p.Runs), func(r bench.Run) bool { return r.HistogramV2 == "" })
	h, err := q.Histogram()
	if err != nil || h.TotalCount() == 0 {
		return nil, err
	}
	return h, nil
}

// distribution is a percentile curve: latencies in µs.
type distribution struct {
	label  string
	look   look
	shares []float64 // 0 … below 1, ascending
	us     []float64
}

// newDistribution reads a histogram up to the last percentile that one value in it still stands for, and no further than the axis goes.
func newDistribution(label string, l look, h *hdrhistogram.Histogram) distribution {
	d := distribution{label: label, look: l}
	nines := min(mostNines, math.Log10(float64(h.TotalCount())))
	for i := 0; float64(i) <= nines*curveSteps+1e-9; i++ {
		share := 1 - math.Pow(10, -float64(i)/curveSteps)
		d.shares = append(d.shares, share)
		d.us = append(d.us, float64(h.ValueAtPercentile(100*share))/1e3)
	}
	d.us[0] = float64(h.Min()) / 1e3
	return d
}

// percentileChart draws distributions in the manner of HdrHistogram: every further nine of the percentile has the same width.
func percentileChart(title, sub string, list []distribution) *chart {
	nines := 2.0
	var all []float64
	c := &chart{title: title, sub: sub, xLabel: "percentile of the values", yLabel: "latency"}
	for _, d := range list {
		nines = max(nines, -math.Log10(1-d.shares[len(d.shares)-1]))
		all = append(all, d.us...)
		c.legend = append(c.legend, entry{label: d.label, look: d.look})
	}
	c.x, c.y = percentileScale(int(math.Ceil(nines-0.1))), fitScale(all, span)
	c.body = func(f *field) {
		for _, d := range list {
			at := make([]xy, len(d.us))
			for i := range at {
				at[i] = f.at(d.shares[i], d.us[i])
			}
			f.stroke(d.look, at)
		}
		for n, d := range list {
			for i := range d.us {
				// One marker a nine, further along for each line: those of lines that lie on each other show side by side.
				if i%curveSteps == (5*n+curveSteps/3)%curveSteps {
					tip := fmt.Sprintf("%s: %s of the values took at most %s", d.label, percentText(math.Round(d.shares[i]*1e6)/1e6), span(round3(d.us[i])))
					f.marker(d.look, f.at(d.shares[i], d.us[i]), tip)
				}
			}
		}
	}
	return c
}

// round3 keeps three digits.
func round3(v float64) float64 {
	if v == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(v)))-2)
	return roundTo(math.Round(v/unit) * unit)
}

// percentilePlots are the curves of a panel: all of its points in one plot where they are few; else a plot for each X, of which the first and the last
// stand for all where it is a number.
func percentilePlots(sc *bench.Scenario, p *panel) (plots []plot, err error) {
	x := bench.FieldOf(sc.X)
	var keys []string
	total := 0
	for i := range p.lines {
		for _, q := range p.lines[i].measured() {
			total++
			if key := keyOf(x, q); !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	if total == len(keys) && len(p.lines) > 1 && total > mostLines { // no two lines have an X in common: rates, that depend on the transport's peak
		for i := range p.lines {
			one, err := percentilePlots(sc, &panel{title: joined(p.title, p.lines[i].label), name: fileName(p.name, p.lines[i].label), lines: p.lines[i : i+1]})
			if err != nil {
				return nil, err
			}
			plots = append(plots, one...)
		}
		return plots, nil
	}
	if len(keys) < 2 || total <= mostLines || len(p.lines) == 1 && total <= mostPoints {
		keys = []string{""}
	} else if isNumber(x) {
		keys = []string{keys[0], keys[len(keys)-1]}
	}
	for _, key := range keys {
		one, err := percentilesAt(sc, p, x, key)
		if err != nil {
			return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
		}
		if one.chart != nil {
			plots = append(plots, one)
		}
	}
	return plots, nil
}

// keyOf is a point's X as text.
func keyOf(x *bench.Field, p *bench.Point) string {
	if x == nil {
		return ""
	}
	return fmt.Sprint(x.Value(&p.Config))
}

// percentilesAt is the plot of the points at one X; "" is all.
func percentilesAt(sc *bench.Scenario, p *panel, x *bench.Field, key string) (plot, error) {
	sub := p.title
	var list []distribution
	for i := range p.lines {
		l := &p.lines[i]
		points := l.measured()
		for k, q := range points {
			if key != "" && keyOf(x, q) != key {
				continue
			}
			h, err := histogramOf(q)
			if err != nil {
				return plot{}, err
			}
			if h == nil {
				continue
			}
			label, look := l.label, l.look
			switch {
			case key != "":
				sub = joined(p.title, x.Phrase(&q.Config))
			case x != nil && len(points) > 1:
				label = joined(label, x.Phrase(&q.Config))
				look = lookOf(l.series, k, len(points))
			}
			list = append(list, newDistribution(label, look, h))
		}
	}
	if len(list) == 0 {
		return plot{}, nil
	}
	name := fileName(sc.Name, fileName(p.name, fileName("percentiles", key)))
	return plot{name: name, chart: percentileChart("Latency by percentile", joined(sub, "all runs together"), list)}, nil
}
