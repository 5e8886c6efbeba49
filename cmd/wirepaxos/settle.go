package main

import (
	"context"
	"time"

	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/node"
)

// await waits until the client has finished, and disturbs the cluster meanwhile. What is not disturbed, has its costs taken.
func (r *running) await(ctx context.Context, disturb func(context.Context) error) (result bench.ClientResult, err error) {
	if disturb == nil {
		if r.costs, err = r.meter().measure(ctx); err != nil {
			return result, err
		}
	}
	for {
		if disturb != nil {
			if err := disturb(ctx); err != nil {
				return bench.ClientResult{}, err
			}
		}
		for _, c := range r.procs {
			if c.ended() {
				return bench.ClientResult{}, c.failure()
			}
			if c.args[0] != "client" {
				continue
			}
			over := false
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

// meter takes the costs of the run.
func (r *running) meter() *costMeter {
	return &costMeter{
		phase: func() (p bench.Phase, err error) {
			for _, c := range r.procs {
				if c.args[0] == "client" {
					err = r.ask(c, "phase", &p)
				}
			}
			return p, err
		},
		usages: func() (all []*node.Usage, err error) {
			for _, c := range r.procs {
				u := &node.Usage{}
				if err := r.ask(c, "usage", u); err != nil {
					return nil, err
				}
				all = append(all, u)
			}
			return all, nil
		},
		watch: func(ctx context.Context) error {
			for _, c := range r.procs {
				if c.ended() {
					return c.failure()
				}
			}
			if ctx.Err() != nil {
				return failed("interrupted")
			}
			return nil
		},
	}
}

// ask asks a process that should run.
func (r *running) ask(c *child, request string, reply any) error {
	err := node.Ask(c.socket, request, reply)
	if err != nil && c.ended() {
		return c.failure()
	}
	return err
}

// settleBound is how long learners get to reach the high watermark once the load has ended.
const (
	settleBound = 15 * time.Second
	settlePause = 50 * time.Millisecond
)

// gather waits for the learners, and collects what everyone counted.
func (r *running) gather(ctx context.Context, result bench.ClientResult) (*outcome, error) {
	all, err := r.settle(ctx)
	if err != nil {
		return nil, err
	}
	in := &outcome{
		file: r.plan.file, layout: r.plan.layout, plan: r.plan, results: []bench.ClientResult{result}, statuses: all,
		costs: r.costs, tallies: map[paxos.NodeID]bench.TallyReport{},
	}
	if in.stages, err = r.gatherStages(); err != nil {
		return nil, err
	}
	for _, c := range r.procs {
		var reports map[paxos.NodeID]bench.TallyReport
		if err := node.Ask(c.socket, "tally", &reports); err != nil {
			return nil, err
		}
		for id, t := range reports {
			in.tallies[id] = t
		}
	}
	return in, nil
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
