package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"wirepaxos/bench"
)

// run waits for a leader, loads it, and puts together what the nodes tell.
func (c *cluster) run(ctx context.Context, cfg *runConfig) (*bench.Run, error) {
	before, err := c.steady(ctx)
	if err != nil {
		return nil, err
	}
	leader := c.nodes[before.Leader-1]
	if err := leader.tell(&command{Do: "load", Load: &cfg.loadConfig}); err != nil {
		return nil, err
	}
	begin, err := c.usages(ctx, leader, "begin", cfg.Warmup)
	if err != nil {
		return nil, err
	}
	end, err := c.usages(ctx, leader, "end", cfg.Duration)
	if err != nil {
		return nil, err
	}
	a, err := leader.await(ctx, "result", drain+answerBound)
	if err != nil {
		return nil, err
	}
	var client bench.ClientResult
	if err := json.Unmarshal(a.Result.Client, &client); err != nil {
		return nil, fmt.Errorf("the result of node %d cannot be read: %w", leader.id, err)
	}
	run, err := runOf(&client)
	if err != nil {
		return nil, err
	}
	run.Costs = costs(begin, end, client.Values, a.Result.Retries)
	run.Problems = problems(&client, a.Result, before, a.Standing)
	return run, nil
}

// steady waits until all nodes have named one leader for a while.
func (c *cluster) steady(ctx context.Context) (standing, error) {
	var agreed standing
	since := time.Now()
	for bound := since.Add(startBound); ; time.Sleep(steadyPause) {
		now, err := c.agreed(ctx)
		switch {
		case err != nil:
			return now, err
		case now.Leader == 0 || now != agreed:
			agreed, since = now, time.Now()
		case time.Since(since) >= steadyFor:
			return now, nil
		}
		if time.Now().After(bound) {
			return now, fmt.Errorf("the nodes of %s do not agree on a leader within %v", c.peer.title, startBound)
		}
	}
}

// agreed is whom all nodes take for the leader; nobody if they differ.
func (c *cluster) agreed(ctx context.Context) (standing, error) {
	var first standing
	for i, p := range c.nodes {
		a, err := p.ask(ctx, "standing")
		if err != nil {
			return standing{}, err
		}
		if i == 0 {
			first = a.Standing
		}
		if a.Standing != first {
			return standing{}, nil
		}
	}
	return first, nil
}

// usages waits for the leader's event and asks the others at once what they have used.
func (c *cluster) usages(ctx context.Context, leader *process, event string, in time.Duration) ([]usage, error) {
	a, err := leader.await(ctx, event, in+answerBound)
	if err != nil {
		return nil, err
	}
	all := []usage{a.Usage}
	for _, p := range c.nodes {
		if p == leader {
			continue
		}
		a, err := p.ask(ctx, "usage")
		if err != nil {
			return nil, err
		}
		all = append(all, a.Usage)
	}
	return all, nil
}

// runOf is a client's result as a run, by the bench's own arithmetic.
func runOf(client *bench.ClientResult) (*bench.Run, error) {
	merged, err := bench.Merge([]bench.ClientResult{*client})
	if err != nil {
		return nil, err
	}
	var r bench.Report
	r.TakeClients(&merged)
	return &bench.Run{
		DurationS: r.DurationS, Values: r.Values, ValuesPerS: r.ValuesPerS, LatencyUs: r.LatencyUs, LatencyCorrectedUs: &r.LatencyCorrectedUs,
		HistogramV2: client.HistogramV2,
	}, nil
}

// problems are the reasons not to believe a run.
func problems(client *bench.ClientResult, r *loadResult, before, after standing) (list []string) {
	if client.Values == 0 {
		list = append(list, "no value was committed in the measurement")
	}
	if client.Unanswered > 0 {
		list = append(list, fmt.Sprintf("%d values were not applied within %v", client.Unanswered, drain))
	}
	if r.Strays > 0 {
		list = append(list, fmt.Sprintf("%d values were applied that were not under way", r.Strays))
	}
	if before != after {
		list = append(list, fmt.Sprintf("leadership changed: node %d in term %d, then node %d in term %d", before.Leader, before.Term, after.Leader, after.Term))
	}
	return list
}
