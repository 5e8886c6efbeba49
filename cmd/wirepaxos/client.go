package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

func newClient() *cobra.Command {
	var o nodeFlags
	var l loadFlags
	var c clientFlags
	command := &cobra.Command{
		Use:   "client --id N [flags]",
		Short: "Load a cluster and measure: values/s and a latency histogram",
		Long: `A client submits values to the proposer that leads and counts each when a learner says that it was delivered: a closed loop with --clients
sessions of --outstanding values each. Every second it prints a line; at the end the histogram, as measured and corrected for coordinated
omission. A value without an answer is sent again and still delivered once.

With --rate it is an open loop: values are due at times of their own, and each one's latency counts from then, also while --outstanding of
each session are unanswered and it has to wait. A value is submitted in the first cycle of the loop from its time on: only a loop that spins on a
core of its own is exact to a cycle; one that sleeps (--idle block, backoff) wakes later. How late values were submitted is in the report.

Proposers, acceptors and learners may run in the same process, on the same loop: --id 6,4,5 runs nodes 4 and 5 beside client 6, where the
cluster file has them on one endpoint.

With --session-file the sessions outlive the run: the next one with the same file goes on where this one ended, also if it was killed, and
whoever else still has them is shut out.`,
		Example: `  wirepaxos client --id 6 --outstanding 64 --duration 10s --json result.json
  wirepaxos client --id 6 --rate 200000 --duration 30s --csv latency.csv`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := l.check(); err != nil {
				return err
			}
			return runClient(&o, &l, &c)
		},
	}
	o.add(command.Flags())
	l.add(command.Flags())
	c.add(command.Flags())
	return command
}

// clientFlags are the flags of a client alone.
type clientFlags struct {
	proposer      uint16
	check, linger bool
	sessions      string
	takeOver      bool
}

func (c *clientFlags) add(flags *pflag.FlagSet) {
	flags.Uint16VarP(&c.proposer, "proposer", "p", 0, "node id of the proposer to try first")
	flags.BoolVar(&c.check, "check", false, "learners of this process keep an account of every delivery")
	flags.StringVar(&c.sessions, "session-file", "", "keep the sessions in this file, and resume those that are in it")
	flags.BoolVar(&c.takeOver, "take-over", false, "resume the sessions of --session-file also where another client has them by now")
	flags.BoolVar(&c.linger, "linger", false, "go on after the measurement, until a signal: others may want the learner")
	if err := flags.MarkHidden("linger"); err != nil {
		panic(err) // there is no such flag
	}
}

// spec is the client role, and the file that its sessions are kept in, nil for none.
func (c *clientFlags) spec(f *cluster.File, l *loadFlags) (*node.ClientSpec, *sessionFile, error) {
	s := &node.ClientSpec{Proposer: c.proposer, TakeOver: c.takeOver, Keep: c.sessions != "", Reopen: c.sessions == ""}
	var file *sessionFile
	var err error
	switch {
	case c.sessions != "":
		if file, s.Resume, err = newSessionFile(c.sessions, f); err != nil {
			return nil, nil, err
		}
	case c.takeOver:
		return nil, nil, fmt.Errorf("--take-over: name the sessions to resume with --session-file")
	}
	if n := len(s.Resume); n > l.clients && l.flags.Changed("clients") {
		return nil, nil, fmt.Errorf("--clients %d: there are %d sessions in %s: want at least as many", l.clients, n, c.sessions)
	} else if n > l.clients {
		l.clients = n
	}
	if l.clients > f.Sessions {
		return nil, nil, fmt.Errorf("--clients %d: %s keeps %d sessions: raise sessions there, or take fewer", l.clients, f.Name, f.Sessions)
	}
	s.Sessions, s.Outstanding, s.MaxValue = l.clients, l.outstanding, l.size
	return s, file, nil
}

func runClient(o *nodeFlags, l *loadFlags, c *clientFlags) error {
	f, ids, err := o.prepare(cluster.Client)
	if err != nil {
		return err
	}
	spec, file, err := c.spec(f, l)
	if err != nil {
		return err
	}
	load, err := l.load(uint64(ids[0]))
	if err != nil {
		return err
	}
	spec.Source = load
	p, tallies, err := o.open(f, ids, c.check, spec)
	if err != nil {
		return err
	}
	defer p.Close()
	w := &watch{p: p, load: load, id: paxos.NodeID(ids[0]), quiet: !l.progress, linger: c.linger, sessions: file, cpu: bench.ReadCPUTimes()}
	answers := map[string]node.Answer{
		"finished": node.NoWords(func() (any, error) { return w.finished(), nil }),
		"phase":    node.NoWords(func() (any, error) { return w.phase() }),
		"result":   node.NoWords(func() (any, error) { return w.result() }),
		"stalls":   node.NoWords(func() (any, error) { return w.stalls(), nil }),
		"stop":     node.NoWords(func() (any, error) { return w.stop(), nil }),
	}
	tallies.answer(p, answers)
	stop, err := serve(o, p, answers)
	if err != nil {
		return err
	}
	defer stop()
	if !o.quiet {
		announce(f, ids, p)
	}
	if err := w.run(); err != nil {
		return err
	}
	if c.linger {
		return nil
	}
	return w.report(f, l, tallies, "")
}

