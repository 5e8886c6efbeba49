package page

import (
	"fmt"

	"wirepaxos/bench"
)

// barRow is a row of a bar chart: one bar with a whisker, or segments one after the other.
type barRow struct {
	group    string // a heading above the first of several rows
	label    string
	look     look
	spread   bench.Spread
	text     string // behind the bar
	segments []segment
}

// segment is a part of a stacked bar.
type segment struct {
	look  look
	label string
	size  float64
}

// barChart is rows from top to bottom; its one axis is horizontal.
type barChart struct {
	title, sub string
	legend     []entry
	rows       []barRow
	x          *scale
	xLabel     string
	from       float64   // where bars begin: 0, or 1 of ratios
	bounds     []float64 // lines that a bar is to reach
}

const (
	barHeight  = 15
	rowHeight  = 24
	labelShare = .36 // of the width, at most, for labels that stand before their bars
)

func (c *barChart) draw(e extent) *drawing {
	d := &drawing{title: c.title, w: e.w}
	y := d.keys(c.legend, d.heading(c.title, c.sub, e.w), e.w)
	left := float64(edge)
	if !e.narrow {
		for _, r := range c.rows {
			left = max(left, edge+8+textWidth(r.label, textSize, false))
		}
		left = min(left, labelShare*e.w)
	}
	right := 0.0
	for _, r := range c.rows {
		right = max(right, textWidth(r.text, textSize, false))
	}
	x := *c.x
	x.a, x.b = left, e.w-edge-8-right
	top := y + 8
	grid := len(d.marks)
	bottom := top
	group := ""
	for i := range c.rows {
		r := &c.rows[i]
		if r.group != group {
			group = r.group
			for _, text := range wrap(group, textSize, true, e.w-2*edge) {
				bottom += lineStep
				d.write(text, xy{edge, bottom}, textSize, ink, fromLeft).bold = true
			}
			bottom += 4
		}
		if e.narrow {
			bottom += lineStep
			d.write(r.label, xy{edge, bottom - 2}, textSize, muted, fromLeft)
		} else if lines := wrap(r.label, textSize, false, left-edge-6); len(lines) > 0 {
			for k, text := range lines {
				d.write(text, xy{edge, bottom + rowHeight/2 + 4 + float64(k)*14}, textSize, muted, fromLeft)
			}
			bottom += float64(len(lines)-1) * 14 / 2
			d.bar(c, r, &x, bottom+rowHeight/2)
			bottom += rowHeight + float64(len(lines)-1)*14/2
			continue
		}
		d.bar(c, r, &x, bottom+rowHeight/2)
		bottom += rowHeight
	}
	d.underBars(c, &x, grid, top, bottom)
	d.h = bottom + 38 + edge
	return d
}

// bar draws one row around the height y.
func (d *drawing) bar(c *barChart, r *barRow, x *scale, y float64) {
	end := x.at(r.spread.Median)
	switch {
	case len(r.segments) > 0:
		sum := 0.0
		for _, s := range r.segments {
			from, to := x.at(sum), x.at(sum+s.size)
			sum += s.size
			d.rect(s.look.colour, .85, from, y-barHeight/2, max(from, to-1), y+barHeight/2, fmt.Sprintf("%s, %s: %s µs", r.label, s.label, figure(s.size)))
		}
		end = x.at(sum)
	case r.spread.N > 0:
		d.rect(r.look.colour, .8, x.at(c.from), y-barHeight/2, end, y+barHeight/2, r.label+": "+r.text)
	}
	if r.spread.N > 1 {
		d.whisker(ink, xy{x.at(r.spread.Min), y}, xy{x.at(r.spread.Max), y})
		end = max(end, x.at(r.spread.Max))
	}
	d.write(r.text, xy{max(end, x.at(c.from)) + 6, y + 4}, textSize, ink, fromLeft).halo = true
}

// underBars puts the grid behind what was drawn from the mark of number at on, and the axis below it.
func (d *drawing) underBars(c *barChart, x *scale, at int, top, bottom float64) {
	rows := d.marks[at:]
	d.marks = d.marks[:at:at]
	until := -1.0
	for _, v := range x.ticks {
		d.line(faint, 1, xy{x.at(v), top}, xy{x.at(v), bottom})
		text := x.label(v)
		half := textWidth(text, textSize, false) / 2
		if middle := max(x.at(v), half+2); middle-half > until {
			d.write(text, xy{middle, bottom + 18}, textSize, muted, centred)
			until = middle + half + 6
		}
	}
	for _, v := range c.bounds {
		d.marks = append(d.marks, mark{shape: polyline, at: []xy{{x.at(v), top}, {x.at(v), bottom}}, stroke: ink, width: 1.5, dash: []float64{4, 3}})
	}
	d.line(muted, 1, xy{x.at(c.from), top}, xy{x.at(c.from), bottom})
	d.write(c.xLabel, xy{d.w - edge, bottom + 36}, textSize, muted, fromRight)
	d.marks = append(d.marks, rows...)
}

// barsOf draws a figure of each point of a panel as a row; where X has several values, they are the groups.
func barsOf(p *panel, x *bench.Field, m measure) *barChart {
	c := &barChart{title: m.title, sub: joined(p.title, spreadNote(p.lines)), xLabel: m.axis()}
	hi := 0.0
	for _, key := range keysIn(p, x) {
		for i := range p.lines {
			l := &p.lines[i]
			for _, q := range l.measured() {
				if keyOf(x, q) != key {
					continue
				}
				r := barRow{label: l.label, look: l.look, spread: q.Over(m.of)}
				r.text = spreadText(r.spread)
				if x != nil {
					r.group = x.Phrase(&q.Config)
				}
				hi = max(hi, r.spread.Max)
				c.rows = append(c.rows, r)
			}
		}
	}
	c.x = linearScale(hi, m.label)
	return c
}

// keysIn are the values of X in a panel, in the order of the points.
func keysIn(p *panel, x *bench.Field) (keys []string) {
	seen := map[string]bool{}
	for i := range p.lines {
		for _, q := range p.lines[i].measured() {
			if key := keyOf(x, q); !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	return keys
}
