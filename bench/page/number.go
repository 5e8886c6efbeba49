package page

import (
	"math"
	"strconv"
	"strings"

	"wirepaxos/bench"
)

// figure writes a number with as many digits as a measurement has: four of them where it is large, three where it is small, and groups of
// thousands.
func figure(v float64) string {
	switch size := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case size >= 1000:
		unit := math.Pow(10, math.Floor(math.Log10(size))-3)
		return grouped(math.Round(v/unit) * unit)
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case size >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case size == 0:
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// grouped writes whole numbers in groups of thousands.
func grouped(v float64) string {
	text := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	var b strings.Builder
	if v < 0 {
		b.WriteRune('−')
	}
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// spreadText is the median, and the least and the most where there were several runs.
func spreadText(s bench.Spread) string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return figure(s.Median)
	}
	if figure(s.Min) == figure(s.Max) {
		return figure(s.Median)
	}
	return figure(s.Median) + " (" + figure(s.Min) + "–" + figure(s.Max) + ")"
}

// amount writes a tick of an axis that counts: "250k", "1.5M".
func amount(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= u.size {
			return trimmed(v/u.size) + u.name
		}
	}
	return trimmed(v)
}

// exact writes a tick at a figure that was chosen: a size, a number of clients.
func exact(v float64) string {
	if v != math.Round(v) {
		return trimmed(v)
	}
	return grouped(v)
}

// span writes a tick of an axis in microseconds: "20 µs", "1.5 ms".
func span(us float64) string {
	switch {
	case us >= 1e6:
		return trimmed(us/1e6) + " s"
	case us >= 1e3:
		return trimmed(us/1e3) + " ms"
	case us > 0 && us < 1:
		return trimmed(us*1e3) + " ns"
	}
	return trimmed(us) + " µs"
}

// times writes a tick of an axis of ratios: "2×".
func times(v float64) string { return trimmed(v) + "×" }

// trimmed writes a round number without noughts behind its decimals.
func trimmed(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
