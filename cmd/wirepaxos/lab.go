package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// labFlags say which lab, and what to build.
type labFlags struct {
	name                           string
	layout, transport, link, batch string
	multicast                      bool
	acceptors, proposers, learners int
	groups                         int
	drop, dup, late                float64
	delay                          time.Duration
}

func (o *labFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.name, "name", "lab", "name of the lab; labs of different names live side by side")
	f.StringVar(&o.layout, "layout", layoutProcessPerRole, "packed, proposers-apart, process-per-role, shared-nic; auto: by the number of cores")
	f.StringVar(&o.transport, "transport", "afxdp", "afxdp or udp")
	f.StringVar(&o.link, "link", "ethernet", "link layer under AF_XDP: ethernet or udp4")
	f.StringVar(&o.batch, "batch", "instance", "instance, frame or off")
	f.BoolVar(&o.multicast, "multicast", false, "send what is for several nodes once for each way to them, and let the switch make the copies")
	f.IntVar(&o.acceptors, "acceptors", 3, "number of acceptors")
	f.IntVar(&o.proposers, "proposers", 1, "number of proposers")
	f.IntVar(&o.learners, "learners", 1, "number of learners")
	f.IntVar(&o.groups, "groups", 1, "number of groups: each process runs all of them, each on a loop and, over AF_XDP, a queue of its own")
	f.Float64Var(&o.drop, "drop", 0, "rate of frames that the switch drops, 0 to 1")
	f.Float64Var(&o.dup, "dup", 0, "rate of frames that the switch sends twice")
	f.Float64Var(&o.late, "late", 0, "rate of frames that the switch holds back for --delay")
	f.DurationVar(&o.delay, "delay", time.Millisecond, "how long --late frames are held back")
}

func (o *labFlags) faults() (netlab.Faults, error) {
	for _, rate := range []float64{o.drop, o.dup, o.late} {
		if rate < 0 || rate >= 1 {
			return netlab.Faults{}, fmt.Errorf("--drop, --dup and --late are rates from 0 to below 1")
		}
	}
	f := netlab.Faults{DropPPM: uint32(o.drop * 1e6), DuplicatePPM: uint32(o.dup * 1e6), DelayPPM: uint32(o.late * 1e6)}
	if f.DelayPPM > 0 {
		f.Delay = o.delay
	}
	return f, nil
}

func newLab() *cobra.Command {
	c := &cobra.Command{
		Use:   "lab",
		Short: "A network of veth pairs on this machine, and a cluster in it",
		Long: `A lab is a network namespace for each host and one for the switch, joined by veth pairs; the switch forwards by MAC address in XDP and can drop,
duplicate and delay frames. Nothing in it touches the machine's own interfaces. It needs root.

  lab up       build one and leave it; it says where the cluster file is and how to start each role
  lab run      start the servers of the cluster in it, until Ctrl-C; builds the lab if there is none, and removes it then
  lab exec     run a command on one of its hosts: a client, say
  lab status   tell of all labs
  lab down     end what runs in one and remove it`,
	}
	c.AddCommand(newLabUp(), newLabRun(), newLabExec(), newLabStatus(), newLabDown(), newLabServe())
	return c
}

// labDir is where the cluster file, the state and the control sockets of a lab are.
func labDir(name string) string { return filepath.Join("/run/wirepaxos/cluster", name) }

// raise builds the network of a plan and writes the cluster file beside it. The caller owns the lab.
func (o *labFlags) raise(ctx context.Context) (*netlab.Lab, error) {
	faults, err := o.faults()
	if err != nil {
		return nil, err
	}
	if o.groups < 1 || o.groups > netlab.MaxQueues {
		return nil, fmt.Errorf("--groups %d: want 1 to %d", o.groups, netlab.MaxQueues)
	}
	p, err := newPlan(planConfig{
		groups: o.groups, acceptors: o.acceptors, proposers: o.proposers, learners: o.learners, layout: o.layout, transport: cluster.Transport(o.transport),
		link: cluster.Link(o.link), batch: cluster.Batch(o.batch), multicast: o.multicast, idle: cluster.IdleAuto, clientApart: true,
	})
	if err != nil {
		return nil, err
	}
	if p.file.Transport == cluster.TransportMem {
		return nil, fmt.Errorf("--transport mem needs no lab: use afxdp or udp")
	}
	lab, err := netlab.Up(ctx, netlab.Spec{Name: o.name, Hosts: p.hosts, Faults: faults, ForceSwitch: true})
	if err != nil {
		return nil, err
	}
	if err := p.address(lab.Hosts()); err != nil {
		return nil, errors.Join(err, lab.Down())
	}
	dir := labDir(o.name)
	err = errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, "state"), 0o700))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "cluster.toml"), p.file.Encode(), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, lab.Down())
	}
	return lab, nil
}

