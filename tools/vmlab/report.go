package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wirepaxos/tools/vmlab/script"
)

// errFailed marks what ran and did not do what it must.
var errFailed = errors.New("not everything did what it must")

// report tells what a guest does, while it does it, and keeps what it measured.
type report struct {
	say     func(string, ...any)
	verbose bool
	steps   []script.Step
	accel   string
	kernel  string

	now     []string // output of the step that runs
	passed  []string
	failed  []string
	figures map[string][]float64
	got     map[string]string // what the sockets of a mode really were
	results map[string]clusterResult
	down    string // why the guest gave up

	wireIn, wireDropped uint64
}

// clusterResult is what is told of a run of the cluster, from what the client wrote.
type clusterResult struct {
	Mode      string  `json:"mode"` // the least of all its sockets
	ValuesPS  float64 `json:"values_per_s"`
	LatencyUs struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
	Problems []string `json:"problems"`
}

func newReport(say func(string, ...any), steps []script.Step, verbose bool) *report {
	return &report{say: say, steps: steps, verbose: verbose, figures: map[string][]float64{}, got: map[string]string{},
		results: map[string]clusterResult{}}
}

// ended is how many steps are done, one way or the other.
func (r *report) ended() int { return len(r.passed) + len(r.failed) }

// maxOutput is how many lines of a step are kept for the case that it fails.
const maxOutput = 400

// output is a line that the guest's step wrote.
func (r *report) output(line string) {
	if r.verbose {
		r.say("    %s", line)
	}
	if rest, ok := strings.CutPrefix(line, "figure "); ok {
		if at := strings.LastIndexByte(rest, ' '); at > 0 {
			if value, err := strconv.ParseFloat(rest[at+1:], 64); err == nil {
				r.figures[rest[:at]] = append(r.figures[rest[:at]], value)
			}
		}
	}
	if rest, ok := strings.CutPrefix(line, "got "); ok {
		if mode, what, ok := strings.Cut(rest, ": "); ok {
			r.got[mode] = what
		}
	}
	if r.now = append(r.now, line); len(r.now) > maxOutput {
		r.now = r.now[1:]
	}
}

// heard is an event of the guest.
func (r *report) heard(e script.Event) {
	switch e.Event {
	case script.Up:
		r.say("the guest is up: kernel %s, %s", e.Text, strings.ToUpper(r.accel))
	case script.Begin:
		r.now = nil
	case script.End:
		r.end(e)
		r.now = nil
	case script.Down:
		r.down = e.Text
	}
}

// end is the end of a step. A test that was skipped has not shown what it is there for, so its step has failed.
func (r *report) end(e script.Event) {
	title := e.Step
	for _, s := range r.steps {
		if s.Name == e.Step {
			title += ": " + s.Title
		}
	}
	wrong := e.Text
	if e.Shown != "" {
		var result clusterResult
		if err := json.Unmarshal([]byte(e.Shown), &result); err != nil && wrong == "" {
			wrong = "its result: " + err.Error()
		}
		if want := modeOf(e.Step); result.Mode != want && wrong == "" {
			wrong = fmt.Sprintf("its sockets were in mode %q, not %q", result.Mode, want)
		}
		if len(result.Problems) > 0 {
			wrong = strings.TrimSpace(wrong + " " + strings.Join(result.Problems, "; "))
		}
		r.results[e.Step] = result
	}
	for _, line := range r.now {
		if strings.Contains(line, "--- SKIP") && wrong == "" {
			wrong = strings.TrimSpace(line)
		}
	}
	if wrong == "" {
		r.passed = append(r.passed, e.Step)
		r.say("ok    %s (%.1f s)", title, e.TookS)
		return
	}
	r.failed = append(r.failed, e.Step)
	if !r.verbose {
		for _, line := range r.now {
			r.say("    %s", line)
		}
	}
	r.say("FAIL  %s: %s (%.1f s)", title, wrong, e.TookS)
}

