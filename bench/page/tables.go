package page

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"wirepaxos/bench"
)

// table is one of the page's tables. It scrolls in a box of its own where the page is narrow.
type table struct {
	Title   string
	Command string // that made the figures
	Note    string
	Head    []string
	Rows    []row
}

// Column is a heading: over figures it stands to the right, as they do.
type Column struct {
	Text  string
	IsNum bool
}

// Columns are the headings. A column is one of figures where the first row that reaches it has one.
func (t *table) Columns() []Column {
	columns := make([]Column, len(t.Head))
	for i, text := range t.Head {
		columns[i].Text = text
		for _, r := range t.Rows {
			if i < len(r.Cells) && r.Cells[i].Class != "span" && r.Cells[i].Text != "" {
				columns[i].IsNum = strings.HasPrefix(r.Cells[i].Class, "num")
				break
			}
		}
	}
	return columns
}

type row struct {
	Cells []cell
	Faint bool // what was not measured
}

// cell is text, and the number that a column is sorted by.
type cell struct {
	Text   string
	Sort   string
	Class  string // of the style: "num", "good", "bad", "poor", "wrap", "span"
	Detail string
	Code   string // a command, below the text
}

func word(text string) cell { return cell{Text: text} }

func number(v float64) cell {
	return cell{Text: figure(v), Sort: strconv.FormatFloat(v, 'g', -1, 64), Class: "num"}
}

func spread(s bench.Spread) cell {
	return cell{Text: spreadText(s), Sort: strconv.FormatFloat(s.Median, 'g', -1, 64), Class: "num"}
}

// rowsOf calls add for each point of a scenario, line by line, with the cells that name it.
func rowsOf(sc *bench.Scenario, lines []line, add func(name []cell, p *bench.Point)) {
	x := bench.FieldOf(sc.X)
	for i := range lines {
		for _, p := range lines[i].points {
			name := []cell{word(lines[i].label)}
			if x != nil {
				c := word(fmt.Sprint(x.Value(&p.Config)))
				if v, ok := x.Number(&p.Config); ok {
					c = number(v)
					c.Text = exact(math.Round(v))
				}
				name = append(name, c)
			}
			add(name, p)
		}
	}
}

// headOf are the columns that name a point.
func headOf(sc *bench.Scenario, more ...string) []string {
	head := []string{"series"}
	if x := bench.FieldOf(sc.X); x != nil {
		head = append(head, x.Title)
	}
	return append(head, more...)
}

// pointsTable has every point of a scenario, also those that failed.
func pointsTable(sc *bench.Scenario, lines []line) *table {
	t := &table{
		Title: "All points", Command: sc.Command,
		Note: "Median of the runs (least–most). Latencies in µs; corrected: for coordinated omission. " +
			"Steal: CPU time that the host gave to other machines, the most of all runs.",
		Head: headOf(sc, "values/s", "Mbit/s", "p50", "p90", "p99", "p99.9", "p99.99", "max", "p99 corrected", "mode", "runs", "steal %"),
	}
	open := slices.ContainsFunc(sc.Points, func(p bench.Point) bool { return p.Config.RatePerS > 0 })
	if open {
		t.Head = append(t.Head, "behind %")
		t.Note += " Behind: values that were due and could not be submitted; with them, latencies are a lower bound."
	}
	rowsOf(sc, lines, func(name []cell, p *bench.Point) {
		if len(p.Runs) == 0 {
			t.Rows = append(t.Rows, row{Cells: append(name, cell{Text: "not measured: " + reasonOf(sc, p), Class: "span"}), Faint: true})
			return
		}
		cells := append(name, spread(p.Over(throughput.of)), number(p.Over(bandwidth(p).of).Median))
		for _, of := range []func(*bench.Latency) float64{
			func(l *bench.Latency) float64 { return l.P50 }, func(l *bench.Latency) float64 { return l.P90 },
			func(l *bench.Latency) float64 { return l.P99 }, func(l *bench.Latency) float64 { return l.P999 },
			func(l *bench.Latency) float64 { return l.P9999 }, func(l *bench.Latency) float64 { return l.Max },
		} {
			cells = append(cells, spread(p.Over(func(r *bench.Run) float64 { return of(&r.LatencyUs) })))
		}
		steal := p.Over(func(r *bench.Run) float64 { return r.StealPercent }).Max
		cells = append(cells, correctedCell(p), word(p.Config.Mode), runsCell(sc, p), number(steal))
		if open {
			cells = append(cells, spread(p.Over(func(r *bench.Run) float64 { return 100 * float64(r.Behind) / max(1, float64(r.Behind+r.Values)) })))
		}
		t.Rows = append(t.Rows, row{Cells: cells})
	})
	return t
}

func correctedCell(p *bench.Point) cell {
	var figures []float64
	for i := range p.Runs {
		if c := p.Runs[i].LatencyCorrectedUs; c != nil && c.P99 > 0 {
			figures = append(figures, c.P99)
		}
	}
	return spread(bench.SpreadOf(figures))
}

// original is the point as the suite has it, with the runs in which the check found a problem.
func original(sc *bench.Scenario, p *bench.Point) *bench.Point {
	for i := range sc.Points {
		if q := &sc.Points[i]; q.Series == p.Series && q.Config == p.Config && q.Name == p.Name {
			return q
		}
	}
	return p
}

