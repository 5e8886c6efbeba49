package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Text writes what a scenario is about and a table with a line for each of its points: the median of the runs, with the least and the most.
func (s *Scenario) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Title)
	fmt.Fprintf(&b, "  %s\n", s.conditions())
	for _, where := range s.places() {
		b.WriteString(wrapped("  ", where, textWidth))
	}
	if s.Skipped != "" {
		fmt.Fprintf(&b, "  skipped: %s\n", s.Skipped)
	}
	b.WriteByte('\n')
	s.points(&b)
	s.failovers(&b)
	s.micro(&b)
	for i := range s.Points {
		p := &s.Points[i]
		if p.Failed != "" {
			fmt.Fprintf(&b, "  %s: %s\n", p.Name, p.Failed)
		}
		for k := range p.Runs {
			for _, what := range p.Runs[k].Problems {
				fmt.Fprintf(&b, "  PROBLEM: %s, round %d: %s\n", p.Name, p.Runs[k].Round, what)
			}
		}
	}
	for _, note := range s.Notes {
		b.WriteString(wrapped("  * ", note, textWidth))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// conditions is the command, and how long the runs were.
func (s *Scenario) conditions() string {
	line := s.Command
	runs, longest := 0, 0.0
	for i := range s.Points {
		runs = max(runs, len(s.Points[i].Runs))
		for k := range s.Points[i].Runs {
			longest = max(longest, s.Points[i].Runs[k].DurationS)
		}
	}
	if runs > 0 {
		line += fmt.Sprintf(", %s of %.3g s a point, in turn", count(runs, "run"), longest)
	}
	return line + fmt.Sprintf(", %.0f s in all", s.TookS)
}

// places are what the sockets of the points got, and how the loops of each layout ran.
func (s *Scenario) places() (lines []string) {
	var sockets, loops []string
	add := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	for i := range s.Points {
		p := &s.Points[i]
		if len(p.Runs) == 0 {
			continue
		}
		c := &p.Config
		socket := c.Transport
		if c.Mode != "" {
			socket += " in " + c.Mode + " mode"
		}
		if c.Driver != "" {
			socket += " on " + c.Driver
		}
		add(&sockets, socket)
		apart := "a core for each loop"
		if slices.ContainsFunc(p.Cores, func(u CoreUse) bool { return u.Core < 0 }) {
			apart = "no cores of their own"
		}
		add(&loops, fmt.Sprintf("%s: idle %s, %s", c.Layout, c.Idle, apart))
	}
	if len(sockets) > 0 {
		lines = []string{strings.Join(sockets, ", "), strings.Join(loops, "; ")}
	}
	return lines
}

// column is one of a table of points.
type column struct {
	head  string
	cell  func(p *Point) string
	short func(p *Point) string // where the table would be too wide; nil: as cell
}

// points writes the table. Where it would be too wide, columns give up their ranges, from the right.
func (s *Scenario) points(b *strings.Builder) {
	columns := s.columns()
	rows := s.rows(columns)
	for i := len(columns) - 1; i >= 0 && tableWidth(rows) > textWidth; i-- {
		if columns[i].short != nil {
			columns[i].cell = columns[i].short
			rows = s.rows(columns)
		}
	}
	if len(rows) > 1 {
		writeTable(b, rows)
	}
}

// rows are the table of the points that ran, of the runs alone that prove something: a head, then the points of each series together.
func (s *Scenario) rows(columns []column) [][]string {
	rows := [][]string{nil}
	for _, c := range columns {
		rows[0] = append(rows[0], c.head)
	}
	var points []*Point
	var series []string
	for i := range s.Points {
		p := s.Points[i].Sound()
		if len(p.Runs) == 0 {
			continue
		}
		points = append(points, p)
		if !slices.Contains(series, p.Series) {
			series = append(series, p.Series)
		}
	}
	for _, name := range series {
		for _, p := range points {
			if p.Series != name {
				continue
			}
			var row []string
			for _, c := range columns {
				row = append(row, c.cell(p))
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// columns are those of any scenario, and what this one is about.
func (s *Scenario) columns() []column {
	columns := []column{{head: "", cell: func(p *Point) string { return p.Series }}}
	if s.X != "" {
		columns = append(columns, column{head: strings.ReplaceAll(s.X, "_", " "), cell: func(p *Point) string { return p.Config.field(s.X) }})
	}
	rate := ranged("values/s", grouped, func(r *Run) float64 { return r.ValuesPerS })
	p50 := ranged("p50 µs", decimals, func(r *Run) float64 { return r.LatencyUs.P50 })
	p99 := ranged("p99 µs", decimals, func(r *Run) float64 { return r.LatencyUs.P99 })
	p999 := ranged("p99.9 µs", decimals, func(r *Run) float64 { return r.LatencyUs.P999 })
	switch s.Name {
	case "cpu":
		return append(append(columns, rate), costColumns...)
	case "stages":
		return append(append(columns, rate, p50), s.stages()...)
	case "hops":
		columns = append(columns, column{head: "hops", cell: func(p *Point) string { return strconv.FormatFloat(p.Config.WireHops, 'f', -1, 64) }},
			median("frames/value", fine, perValue(func(c *Costs) float64 { return known(c.Frames) })), rate, p50, p99)
	case "sizes":
		mbit := func(p *Point) string {
			return grouped(p.Over(func(r *Run) float64 { return r.ValuesPerS }).Median * float64(p.Config.ValueSize) * 8 / 1e6)
		}
		columns = append(columns, rate, column{head: "Mbit/s", cell: mbit}, p50, p99)
	default:
		columns = append(columns, rate, p50, p99, p999)
	}
	return append(columns, s.occasional()...)
}

// stages are a column for the median of each stage that any run has, in their order.
func (s *Scenario) stages() (columns []column) {
	head := func(stage *Stage) string {
		if stage.From == stage.To {
			return "in all"
		}
		return "to " + stage.To
	}
	var heads []string
	for i := range s.Points {
		for k := range s.Points[i].Runs {
			stages := s.Points[i].Runs[k].Stages
			for j := range stages {
				if h := head(&stages[j]); !slices.Contains(heads, h) {
					heads = append(heads, h)
				}
			}
		}
	}
	for _, h := range heads {
		columns = append(columns, median(h, decimals, func(r *Run) float64 {
			for i := range r.Stages {
				if stage := &r.Stages[i]; head(stage) == h && stage.Samples > 0 {
					return stage.LatencyUs.P50
				}
			}
			return math.NaN()
		}))
	}
	return columns
}

// occasional are the columns that are there only where there is something in them.
func (s *Scenario) occasional() (columns []column) {
	any := func(is func(*Run) bool) bool {
		return slices.ContainsFunc(s.Points, func(p Point) bool {
			return slices.ContainsFunc(p.Runs, func(r Run) bool { return is(&r) })
		})
	}
	if any(func(r *Run) bool { return r.Wire != nil }) {
		columns = append(columns, median("floor µs", decimals, func(r *Run) float64 { return r.wire().FloorUs }),
			median("ratio", decimals, func(r *Run) float64 { return r.wire().RatioFloor }))
	}
	if any(func(r *Run) bool { return r.Behind > 0 }) {
		columns = append(columns, median("behind", grouped, func(r *Run) float64 { return float64(r.Behind) }))
	}
	if any(func(r *Run) bool { return r.StealPercent >= 1 }) {
		columns = append(columns, median("steal %", whole, func(r *Run) float64 { return r.StealPercent }))
	}
	return columns
}

// wire is the floor under the run; NaN where it was not measured.
func (r *Run) wire() Wire {
	if r.Wire == nil {
		return Wire{FloorUs: math.NaN(), RatioFloor: math.NaN()}
	}
	return *r.Wire
}

// costColumns are what values cost.
var costColumns = []column{
	ranged("switches/s", grouped, perSecond(func(c *Costs) float64 { return known(c.Voluntary, c.Involuntary) })),
	ranged("of loops/s", grouped, perSecond(func(c *Costs) float64 { return known(c.LoopVoluntary, c.LoopInvoluntary) })),
	median("switches/value", fine, perValue(func(c *Costs) float64 { return known(c.Voluntary, c.Involuntary) })),
	median("syscalls/value", fine, perValue(func(c *Costs) float64 { return known(c.Syscalls) })),
	median("CPU µs/value", fine, perValue(func(c *Costs) float64 { return known(c.CPUS) * 1e6 })),
	median("allocs/M", grouped, perValue(func(c *Costs) float64 { return known(c.Allocations) * 1e6 })),
	median("GC/M", fine, perValue(func(c *Costs) float64 { return known(c.GCCycles) * 1e6 })),
}

// known is the sum, and NaN where one of the counts could not be taken.
func known[N int64 | float64](counts ...N) (all float64) {
	for _, n := range counts {
		if n < 0 {
			return math.NaN()
		}
		all += float64(n)
	}
	return all
}

// perValue is a cost over the values that it was of.
func perValue(cost func(*Costs) float64) func(*Run) float64 {
	return func(r *Run) float64 {
		if r.Costs.Values == 0 {
			return math.NaN()
		}
		return cost(&r.Costs) / float64(r.Costs.Values)
	}
}

// perSecond is a cost over the time that its values took.
func perSecond(cost func(*Costs) float64) func(*Run) float64 {
	each := perValue(cost)
	return func(r *Run) float64 { return each(r) * r.ValuesPerS }
}

// ranged is a column of the median of a figure, with the least and the most where there are several runs.
func ranged(head string, format func(float64) string, figure func(*Run) float64) column {
	return column{head: head, cell: func(p *Point) string { return p.Over(figure).text(format) }, short: median(head, format, figure).cell}
}

// median is a column of the median alone.
func median(head string, format func(float64) string, figure func(*Run) float64) column {
	return column{head: head, cell: func(p *Point) string {
		s := p.Over(figure)
		return Spread{Median: s.Median, N: min(1, s.N)}.text(format)
	}}
}

func (s Spread) text(format func(float64) string) string {
	switch {
	case math.IsNaN(s.Median) || s.N == 0:
		return "-"
	case s.N == 1:
		return format(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", format(s.Median), format(s.Min), format(s.Max))
}

// field is a field by its JSON name, for people.
func (c *Config) field(name string) string {
	f := FieldOf(name)
	if f == nil {
		return ""
	}
	if rate, ok := f.Value(c).(float64); ok {
		return grouped(rate)
	}
	return fmt.Sprint(f.Value(c))
}

// failovers writes how long values did not go on.
func (s *Scenario) failovers(b *strings.Builder) {
	rows := [][]string{{"", "kills", "leads ms, median", "worst", "next value ms, median", "90 %", "worst", "outage's end ms, worst"}}
	for i := range s.Failovers {
		p := &s.Failovers[i]
		if p.Failed != "" {
			fmt.Fprintf(b, "  %s: %s\n", p.Name, p.Failed)
			continue
		}
		ms := func(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }
		rows = append(rows, []string{
			p.Series, strconv.Itoa(p.Kills), ms(p.LeadsMs.Median), ms(p.LeadsMs.Max), ms(p.ValueMs.Median), ms(p.ValueMs.P90), ms(p.ValueMs.Max), ms(p.OutageMs.Max),
		})
	}
	if len(rows) > 1 {
		writeTable(b, rows)
	}
	for i := range s.Failovers {
		for _, what := range s.Failovers[i].Problems {
			fmt.Fprintf(b, "  PROBLEM: %s: %s\n", s.Failovers[i].Name, what)
		}
	}
}

// micro writes what hot functions cost.
func (s *Scenario) micro(b *strings.Builder) {
	rows := [][]string{{"", "ns/op", "ns each", "CPU ns each", "allocs/op", "B/op"}}
	each := func(ns []float64) string {
		if len(ns) == 0 {
			return ""
		}
		return SpreadOf(ns).text(decimals)
	}
	for i := range s.Micro {
		m := &s.Micro[i]
		plain := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
		rows = append(rows, []string{m.Name, SpreadOf(m.NsPerOp).text(decimals), each(m.NsEach), each(m.CPUNsEach), plain(m.AllocsPerOp), plain(m.BytesPerOp)})
	}
	if len(rows) > 1 {
		writeTable(b, rows)
	}
}

// Line is a run in a few words.
func (r *Run) Line() string {
	return fmt.Sprintf("%9s/s  p50 %s  p99 %s µs", grouped(r.ValuesPerS), decimals(r.LatencyUs.P50), decimals(r.LatencyUs.P99))
}
