package main

import (
	"encoding/json"
	"testing"
	"time"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
)

func clientResult(t *testing.T, l *load) (*loadResult, *bench.ClientResult) {
	t.Helper()
	r, err := l.result(1)
	if err != nil {
		t.Fatal(err)
	}
	c := &bench.ClientResult{}
	if err := json.Unmarshal(r.Client, c); err != nil {
		t.Fatal(err)
	}
	return r, c
}

// A value counts once, in the warm-up or in the measurement; what comes twice or from nowhere is noticed.
func TestLoadCounts(t *testing.T) {
	l := newLoad(loadConfig{Outstanding: 4, Size: 16, Duration: time.Hour, Warmup: time.Hour}, dataplane.Now())
	warm := l.due(nil)
	if len(warm) != 4 || len(l.due(nil)) != 0 {
		t.Fatalf("%d values are due, then more", len(warm))
	}
	l.applied(3, func(i int) []byte { return warm[i] })
	l.begin = dataplane.Now()
	again := l.due(nil)
	if len(again) != 3 {
		t.Fatalf("%d values are due, want 3", len(again))
	}
	l.applied(1, func(int) []byte { return warm[0] }) // its place holds the next one by now
	if l.strays != 1 || l.values != 0 {
		t.Errorf("%d strays, %d values, want the old value to be a stray", l.strays, l.values)
	}
	l.applied(4, func(i int) []byte { return append(again[:3:3], warm[3])[i] })
	l.applied(4, func(i int) []byte { return [][]byte{warm[0], again[0], make([]byte, 15), {9: 9, 15: 0}}[i] })
	l.end = dataplane.Now()
	if len(l.due(nil)) != 0 {
		t.Error("values are due when it is over")
	}
	select {
	case <-l.done:
	default:
		t.Error("it is not done though everything came back")
	}
	r, c := clientResult(t, l)
	if c.Values != 3 || c.Warmup != 4 || c.Unanswered != 0 || r.Strays != 5 || l.measured.TotalCount() != 3 {
		t.Errorf("%+v, %d strays, %d in the histogram", c, r.Strays, l.measured.TotalCount())
	}
	if got := problems(c, r, standing{1, 2}, standing{1, 2}); len(got) != 1 {
		t.Errorf("problems %q", got)
	}
	if got := problems(&bench.ClientResult{Unanswered: 1}, &loadResult{}, standing{1, 2}, standing{2, 3}); len(got) != 3 {
		t.Errorf("problems %q", got)
	}
}

// It is done with the last value that was under way, and not before; a result before that tells what is missing.
func TestLoadWaitsForTheLast(t *testing.T) {
	l := newLoad(loadConfig{Outstanding: 2, Size: 8, Duration: time.Hour}, dataplane.Now())
	values := l.due(nil)
	l.end = dataplane.Now()
	l.due(nil)
	l.applied(1, func(int) []byte { return values[1] })
	select {
	case <-l.done:
		t.Fatal("it is done with a value under way")
	default:
	}
	if _, c := clientResult(t, l); c.Unanswered != 1 || c.Values != 1 {
		t.Errorf("%+v", c)
	}
	if l.again() {
		t.Error("a value is offered once more though the result was taken")
	}
	l.applied(1, func(int) []byte { return values[0] })
	<-l.done
}
