package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

var roleTexts = map[string]struct{ short, long string }{
	"acceptor": {"Run an acceptor", `An acceptor votes. It answers prepare with a promise and accept with accepted, to the proposer and to every registered learner.

Storage is "memory": a restart loses what it promised, so an acceptor that was started before does not vote again. A marker in the
state directory tells. A minority of such acceptors does no harm; beyond that the cluster has stopped: begin anew with "wirepaxos
cluster new".`},
	"proposer": {"Run a proposer", `A proposer takes values from clients and, if it leads, proposes them; otherwise it tells the client who leads. Several may run: the one
with the highest ballot leads. Rounds are reserved in the state directory before they are used, so that no ballot is used twice.`},
	"learner": {"Run a learner", `A learner delivers the chosen values in the order of instances, each once, and answers the clients that registered with it. It keeps the
count and a running hash of what it delivered, for comparison with any other learner. It asks for what it missed, and takes state from another
learner where the log was trimmed.`},
	"replica": {"Run a replica: proposer, acceptor and learner in one", `A replica is a node of the cluster file with the roles proposer, acceptor and learner, all on one loop.`},
}

// newRole is the command of a server role.
func newRole(name string) *cobra.Command {
	var o nodeFlags
	var check bool
	role, err := cluster.ParseRole(name)
	if err != nil {
		panic(err)
	}
	c := &cobra.Command{
		Use:   name + " --id N [flags]",
		Short: roleTexts[name].short,
		Long: roleTexts[name].long + `

All nodes of one endpoint (one MAC and queue, one IP and port) run in one process: --id takes several, of any roles as long as the first is
of this one. Where the cluster file has several groups, the process runs all of them, each on a loop with its own queue, UDP port and core;
--group runs one alone, so that a process for each is possible too. Order of start does not matter. Ctrl-C or SIGTERM ends it in good order; a second one at once.`,
		Example: "  wirepaxos " + name + " --config cluster.toml --id 1 --state-dir /var/lib/wirepaxos",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return runRole(&o, role, check)
		},
	}
	o.add(c.Flags())
	c.Flags().BoolVar(&check, "check", false, "learners keep an account of every delivery, for \"wirepaxos demo\" and tests to hold against others")
	return c
}

func runRole(o *nodeFlags, role cluster.Roles, check bool) error {
	files, ids, err := o.prepare(role)
	if err != nil {
		return err
	}
	all, err := o.openAll(files, ids, check, nil)
	if err != nil {
		return err
	}
	defer all.close()
	stop, err := serve(o, all)
	if err != nil {
		return err
	}
	defer stop()
	if !o.quiet {
		all.announce(ids)
	}
	return all.run()
}

// prepare does what comes before a process is opened: the file with the flags applied, as each group to run sees it; the nodes to run; the
// state directory.
func (o *nodeFlags) prepare(role cluster.Roles) (files []*cluster.File, ids []uint16, err error) {
	if err = checkGC(o.gc); err != nil {
		return nil, nil, err
	}
	f, err := o.load()
	if err != nil {
		return nil, nil, err
	}
	if ids, err = o.find(f, role); err != nil {
		return nil, nil, err
	}
	if err = o.place(f, ids); err != nil {
		return nil, nil, err
	}
	files = f.Split()
	if err = o.checkFIFO(files, ids); err != nil {
		return nil, nil, err
	}
	if err = o.heed(files, ids); err != nil {
		return nil, nil, err
	}
	return files, ids, o.makeState(f, ids)
}

// open opens the process of the nodes of one group, one of several or not, with accounts of what its learners deliver if they are to be checked.
func (o *nodeFlags) open(f *cluster.File, ids []uint16, check bool, client *node.ClientSpec, several bool) (*groupLoop, error) {
	l := &groupLoop{file: f, answers: map[string]node.Answer{}}
	var err error
	if l.tallies, err = newTallies(f, ids, check); err != nil {
		return nil, err
	}
	if l.notes, err = newStageNotes(o.stages); err != nil {
		return nil, err
	}
	s := o.spec(f, ids, several)
	s.Client, s.Deliver, s.Observe = client, l.tallies.deliver(), l.notes.observe()
	l.p, err = node.Open(s)
	return l, err
}

// serve opens the control socket and ends the process in good order on a signal.
func serve(o *nodeFlags, all groupLoops) (stop func(), err error) {
	setGC(o.gc)
	closeControl := func() {}
	if o.control != "" {
		c, err := node.ListenControl(o.control, all.joined())
		if err != nil {
			return nil, err
		}
		closeControl = func() { c.Close() }
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			all.stop()
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(1)
		case <-done:
		}
	}()
	return func() {
		close(done)
		signal.Stop(signals)
		closeControl()
	}, nil
}

// tallies are the accounts of the learners of a process.
//
// tallyClients bounds the clients in an account; it takes 8 KiB for each.
type tallies map[paxos.NodeID]*bench.Tally

const tallyClients = 1024

func newTallies(f *cluster.File, ids []uint16, check bool) (tallies, error) {
	t := tallies{}
	for _, id := range ids {
		n, err := f.Node(id)
		if err != nil || !check || !n.Roles.Has(cluster.Learner) {
			continue
		}
		tally, err := bench.NewTally(tallyClients)
		if err != nil {
			return nil, err
		}
		tally.CheckValues()
		t[paxos.NodeID(id)] = tally
	}
	return t, nil
}

func (t tallies) deliver() func(paxos.NodeID, *paxos.Delivery) {
	if len(t) == 0 {
		return nil
	}
	return func(id paxos.NodeID, d *paxos.Delivery) { t[id].Deliver(d) }
}

// read copies the accounts, between two cycles of the loop.
func (t tallies) read(p *node.Process) (map[paxos.NodeID]bench.TallyReport, error) {
	reports := map[paxos.NodeID]bench.TallyReport{}
	p.Inspect(func() {
		for id, tally := range t {
			reports[id] = tally.Report()
		}
	})
	return reports, nil
}

func (t tallies) answer(p *node.Process, answers map[string]node.Answer) {
	answers["tally"] = node.NoWords(func() (any, error) { return t.read(p) })
}
