package page

import (
	"fmt"
	"html/template"
	"unicode"
	"unicode/utf8"

	"wirepaxos/bench"
)

// viewScenario makes the section of a scenario: its plots and its tables. id is its anchor, and begins the names of its files.
func viewScenario(sc *bench.Scenario, id string, order seriesOrder) (*scenarioView, []plot, error) {
	v := &scenarioView{
		ID: id, Name: sc.Name, Title: sc.Title, Command: sc.Command, Shared: shared(sc), Skipped: sc.Skipped, Notes: sc.Notes,
	}
	if v.Title == "" {
		v.Title = sc.Name
	}
	if first, size := utf8.DecodeRuneInString(v.Title); size > 0 {
		v.Title = string(unicode.ToUpper(first)) + v.Title[size:]
	}
	named := *sc
	named.Name = id
	plots, err := plotsOf(&named, order)
	if err != nil {
		return nil, nil, err
	}
	for i := range plots {
		plots[i].name = slugOfPlot(plots[:i], plots[i].name)
		p := &plots[i]
		wide := p.chart.draw(wideExtent)
		v.Figures = append(v.Figures, figureView{
			Wide: template.HTML(wide.inlineSVG("wide")), Narrow: template.HTML(p.chart.draw(narrowExtent).inlineSVG("narrow")),
			SVG: plotFile(p.name, "svg"), PNG: plotFile(p.name, "png"), Title: wide.title, Command: sc.Command,
		})
	}
	lines := linesOf(sc, order)
	candidates := []*table{failoverTable(sc), microTable(sc)}
	if len(sc.Points) > 0 {
		candidates = append(candidates, pointsTable(sc, lines), wireTable(sc, lines), costsTable(sc, lines), stagesTable(sc, lines), unlikeTable(sc), socketsTable(sc))
	}
	for _, t := range candidates {
		if t != nil {
			v.Tables = append(v.Tables, t)
		}
	}
	return v, plots, nil
}

// slugOfPlot keeps the names of a scenario's plots apart.
func slugOfPlot(before []plot, name string) string {
	name = slug(name)
	for n, free := 2, name; ; n++ {
		taken := false
		for i := range before {
			taken = taken || before[i].name == free
		}
		if !taken {
			return free
		}
		free = fmt.Sprintf("%s-%d", name, n)
	}
}

// plotsOf are the plots that fit a scenario's X: curves for a load that grows, lines for other numbers, bars for words; then how AF_XDP compares,
// where the time goes, and the distributions.
func plotsOf(sc *bench.Scenario, order seriesOrder) (plots []plot, err error) {
	x := bench.FieldOf(sc.X)
	panels := panelsOf(sc, order)
	whole := panel{lines: linesOf(sc, order)}
	whole.setLooks()
	switch numbers := keysIn(&whole, x); {
	case len(numbers) == 0: // nothing was measured
	case len(numbers) == 1 || !isNumber(x):
		plots = append(plots, plot{fileName(sc.Name, throughput.name), barsOf(&whole, x, throughput)}, plot{fileName(sc.Name, median.name), barsOf(&whole, x, median)})
		plots = append(plots, ratioPlots(sc, &whole, order)...)
	default:
		for i := range panels {
			plots = append(plots, overX(sc, &panels[i], x)...)
		}
		for i := range panels {
			plots = append(plots, ratioPlots(sc, &panels[i], order)...)
		}
	}
	for i := range panels {
		if c := stagesChart(sc, &panels[i]); c != nil {
			plots = append(plots, plot{fileName(sc.Name, fileName(panels[i].name, "stages")), c})
		}
		curves, err := percentilePlots(sc, &panels[i])
		if err != nil {
			return nil, err
		}
		plots = append(plots, curves...)
	}
	if c := failoverChart(sc, order); c != nil {
		plots = append(plots, plot{fileName(sc.Name, "histogram"), c})
	}
	return plots, nil
}

// overX are the plots of a panel whose X is a number.
func overX(sc *bench.Scenario, p *panel, x *bench.Field) (plots []plot) {
	if len(legendOf(p.lines)) == 0 {
		return nil
	}
	base := fileName(sc.Name, p.name)
	if sc.X == "clients" || sc.X == "outstanding" {
		return []plot{{fileName(base, median.name), curveChart(p, x, median)}, {fileName(base, p99.name), curveChart(p, x, p99)}}
	}
	plots = append(plots, plot{fileName(base, throughput.name), lineChart(p, x, always(throughput))})
	if sc.X == "value_size" {
		plots = append(plots, plot{fileName(base, "mbit"), lineChart(p, x, bandwidth)})
	}
	return append(plots, plot{fileName(base, median.name), lineChart(p, x, always(median))}, plot{fileName(base, p99.name), lineChart(p, x, always(p99))})
}

// isNumber says if an X is a number, and not a word.
func isNumber(x *bench.Field) bool {
	if x == nil {
		return false
	}
	_, ok := x.Number(&bench.Config{})
	return ok
}

func always(m measure) func(*bench.Point) measure { return func(*bench.Point) measure { return m } }
