package main

import "github.com/spf13/cobra"

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure one property of a cluster on this machine, or all",
	}
	c.AddCommand(newBenchAll(), newBenchFailover(), newBenchEcho(), newEchoEnd(), newBenchTrial(), newBenchPeers())
	c.AddCommand(newBenchReport(), newBenchCompare())
	for _, s := range append(scenarios(), microScenario()) {
		c.AddCommand(newScenario(s))
	}
	return c
}
