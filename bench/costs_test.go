package bench

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCostsText(t *testing.T) {
	c := &Costs{
		Values: 2_500_000, CPUS: 5.5, Voluntary: 500, Involuntary: 250, LoopVoluntary: 0, LoopInvoluntary: 20, Syscalls: 1_250_000, Allocations: 3,
		AllocatedBytes: -1, GCCycles: 0, Frames: 123_456_789_012, FrameBytes: 12_345_678_901_234, Retries: 7, Drops: 0,
	}
	var b strings.Builder
	r := &Report{Costs: c}
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2,500,000      1,000,000", "5.50           2.20", "context switches                   750            300", "system calls of ports        1,250,000        500,000",
		"heap objects                         3           1.20", "heap bytes                           -              -", "GC cycles                            0              0",
		"loops were kept away                20              8",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if p := (&Costs{}).PerMillion(5); p != -1 {
		t.Errorf("of no values a million cost %g", p)
	}
}

// Whoever waits for a load learns from Events when to look, and from Phase what to wait for.
func TestPhaseAndEvents(t *testing.T) {
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, WarmupNs: 10 * rigCycle, DurationNs: 50 * rigCycle})
	if p := r.load.Phase(); p.Begun || p.Stopped || p.Finished || r.load.Events() != 0 {
		t.Errorf("before its begin: %+v, %d events", p, r.load.Events())
	}
	r.step()
	begun, begin := r.load.Events(), r.now
	if p := r.load.Phase(); begun == 0 || p != (Phase{Begun: true, From: begin + 10*rigCycle, End: begin + 60*rigCycle}) {
		t.Errorf("begun: %+v, %d events", p, begun)
	}
	for range 30 {
		r.answerAll()
		r.step()
	}
	if r.load.Events() != begun {
		t.Errorf("%d events though nothing happened", r.load.Events()-begun)
	}
	for range 30 {
		r.step()
	}
	if p := r.load.Phase(); !p.Stopped || p.Finished || r.load.Events() != begun {
		t.Errorf("with two unanswered: %+v", p)
	}
	r.finish(2)
	if p := r.load.Phase(); !p.Finished || r.load.Events() == begun {
		t.Errorf("at its end: %+v, %d events", p, r.load.Events())
	}
	r = newRig(t, LoadConfig{Sessions: 1, Outstanding: 2, Size: 8, Values: 10, DurationNs: 50 * rigCycle})
	if r.step(); r.load.Phase().End != 0 {
		t.Error("who counts values does not know the end")
	}
}
