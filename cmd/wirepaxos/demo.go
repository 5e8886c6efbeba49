package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// demoFlags are the flags of the demo.
type demoFlags struct {
	loadFlags
	timing                               timingFlags
	kill, pause                          time.Duration // how often the leader's process is killed, or stopped for a while
	transport, link, layout, batch, idle string
	acceptors, proposers, learners       int
	groups                               int
	drop, dup                            float64
	verbose, floor, multicast            bool
	stages                               uint           // one value in so many is followed
	echo                                 *echoOutcome   // of --floor
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

With --kill-leader-every the process of the proposer that leads is killed with -9 every so often and started again; each proposer is then a
process of its own. The report has how long values did not go on each time.

Without root or AF_XDP it runs the same cluster in one process over memory, and says so; where leaders are killed, as processes over UDP on
127.0.0.1. Exit status 0 only if the check holds.`,
		Example: `  wirepaxos demo --outstanding 256
  wirepaxos demo --rate 100000 --csv latency.csv
  wirepaxos demo --floor --stages 100
  wirepaxos demo --transport udp
  wirepaxos demo --groups 2 --link udp4
  wirepaxos demo --layout process-per-role --acceptors 5 --learners 3 --drop 0.05 --dup 0.05
  wirepaxos demo --proposers 3 --kill-leader-every 1s --drop 0.05 --duration 20s`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.run(c)
		},
	}
	o.add(c.Flags())
	return c
}

func (o *demoFlags) add(f *pflag.FlagSet) {
	o.loadFlags.add(f)
	f.StringVar(&o.transport, "transport", "", "afxdp, udp or mem (default: afxdp where it works, else mem)")
	f.StringVar(&o.link, "link", "ethernet", "link layer under AF_XDP: ethernet or udp4")
	f.StringVar(&o.layout, "layout", layoutAuto, "packed, proposers-apart, process-per-role, shared-nic; auto: by the number of cores")
	f.StringVar(&o.batch, "batch", "instance", "instance: values of a burst share an instance; frame: one value an instance; off: and one message a frame")
	f.BoolVar(&o.multicast, "multicast", false, "send what is for several nodes once for each way to them, and let the switch make the copies")
	f.StringVar(&o.idle, "idle", "auto", "what an empty cycle does: spin, yield, backoff, block, auto")
	f.IntVar(&o.acceptors, "acceptors", 3, "number of acceptors")
	f.IntVar(&o.proposers, "proposers", 1, "number of proposers")
	f.IntVar(&o.learners, "learners", 1, "number of learners")
	f.IntVar(&o.groups, "groups", 1, "number of groups: each process runs all of them, each on a loop with a queue, a UDP port and a core of its own")
	f.Float64Var(&o.drop, "drop", 0, "rate of frames that the lab's switch drops, 0 to 1")
	f.Float64Var(&o.dup, "dup", 0, "rate of frames that the lab's switch sends twice, 0 to 1")
	f.DurationVar(&o.kill, "kill-leader-every", 0, "kill the leader's process with -9 this often, and start it again")
	f.DurationVar(&o.pause, "pause-leader-every", 0, "stop the leader's process for a while this often (SIGSTOP, SIGCONT)")
	o.timing.add(f)
	f.BoolVar(&o.floor, "floor", false, "first measure an echo of frames as long, over such ports, and hold the median latency against it")
	f.UintVar(&o.stages, "stages", 0, "follow one value in so many from role to role, and tell where its time goes; 0: none")
	f.BoolVar(&o.verbose, "verbose", false, "show what every process tells")
}

// check refuses what cannot be run, before anything is set up.
func (o *demoFlags) check() error {
	if err := o.loadFlags.check(); err != nil {
		return err
	}
	for _, n := range []struct {
		name       string
		have, most int
	}{{"acceptors", o.acceptors, cluster.MaxAcceptors}, {"proposers", o.proposers, cluster.MaxProposers}, {"learners", o.learners, 16}, {"groups", o.groups, netlab.MaxQueues}} {
		if n.have < 1 || n.have > n.most {
			return fmt.Errorf("--%s %d: want 1 to %d", n.name, n.have, n.most)
		}
	}
	if o.drop < 0 || o.drop >= 1 || o.dup < 0 || o.dup >= 1 || o.drop+o.dup > 1 {
		return fmt.Errorf("--drop %v --dup %v: want rates from 0 to below 1", o.drop, o.dup)
	}
	if o.timing.leaderTimeout <= 0 || o.timing.heartbeat <= 0 {
		return fmt.Errorf("--leader-timeout %v, --heartbeat %v: want positive times", o.timing.leaderTimeout, o.timing.heartbeat)
	}
	if err := checkNetwork(cmp.Or(o.transport, "afxdp"), o.link); err != nil {
		return err
	}
	if o.floor && o.layout == layoutSharedNIC {
		return fmt.Errorf("--floor: processes of --layout %s also talk through memory of the host, which is no such port: leave it out", o.layout)
	}
	if o.groups > 1 && o.strikes() {
		return fmt.Errorf("--groups %d: a process has the leaders of several groups, and --kill-leader-every and --pause-leader-every are about one: leave one out", o.groups)
	}
	if o.groups > 1 && o.floor {
		return fmt.Errorf("--groups %d: an echo between two loops is no floor under several groups: leave --floor out", o.groups)
	}
	if o.transport == "mem" && (o.drop > 0 || o.dup > 0) {
		return fmt.Errorf("--drop and --dup are the switch's, and memory has none: use --transport afxdp or udp")
	}
	return o.checkStrikes()
}

func (o *demoFlags) run(c *cobra.Command) error {
	if err := o.check(); err != nil {
		return err
	}
	o.cpu = bench.ReadCPUTimes()
	unsupported := netlab.Supported()
	transport := cluster.Transport(o.transport)
	if transport == "" {
		transport = cluster.TransportAFXDP
		switch {
		case unsupported != nil && o.strikes():
			transport = cluster.TransportUDP
			fmt.Printf("No AF_XDP here (%v): the same cluster runs over kernel UDP sockets.\n", unsupported)
		case unsupported != nil:
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
	p, err := o.planned(transport)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.measureFloor(ctx, p, unsupported == nil); err != nil {
		return err
	}
	if transport == cluster.TransportMem {
		return o.runMem(ctx, p)
	}
	return o.runProcesses(ctx, p, unsupported == nil)
}

// planned is the plan of the flags, with room for the values that they ask for.
func (o *demoFlags) planned(transport cluster.Transport) (*plan, error) {
	p, err := newPlan(o.planConfig(transport))
	if err == nil && o.size > paxos.MaxValue(node.MTU(p.file)) {
		p.file.MaxValue = int64(o.size)
	}
	return p, err
}

// planConfig is what the flags ask for.
func (o *demoFlags) planConfig(transport cluster.Transport) planConfig {
	return planConfig{
		acceptors: o.acceptors, proposers: o.proposers, learners: o.learners, groups: o.groups, layout: o.layout, transport: transport,
		link: cluster.Link(o.link), batch: cluster.Batch(o.batch), multicast: o.multicast, idle: cluster.Idle(o.idle), timing: o.timing,
	}
}

// opening says what is about to run.
func (o *demoFlags) opening(p *plan, where string) {
	o.shape(p, where)
	load := fmt.Sprintf("%d outstanding value(s) of %d bytes", o.outstanding, o.size)
	if o.open() {
		load = fmt.Sprintf("%.0f values/s of %d bytes due (%s), at most %d each in flight", o.rate, o.size, o.arrivals, o.outstanding)
	}
	fmt.Printf("%d client(s) with %s, for %v after %v to warm up.\n", o.clients, load, o.duration, o.warmup)
}

// shape says what runs where.
func (o *demoFlags) shape(p *plan, where string) {
	if o.groups > 1 {
		fmt.Printf("%d groups, each with ", o.groups)
	}
	fmt.Printf("%d proposer(s), %d acceptors, %d learner(s), 1 client over %s, layout %s, %s:\n  %s\n", o.proposers, o.acceptors, o.learners,
		p.file.Transport, p.layout, where, p.describe())
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
	r.verbose, r.output, r.stages = o.verbose, os.Stdout, o.stages
	defer func() { err = errors.Join(err, r.end()) }()
	began := dataplane.Now()
	if err := r.start(append(o.words(), "--linger")); err != nil {
		return err
	}
	if err := r.ready(ctx); err != nil {
		return unlessInterrupted(ctx, err)
	}
	if err := r.tellPorts(); err != nil {
		return unlessInterrupted(ctx, err)
	}
	f := newFailovers(r, began, o.window())
	results, err := r.await(ctx, o.strikesOf(f))
	if err != nil {
		return unlessInterrupted(ctx, err)
	}
	all, err := r.gather(ctx, results)
	if err != nil {
		return unlessInterrupted(ctx, err)
	}
	for _, in := range all.groups {
		in.drop, in.dup, in.failovers, in.restarts = o.drop, o.dup, f.list, f.restarts
	}
	return o.tell(&all)
}

// tellPorts says what each port got.
func (r *running) tellPorts() error {
	for _, c := range r.procs {
		each, err := askOne[*node.Status](r, c, "status")
		if err != nil {
			return err
		}
		for _, s := range each {
			group := ""
			if len(each) > 1 {
				group = fmt.Sprintf(", group %d", s.Group)
			}
			for _, line := range describe(s.Ports) {
				fmt.Printf("  %s%s: %s\n", c.name, group, line)
			}
		}
	}
	return nil
}

// measureFloor measures the echo, if that is wanted.
func (o *demoFlags) measureFloor(ctx context.Context, p *plan, lab bool) (err error) {
	if !o.floor {
		return nil
	}
	fmt.Printf("First an echo of such frames, for %v.\n", floorTime)
	c := echoTime(floorTime)
	c.Size, c.UnderWay = acceptBytes(o.size), min(o.clients*o.outstanding, bench.MaxUnderWay)
	o.echo, err = measureEcho(ctx, p, c, lab)
	return err
}

// tell reports, with a hint at what to try next.
func (o *demoFlags) tell(in *outcomes) error {
	in.began(o.cpu)
	report, err := in.report()
	if err != nil {
		return err
	}
	if o.echo != nil {
		report.Wire = bench.NewWire(in.groups[0].plan.portHops(), &o.echo.EchoResult, report.LatencyUs.P50)
	}
	if err := o.finish(report); err != nil {
		return err
	}
	fmt.Println("\n" + o.next(in.groups[0]))
	return nil
}

// next is one line on what to try next.
func (o *demoFlags) next(in *outcome) string {
	switch {
	case in.file.Transport == cluster.TransportMem:
		return "Next: as root, `wirepaxos demo` runs it over AF_XDP; `wirepaxos demo --transport udp` over kernel sockets."
	case in.file.Transport == cluster.TransportUDP:
		return "Next: `wirepaxos demo` with the same flags over AF_XDP, to compare."
	case o.strikes():
		return "Next: `wirepaxos bench failover` for a histogram of what a leader's death costs."
	case o.drop == 0:
		return "Next: `wirepaxos demo --outstanding 256` for throughput, `--transport udp` to compare, `--drop 0.05 --dup 0.05` for a bad network."
	}
	return "Next: `wirepaxos demo --layout process-per-role --acceptors 5 --learners 3`, every role a process of its own."
}
