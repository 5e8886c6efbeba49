package page

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// fontStack is what text is set in; its widths are near those of the PNG's font, which the layout measures.
const fontStack = `system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif`

// inlineSVG is the drawing as an element of the page, whose style has the classes.
func (d *drawing) inlineSVG(class string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %s %s" role="img" aria-label="%s">`, class, short(d.w), short(d.h), html.EscapeString(d.title))
	d.elements(&b)
	b.WriteString("</svg>")
	return b.String()
}

// fileSVG is the drawing as a file of its own.
func (d *drawing) fileSVG() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img" aria-label="%s">`+"\n",
		short(d.w), short(d.h), short(d.w), short(d.h), html.EscapeString(d.title))
	fmt.Fprintf(&b, "<style>%s\ntext{font-family:%s;font-variant-numeric:tabular-nums}</style>\n", colourStyle(), fontStack)
	fmt.Fprintf(&b, `<rect width="%s" height="%s" class="f-back"/>`, short(d.w), short(d.h))
	d.elements(&b)
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func (d *drawing) elements(b *strings.Builder) {
	for i := range d.marks {
		b.WriteByte('\n')
		d.marks[i].element(b)
	}
}

func (m *mark) element(b *strings.Builder) {
	var name, body string
	switch m.shape {
	case polyline:
		name = "path"
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke-linejoin="round"`, path(m.at, false))
	case polygon:
		name = "path"
		fmt.Fprintf(b, `<path d="%s"`, path(m.at, true))
	case disc:
		name = "circle"
		fmt.Fprintf(b, `<circle cx="%s" cy="%s" r="%s"`, short(m.at[0].x), short(m.at[0].y), short(m.radius))
	case words:
		name, body = "text", html.EscapeString(m.text)
		fmt.Fprintf(b, `<text x="%s" y="%s" font-size="%s"`, short(m.at[0].x), short(m.at[0].y), short(m.size))
		b.WriteString([...]string{fromLeft: "", centred: ` text-anchor="middle"`, fromRight: ` text-anchor="end"`}[m.align])
		if m.bold {
			b.WriteString(` font-weight="600"`)
		}
		if m.halo {
			b.WriteString(` stroke-width="3" paint-order="stroke" stroke-linejoin="round"`)
		}
	}
	m.attributes(b)
	if m.tip != "" {
		body += "<title>" + html.EscapeString(m.tip) + "</title>"
	}
	if body == "" {
		b.WriteString("/>")
		return
	}
	fmt.Fprintf(b, ">%s</%s>", body, name)
}

func (m *mark) attributes(b *strings.Builder) {
	var classes []string
	if m.fill != unpainted {
		classes = append(classes, "f-"+toneOf(m.fill).class)
	}
	switch {
	case m.halo:
		classes = append(classes, "s-"+toneOf(back).class)
	case m.stroke != unpainted:
		classes = append(classes, "s-"+toneOf(m.stroke).class)
		fmt.Fprintf(b, ` stroke-width="%s"`, short(m.width))
	}
	fmt.Fprintf(b, ` class="%s"`, strings.Join(classes, " "))
	if m.alpha > 0 && m.alpha < 1 {
		fmt.Fprintf(b, ` fill-opacity="%s"`, short(m.alpha))
	}
	if len(m.dash) > 0 {
		lengths := make([]string, len(m.dash))
		for i, n := range m.dash {
			lengths[i] = short(n)
		}
		fmt.Fprintf(b, ` stroke-dasharray="%s"`, strings.Join(lengths, " "))
	}
}

func path(at []xy, closed bool) string {
	var b strings.Builder
	for i, p := range at {
		b.WriteByte("LM"[min(1, max(0, 1-i))])
		b.WriteString(short(p.x) + " " + short(p.y))
	}
	if closed {
		b.WriteByte('Z')
	}
	return b.String()
}

// short writes a coordinate to a hundredth of a point.
func short(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }
