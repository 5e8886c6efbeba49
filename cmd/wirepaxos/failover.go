package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// timingFlags are the timers that failing over depends on; 0: the cluster file's own defaults.
type timingFlags struct{ leaderTimeout, heartbeat time.Duration }

// add makes the flags; what is set already is their default.
func (t *timingFlags) add(flags *pflag.FlagSet) {
	file := cluster.New().Timing
	t.apply(&file)
	flags.DurationVar(&t.leaderTimeout, "leader-timeout", file.LeaderTimeout, "silence after which a leader is taken for gone")
	flags.DurationVar(&t.heartbeat, "heartbeat", file.Heartbeat, "how often a leader tells that it lives")
}

func (t *timingFlags) apply(to *cluster.Timing) {
	if t.leaderTimeout != 0 {
		to.LeaderTimeout = t.leaderTimeout
	}
	if t.heartbeat != 0 {
		to.Heartbeat = t.heartbeat
	}
}

// failovers takes the leader away from a running cluster, again and again, and keeps what became of it.
type failovers struct {
	r        *running
	client   *child
	window   time.Duration // in which an outage begins: behind each death
	began    int64
	list     []bench.Failover
	restarts int
}

// What the life of a leader may take on a machine that is shared and slow.
const (
	failoverBound = 20 * time.Second // until values go on, until all follow one leader
	failoverPause = 10 * time.Millisecond
)

// newFailovers takes leaders away from a cluster whose processes were started at began, and run.
func newFailovers(r *running, began int64, window time.Duration) *failovers {
	f := &failovers{r: r, window: window, began: began}
	for _, c := range r.procs {
		if c.args[0] == "client" {
			f.client = c
		}
	}
	return f
}

// strike kills the leader's process with -9, or stops it for the window. It ends when values go on, a killed one runs again, and every proposer
// follows one leader. It answers nil without an error where the load ended first.
func (f *failovers) strike(ctx context.Context, kill bool) (*bench.Failover, error) {
	led, was, err := f.steady(ctx)
	if err != nil {
		return nil, err
	}
	e := bench.Failover{How: "paused", Node: uint16(was.ID), Ballot: was.Ballot}
	signal := syscall.SIGSTOP
	if kill {
		e.How, signal = "killed", syscall.SIGKILL
	}
	at := dataplane.Now() // CLOCK_MONOTONIC, as the client's process reads it
	led.signal(signal)
	if kill {
		<-led.done
	}
	e.AtS = float64(at-f.began) / 1e9
	stalls, err := f.watch(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("after proposer %d was %s: %w", e.Node, e.How, err)
	}
	if kill {
		if err := f.r.launch(led); err != nil {
			return nil, err
		}
	} else {
		led.signal(syscall.SIGCONT)
	}
	_, next, err := f.steady(ctx)
	if err != nil || stalls == nil {
		return nil, err
	}
	e.Next, e.NextBy = uint16(next.ID), next.Ballot
	if err := f.time(&e, at, stalls); err != nil {
		return nil, err
	}
	if f.list = append(f.list, e); kill {
		f.restarts++
	}
	return &e, nil
}

// watch waits until values go on behind the window, and answers nil if the load is over before.
func (f *failovers) watch(ctx context.Context, at int64) (*bench.StallReport, error) {
	wait := f.window + time.Millisecond
	for {
		select {
		case <-ctx.Done():
			return nil, failed("interrupted")
		case <-time.After(wait):
		}
		finished, stalls := false, &bench.StallReport{}
		if err := node.Ask(f.client.socket, "stalls", stalls); err != nil {
			return nil, err
		}
		if _, over := stalls.Outage(at, int64(f.window)); over {
			return stalls, nil
		}
		if err := node.Ask(f.client.socket, "finished", &finished); err != nil || finished {
			return nil, err
		}
		if time.Duration(dataplane.Now()-at) > f.window+failoverBound {
			return nil, failed("no value was delivered for %v:\n%s", failoverBound, f.r.troubles())
		}
		wait = failoverPause
	}
}

