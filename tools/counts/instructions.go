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
// make no system call, allocate nothing and loop by b.Loop.
var stepped = []struct {
	pkg, benchmark string
	operations     int
}{
	{"dataplane/header", "Put/ethernet", 20},
	{"dataplane/header", "Parse/ethernet", 20},
	{"dataplane/mem", "Burst/burst-1", 10},
	{"dataplane/mem", "Burst/burst-32", 1},
	{"dataplane/afxdp", "Rings", 1},
	{"paxos", "Accept/burst=1/a-frame=1", 10},
	{"paxos", "AcceptorStep/burst=32", 1},
	{"paxos", "Learner/burst=32", 1},
	{"paxos", "Proposer/instance/submit=16", 1},
	{"paxos", "Apply/clients=64", 1},
	{"paxos", "Codec/decode/accept", 1},
	{"paxos", "Frame/check/168", 1},
	{"paxos", "Group/instance/frames=false", 1},
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
func countInstructions(ctx context.Context, now *counts, kept counts, binaries []testBinary, progress func(string)) {
	if kept.toolchain != "" && kept.toolchain != now.toolchain {
		now.skips = append(now.skips, skip{unit: unitInstructions, reason: fmt.Sprintf("kept with %s, this is %s", kept.toolchain, now.toolchain)})
	}
	pkg := ""
	for _, s := range stepped {
		f := figure{name: s.pkg + "." + s.benchmark, unit: unitInstructions, tolerance: instructionTolerance}
		if s.pkg != pkg {
			pkg = s.pkg
			progress("instructions of " + pkg)
		}
		i := slices.IndexFunc(binaries, func(b testBinary) bool { return b.name == s.pkg })
		if _, ran := now.find(f.name + " " + unitAllocations); !ran || i < 0 {
			now.problems = append(now.problems, f.name+" is no benchmark any more: name the one that took its place in tools/counts/instructions.go, or none")
			continue
		}
		old, _ := kept.find(f.key())
		least, err := leastInstructions(ctx, &binaries[i], s.benchmark, s.operations, old)
		switch {
		case errors.Is(err, errNoTrace):
			now.skips = append(now.skips, skip{unit: unitInstructions, reason: err.Error()})
			return
		case err != nil:
			now.problems = append(now.problems, fmt.Sprintf("the instructions of %s cannot be counted: %v", f.name, err))
			continue
		}
		f.value = least
		now.figures = append(now.figures, f)
	}
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
