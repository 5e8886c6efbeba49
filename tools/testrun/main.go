// Command testrun is `make test`: every check and every test of the repository, told so that a person can follow it.
//
// It formats nothing and changes nothing. In order: gofmt, go vet, a linter if one is installed, all tests one package at a time (they
// pin cores and build virtual links, and would disturb one another), then once more with the race detector the packages where
// goroutines meet, if there is a C compiler for it, the modules of their own, if what they build on is there or can be fetched, make
// zerocopy, if its virtual machine can be had, and last the counts of make bench-check. A line a package tells the result; the output of what failed is printed in full. At the end comes the
// list of what was skipped and why, and as its last line, alone:
//
//	N passed, N failed, N skipped
//
// A check counts as one, a test as one unless it has subtests, which then count instead. A package that does not build, panics or
// runs out of time is one failure. The exit status is 1 if anything failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// racePackages are where goroutines or loops share memory. The rest is owned by one goroutine each.
var racePackages = []string{
	"dataplane", "dataplane/mem", "dataplane/udp", "paxos/node", "paxos/client", "paxos/delivery", "tools/testrun",
}

// allocationTests say nothing under the race detector, which allocates itself; on one thread for minutes, they find no race either. Each ran
// without it before.
const allocationTests = "^TestCyclesDoNotAllocate$"

// maxOffenders bounds how many unformatted files are named.
const maxOffenders = 50

func main() {
	packageTimeout := flag.Duration("timeout", 8*time.Minute, "longest time for the tests of one package")
	budget := flag.Duration("budget", 28*time.Minute, "longest time for everything; what does not fit has failed")
	race := flag.Bool("race", true, "run the packages where goroutines meet once more with the race detector")
	counts := flag.Bool("counts", true, "compare the counts of make bench-check; not with some packages alone")
	zeroCopy := flag.Bool("zerocopy", true, "run make zerocopy, unless WIREPAXOS_VMLAB=0; not with some packages alone")
	flag.Parse()
	patterns := flag.Args()
	all := len(patterns) == 0
	if all {
		patterns = []string{"./..."}
	} else {
		*counts, *zeroCopy = false, false
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *budget)
	defer cancel()

	r := &report{out: os.Stdout}
	checkAll(ctx, r)
	runTests(ctx, r, "", append([]string{"-timeout", packageTimeout.String()}, patterns...))
	if *race {
		runRace(ctx, r, *packageTimeout)
	}
	if all {
		for _, folder := range modules {
			runModule(ctx, r, folder)
		}
	}
	if *zeroCopy {
		checkZeroCopy(ctx, r, "go", "run", "./tools/vmlab", "-timeout", machineTimeout.String(), "-fetch-timeout", packagesTimeout.String())
	}
	if *counts {
		checkCounts(ctx, r, "go", "run", "./tools/counts")
	}
	if cause := ctx.Err(); errors.Is(cause, context.DeadlineExceeded) {
		r.fail("time", fmt.Sprintf("not everything ran within %v (-budget)\n", *budget))
	} else if cause != nil {
		r.fail("interrupt", "stopped before everything had run\n")
	}
	r.close()
	if r.failed > 0 {
		os.Exit(1)
	}
}

// checkAll runs what needs no test.
func checkAll(ctx context.Context, r *report) {
	checkFormat(ctx, r, "gofmt")
	checkCommand(ctx, r, "go vet", "go", "vet", "./...")
	for _, linter := range [][]string{{"golangci-lint", "run", "./..."}, {"staticcheck", "./..."}} {
		if tool := findTool(ctx, linter[0]); tool != "" {
			checkCommand(ctx, r, linter[0], tool, linter[1:]...)
			return
		}
	}
	r.skip("linter", "neither golangci-lint nor staticcheck is on PATH or in GOPATH/bin")
}

