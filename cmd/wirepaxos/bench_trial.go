package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// A trial is one run of one configuration: a cluster is brought up for it, loaded once, checked and taken down. To bring up and take down the
// two processes of the packed layout takes 0.3 s, and the ten of seven acceptors in processes of their own 1.2 s: less than it is worth to keep
// anything from one trial to the next, which would no longer be independent of each other.

// trialConfig is a cluster and its load: what the points of scenarios differ in. A zero field is the demo's default.
type trialConfig struct {
	transport, link, layout, batch, idle string
	acceptors, proposers, learners       int
	groups                               int     // of this kind, side by side
	together                             bool    // each process runs all groups; else each group is a cluster of processes of its own
	clients, outstanding, size           int     // of each group; outstanding of each client
	rate                                 float64 // values/s that are due in each group, in an open loop; 0: a closed one
	multicast                            bool
	floor                                bool // measure an echo first
	stages                               int  // one value in so many is followed; 0: none
}

// multicastOn is what reports call multicast; without it they are silent.
const multicastOn = "on"

// inProcess is how many groups a process runs; 0: one, as in every demo.
func (c *trialConfig) inProcess() int {
	if c.together && c.groups > 1 {
		return c.groups
	}
	return 0
}

// apart is how many clusters there are, each of processes of its own.
func (c *trialConfig) apart() int {
	if c.together {
		return 1
	}
	return max(c.groups, 1)
}

// words are the flags of the demo that make the cluster and the load of one group.
func (c *trialConfig) words(duration, warmup time.Duration) []string {
	w := []string{"--transport", c.transport, "--duration", duration.String(), "--warmup", warmup.String(), "--progress=false"}
	if c.rate > 0 {
		w = append(w, "--rate", strconv.FormatFloat(c.rate, 'f', 3, 64))
	}
	if c.multicast {
		w = append(w, "--multicast")
	}
	if c.floor {
		w = append(w, "--floor")
	}
	for _, f := range []struct{ name, value string }{{"link", c.link}, {"layout", c.layout}, {"batch", c.batch}, {"idle", c.idle}} {
		if f.value != "" {
			w = append(w, "--"+f.name, f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"acceptors", c.acceptors}, {"proposers", c.proposers}, {"learners", c.learners}, {"clients", c.clients}, {"outstanding", c.outstanding}, {"size", c.size}, {"stages", c.stages}, {"groups", c.inProcess()},
	} {
		if f.value != 0 {
			w = append(w, "--"+f.name, strconv.Itoa(f.value))
		}
	}
	return w
}

// demoOf are the flags of the demo that the words say, checked.
func demoOf(words []string) (*demoFlags, error) {
	o := &demoFlags{}
	f := pflag.NewFlagSet("trial", pflag.ContinueOnError)
	o.add(f)
	if err := f.Parse(words); err != nil {
		return nil, err
	}
	return o, o.check()
}

// config is what is asked for, as a suite tells it.
func (c *trialConfig) config() bench.Config {
	clients, outstanding := max(c.clients, 1), max(c.outstanding, 1)
	config := bench.Config{
		System: "wirepaxos", Transport: c.transport, Link: c.link, Layout: c.layout, Batch: c.batch, Idle: c.idle, Storage: "memory",
		Acceptors: c.acceptors, Proposers: c.proposers, Learners: c.learners, Groups: max(c.groups, 1), ValueSize: c.size,
		Clients: clients * max(c.groups, 1), Outstanding: clients * outstanding * max(c.groups, 1),
	}
	if c.multicast {
		config.Multicast = multicastOn
	}
	if c.together {
		config.Together = "on"
	}
	if c.rate > 0 {
		config.RatePerS, config.Arrivals, config.Outstanding = c.rate*float64(max(c.groups, 1)), bench.ArrivalsPoisson, 0
	}
	return config
}

// trial is what came of one run.
type trial struct {
	Run     bench.Run         `json:"run"`
	Config  bench.Config      `json:"config"`
	Cores   []bench.CoreUse   `json:"cores"`
	Sockets []bench.SocketUse `json:"sockets"`
}

// newTrial makes it of a report. With an echo it has a floor under its latency, by so many hops.
func newTrial(c bench.Config, r *bench.Report, hops int, echo *echoOutcome) (*trial, error) {
	if echo != nil {
		r.Wire = bench.NewWire(hops, &echo.EchoResult, r.LatencyUs.P50)
	}
	run, err := r.Run(0)
	if err != nil {
		return nil, err
	}
	r.Config(&c)
	return &trial{Run: run, Config: c, Cores: r.Cores, Sockets: r.Sockets}, nil
}

// cell is the cluster of one group, which is up and waits for its load.
type cell interface {
	begin() error                               // the load
	finish(ctx context.Context) (*trial, error) // waits for its end, and checks
	end() error                                 // takes everything down, at any time
}

// trialBound is how long a trial may take besides its load.
const trialBound = 60 * time.Second

// try makes one run. The loads of several groups begin as soon after each other as processes can be started.
func (b *benchFlags) try(ctx context.Context, c *trialConfig, lab bool) (result *trial, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.length+b.warmup+trialBound, failed("it did not end within %v", b.length+b.warmup+trialBound))
	defer cancel()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx) // what broke because of that tells nothing
		}
	}()
	plans, err := b.plansOf(c)
	if err != nil {
		return nil, err
	}
	var echo *echoOutcome
	if c.floor && c.transport != "mem" { // over memory the trial's own process does
		if echo, err = b.echo(ctx, &plans[0], lab); err != nil {
			return nil, err
		}
	}
	var cells []cell
	defer func() {
		for _, x := range cells {
			err = errors.Join(err, x.end())
		}
	}()
	for g := range plans {
		x, err := b.raise(ctx, c, &plans[g], g, lab, echo)
		if err != nil {
			return nil, err
		}
		cells = append(cells, x)
	}
	for _, x := range cells {
		if err := x.begin(); err != nil {
			return nil, err
		}
	}
	return finishAll(ctx, cells)
}

