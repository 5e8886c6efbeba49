package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// run is one question to spin: a size of the model and, if it is to be broken, the macro that does so.
type run struct {
	broken             string // a macro of the model; "" none
	ballots, instances int
	also               string // macros that make the states fewer
	breaks             bool
	bitstate           bool // states are kept as three bits each: the search may miss some
}

func holds(ballots, instances int, also string) run {
	return run{ballots: ballots, instances: instances, also: also}
}

func breaks(macro string, ballots int) run {
	return run{broken: macro, ballots: ballots, instances: 1, breaks: true}
}

// runs are all questions. A rule is broken in the smallest size that shows it.
var runs = []run{
	holds(3, 1, ""),
	holds(4, 1, "SORTED AT_ONCE"),
	holds(2, 2, "SORTED"),
	breaks("ACCEPT_BELOW_PROMISE", 2),
	breaks("ACCEPT_WITHOUT_PROMISE", 3),
	breaks("PROMISE_BELOW", 2),
	breaks("FORGET_AND_VOTE", 2),
	breaks("QUORUM_HALF", 2),
	breaks("LEAD_BY_ONE", 2),
	breaks("OWN_VALUE", 2),
	breaks("LOWEST_VALUE", 3),
	breaks("IGNORE_LOW", 2),
	breaks("REUSE_ROUND", 2),
	breaks("COUNT_PROMISED", 3),
	breaks("ANY_VALUE", 2),
	// Not a rule: that the states in which everything is done are among those that were looked at.
	breaks("NEVER_DONE", 3),
	{broken: "NEVER_DONE", ballots: 2, instances: 2, also: "SORTED", breaks: true},
}

// largeRuns take minutes.
var largeRuns = []run{
	{ballots: 3, instances: 2, also: "SORTED AT_ONCE", bitstate: true},
}

func (r run) String() string {
	name := "as it is"
	if r.broken != "" {
		name = r.broken
	}
	return fmt.Sprintf("%s, ballots %d, instances %d", name, r.ballots, r.instances)
}

func (r run) macros() []string {
	list := []string{fmt.Sprintf("-DBALLOTS=%d", r.ballots), fmt.Sprintf("-DINSTANCES=%d", r.instances)}
	for _, name := range strings.Fields(r.broken + " " + r.also) {
		list = append(list, "-D"+name)
	}
	return list
}

// found is what spin's verifier says at its end.
type found struct {
	states, depth, violations, memoryMB int
	complete                            bool
	output                              string
	elapsed                             time.Duration // of the search alone
}

// maxDepth bounds the verifier's stack, in steps. A run that comes to it is not complete and fails.
const maxDepth = "-m100000"

// bitstateSize is 2^31 bits: over a hundred for each state of largeRuns, where spin's own measure of good coverage is met.
const bitstateSize = "-w31"

// do makes a verifier for r, lets it search, and reads what it found.
func (t tools) do(ctx context.Context, model string, r run) (f found, err error) {
	folder, err := os.MkdirTemp("", "wirepaxos-model-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(folder)
	do := func(program string, args ...string) string {
		if err != nil {
			return ""
		}
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = folder
		var output []byte
		if output, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, output)
		}
		return string(output)
	}
	do(t.spin, append(append([]string{"-P" + t.compiler + " -E -x c"}, r.macros()...), "-a", model)...)
	options, search := []string{"-O2", "-DSAFETY", "-DNOCLAIM"}, []string{maxDepth}
	if r.breaks {
		options[0] = "-O0" // a short search: making the verifier takes longer
	}
	if r.bitstate {
		options, search = append(options, "-DBITSTATE"), append(search, bitstateSize)
	}
	do(t.compiler, append(options, "-o", "pan", "pan.c")...)
	begun := time.Now()
	f.output = do(folder+"/pan", search...)
	f.elapsed = time.Since(begun)
	if err == nil {
		err = f.read()
	}
	return f, err
}

var (
	depthAndErrors = regexp.MustCompile(`depth reached (\d+), errors: (\d+)`)
	statesStored   = regexp.MustCompile(`(\d+) states, stored`)
	memoryUsed     = regexp.MustCompile(`([0-9.]+)\s+total actual memory usage`)
)

func (f *found) read() error {
	depth, states := depthAndErrors.FindStringSubmatch(f.output), statesStored.FindStringSubmatch(f.output)
	if depth == nil || states == nil {
		return fmt.Errorf("the verifier did not say what it found: %s", f.output)
	}
	f.depth, _ = strconv.Atoi(depth[1])
	f.violations, _ = strconv.Atoi(depth[2])
	f.states, _ = strconv.Atoi(states[1])
	f.complete = !strings.Contains(f.output, "Search not completed") && !strings.Contains(f.output, "max search depth too small")
	if memory := memoryUsed.FindStringSubmatch(f.output); memory != nil {
		mb, _ := strconv.ParseFloat(memory[1], 64)
		f.memoryMB = int(mb)
	}
	return nil
}

// judge tells what is wrong with the answer to r.
func (f found) judge(r run) error {
	violated := f.violations > 0 && strings.Contains(f.output, "assertion violated")
	switch {
	case r.breaks && !violated:
		return errors.New("no violation, though a rule is broken: the model does not see it")
	case r.breaks:
		return nil
	case f.violations > 0:
		return fmt.Errorf("violation:\n%s", f.output)
	case !f.complete:
		return fmt.Errorf("not all states were looked at:\n%s", f.output)
	}
	return nil
}
