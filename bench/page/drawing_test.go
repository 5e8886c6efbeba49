package page

import (
	"bytes"
	"image"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"

	"wirepaxos/bench"
)

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.00012: "0.00012", 0.5: "0.50", 9.237: "9.24", 13.46: "13.5", 180.2: "180", 1234.2: "1,234", 1059321: "1,059,000", -4.25: "-4.25",
	} {
		if got := figure(v); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
	}
	if got := figure(math.NaN()); got != "–" {
		t.Errorf("no figure: %s", got)
	}
	for _, c := range []struct {
		s    bench.Spread
		want string
	}{
		{bench.Spread{}, "–"}, {bench.SpreadOf([]float64{5}), "5.00"}, {bench.SpreadOf([]float64{5, 5}), "5.00"},
		{bench.SpreadOf([]float64{4, 5, 9}), "5.00 (4.00–9.00)"},
	} {
		if got := spreadText(c.s); got != c.want {
			t.Errorf("%+v: %s, want %s", c.s, got, c.want)
		}
	}
	for us, want := range map[float64]string{0: "0 µs", 0.5: "500 ns", 20: "20 µs", 1500: "1.5 ms", 2e6: "2 s"} {
		if got := span(us); got != want {
			t.Errorf("%g µs: %s, want %s", us, got, want)
		}
	}
	for v, want := range map[float64]string{500: "500", 250e3: "250k", 1.5e6: "1.5M"} {
		if got := amount(v); got != want {
			t.Errorf("%g: %s, want %s", v, got, want)
		}
	}
}

func TestScales(t *testing.T) {
	for _, c := range []struct {
		name    string
		figures []float64
		kind    scaleKind
		lo, hi  float64
	}{
		{"near each other", []float64{7, 13}, linear, 0, 15},
		{"far apart", []float64{13, 1200}, logarithmic, 10, 2000},
		{"nothing", nil, linear, 0, 1},
		{"all nought", []float64{0, 0}, linear, 0, 1},
		{"a nought among them", []float64{0, 5, 300}, logarithmic, 5, 500},
	} {
		s := fitScale(c.figures, trimmed)
		if s.kind != c.kind || s.lo != c.lo || s.hi != c.hi {
			t.Errorf("%s: kind %d from %g to %g, want %d from %g to %g", c.name, s.kind, s.lo, s.hi, c.kind, c.lo, c.hi)
		}
		if len(s.ticks) < 2 || len(s.ticks) > 12 || s.ticks[0] != s.lo || s.ticks[len(s.ticks)-1] != s.hi && c.kind == linear {
			t.Errorf("%s: ticks %v", c.name, s.ticks)
		}
	}
}

func TestEachNineHasTheSameWidth(t *testing.T) {
	s := percentileScale(4)
	s.a, s.b = 0, 400
	for i, p := range []float64{0, .9, .99, .999, .9999} {
		if got := s.at(p); math.Abs(got-100*float64(i)) > 0.01 {
			t.Errorf("%g is at %g, want %d", p, got, 100*i)
		}
	}
	if got := percentText(.999); got != "99.9 %" {
		t.Errorf("%q", got)
	}
}

// TestChartsFitTheirWidth: nothing that is written goes past the border, at either width.
func TestChartsFitTheirWidth(t *testing.T) {
	s, _ := whole(t)
	order := orderSeries([]*bench.Suite{s})
	for i := range s.Scenarios {
		plots, err := plotsOf(&s.Scenarios[i], order)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plots {
			for _, e := range []extent{wideExtent, narrowExtent} {
				d := p.chart.draw(e)
				for k := range d.marks {
					m := &d.marks[k]
					if m.shape != words {
						continue
					}
					w := textWidth(m.text, m.size, m.bold)
					left := m.at[0].x - w*[...]float64{fromLeft: 0, centred: .5, fromRight: 1}[m.align]
					if left < -1 || left+w > d.w+1 || m.at[0].y > d.h || m.at[0].y < 0 {
						t.Errorf("%s at width %g: %q stands at %.0f…%.0f, %.0f of %.0f", p.name, e.w, m.text, left, left+w, m.at[0].y, d.h)
					}
				}
			}
		}
	}
}

func TestSVGEscapes(t *testing.T) {
	d := &drawing{title: `a "title" <&>`, w: 10, h: 10}
	d.write("<b>&\"", xy{1, 2}, 12, ink, centred)
	d.marker(lookOf(1, 0, 1), xy{3, 3}, "<tip>")
	for _, text := range []string{string(d.fileSVG()), d.inlineSVG("wide")} {
		markup(t, []byte(text))
		for _, want := range []string{"&lt;b&gt;&amp;&#34;", "<title>&lt;tip&gt;</title>", "&#34;title&#34;", `text-anchor="middle"`, "f-c1"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %s", text, want)
			}
		}
	}
}

// TestPNGHasWhatIsDrawn looks at single pixels: fills, lines of some width, dashes, letters.
func TestPNGHasWhatIsDrawn(t *testing.T) {
	d := &drawing{title: "pixels", w: 60, h: 40}
	d.rect(paintOf(0), 1, 5, 5, 15, 15, "")
	d.line(ink, 4, xy{20, 10}, xy{50, 10})
	d.marks = append(d.marks, mark{shape: polyline, at: []xy{{20, 20}, {50, 20}}, stroke: ink, width: 4, dash: []float64{10, 10}})
	d.write("M", xy{5, 35}, 14, ink, fromLeft).bold = true
	data, err := d.filePNG()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Size(); got != (image.Point{X: 120, Y: 80}) {
		t.Fatalf("size %v", got)
	}
	for _, c := range []struct {
		x, y float64
		want paint
	}{
		{10, 10, paintOf(0)}, {2, 2, back}, {35, 10, ink}, {35, 13, back}, {25, 20, ink}, {35, 20, back}, {45, 20, ink},
	} {
		r, g, b, _ := picture.At(int(c.x*pngScale), int(c.y*pngScale)).RGBA()
		want := rgb(toneOf(c.want).light)
		if uint8(r>>8) != want.R || uint8(g>>8) != want.G || uint8(b>>8) != want.B {
			t.Errorf("at %g, %g: %x %x %x, want %v", c.x, c.y, r>>8, g>>8, b>>8, want)
		}
	}
	dark := 0
	for x := 10; x < 40; x++ {
		for y := 48; y < 72; y++ {
			if r, _, _, _ := picture.At(x, y).RGBA(); r>>8 < 80 {
				dark++
			}
		}
	}
	if dark < 40 {
		t.Errorf("%d dark pixels where a letter stands", dark)
	}
}

func TestDashed(t *testing.T) {
	got := dashed([]xy{{0, 0}, {10, 0}, {10, 10}}, []float64{6, 2})
	want := [][]xy{{{0, 0}, {6, 0}}, {{8, 0}, {10, 0}, {10, 4}}, {{10, 6}, {10, 10}}}
	if !slices.EqualFunc(got, want, slices.Equal[[]xy]) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestEveryPaintHasATone(t *testing.T) {
	for p := back; p < firstSeries+seriesColours; p++ {
		toneOf(p)
	}
	style := colourStyle()
	for _, want := range []string{".f-c5{", ".s-faint{", "--c0:#1247cb", "--c0:#3d8ff7"} {
		if !strings.Contains(style, want) {
			t.Errorf("the style has no %s", want)
		}
	}
}
