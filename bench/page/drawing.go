package page

// xy is a place in a drawing, in points, from its upper left corner.
type xy struct{ x, y float64 }

// paint is the role of a colour.
type paint uint8

const (
	unpainted paint = iota
	back            // what lies behind the drawing
	ink             // titles, whiskers
	muted           // labels of axes
	faint           // the grid
	firstSeries
)

// paintOf is the colour of a series. Those past the last colour begin anew; dash and marker then tell them apart.
func paintOf(series int) paint { return firstSeries + paint(series%seriesColours) }

type shape uint8

const (
	polyline shape = iota
	polygon
	disc
	words
)

type alignment uint8

const (
	fromLeft alignment = iota
	centred
	fromRight
)

// mark is one thing that is drawn.
type mark struct {
	shape shape
	at    []xy // disc: its centre; words: where their baseline begins, has its middle or ends
	tip   string

	fill, stroke paint
	width        float64   // of the stroke
	dash         []float64 // lengths of strokes and gaps; none: solid
	alpha        float64   // of the fill; 0 is taken for 1

	radius float64 // of a disc

	text  string
	size  float64
	bold  bool
	align alignment
	halo  bool // keeps lines away from the letters
}

// drawing is a list of marks, drawn in their order.
type drawing struct {
	title string // what it shows, for those who cannot see it
	w, h  float64
	marks []mark
}

func (d *drawing) line(stroke paint, width float64, at ...xy) {
	d.marks = append(d.marks, mark{shape: polyline, at: at, stroke: stroke, width: width})
}

func (d *drawing) rect(fill paint, alpha, x0, y0, x1, y1 float64, tip string) {
	at := []xy{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}
	d.marks = append(d.marks, mark{shape: polygon, at: at, fill: fill, alpha: alpha, tip: tip})
}

// write puts text; size is the height of the type.
func (d *drawing) write(text string, at xy, size float64, fill paint, align alignment) *mark {
	d.marks = append(d.marks, mark{shape: words, at: []xy{at}, text: text, size: size, fill: fill, align: align})
	return &d.marks[len(d.marks)-1]
}

// markerShape tells series apart where colour does not.
type markerShape uint8

const (
	roundMarker markerShape = iota
	squareMarker
	upMarker
	diamondMarker
	downMarker
	crossMarker
	barMarker
	markerShapes
)

// look is how a series is drawn: no two of one plot share colour, dash and marker.
type look struct {
	colour paint
	dash   []float64
	marker markerShape
}

var dashes = [][]float64{nil, {7, 3}, {2, 3}, {9, 3, 2, 3}, {4, 2}, {12, 4}}

// lookOf is the look of a series by its number on the page, and of a variant where a plot has several lines of a series.
func lookOf(series, variant, variants int) look {
	l := look{colour: paintOf(series), dash: dashes[(series+series/len(dashes))%len(dashes)], marker: markerShape(series % int(markerShapes))}
	if variants > 1 {
		l.dash, l.marker = dashes[variant%len(dashes)], markerShape((series*variants+variant)%int(markerShapes))
	}
	return l
}

// stroke draws a line of the look.
func (d *drawing) stroke(l look, at []xy) {
	d.marks = append(d.marks, mark{shape: polyline, at: at, stroke: l.colour, width: 2, dash: l.dash})
}

// marker draws the look's marker. The tip is shown where a pointer rests on it.
func (d *drawing) marker(l look, at xy, tip string) {
	const r = 4.2
	m := mark{shape: polygon, fill: l.colour, stroke: back, width: 1, tip: tip}
	around := func(offsets ...float64) {
		for i := 0; i < len(offsets); i += 2 {
			m.at = append(m.at, xy{at.x + r*offsets[i], at.y + r*offsets[i+1]})
		}
	}
	switch l.marker {
	case roundMarker:
		m.shape, m.at, m.radius = disc, []xy{at}, r
	case squareMarker:
		around(-.9, -.9, .9, -.9, .9, .9, -.9, .9)
	case upMarker:
		around(0, -1.25, 1.15, .85, -1.15, .85)
	case diamondMarker:
		around(0, -1.3, 1.3, 0, 0, 1.3, -1.3, 0)
	case downMarker:
		around(0, 1.25, 1.15, -.85, -1.15, -.85)
	case crossMarker:
		around(-.4, -1.2, .4, -1.2, .4, -.4, 1.2, -.4, 1.2, .4, .4, .4, .4, 1.2, -.4, 1.2, -.4, .4, -1.2, .4, -1.2, -.4, -.4, -.4)
	case barMarker:
		around(-1.3, -.55, 1.3, -.55, 1.3, .55, -1.3, .55)
	}
	d.marks = append(d.marks, m)
}

// whisker draws a range from least to most, along x or along y.
func (d *drawing) whisker(stroke paint, from, to xy) {
	const width, half = 1.3, 3.0
	d.line(stroke, width, from, to)
	for _, end := range []xy{from, to} {
		if from.y == to.y {
			d.line(stroke, width, xy{end.x, end.y - half}, xy{end.x, end.y + half})
		} else {
			d.line(stroke, width, xy{end.x - half, end.y}, xy{end.x + half, end.y})
		}
	}
}
