package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"wirepaxos/bench"
)

// scenario runs everyone with values of one size, round by round.
func (c *contest) scenario(ctx context.Context, size int) (*bench.Scenario, error) {
	s := &bench.Scenario{
		Name: "peers", X: "outstanding", Title: fmt.Sprintf("wirepaxos and others in turn, %d-byte values, closed loop", size),
		Command: fmt.Sprintf("wirepaxos bench peers --size %d", size), Notes: c.notes,
	}
	if size != c.sizes[0] {
		s.Name = fmt.Sprintf("peers-%d", size)
	}
	if c.durable {
		s.Name += "-durable"
		s.Command += " --durable"
	}
	began := time.Now()
	for e := range c.entrants {
		for _, outstanding := range c.outstanding {
			s.Points = append(s.Points, bench.Point{
				Name:   fmt.Sprintf("%s-%d", c.entrants[e].name, outstanding),
				Series: c.entrants[e].series, Config: bench.Config{Outstanding: outstanding, ValueSize: size},
			})
		}
	}
	for round := 1; round <= c.rounds; round++ {
		for k, outstanding := range c.outstanding {
			for e := range c.entrants {
				p := &s.Points[e*len(c.outstanding)+k]
				c.turn(ctx, &c.entrants[e], p, round)
				if err := interrupted(ctx); err != nil {
					return nil, err
				}
				c.tellRun(p, round, outstanding)
			}
		}
	}
	s.TookS = time.Since(began).Seconds()
	return s, nil
}

// turn makes one run and adds it to its point, or why there is none.
func (c *contest) turn(ctx context.Context, e *entrant, p *bench.Point, round int) {
	c.made++
	one, err := e.run(ctx, p.Config.Outstanding, p.Config.ValueSize)
	if err != nil {
		c.failures++
		p.Failed = fmt.Sprintf("round %d: %v", round, err)
		return
	}
	run := one.Runs[0]
	run.Round = round
	if len(run.Problems) > 0 {
		c.failures++
	}
	p.Config, p.Unlike, p.Cores, p.Sockets = one.Config, one.Unlike, one.Cores, one.Sockets
	p.Runs = append(p.Runs, run)
}

// tellRun is the line of progress.
func (c *contest) tellRun(p *bench.Point, round, outstanding int) {
	total := c.rounds * len(c.outstanding) * len(c.entrants) * len(c.sizes)
	left := time.Duration(float64(time.Since(c.began)) / float64(c.made) * float64(total-c.made))
	what := "failed: " + p.Failed
	if n := len(p.Runs); n > 0 && p.Runs[n-1].Round == round {
		r := &p.Runs[n-1]
		what = fmt.Sprintf("%10s values/s, p50 %9s µs", thousands(r.ValuesPerS), tenths(medianUs(r)))
		if len(r.Problems) > 0 {
			what += "; not to be believed: " + strings.Join(r.Problems, "; ")
		}
	}
	fmt.Printf("%3d of %d, %4.0f s left  round %d  %-14s %5d outstanding  %s\n", c.made, total, left.Seconds(), round, p.Series, outstanding, what)
}

// own is wirepaxos on a transport.
func (c *contest) own(transport string, multicast bool) entrant {
	e := entrant{name: transport, series: transportTitles[transport]}
	if multicast {
		e.name, e.series = e.name+multicastName, e.series+multicastTitle
	}
	e.run = func(ctx context.Context, outstanding, size int) (*bench.Point, error) {
		clients, each, _ := spreadOver(outstanding)
		return c.runOwn(ctx, trialConfig{transport: transport, multicast: multicast, clients: clients, outstanding: each, size: size})
	}
	return e
}

// runOwn runs a cluster of ours once, as the other scenarios do.
func (c *contest) runOwn(ctx context.Context, config trialConfig) (*bench.Point, error) {
	b := &benchFlags{length: c.duration, warmup: c.warmup, link: "ethernet", idle: "auto"}
	p := b.point("", "", config)
	t, err := b.try(ctx, &p.trial, c.lab == nil)
	if err != nil {
		return nil, err
	}
	return &bench.Point{Config: t.Config, Runs: []bench.Run{t.Run}, Cores: t.Cores, Sockets: t.Sockets}, nil
}

// other is a peer.
func (c *contest) other(program string, p listedPeer) entrant {
	return entrant{name: p.Name, series: p.Title, unlike: p.Unlike, common: p.Common, run: func(ctx context.Context, outstanding, size int) (*bench.Point, error) {
		args := []string{
			p.Name, "--outstanding", strconv.Itoa(outstanding), "--size", strconv.Itoa(size), "--duration", c.duration.String(),
			"--warmup", c.warmup.String(),
		}
		if c.durable {
			args = append(args, "--durable")
		}
		cmd := childCommand(ctx, program, args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		failure := cmd.Run() // a run that is not to be believed is told all the same
		var point bench.Point
		if err := json.Unmarshal(stdout.Bytes(), &point); err != nil || len(point.Runs) != 1 {
			if failure == nil {
				failure = fmt.Errorf("%s told no run: %w", program, err)
			}
			return nil, complaint(failure, stderr.Bytes())
		}
		return &point, nil
	}}
}
