package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/tools/netlab"
)

// peersFlags are the flags of bench peers.
type peersFlags struct {
	quick, durable   bool
	peers            []string
	outstanding      []int
	sizes            []int
	rounds           int
	duration, warmup time.Duration
	json, out        string
	binary           string
}

// What is measured where the flags do not say.
const (
	peersRounds        = 5
	peersQuickRounds   = 3
	peersDuration      = 2 * time.Second
	peersQuickDuration = time.Second
	peersWarmup        = 500 * time.Millisecond
	peersQuickWarmup   = 300 * time.Millisecond
	peersMostRounds    = 100
	peersLeastSize     = 8    // the peers' values begin with a number
	peersMostSize      = 1396 // what fits one of our frames
	ownMostOutstanding = 256  // of one client; more are spread over several
	ownMostClients     = 64
)

func newBenchPeers() *cobra.Command {
	var o peersFlags
	c := &cobra.Command{
		Use:   "peers",
		Short: "Compare with etcd/raft, hashicorp/raft, dragonboat and libpaxos, in one go on this machine",
		Long: `Runs wirepaxos, over AF_XDP where that works and over kernel UDP, and other systems that replicate values among three nodes, one after the other,
round by round (A B A B), each under the same closed loop with as many values of the same size under way. It ends with a table of values/s and
median latency, each as the median over the rounds with the least and the most, and with our ratio to the best of the others.

The others are a program of their own, wirepaxos-peers: each is set up as its documentation recommends for speed, as three processes on the
loopback address. What is unlike our own set-up is written below the table. The program is looked for beside this one (make peers builds it);
where there are only its sources and go is on PATH, it is built in the user's cache directory. libpaxos is run if its sample programs are on PATH.

With --durable the others write what they promise to a disk first. Exit status 1 if a run failed or cannot be believed; a ratio that misses the aim is
reported, and no failure.`,
		Example: `  wirepaxos bench peers --quick
  wirepaxos bench peers --out peers && wirepaxos bench report peers
  wirepaxos bench peers --peers etcd,dragonboat --outstanding 1,64 --size 1000 --rounds 3`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.BoolVar(&o.quick, "quick", false, "short runs: enough to see that everything works, not to quote; under 5 minutes")
	f.StringSliceVar(&o.peers, "peers", nil, "peers to compare with: etcd, hashicorp, dragonboat, libpaxos (default: every one that can be run)")
	f.IntSliceVarP(&o.outstanding, "outstanding", "o", []int{1, 64, 256, 1024}, "values under way at once; over 256, ours are of several clients")
	f.IntSliceVarP(&o.sizes, "size", "v", nil, "bytes of a value (default: 64 and 1000; with --quick 64)")
	f.IntVar(&o.rounds, "rounds", 0, fmt.Sprintf("rounds, each with one run of everything (default: %d; with --quick %d)", peersRounds, peersQuickRounds))
	f.DurationVar(&o.duration, "duration", 0, fmt.Sprintf("how long a run measures (default: %v; with --quick %v)", peersDuration, peersQuickDuration))
	f.DurationVar(&o.warmup, "warmup", 0, fmt.Sprintf("how long its load runs before (default: %v; with --quick %v)", peersWarmup, peersQuickWarmup))
	f.BoolVar(&o.durable, "durable", false, "what was promised is on a disk; our own runs are left out, their storage is memory")
	f.StringVar(&o.binary, "binary", "", "the program wirepaxos-peers (default: beside this program, else built from its sources)")
	f.StringVar(&o.out, "out", "", "write into this directory: suite.json, and for each point its latencies as .hgrm and .csv")
	f.StringVar(&o.json, "json", "", "write the suite to this file, as one JSON object")
	return c
}

// check refuses what cannot be measured, and fills in what was not given.
func (o *peersFlags) check() error {
	fill := func(d *time.Duration, full, quick time.Duration) {
		if *d == 0 && o.quick {
			*d = quick
		} else if *d == 0 {
			*d = full
		}
	}
	fill(&o.duration, peersDuration, peersQuickDuration)
	fill(&o.warmup, peersWarmup, peersQuickWarmup)
	if o.rounds == 0 {
		if o.rounds = peersRounds; o.quick {
			o.rounds = peersQuickRounds
		}
	}
	if len(o.sizes) == 0 {
		if o.sizes = []int{64, 1000}; o.quick {
			o.sizes = []int{64}
		}
	}
	switch {
	case o.rounds < 1 || o.rounds > peersMostRounds:
		return fmt.Errorf("--rounds %d: want 1 to %d", o.rounds, peersMostRounds)
	case o.duration <= 0 || o.warmup < 0:
		return fmt.Errorf("--duration %v, --warmup %v: want positive times", o.duration, o.warmup)
	case len(o.outstanding) == 0:
		return fmt.Errorf("--outstanding is empty: name some, say 1,64")
	}
	for _, size := range o.sizes {
		if size < peersLeastSize || size > peersMostSize {
			return fmt.Errorf("--size %d: want %d to %d", size, peersLeastSize, peersMostSize)
		}
	}
	for _, n := range o.outstanding {
		if _, _, ok := spreadOver(n); !ok {
			return fmt.Errorf("--outstanding %d: want 1 to %d, or a multiple of %d up to %d", n, ownMostOutstanding, ownMostOutstanding,
				ownMostOutstanding*ownMostClients)
		}
	}
	return o.files().checkFiles()
}

// files are where results are written.
func (o *peersFlags) files() *benchFlags { return &benchFlags{json: o.json, out: o.out} }

// spreadOver says how many clients keep how many values under way each.
func spreadOver(outstanding int) (clients, each int, ok bool) {
	if outstanding >= 1 && outstanding <= ownMostOutstanding {
		return 1, outstanding, true
	}
	clients = outstanding / ownMostOutstanding
	return clients, ownMostOutstanding, outstanding > 0 && outstanding%ownMostOutstanding == 0 && clients <= ownMostClients
}

func (o *peersFlags) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	program, err := findPeers(ctx, o.binary)
	if err != nil {
		return err
	}
	list, err := listPeers(ctx, program)
	if err != nil {
		return err
	}
	contest := &contest{peersFlags: o, lab: netlab.Supported(), began: time.Now().UTC()}
	if err := contest.enter(program, list); err != nil {
		return err
	}
	if load := readLoad(); load >= 1 {
		contest.notes = append(contest.notes, fmt.Sprintf("this machine was busy as it began (load %.1f on %d CPUs): loops that spin lose more by "+
			"that than processes that sleep", load, runtime.NumCPU()))
	}
	cpu := bench.ReadCPUTimes()
	suite := &bench.Suite{
		Schema: bench.SuiteSchema, Command: strings.Join(append([]string{"wirepaxos"}, os.Args[1:]...), " "), Quick: o.quick,
		Began: contest.began, Machine: bench.ReadMachine(),
	}
	contest.opening()
	for _, size := range o.sizes {
		s, err := contest.scenario(ctx, size)
		if err != nil {
			return err
		}
		suite.Scenarios = append(suite.Scenarios, *s)
	}
	suite.TookS, suite.StealPercent = time.Since(contest.began).Seconds(), bench.StealSince(cpu)
	for i := range suite.Scenarios {
		contest.table(os.Stdout, &suite.Scenarios[i])
	}
	contest.closing(os.Stdout, suite)
	if err := o.files().write(suite); err != nil {
		return err
	}
	if n := contest.failures; n > 0 {
		return failed("%d of %d runs failed or cannot be believed: the lines above say why", n, contest.made)
	}
	return nil
}

