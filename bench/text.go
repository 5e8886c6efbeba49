package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Text writes the report for people, in 80 columns: what ran where, how much, how fast, the two histograms, and whether the check held.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	r.conditions(&b)
	r.amounts(&b)
	r.groupLines(&b)
	r.failovers(&b)
	r.latencies(&b)
	plot(&b, "measured", r.measured)
	stagesText(&b, r.Stages)
	for _, g := range r.Groups {
		if len(g.Stages) > 0 {
			fmt.Fprintf(&b, "group %d, ", g.Group)
			stagesText(&b, g.Stages)
		}
	}
	if r.Costs != nil {
		r.Costs.text(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) conditions(b *strings.Builder) {
	transport := r.Transport
	if r.Mode != "" {
		transport += " (" + r.Mode + " mode)"
	}
	if r.Link != "" {
		transport += " over " + r.Link
	}
	list(b, transport, named("layout", r.Layout), named("batch", r.Batch), named("multicast", r.Multicast), named("idle", r.Idle))
	list(b, count(r.Acceptors, "acceptor"), count(r.Proposers, "proposer"), count(r.learners(), "learner"), r.groupsText())
	if r.Load == "open" {
		list(b, fmt.Sprintf("open loop: %s values/s due, %s", grouped(r.RatePerS), r.Arrivals))
		list(b, fmt.Sprintf("%s x %d in flight at most, %d-byte values", count(r.Clients, "client"), r.Outstanding, r.ValueSize))
	} else {
		list(b, fmt.Sprintf("closed loop: %s x %d outstanding, %d-byte values", count(r.Clients, "client"), r.Outstanding, r.ValueSize))
	}
	if r.DropRate > 0 || r.DupRate > 0 {
		list(b, fmt.Sprintf("the switch drops %g %% and duplicates %g %% of the frames", 100*r.DropRate, 100*r.DupRate))
	}
	list(b, named("kernel", r.Kernel), count(r.CPUs, "CPU"), r.Go)
	list(b, r.CPU)
	if r.StealPercent >= 1 {
		list(b, fmt.Sprintf("the host gave %.0f %% of the CPU time to other machines: take the figures for what they are", r.StealPercent))
	}
	list(b, named("wirepaxos", r.Version), named("commit", r.Commit))
	for _, c := range r.Cores {
		if c.Core < 0 {
			fmt.Fprintf(b, "  any core: %s%s\n", groupOf(c.Group), c.Runs)
		} else {
			fmt.Fprintf(b, "  core %d: %s%s\n", c.Core, groupOf(c.Group), c.Runs)
		}
	}
	for i := range r.Sockets {
		r.Sockets[i].text(b)
	}
	b.WriteByte('\n')
}

func (s *SocketUse) text(b *strings.Builder) {
	nodes := make([]string, len(s.Nodes))
	for i, id := range s.Nodes {
		nodes[i] = fmt.Sprint(id)
	}
	b.WriteString("  ")
	list(b, fmt.Sprintf("%s queue %d: %s%s", s.Interface, s.Queue, groupOf(s.Group), s.Transport), s.mode(), s.Link, named("nodes", strings.Join(nodes, " ")))
	if s.Note != "" {
		fmt.Fprintf(b, "    %s\n", s.Note)
	}
}

// mode tells the mode of a socket and of the XDP program that feeds it.
func (s *SocketUse) mode() string {
	switch s.Mode {
	case "":
		return ""
	case "generic":
		return "copy mode, generic XDP program"
	}
	return s.Mode + " mode, native XDP program"
}

// list writes the parts that say something on a line, or none.
func list(b *strings.Builder, parts ...string) {
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	if len(parts) > 0 {
		b.WriteString(strings.Join(parts, ", ") + "\n")
	}
}

func named(name, value string) string {
	if value == "" {
		return ""
	}
	return name + " " + value
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (r *Report) amounts(b *strings.Builder) {
	fmt.Fprintf(b, "values     %14s   in %.2f s\n", grouped(float64(r.Values)), r.DurationS)
	fmt.Fprintf(b, "throughput %14s   values/s, %.1f Mbit/s of values\n", grouped(r.ValuesPerS), r.MbitPerS)
	fmt.Fprintf(b, "instances  %14s   %.2f frames a value\n", grouped(float64(r.Instances)), r.FramesPerValue)
	b.WriteString(strings.TrimRight(fmt.Sprintf("wire hops  %14g   %s", r.WireHops, r.WireHopsNote), " ") + "\n")
	if w := r.Wire; w != nil {
		fmt.Fprintf(b, "floor      %14s   µs: %g hops of an echo at %s µs; the median is %.2f x\n", hundredths(w.FloorUs), w.Hops, decimals(w.HopUs), w.RatioFloor)
		fmt.Fprintf(b, "echo       %14s   frames/s of the echo with as many under way\n", grouped(w.EchoPerS))
	}
	fmt.Fprintf(b, "retries    %14s   %s drops, %s system calls\n",
		grouped(float64(r.Retries)), grouped(float64(r.Drops)), grouped(float64(r.Syscalls)))
	if r.Failed > 0 || r.Unanswered > 0 {
		fmt.Fprintf(b, "failed     %14s   %s unanswered\n", grouped(float64(r.Failed)), grouped(float64(r.Unanswered)))
	}
	b.WriteByte('\n')
}

func (r *Report) latencies(b *strings.Builder) {
	m, c, second := &r.LatencyUs, &r.LatencyCorrectedUs, "corrected*"
	if r.Load == "open" {
		c, second = &r.LateSubmitUs, "late submit*"
	}
	fmt.Fprintf(b, "latency (µs) %14s %14s\n", "measured", second)
	for _, row := range []struct {
		name    string
		m, c    float64
		atLeast uint64 // values without which the percentile is the maximum
	}{
		{"min", m.Min, c.Min, 0}, {"p50", m.P50, c.P50, 0}, {"p90", m.P90, c.P90, 10}, {"p99", m.P99, c.P99, 100},
		{"p99.9", m.P999, c.P999, 1000}, {"p99.99", m.P9999, c.P9999, 10000}, {"max", m.Max, c.Max, 0}, {"mean", m.Mean, c.Mean, 0},
	} {
		few := ""
		if r.Values < row.atLeast {
			few = "   (too few values for this)"
		}
		fmt.Fprintf(b, "  %-10s %14s %14s%s\n", row.name, hundredths(row.m), hundredths(row.c), few)
	}
	if r.Load == "open" {
		r.openLoop(b)
	} else {
		fmt.Fprintf(b, "* for coordinated omission, with one answer expected every %s µs\n", decimals(r.CorrectedIntervalUs))
		b.WriteString("  on each outstanding place; measured: what this closed loop saw\n")
	}
	if r.LatencyClamped > 0 {
		fmt.Fprintf(b, "  %d answers came later than a minute and count as one minute\n", r.LatencyClamped)
	}
	b.WriteByte('\n')
}

// openLoop says what the columns of an open loop are, and whether they are all of the truth.
func (r *Report) openLoop(b *strings.Builder) {
	b.WriteString("measured: from the time at which a value was due, whatever kept it waiting\n")
	b.WriteString("* of that, until it was submitted: how exact the schedule was, and waiting\n")
	if r.Waited > 0 {
		fmt.Fprintf(b, "  %s values waited, for as many as may be were unanswered\n", grouped(float64(r.Waited)))
	}
	if r.Behind > 0 {
		fmt.Fprintf(b, "  %s values were due and never submitted: the cluster did not take\n", grouped(float64(r.Behind)))
		fmt.Fprintf(b, "  %s values/s, and these latencies are a lower bound\n", grouped(r.RatePerS))
	}
}

// plotRows bounds the rows of a plot, and plotWidth the bar.
const (
	plotRows  = 16
	plotWidth = 44
)

// plot draws the distribution, a row for each range of latencies. Ranges grow by one factor, so that the tail fits; every range that
// holds a value at all shows at least a dot.
func plot(b *strings.Builder, what string, h *hdrhistogram.Histogram) {
	if h == nil || h.TotalCount() == 0 {
		return
	}
	low, high := float64(max(h.Min(), 1)), float64(max(h.Max(), 1)+1)
	rows := plotRows
	factor := math.Pow(high/low, 1/float64(rows))
	if least := 1.1; factor < least {
		factor = least
		rows = int(math.Ceil(math.Log(high/low) / math.Log(factor)))
		rows = max(rows, 1)
	}
	counts := make([]int64, rows)
	most := int64(0)
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			at := int(math.Log(float64(max(bar.From, 1))/low) / math.Log(factor))
			at = max(0, min(at, rows-1))
			counts[at] += bar.Count
			most = max(most, counts[at])
		}
	}
	fmt.Fprintf(b, "%s, from (µs)\n", what)
	for i, n := range counts {
		bar := strings.Repeat("#", int(int64(plotWidth)*n/most))
		if n > 0 && bar == "" {
			bar = "."
		}
		from := low * math.Pow(factor, float64(i)) / 1e3
		share := fmt.Sprintf("%.3f %%", 100*float64(n)/float64(h.TotalCount()))
		if n == 0 {
			share = ""
		}
		b.WriteString(strings.TrimRight(fmt.Sprintf("%14s %10s  %s", hundredths(from), share, bar), " ") + "\n")
	}
	b.WriteByte('\n')
}
