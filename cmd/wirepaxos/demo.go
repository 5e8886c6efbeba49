package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// demoFlags are the flags of the demo.
type demoFlags struct {
	loadFlags
	transport, link, layout, batch, idle string
	acceptors, proposers, learners       int
	drop, dup                            float64
	verbose                              bool
	cpu                                  bench.CPUTimes // when the demo began
}

func newDemo() *cobra.Command {
	var o demoFlags
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole cluster on this machine and measure it",
		Long: `Builds a network of veth pairs in namespaces of its own, runs proposers, acceptors, learners and a client in it as pinned processes over
AF_XDP, measures for --duration, and ends with the latency histogram and a check: every learner delivered the same sequence, with nothing lost,
doubled or reordered. Everything is torn down at the end, also on Ctrl-C.

Without root or AF_XDP it runs the same cluster in one process over memory, and says so. Exit status 0 only if the check holds.`,
		Example: `  wirepaxos demo --outstanding 256
  wirepaxos demo --transport udp
  wirepaxos demo --layout process-per-role --acceptors 5 --learners 3 --drop 0.05 --dup 0.05`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c)
		},
	}
	f := c.Flags()
	o.loadFlags.add(f)
	f.StringVar(&o.transport, "transport", "", "afxdp, udp or mem (default: afxdp where it works, else mem)")
	f.StringVar(&o.link, "link", "ethernet", "link layer under AF_XDP: ethernet or udp4")
	f.StringVar(&o.layout, "layout", layoutAuto, "packed, process-per-role, shared-nic; auto: by the number of cores")
	f.StringVar(&o.batch, "batch", "instance", "instance: values of a burst share an instance; frame: one value an instance; off: and one message a frame")
	f.StringVar(&o.idle, "idle", "auto", "what an empty cycle does: spin, yield, backoff, block, auto")
	f.IntVar(&o.acceptors, "acceptors", 3, "number of acceptors")
	f.IntVar(&o.proposers, "proposers", 1, "number of proposers")
	f.IntVar(&o.learners, "learners", 1, "number of learners")
	f.Float64Var(&o.drop, "drop", 0, "rate of frames that the lab's switch drops, 0 to 1")
	f.Float64Var(&o.dup, "dup", 0, "rate of frames that the lab's switch sends twice, 0 to 1")
	f.BoolVar(&o.verbose, "verbose", false, "show what every process tells")
	return c
}

// check refuses what cannot be run, before anything is set up.
func (o *demoFlags) check() error {
	if err := o.loadFlags.check(); err != nil {
		return err
	}
	for _, n := range []struct {
		name       string
		have, most int
	}{{"acceptors", o.acceptors, cluster.MaxAcceptors}, {"proposers", o.proposers, cluster.MaxProposers}, {"learners", o.learners, 16}} {
		if n.have < 1 || n.have > n.most {
			return fmt.Errorf("--%s %d: want 1 to %d", n.name, n.have, n.most)
		}
	}
	if o.drop < 0 || o.drop >= 1 || o.dup < 0 || o.dup >= 1 || o.drop+o.dup > 1 {
		return fmt.Errorf("--drop %v --dup %v: want rates from 0 to below 1", o.drop, o.dup)
	}
	switch o.transport {
	case "", "afxdp", "udp", "mem":
	default:
		return fmt.Errorf("--transport %s does not exist: afxdp, udp or mem", o.transport)
	}
	switch o.link {
	case "ethernet", "udp4":
	default:
		return fmt.Errorf("--link %s does not exist: ethernet or udp4", o.link)
	}
	if o.transport == "mem" && (o.drop > 0 || o.dup > 0) {
		return fmt.Errorf("--drop and --dup are the switch's, and memory has none: use --transport afxdp or udp")
	}
	return nil
}

func (o *demoFlags) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return err
	}
	o.cpu = bench.ReadCPUTimes()
	unsupported := netlab.Supported()
	transport := cluster.Transport(o.transport)
	if transport == "" {
		if transport = cluster.TransportAFXDP; unsupported != nil {
			transport = cluster.TransportMem
			fmt.Printf("No AF_XDP here (%v): the same cluster runs in one process over memory.\n", unsupported)
		}
	}
	if transport == cluster.TransportAFXDP && unsupported != nil {
		return fmt.Errorf("--transport afxdp: %w; --transport mem needs no privileges", unsupported)
	}
	if (o.drop > 0 || o.dup > 0) && unsupported != nil {
		return fmt.Errorf("--drop and --dup need the lab's switch: %w", unsupported)
	}
	p, err := newPlan(planConfig{
		acceptors: o.acceptors, proposers: o.proposers, learners: o.learners, layout: o.layout, transport: transport,
		link: cluster.Link(o.link), batch: cluster.Batch(o.batch), idle: cluster.Idle(o.idle),
	})
	if err != nil {
		return err
	}
	if o.size > paxos.MaxValue(node.MTU(p.file)) {
		p.file.MaxValue = int64(o.size)
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if transport == cluster.TransportMem {
		return o.runMem(ctx, p)
	}
	return o.runProcesses(ctx, p, unsupported == nil)
}

