package bench

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a histogram of latencies can tell apart: 1 ns to a minute, three significant digits; about 220 KiB.
const (
	lowestNs      = 1
	highestNs     = 60e9
	digits        = 3
	subBucketBits = 11 // of HdrHistogram for three digits: 2,048 linear steps to each power of two
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowestNs, highestNs, digits) }

// correct adds to dst the values of src and those that coordinated omission kept out of it, in the manner of HdrHistogram's
// copyCorrectedForCoordinatedOmission: each v > intervalNs stands also for v-interval, v-2*interval, ... down to the interval.
func correct(dst, src *hdrhistogram.Histogram, intervalNs int64) {
	for _, bar := range src.Distribution() {
		if bar.Count == 0 {
			continue
		}
		v := min(bar.To, highestNs)
		record(dst, v, bar.Count)
		if intervalNs <= 0 {
			continue
		}
		// Long stalls leave far more missing values than there are cells: those of one cell go in together.
		for v -= intervalNs; v >= intervalNs; {
			n := (v-cellStart(v))/intervalNs + 1 // none of them below the interval: a cell is far narrower than its values are large
			record(dst, v, n*bar.Count)
			v -= n * intervalNs
		}
	}
}

// record cannot fail for a value from 0 to highestNs; the error of one outside would allocate.
func record(h *hdrhistogram.Histogram, ns, count int64) {
	if h.RecordValues(ns, count) != nil {
		panic("bench: a latency outside its histogram")
	}
}

// encodeHistogram is a histogram in HdrHistogram's compressed encoding, version 2, base64.
func encodeHistogram(h *hdrhistogram.Histogram) (string, error) {
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("bench: a histogram cannot be encoded: %w", err)
	}
	return string(encoded), nil
}

// mergeEncoded adds an encoded histogram of a client to dst, and returns it.
func mergeEncoded(dst *hdrhistogram.Histogram, encoded string, node uint16) (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(encoded))
	if err != nil {
		return nil, fmt.Errorf("bench: the histogram in the result of client node %d cannot be read: %w", node, err)
	}
	if dst.Merge(h) > 0 {
		return nil, fmt.Errorf("bench: the histogram in the result of client node %d has values over %d s", node, int64(highestNs)/1e9)
	}
	return h, nil
}

// cellStart is the lowest value that a histogram cannot tell from v.
func cellStart(v int64) int64 {
	if n := bits.Len64(uint64(v)) - subBucketBits; n > 0 {
		return v >> n << n
	}
	return v
}

// Latency is a histogram in short, in microseconds.
type Latency struct {
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	P9999 float64 `json:"p9999"`
	Max   float64 `json:"max"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percentile float64) float64 { return microseconds(float64(h.ValueAtPercentile(percentile))) }
	return Latency{
		Min: microseconds(float64(h.Min())), Mean: microseconds(h.Mean()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		P9999: at(99.99), Max: microseconds(float64(h.Max())),
	}
}

// microseconds keeps whole nanoseconds.
func microseconds(ns float64) float64 { return math.Round(ns) / 1e3 }