func reasonOf(sc *bench.Scenario, p *bench.Point) string {
	if n := len(original(sc, p).Runs); n > 0 {
		return fmt.Sprintf("the check found problems in all of %d runs", n)
	}
	if p.Failed == "" {
		return "no reason was given"
	}
	return p.Failed
}

// runsCell counts runs, and says how many of them proved nothing.
func runsCell(sc *bench.Scenario, p *bench.Point) cell {
	all := len(original(sc, p).Runs)
	c := number(float64(len(p.Runs)))
	c.Text = strconv.Itoa(len(p.Runs))
	switch {
	case all > len(p.Runs):
		c.Text, c.Class = fmt.Sprintf("%d of %d: the others failed the check", len(p.Runs), all), "num bad"
	case p.Failed != "":
		c.Text, c.Class = c.Text+": "+p.Failed, "num bad"
	}
	return c
}

// costColumn is a column of the table of costs: a count over the values, or over the time.
type costColumn struct {
	head string
	of   func(r *bench.Run) float64 // NaN: not counted
}

// per divides a count; what was not counted stays so.
func per(n int64, by float64) float64 {
	if n < 0 || by <= 0 {
		return math.NaN()
	}
	return float64(n) / by
}

var costColumns = []costColumn{
	{"CPU ns", func(r *bench.Run) float64 {
		if r.Costs.CPUS < 0 || r.Costs.Values == 0 {
			return math.NaN()
		}
		return r.Costs.CPUS * 1e9 / float64(r.Costs.Values)
	}},
	{"frames", func(r *bench.Run) float64 { return per(r.Costs.Frames, float64(r.Costs.Values)) }},
	{"bytes", func(r *bench.Run) float64 { return per(r.Costs.FrameBytes, float64(r.Costs.Values)) }},
	{"system calls", func(r *bench.Run) float64 { return per(r.Costs.Syscalls, float64(r.Costs.Values)) }},
	{"allocations /M", func(r *bench.Run) float64 { return per(r.Costs.Allocations, float64(r.Costs.Values)/1e6) }},
	{"GC cycles /M", func(r *bench.Run) float64 { return per(r.Costs.GCCycles, float64(r.Costs.Values)/1e6) }},
	{"voluntary switches /M", func(r *bench.Run) float64 { return per(r.Costs.Voluntary, float64(r.Costs.Values)/1e6) }},
	{"involuntary /M", func(r *bench.Run) float64 { return per(r.Costs.Involuntary, float64(r.Costs.Values)/1e6) }},
	{"voluntary of loops /M", func(r *bench.Run) float64 { return per(r.Costs.LoopVoluntary, float64(r.Costs.Values)/1e6) }},
	{"switches /s", func(r *bench.Run) float64 {
		if r.Costs.Voluntary < 0 || r.Costs.Involuntary < 0 {
			return math.NaN()
		}
		return per(r.Costs.Voluntary+r.Costs.Involuntary, r.DurationS)
	}},
	{"retries /M", func(r *bench.Run) float64 { return per(r.Costs.Retries, float64(r.Costs.Values)/1e6) }},
	{"drops /M", func(r *bench.Run) float64 { return per(r.Costs.Drops, float64(r.Costs.Values)/1e6) }},
}

// costsTable has what a value costs, all processes of the system together; nil where nothing was counted.
func costsTable(sc *bench.Scenario, lines []line) *table {
	t := &table{
		Title: "What a value costs", Command: sc.Command, Head: headOf(sc),
		Note: "All processes of the system together, the clients among them. Each figure is for one value; /M: for a million values; " +
			"/s: for a second. Switches are context switches; those of loops are of the threads of poll loops alone. –: not counted.",
	}
	var shown []costColumn
	for _, c := range costColumns {
		if slices.ContainsFunc(lines, func(l line) bool {
			return slices.ContainsFunc(l.points, func(p *bench.Point) bool { return costSpread(p, c).N > 0 })
		}) {
			shown = append(shown, c)
			t.Head = append(t.Head, c.head)
		}
	}
	if len(shown) == 0 {
		return nil
	}
	rowsOf(sc, lines, func(name []cell, p *bench.Point) {
		if len(p.Runs) == 0 {
			return
		}
		for _, c := range shown {
			name = append(name, spread(costSpread(p, c)))
		}
		t.Rows = append(t.Rows, row{Cells: name})
	})
	return t
}

// costSpread is over the runs that counted.
func costSpread(p *bench.Point, c costColumn) bench.Spread {
	var figures []float64
	for i := range p.Runs {
		if v := c.of(&p.Runs[i]); !math.IsNaN(v) {
			figures = append(figures, v)
		}
	}
	return bench.SpreadOf(figures)
}

// unlikeTable says what is unlike our own set-up, system by system; nil where nothing is.
func unlikeTable(sc *bench.Scenario) *table {
	t := &table{Title: "What is unlike", Command: sc.Command, Head: []string{"series", "system", "unlike our own set-up"}}
	seen := map[string]bool{}
	for i := range sc.Points {
		p := &sc.Points[i]
		if key := p.Series + "|" + p.Unlike; p.Unlike != "" && !seen[key] {
			seen[key] = true
			t.Rows = append(t.Rows, row{Cells: []cell{word(p.Series), word(p.Config.System), {Text: strings.TrimSpace(p.Unlike), Class: "wrap"}}})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}
