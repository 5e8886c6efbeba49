// Command model is `make model`: it lets spin check the protocol's model, paxos/model/paxos.pml.
//
// The rules as they are must hold in every state that can be reached, and each run that breaks one rule on purpose must end in a
// violation: a model that finds nothing wrong with broken rules would prove nothing. A line a run tells how many states there are,
// how deep they lie and the verdict. All files are in a temporary directory, which goes with the command. Where spin or a C
// compiler is missing, it says how to get them and ends well. The exit status is 1 if a verdict is not the expected one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	model := flag.String("model", "paxos/model/paxos.pml", "the model")
	large := flag.Bool("large", false, "the runs that take minutes as well")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := check(ctx, *model, *large, os.Stdout); errors.Is(err, errMissing) {
		fmt.Printf("skipped: %v\n", err)
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "model: %v\n", err)
		os.Exit(1)
	}
}

var errMissing = errors.New("the model needs spin and a C compiler (on Debian: apt-get install spin gcc libc6-dev)")

// tools are the programs that a run needs.
type tools struct{ spin, compiler string }

func findTools() (t tools, err error) {
	var missing []string
	if t.spin, err = exec.LookPath("spin"); err != nil {
		missing = append(missing, "spin")
	}
	for _, name := range []string{"gcc", "cc", "clang"} {
		if t.compiler, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if t.compiler == "" {
		missing = append(missing, "gcc, cc or clang")
	}
	if len(missing) > 0 {
		return t, fmt.Errorf("not found: %s: %w", strings.Join(missing, "; "), errMissing)
	}
	return t, nil
}

// check does all runs and tells a line for each.
func check(ctx context.Context, model string, large bool, out io.Writer) error {
	t, err := findTools()
	if err != nil {
		return err
	}
	if model, err = filepath.Abs(model); err != nil {
		return err
	}
	todo := runs
	if large {
		todo = append(largeRuns[:len(largeRuns):len(largeRuns)], runs...)
	}
	begun, wrong := time.Now(), 0
	for _, r := range todo {
		f, err := t.do(ctx, model, r)
		if err == nil {
			err = f.judge(r)
		}
		verdict := "holds"
		if r.bitstate {
			verdict = "holds, some states may be missed"
		}
		if r.breaks {
			verdict = "violation found, as it must be"
		}
		if err != nil {
			wrong++
			verdict = "WRONG: " + err.Error()
		}
		fmt.Fprintf(out, "%-46s %8d states  depth %4d  %5d MB  %4.1f s  %s\n", r, f.states, f.depth, f.memoryMB, f.elapsed.Seconds(), verdict)
	}
	fmt.Fprintf(out, "%d runs in %.0f s, %d with another verdict than expected\n", len(todo), time.Since(begun).Seconds(), wrong)
	if wrong > 0 {
		return fmt.Errorf("%d of %d runs did not end as they must", wrong, len(todo))
	}
	return nil
}
