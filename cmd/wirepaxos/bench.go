package main

import "github.com/spf13/cobra"

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure one property of a cluster on this machine",
	}
	c.AddCommand(newBenchFailover(), newBenchPeers())
	return c
}
