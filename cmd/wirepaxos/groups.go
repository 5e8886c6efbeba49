package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// groupLoop is one group in this process: the same nodes as of every other group, on a loop of the group's own.
type groupLoop struct {
	file    *cluster.File // as the group sees it
	p       *node.Process
	tallies tallies
	notes   stageNotes
	answers map[string]node.Answer
}

// groupLoops are the groups of this process, in the order of the file. They start and end together.
type groupLoops []*groupLoop

// openAll opens the process of each group. client is its client role, nil where there is none. On an error nothing is left open.
func (o *nodeFlags) openAll(files []*cluster.File, ids []uint16, check bool, client func(i int) *node.ClientSpec) (all groupLoops, err error) {
	for i, f := range files {
		var spec *node.ClientSpec
		if client != nil {
			spec = client(i)
		}
		l, err := o.open(f, ids, check, spec, len(files) > 1)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("%s%w", groupPrefix(f, len(files)), err)
		}
		all = append(all, l)
	}
	return all, nil
}

// run runs the loops until stop, or until one of them fails: that ends them all.
func (all groupLoops) run() error {
	return runTogether(len(all), all.stop, func(i int) error {
		if err := all[i].p.Run(); err != nil {
			return fmt.Errorf("%s%w", groupPrefix(all[i].file, len(all)), err)
		}
		return nil
	})
}

// runTogether runs n things at the same time, the first on the calling goroutine, until all have ended; as soon as one has, stop ends the others.
func runTogether(n int, stop func(), run func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	one := func(i int) {
		errs[i] = run(i)
		stop()
	}
	for i := 1; i < n; i++ {
		running.Go(func() { one(i) })
	}
	one(0)
	running.Wait()
	return errors.Join(errs...)
}

// stop ends all loops.
func (all groupLoops) stop() {
	for _, l := range all {
		l.p.Stop()
	}
}

// close releases what all have.
func (all groupLoops) close() {
	for _, l := range all {
		l.p.Close()
	}
}

// joined are the answers of all groups for the control socket.
func (all groupLoops) joined() map[string]node.Answer {
	var list []node.GroupAnswers
	for _, l := range all {
		p, notes := l.p, l.notes
		l.answers["status"] = node.NoWords(func() (any, error) { return p.Status() })
		l.answers["usage"] = node.NoWords(func() (any, error) { return p.Usage() })
		l.answers["stages"] = node.NoWords(func() (any, error) { return notes.read(p), nil })
		l.answers["handover"] = p.AnswerHandover
		l.tallies.answer(p, l.answers)
		list = append(list, node.GroupAnswers{Group: l.file.Group, Answers: l.answers})
	}
	return node.JoinAnswers(list, "handover")
}

// announce says what runs and what each port got.
func (all groupLoops) announce(ids []uint16) {
	for _, id := range ids {
		if n, err := all[0].file.Node(id); err == nil {
			fmt.Fprintf(os.Stderr, "node %d: %v\n", id, n.Roles)
		}
	}
	for _, l := range all {
		for _, line := range describe(l.p.Ports()) {
			fmt.Fprintf(os.Stderr, "%sport: %s\n", groupPrefix(l.file, len(all)), line)
		}
	}
}

// checkFIFO refuses real-time loops that would keep everything else off all cores together: each by itself leaves some.
func (o *nodeFlags) checkFIFO(files []*cluster.File, ids []uint16) error {
	if !o.hold.fifo || len(files) == 1 {
		return nil
	}
	set, err := dataplane.Cores()
	if err != nil {
		return err
	}
	left := slices.Clone(set.Allowed)
	for _, f := range files {
		e, err := f.EndpointOf(ids[0])
		if err != nil {
			return err
		}
		if e.Core != cluster.NoCore && !slices.Contains(left, e.Core) && slices.Contains(set.Allowed, e.Core) {
			return fmt.Errorf("--fifo: group %d has core %d, and so has a group before it: under SCHED_FIFO one would keep the other away: "+
				"give each group a core of its own (cores), or run without --fifo", f.Group, e.Core)
		}
		left = slices.DeleteFunc(left, func(core int) bool { return core == e.Core })
	}
	if len(left) == 0 {
		return fmt.Errorf("--fifo: the loops of %d groups take all cores that this process may use (%s), and lock everything else out: leave one, or run "+
			"without --fifo", len(files), dataplane.FormatCores(set.Allowed))
	}
	return nil
}

// groupPrefix is what a line about a group begins with where there are several.
func groupPrefix(f *cluster.File, groups int) string {
	if groups == 1 {
		return ""
	}
	return fmt.Sprintf("group %d: ", f.Group)
}
