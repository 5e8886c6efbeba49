package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"wirepaxos/bench"
)

// line is the points of a scenario that differ in its X alone: one line of a plot, or one group of rows of a table.
type line struct {
	label  string // "AF_XDP, batch off"
	series int    // number of its family on the page
	look   look
	points []*bench.Point // sound runs alone; ascending by X where that is a number
}

// panel is the lines of one plot.
type panel struct {
	title string // what all its lines share and those of the scenario's other panels do not: "64-byte values"
	name  string // the same in the name of a file: "64"
	lines []line
}

// seriesOrder gives each family of series a number: the same colour in every plot. Our own transports come first.
type seriesOrder []string

// ownFamilies are our own transports for people, in the order of transports.
var (
	ownFamilies   = []string{"AF_XDP", "kernel UDP", "memory"}
	ownTransports = []string{"afxdp", "udp", "mem"}
)

// family is what a series is of: one of our transports, or another system.
func family(series string, c *bench.Config) string {
	if at := slices.Index(ownTransports, c.Transport); at >= 0 && isOurs(c) {
		return ownFamilies[at]
	}
	return series
}

func orderSeries(suites []*bench.Suite) seriesOrder {
	order := slices.Clone(ownFamilies)
	add := func(series string, c *bench.Config) {
		if name := family(series, c); !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	for _, s := range suites {
		for i := range s.Scenarios {
			for k := range s.Scenarios[i].Points {
				add(s.Scenarios[i].Points[k].Series, &s.Scenarios[i].Points[k].Config)
			}
			for k := range s.Scenarios[i].Failovers {
				add(s.Scenarios[i].Failovers[k].Series, &s.Scenarios[i].Failovers[k].Config)
			}
		}
	}
	return order
}

func (o seriesOrder) of(series string, c *bench.Config) int {
	return max(0, slices.Index(o, family(series, c)))
}

// splitFields are the fields that tell lines of one series apart, the most telling first.
var splitFields = []string{
	"value_size", "batch", "layout", "storage", "transport", "acceptors", "groups", "learners", "proposers", "idle", "link", "arrivals", "rate_per_s",
	"clients", "outstanding", "system", "driver", "mode",
}

// linesOf sorts points into lines. A field that differs between points of one series at one X makes them lines of their own; one that differs only
// because the series or X does, makes none.
func linesOf(sc *bench.Scenario, order seriesOrder) []line {
	points := soundPoints(sc)
	split := keysOf(sc, points)
	var lines []line
	place := map[string]int{}
	for _, p := range points {
		label := labelOf(p, split)
		at, ok := place[label]
		if !ok {
			at = len(lines)
			place[label] = at
			lines = append(lines, line{label: label, series: order.of(p.Series, &p.Config)})
		}
		lines[at].points = append(lines[at].points, p)
	}
	x := bench.FieldOf(sc.X)
	for i := range lines {
		slices.SortStableFunc(lines[i].points, func(a, b *bench.Point) int { return cmp.Compare(xOf(x, a), xOf(x, b)) })
	}
	return lines
}

// soundPoints are the points of a scenario without the runs that prove nothing.
func soundPoints(sc *bench.Scenario) []*bench.Point {
	points := make([]*bench.Point, len(sc.Points))
	for i := range sc.Points {
		points[i] = sc.Points[i].Sound()
	}
	return points
}

func xOf(x *bench.Field, p *bench.Point) float64 {
	if x == nil {
		return 0
	}
	v, _ := x.Number(&p.Config)
	return v
}

func labelOf(p *bench.Point, split []*bench.Field) string {
	parts := []string{p.Series}
	for _, f := range split {
		if text := f.Phrase(&p.Config); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}

// keysOf are the fields besides series and X without which two points could not be told apart.
func keysOf(sc *bench.Scenario, points []*bench.Point) (split []*bench.Field) {
	distinct := func() int {
		seen := map[string]bool{}
		for _, p := range points {
			key := p.Series
			if x := bench.FieldOf(sc.X); x != nil {
				key += fmt.Sprint("|", x.Value(&p.Config))
			}
			for _, f := range split {
				key += fmt.Sprint("|", f.Value(&p.Config))
			}
			seen[key] = true
		}
		return len(seen)
	}
	for _, name := range splitFields {
		before := distinct()
		if before == len(points) {
			break
		}
		if name == sc.X {
			continue
		}
		split = append(split, bench.FieldOf(name))
		if distinct() == before {
			split = split[:len(split)-1]
		}
	}
	return split
}

// panelFields are those whose values make plots of their own, as the paper has one for each size.
var panelFields = []string{"value_size", "batch"}

// mostLines is how many lines a plot has before it is split by more than the value's size.
const mostLines = 6

// panelsOf deals lines out to plots, and gives each its look.
func panelsOf(sc *bench.Scenario, order seriesOrder) []panel {
	panels := []panel{{lines: linesOf(sc, order)}}
	for i, name := range panelFields {
		if name == sc.X || i > 0 && !slices.ContainsFunc(panels, func(p panel) bool { return len(p.lines) > mostLines }) {
			continue
		}
		var dealt []panel
		for _, p := range panels {
			dealt = append(dealt, p.by(bench.FieldOf(name))...)
		}
		panels = dealt
	}
	for i := range panels {
		panels[i].setLooks()
	}
	return panels
}

// by deals a panel's lines out by a field that is one in each line; else the panel stays whole.
func (p panel) by(f *bench.Field) []panel {
	var dealt []panel
	for _, l := range p.lines {
		if slices.ContainsFunc(l.points, func(q *bench.Point) bool { return f.Value(&q.Config) != f.Value(&l.points[0].Config) }) {
			return []panel{p}
		}
		text := f.Phrase(&l.points[0].Config)
		at := slices.IndexFunc(dealt, func(d panel) bool { return d.lines[0].config(f) == l.config(f) })
		if at < 0 {
			at = len(dealt)
			dealt = append(dealt, panel{title: joined(p.title, text), name: fileName(p.name, fmt.Sprint(l.config(f)))})
		}
		for _, said := range []string{text, fmt.Sprint(l.config(f), " B")} { // by the plot's title
			l.label = strings.ReplaceAll(l.label, ", "+said, "")
		}
		dealt[at].lines = append(dealt[at].lines, l)
	}
	if len(dealt) < 2 {
		return []panel{p}
	}
	return dealt
}

func (l *line) config(f *bench.Field) any { return f.Value(&l.points[0].Config) }

func joined(a, b string) string { return strings.Trim(a+", "+b, ", ") }

func fileName(a, b string) string { return strings.Trim(a+"-"+b, "-") }

// setLooks gives lines their looks: by family, and where a family has several lines, by variant too. Where there is one family alone, colours tell its
// lines apart.
func (p *panel) setLooks() {
	variants := map[int]int{}
	for _, l := range p.lines {
		variants[l.series]++
	}
	most := 0
	for _, n := range variants {
		most = max(most, n)
	}
	next := map[int]int{}
	for i := range p.lines {
		l := &p.lines[i]
		if len(variants) == 1 && most > 1 {
			l.look = lookOf(i, 0, 1)
			continue
		}
		l.look = lookOf(l.series, next[l.series], most)
		next[l.series]++
	}
}

// measured are the points that have runs.
func (l *line) measured() (points []*bench.Point) {
	for _, p := range l.points {
		if len(p.Runs) > 0 {
			points = append(points, p)
		}
	}
	return points
}

// shared says in words what all points of a scenario have in common, and what differs not at all by series or X.
func shared(sc *bench.Scenario) string {
	var parts []string
	for i := range bench.Fields {
		f := &bench.Fields[i]
		if len(sc.Points) == 0 || f.Name == sc.X || f.Name == "system" {
			continue
		}
		first := f.Value(&sc.Points[0].Config)
		if slices.ContainsFunc(sc.Points, func(p bench.Point) bool { return f.Value(&p.Config) != first }) {
			continue
		}
		if text := f.Phrase(&sc.Points[0].Config); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}
