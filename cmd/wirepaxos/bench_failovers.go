package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/paxos/cluster"
)

// How often leaders are killed where failover is one scenario of many, and what one kill takes in seconds.
const (
	scenarioKills, quickKills = 30, 5
	killTakes                 = 1.8
)

// failoverScenario is `bench failover` as one scenario of many.
func failoverScenario() *scenario {
	return &scenario{
		name: "failover", title: "the leader's process is killed with -9 under load: how long until values go on",
		takes: func(b *benchFlags) float64 {
			const upAndDown = 3
			return float64(len(b.failoverTransports())) * (upAndDown + killTakes*float64(b.killsOf()))
		},
		run: runFailovers,
	}
}

func (b *benchFlags) killsOf() int {
	if b.quick {
		return quickKills
	}
	return scenarioKills
}

// failoverTransports are those whose leaders can be killed: over memory all are one process.
func (b *benchFlags) failoverTransports() (list []string) {
	for _, t := range b.over("afxdp", "udp") {
		if t != "mem" && b.only.MatchString(t) {
			list = append(list, t)
		}
	}
	return list
}

func runFailovers(ctx context.Context, r *runner, s *bench.Scenario) error {
	list := r.failoverTransports()
	s.Command = fmt.Sprintf("wirepaxos bench failover --kills %d", r.killsOf())
	if len(list) > 0 {
		s.Command += " --transport " + strings.Join(list, "|")
	}
	if len(list) == 0 {
		s.Skipped = "leaders are killed over afxdp and udp, and neither was asked for"
	}
	for _, t := range list {
		p, err := r.failoverPoint(ctx, t)
		switch {
		case ctx.Err() != nil:
			return failed("interrupted")
		case err != nil:
			r.failed = append(r.failed, fmt.Sprintf("failover, %s: %v", t, err))
			p.Failed = err.Error()
			r.tell("failover "+t, "FAILED: %v", err)
		}
		s.Failovers = append(s.Failovers, p)
	}
	return nil
}

// failoverPoint kills the leaders of one cluster.
func (r *runner) failoverPoint(ctx context.Context, transport string) (p bench.FailoverPoint, err error) {
	o := &failoverFlags{}
	f := pflag.NewFlagSet("failover", pflag.ContinueOnError)
	o.add(f)
	if err := f.Parse([]string{"--transport", transport, "--kills", fmt.Sprint(r.killsOf()), "--link", r.link, "--idle", r.idle}); err != nil {
		return p, err
	}
	if err := o.check(); err != nil {
		return p, err
	}
	d := &o.demo
	c := trialConfig{transport: transport, clients: d.clients, outstanding: d.outstanding, size: d.size}
	p = bench.FailoverPoint{Name: transport, Series: transportTitles[transport], Config: c.config()}
	p.Config.Driver = "veth"
	switch {
	case r.lab != nil && transport == "afxdp":
		p.Failed = "not measured: " + r.lab.Error()
		return p, nil
	case r.lab != nil:
		p.Config.Driver = "loopback"
	}
	plan, err := newPlan(d.planConfig(cluster.Transport(transport)))
	if err != nil {
		return p, err
	}
	in, err := o.perform(ctx, plan, r.lab == nil, func(n int, e *bench.Failover) {
		r.passed(killTakes)
		r.tell(fmt.Sprintf("failover %s %d of %d", transport, n, o.kills), "values went on after %.1f ms", e.ValueMs)
	})
	if err != nil {
		return p, err
	}
	report, err := in.report()
	if err != nil {
		return p, err
	}
	return report.FailoverPoint(p.Name, p.Series, p.Config)
}
