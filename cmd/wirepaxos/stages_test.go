package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// The stages of a value add up to its whole way, whether roles share a loop or have processes of their own.
func TestDemoStages(t *testing.T) {
	for _, flags := range []string{"--transport mem --layout packed", "--transport udp --layout process-per-role --outstanding 16 --proposers 2 --learners 2",
		"--transport afxdp --layout packed --outstanding 16 --batch off"} {
		t.Run(strings.ReplaceAll(flags, " ", ""), func(t *testing.T) {
			if strings.Contains(flags, "afxdp") {
				needLab(t)
			}
			path := filepath.Join(t.TempDir(), "r.json")
			args := append(strings.Fields("demo --stages 7 --values 5000 --warmup 100ms --json "+path), strings.Fields(flags)...)
			status, stdout, stderr := runProgram(t, args...)
			if status != 0 {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			r := readReport(t, path)
			if len(r.Stages) != 5 || !strings.Contains(stdout, "the whole way") {
				t.Fatalf("stages %+v in:\n%s", r.Stages, stdout)
			}
			sum := 0.0
			for _, s := range r.Stages[:4] {
				sum += s.LatencyUs.Mean
			}
			whole := r.Stages[4]
			if whole.Samples < 500 || whole.Samples > 5000/7+200 { // 5,000 values, one in 7; those of a slow start may be left out
				t.Errorf("%d values were followed", whole.Samples)
			}
			// A loop that loses its core between its clock and its ports gets what was sent later: such a stage counts as 0, and the sum is more.
			if sum < 0.99*whole.LatencyUs.Mean-0.01 {
				t.Errorf("the stages take %g µs in the mean, the whole way %g", sum, whole.LatencyUs.Mean)
			}
			// A sampled value's whole way is what the load measured of it.
			if whole.LatencyUs.Max > r.LatencyUs.Max*1.01 || whole.LatencyUs.Min < r.LatencyUs.Min*0.99 {
				t.Errorf("the whole way takes %g to %g µs, the load measured %g to %g", whole.LatencyUs.Min, whole.LatencyUs.Max, r.LatencyUs.Min, r.LatencyUs.Max)
			}
		})
	}
	refused(t, []string{"demo", "--stages", "-1"}, "--stages", "-1")
}
