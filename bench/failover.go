package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Failover is one death or pause of a leader, and how long values did not go on. Times in milliseconds are from just before the signal.
type Failover struct {
	AtS      float64 `json:"at_s"` // since the run began
	How      string  `json:"how"`  // "killed" or "paused"
	Node     uint16  `json:"node"` // that led
	Ballot   string  `json:"ballot"`
	Next     uint16  `json:"next"` // that leads now
	NextBy   string  `json:"next_ballot"`
	FirstMs  float64 `json:"first_ms"`  // to the first answer, of a value that was as good as chosen when the leader died
	LeadsMs  float64 `json:"leads_ms"`  // until another proposer led, on its own account
	ValueMs  float64 `json:"value_ms"`  // to the first answer from then on: the next delivered value
	OutageMs float64 `json:"outage_ms"` // to the end of the longest time without an answer: StallReport.Outage
}

// FailoverTimes are many times in short, in milliseconds. Percentiles are those of the nearest rank.
type FailoverTimes struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
	Max    float64 `json:"max"`
}

// TakeFailovers fills in what became of the leaders that were killed or paused.
func (r *Report) TakeFailovers(list []Failover, restarts int) {
	r.Failovers, r.Restarts, r.failover = list, restarts, newHistogram()
	var leads, value, outage []float64
	for _, f := range list {
		if f.How == "paused" {
			r.Pauses++
		} else {
			r.Kills++
		}
		leads, value, outage = append(leads, f.LeadsMs), append(value, f.ValueMs), append(outage, f.OutageMs)
		record(r.failover, min(int64(f.ValueMs*1e6), highestNs), 1)
	}
	r.LeadsMs, r.FailoverMs, r.OutageMs = shortOf(leads), shortOf(value), shortOf(outage)
}

func shortOf(ms []float64) (t FailoverTimes) {
	if len(ms) == 0 {
		return t
	}
	slices.Sort(ms)
	at := func(percent int) float64 { return ms[(len(ms)*percent+99)/100-1] }
	return FailoverTimes{Min: ms[0], Median: at(50), P90: at(90), Max: ms[len(ms)-1]}
}

// WriteFailoverHgrm writes the times to the next delivered value to a file in HdrHistogram's text format of percentiles, in microseconds.
func (r *Report) WriteFailoverHgrm(path string) error { return writeHgrm(path, r.failover) }

// FailoverPoint is the report of a run that was about failovers as a point of a scenario.
func (r *Report) FailoverPoint(name, series string, c Config) (FailoverPoint, error) {
	run, err := r.Run(0)
	if err != nil {
		return FailoverPoint{}, err
	}
	encoded, err := encode(r.failover)
	if err != nil {
		return FailoverPoint{}, err
	}
	r.Config(&c)
	return FailoverPoint{
		Name: name, Series: series, Config: c, HeartbeatMs: r.HeartbeatMs, LeaderTimeoutMs: r.LeaderTimeoutMs, Kills: r.Kills, LeadsMs: r.LeadsMs,
		ValueMs: r.FailoverMs, OutageMs: r.OutageMs, Failovers: r.Failovers, HistogramV2: encoded, Values: r.Values, StealPercent: r.StealPercent,
		Problems: run.Problems,
	}, nil
}

// FailoverText writes the report of a run that was about failovers: what ran where, how much, and how long values did not go on.
func (r *Report) FailoverText(w io.Writer) error {
	var b strings.Builder
	r.conditions(&b)
	r.amounts(&b)
	r.failovers(&b)
	plot(&b, "to the next delivered value", r.failover)
	_, err := io.WriteString(w, b.String())
	return err
}

// failovers writes how long values did not go on when leaders died.
func (r *Report) failovers(b *strings.Builder) {
	if len(r.Failovers) == 0 {
		return
	}
	fmt.Fprintf(b, "failovers  %14d   %d killed with -9, %d paused, %s\n", len(r.Failovers), r.Kills, r.Pauses, count(r.Restarts, "restart"))
	fmt.Fprintf(b, "timers     %14s   heartbeat %g ms, leader timeout %g ms, client retry %g ms\n\n", "", r.HeartbeatMs, r.LeaderTimeoutMs, r.ClientRetryMs)
	fmt.Fprintf(b, "from the signal, in ms          min     median        p90      worst\n")
	for _, row := range []struct {
		name string
		t    *FailoverTimes
	}{
		{"another proposer leads", &r.LeadsMs}, {"next delivered value", &r.FailoverMs}, {"longest outage's end*", &r.OutageMs},
	} {
		fmt.Fprintf(b, "  %-22s %10.2f %10.2f %10.2f %10.2f\n", row.name, row.t.Min, row.t.Median, row.t.P90, row.t.Max)
	}
	b.WriteString("* without an answer at the client, whatever its cause, begun within the time that\n  was watched\n\n")
}
