package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// failoverFlags are the flags of bench failover.
type failoverFlags struct {
	demo  demoFlags // the cluster and its load
	kills int
	cpu   bench.CPUTimes
}

// The measurement: how long after a kill an outage begins, and how long values go on undisturbed before the next.
const (
	outageWindow = time.Second
	calmLeast    = 200 * time.Millisecond
	calmMost     = 400 * time.Millisecond // drawn, so that kills do not keep step with the timers
	maxKills     = 10_000
)

// benchLeaderTimeout is what the bench takes where the flag does not say: short enough for values to go on within 10 ms, and long enough for a machine
// whose loops share cores not to take a leader for gone that only waits for one.
const benchLeaderTimeout = 6 * time.Millisecond

func newBenchFailover() *cobra.Command {
	var o failoverFlags
	c := &cobra.Command{
		Use:   "failover",
		Short: "Kill the leader with -9 again and again: how long until values go on",
		Long: `Runs proposers, acceptors, learners and a client under load, each proposer a process of its own. It kills the process of the proposer that leads
with -9, waits until values go on, starts it again, waits until it follows the new leader, and so on --kills times.

It tells, from just before the signal on: when another proposer leads; when the client has its first answer from then on, which is the next
delivered value and in the histogram; and the end of the longest time without an answer that begins within a second, whatever its cause. Values that
were chosen already are still answered for a moment after the kill, and end none of these; in the JSON, first_ms has the first of them.

It ends with the histogram and the check of the demo: nothing lost, doubled or reordered. Exit status 0 only if that holds.`,
		Example: `  wirepaxos bench failover
  wirepaxos bench failover --transport udp --leader-timeout 50ms --json failover.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.add(c.Flags())
	return c
}

func (o *failoverFlags) add(f *pflag.FlagSet) {
	d := &o.demo
	d.flags = f
	f.IntVar(&o.kills, "kills", 30, "how often the leader is killed")
	f.StringVar(&d.transport, "transport", "afxdp", "afxdp or udp")
	f.StringVar(&d.link, "link", "ethernet", "link layer under AF_XDP: ethernet or udp4")
	f.StringVar(&d.layout, "layout", layoutProposersApart, "proposers-apart or process-per-role")
	f.BoolVar(&d.multicast, "multicast", false, "send what is for several nodes once for each way to them, and let the switch make the copies")
	f.StringVar(&d.batch, "batch", "instance", "instance: values of a burst share an instance; frame: one value an instance; off: and one message a frame")
	f.StringVar(&d.idle, "idle", "auto", "what an empty cycle does: spin, yield, backoff, block, auto")
	f.IntVar(&d.acceptors, "acceptors", 3, "number of acceptors")
	f.IntVar(&d.proposers, "proposers", 3, "number of proposers, at least 2")
	f.IntVar(&d.learners, "learners", 1, "number of learners")
	f.IntVarP(&d.size, "size", "v", 64, "bytes of a value, 1 to what fits a frame")
	f.IntVarP(&d.outstanding, "outstanding", "o", 8, "values in flight at once, of each client")
	f.IntVarP(&d.clients, "clients", "n", 1, "clients, each a session of its own")
	f.StringVar(&d.json, "json", "", "write the result to this file, as one JSON object")
	f.StringVar(&d.hgrm, "hgrm", "", "write the histogram of the times to the next delivered value to this file, in HdrHistogram's percentile format")
	d.timing.leaderTimeout = benchLeaderTimeout
	d.timing.add(f)
	f.BoolVar(&d.verbose, "verbose", false, "show what every process tells")
}

// check refuses what cannot be measured.
func (o *failoverFlags) check() error {
	d := &o.demo
	d.duration = 24 * time.Hour // the load is told when the last kill was
	d.groups = 1
	switch {
	case o.kills < 1 || o.kills > maxKills:
		return fmt.Errorf("--kills %d: want 1 to %d", o.kills, maxKills)
	case d.proposers < 2:
		return fmt.Errorf("--proposers %d: nobody is left to take over: use --proposers 3", d.proposers)
	case d.transport == "mem":
		return fmt.Errorf("--transport mem is one process, and no proposer's own: use --transport afxdp or udp")
	case d.layout != layoutProposersApart && d.layout != layoutProcessPerRole:
		return fmt.Errorf("--layout %s: each proposer must be a process of its own on a host of its own: %s or %s", d.layout, layoutProposersApart,
			layoutProcessPerRole)
	case d.timing.of().LeaderTimeout > outageWindow/2:
		return fmt.Errorf("--leader-timeout %v: an outage must begin within %v of the kill: use %v at most", d.timing.of().LeaderTimeout, outageWindow,
			outageWindow/2)
	}
	return d.check()
}

func (o *failoverFlags) run(c *cobra.Command) error {
	d := &o.demo
	if err := o.check(); err != nil {
		return err
	}
	unsupported := netlab.Supported()
	if d.transport == "afxdp" && unsupported != nil {
		return fmt.Errorf("--transport afxdp: %w; --transport udp needs no privileges", unsupported)
	}
	p, err := newPlan(d.planConfig(cluster.Transport(d.transport)))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	where := "a lab of network namespaces"
	if unsupported != nil {
		where = "on 127.0.0.1, without a lab"
	}
	d.shape(p, where)
	t := &p.file.Timing
	fmt.Printf("%d client(s) with %d outstanding value(s) of %d bytes; heartbeat %v, leader timeout %v, client retry %v; the leader is killed %d times.\n",
		d.clients, d.outstanding, d.size, t.Heartbeat, t.LeaderTimeout, t.ClientRetry, o.kills)
	in, err := o.perform(ctx, p, unsupported == nil, func(n int, e *bench.Failover) {
		fmt.Printf("%4d of %d %s\n", n, o.kills, sentence(e))
	})
	if err != nil {
		return err
	}
	return o.tell(in)
}

// perform runs the cluster and kills its leaders, in a lab or on the loopback address. It tells each failover.
func (o *failoverFlags) perform(ctx context.Context, p *plan, lab bool, tell func(n int, e *bench.Failover)) (in *outcome, err error) {
	loopback := uint16(0)
	if !lab {
		if loopback, err = loopbackPorts(len(p.procs), 0); err != nil {
			return nil, err
		}
	}
	o.cpu = bench.ReadCPUTimes()
	r, err := build(ctx, p, fmt.Sprintf("bench%d", os.Getpid()), netlab.Faults{}, loopback)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	r.verbose = o.demo.verbose
	if err := r.start(append(o.demo.words(), "--linger")); err != nil {
		return nil, err
	}
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	return o.measure(ctx, r, tell)
}

// measure kills leaders, ends the load and collects what everyone counted.
func (o *failoverFlags) measure(ctx context.Context, r *running, tell func(n int, e *bench.Failover)) (*outcome, error) {
	f := newFailovers(r, dataplane.Now(), outageWindow)
	for n := range o.kills {
		calm := calmLeast + rand.N(calmMost-calmLeast)
		select {
		case <-ctx.Done():
			return nil, failed("interrupted")
		case <-time.After(calm):
		}
		e, err := f.strike(ctx, true)
		if err != nil {
			return nil, err
		}
		tell(n+1, e)
	}
	var stopped bool
	if err := node.Ask(f.client.socket, "stop", &stopped); err != nil {
		return nil, err
	}
	results, err := r.await(ctx, nil)
	if err != nil {
		return nil, err
	}
	all, err := r.gather(ctx, results)
	if err != nil {
		return nil, err
	}
	in := all.groups[0]
	in.cpu, in.failovers, in.restarts = o.cpu, f.list, f.restarts
	return in, nil
}

// tell prints the report, and writes the files that were asked for. The error says if the check did not hold.
func (o *failoverFlags) tell(in *outcome) error {
	r, err := in.report()
	if err != nil {
		return err
	}
	fmt.Println()
	if err := r.FailoverText(os.Stdout); err != nil {
		return err
	}
	tellCheck(r)
	if path := o.demo.hgrm; path != "" {
		if err := r.WriteFailoverHgrm(path); err != nil {
			return err
		}
	}
	if path := o.demo.json; path != "" {
		if err := r.WriteJSON(path); err != nil {
			return err
		}
	}
	return holds(r)
}
