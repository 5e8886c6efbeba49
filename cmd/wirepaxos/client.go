package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/paxos"
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
whoever else still has them is shut out.

Where the cluster file has several groups, all of them are loaded side by side, each by as much; the report has all together, and then each by
itself. --group loads one alone. The sessions of a group are kept in the named file with -g and the group behind it.`,
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

// spec is the client role in a group, which is one of several or not, and the file that its sessions are kept in, nil for none.
func (c *clientFlags) spec(f *cluster.File, l *loadFlags, several bool) (*node.ClientSpec, *sessionFile, error) {
	s := &node.ClientSpec{Proposer: c.proposer, TakeOver: c.takeOver, Keep: c.sessions != "", Reopen: c.sessions == ""}
	var file *sessionFile
	var err error
	switch {
	case c.sessions != "":
		path := c.sessions
		if several {
			path += fmt.Sprintf("-g%d", f.Group)
		}
		if file, s.Resume, err = newSessionFile(path, f); err != nil {
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
	files, ids, err := o.prepare(cluster.Client)
	if err != nil {
		return err
	}
	w := &watch{quiet: !l.progress, linger: c.linger, cpu: bench.ReadCPUTimes()}
	var specs []*node.ClientSpec
	for i, f := range files {
		spec, sessions, err := c.spec(f, l, len(files) > 1)
		if err != nil {
			return err
		}
		load, err := l.load(groupSeed(ids[0], i))
		if err != nil {
			return err
		}
		spec.Source = load
		specs = append(specs, spec)
		w.parts = append(w.parts, &watched{load: load, id: paxos.NodeID(ids[0]), group: f.Group, sessions: sessions})
	}
	all, err := o.openAll(files, ids, c.check, func(i int) *node.ClientSpec { return specs[i] })
	if err != nil {
		return err
	}
	defer all.close()
	for i, g := range all {
		w.parts[i].p = g.p
		g.answers = w.parts[i].answers()
	}
	stop, err := serve(o, all)
	if err != nil {
		return err
	}
	defer stop()
	if !o.quiet {
		all.announce(ids)
	}
	if err := w.run(all.run, all.stop); err != nil {
		return err
	}
	if c.linger {
		return nil
	}
	return w.report(all, l, "")
}

// groupSeed is the seed of a client's load in group number i of its file: the clients of one run differ in it, and so do the groups of one client.
func groupSeed(client uint16, i int) uint64 { return uint64(client) + uint64(i)<<16 }
