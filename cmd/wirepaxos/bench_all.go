package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newBenchAll() *cobra.Command {
	b := &benchFlags{}
	var only string
	list := append(scenarios(), failoverScenario())
	list = append(list, microScenario())
	var names, lines []string
	for _, s := range list {
		names = append(names, s.name)
		lines = append(lines, fmt.Sprintf("  %-9s %s", s.name, s.title))
	}
	c := &cobra.Command{
		Use:   "all",
		Short: "All scenarios, one after the other, into one result",
		Long: `Makes all scenarios and one result of them. With --quick it takes less than five minutes on two CPUs, else less than thirty. After each scenario
the files hold what was measured so far.

` + strings.Join(lines, "\n") + benchManner,
		Example: "  wirepaxos bench all --quick --out quick\n  wirepaxos bench all --out results && wirepaxos bench report results\n" +
			"  wirepaxos bench all --only latency,peak --transport afxdp,udp",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			chosen, err := listOf("only", only, names)
			if err != nil {
				return err
			}
			return b.measure(c.Context(), slices.DeleteFunc(slices.Clone(list), func(s *scenario) bool {
				return chosen != nil && !slices.Contains(chosen, s.name)
			}))
		},
	}
	b.add(c.Flags())
	b.addCluster(c.Flags())
	c.Flags().StringVar(&only, "only", "", "only these scenarios, with commas")
	return c
}