// readLoad is how many threads ran or wanted to in the last minute, on average; 0 where the kernel does not tell.
func readLoad() (load float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return 0
	}
	return load
}

// entrant is a system in the contest.
type entrant struct {
	name   string // short, for points and files
	series string
	unlike string                                                                 // from our own set-up
	common string                                                                 // what is unlike in several
	run    func(ctx context.Context, outstanding, size int) (*bench.Point, error) // a point with one run
}

// contest is the whole of it: systems in turn, round by round.
type contest struct {
	*peersFlags
	entrants []entrant
	notes    []string
	lab      error // why no lab can be built here; nil: it can
	began    time.Time
	made     int // runs
	failures int
}

// enter puts together who takes part. What cannot be run is told, unless it was asked for by name.
func (c *contest) enter(program string, list []listedPeer) error {
	switch {
	case c.durable:
		c.notes = append(c.notes, "wirepaxos keeps its storage in memory, so with --durable it is not in the comparison")
	case c.lab != nil:
		c.notes = append(c.notes, fmt.Sprintf("no AF_XDP here: %v", c.lab))
		c.entrants = append(c.entrants, c.own("udp", false), c.own("udp", true))
	default:
		c.entrants = append(c.entrants, c.own("afxdp", false), c.own("afxdp", true), c.own("udp", false))
	}
	for _, name := range c.peers {
		if !slices.ContainsFunc(list, func(p listedPeer) bool { return p.Name == name }) {
			var names []string
			for _, p := range list {
				names = append(names, p.Name)
			}
			return fmt.Errorf("--peers %s: no such peer: there are %s", name, strings.Join(names, ", "))
		}
	}
	for _, p := range list {
		asked := slices.Contains(c.peers, p.Name)
		missing := p.Missing
		if c.durable && p.Durable == "" && missing == "" {
			missing = "it is run in memory only"
		}
		switch {
		case len(c.peers) > 0 && !asked:
		case missing != "" && asked:
			return fmt.Errorf("--peers %s: %s", p.Name, missing)
		case missing != "":
			c.notes = append(c.notes, fmt.Sprintf("%s is not in the comparison: %s", p.Title, missing))
		default:
			c.entrants = append(c.entrants, c.other(program, p))
		}
	}
	return nil
}

func (c *contest) opening() {
	var names []string
	for i := range c.entrants {
		names = append(names, c.entrants[i].series)
	}
	for _, note := range c.notes {
		fmt.Println("note: " + note)
	}
	fmt.Printf("%s, in turn: %d rounds of %v after %v to warm up, %s outstanding, values of %s bytes.\n", strings.Join(names, ", "), c.rounds,
		c.duration, c.warmup, joined(c.outstanding), joined(c.sizes))
}

func joined(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ", ")
}
