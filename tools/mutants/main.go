// Command mutants is `make mutants`: it breaks the protocol on purpose, one way at a time, and wants the simulator to notice.
//
// A mutant is a text file under wrong: what is broken, which rule, and the text of the repository to replace. The code that is shipped knows nothing of
// this: the go command builds cmd/wirepaxos with the changed files laid over the true ones (go build -overlay), in a folder of its own. Then
// `wirepaxos sim` runs seeds of the mutant's profiles until a checker speaks up. A mutant that no seed shows has survived: the simulator lacks a
// fault or a checker.
//
// The true version runs first, with as many seeds of each profile as any mutant gets: a simulator that cries without cause catches everything. The last
// line, alone, is
//
//	N caught, N survived
//
// What it may cost at most is printed first, what it did cost before the last line.
//
// The exit status is 1 if one survived, 2 if the tool could not do its work, or the true version failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// folder holds the mutants, from the root of the repository.
const folder = "tools/mutants/wrong"

func main() {
	only := flag.String("only", "", "run these mutants alone: names with commas between them")
	build := flag.Bool("build", false, "build the packages that the mutants change, and run nothing")
	workers := flag.Int("workers", 2, "mutants at once")
	patience := flag.Duration("patience", 5*time.Minute, "longest time for one mutant and profile; one that takes longer has survived")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: mutants [flags]\n\nBreaks the protocol in one way after the other, and runs the simulator until it notices.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || *workers < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	survived, err := run(ctx, options{only: *only, build: *build, workers: *workers, patience: *patience})
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	if survived > 0 {
		os.Exit(1)
	}
}

type options struct {
	only     string
	build    bool
	workers  int
	patience time.Duration
}

// run does everything, and leaves nothing behind, also when it is interrupted.
func run(ctx context.Context, o options) (survived int, err error) {
	root, err := findRoot()
	if err != nil {
		return 0, err
	}
	all, err := load(os.DirFS(filepath.Join(root, folder)))
	if err != nil {
		return 0, err
	}
	if all, err = choose(all, o.only); err != nil {
		return 0, err
	}
	temporary, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(temporary)
	w := &workshop{root: root, temporary: temporary, patience: o.patience}
	for i := range all {
		if _, err := all[i].apply(os.DirFS(root)); err != nil {
			return 0, err // before an hour is spent on the others
		}
	}
	if o.build {
		return 0, w.buildAll(ctx, all)
	}
	began := time.Now()
	if err := w.runTrue(ctx, all, o.workers); err != nil {
		return 0, err
	}
	results, err := w.runAll(ctx, all, o.workers)
	if err != nil {
		return 0, err
	}
	return printTable(os.Stdout, results, time.Since(began)), nil
}

// choose picks the mutants of a list of names; all where it is empty.
func choose(all []mutant, only string) ([]mutant, error) {
	if only == "" {
		return all, nil
	}
	var chosen []mutant
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no mutant %q: see the names in %s", name, folder)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// findRoot is the nearest folder upwards that holds go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod in %s or above: run it in the repository", start)
		}
	}
}
