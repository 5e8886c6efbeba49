// Command counts is `make bench-check`: it counts what does not depend on the machine, and compares with what was kept in bench/counts.txt.
//
// Times are not compared: machines differ, and shared ones differ from themselves. What is counted comes from three places:
//
//   - The simulator plays a steady load (sim.Steady): frames, messages, bytes and turns a value, exact.
//   - Every Go benchmark of the packages below dataplane, paxos and bench is run for a fixed number of operations: heap allocations an
//     operation, exact, and the system calls that those over sockets report.
//   - Some benchmarks are run once more under ptrace(2), an instruction at a time: instructions an operation. That needs no counters of the
//     processor, which virtual machines often lack, and no privilege. All other threads stand still meanwhile, so the count is the same each time;
//     it depends on the compiler, which is why the file names the one that it was counted with.
//
// Each figure gets a line: what was kept, what it is now, the verdict. What cannot be counted here is skipped, and the reason told; with -update it stays
// as it was. The exit status is 1 if a figure differs, is new or is gone, or went wrong, 2 if nothing could be compared.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	path := flag.String("file", "bench/counts.txt", "what was kept")
	update := flag.Bool("update", false, "keep what is counted now, instead of comparing")
	budget := flag.Duration("budget", 5*time.Minute, "longest time for everything")
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "usage: go run ./tools/counts [-update] [-file bench/counts.txt]\n\n"+
			"Counts what does not depend on the machine (heap allocations, frames, messages, bytes, system calls, instructions) and compares with what was kept.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *budget)
	defer cancel()
	same, err := run(ctx, *path, *update, os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "counts: %v\n", err)
		os.Exit(2)
	case !same:
		os.Exit(1)
	}
}

// run counts, and compares or keeps. It answers whether all was as kept.
func run(ctx context.Context, path string, update bool, out io.Writer) (same bool, err error) {
	if flag.NArg() > 0 {
		return false, fmt.Errorf("%q: it takes flags only", flag.Arg(0))
	}
	old, err := readKept(path)
	if err != nil && !(update && os.IsNotExist(err)) {
		return false, err
	}
	begun := time.Now()
	now, err := count(ctx, old, func(what string) { fmt.Fprintf(os.Stderr, "%5.1f s  %s\n", time.Since(begun).Seconds(), what) })
	if err != nil {
		return false, err
	}
	rows := compare(old, now)
	tell(out, rows, now.skips)
	differ := differing(rows)
	fmt.Fprintf(out, "%d figures in %.0f s, %d differ from %s\n", len(rows), time.Since(begun).Seconds(), differ, path)
	for _, problem := range now.problems {
		fmt.Fprintf(out, "PROBLEM: %s\n", problem)
	}
	if update {
		return len(now.problems) == 0, writeKept(path, merge(old, now))
	}
	if differ > 0 {
		fmt.Fprintf(out, "if that is meant: make bench-check UPDATE=1 keeps what is counted now, and the commit says why\n")
	}
	return differ == 0 && len(now.problems) == 0, nil
}