func newLabUp() *cobra.Command {
	var o labFlags
	c := &cobra.Command{
		Use:   "up",
		Short: "Build a lab and leave it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			lab, err := o.raise(c.Context())
			if err != nil {
				return err
			}
			if err := lab.Detach(); err != nil {
				return errors.Join(err, lab.Down())
			}
			if o.late > 0 {
				if err := serveBehind(o.name); err != nil {
					return errors.Join(err, lab.Down())
				}
			}
			o.explain(lab)
			return lab.Close()
		},
	}
	o.add(c.Flags())
	return c
}

// serveBehind leaves a process behind that delays frames, until the lab is taken down.
func serveBehind(name string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "lab", "serve", "--name", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the process that delays frames: %w", err)
	}
	return cmd.Process.Release()
}

// explain says what there is and how to go on.
func (o *labFlags) explain(lab *netlab.Lab) {
	fmt.Printf("lab %s is up:\n", o.name)
	for _, h := range lab.Hosts() {
		fmt.Printf("  host %-4s  namespace %s  %s  %v  %v\n", h.Name, h.Namespace, h.Interface, h.MAC, h.IP)
	}
	fmt.Printf("cluster file: %s\n", filepath.Join(labDir(o.name), "cluster.toml"))
	fmt.Printf("Start the servers: wirepaxos lab run --name %s\n", o.name)
	fmt.Printf("Or one by one, say: wirepaxos lab exec --name %s h1 -- wirepaxos acceptor --config %s/cluster.toml --id 1 --state-dir %s/state\n",
		o.name, labDir(o.name), labDir(o.name))
	fmt.Printf("Remove it: wirepaxos lab down --name %s\n", o.name)
}

func newLabRun() *cobra.Command {
	var o labFlags
	var duration time.Duration
	var verbose bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the servers of a cluster in a lab, until Ctrl-C",
		Long: `Starts a process for each endpoint of the lab's cluster file, but for the client's, and prints every other second who leads and how far the learners
are. If there is no lab of that name, one is built from the flags, and removed at the end.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if duration > 0 {
				bounded, cancel := context.WithTimeout(ctx, duration)
				defer cancel()
				ctx = bounded
			}
			return o.run(ctx, verbose)
		},
	}
	o.add(c.Flags())
	c.Flags().DurationVar(&duration, "duration", 0, "end after this time; 0: at Ctrl-C")
	c.Flags().BoolVar(&verbose, "verbose", false, "show what every process tells")
	return c
}

func (o *labFlags) run(ctx context.Context, verbose bool) (err error) {
	lab, err := netlab.Open(o.name)
	if errors.Is(err, netlab.ErrNotFound) {
		lab, err = o.raise(context.WithoutCancel(ctx))
		if err == nil {
			defer func() { err = errors.Join(err, sweep(o.name)) }()
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	f, _, err := cluster.Load(filepath.Join(labDir(o.name), "cluster.toml"))
	if err != nil {
		return err
	}
	r := &running{plan: planOf(f), lab: lab, verbose: verbose, place: labDir(o.name)}
	if r.self, err = os.Executable(); err != nil {
		return err
	}
	if err := r.start(nil); err != nil {
		return err
	}
	if err := r.ready(ctx); err != nil {
		return err
	}
	for _, c := range f.Clients() {
		e, err := f.EndpointOf(c.ID)
		if err != nil {
			return err
		}
		fmt.Printf("The servers run. A client: wirepaxos lab exec --name %s %s -- wirepaxos client --config %s --id %d\n", o.name, e.Host, r.config(), c.ID)
	}
	return r.watch(ctx)
}

// planOf is the plan that a lab's cluster file was written from, as far as it takes to start its processes.
func planOf(f *cluster.File) *plan {
	p := &plan{file: f}
	for i, e := range f.Endpoints() {
		q := proc{host: i, queue: e.Queue, core: e.Core}
		for _, n := range e.Nodes {
			q.nodes = append(q.nodes, n.ID)
			if n.Roles.Has(cluster.Client) {
				p.client = n.ID
			}
		}
		p.procs = append(p.procs, q)
		p.hosts = append(p.hosts, netlab.HostSpec{Name: e.Host})
	}
	return p
}

// watch prints how the servers do until ctx ends or one of them does.
func (r *running) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
		all, err := r.statuses()
		if err != nil && ctx.Err() == nil {
			return failed("%w", err)
		}
		var line []string
		for _, s := range all {
			group := ""
			if len(r.plan.file.Groups) > 0 {
				group = fmt.Sprintf("group %d: ", s.Group)
			}
			for _, p := range s.Proposers {
				if p.Leads {
					line = append(line, fmt.Sprintf("%sproposer %d leads by ballot %s", group, p.ID, p.Ballot))
				}
			}
			for _, l := range s.Learners {
				line = append(line, fmt.Sprintf("%slearner %d: %d values, instance %d", group, l.ID, l.Delivered, l.Watermark))
			}
			for _, t := range s.Trouble {
				line = append(line, group+t)
			}
		}
		fmt.Println(strings.Join(line, "; "))
	}
}
