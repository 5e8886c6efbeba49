package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/tools/netlab"
)

// scenario is one question to the machine.
type scenario struct {
	name, title string
	short, long string // of its command
	example     string
	x           string                            // as bench.Scenario.X
	rounds      int                               // 0: usualRounds
	points      func(b *benchFlags) []*benchPoint // in the order in which a round runs them
	notes       func(r *runner, s *bench.Scenario) []string

	// What must be known before the points can be measured, and in how many trials that is found out; nil: nothing.
	before  func(ctx context.Context, r *runner, points []*benchPoint) (notes []string, err error)
	befores func(r *runner, points []*benchPoint) int

	// Of a scenario that is made of other things than trials: what it takes in seconds, and how it is made.
	takes func(b *benchFlags) float64 // 0: there is nothing of what was asked for
	run   func(ctx context.Context, r *runner, s *bench.Scenario) error
}

// benchPoint is a point that is to be measured.
type benchPoint struct {
	name, series string
	trial        trialConfig
	share        float64 // of the peak, at which values are due; 0: as trial says
	failures     int
	measured     bench.Point
}

// givesUp is after how many failures a point is not tried again.
const givesUp = 2

// runner makes the scenarios of one command, one after the other.
type runner struct {
	*benchFlags
	lab   error // why no lab can be built here; nil: it can
	to    io.Writer
	suite bench.Suite
	cpu   bench.CPUTimes

	trials, of int     // made, and to be made in all
	done, left float64 // seconds that were expected, of what is done and of what is not
	failed     []string
}

// newScenario is the command of one scenario.
func newScenario(s *scenario) *cobra.Command {
	b := &benchFlags{}
	c := &cobra.Command{
		Use: s.name, Short: s.short, Long: s.long + benchManner, Example: s.example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return b.measure(c.Context(), []*scenario{s})
		},
	}
	b.add(c.Flags())
	if s.points != nil {
		b.addCluster(c.Flags())
	}
	return c
}

const benchManner = `

Every run is a cluster of its own, brought up for it, checked and taken down. The runs of all points are made in turn, A B C A B C: what the machine
does meanwhile hits all alike. A line tells of each; at the end a table has the median of the runs of each point, with the least and the most. What needs
AF_XDP is left out where there is none, with the reason. Exit status 1: in some run a value was lost, doubled or reordered, or a run did not end well.`

// measure makes scenarios and tells of them.
func (b *benchFlags) measure(parent context.Context, list []*scenario) error {
	r, err := newRunner(b, list, netlab.Supported())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return r.all(ctx, list)
}

// newRunner checks the flags. lab says why no lab can be built here.
func newRunner(b *benchFlags, list []*scenario, lab error) (*runner, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	r := &runner{benchFlags: b, lab: lab, to: os.Stdout, cpu: bench.ReadCPUTimes()}
	if r.lab != nil && len(b.transports) == 1 && b.transports[0] == "afxdp" {
		return nil, fmt.Errorf("--transport afxdp: %w; --transport udp,mem needs no privileges", r.lab)
	}
	r.suite = bench.Suite{
		Schema: bench.SuiteSchema, Command: strings.Join(append([]string{"wirepaxos"}, os.Args[1:]...), " "), Quick: b.quick, Began: time.Now().UTC(),
		Machine: bench.ReadMachine(),
	}
	points := 0
	for _, s := range list {
		if s.run != nil {
			takes := s.takes(b)
			if r.left += takes; takes > 0 {
				points++
			}
			continue
		}
		for _, p := range r.pointsOf(s) {
			if points++; r.able(p) {
				r.of += b.roundsOf(s)
				r.left += float64(b.roundsOf(s)) * b.takes(p)
			}
		}
		if s.befores != nil {
			n := s.befores(r, r.pointsOf(s))
			r.of += n
			r.left += float64(n) * b.takes(&benchPoint{})
		}
	}
	if points == 0 {
		return nil, fmt.Errorf("--points %s: no point has such a name: a run without it shows the names", b.chosen)
	}
	if r.left == 0 { // then there are points, and none of them can be measured
		return nil, fmt.Errorf("all of this is over AF_XDP: %w; --transport udp,mem needs no privileges", r.lab)
	}
	return r, nil
}

// takes is the time that a run of a point is expected to take, in seconds.
func (b *benchFlags) takes(p *benchPoint) float64 {
	const upAndDown, echoUpAndDown = 0.6, 0.3
	takes := (b.length + b.warmup).Seconds() + upAndDown
	if p.trial.floor {
		takes += b.length.Seconds() + echoUpAndDown
	}
	return takes
}

// pointsOf are the points of a scenario that were asked for.
func (r *runner) pointsOf(s *scenario) (points []*benchPoint) {
	for _, p := range s.points(r.benchFlags) {
		if r.only.MatchString(p.name) {
			points = append(points, p)
		}
	}
	return points
}

// able tells whether a point can be measured here.
func (r *runner) able(p *benchPoint) bool { return r.lab == nil || p.trial.transport != "afxdp" }