// modeOf is the mode that a run of the cluster must have had; the client tells the least of what its sockets really got.
func modeOf(step string) string {
	for _, run := range clusterRuns() {
		if run.name() == step {
			return run.mode
		}
	}
	return ""
}

// close tells what was measured, and what to think of all.
func (r *report) close(err error, machines int) error {
	if err != nil && !r.verbose {
		for _, line := range r.now {
			r.say("    %s", line)
		}
	}
	for _, line := range r.table() {
		r.say("%s", line)
	}
	r.say("the host's wire carried %d frames; %d found the queue to a NIC full", r.wireIn, r.wireDropped)
	r.say("%d steps passed, %d failed, on %s with kernel %s, in %d virtual machine%s", len(r.passed), len(r.failed), strings.ToUpper(r.accel), r.kernel,
		machines, strings.Repeat("s", min(machines-1, 1)))
	switch {
	case err != nil:
		return err
	case r.down != "":
		return fmt.Errorf("%w: the guest gave up: %s", errFailed, r.down)
	case len(r.failed) > 0:
		return fmt.Errorf("%w: %s", errFailed, strings.Join(r.failed, ", "))
	case len(r.passed) < len(r.steps):
		return fmt.Errorf("%w: %d of %d steps ran", errFailed, len(r.passed), len(r.steps))
	}
	return nil
}

// table sets copy and zero-copy side by side.
func (r *report) table() []string {
	var t [][3]string
	row := func(what, copied, zero string) { t = append(t, [3]string{what, copied, zero}) }
	if r.got["copy"] != "" || r.got["zerocopy"] != "" {
		row("sockets", r.got["copy"], r.got["zerocopy"])
	}
	copied, zero := r.figures["frames/s copy"], r.figures["frames/s zerocopy"]
	if len(copied) > 0 && len(zero) > 0 {
		row("frames/s, 64 bytes", spread(copied), fmt.Sprintf("%s, %.1f times", spread(zero), median(zero)/median(copied)))
	}
	if ordinary := r.figures["frames/s zerocopy, ordinary pages"]; len(ordinary) > 0 {
		row("  UMEM in ordinary pages", "", spread(ordinary))
	}
	for _, kind := range kinds() {
		copied, zero := r.latencies("copy", kind), r.latencies("zerocopy", kind)
		if copied != "" || zero != "" {
			row("commit µs, "+kind, copied, zero)
		}
	}
	if len(t) == 0 {
		return nil
	}
	lines := []string{"", "NIC to NIC in one guest, in turn: median (least to most). They compare the modes with each other, and say nothing about a NIC."}
	for _, row := range append([][3]string{{"", "copy", "zerocopy"}}, t...) {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %-35s  %-38s  %s", row[0], row[1], row[2]), " "))
	}
	return append(lines, "")
}

// kinds are those of the cluster's runs, in order.
func kinds() []string {
	var all []string
	for _, run := range clusterRuns() {
		if !slices.Contains(all, run.kind()) {
			all = append(all, run.kind())
		}
	}
	return all
}

// latencies tells the median commit latency of each run of a kind, with 99 % and the rate of the last.
func (r *report) latencies(mode, kind string) string {
	var medians []float64
	var last clusterResult
	for _, run := range clusterRuns() {
		if result, ok := r.results[run.name()]; ok && run.mode == mode && run.kind() == kind {
			medians, last = append(medians, result.LatencyUs.P50), result
		}
	}
	if len(medians) == 0 {
		return ""
	}
	return fmt.Sprintf("%s, 99 %%: %.0f, %.0f/s", spread(medians), last.LatencyUs.P99, last.ValuesPS)
}

// spread is the median of several measurements, and how far they lie apart.
func spread(values []float64) string {
	if len(values) == 1 {
		return fmt.Sprintf("%.0f", values[0])
	}
	return fmt.Sprintf("%.0f (%.0f to %.0f)", median(values), slices.Min(values), slices.Max(values))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
