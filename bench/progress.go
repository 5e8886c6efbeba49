package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/paxos"
)

// Progress cuts a running load into intervals, for another goroutine than the loop's.
type Progress struct {
	load  *Load
	spare *hdrhistogram.Histogram
	last  totals
}

type totals struct {
	at        paxos.Time
	delivered uint64
	failed    uint64
	retries   uint64
}

// Interval is what happened in a part of a run, warm-up and drain included.
type Interval struct {
	Ns         int64
	Values     uint64 // delivered
	Failed     uint64
	Retries    uint64
	ValuesPerS float64
	MbitPerS   float64 // of values' bytes, without any headers
	Latency    Latency
	Open       int    // unanswered at its end
	Total      uint64 // values delivered since the load began
}

// NewProgress prepares to watch a load, before its loop runs. Only one may watch.
func NewProgress(l *Load, now paxos.Time) *Progress {
	l.recent = newHistogram()
	return &Progress{load: l, spare: newHistogram(), last: totals{at: now}}
}

// Next returns what happened since the last call. inspect is Loop.Inspect, or after the loop's end any function that calls its argument;
// now is read from the clock of the loop. The loop is held up for the exchange of two histograms only: they are counted here.
func (p *Progress) Next(now paxos.Time, inspect func(func()) error) (Interval, error) {
	p.spare.Reset()
	next, open := totals{at: now}, 0
	err := inspect(func() {
		l := p.load
		p.spare, l.recent = l.recent, p.spare
		next.delivered, next.failed, open = l.delivered, l.failed, l.open
		if l.client != nil {
			next.retries = l.client.Counters.Retries
		}
	})
	if err != nil {
		return Interval{}, err
	}
	i := Interval{
		Ns: next.at - p.last.at, Values: next.delivered - p.last.delivered, Failed: next.failed - p.last.failed,
		Retries: next.retries - p.last.retries, Latency: latencyOf(p.spare), Open: open, Total: next.delivered,
	}
	if i.Ns > 0 {
		i.ValuesPerS = float64(i.Values) * 1e9 / float64(i.Ns)
		i.MbitPerS = i.ValuesPerS * float64(p.load.cfg.Size) * 8 / 1e6
	}
	p.last = next
	return i, nil
}

// JoinIntervals makes one interval of those of several loads, which their progresses told last: at the same time, or nearly so.
func JoinIntervals(parts []*Progress, each []Interval) Interval {
	if len(each) == 1 {
		return each[0]
	}
	all, joined := newHistogram(), Interval{}
	for k, i := range each {
		all.Merge(parts[k].spare)
		joined.Ns = max(joined.Ns, i.Ns)
		joined.Values, joined.Failed, joined.Retries = joined.Values+i.Values, joined.Failed+i.Failed, joined.Retries+i.Retries
		joined.ValuesPerS, joined.MbitPerS = joined.ValuesPerS+i.ValuesPerS, joined.MbitPerS+i.MbitPerS
		joined.Open, joined.Total = joined.Open+i.Open, joined.Total+i.Total
	}
	joined.Latency = latencyOf(all)
	return joined
}

// ProgressLine is an interval in one line of at most 80 columns, as long as nothing fails.
func ProgressLine(second int, i Interval) string {
	line := fmt.Sprintf("%4d s  %11s values/s %9.1f Mbit/s  p50 %s  p99 %s µs  retries %d",
		second, grouped(i.ValuesPerS), i.MbitPerS, decimals(i.Latency.P50), decimals(i.Latency.P99), i.Retries)
	if i.Values == 0 {
		line = fmt.Sprintf("%4d s  %11s values/s   %d unanswered  retries %d", second, "0", i.Open, i.Retries)
	}
	if i.Failed > 0 {
		line += fmt.Sprintf("  failed %d", i.Failed)
	}
	return line
}

// grouped writes a count with a comma at each thousand.
func grouped(x float64) string {
	digits := strconv.FormatFloat(x, 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// decimals writes microseconds with as many decimals as mean something to a reader.
func decimals(us float64) string {
	switch {
	case us < 10:
		return strconv.FormatFloat(us, 'f', 2, 64)
	case us < 1000:
		return strconv.FormatFloat(us, 'f', 1, 64)
	}
	return grouped(us)
}

// hundredths writes microseconds for a column.
func hundredths(us float64) string {
	whole := math.Trunc(us + 0.005)
	return grouped(whole) + fmt.Sprintf("%.2f", max(us-whole, 0))[1:]
}
