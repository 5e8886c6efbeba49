package bench

import (
	"math/rand"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// naive is the correction value by value, as HdrHistogram describes it.
func naive(src *hdrhistogram.Histogram, intervalNs int64) *hdrhistogram.Histogram {
	dst := newHistogram()
	for _, bar := range src.Distribution() {
		for range bar.Count {
			if err := dst.RecordCorrectedValue(min(bar.To, highestNs), intervalNs); err != nil {
				panic(err)
			}
		}
	}
	return dst
}

func TestCorrectionIsThatOfHdrHistogram(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	for round := range 20 {
		h := newHistogram()
		for range 50 {
			record(h, int64(rng.ExpFloat64()*float64(uint64(10)<<round)), 1)
		}
		for _, interval := range []int64{0, 1, 7, 1000, 5000, 1 << 40} {
			if h.Max()/max(interval, 1) > 2e4 {
				continue // too slow for the naive one
			}
			got := newHistogram()
			correct(got, h, interval)
			if want := naive(h, interval); !got.Equals(want) {
				t.Fatalf("round %d, interval %d: %d values, p50 %d, p99 %d; want %d, %d, %d", round, interval, got.TotalCount(),
					got.ValueAtPercentile(50), got.ValueAtPercentile(99), want.TotalCount(), want.ValueAtPercentile(50), want.ValueAtPercentile(99))
			}
		}
	}
}

// The example by which coordinated omission is told: 100 s at a value a millisecond, then a stall of as long.
func TestCorrectionOfAStall(t *testing.T) {
	h := newHistogram()
	record(h, 1e6, 10_000)
	record(h, 10e9, 1)
	c := newHistogram()
	correct(c, h, 1e6)
	if n := c.TotalCount(); n < 19_990 || n > 20_010 {
		t.Errorf("%d values after the correction, want 20,000", n)
	}
	if p := h.ValueAtPercentile(99.9); p > 1.1e6 {
		t.Errorf("p99.9 as measured is %d", p)
	}
	if p := c.ValueAtPercentile(75); p < 4.9e9 || p > 5.1e9 {
		t.Errorf("p75 corrected is %d ns, want half the stall", p)
	}
}

func TestLongStallsAreCorrectedQuickly(t *testing.T) {
	h := newHistogram()
	record(h, 60e9, 100)
	c := newHistogram()
	correct(c, h, 10) // 600e9 missing values: one by one they would take an hour
	if n := c.TotalCount(); n != 600e9 {
		t.Errorf("%d values", n)
	}
}

func TestCellsAreThoseOfTheHistogram(t *testing.T) {
	h := newHistogram()
	rng := rand.New(rand.NewSource(4))
	for range 100_000 {
		v := rng.Int63n(highestNs >> uint(rng.Intn(36)))
		start := cellStart(v)
		if !h.ValuesAreEquivalent(v, start) || start > 0 && h.ValuesAreEquivalent(v, start-1) {
			t.Fatalf("the cell of %d does not begin at %d", v, start)
		}
	}
}

func TestLatencyInMicroseconds(t *testing.T) {
	h := newHistogram()
	for ns := int64(1); ns <= 1000; ns++ {
		record(h, ns*1000, 1)
	}
	l := latencyOf(h)
	for _, c := range []struct{ got, want float64 }{
		{l.Min, 1}, {l.Mean, 500.5}, {l.P50, 500}, {l.P90, 900}, {l.P99, 990}, {l.P999, 999}, {l.P9999, 1000}, {l.Max, 1000},
	} {
		if c.got < c.want*0.999 || c.got > c.want*1.001 {
			t.Errorf("%g µs, want %g within three digits", c.got, c.want)
		}
	}
}
