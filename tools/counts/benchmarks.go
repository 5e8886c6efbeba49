package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// operations is for how many operations a benchmark is run. An allocation that happens less often than in each of them is not seen here; the tests beside
// the code see it.
const operations = "100x"

// threads is GOMAXPROCS of those runs, which the name of a result ends in.
const threads = "2"

// hotPackages are where benchmarks are looked for.
var hotPackages = []string{"./dataplane/...", "./paxos/...", "./bench/..."}

// coldPackages have benchmarks of what is no hot path: a whole run of the simulator, whose operations cannot be compared.
var coldPackages = []string{"paxos/sim"}

// testBinary is a package's tests, built.
type testBinary struct {
	name string // of the package, without the module
	dir  string // where its tests run
	path string
}

// count takes all figures. Those of kept that cannot be counted here are covered by a skip.
func count(ctx context.Context, kept counts, progress func(what string)) (counts, error) {
	now := counts{toolchain: thisToolchain()}
	progress("the simulator plays a steady load")
	figures, err := traffic()
	if err != nil {
		return now, err
	}
	now.figures = figures
	folder, err := os.MkdirTemp("", "wirepaxos-counts-")
	if err != nil {
		return now, fmt.Errorf("nowhere to build in: %w", err)
	}
	defer os.RemoveAll(folder)
	progress("building the benchmarks")
	binaries, err := buildBenchmarks(ctx, folder)
	if err != nil {
		return now, err
	}
	for _, b := range binaries {
		progress("allocations and system calls of " + b.name)
		output, err := b.run(ctx)
		if err != nil {
			return now, err
		}
		figures, skips, err := parseBenchmarks(b.name, output)
		if err != nil {
			return now, err
		}
		now.figures, now.skips = append(now.figures, figures...), append(now.skips, skips...)
	}
	countInstructions(ctx, &now, kept, binaries, progress)
	return now, ctx.Err()
}

// buildBenchmarks builds the tests of each package that has benchmarks.
func buildBenchmarks(ctx context.Context, folder string) (binaries []testBinary, err error) {
	list := goCommand(ctx, append([]string{"list", "-f",
		"{{.ImportPath}}\t{{.Dir}}\t{{range .TestGoFiles}}{{.}} {{end}}{{range .XTestGoFiles}}{{.}} {{end}}"}, hotPackages...)...)
	output, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the packages: %w%s", err, complaint(err))
	}
	args := []string{"test", "-c", "-o", folder + "/"}
	for line := range strings.Lines(string(output)) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 3)
		importPath, dir := fields[0], fields[1]
		_, name, _ := strings.Cut(importPath, "/")
		if slices.Contains(coldPackages, name) || !hasBenchmarks(dir, strings.Fields(fields[2])) {
			continue
		}
		args = append(args, importPath)
		binaries = append(binaries, testBinary{name: name, dir: dir, path: filepath.Join(folder, path.Base(importPath)+".test")})
	}
	if output, err := goCommand(ctx, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build the benchmarks: %w\n%s", err, output)
	}
	return binaries, nil
}

var benchmarkFunction = regexp.MustCompile(`(?m)^func Benchmark`)

func hasBenchmarks(dir string, files []string) bool {
	return slices.ContainsFunc(files, func(name string) bool {
		text, err := os.ReadFile(filepath.Join(dir, name))
		return err == nil && benchmarkFunction.Match(text)
	})
}

// run runs all benchmarks of a package.
func (b *testBinary) run(ctx context.Context) (output []byte, err error) {
	const atMost = 2 * time.Minute // they take a second; a loaded machine shall not fail
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	cmd := command(ctx, b.path, "-test.run", "^$", "-test.bench", ".", "-test.benchtime", operations, "-test.cpu", threads,
		"-test.benchmem", "-test.v")
	cmd.Dir = b.dir
	if output, err = cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the benchmarks of %s failed: %w\n%s", b.name, err, output)
	}
	return output, nil
}

// resultLine is a benchmark's result: its name, with the number of threads at the end, the operations, and pairs of a count and a unit.
var (
	resultLine = regexp.MustCompile(`^Benchmark(\S+)-` + threads + `\s+\d+\s+(\S.*)$`)
	skipLine   = regexp.MustCompile(`^\s*--- SKIP: Benchmark(\S+)`)
	reasonLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)
)

// parseBenchmarks takes from the output of the benchmarks of a package what does not depend on the machine, and what was skipped and why.
func parseBenchmarks(pkg string, output []byte) (figures []figure, skips []skip, err error) {
	reason := "no reason given"
	for line := range bytes.Lines(output) {
		line = bytes.TrimRight(line, "\n")
		if m := reasonLine.FindSubmatch(line); m != nil {
			reason = string(m[1])
			continue
		}
		if m := skipLine.FindSubmatch(line); m != nil {
			skips = append(skips, skip{name: pkg + "." + string(m[1]), reason: reason})
			continue
		}
		m := resultLine.FindSubmatch(line)
		if m == nil {
			continue
		}
		fields := strings.Fields(string(m[2]))
		for i := 0; i+1 < len(fields); i += 2 {
			f := figure{name: pkg + "." + string(m[1]), unit: fields[i+1]}
			switch {
			case f.unit == unitAllocations:
			case strings.HasPrefix(f.unit, prefixSyscalls):
				f.tolerance = syscallTolerance
			default:
				continue
			}
			if f.value, err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, nil, fmt.Errorf("%s: cannot read the benchmark's line %q", pkg, line)
			}
			figures = append(figures, f.settle())
		}
	}
	return figures, skips, nil
}

func goCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "GOAMD64=v1") // so that the same instructions are counted everywhere
	return cmd
}

// command makes a command in a process group of its own, which ends as a whole when the context does.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	const patience = 5 * time.Second // between being asked to end and being killed
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

// complaint is what a command that failed said.
func complaint(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "\n" + strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
