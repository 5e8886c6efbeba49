// Command wirepaxos runs the roles of a Multi-Paxos cluster over AF_XDP, UDP or shared memory, a lab to try them in, and a demo of the whole.
//
// Exit status: 0 done; 1 it ran, and the outcome is not what it should be; 2 it could not run: a flag, the cluster file, a privilege, an
// interface. Errors are one line that says what is wrong, where, and what to do.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// failure is an error of a command that ran: exit status 1. Any other error is 2.
type failure struct{ error }

func failed(format string, args ...any) error { return failure{fmt.Errorf(format, args...)} }

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "wirepaxos: %v\n", err)
	var f failure
	if errors.As(err, &f) {
		return 1
	}
	return 2
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "wirepaxos",
		Short: "Multi-Paxos in user space over AF_XDP: consensus at the speed of the NIC's rings",
		Long: `wirepaxos runs Multi-Paxos as poll-mode processes: each binds a queue of a NIC by AF_XDP, is pinned to a core, and hands bursts of
frames to state machines that nothing locks.

New here?  wirepaxos demo        builds a network of veth pairs, runs a whole cluster in it, and ends with a latency histogram.
A cluster: wirepaxos cluster new > cluster.toml, then one acceptor, proposer, learner or replica per machine.`,
		SilenceUsage: true, SilenceErrors: true,
		Version: version(),
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRole("acceptor"), newRole("proposer"), newRole("learner"), newRole("replica"), newClient(),
		newDemo(), newBench(), newLab(), newNIC(), newCluster(), newStatus(), newAdmin(), newDoctor(), newSim(),
	)
	for _, c := range append(root.Commands(), root) {
		if !c.Runnable() {
			c.Args, c.RunE = noSuchCommand, func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: `%s --help` lists the flags", err, c.CommandPath())
	})
	return root
}

// noSuchCommand refuses what is no command of a group: cobra would show the group's help and call that a success.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("unknown command %q: `%s --help` lists the commands", args[0], c.CommandPath())
}

// version is the module's version, or the commit that the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			v += " " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			v += " modified"
		}
	}
	return v
}
