package page

import (
	"fmt"
	"image/color"
	"strings"
)

// seriesColours is the number of colours for series. They were chosen so that no two come nearer than 20 (ΔE of CIE 1976) to each other, as seen
// with normal sight, protanopia or deuteranopia, and so that each stands out from what is behind it by 3 to 1 at least.
const seriesColours = 6

// tone is a colour in light and in dark surroundings.
type tone struct {
	role        paint
	class       string // in SVG and CSS
	light, dark uint32 // 0xRRGGBB
}

var tones = []tone{
	{back, "back", 0xffffff, 0x14181f},
	{ink, "ink", 0x1a1d22, 0xe8eaee},
	{muted, "muted", 0x585f6b, 0xa3abb8},
	{faint, "faint", 0xdfe3e8, 0x2e3642},
	{firstSeries + 0, "c0", 0x1247cb, 0x3d8ff7},
	{firstSeries + 1, "c1", 0xc8500a, 0xf0803f},
	{firstSeries + 2, "c2", 0x0e7a4a, 0x2edc93},
	{firstSeries + 3, "c3", 0x8e1f62, 0xe365a6},
	{firstSeries + 4, "c4", 0x1896e4, 0x8fd4ff},
	{firstSeries + 5, "c5", 0x25282d, 0xedeef0},
}

func toneOf(p paint) *tone {
	for i := range tones {
		if tones[i].role == p {
			return &tones[i]
		}
	}
	panic(fmt.Sprintf("page: paint %d has no tone", p))
}

func rgb(hex uint32) color.NRGBA {
	return color.NRGBA{R: uint8(hex >> 16), G: uint8(hex >> 8), B: uint8(hex), A: 0xff}
}

// colourStyle is the CSS of the tones: a variable and two classes each, light unless the reader's system is dark.
func colourStyle() string {
	var light, dark, classes strings.Builder
	for _, t := range tones {
		fmt.Fprintf(&light, "--%s:#%06x;", t.class, t.light)
		fmt.Fprintf(&dark, "--%s:#%06x;", t.class, t.dark)
		fmt.Fprintf(&classes, ".f-%s{fill:var(--%s)}.s-%s{stroke:var(--%s)}\n", t.class, t.class, t.class, t.class)
	}
	return fmt.Sprintf(":root{color-scheme:light dark;%s}\n@media (prefers-color-scheme:dark){:root{%s}}\n%s", light.String(), dark.String(), classes.String())
}
