package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/paxos"
)

// loadFlags are the flags of whoever loads a cluster.
type loadFlags struct {
	size, outstanding, clients int
	duration, warmup           time.Duration
	values                     uint64
	rate                       float64 // of an open loop; 0: a closed one
	arrivals                   string
	json, hgrm, csv            string
	progress                   bool
	flags                      *pflag.FlagSet
}

func (o *loadFlags) add(flags *pflag.FlagSet) {
	o.flags = flags
	flags.IntVarP(&o.size, "size", "v", 64, "bytes of a value, 1 to what fits a frame or to max_value of the cluster file")
	flags.IntVarP(&o.outstanding, "outstanding", "o", 1, "values in flight at once, of each client; with --rate at most, and 1024 unless said")
	flags.IntVarP(&o.clients, "clients", "n", 1, "clients, each a session of its own")
	flags.Float64Var(&o.rate, "rate", 0, "values a second that are due, of all clients together, whether or not there are answers: an open loop")
	flags.StringVar(&o.arrivals, "arrivals", bench.ArrivalsPoisson, "with --rate: poisson, times drawn alike in every run, or constant, even distances")
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "how long to measure")
	flags.DurationVar(&o.warmup, "warmup", time.Second, "how long to run before that")
	flags.Uint64Var(&o.values, "values", 0, "end after so many values; without --duration that is the only end")
	flags.StringVar(&o.json, "json", "", "write the result to this file, as one JSON object")
	flags.StringVar(&o.hgrm, "hgrm", "", "write the latency histogram to this file, in HdrHistogram's percentile format")
	flags.StringVar(&o.csv, "csv", "", "write it to this file, as percentile,value_us,count")
	flags.BoolVar(&o.progress, "progress", true, "print a line a second")
}

// mostInFlight is what an open loop has in flight at most, of each client, unless the flag says.
const mostInFlight = paxos.SessionSpan

// check refuses what no cluster could run.
func (o *loadFlags) check() error {
	if err := o.checkRate(); err != nil {
		return err
	}
	switch {
	case o.size < 1:
		return fmt.Errorf("--size %d: a value has at least 1 byte", o.size)
	case o.size > paxos.MaxValueBytes:
		return fmt.Errorf("--size %d: a value has at most %d bytes, and that only where max_value of the cluster file says so", o.size, paxos.MaxValueBytes)
	case o.outstanding < 1 || o.outstanding > paxos.SessionSpan:
		return fmt.Errorf("--outstanding %d: want 1 to %d; for more in flight use more --clients", o.outstanding, paxos.SessionSpan)
	case o.clients < 1 || o.clients > paxos.MaxSessions:
		return fmt.Errorf("--clients %d: want 1 to %d", o.clients, paxos.MaxSessions)
	case o.duration < 0 || o.warmup < 0 || o.duration == 0 && o.values == 0:
		return fmt.Errorf("--duration %v, --warmup %v: want positive times", o.duration, o.warmup)
	}
	return nil
}

// open tells whether the load is an open loop.
func (o *loadFlags) open() bool { return o.rate != 0 }

func (o *loadFlags) checkRate() error {
	if !o.flags.Changed("rate") {
		if o.flags.Changed("arrivals") {
			return fmt.Errorf("--arrivals is about values that are due at times of their own: say how many a second with --rate")
		}
		return nil
	}
	if err := bench.CheckArrivals(o.rate, o.arrivals); err != nil {
		return fmt.Errorf("--rate %g, --arrivals %s: %w", o.rate, o.arrivals, err)
	}
	if !o.flags.Changed("outstanding") {
		o.outstanding = mostInFlight
	}
	return nil
}

// load makes the load. The seed is that of an open loop's times: clients of one run differ in it.
func (o *loadFlags) load(seed uint64) (*bench.Load, error) {
	duration := o.duration
	if o.values > 0 && !o.flags.Changed("duration") {
		duration = 0
	}
	c := bench.LoadConfig{
		Sessions: o.clients, Outstanding: o.outstanding, Size: o.size, Values: o.values,
		DurationNs: int64(duration), WarmupNs: int64(o.warmup),
	}
	if o.open() {
		c.Rate, c.Arrivals, c.Seed = o.rate, o.arrivals, seed
	}
	return bench.NewLoad(c)
}

// words are the flags for another process.
func (o *loadFlags) words() []string {
	w := []string{
		"--size", fmt.Sprint(o.size), "--outstanding", fmt.Sprint(o.outstanding), "--clients", fmt.Sprint(o.clients), "--warmup", o.warmup.String(),
		"--values", fmt.Sprint(o.values),
	}
	if o.values == 0 || o.flags.Changed("duration") {
		w = append(w, "--duration", o.duration.String())
	}
	if o.open() {
		w = append(w, "--rate", fmt.Sprint(o.rate), "--arrivals", o.arrivals)
	}
	return append(w, fmt.Sprintf("--progress=%v", o.progress))
}

// finish prints a report and writes the files that were asked for. The error says if the check did not hold.
func (o *loadFlags) finish(r *bench.Report) error {
	fmt.Println()
	if err := r.Text(os.Stdout); err != nil {
		return err
	}
	tellCheck(r)
	if o.hgrm != "" {
		if err := r.WriteHgrm(o.hgrm); err != nil {
			return err
		}
	}
	if o.csv != "" {
		if err := r.WriteCSV(o.csv); err != nil {
			return err
		}
	}
	if o.json != "" {
		if err := r.WriteJSON(o.json); err != nil {
			return err
		}
	}
	return holds(r)
}

// holds is an error if the check did not hold.
func holds(r *bench.Report) error {
	switch {
	case len(r.Problems) > 0 || !r.Equal:
		return failed("the check at the end did not hold: %v", r.Problems)
	case r.Values == 0:
		return failed("no value was delivered: is the cluster running, with a quorum of acceptors that vote?")
	}
	return nil
}

// tellCheck says what the check at the end found.
func tellCheck(r *bench.Report) {
	fmt.Println()
	for _, l := range r.Learners {
		group := ""
		if l.Group != 0 {
			group = fmt.Sprintf("group %d: ", l.Group)
		}
		fmt.Printf("%slearner %d delivered %d values, hash %v\n", group, l.ID, l.Delivered, l.Hash)
	}
	if len(r.Learners) == 0 {
		fmt.Printf("check   not made here: %s\n", strings.Join(r.Notes, "; "))
		return
	}
	v := bench.Verdict{Lost: r.Lost, Duplicated: r.Duplicated, Reordered: r.Reordered, Equal: r.Equal, Problems: r.Problems, Notes: r.Notes}
	fmt.Printf("check   %s", v.String())
}
