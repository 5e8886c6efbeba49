package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wirepaxos/bench"
)

// report makes the files of suites by name.
func report(t *testing.T, suites ...*bench.Suite) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for f, err := range Files(suites) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := files[f.Name]; twice {
			t.Fatalf("%s is made twice", f.Name)
		}
		files[f.Name] = f.Data
	}
	return files
}

// whole is a suite of everything and its report, made once: to draw it takes a second.
func whole(t *testing.T) (*bench.Suite, map[string][]byte) {
	t.Helper()
	if wholeSuite == nil {
		wholeSuite = newSynthetic(t, 1, 3).suite()
		wholeReport = report(t, wholeSuite)
	}
	return wholeSuite, wholeReport
}

var (
	wholeSuite  *bench.Suite
	wholeReport map[string][]byte
)

// index is the page of suites without its plots.
func index(t *testing.T, suites ...*bench.Suite) string {
	t.Helper()
	text, _, err := newIndex(suites, true)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// markup reads a page as XML does, with what HTML allows besides: entities, elements that are never closed.
func markup(t *testing.T, text []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta", "br"}, xml.HTMLEntity
	var open []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			open = append(open, e.Name.Local)
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != e.Name.Local {
				t.Fatalf("</%s> closes %v", e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("never closed: %v", open)
	}
}

// script is what XML cannot read of a page.
var script = regexp.MustCompile(`(?s)<script>.*?</script>`)

func TestReportHasEverything(t *testing.T) {
	s, files := whole(t)
	text := string(files["index.html"])
	markup(t, script.ReplaceAll(files["index.html"], nil))
	for i := range s.Scenarios {
		sc := &s.Scenarios[i]
		section := between(t, text, fmt.Sprintf(`<section id="%s"`, sc.Name), "</section>")
		for _, want := range append([]string{sc.Title, sc.Command, sc.Skipped}, sc.Notes...) {
			if !strings.Contains(section, want) {
				t.Errorf("the section of %s does not say %q", sc.Name, want)
			}
		}
		for k := range sc.Points {
			if p := &sc.Points[k]; !strings.Contains(section, ">"+p.Series) {
				t.Errorf("the section of %s has no series %s", sc.Name, p.Series)
			}
		}
		for k := range sc.Micro {
			if name := sc.Micro[k].Name; !strings.Contains(section, name) {
				t.Errorf("the section of %s has no benchmark %s", sc.Name, name)
			}
		}
		for _, caption := range captions(section, "caption", "figcaption") {
			if !strings.Contains(caption, sc.Command) {
				t.Errorf("%s: %q does not name the command", sc.Name, caption)
			}
		}
	}
	for _, want := range []string{s.Command, s.Kernel, s.CPU, s.Commit, "2.5 % of all CPU time", "copy mode", "veth", "the kernel has none to say"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q of the machine", want)
		}
	}
	for _, title := range []string{
		"All points", "Against the wire", "What a value costs", "Stages", "What is unlike", "Sockets and cores", "Failovers", "Go benchmarks",
	} {
		if !strings.Contains(text, "<strong>"+title+"</strong>") {
			t.Errorf("no table %q", title)
		}
	}
}

// captions are the texts of elements.
func captions(text string, names ...string) (list []string) {
	for _, name := range names {
		for _, found := range regexp.MustCompile(`(?s)<`+name+`>(.*?)</`+name+`>`).FindAllStringSubmatch(text, -1) {
			list = append(list, found[1])
		}
	}
	return list
}

func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, after, ok := strings.Cut(text, from)
	if !ok {
		t.Fatalf("the page has no %s", from)
	}
	inner, _, _ := strings.Cut(after, to)
	return inner
}