// watch runs a client's process and tells how it goes.
type watch struct {
	p      *node.Process
	load   *bench.Load
	id     paxos.NodeID
	linger bool
	quiet  bool           // no line a second
	cpu    bench.CPUTimes // when it began

	sessions *sessionFile // nil: they end with the run
}

// run runs the loop until the load is finished, or a signal ends it, with a line a second.
func (w *watch) run() error {
	var progress *bench.Progress
	var lines <-chan time.Time // none come where it is nil
	if !w.quiet {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		progress, lines = bench.NewProgress(w.load, dataplane.Now()), second.C
	}
	ended := make(chan error, 1)
	go func() { ended <- w.p.Run() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	finished := false
	var seen uint64 // of the load's events: where there is no new one, nothing holds the loop up
	for n := 1; ; {
		select {
		case err := <-ended:
			return errors.Join(err, w.keep())
		case <-poll.C:
			events := w.load.Events()
			if events == seen {
				continue
			}
			if err := w.keep(); err != nil {
				w.p.Stop()
				return errors.Join(err, <-ended)
			}
			if err := w.p.Loop().Inspect(func() { finished = w.load.Finished() }); err != nil {
				continue // it is ending
			}
			if seen = events; finished && !w.linger {
				w.p.Stop()
			}
		case <-lines:
			if finished {
				continue
			}
			i, err := progress.Next(dataplane.Now(), w.p.Loop().Inspect)
			if err != nil {
				continue
			}
			fmt.Println(bench.ProgressLine(n, i))
			if trouble := w.trouble(); i.Values == 0 && trouble != "" {
				fmt.Fprintf(os.Stderr, "wirepaxos: %s\n", trouble)
			}
			n++
		}
	}
}

// keep writes the sessions to their file as they change. The error says that they were lost, or cannot be kept.
func (w *watch) keep() (err error) {
	if len(w.p.Clients()) == 0 {
		return nil
	}
	c := w.p.Clients()[0]
	var changes uint64
	var ids []client.SessionID
	w.p.Inspect(func() {
		if changes = c.Changes(); w.sessions != nil && changes != w.sessions.seen {
			ids, err = c.SessionIDs(), c.Lost()
		} else if c.AllLost() {
			err = c.Lost()
		}
	})
	switch {
	case w.sessions == nil && err == nil:
		return nil
	case w.sessions == nil:
		return failed("%v", err)
	case err != nil:
		return w.sessions.advice(err)
	}
	return w.sessions.keep(changes, ids)
}

// trouble says why nothing moves.
func (w *watch) trouble() (text string) {
	_ = w.p.Loop().Inspect(func() { // a loop that has ended has no trouble
		for _, c := range w.p.Clients() {
			text = c.Trouble(dataplane.Now())
		}
	})
	return text
}

// finished tells whether the load is over.
func (w *watch) finished() (over bool) {
	w.p.Inspect(func() { over = w.load.Finished() })
	return over
}

// phase is where the load is.
func (w *watch) phase() (p bench.Phase, err error) {
	w.p.Inspect(func() { p = w.load.Phase() })
	return p, nil
}

// result is what the client measured so far. It holds the loop up: for the end of a run.
func (w *watch) result() (r bench.ClientResult, err error) {
	w.p.Inspect(func() { r, err = w.load.Result(w.id) })
	return r, err
}

// stalls are the latest times without an answer.
func (w *watch) stalls() (r bench.StallReport) {
	w.p.Inspect(func() { r = w.load.Stalls() })
	return r
}

// stop ends the submissions; the load is finished when what is in flight was answered.
func (w *watch) stop() bool {
	w.p.Inspect(func() { w.load.Stop(dataplane.Now()) })
	return true
}

// report prints and writes what this process alone knows: the learners on its own loop, and no others.
func (w *watch) report(f *cluster.File, l *loadFlags, t tallies, layout string) error {
	result, err := w.result()
	if err != nil {
		return err
	}
	status, err := w.p.Status()
	if err != nil {
		return err
	}
	in := outcome{cpu: w.cpu, file: f, layout: layout, results: []bench.ClientResult{result}, statuses: []*node.Status{status}}
	in.tallies, err = t.read(w.p)
	if err != nil {
		return err
	}
	r, err := in.report()
	if err != nil {
		return err
	}
	if len(status.Learners) == 0 {
		r.Problems, r.Equal = nil, true // nothing is known against it
		r.Notes = []string{"the learners are in other processes; compare them with `wirepaxos status`, each tells its count and hash"}
	}
	return l.finish(r)
}