// opening says what is about to run.
func (o *demoFlags) opening(p *plan, where string) {
	fmt.Printf("%d proposer(s), %d acceptors, %d learner(s), 1 client over %s, layout %s, %s:\n  %s\n", o.proposers, o.acceptors, o.learners,
		p.file.Transport, p.layout, where, p.describe())
	fmt.Printf("%d client(s) with %d outstanding value(s) of %d bytes, for %v after %v to warm up.\n", o.clients, o.outstanding, o.size,
		o.duration, o.warmup)
}

// loopbackPort is the first UDP port of a cluster that runs without a lab.
const loopbackPort = 7471

// runProcesses runs the cluster as processes: in the lab, or, for UDP without root, on the loopback address.
func (o *demoFlags) runProcesses(ctx context.Context, p *plan, lab bool) (err error) {
	where, loopback := "a lab of network namespaces", uint16(0)
	if !lab {
		where, loopback = "on 127.0.0.1, without a lab", loopbackPort
	}
	o.opening(p, where)
	faults := netlab.Faults{DropPPM: uint32(o.drop * 1e6), DuplicatePPM: uint32(o.dup * 1e6)}
	r, err := build(ctx, p, fmt.Sprintf("demo%d", os.Getpid()), faults, loopback)
	if err != nil {
		return err
	}
	r.verbose, r.output = o.verbose, os.Stdout
	defer func() { err = errors.Join(err, r.end()) }()
	if err := r.start(append(o.words(), "--linger")); err != nil {
		return err
	}
	if err := r.ready(ctx); err != nil {
		return err
	}
	all, err := r.statuses()
	if err != nil {
		return err
	}
	for i, s := range all {
		for _, line := range describe(s.Ports) {
			fmt.Printf("  %s: %s\n", r.procs[i].name, line)
		}
	}
	result, err := r.await(ctx)
	if err != nil {
		return err
	}
	return o.conclude(ctx, r, result)
}

// await waits until the client has finished.
func (r *running) await(ctx context.Context) (bench.ClientResult, error) {
	for {
		for _, c := range r.procs {
			if c.ended() {
				return bench.ClientResult{}, c.failure()
			}
			if c.args[0] != "client" {
				continue
			}
			over, result := false, bench.ClientResult{}
			if err := node.Ask(c.socket, "finished", &over); err == nil && over {
				return result, node.Ask(c.socket, "result", &result)
			}
		}
		select {
		case <-ctx.Done():
			return bench.ClientResult{}, failed("interrupted")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// settleBound is how long learners get to reach the high watermark once the load has ended.
const (
	settleBound = 15 * time.Second
	settlePause = 50 * time.Millisecond
)

// conclude waits for the learners, gathers what everyone counted, and reports.
func (o *demoFlags) conclude(ctx context.Context, r *running, result bench.ClientResult) error {
	all, err := r.settle(ctx)
	if err != nil {
		return err
	}
	in := outcome{
		file: r.plan.file, layout: r.plan.layout, plan: r.plan, results: []bench.ClientResult{result}, statuses: all,
		tallies: map[paxos.NodeID]bench.TallyReport{}, drop: o.drop, dup: o.dup,
	}
	for _, c := range r.procs {
		var reports map[paxos.NodeID]bench.TallyReport
		if err := node.Ask(c.socket, "tally", &reports); err != nil {
			return err
		}
		for id, t := range reports {
			in.tallies[id] = t
		}
	}
	return o.tell(&in)
}

// settle waits until no learner has anything left to deliver, and returns the last word of all.
func (r *running) settle(ctx context.Context) (all []*node.Status, err error) {
	for bound := time.Now().Add(settleBound); ; {
		if all, err = r.statuses(); err != nil || settled(all) || time.Now().After(bound) {
			return all, err
		}
		select {
		case <-ctx.Done():
			return nil, failed("interrupted")
		case <-time.After(settlePause):
		}
	}
}

// settled tells whether every learner has delivered all that any of them knows of.
func settled(all []*node.Status) bool {
	var high paxos.Instance
	for _, s := range all {
		for _, p := range s.Proposers {
			if p.Leads {
				high = max(high, p.Next)
			}
		}
		for _, l := range s.Learners {
			high = max(high, l.High)
		}
	}
	for _, s := range all {
		for _, l := range s.Learners {
			if l.Watermark < high {
				return false
			}
		}
	}
	return true
}

// tell reports, with a hint at what to try next.
func (o *demoFlags) tell(in *outcome) error {
	in.cpu = o.cpu
	report, err := in.report()
	if err != nil {
		return err
	}
	if err := o.finish(report); err != nil {
		return err
	}
	fmt.Println("\n" + o.next(in))
	return nil
}

// next is one line on what to try next.
func (o *demoFlags) next(in *outcome) string {
	switch {
	case in.file.Transport == cluster.TransportMem:
		return "Next: as root, `wirepaxos demo` runs it over AF_XDP; `wirepaxos demo --transport udp` over kernel sockets."
	case in.file.Transport == cluster.TransportUDP:
		return "Next: `wirepaxos demo` with the same flags over AF_XDP, to compare."
	case o.drop == 0:
		return "Next: `wirepaxos demo --outstanding 256` for throughput, `--transport udp` to compare, `--drop 0.05 --dup 0.05` for a bad network."
	}
	return "Next: `wirepaxos demo --layout process-per-role --acceptors 5 --learners 3`, every role a process of its own."
}