// checkFormat judges the files of the repository, not those below folders that the go command passes over.
func checkFormat(ctx context.Context, r *report, name string) {
	list, err := command(ctx, "go", "list", "-e", "-f", "{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}\n{{end}}"+
		"{{range .TestGoFiles}}{{$d}}/{{.}}\n{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}\n{{end}}", "./...").Output()
	files := strings.Fields(string(list))
	if err != nil || len(files) == 0 {
		r.fail(name, fmt.Sprintf("cannot list the packages: %v\n", err))
		return
	}
	output, err := command(ctx, gofmtPath(ctx), append([]string{"-l"}, files...)...).CombinedOutput()
	switch offenders := strings.Fields(string(output)); {
	case err != nil:
		r.fail(name, fmt.Sprintf("%s%v\n", output, err))
	case len(offenders) > 0:
		here, _ := os.Getwd() // without it the names are longer, nothing else
		var names strings.Builder
		for _, offender := range offenders[:min(len(offenders), maxOffenders)] {
			names.WriteString(strings.TrimPrefix(offender, here+"/") + "\n")
		}
		r.fail(name, "not formatted (gofmt -w):\n"+names.String())
	default:
		r.pass(name)
	}
}

// gofmtPath is the gofmt of the toolchain that runs, which need not be on PATH.
func gofmtPath(ctx context.Context) string {
	beside := filepath.Join(goEnv(ctx, "GOROOT"), "bin", "gofmt")
	if _, err := os.Stat(beside); err == nil {
		return beside
	}
	return "gofmt"
}

func checkCommand(ctx context.Context, r *report, name, program string, args ...string) {
	if output, err := command(ctx, program, args...).CombinedOutput(); err != nil {
		r.fail(name, fmt.Sprintf("%s%v\n", output, err))
		return
	}
	r.pass(name)
}

// checkCounts compares what does not depend on the machine with what was kept (tools/counts). What cannot be counted here that command tells in lines of
// its own.
func checkCounts(ctx context.Context, r *report, program string, args ...string) {
	if ctx.Err() != nil {
		return // said at the end
	}
	output, err := command(ctx, program, args...).CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if reason, ok := strings.CutPrefix(line, "skipped: "); ok {
			r.skip("counts", strings.TrimSpace(reason))
		}
	}
	if err != nil {
		r.fail("counts", fmt.Sprintf("%s%v\n", output, err))
		return
	}
	r.pass("counts")
}

// runRace runs racePackages with the race detector, or says why not.
func runRace(ctx context.Context, r *report, packageTimeout time.Duration) {
	args := []string{"-race", "-skip", allocationTests, "-timeout", packageTimeout.String()}
	found := false
	for _, folder := range racePackages {
		if tests, _ := filepath.Glob(filepath.Join(folder, "*_test.go")); len(tests) > 0 {
			args = append(args, "./"+folder)
			found = true
		}
	}
	if !found {
		return
	}
	compiler, _, _ := strings.Cut(goEnv(ctx, "CC"), " ")
	if _, err := exec.LookPath(compiler); err != nil {
		r.skip("race detector", fmt.Sprintf("it needs a C compiler, and %q was not found", compiler))
		return
	}
	runTests(ctx, r, "race: ", args)
}

func goEnv(ctx context.Context, name string) string {
	output, err := command(ctx, "go", "env", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(output))
}

// findTool looks on PATH and where `go install` puts things.
func findTool(ctx context.Context, name string) string {
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	var folders []string
	for _, root := range filepath.SplitList(goEnv(ctx, "GOPATH")) {
		folders = append(folders, filepath.Join(root, "bin"))
	}
	if bin := goEnv(ctx, "GOBIN"); bin != "" {
		folders = append(folders, bin)
	}
	i := slices.IndexFunc(folders, func(folder string) bool {
		info, err := os.Stat(filepath.Join(folder, name))
		return err == nil && info.Mode()&0o111 != 0
	})
	if i < 0 {
		return ""
	}
	return filepath.Join(folders[i], name)
}

// killDelay is what a command gets between being asked to end and being killed.
const killDelay = 5 * time.Second

// command makes a command in a process group of its own, which ends as a whole when the context does: go test leaves no test binary.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	return cmd
}
