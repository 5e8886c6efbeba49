package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wirepaxos/bench"
)

// peakRuns and quickPeakRuns are how many closed-loop runs the peak is the median of, that the rates of an open loop are shares of.
const (
	peakRuns      = 3
	quickPeakRuns = 1
)

// openClients have 1,024 values in flight at most, each.
const openClients = 4

func openScenario() *scenario {
	return &scenario{
		name: "open", title: "an open loop at shares of the peak: latency from the time at which a value was due", x: "rate_per_s",
		short: "Latency at given rates: an open loop at 10 to 90 % of the peak",
		long: `First it measures the peak of each transport with a closed loop of 4 clients with 512 outstanding values of 64 bytes each. Then values are due at 10, 25,
50, 75 and 90 % of that, at random times (Poisson), whether or not there are answers, and a latency counts from the time at which a value was due. Where values
that were due could not be submitted any more (behind), latencies are a lower bound. Rates are the same in all rounds.`,
		example: "  wirepaxos bench open\n  wirepaxos bench open --quick --transport afxdp --idle spin",
		points: func(b *benchFlags) (points []*benchPoint) {
			shares := []int{10, 25, 50, 75, 90}
			if b.quick {
				shares = []int{10, 50, 90}
			}
			for _, share := range shares {
				for _, t := range b.over("afxdp", "udp") {
					p := b.point(fmt.Sprintf("%s-%dpct", t, share), transportTitles[t], trialConfig{transport: t, clients: openClients, size: usualValue})
					p.trial.outstanding, p.share = 0, float64(share)/100
					points = append(points, p)
				}
			}
			return points
		},
		before:  findRates,
		befores: func(r *runner, points []*benchPoint) int { return len(r.transportsOf(points)) * r.peakRuns() },
	}
}

func (b *benchFlags) peakRuns() int {
	if b.quick {
		return quickPeakRuns
	}
	return peakRuns
}

// transportsOf are the transports of the points that can be measured here.
func (r *runner) transportsOf(points []*benchPoint) (list []string) {
	for _, p := range points {
		if t := p.trial.transport; r.able(p) && !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// findRates measures the peak of each transport and gives the points their rates.
func findRates(ctx context.Context, r *runner, points []*benchPoint) (notes []string, err error) {
	peaks := map[string]*benchPoint{}
	for round := 1; round <= r.peakRuns(); round++ {
		for _, t := range r.transportsOf(points) {
			if peaks[t] == nil {
				peaks[t] = r.benchFlags.point(t+"-peak", transportTitles[t], trialConfig{transport: t, clients: openClients, outstanding: 512, size: usualValue})
			}
			if ctx.Err() != nil {
				return nil, failed("interrupted")
			}
			r.point(ctx, "open", peaks[t], round, r.peakRuns())
		}
	}
	for _, t := range r.transportsOf(points) {
		measured := &peaks[t].measured
		for i := range measured.Runs {
			for _, problem := range measured.Runs[i].Problems {
				r.failed = append(r.failed, fmt.Sprintf("open, %s-peak, round %d: %s", t, i+1, problem))
			}
		}
		peak := measured.Over(func(r *bench.Run) float64 { return r.ValuesPerS })
		notes = append(notes, fmt.Sprintf("%s: the rates are shares of %.0f values/s, the median of %d closed-loop runs of 4 clients with 512 outstanding each.",
			transportTitles[t], peak.Median, peak.N))
		for _, p := range points {
			if p.trial.transport != t {
				continue
			}
			p.trial.rate = peak.Median * p.share
			p.measured.Config = p.trial.config()
			if p.trial.rate == 0 {
				p.failures, p.measured.Failed = givesUp, strings.TrimSuffix("the peak could not be measured: "+measured.Failed, ": ")
			}
		}
	}
	return notes, nil
}
