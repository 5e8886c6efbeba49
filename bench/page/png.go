package page

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math"
	"slices"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// pngScale is pixels to a point: sharp on dense screens.
const pngScale = 2

// typefaces are the two fonts of the drawings, parsed once.
var typefaces = sync.OnceValue(func() (fonts [2]*opentype.Font) {
	for i, data := range [][]byte{goregular.TTF, gobold.TTF} {
		f, err := opentype.Parse(data)
		if err != nil {
			panic(fmt.Sprintf("page: a font of the build cannot be read: %v", err))
		}
		fonts[i] = f
	}
	return fonts
})

func typeface(size float64, bold bool) font.Face {
	weight := 0
	if bold {
		weight = 1
	}
	face, err := opentype.NewFace(typefaces()[weight], &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic(fmt.Sprintf("page: no typeface of size %g: %v", size, err))
	}
	return face
}

// measured are typefaces of one point size that only measure; it is scaled.
var measured = sync.OnceValue(func() [2]font.Face { return [2]font.Face{typeface(measuredSize, false), typeface(measuredSize, true)} })

const measuredSize = 64

// widestFace is how much wider than the PNG's font a reader's may be.
const widestFace = 1.08

// textWidth is the width of text in points, at most.
func textWidth(text string, size float64, bold bool) float64 {
	face := measured()[0]
	if bold {
		face = measured()[1]
	}
	return float64(font.MeasureString(face, text)) / 64 * size / measuredSize * widestFace
}

// canvas rasterises a drawing.
type canvas struct {
	image *image.RGBA
	fill  *vector.Rasterizer
	areas [][]xy // that the next paint fills
	faces map[cut]font.Face
}

// cut is a size and a weight of type.
type cut struct {
	size float64
	bold bool
}

func (c *canvas) typeface(size float64, bold bool) font.Face {
	face, ok := c.faces[cut{size, bold}]
	if !ok {
		face = typeface(size, bold)
		c.faces[cut{size, bold}] = face
	}
	return face
}

// filePNG is the drawing as an image in light colours.
func (d *drawing) filePNG() ([]byte, error) {
	w, h := int(math.Ceil(d.w*pngScale)), int(math.Ceil(d.h*pngScale))
	c := &canvas{image: image.NewRGBA(image.Rect(0, 0, w, h)), fill: vector.NewRasterizer(w, h), faces: map[cut]font.Face{}}
	draw.Draw(c.image, c.image.Bounds(), image.NewUniform(rgb(toneOf(back).light)), image.Point{}, draw.Src)
	for i := range d.marks {
		c.mark(&d.marks[i])
	}
	var b bytes.Buffer
	// Flat colours come out as small as with the best compression, in two thirds of the time.
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, c.image); err != nil {
		return nil, fmt.Errorf("page: %s: %w", d.title, err)
	}
	return b.Bytes(), nil
}

func (c *canvas) mark(m *mark) {
	if m.shape == words {
		c.words(m)
		return
	}
	outline := m.at
	if m.shape == disc {
		outline = circle(m.at[0], m.radius)
	}
	if m.fill != unpainted {
		c.area(outline)
		c.paint(m.fill, m.alpha)
	}
	if m.stroke == unpainted {
		return
	}
	if m.shape != polyline {
		outline = append(outline[:len(outline):len(outline)], outline[0])
	}
	for _, piece := range dashed(outline, m.dash) {
		c.stroke(piece, m.width)
	}
	c.paint(m.stroke, 1)
}

// paint puts the colour where areas were added, and begins anew. Only their surroundings are rasterised.
func (c *canvas) paint(p paint, alpha float64) {
	colour := rgb(toneOf(p).light)
	if alpha > 0 {
		colour.A = uint8(math.Round(255 * min(alpha, 1)))
	}
	box := c.surroundings().Intersect(c.image.Bounds())
	c.fill.Reset(box.Dx(), box.Dy())
	for _, area := range c.areas {
		for i, p := range area {
			x, y := float32(p.x*pngScale)-float32(box.Min.X), float32(p.y*pngScale)-float32(box.Min.Y)
			if i == 0 {
				c.fill.MoveTo(x, y)
			} else {
				c.fill.LineTo(x, y)
			}
		}
		c.fill.ClosePath()
	}
	c.fill.Draw(c.image, box, image.NewUniform(colour), image.Point{})
	c.areas = c.areas[:0]
}

