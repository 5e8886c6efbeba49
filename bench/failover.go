package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Failover is one death or pause of a leader, and how long values did not go on. Times are milliseconds, as the client saw it.
type Failover struct {
	AtS      float64 `json:"at_s"` // since the first kill or pause could have been
	How      string  `json:"how"`  // "killed" or "paused"
	Node     uint16  `json:"node"` // that led
	Ballot   string  `json:"ballot"`
	Next     uint16  `json:"next"` // that leads now
	NextBy   string  `json:"next_ballot"`
	FirstMs  float64 `json:"first_ms"`  // to the first answer after it, of values that were chosen already
	OutageMs float64 `json:"outage_ms"` // to the end of the longest time without an answer: StallReport.Outage
}

// FailoverTimes are outages in short, in milliseconds. Percentiles are those of the nearest rank.
type FailoverTimes struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	Max    float64 `json:"max"`
}

// TakeFailovers fills in what became of the leaders that were killed or paused.
func (r *Report) TakeFailovers(list []Failover, restarts int) {
	r.Failovers, r.Restarts, r.outages = list, restarts, newHistogram()
	var ms []float64
	for _, f := range list {
		if f.How == "paused" {
			r.Pauses++
		} else {
			r.Kills++
		}
		ms = append(ms, f.OutageMs)
		record(r.outages, min(int64(f.OutageMs*1e6), highestNs), 1)
	}
	if len(ms) == 0 {
		return
	}
	slices.Sort(ms)
	at := func(percent int) float64 { return ms[(len(ms)*percent+99)/100-1] }
	r.FailoverMs = FailoverTimes{Min: ms[0], Median: at(50), P90: at(90), Max: ms[len(ms)-1]}
}

// WriteOutagesHgrm writes the outages to a file in HdrHistogram's text format of percentiles, in microseconds.
func (r *Report) WriteOutagesHgrm(path string) error { return writeHgrm(path, r.outages) }

// OutageText writes the report of a run that was about failovers: what ran where, how much, and how long values did not go on.
func (r *Report) OutageText(w io.Writer) error {
	var b strings.Builder
	r.conditions(&b)
	r.amounts(&b)
	r.failovers(&b)
	plot(&b, "outages", r.outages)
	_, err := io.WriteString(w, b.String())
	return err
}

// failovers writes how long values did not go on when leaders died.
func (r *Report) failovers(b *strings.Builder) {
	if len(r.Failovers) == 0 {
		return
	}
	f := &r.FailoverMs
	fmt.Fprintf(b, "failovers  %14d   %d killed with -9, %d paused, %s\n", len(r.Failovers), r.Kills, r.Pauses, count(r.Restarts, "restart"))
	fmt.Fprintf(b, "timers     %14s   heartbeat %g ms, leader timeout %g ms, client retry %g ms\n", "", r.HeartbeatMs, r.LeaderTimeoutMs, r.ClientRetryMs)
	fmt.Fprintf(b, "outage     %14s   ms median; least %.2f, p90 %.2f, worst %.2f\n", fmt.Sprintf("%.2f", f.Median), f.Min, f.P90, f.Max)
	b.WriteString("  from the signal until values went on, as the client saw it\n\n")
}
