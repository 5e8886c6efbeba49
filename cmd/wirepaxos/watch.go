package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/node"
)

// watch runs the clients of a process, one for each group, and tells how they do.
type watch struct {
	parts  []*watched
	linger bool
	quiet  bool           // no line a second
	cpu    bench.CPUTimes // when it began
}

// watched is the client of one group.
type watched struct {
	p     *node.Process
	load  *bench.Load
	id    paxos.NodeID
	group uint16

	sessions *sessionFile // nil: they end with the run
	progress *bench.Progress
	seen     uint64 // of the load's events: where there is no new one, nothing holds the loop up
	over     bool
}

// run runs the loops until all loads are finished, or a signal ends them, with a line a second.
func (w *watch) run(loops func() error, stop func()) error {
	var lines <-chan time.Time // none come where it is nil
	if !w.quiet {
		second := time.NewTicker(time.Second)
		defer second.Stop()
		lines = second.C
		for _, part := range w.parts {
			part.progress = bench.NewProgress(part.load, dataplane.Now())
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- loops() }()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for n := 1; ; {
		select {
		case err := <-ended:
			return errors.Join(err, w.keep())
		case <-poll.C:
			over, err := w.look()
			if err != nil {
				stop()
				return errors.Join(err, <-ended)
			}
			if over && !w.linger {
				stop()
			}
		case <-lines:
			if w.line(n) {
				n++
			}
		}
	}
}

// look looks after the sessions of all parts, and tells whether all are over.
func (w *watch) look() (over bool, err error) {
	over = true
	for _, part := range w.parts {
		if err := part.look(); err != nil {
			return false, err
		}
		over = over && part.over
	}
	return over, nil
}

func (w *watched) look() error {
	events := w.load.Events()
	if events == w.seen {
		return nil
	}
	if err := w.keep(); err != nil {
		return err
	}
	if w.p.Loop().Inspect(func() { w.over = w.load.Finished() }) == nil { // else it is ending
		w.seen = events
	}
	return nil
}

// line prints what the last second brought, of all groups together; false if that is not known, or over.
func (w *watch) line(n int) bool {
	var each []bench.Interval
	var parts []*bench.Progress
	for _, part := range w.parts {
		if part.over {
			continue
		}
		i, err := part.progress.Next(dataplane.Now(), part.p.Loop().Inspect)
		if err != nil {
			return false
		}
		each, parts = append(each, i), append(parts, part.progress)
	}
	if len(each) == 0 {
		return false
	}
	fmt.Println(bench.ProgressLine(n, bench.JoinIntervals(parts, each)))
	k := 0
	for _, part := range w.parts {
		if part.over {
			continue
		}
		if each[k].Values == 0 {
			if trouble := part.trouble(); trouble != "" {
				fmt.Fprintf(os.Stderr, "wirepaxos: %s%s\n", w.prefix(part), trouble)
			}
		}
		k++
	}
	return true
}

// prefix is what a line about a part begins with where there are several.
func (w *watch) prefix(part *watched) string {
	if len(w.parts) == 1 {
		return ""
	}
	return fmt.Sprintf("group %d: ", part.group)
}

// phase is where the loads of all parts are together.
func (w *watch) phase() (bench.Phase, error) {
	var each []bench.Phase
	for _, part := range w.parts {
		p, err := part.phase()
		if err != nil {
			return p, err
		}
		each = append(each, p)
	}
	return joinPhases(each), nil
}

// finished tells whether all loads are over.
func (w *watch) finished() bool {
	for _, part := range w.parts {
		if !part.finished() {
			return false
		}
	}
	return true
}

// keep writes the sessions of all parts as far as they changed.
func (w *watch) keep() (err error) {
	for _, part := range w.parts {
		err = errors.Join(err, part.keep())
	}
	return err
}

// keep writes the sessions to their file as they change. The error says that they were lost, or cannot be kept.
func (w *watched) keep() (err error) {
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
func (w *watched) trouble() (text string) {
	_ = w.p.Loop().Inspect(func() { // a loop that has ended has no trouble
		for _, c := range w.p.Clients() {
			text = c.Trouble(dataplane.Now())
		}
	})
	return text
}

// answers are what the control socket answers about a client beside what it does about all nodes.
func (w *watched) answers() map[string]node.Answer {
	return map[string]node.Answer{
		"finished": node.NoWords(func() (any, error) { return w.finished(), nil }),
		"phase":    node.NoWords(func() (any, error) { return w.phase() }),
		"result":   node.NoWords(func() (any, error) { return w.result() }),
		"stalls":   node.NoWords(func() (any, error) { return w.stalls(), nil }),
		"stop":     node.NoWords(func() (any, error) { return w.stop(), nil }),
	}
}

// finished tells whether the load is over.
func (w *watched) finished() (over bool) {
	w.p.Inspect(func() { over = w.load.Finished() })
	return over
}

// phase is where the load is.
func (w *watched) phase() (p bench.Phase, err error) {
	w.p.Inspect(func() { p = w.load.Phase() })
	return p, nil
}

// result is what the client measured so far. It holds the loop up: for the end of a run.
func (w *watched) result() (r bench.ClientResult, err error) {
	w.p.Inspect(func() { r, err = w.load.Result(w.id) })
	return r, err
}

// stalls are the latest times without an answer.
func (w *watched) stalls() (r bench.StallReport) {
	w.p.Inspect(func() { r = w.load.Stalls() })
	return r
}

// stop ends the submissions; the load is finished when what is in flight was answered.
func (w *watched) stop() bool {
	w.p.Inspect(func() { w.load.Stop(dataplane.Now()) })
	return true
}

// report prints and writes what this process alone knows: the learners on its own loops, and no others.
func (w *watch) report(all groupLoops, l *loadFlags, layout string) error {
	var ends outcomes
	unknown := false
	for i, g := range all {
		result, err := w.parts[i].result()
		if err != nil {
			return err
		}
		status, err := g.p.Status()
		if err != nil {
			return err
		}
		in := &outcome{cpu: w.cpu, file: g.file, layout: layout, results: []bench.ClientResult{result}, statuses: []*node.Status{status}}
		in.tallies, err = g.tallies.read(g.p)
		if err != nil {
			return err
		}
		unknown = unknown || len(status.Learners) == 0
		ends.groups = append(ends.groups, in)
	}
	r, err := ends.report()
	if err != nil {
		return err
	}
	if unknown {
		const note = "the learners are in other processes; compare them with `wirepaxos status`, each tells its count and hash"
		for _, one := range append(r.Groups, r) {
			one.Problems, one.Equal, one.Notes = nil, true, []string{note} // nothing is known against it
		}
	}
	return l.finish(r)
}
