package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"wirepaxos/paxos/sim"
)

// simFlags are the flags of the simulator.
type simFlags struct {
	seed, seeds       uint64
	profile, jsonPath string
	trace, keepGoing  bool
	workers           int
}

func newSim() *cobra.Command {
	var o simFlags
	var profiles strings.Builder
	for _, p := range sim.Profiles {
		fmt.Fprintf(&profiles, "\n  %-10s %s", p.Name, p.Help)
	}
	c := &cobra.Command{
		Use:   "sim",
		Short: "Run clusters in virtual time under faults and hold them to what consensus promises",
		Long: `Runs whole clusters, the code of production, on a simulated network with simulated clocks and disks. One seed decides all: the cluster,
its load and every fault. Checkers that share no code with the protocol listen to every step: agreement, integrity, order, exactly once, nothing
acknowledged is lost, ballots, promises, windows, trimming, linearizability; and once the faults have ended the cluster must serve every client again
and bring all learners to one place. A seed that fails does so each time, to the byte.

Exit status 1 if a seed failed; the command that replays it is printed.

Profiles:` + profiles.String(),
		Example: `  wirepaxos sim --seeds 2000 --profile chaos
  wirepaxos sim --seed 193 --profile chaos --trace | less
  wirepaxos sim --profile idle`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	f := c.Flags()
	f.Uint64Var(&o.seed, "seed", 1, "first seed")
	f.Uint64Var(&o.seeds, "seeds", 1, "how many seeds, counted up from the first")
	f.StringVar(&o.profile, "profile", "chaos", "kinds of faults; the list is above")
	f.BoolVar(&o.trace, "trace", false, "print everything that happens, a line each; of one seed")
	f.StringVar(&o.jsonPath, "json", "", "file to write the outcome to, as JSON")
	f.IntVar(&o.workers, "workers", 0, "seeds at once, each on a core; 0: as many as there are cores")
	f.BoolVar(&o.keepGoing, "keep-going", false, "go on after a seed that failed")
	return c
}

// check refuses what cannot be run.
func (o *simFlags) check() (*sim.Profile, error) {
	switch {
	case o.seeds == 0:
		return nil, fmt.Errorf("--seeds 0: want at least one")
	case o.seed+o.seeds-1 < o.seed:
		return nil, fmt.Errorf("--seed %d --seeds %d: seeds end at 2^64-1: begin lower", o.seed, o.seeds)
	case o.trace && o.seeds > 1:
		return nil, fmt.Errorf("--trace shows one seed: leave --seeds %d out", o.seeds)
	case o.workers < 0 || o.workers > 1024:
		return nil, fmt.Errorf("--workers %d: want 1 to 1024, or 0 for as many as there are cores", o.workers)
	}
	if o.workers == 0 {
		o.workers = runtime.GOMAXPROCS(0)
	}
	return sim.FindProfile(o.profile)
}

// simReport is what came of all seeds. Rates are by the CPU time of the process, the collector's included: what one core does that is free.
type simReport struct {
	Profile        string       `json:"profile"`
	Seed           uint64       `json:"seed"`
	Seeds          uint64       `json:"seeds"` // that were run
	Workers        int          `json:"workers"`
	Failed         []sim.Result `json:"failed"`
	Faults         []sim.Count  `json:"faults"`
	Features       []sim.Count  `json:"features"` // in how many seeds each was used
	RealS          float64      `json:"real_s"`
	CPUS           float64      `json:"cpu_s"`
	VirtualS       float64      `json:"virtual_s"`
	VirtualPerCPU  float64      `json:"virtual_s_per_cpu_s"`
	Messages       uint64       `json:"messages"`
	MessagesPerCPU float64      `json:"messages_per_cpu_s"`
	Values         uint64       `json:"values"`
	Leaders        uint64       `json:"leaders"`
	LateLeaders    uint64       `json:"late_leaders"`     // after the faults had ended
	Slowest        []sim.Result `json:"slowest"`          // to heal and settle after the faults, the slowest first; at most slowestKept
	Last           *sim.Result  `json:"result,omitempty"` // where there was one seed
	virtual        int64
	faultPlace     map[string]int
	featurePlace   map[string]int
}

// add adds a run.
func (r *simReport) add(run *sim.Result) {
	r.Seeds++
	r.virtual += run.VirtualNs
	r.Messages += run.Messages
	r.Values += run.Values
	r.Leaders += run.Leaders
	r.LateLeaders += run.Late
	if run.Violation != nil {
		r.Failed = append(r.Failed, *run)
	} else {
		r.rank(run)
	}
	for _, f := range run.Faults {
		count(&r.Faults, r.faultPlace, f.Name, f.N)
	}
	for _, f := range run.Features {
		count(&r.Features, r.featurePlace, f.Name, 1)
	}
	r.Last = run
}

// slowestKept is how many of the seeds that healed slowest are told of.
const slowestKept = 5

// rank keeps the runs that took longest from the end of the faults until they were done. Of two alike the lower seed is first, in whatever order workers
// bring them.
func (r *simReport) rank(run *sim.Result) {
	took := func(x *sim.Result) int64 { return x.HealNs + x.SettleNs }
	at := len(r.Slowest)
	for at > 0 && (took(run) > took(&r.Slowest[at-1]) || took(run) == took(&r.Slowest[at-1]) && run.Seed < r.Slowest[at-1].Seed) {
		at--
	}
	r.Slowest = slices.Insert(r.Slowest, at, *run)
	r.Slowest = r.Slowest[:min(len(r.Slowest), slowestKept)]
}

// count adds to a sum by its name.
func count(sums *[]sim.Count, place map[string]int, name string, n uint64) {
	i, ok := place[name]
	if !ok {
		i = len(*sums)
		place[name] = i
		*sums = append(*sums, sim.Count{Name: name})
	}
	(*sums)[i].N += n
}

// end computes what the sums say.
func (r *simReport) end(real, cpu time.Duration) {
	r.RealS, r.CPUS, r.VirtualS = real.Seconds(), cpu.Seconds(), float64(r.virtual)/1e9
	if cpu > 0 {
		r.VirtualPerCPU, r.MessagesPerCPU = r.VirtualS/r.CPUS, float64(r.Messages)/r.CPUS
	}
	if r.Seeds > 1 {
		r.Last = nil
	}
}

// run runs the seeds and tells.
func (o *simFlags) run() error {
	p, err := o.check()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &simReport{
		Profile: p.Name, Seed: o.seed, Workers: o.workers, Failed: []sim.Result{}, Slowest: []sim.Result{}, faultPlace: map[string]int{},
		featurePlace: map[string]int{},
	}
	begun, used := time.Now(), cpuTime()
	o.play(ctx, p, r)
	r.end(time.Since(begun), cpuTime()-used)
	o.tell(os.Stdout, r)
	if o.jsonPath != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = os.WriteFile(o.jsonPath, append(b, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	switch {
	case len(r.Failed) > 0:
		return failed("%d of %d seeds failed", len(r.Failed), r.Seeds)
	case r.Seeds < o.seeds:
		return failed("interrupted after %d seeds", r.Seeds)
	}
	return nil
}

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // it cannot fail: the struct is ours
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// play gives seeds to workers, in order, until there are none, one failed, or somebody interrupts.
func (o *simFlags) play(ctx context.Context, p *sim.Profile, r *simReport) {
	outcomes := make(chan sim.Result)
	var next atomic.Uint64
	var over atomic.Bool
	var workers sync.WaitGroup
	for range o.workers {
		workers.Go(func() {
			for !over.Load() {
				i := next.Add(1) - 1
				if i >= o.seeds {
					return
				}
				outcomes <- o.one(p, o.seed+i)
			}
		})
	}
	go func() {
		workers.Wait()
		close(outcomes)
	}()
	progress := time.NewTicker(time.Second)
	defer progress.Stop()
	begun := time.Now()
	for {
		select {
		case run, more := <-outcomes:
			if !more {
				return
			}
			r.add(&run)
			if run.Violation != nil {
				tellFailed(os.Stdout, &run)
				over.Store(over.Load() || !o.keepGoing)
			}
		case <-progress.C:
			if !o.trace {
				fmt.Fprintf(os.Stderr, "%4.0f s  %d of %d seeds, %d failed\n", time.Since(begun).Seconds(), r.Seeds, o.seeds, len(r.Failed))
			}
		case <-ctx.Done():
			over.Store(true)
			ctx = context.Background()
		}
	}
}

// one runs a seed.
func (o *simFlags) one(p *sim.Profile, seed uint64) sim.Result {
	c := sim.Config{Seed: seed, Profile: p}
	if o.trace {
		w := bufio.NewWriterSize(os.Stdout, 1<<16)
		defer w.Flush()
		c.Trace = w
	}
	return sim.Run(c)
}

// tellFailed prints what went wrong in a seed, as soon as it is known: a run of many seeds takes hours.
func tellFailed(w io.Writer, f *sim.Result) {
	fmt.Fprintf(w, "seed %d FAILED: %s\n  cluster: %s\n  faults:  %s\n  replay:  wirepaxos sim --profile %s --seed %d --trace\n",
		f.Seed, f.Violation, f.Cluster, countsOf(f.Faults), f.Profile, f.Seed)
}

// tell prints the outcome of all seeds.
func (o *simFlags) tell(w io.Writer, r *simReport) {
	if r.Last != nil {
		fmt.Fprintf(w, "cluster: %s\ntrace:   %016x\n", r.Last.Cluster, r.Last.Trace)
	}
	fmt.Fprintf(w, "faults:  %s\nseeds with: %s\n", countsOf(r.Faults), countsOf(r.Features))
	fmt.Fprintf(w, "speed:   %.1f virtual s in %.1f s, %.1f s of CPU time: %.0f virtual s and %.0f messages a CPU second\n", r.VirtualS, r.RealS, r.CPUS,
		r.VirtualPerCPU, r.MessagesPerCPU)
	fmt.Fprintf(w, "seeds:   %d to %d, profile %s: %d failed; %d values delivered, %d times a proposer came to lead, %d of them after the faults\n", r.Seed, r.Seed+r.Seeds-1, r.Profile,
		len(r.Failed), r.Values, r.Leaders, r.LateLeaders)
	for i := range r.Slowest {
		s := &r.Slowest[i]
		fmt.Fprintf(w, "slowest: seed %d, %d ms from the end of the faults to service for all, then %d ms until all was settled; bound %d ms each\n", s.Seed,
			s.HealNs/1e6, s.SettleNs/1e6, s.BoundNs/1e6)
	}
}

// countsOf is a list of counts as text.
func countsOf(list []sim.Count) string {
	if len(list) == 0 {
		return "none"
	}
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = fmt.Sprintf("%s %d", c.Name, c.N)
	}
	return strings.Join(words, ", ")
}
