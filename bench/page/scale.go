package page

import (
	"math"
	"slices"
	"strconv"
)

type scaleKind uint8

const (
	linear scaleKind = iota
	logarithmic
	percentile // of p in 0 … 1: 1/(1-p) on a logarithmic scale, so that each further nine has the same width
)

// scale maps figures to places along an axis.
type scale struct {
	kind    scaleKind
	lo, hi  float64 // of figures
	a, b    float64 // their places, in points
	ticks   []float64
	between []float64 // grid lines without a label
	label   func(float64) string
}

// at is the place of a figure; one outside the scale is put at its end.
func (s *scale) at(v float64) float64 {
	lo, hi, u := s.warp(s.lo), s.warp(s.hi), s.warp(v)
	if hi <= lo {
		return s.a
	}
	return s.a + (s.b-s.a)*max(0, min(1, (u-lo)/(hi-lo)))
}

func (s *scale) warp(v float64) float64 {
	switch s.kind {
	case logarithmic:
		return math.Log10(max(v, 1e-12))
	case percentile:
		return -math.Log10(max(1-v, 1e-12))
	}
	return v
}

// wideRange is how many times the least the most must be for a logarithmic scale to show more than a linear one.
const wideRange = 12

// fitScale is a scale for figures of 0 and more: logarithmic where they span much, else linear from 0.
func fitScale(figures []float64, label func(float64) string) *scale {
	lo, hi := math.Inf(1), 0.0
	for _, v := range figures {
		if v > 0 && !math.IsInf(v, 0) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if hi > lo*wideRange {
		return logScale(lo, hi, label)
	}
	return linearScale(hi, label)
}

// linearScale is from 0 to a round number that is not below hi.
func linearScale(hi float64, label func(float64) string) *scale {
	if hi <= 0 {
		hi = 1
	}
	const most = 6
	unit := math.Pow(10, math.Floor(math.Log10(hi))-1)
	step := unit
	for _, m := range []float64{1, 2, 2.5, 5, 10, 20, 25, 50} {
		if step = unit * m; math.Ceil(hi/step-1e-9) <= most {
			break
		}
	}
	s := &scale{kind: linear, label: label}
	n := int(math.Ceil(hi/step - 1e-9))
	for i := range n + 1 {
		s.ticks = append(s.ticks, float64(i)*step)
	}
	s.hi = float64(n) * step
	return s
}

// countScale is a linear scale of whole numbers.
func countScale(hi int) *scale {
	s := linearScale(float64(max(hi, 4)), trimmed)
	s.ticks = slices.DeleteFunc(s.ticks, func(v float64) bool { return v != math.Round(v) })
	return s
}

// logScale is from a round number to a round number: 1, 2 or 5 times a power of ten.
func logScale(lo, hi float64, label func(float64) string) *scale {
	s := &scale{kind: logarithmic, label: label}
	var round []float64
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range []float64{1, 2, 5} {
			round = append(round, roundTo(m*math.Pow(10, e)))
		}
	}
	from, to := 0, len(round)-1
	for from+1 < len(round) && round[from+1] <= lo*1.0001 {
		from++
	}
	for to > from+1 && round[to-1] >= hi*0.9999 {
		to--
	}
	s.lo, s.hi = round[from], round[to]
	decades := math.Log10(s.hi / s.lo)
	for _, v := range round[from : to+1] {
		if decades < 2.5 || isDecade(v) {
			s.ticks = append(s.ticks, v)
		}
	}
	for e := math.Floor(math.Log10(s.lo)); e <= math.Log10(s.hi); e++ {
		for m := 1.0; m < 10; m++ {
			if v := roundTo(m * math.Pow(10, e)); v >= s.lo && v <= s.hi && !slices.Contains(s.ticks, v) && decades < 5 {
				s.between = append(s.between, v)
			}
		}
	}
	return s
}

// roundTo takes away what powers of ten leave behind the twelfth digit.
func roundTo(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64)
	if err != nil {
		return v
	}
	return r
}

func isDecade(v float64) bool {
	e := math.Log10(v)
	return math.Abs(e-math.Round(e)) < 1e-9
}

// mostPoints is how many figures an axis names one by one.
const mostPoints = 10

// pointScale is a scale whose labels are the very figures that were chosen, sizes or numbers of clients: logarithmic where they span much. Where they
// are too many it is one of round figures.
func pointScale(figures []float64) *scale {
	at := slices.Compact(slices.Sorted(slices.Values(figures)))
	broken := slices.ContainsFunc(at, func(v float64) bool { return v != math.Round(v) })
	if broken || at[len(at)-1] > 1e5 || len(at) > mostPoints {
		return fitScale(figures, amount)
	}
	s := &scale{kind: logarithmic, lo: at[0], hi: at[len(at)-1], ticks: at, label: exact}
	if s.lo <= 0 || s.hi <= s.lo*8 { // numbers of acceptors, say
		s.kind, s.lo = linear, 0
	}
	return s
}

// percentileScale ends with so many nines.
func percentileScale(nines int) *scale {
	s := &scale{kind: percentile, hi: 1 - math.Pow(10, -float64(nines)), label: percentText}
	s.ticks, s.between = []float64{0, .5}, []float64{.75}
	for n := 1; n <= nines; n++ {
		s.ticks = append(s.ticks, 1-math.Pow(10, -float64(n)))
	}
	return s
}

// percentText writes 0.999 as "99.9 %".
func percentText(p float64) string {
	return strconv.FormatFloat(math.Round(p*1e7)/1e5, 'f', -1, 64) + " %"
}