// surroundings are the pixels that the areas may touch.
func (c *canvas) surroundings() (box image.Rectangle) {
	for _, area := range c.areas {
		for _, p := range area {
			x, y := int(math.Floor(p.x*pngScale)), int(math.Floor(p.y*pngScale))
			box = box.Union(image.Rect(x, y, x+1, y+1).Inset(-1))
		}
	}
	return box
}

// area adds a polygon, always in the same sense of rotation: areas that overlap then add up and do not cancel each other.
func (c *canvas) area(at []xy) {
	twice := 0.0
	for i, p := range at {
		q := at[(i+1)%len(at)]
		twice += p.x*q.y - q.x*p.y
	}
	if twice < 0 {
		at = slices.Clone(at)
		slices.Reverse(at)
	}
	c.areas = append(c.areas, at)
}

// stroke adds a line: a quadrilateral a segment, with round joints.
func (c *canvas) stroke(at []xy, width float64) {
	half := width / 2
	for i := 1; i < len(at); i++ {
		p, q := at[i-1], at[i]
		length := math.Hypot(q.x-p.x, q.y-p.y)
		if length == 0 {
			continue
		}
		nx, ny := -(q.y-p.y)/length*half, (q.x-p.x)/length*half
		c.area([]xy{{p.x + nx, p.y + ny}, {q.x + nx, q.y + ny}, {q.x - nx, q.y - ny}, {p.x - nx, p.y - ny}})
		if i+1 < len(at) {
			c.area(circle(q, half))
		}
	}
}

func circle(centre xy, radius float64) []xy {
	const corners = 24
	at := make([]xy, corners)
	for i := range at {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / corners)
		at[i] = xy{centre.x + radius*cos, centre.y + radius*sin}
	}
	return at
}

// dashed cuts a line into the strokes of a dash pattern.
func dashed(at []xy, dash []float64) [][]xy {
	if len(dash) == 0 || len(at) == 0 {
		return [][]xy{at}
	}
	var pieces [][]xy
	piece, n, left := []xy{at[0]}, 0, dash[0]
	for i := 1; i < len(at); i++ {
		p, q := at[i-1], at[i]
		for length := math.Hypot(q.x-p.x, q.y-p.y); length > left; length = math.Hypot(q.x-p.x, q.y-p.y) {
			p = xy{p.x + (q.x-p.x)*left/length, p.y + (q.y-p.y)*left/length}
			if n%2 == 0 {
				pieces = append(pieces, append(piece, p))
			}
			piece = []xy{p}
			n++
			left = dash[n%len(dash)]
		}
		left -= math.Hypot(q.x-p.x, q.y-p.y)
		piece = append(piece, q)
	}
	if n%2 == 0 {
		pieces = append(pieces, piece)
	}
	return pieces
}

func (c *canvas) words(m *mark) {
	face := c.typeface(m.size*pngScale, m.bold)
	x, y := m.at[0].x*pngScale, m.at[0].y*pngScale
	width := float64(font.MeasureString(face, m.text)) / 64
	x -= width * [...]float64{fromLeft: 0, centred: .5, fromRight: 1}[m.align]
	put := func(p paint, dx, dy float64) {
		d := font.Drawer{Dst: c.image, Src: image.NewUniform(rgb(toneOf(p).light)), Face: face}
		d.Dot = fixed.Point26_6{X: fixed.Int26_6((x + dx) * 64), Y: fixed.Int26_6((y + dy) * 64)}
		d.DrawString(m.text)
	}
	if m.halo {
		for _, off := range circle(xy{}, 1.5*pngScale) {
			put(back, off.x, off.y)
		}
	}
	put(m.fill, 0, 0)
}
