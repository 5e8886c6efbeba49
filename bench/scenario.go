package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Run is the report as one run of a point. What the check found against it comes with it.
func (r *Report) Run(round int) (Run, error) {
	encoded, err := encode(r.measured)
	if err != nil {
		return Run{}, err
	}
	run := Run{
		Round: round, DurationS: r.DurationS, Values: r.Values, ValuesPerS: r.ValuesPerS, LatencyUs: r.LatencyUs,
		HistogramV2: encoded, Behind: r.Behind, Wire: r.Wire, StealPercent: r.StealPercent, Problems: r.Problems, Costs: r.counted(),
	}
	if r.Arrivals == "" {
		corrected := r.LatencyCorrectedUs
		run.LatencyCorrectedUs = &corrected
	}
	run.Stages = r.Stages
	switch {
	case len(run.Problems) == 0 && !r.Equal:
		run.Problems = []string{"the learners did not deliver the same"}
	case r.Values == 0:
		run.Problems = append(run.Problems, "no value was delivered")
	}
	return run, nil
}

// counted are the costs of the measurement; where they were not taken, what the report counts of the whole run, the warm-up included.
func (r *Report) counted() Costs {
	if r.Costs != nil {
		return *r.Costs
	}
	return Costs{
		Values: r.Values, CPUS: -1, Voluntary: -1, Involuntary: -1, LoopVoluntary: -1, LoopInvoluntary: -1, Allocations: -1, AllocatedBytes: -1, GCCycles: -1,
		FrameBytes: -1, Frames: int64(r.FramesPerValue*float64(r.Values) + 0.5), Syscalls: int64(r.Syscalls), Retries: int64(r.Retries), Drops: int64(r.Drops),
	}
}

// Config fills in what the report says of the configuration that ran. What it does not know stays as it is.
func (r *Report) Config(c *Config) {
	c.Transport, c.Link, c.Layout, c.Batch, c.Idle = r.Transport, r.Link, r.Layout, r.Batch, r.Idle
	c.Multicast = r.Multicast
	c.Acceptors, c.Proposers, c.Learners = r.Acceptors, r.Proposers, r.learners()
	c.ValueSize, c.WireHops, c.Mode = r.ValueSize, r.WireHops, r.Mode
}

// encode is a histogram as text; none is an empty one.
func encode(h *hdrhistogram.Histogram) (string, error) {
	if h == nil {
		h = newHistogram()
	}
	return encodeHistogram(h)
}

// addEncoded adds an encoded histogram to another.
func addEncoded(dst *hdrhistogram.Histogram, encoded string) error {
	h, err := hdrhistogram.Decode([]byte(encoded))
	if err != nil {
		return fmt.Errorf("bench: a histogram cannot be read: %w", err)
	}
	if dst.Merge(h) > 0 {
		return fmt.Errorf("bench: a histogram has values over %d s", int64(highestNs)/1e9)
	}
	return nil
}

// Histogram has the latencies of all runs of a point, in nanoseconds.
func (p *Point) Histogram() (*hdrhistogram.Histogram, error) {
	all := newHistogram()
	for i := range p.Runs {
		if err := addEncoded(all, p.Runs[i].HistogramV2); err != nil {
			return nil, fmt.Errorf("point %s, round %d: %w", p.Name, p.Runs[i].Round, err)
		}
	}
	return all, nil
}

// JoinRuns makes one run of those of several clusters that ran at the same time: rates and counts are added, latencies are those of all values. It
// has none that are corrected for coordinated omission: each cluster had an interval of its own.
func JoinRuns(runs []Run) (Run, error) {
	if len(runs) == 1 {
		return runs[0], nil
	}
	all, joined := newHistogram(), Run{}
	for i := range runs {
		r := &runs[i]
		if err := addEncoded(all, r.HistogramV2); err != nil {
			return Run{}, err
		}
		joined.Round, joined.DurationS = r.Round, max(joined.DurationS, r.DurationS)
		joined.StealPercent = max(joined.StealPercent, r.StealPercent)
		joined.Values += r.Values
		joined.ValuesPerS += r.ValuesPerS
		joined.Behind += r.Behind
		joined.Costs.add(&r.Costs)
		for _, p := range r.Problems {
			joined.Problems = append(joined.Problems, fmt.Sprintf("group %d: %s", i+1, p))
		}
	}
	var err error
	joined.LatencyUs = latencyOf(all)
	joined.HistogramV2, err = encode(all)
	return joined, err
}

// add joins counts; what one could not count cannot be told of both.
func (c *Costs) add(o *Costs) {
	c.Values += o.Values
	if c.CPUS += o.CPUS; o.CPUS < 0 {
		c.CPUS = -1
	}
	for _, n := range []struct{ to, of *int64 }{
		{&c.Voluntary, &o.Voluntary}, {&c.Involuntary, &o.Involuntary}, {&c.LoopVoluntary, &o.LoopVoluntary}, {&c.LoopInvoluntary, &o.LoopInvoluntary},
		{&c.Syscalls, &o.Syscalls}, {&c.Allocations, &o.Allocations}, {&c.AllocatedBytes, &o.AllocatedBytes}, {&c.GCCycles, &o.GCCycles},
		{&c.Frames, &o.Frames}, {&c.FrameBytes, &o.FrameBytes}, {&c.Retries, &o.Retries}, {&c.Drops, &o.Drops},
	} {
		if *n.to < 0 || *n.of < 0 {
			*n.to = -1
		} else {
			*n.to += *n.of
		}
	}
}

// Problems is what the checks of all runs found, a line each.
func (s *Suite) Problems() (all []string) {
	for i := range s.Scenarios {
		sc := &s.Scenarios[i]
		for k := range sc.Points {
			p := &sc.Points[k]
			for j := range p.Runs {
				for _, what := range p.Runs[j].Problems {
					all = append(all, fmt.Sprintf("%s, %s, round %d: %s", sc.Name, p.Name, p.Runs[j].Round, what))
				}
			}
		}
		for k := range sc.Failovers {
			for _, what := range sc.Failovers[k].Problems {
				all = append(all, fmt.Sprintf("%s, %s: %s", sc.Name, sc.Failovers[k].Name, what))
			}
		}
	}
	return all
}

// WriteFiles writes into a folder, which it makes: suite.json, and for each point that ran the latencies of all its runs together, in HdrHistogram's text
// format of percentiles (SCENARIO-POINT.hgrm) and as a table (SCENARIO-POINT.csv), both in microseconds.
func (s *Suite) WriteFiles(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bench: cannot make %s: %w", dir, err)
	}
	var errs []error
	for i := range s.Scenarios {
		sc := &s.Scenarios[i]
		for k := range sc.Points {
			if p := &sc.Points[k]; len(p.Runs) > 0 {
				all, err := p.Histogram()
				errs = append(errs, err, writeDistribution(filepath.Join(dir, sc.Name+"-"+p.Name), all))
			}
		}
		for k := range sc.Failovers {
			if p := &sc.Failovers[k]; p.HistogramV2 != "" {
				all := newHistogram()
				errs = append(errs, addEncoded(all, p.HistogramV2), writeDistribution(filepath.Join(dir, sc.Name+"-"+p.Name), all))
			}
		}
	}
	return errors.Join(append(errs, s.WriteJSON(filepath.Join(dir, "suite.json")))...)
}

// writeDistribution writes path.hgrm and path.csv.
func writeDistribution(path string, h *hdrhistogram.Histogram) error {
	if h == nil {
		return nil
	}
	return errors.Join(writeHgrm(path+".hgrm", h), writeCSV(path+".csv", h))
}
