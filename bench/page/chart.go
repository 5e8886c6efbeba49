package page

import (
	"math"
	"strings"
)

// extent is a width at which charts are drawn. Type has the same size in both.
type extent struct {
	w      float64
	plotH  float64 // of the field between the axes
	narrow bool
}

var (
	wideExtent   = extent{w: 620, plotH: 300}
	narrowExtent = extent{w: 360, plotH: 260, narrow: true}
)

const (
	titleSize = 15
	textSize  = 12.5
	edge      = 10 // between a drawing's border and what is in it
	lineStep  = 17 // from one line of text to the next
)

// entry is a line of the legend.
type entry struct {
	label string
	look  look
	area  bool // a square, for bars
}

// chart is a plot with two axes, before it has a size.
type chart struct {
	title, sub     string
	legend         []entry
	x, y           *scale
	xLabel, yLabel string
	body           func(*field)
}

// field is what lies between a chart's axes, at one size.
type field struct {
	*drawing
	x, y   scale
	extent extent
	taken  []box // by labels
}

// box is a rectangle that a label takes.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) meets(o box) bool { return b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 }

func (f *field) at(x, y float64) xy { return xy{f.x.at(x), f.y.at(y)} }

// draw lays a chart out from top to bottom: title, legend, the name of the y axis, the field, ticks, the name of the x axis.
func (c *chart) draw(e extent) *drawing {
	d := &drawing{title: c.title, w: e.w}
	y := d.heading(c.title, c.sub, e.w)
	y = d.keys(c.legend, y, e.w)
	f := &field{drawing: d, x: *c.x, y: *c.y, extent: e}
	left := 0.0
	for _, t := range f.y.ticks {
		left = max(left, textWidth(f.y.label(t), textSize, false))
	}
	left += edge + 8
	y += lineStep
	d.write(c.yLabel, xy{edge, y}, textSize, muted, fromLeft)
	top := y + 12
	bottom := top + e.plotH
	f.x.a, f.x.b, f.y.a, f.y.b = left, e.w-edge-8, bottom, top
	f.grid(bottom, top)
	d.write(c.xLabel, xy{f.x.b, bottom + 38}, textSize, muted, fromRight)
	d.h = bottom + 38 + edge
	c.body(f)
	return d
}

// grid draws the lines and labels of both axes.
func (f *field) grid(bottom, top float64) {
	right := f.x.b + 8
	for _, v := range f.y.between {
		f.line(faint, .5, xy{f.x.a, f.y.at(v)}, xy{right, f.y.at(v)})
	}
	last := math.Inf(1)
	for _, v := range f.y.ticks {
		y := f.y.at(v)
		f.line(faint, 1, xy{f.x.a, y}, xy{right, y})
		if last-y >= textSize {
			f.write(f.y.label(v), xy{f.x.a - 7, y + 4}, textSize, muted, fromRight)
			last = y
		}
	}
	for _, v := range f.x.between {
		f.line(faint, .5, xy{f.x.at(v), bottom}, xy{f.x.at(v), top})
	}
	until := math.Inf(-1)
	for _, v := range f.x.ticks {
		x, text := f.x.at(v), f.x.label(v)
		f.line(faint, 1, xy{x, bottom}, xy{x, top})
		half := textWidth(text, textSize, false) / 2
		middle := min(x, f.w-2-half)
		if middle-half > until {
			f.write(text, xy{middle, bottom + 18}, textSize, muted, centred)
			until = middle + half + 6
		}
	}
	f.line(muted, 1, xy{f.x.a, bottom}, xy{right, bottom})
}

// heading writes the title and what stands below it, in as many lines as they need, and returns where the next thing goes.
func (d *drawing) heading(title, sub string, width float64) float64 {
	y := 6.0
	for _, line := range wrap(title, titleSize, true, width-2*edge) {
		y += lineStep + 2
		d.write(line, xy{edge, y}, titleSize, ink, fromLeft).bold = true
	}
	for _, line := range wrap(sub, textSize, false, width-2*edge) {
		y += lineStep
		d.write(line, xy{edge, y}, textSize, muted, fromLeft)
	}
	return y + 4
}

// keys draws a legend, and returns where the next thing goes.
func (d *drawing) keys(legend []entry, y, width float64) float64 {
	if len(legend) == 0 {
		return y
	}
	const gap = 18.0
	swatch, x := 30.0, float64(edge)
	if legend[0].area {
		swatch = 12
	}
	y += lineStep
	for _, e := range legend {
		need := swatch + 6 + textWidth(e.label, textSize, false)
		if x > edge && x+need > width-edge {
			x, y = edge, y+lineStep
		}
		middle := y - 4
		if e.area {
			d.rect(e.look.colour, .85, x, middle-6, x+swatch, middle+6, "")
		} else {
			d.stroke(e.look, []xy{{x, middle}, {x + swatch, middle}})
			d.marker(e.look, xy{x + swatch/2, middle}, "")
		}
		d.write(e.label, xy{x + swatch + 6, y}, textSize, ink, fromLeft)
		x += need + gap
	}
	return y + 4
}

// wrap breaks text at spaces, so that each line fits.
func wrap(text string, size float64, bold bool, width float64) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		longer := strings.TrimLeft(line+" "+word, " ")
		if line != "" && textWidth(longer, size, bold) > width {
			lines = append(lines, line)
			longer = word
		}
		line = longer
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// note labels a place where there is room beside it, or not at all. must: also where there is none.
func (f *field) note(text string, at xy, must bool) {
	const size = 11.0
	w := textWidth(text, size, false)
	for _, p := range []xy{{at.x, at.y - 9}, {at.x, at.y + 17}, {at.x + 9 + w/2, at.y + 4}, {at.x - 9 - w/2, at.y + 4}} {
		b := box{p.x - w/2 - 2, p.y - size, p.x + w/2 + 2, p.y + 3}
		free := b.x0 >= f.x.a && b.x1 <= f.w && b.y0 >= f.y.b-10 && b.y1 <= f.y.a
		for _, t := range f.taken {
			free = free && !b.meets(t)
		}
		if free || must {
			f.taken = append(f.taken, b)
			f.write(text, p, size, muted, centred).halo = true
			return
		}
	}
}
