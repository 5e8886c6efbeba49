package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// echoFlags are the flags of bench echo.
type echoFlags struct {
	transport, link, layout, idle string
	size, underWay                int
	duration                      time.Duration
	json                          string
}

func newBenchEcho() *cobra.Command {
	var o echoFlags
	c := &cobra.Command{
		Use:   "echo",
		Short: "The floor under every latency: frames that go to another loop and come back, with no protocol",
		Long: `Two loops, pinned as those of the demo, over the same kind of ports in a network like its own: one sends frames as long as an Accept of one value
of --size bytes, the other sends each back. First one frame is under way, which gives the time of a hop: half a round trip, from the cycle that
sent it to the one that got it back. Then --under-way of them, which gives the frames a second that come back.

The demo measures it before its run with --floor, and holds its median latency against it.`,
		Example: `  wirepaxos bench echo
  wirepaxos bench echo --transport udp --under-way 256 --json echo.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	f := c.Flags()
	f.StringVar(&o.transport, "transport", "afxdp", "afxdp, udp or mem")
	f.StringVar(&o.link, "link", "ethernet", "link layer under AF_XDP: ethernet or udp4")
	f.StringVar(&o.layout, "layout", layoutPacked, "packed, proposers-apart or process-per-role: how many hosts the network has")
	f.StringVar(&o.idle, "idle", "auto", "what an empty cycle does: spin, yield, backoff, block, auto")
	f.IntVarP(&o.size, "size", "v", 64, "bytes of the value in the Accept")
	f.IntVar(&o.underWay, "under-way", 64, "frames under way at once in the second part")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "how long to measure, both parts together")
	f.StringVar(&o.json, "json", "", "write the result to this file, as one JSON object")
	return c
}

// plan is the cluster whose ports the echo uses.
func (o *echoFlags) plan() (*plan, error) {
	switch {
	case o.size < 1 || o.size > paxos.MaxValueBytes:
		return nil, fmt.Errorf("--size %d: want 1 to %d", o.size, paxos.MaxValueBytes)
	case o.underWay < 1 || o.underWay > bench.MaxUnderWay:
		return nil, fmt.Errorf("--under-way %d: want 1 to %d", o.underWay, bench.MaxUnderWay)
	case o.duration < 10*time.Millisecond:
		return nil, fmt.Errorf("--duration %v: want at least 10ms", o.duration)
	case o.layout == layoutSharedNIC:
		return nil, fmt.Errorf("--layout %s: its processes talk through memory of the host as well: use --transport mem, or another layout", o.layout)
	}
	if err := checkNetwork(o.transport, o.link); err != nil {
		return nil, err
	}
	if _, err := dataplane.ParseIdle(o.idle); err != nil && o.idle != string(cluster.IdleAuto) {
		return nil, fmt.Errorf("--idle %s: %w, or auto", o.idle, err)
	}
	p, err := newPlan(planConfig{
		acceptors: 3, proposers: 1, learners: 1, layout: o.layout, transport: cluster.Transport(o.transport), link: cluster.Link(o.link),
		batch: cluster.BatchInstance, idle: cluster.Idle(o.idle),
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (o *echoFlags) run(ctx context.Context) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	unsupported := netlab.Supported()
	if o.transport == "afxdp" && unsupported != nil {
		return fmt.Errorf("--transport afxdp: %w; --transport udp and mem need no privileges", unsupported)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := echoTime(o.duration)
	c.Size, c.UnderWay = acceptBytes(o.size), o.underWay
	fmt.Printf("An echo over %s, for %v: cores %d and %d, idle %s (cores -1: wherever the kernel puts it).\n", o.transport, o.duration, p.procs[0].core,
		p.procs[len(p.procs)-1].core, o.idle)
	e, err := measureEcho(ctx, p, c, unsupported == nil)
	if err != nil {
		return err
	}
	mode := o.transport
	if e.Mode != "" {
		mode += " (" + e.Mode + " mode)"
	}
	fmt.Printf("%s, frames of %d bytes\n", mode, e.Size)
	fmt.Printf("round trip  p50 %.2f µs, p99 %.2f µs, min %.2f µs, of %d\n", e.RoundUs.P50, e.RoundUs.P99, e.RoundUs.Min, e.Rounds)
	fmt.Printf("hop         %.2f µs, half of the median\n", e.RoundUs.P50/2)
	fmt.Printf("echo        %.0f frames/s with %d under way, %d lost\n", e.PerS, e.UnderWay, e.Lost)
	if o.json != "" {
		return bench.WriteJSON(o.json, e)
	}
	return nil
}

// checkNetwork refuses transports and link layers that there are not.
func checkNetwork(transport, link string) error {
	switch transport {
	case "afxdp", "udp", "mem":
	default:
		return fmt.Errorf("--transport %s does not exist: afxdp, udp or mem", transport)
	}
	switch link {
	case "ethernet", "udp4":
		return nil
	}
	return fmt.Errorf("--link %s does not exist: ethernet or udp4", link)
}
