package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	comparison "wirepaxos/bench/compare"
)

func newBenchCompare() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Tell two measurements apart: what became better, what worse, and what is noise",
		Long: `Reads two suites, files or directories as "bench report" takes them, A from before a change and B from after it, and holds every point of the one
against the same point of the other: the same scenario, series and configuration. For values/s, the median and the 99th percentile of latency it shows the median of
the runs with the least and the most, the change in percent, and a verdict:

  better, worse   the ranges of the runs do not overlap; the figure is how far they lie apart at least
  within noise    they do
  no verdict      one of them has one run alone

Go benchmarks are compared by ns/op. Runs in which the check found a problem do not count. It reports and does not judge: exit status 0 whatever it finds.`,
		Example: `  wirepaxos bench peak --rounds 10 --json before.json    # then change something
  wirepaxos bench peak --rounds 10 --json after.json
  wirepaxos bench compare before.json after.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("bench compare: want two suites, A and B, not %d arguments", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return compareSuites(args[0], args[1], path) },
	}
	c.Flags().StringVar(&path, "json", "", "write the comparison to this file, as one JSON object")
	return c
}

func compareSuites(a, b, path string) error {
	var sides [2]*bench.Suite
	for i, arg := range []string{a, b} {
		suites, _, err := readSuites([]string{arg})
		if err != nil {
			return err
		}
		if len(suites) > 1 {
			return errors.New("bench compare: " + arg + " has several suites: name the file")
		}
		sides[i] = suites[0]
	}
	r := comparison.Suites(sides[0], sides[1])
	if err := r.Text(os.Stdout); err != nil {
		return err
	}
	if path == "" {
		return nil
	}
	return bench.WriteJSON(path, r)
}
