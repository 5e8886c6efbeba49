package page

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"iter"
	"slices"
	"strings"

	"wirepaxos/bench"
)

// File is one of the files of a report: index.html, or a plot below plots/.
type File struct {
	Name string // with slashes, below the report's folder
	Data []byte
}

//go:embed page.tmpl
var pageText string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Files makes the report of suites, a file at a time: index.html first, then each plot as SVG and as PNG. An error ends it. The same suites give the same
// bytes. Suites with no scenario make a page that says so; a histogram that cannot be read is an error that names its scenario.
func Files(suites []*bench.Suite) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		index, plots, err := newIndex(suites, true)
		if !yield(File{Name: "index.html", Data: index}, err) || err != nil {
			return
		}
		for _, p := range plots {
			d := p.chart.draw(wideExtent)
			if !yield(File{plotFile(p.name, "svg"), d.fileSVG()}, nil) {
				return
			}
			image, err := d.filePNG()
			if !yield(File{plotFile(p.name, "png"), image}, err) || err != nil {
				return
			}
		}
	}
}

// Alone makes the page alone, with no word of plots beside it.
func Alone(suites []*bench.Suite) ([]byte, error) {
	index, _, err := newIndex(suites, false)
	return index, err
}

func newIndex(suites []*bench.Suite, linked bool) ([]byte, []plot, error) {
	if len(suites) == 0 {
		return nil, nil, errors.New("page: no suite: nothing to make a page of")
	}
	v, plots, err := newView(suites)
	if err != nil {
		return nil, nil, err
	}
	if !linked {
		for i := range v.Scenarios {
			for k := range v.Scenarios[i].Figures {
				v.Scenarios[i].Figures[k].SVG, v.Scenarios[i].Figures[k].PNG = "", ""
			}
		}
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return nil, nil, fmt.Errorf("page: %w", err)
	}
	return b.Bytes(), plots, nil
}

func plotFile(name, kind string) string { return "plots/" + name + "." + kind }

// view is what the template reads.
type view struct {
	Style, Colours template.CSS
	Script         template.JS
	Quick          bool
	Suites         []suiteView
	Verdict        *table
	Counts         string
	Scenarios      []scenarioView
	Problems       []string
}

// suiteView is one run of a bench command, and the machine that it ran on.
type suiteView struct {
	Command string
	Facts   []fact
	Quick   bool
}

type fact struct{ Name, Value string }

type scenarioView struct {
	ID, Name, Title, Command string
	Shared                   string
	Skipped                  string
	Notes                    []string
	Figures                  []figureView
	Tables                   []*table
}

type figureView struct {
	Wide, Narrow template.HTML // our own SVG, every text in it escaped
	SVG, PNG     string
	Title        string
	Command      string
}

// newView sorts everything into its place on the page.
func newView(suites []*bench.Suite) (*view, []plot, error) {
	v := &view{
		Style: template.CSS(pageStyle), Colours: template.CSS(colourStyle()), Script: template.JS(pageScript), Verdict: verdictTable(suites),
	}
	order := orderSeries(suites)
	ids := map[string]int{}
	var all []plot
	for _, s := range suites {
		v.Suites = append(v.Suites, viewSuite(s))
		v.Quick = v.Quick || s.Quick
		v.Problems = append(v.Problems, s.Problems()...)
		for i := range s.Scenarios {
			sc := &s.Scenarios[i]
			id := slug(sc.Name)
			if ids[id]++; ids[id] > 1 {
				id = fmt.Sprintf("%s-%d", id, ids[id])
			}
			one, plots, err := viewScenario(sc, id, order)
			if err != nil {
				return nil, nil, err
			}
			v.Scenarios, all = append(v.Scenarios, *one), append(all, plots...)
		}
	}
	v.Counts = v.countVerdict()
	return v, all, nil
}

// slug makes a name fit for an anchor and a file.
func slug(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name), "-")
}

func viewSuite(s *bench.Suite) suiteView {
	v := suiteView{Command: s.Command, Quick: s.Quick}
	add := func(name, value string) {
		if value != "" {
			v.Facts = append(v.Facts, fact{name, value})
		}
	}
	add("began", s.Began.UTC().Format("2006-01-02 15:04 UTC"))
	add("took", fmt.Sprintf("%.0f s", s.TookS))
	add("kernel", s.Kernel)
	add("CPU", s.CPU)
	add("CPUs", fmt.Sprint(s.CPUs))
	governor := s.Governor
	if governor == "" {
		governor = "the kernel has none to say"
	}
	add("governor", governor)
	add("steal", fmt.Sprintf("%.1f %% of all CPU time while it ran", s.StealPercent))
	add("AF_XDP sockets", modesOf(s))
	add("network", driversOf(s))
	add("Go", s.Go)
	add("version", s.Version)
	add("commit", s.Commit)
	return v
}

// modesOf are the modes that the AF_XDP sockets of a suite really got.
func modesOf(s *bench.Suite) string {
	return distinct(s, func(c *bench.Config) string { return c.Mode }, " mode")
}

func driversOf(s *bench.Suite) string {
	return distinct(s, func(c *bench.Config) string { return c.Driver }, "")
}

func distinct(s *bench.Suite, of func(*bench.Config) string, suffix string) string {
	var seen []string
	for i := range s.Scenarios {
		for k := range s.Scenarios[i].Points {
			if text := of(&s.Scenarios[i].Points[k].Config); text != "" && !slices.Contains(seen, text+suffix) {
				seen = append(seen, text+suffix)
			}
		}
	}
	return strings.Join(seen, ", ")
}

// countVerdict is the verdict in one line.
func (v *view) countVerdict() string {
	met, missed, unknown := 0, 0, 0
	for _, r := range v.Verdict.Rows {
		switch r.Cells[1].Class {
		case "good":
			met++
		case "bad":
			missed++
		default:
			unknown++
		}
	}
	return fmt.Sprintf("%d met, %d missed, %d not measured.", met, missed, unknown)
}
