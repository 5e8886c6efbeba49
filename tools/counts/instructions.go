package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// stepped are the benchmarks whose instructions are counted, and for how many operations: 100,000 instructions take a second or two. They use one thread,
// make no system call and loop by b.Loop.
var stepped = []struct {
	pkg, benchmark string
	operations     int
}{
	{"dataplane/header", "Put/ethernet", 20},
	{"dataplane/header", "Parse/ethernet", 20},
	{"dataplane/mem", "Burst/burst-1", 10},
	{"dataplane/mem", "Burst/burst-32", 1},
	{"dataplane/afxdp", "Rings", 1},
	{"paxos", "Decode", 20},
	{"paxos", "FrameCheck", 20},
	{"paxos", "AcceptorAccept/64", 10},
	{"paxos", "Group/instance", 1},
	{"paxos", "Group/frame", 1},
	{"paxos/node", "Receive/1-messages", 10},
	{"paxos/node", "Receive/8-messages", 2},
	{"paxos/node", "Transmit/1-messages", 5},
	{"paxos/node", "Transmit/8-messages", 1},
	{"paxos/node", "Cycle/mem/1", 1},
	{"paxos/node", "Cycle/mem/64", 1},
	{"paxos/client", "Value/burst-1", 10},
	{"paxos/client", "Value/burst-64", 1},
	{"bench", "Record", 20},
}

const (
	// mostTries is how often a count is taken that is not as it was kept. All other threads stand still, but the runtime may have asked the benchmark's
	// to give way just before: that adds some thousand instructions, once. The least is right.
	mostTries = 2
	// longestStepping is for one count.
	longestStepping = 40 * time.Second
)

// errNoTrace tells that this machine lets no process trace another.
var errNoTrace = errors.New("no process may trace another here (ptrace)")

// countInstructions adds the instructions of the stepped benchmarks to the counts.
func countInstructions(ctx context.Context, now *counts, kept counts, binaries []testBinary, progress func(string)) error {
	if kept.toolchain != "" && kept.toolchain != now.toolchain {
		now.skips = append(now.skips, skip{unit: unitInstructions, reason: fmt.Sprintf("kept with %s, this is %s", kept.toolchain, now.toolchain)})
	}
	pkg := ""
	for _, s := range stepped {
		name := s.pkg + "." + s.benchmark
		if s.pkg != pkg {
			pkg = s.pkg
			progress("instructions of " + pkg)
		}
		i := slices.IndexFunc(binaries, func(b testBinary) bool { return b.name == s.pkg })
		if i < 0 {
			return fmt.Errorf("there is no benchmark %s: take it out of the list in tools/counts, or name the one that took its place", name)
		}
		old, _ := kept.find(name + " " + unitInstructions)
		least, err := leastInstructions(ctx, &binaries[i], s.benchmark, s.operations, old)
		if errors.Is(err, errNoTrace) {
			now.skips = append(now.skips, skip{unit: unitInstructions, reason: err.Error()})
			return nil
		} else if err != nil {
			return fmt.Errorf("instructions of %s: %w", name, err)
		}
		now.figures = append(now.figures, figure{name: name, unit: unitInstructions, value: least, tolerance: instructionTolerance})
	}
	return nil
}

// leastInstructions counts until the count is as it was kept, at most mostTries times.
func leastInstructions(ctx context.Context, b *testBinary, benchmark string, operations int, kept figure) (least float64, err error) {
	for try := range mostTries {
		n, err := stepsInTime(ctx, b, benchmark, operations)
		if err != nil {
			return 0, err
		}
		each := figure{value: float64(n) / float64(operations)}.settle().value
		if try == 0 || each < least {
			least = each
		}
		if _, differs := judge(kept, least); !differs {
			break
		}
	}
	return least, nil
}

func stepsInTime(ctx context.Context, b *testBinary, benchmark string, operations int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, longestStepping)
	defer cancel()
	return steps(ctx, b, pattern(benchmark), operations)
}

// pattern is what -test.bench takes for one benchmark.
func pattern(benchmark string) string {
	return "^" + strings.ReplaceAll("Benchmark"+benchmark, "/", "$/^") + "$"
}
