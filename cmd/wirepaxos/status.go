package main

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"wirepaxos/paxos/node"
)

func newStatus() *cobra.Command {
	var group uint16
	c := &cobra.Command{
		Use:   "status SOCKET",
		Short: "Ask a running process how it is: roles, who leads, watermarks, ports, drops by reason",
		Long: `Asks the process that was started with --control SOCKET and prints its answer, one JSON object: what each role of it knows (who leads
and by which ballot, low and delivered watermarks, whether an acceptor votes), what each port really got and counted, how its interface is and how
often it was away, what was dropped and why, and under "trouble" why something does not move. A process with several groups answers with an array of
such objects, one for each; --group picks one.`,
		Example: "  wirepaxos status /run/wirepaxos/node4.sock\n  wirepaxos status /run/wirepaxos/node4.sock --group 2",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := node.AskAll[*node.Status](args[0], ofGroup("status", group))
			if err != nil {
				return err
			}
			e := json.NewEncoder(os.Stdout)
			e.SetIndent("", "  ")
			if len(all) == 1 {
				return e.Encode(all[0])
			}
			return e.Encode(all)
		},
	}
	addGroup(c, &group)
	return c
}

// addGroup adds the flag that picks a group of a process.
func addGroup(c *cobra.Command, group *uint16) {
	c.Flags().Uint16Var(group, "group", 0, "group of the process to ask, where it runs several; 0: all of them")
}

// ofGroup is a request to a group of a process; 0: to all of them.
func ofGroup(request string, group uint16) string {
	if group == 0 {
		return request
	}
	return node.ForGroup(request, group)
}