// time fills in the times of a failover. A proposer that was paused for too short a time to be missed leads on: then the times are to the next answer.
func (f *failovers) time(e *bench.Failover, at int64, stalls *bench.StallReport) error {
	leads, err := f.tookOver(e.Node, at)
	if err != nil {
		return err
	}
	since := func(to int64) float64 { return max(0, float64(to-at)/1e6) }
	outage, _ := stalls.Outage(at, int64(f.window))
	e.FirstMs, e.LeadsMs, e.ValueMs = since(stalls.Next(at)), since(leads), since(stalls.Next(leads))
	e.OutageMs = float64(outage) / 1e6
	return nil
}

// tookOver is when the first of the other proposers led that did so after a time; that time if none did.
func (f *failovers) tookOver(from uint16, at int64) (int64, error) {
	first := never
	err := f.proposers(func(_ *child, p *node.ProposerStatus) {
		for _, l := range p.Changes {
			if uint16(p.ID) != from && l.Leader == p.ID && l.SinceNs > at {
				first = min(first, l.SinceNs)
			}
		}
	})
	if first == never {
		first = at
	}
	return first, err
}

const never int64 = 1<<63 - 1

// proposers looks at every proposer. The error is of a process that does not answer.
func (f *failovers) proposers(look func(c *child, p *node.ProposerStatus)) error {
	for _, c := range f.r.procs {
		if f.r.plan.file.Nodes[c.nodes[0]-1].Roles&cluster.Proposer == 0 {
			continue
		}
		s := &node.Status{}
		if err := node.Ask(c.socket, "status", s); err != nil {
			return err
		}
		for i := range s.Proposers {
			look(c, &s.Proposers[i])
		}
	}
	return nil
}

// steady waits until one proposer leads and all others follow it.
func (f *failovers) steady(ctx context.Context) (*child, *node.ProposerStatus, error) {
	for bound := time.Now().Add(failoverBound); ; {
		led, by := f.leader()
		if led != nil {
			return led, by, nil
		}
		for _, c := range f.r.procs {
			if c.ended() {
				return nil, nil, c.failure()
			}
		}
		if time.Now().After(bound) {
			return nil, nil, failed("the proposers do not agree on a leader within %v:\n%s", failoverBound, f.r.troubles())
		}
		select {
		case <-ctx.Done():
			return nil, nil, failed("interrupted")
		case <-time.After(failoverPause):
		}
	}
}

// leader is the process whose proposer leads, if every other proposer says so too. One that starts does not answer yet.
func (f *failovers) leader() (led *child, by *node.ProposerStatus) {
	follows := map[paxos.NodeID]int{}
	all := 0
	err := f.proposers(func(c *child, p *node.ProposerStatus) {
		all++
		follows[p.Leader]++
		if p.Leads {
			led, by = c, p
		}
	})
	if err != nil || led == nil || follows[by.ID] != all {
		return nil, nil
	}
	return led, by
}

// troubles is what the processes say about why nothing moves.
func (r *running) troubles() string {
	var b strings.Builder
	for _, c := range r.procs {
		s := &node.Status{}
		if err := node.Ask(c.socket, "status", s); err != nil {
			fmt.Fprintf(&b, "  %s: %v\n", c.name, err)
			continue
		}
		for _, p := range s.Proposers {
			fmt.Fprintf(&b, "  %s: leads %v, leader %d, ballot %s\n", c.name, p.Leads, p.Leader, p.Ballot)
		}
		for _, t := range s.Trouble {
			fmt.Fprintf(&b, "  %s: %s\n", c.name, t)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// sentence tells a failover in one line.
func sentence(e *bench.Failover) string {
	return fmt.Sprintf("%7.2f s  %s proposer %d, which led by ballot %s; proposer %d leads by %s, values went on after %.1f ms",
		e.AtS, e.How, e.Node, e.Ballot, e.Next, e.NextBy, e.ValueMs)
}