// echo measures the floor under the latencies of a plan, for as long as the run will.
func (b *benchFlags) echo(ctx context.Context, p *groupPlan, lab bool) (*echoOutcome, error) {
	c := echoTime(b.length)
	c.Size, c.UnderWay = acceptBytes(p.demo.size), p.demo.clients*p.demo.outstanding
	return measureEcho(ctx, p.plan, c, lab)
}

// finishAll waits for the loads of all groups, at the same time: each is watched and measured by itself.
func finishAll(ctx context.Context, cells []cell) (*trial, error) {
	all, faults := make([]*trial, len(cells)), make([]error, len(cells))
	var finishing sync.WaitGroup
	for i, x := range cells {
		finishing.Go(func() { all[i], faults[i] = x.finish(ctx) })
	}
	finishing.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return joinTrials(all)
}

// joinTrials makes one trial of those of several groups.
func joinTrials(all []*trial) (*trial, error) {
	joined := &trial{Config: all[0].Config}
	var runs []bench.Run
	for _, t := range all {
		runs = append(runs, t.Run)
		joined.Cores = append(joined.Cores, t.Cores...)
		joined.Sockets = append(joined.Sockets, t.Sockets...)
	}
	var err error
	joined.Run, err = bench.JoinRuns(runs)
	return joined, err
}

// groupPlan is the plan of one group.
type groupPlan struct {
	*plan
	demo *demoFlags
}

