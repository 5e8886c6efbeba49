package bench

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestIntervalsAddUp(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 4, Size: 100, Values: 800, WarmupNs: 10 * rigCycle})
	p := NewProgress(r.load, r.now)
	call := func(fn func()) error { fn(); return nil }
	var total uint64
	for round := 0; !r.load.Finished(); round++ {
		before := r.now
		if round == 0 {
			r.step()
			r.now += 50 * rigCycle // one slow value, in the first interval alone
		}
		for range 20 {
			r.answerAll()
			r.step()
		}
		i, err := p.Next(r.now, call)
		if err != nil {
			t.Fatal(err)
		}
		if i.Ns != r.now-before {
			t.Errorf("an interval of %d ns, want %d", i.Ns, r.now-before)
		}
		if full := uint64(20 * 8); round > 0 && i.Values == full && (i.ValuesPerS != 8e6 || i.MbitPerS != 6400 || i.Latency.P50 != 1) {
			t.Errorf("interval %+v, want 8 values a microsecond of 800 bits, answered in 1 µs", i)
		}
		if slow := i.Latency.Max > 10; slow != (round == 0) {
			t.Errorf("interval %d: a maximum of %g µs", round, i.Latency.Max)
		}
		if total += i.Values; i.Total != total {
			t.Errorf("total %d, want %d", i.Total, total)
		}
	}
	if res := r.result(); total != res.Values+res.Warmup || total < 800 {
		t.Errorf("the intervals add up to %d values, the result to %d", total, res.Values+res.Warmup)
	}
}

func TestProgressOfALoopThatEnded(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 1, Size: 1})
	p := NewProgress(r.load, r.now)
	ended := errors.New("loop a: ended")
	for range 3 {
		if _, err := p.Next(r.now+1, func(func()) error { return ended }); !errors.Is(err, ended) {
			t.Errorf("error %v", err)
		}
	}
	r.finishOne()
	if i, err := p.Next(r.now, func(fn func()) error { fn(); return nil }); err != nil || i.Values != 1 {
		t.Errorf("what happened meanwhile is gone: %+v, %v", i, err)
	}
}

func (r *rig) finishOne() {
	r.step()
	r.answerAll()
	r.step()
}

func TestProgressLines(t *testing.T) {
	for _, c := range []struct {
		second int
		i      Interval
		want   string
	}{
		{3, Interval{Values: 412331, ValuesPerS: 412331, MbitPerS: 211.1, Latency: Latency{P50: 8.1, P99: 14}},
			"   3 s      412,331 values/s     211.1 Mbit/s  p50 8.10  p99 14.0 µs  retries 0"},
		{9999, Interval{Values: 1, ValuesPerS: 12_345_678, MbitPerS: 123456.7, Latency: Latency{P50: 1234, P99: 60e6}, Retries: 12},
			"9999 s   12,345,678 values/s  123456.7 Mbit/s  p50 1,234  p99 60,000,000 µs  retries 12"},
		{4, Interval{Open: 64, Retries: 12}, "   4 s            0 values/s   64 unanswered  retries 12"},
		{5, Interval{Values: 1, ValuesPerS: 1, Failed: 3, Latency: Latency{P50: 123.45, P99: 999.94}},
			"   5 s            1 values/s       0.0 Mbit/s  p50 123.5  p99 999.9 µs  retries 0  failed 3"},
	} {
		got := ProgressLine(c.second, c.i)
		if got != c.want {
			t.Errorf("\n%q, want\n%q", got, c.want)
		}
		if c.second == 3 && utf8.RuneCountInString(got) > 80 || strings.Contains(got, "\n") {
			t.Errorf("%d columns", utf8.RuneCountInString(got))
		}
	}
}
