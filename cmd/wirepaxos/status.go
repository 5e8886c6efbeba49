package main

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"wirepaxos/paxos/node"
)

func newStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status SOCKET",
		Short: "Ask a running process how it is: roles, who leads, watermarks, ports, drops by reason",
		Long: `Asks the process that was started with --control SOCKET and prints its answer, one JSON object: what each role of it knows (who leads
and by which ballot, low and delivered watermarks, whether an acceptor votes), what each port really got and counted, what was dropped and why, and
under "trouble" why something does not move.`,
		Example: "  wirepaxos status /run/wirepaxos/node4.sock",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var s node.Status
			if err := node.Ask(args[0], "status", &s); err != nil {
				return err
			}
			e := json.NewEncoder(os.Stdout)
			e.SetIndent("", "  ")
			return e.Encode(s)
		},
	}
}
