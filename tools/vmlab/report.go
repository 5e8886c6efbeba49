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
	return &report{say: say, steps: steps, verbose: verbose, figures: map[string][]float64{}, results: map[string]clusterResult{}}
}

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
	for _, run := range clusterRuns {
		if run.name() == step {
			return run.mode
		}
	}
	return ""
}

// close tells what was measured, and what to think of all.
func (r *report) close(err error) error {
	if err != nil && !r.verbose {
		for _, line := range r.now {
			r.say("    %s", line)
		}
	}
	r.tellRates()
	r.tellClusters()
	r.say("the wire carried %d frames; %d found the queue to a NIC full", r.wireIn, r.wireDropped)
	r.say("%d steps passed, %d failed, on %s with kernel %s", len(r.passed), len(r.failed), strings.ToUpper(r.accel), r.kernel)
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

func (r *report) tellRates() {
	copied, zero := r.figures["frames/s copy"], r.figures["frames/s zerocopy"]
	if len(copied) == 0 || len(zero) == 0 {
		return
	}
	r.say("\nframes/s through the wire, 64 bytes, median of runs in turn (least to most):")
	r.say("  copy      %s", spread(copied))
	r.say("  zerocopy  %s: %.1f times", spread(zero), median(zero)/median(copied))
}

func (r *report) tellClusters() {
	if len(r.results) == 0 {
		return
	}
	r.say("\ncommit latency, client to client, of the cluster between two NICs:")
	for _, run := range clusterRuns {
		if result, ok := r.results[run.name()]; ok {
			r.say("  %-9s multicast %-5s  %2d outstanding: median %7.0f µs, 99 %% %7.0f µs, %6.0f values/s", run.mode, run.multicast, run.outstanding,
				result.LatencyUs.P50, result.LatencyUs.P99, result.ValuesPS)
		}
	}
}

func spread(values []float64) string {
	return fmt.Sprintf("%6.0f (%.0f to %.0f)", median(values), slices.Min(values), slices.Max(values))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
