package main

import (
	"context"
	"slices"
	"time"

	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// await waits until the client has finished in all groups, and disturbs the cluster meanwhile. What is not disturbed, has its costs taken. The results
// are those of the groups.
func (r *running) await(ctx context.Context, disturb func(context.Context) error) (results []bench.ClientResult, err error) {
	if disturb == nil {
		if r.costs, err = r.meter().measure(ctx); err != nil {
			return nil, err
		}
	}
	for {
		if disturb != nil {
			if err := disturb(ctx); err != nil {
				return nil, err
			}
		}
		for _, c := range r.procs {
			if c.ended() {
				return nil, c.failure()
			}
			if c.args[0] != "client" {
				continue
			}
			over, err := node.AskAll[bool](c.socket, "finished")
			if err == nil && !slices.Contains(over, false) {
				return node.AskAll[bench.ClientResult](c.socket, "result")
			}
		}
		select {
		case <-ctx.Done():
			return nil, failed("interrupted")
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
					var each []bench.Phase
					if each, err = askOne[bench.Phase](r, c, "phase"); err == nil {
						p = joinPhases(each)
					}
				}
			}
			return p, err
		},
		usages: func() ([]*node.Usage, error) { return askEach[*node.Usage](r, "usage") },
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

// joinPhases is the phase of the loads of all groups together: the measurement is where all measure.
func joinPhases(each []bench.Phase) bench.Phase {
	p := each[0]
	for _, q := range each[1:] {
		p.Begun, p.Stopped, p.Finished = p.Begun && q.Begun, p.Stopped || q.Stopped, p.Finished && q.Finished
		p.From = max(p.From, q.From)
		if p.End = min(p.End, q.End); p.From > p.End && p.End > 0 {
			p.End = p.From
		}
	}
	return p
}

// ask asks a process that should run.
func (r *running) ask(c *child, request string, reply any) error {
	err := node.Ask(c.socket, request, reply)
	if err != nil && c.ended() {
		return c.failure()
	}
	return err
}

// askOne asks a process that should run, and returns what each of its groups answers.
func askOne[T any](r *running, c *child, request string) ([]T, error) {
	each, err := node.AskAll[T](c.socket, request)
	if err != nil && c.ended() {
		return nil, c.failure()
	}
	return each, err
}

// askEach asks all processes so.
func askEach[T any](r *running, request string) (all []T, err error) {
	for _, c := range r.procs {
		each, err := askOne[T](r, c, request)
		if err != nil {
			return nil, err
		}
		all = append(all, each...)
	}
	return all, nil
}

// to is a request to one group of the processes, which have several or not.
func (r *running) to(request string, f *cluster.File) string {
	if len(r.plan.file.Groups) == 0 {
		return request
	}
	return node.ForGroup(request, f.Group)
}

// settleBound is how long learners get to reach the high watermark once the load has ended.
const (
	settleBound = 15 * time.Second
	settlePause = 50 * time.Millisecond
)

// gather waits for the learners, and collects what everyone counted, for each group.
func (r *running) gather(ctx context.Context, results []bench.ClientResult) (outcomes, error) {
	all, err := r.settle(ctx)
	if err != nil {
		return outcomes{}, err
	}
	o := outcomes{costs: r.costs}
	for i, f := range r.plan.file.Split() {
		in := &outcome{
			file: f, layout: r.plan.layout, plan: r.plan, results: results[i : i+1], tallies: map[paxos.NodeID]bench.TallyReport{},
			statuses: slices.DeleteFunc(slices.Clone(all), func(s *node.Status) bool { return s.Group != f.Group }),
		}
		if in.stages, err = r.gatherStages(f); err != nil {
			return outcomes{}, err
		}
		for _, c := range r.procs {
			var reports map[paxos.NodeID]bench.TallyReport
			if err := r.ask(c, r.to("tally", f), &reports); err != nil {
				return outcomes{}, err
			}
			for id, t := range reports {
				in.tallies[id] = t
			}
		}
		o.groups = append(o.groups, in)
	}
	return o, nil
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

// settled tells whether every learner has delivered all that any of its group knows of.
func settled(all []*node.Status) bool {
	high := map[uint16]paxos.Instance{}
	for _, s := range all {
		for _, p := range s.Proposers {
			if p.Leads {
				high[s.Group] = max(high[s.Group], p.Next)
			}
		}
		for _, l := range s.Learners {
			high[s.Group] = max(high[s.Group], l.High)
		}
	}
	for _, s := range all {
		for _, l := range s.Learners {
			if l.Watermark < high[s.Group] {
				return false
			}
		}
	}
	return true
}