// plansOf plans a cluster for each group. Where there are cores for all processes of all groups, each has one of its own; else none of several
// groups has.
func (b *benchFlags) plansOf(c *trialConfig) (plans []groupPlan, err error) {
	procs := 0
	for g := range c.apart() {
		o, err := demoOf(c.words(b.length, b.warmup))
		if err != nil {
			return nil, err
		}
		p, err := o.planned(cluster.Transport(c.transport))
		if err != nil {
			return nil, err
		}
		if !c.together {
			p.file.Group = uint16(g + 1)
		}
		procs += len(p.procs)
		plans = append(plans, groupPlan{p, o})
	}
	if len(plans) == 1 {
		return plans, nil
	}
	set, err := dataplane.Cores()
	if err != nil {
		return nil, err
	}
	next := 0
	for _, p := range plans {
		for i := range p.procs {
			p.procs[i].core = cluster.NoCore
			if procs <= len(set.Allowed) {
				p.procs[i].core = set.Allowed[next]
				next++
			}
		}
	}
	return plans, nil
}

// raise brings the cluster of one group up.
func (b *benchFlags) raise(ctx context.Context, c *trialConfig, p *groupPlan, group int, lab bool, echo *echoOutcome) (cell, error) {
	if c.transport == "mem" {
		return raiseMem(ctx, c, p, c.words(b.length, b.warmup))
	}
	x := &processCell{config: c.config(), demo: p.demo, plan: p.plan, echo: echo}
	x.config.Driver = "veth"
	port := uint16(0)
	if !lab {
		var err error
		if port, err = loopbackPorts(len(p.procs)*len(p.file.AllGroups()), group); err != nil {
			return nil, err
		}
		x.config.Driver = "loopback"
	}
	return x, x.raise(ctx, fmt.Sprintf("bench%d_%d", os.Getpid(), group), port)
}

// loopbackPorts finds n UDP ports in a row that are free, beginning at a place of the group's own.
func loopbackPorts(n, group int) (uint16, error) {
	const step, last = 32, 32_000 // below the ports that the kernel gives to whoever asks for any
	for base := loopbackPort + group*step; base < last; base += step {
		free := true
		for port := base; free && port < base+n; port++ {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if free = err == nil; free {
				c.Close()
			}
		}
		if free {
			return uint16(base), nil
		}
	}
	return 0, fmt.Errorf("%d UDP ports in a row are needed on 127.0.0.1, and none are free from %d to %d", n, loopbackPort, last)
}

// processCell is a cluster of processes, in a lab or on the loopback address.
type processCell struct {
	config bench.Config
	demo   *demoFlags
	plan   *plan
	r      *running
	client *child
	cpu    bench.CPUTimes
	echo   *echoOutcome // nil: not measured
}

// raise brings up all processes but the client's.
func (x *processCell) raise(ctx context.Context, name string, loopback uint16) (err error) {
	if x.r, err = build(ctx, x.plan, name, netlab.Faults{}, loopback); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, x.end())
		}
	}()
	x.r.stages = x.demo.stages
	for i, q := range x.plan.procs {
		c := x.r.child(i, q, append(x.demo.words(), "--linger"))
		if c.args[0] == "client" {
			x.client = c
			continue
		}
		x.r.procs = append(x.r.procs, c)
		if err := x.r.launch(c); err != nil {
			return err
		}
	}
	return x.r.ready(ctx)
}

func (x *processCell) begin() error {
	x.cpu = bench.ReadCPUTimes()
	x.r.procs = append(x.r.procs, x.client)
	return x.r.launch(x.client)
}

func (x *processCell) finish(ctx context.Context) (*trial, error) {
	if err := x.r.ready(ctx); err != nil {
		return nil, err
	}
	results, err := x.r.await(ctx, nil)
	if err != nil {
		return nil, err
	}
	in, err := x.r.gather(ctx, results)
	if err != nil {
		return nil, err
	}
	in.began(x.cpu)
	report, err := in.report()
	if err != nil {
		return nil, err
	}
	return newTrial(x.config, report, x.plan.portHops(), x.echo)
}

func (x *processCell) end() error {
	r := x.r
	if x.r = nil; r == nil {
		return nil
	}
	return r.end()
}