// TestPageStandsAlone: it must be readable from a disk, in a mail, behind a firewall. Links go to its own plots, and its own sections, alone.
func TestPageStandsAlone(t *testing.T) {
	_, files := whole(t)
	text := string(files["index.html"])
	for _, found := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		to := found[1]
		if anchor, ok := strings.CutPrefix(to, "#"); ok {
			if !strings.Contains(text, `id="`+anchor+`"`) {
				t.Errorf("the link to %s goes nowhere", to)
			}
		} else if files[to] == nil {
			t.Errorf("the link to %s goes to no file of the report", to)
		}
	}
	for _, foreign := range []string{"http:", "https:", "@import", "url(", "<link", "<img"} {
		if strings.Contains(text, foreign) {
			t.Errorf("the page has %q: something outside itself", foreign)
		}
	}
	for _, want := range []string{"prefers-color-scheme:dark", "overflow-x: auto", `name="viewport"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestPlotsAreFiles(t *testing.T) {
	_, files := whole(t)
	for _, want := range []string{
		"latency-percentiles", "latency-stages", "latency-ratio-throughput", "latency-ratio-latency", "curve-64-median", "curve-1000-p99",
		"sizes-throughput", "sizes-mbit", "peers-median", "peers-ratio-throughput", "failover-histogram", "open-p99", "peak-throughput",
	} {
		for _, kind := range []string{"svg", "png"} {
			if files[plotFile(want, kind)] == nil {
				t.Errorf("no plot %s as %s", want, kind)
			}
		}
	}
	for name, data := range files {
		switch {
		case strings.HasSuffix(name, ".svg"):
			markup(t, data)
		case strings.HasSuffix(name, ".png"):
			image, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if w := image.Bounds().Dx(); w != int(wideExtent.w)*pngScale {
				t.Errorf("%s is %d pixels wide", name, w)
			}
		}
	}
}

func TestSameSuitesSameBytes(t *testing.T) {
	make := func() map[string][]byte {
		s := newSynthetic(t, 4, 2).suite()
		s.Scenarios = s.Scenarios[5:7]
		return report(t, s)
	}
	first, second := make(), make()
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s is not the same a second time", name)
		}
	}
}

func TestNamesAreEscaped(t *testing.T) {
	const evil = `<script>alert("1")</script>`
	g := newSynthetic(t, 5, 2)
	s := &bench.Suite{Command: evil, Machine: bench.Machine{Kernel: evil, CPU: evil}, Scenarios: []bench.Scenario{g.latency(), g.failover()}}
	for i := range s.Scenarios {
		sc := &s.Scenarios[i]
		sc.Name, sc.Title, sc.Command, sc.Notes, sc.Micro = evil, evil, evil, []string{evil}, []bench.Micro{{Name: evil, NsPerOp: []float64{1}}}
		for k := range sc.Points {
			p := &sc.Points[k]
			p.Series, p.Name, p.Unlike, p.Failed, p.Config.System, p.Config.Layout = evil, evil, evil, evil, evil, fmt.Sprint(evil, k)
			p.Runs[0].Problems = []string{evil}
		}
		for k := range sc.Failovers {
			sc.Failovers[k].Series, sc.Failovers[k].Config.System = evil, evil
		}
	}
	for name, data := range report(t, s) {
		if strings.Contains(string(data), "alert(\"1\")") || bytes.Contains(data, []byte("<script>alert")) {
			t.Errorf("%s has a name unescaped", name)
		}
		if name == "index.html" {
			markup(t, script.ReplaceAll(data, nil))
		}
		if strings.ContainsAny(name, "<>\"()") {
			t.Errorf("a file is called %s", name)
		}
	}
}

func TestEmptySuite(t *testing.T) {
	text := index(t, &bench.Suite{Command: "wirepaxos bench all"})
	for _, want := range []string{"hold no scenario", "0 met, 0 missed"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page of an empty suite does not say %q", want)
		}
	}
	for _, err := range Files(nil) {
		if err == nil {
			t.Error("no suite at all makes a page")
		}
	}
}

func TestFailedPoints(t *testing.T) {
	g := newSynthetic(t, 6, 3)
	s := &bench.Suite{Scenarios: []bench.Scenario{g.latency(), g.curve()}}
	points := s.Scenarios[0].Points
	points[0].Runs, points[0].Failed = nil, "needs root & a NIC"
	for i := range points[1].Runs {
		points[1].Runs[i].Problems = []string{"7 values were lost"}
	}
	points[2].Runs[1].Problems = []string{"2 values came twice"}
	points[2].Runs[1].ValuesPerS = 987654321 // would be the most
	for i := range s.Scenarios[1].Points {
		s.Scenarios[1].Points[i].Runs, s.Scenarios[1].Points[i].Failed = nil, "interrupted"
	}
	text := index(t, s)
	for _, want := range []string{
		"not measured: needs root &amp; a NIC", "the check found problems in all of 3 runs", "2 of 3: the others failed the check", "round 2: 2 values came twice",
		"not measured: interrupted",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "987,") {
		t.Error("a run that failed the check is in a figure")
	}
	if strings.Contains(text, "plots/curve") {
		t.Error("there is a plot of nothing")
	}
}

func TestOneRunHasNoRange(t *testing.T) {
	g := newSynthetic(t, 7, 1)
	text := index(t, &bench.Suite{Quick: true, Scenarios: []bench.Scenario{g.latency()}})
	if !strings.Contains(text, "one run each") || regexp.MustCompile(`\d \(\d[\d,.]*–`).MatchString(text) {
		t.Error("one run shows a range, or the page does not say that it is one")
	}
	if !strings.Contains(text, "--quick") {
		t.Error("the page does not say that runs were short")
	}
}

func TestTwoSuitesWithTheSameScenario(t *testing.T) {
	g := newSynthetic(t, 8, 2)
	a, b := &bench.Suite{Command: "before", Scenarios: []bench.Scenario{g.latency()}}, &bench.Suite{Command: "after", Scenarios: []bench.Scenario{g.latency()}}
	text := index(t, a, b)
	for _, want := range []string{plotFile("latency-percentiles", "svg"), plotFile("latency-2-percentiles", "svg")} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if !strings.Contains(text, `id="latency-2"`) || !strings.Contains(text, "before") || !strings.Contains(text, "after") {
		t.Error("the page does not hold both suites")
	}
}

func TestBrokenHistogramIsNamed(t *testing.T) {
	g := newSynthetic(t, 9, 2)
	s := &bench.Suite{Scenarios: []bench.Scenario{g.latency()}}
	s.Scenarios[0].Points[0].Runs[1].HistogramV2 = "damaged"
	var errs []error
	for _, err := range Files([]*bench.Suite{s}) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil || !strings.Contains(errs[0].Error(), "latency") {
		t.Errorf("%v, want one error that names the scenario", errs)
	}
}

func TestLines(t *testing.T) {
	g := newSynthetic(t, 10, 1)
	order := orderSeries([]*bench.Suite{g.suite()})
	curve := g.curve()
	var titles []string
	for _, p := range panelsOf(&curve, order) {
		titles = append(titles, p.title)
		looks := map[string]bool{}
		for _, l := range p.lines {
			looks[fmt.Sprint(l.look)] = true
			if len(l.points) != 5 || l.points[0].Config.Clients != 1 || l.points[4].Config.Clients != 256 {
				t.Errorf("%s: %d points, from %d clients on", l.label, len(l.points), l.points[0].Config.Clients)
			}
		}
		if len(p.lines) != 4 || len(looks) != 4 {
			t.Errorf("%s: %d lines with %d looks, want 4", p.title, len(p.lines), len(looks))
		}
	}
	if !slices.Equal(titles, []string{"64-byte values", "1000-byte values"}) {
		t.Errorf("panels %q", titles)
	}
	seen := map[string]bool{}
	for n := range 40 {
		seen[fmt.Sprint(lookOf(n, 0, 1))] = true
	}
	if len(seen) != 40 {
		t.Errorf("40 series have %d looks", len(seen))
	}
}