// all makes the scenarios, writes what was measured after each, and tells at the end whether all of it holds.
func (r *runner) all(ctx context.Context, list []*scenario) error {
	r.opening()
	for _, s := range list {
		err := r.scenario(ctx, s)
		r.suite.TookS = time.Since(r.suite.Began).Seconds()
		r.suite.StealPercent = bench.StealSince(r.cpu)
		if ctx.Err() != nil {
			return failed("interrupted")
		}
		if err := errors.Join(err, r.write(&r.suite)); err != nil {
			return err
		}
	}
	if r.out != "" {
		fmt.Fprintf(r.to, "\nWritten: %s, with suite.json and the latencies of each point. A page of it: wirepaxos bench report %s\n", r.out, r.out)
	}
	problems := append(r.suite.Problems(), r.failed...)
	if len(problems) == 0 {
		if r.of == 0 {
			return nil
		}
		fmt.Fprintf(r.to, "\nEvery run: every learner delivered the same sequence; nothing lost, doubled or reordered.\n")
		return nil
	}
	return failed("%d of the runs did not end as they should: %s", len(problems), problems[0])
}

// opening says where this runs and what is about to.
func (r *runner) opening() {
	m := &r.suite.Machine
	governor := m.Governor
	if governor == "" {
		governor = "none to be seen"
	}
	fmt.Fprintf(r.to, "kernel %s, %d CPUs, %s, governor %s, %s\n", m.Kernel, m.CPUs, m.CPU, governor, m.Go)
	if r.of > 0 {
		fmt.Fprintf(r.to, "%d runs of %v after %v to warm up; ", r.of, r.length, r.warmup)
	}
	fmt.Fprintf(r.to, "about %.0f s in all\n", r.left)
	if r.lab != nil {
		fmt.Fprintf(r.to, "No AF_XDP here (%v): its points are left out, and UDP is on 127.0.0.1.\n", r.lab)
	}
	fmt.Fprintln(r.to)
}

// scenario makes one scenario and tells of it. The error is of what keeps the command from going on.
func (r *runner) scenario(ctx context.Context, s *scenario) (err error) {
	began := time.Now()
	out := bench.Scenario{Name: s.name, Title: s.title, Command: r.command(s.name), X: s.x}
	if s.run != nil {
		before := r.done
		err = s.run(ctx, r, &out)
		r.passed(s.takes(r.benchFlags) - (r.done - before))
	} else {
		err = r.rounds(ctx, s, &out)
	}
	if ctx.Err() != nil || err != nil {
		return err
	}
	if s.notes != nil {
		out.Notes = append(out.Notes, s.notes(r, &out)...)
	}
	out.TookS = time.Since(began).Seconds()
	r.suite.Scenarios = append(r.suite.Scenarios, out)
	fmt.Fprintln(r.to)
	if err := out.Text(r.to); err != nil {
		return err
	}
	fmt.Fprintln(r.to)
	return nil
}

// rounds makes the runs of a scenario's points, in turn.
func (r *runner) rounds(ctx context.Context, s *scenario, out *bench.Scenario) error {
	points := r.pointsOf(s)
	for _, p := range points {
		p.measured = bench.Point{Name: p.name, Series: p.series, Config: p.trial.config()}
		if !r.able(p) {
			p.measured.Failed = "not measured: " + r.lab.Error()
		}
	}
	if s.before != nil {
		notes, err := s.before(ctx, r, points)
		if err != nil {
			return err
		}
		out.Notes = append(out.Notes, notes...)
	}
	n := r.roundsOf(s)
	for round := 1; round <= n; round++ {
		for _, p := range points {
			if ctx.Err() != nil {
				return failed("interrupted")
			}
			if r.able(p) {
				r.point(ctx, s.name, p, round, n)
			}
		}
	}
	for _, p := range points {
		out.Points = append(out.Points, p.measured)
	}
	return nil
}

// point makes one run of a point and tells of it.
func (r *runner) point(ctx context.Context, name string, p *benchPoint, round, rounds int) {
	r.trials++
	r.passed(r.takes(p))
	if p.failures >= givesUp {
		return
	}
	t, err := r.try(ctx, &p.trial, r.lab == nil)
	if ctx.Err() != nil {
		return
	}
	where := fmt.Sprintf("%s %d/%d %s", name, round, rounds, p.name)
	if err != nil {
		p.failures++
		p.measured.Failed = fmt.Sprintf("round %d: %v", round, err)
		r.failed = append(r.failed, fmt.Sprintf("%s, %s, %s", name, p.name, p.measured.Failed))
		r.tell(where, "FAILED: %v", err)
		return
	}
	t.Run.Round = round
	m := &p.measured
	m.Runs = append(m.Runs, t.Run)
	m.Config, m.Cores, m.Sockets = least(&m.Config, &t.Config), t.Cores, t.Sockets
	problem := ""
	if len(t.Run.Problems) > 0 {
		problem = "  PROBLEM: " + t.Run.Problems[0]
	}
	r.tell(where, "%s%s", t.Run.Line(), problem)
}

// least is a configuration as it ran, with the least mode of all runs so far.
func least(before, now *bench.Config) bench.Config {
	c := *now
	if before.Mode != "" && modeRank[before.Mode] < modeRank[c.Mode] {
		c.Mode = before.Mode
	}
	return c
}

// passed notes that what was expected to take so many seconds is made.
func (r *runner) passed(seconds float64) { r.done, r.left = r.done+seconds, r.left-seconds }

// tell prints a line about something that was made, with the share of the whole that is behind it.
func (r *runner) tell(where, format string, args ...any) {
	passed := time.Since(r.suite.Began).Seconds()
	rest := r.left
	if r.done > 0 {
		rest *= passed / r.done
	}
	share := ""
	if r.of > 0 {
		share = fmt.Sprintf("%*d/%d ", len(fmt.Sprint(r.of)), r.trials, r.of)
	}
	fmt.Fprintf(r.to, "[%s%4.0f s, %.0f s to go] %-36s %s\n", share, passed, max(rest, 0), where, fmt.Sprintf(format, args...))
}
