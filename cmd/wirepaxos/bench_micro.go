package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"wirepaxos/bench"
)

// The Go benchmarks of the hot functions are in the test files of their packages, where `go test -bench` finds them too. So they are compiled from the
// sources, once, and run in turn: each package's program a round. The product itself would have to carry them, with what their rigs need, to do without.

// microParts of --duration is what one benchmark gets at a time: they are many, and short.
const microParts = 10

func microScenario() *scenario {
	return &scenario{
		name: "micro", title: "what the hot functions cost, one at a time",
		short: "The Go benchmarks of the hot functions: ns, bytes and allocations an operation",
		long: `Compiles the benchmarks of all packages of the data plane and the protocol from the sources, which it finds from the working directory or from its
own program upwards, and runs them in turn. Each gets a tenth of --duration at a time. It needs the sources and the go command; without them there is nothing
to run, and it says so.`,
		example: "  wirepaxos bench micro\n  wirepaxos bench micro --points Acceptor --rounds 10",
		run:     runMicro,
		takes: func(b *benchFlags) float64 {
			packages, _, err := microPackages(b.only)
			if err != nil {
				return 1 // to say so
			}
			total := 0.0
			for _, p := range packages {
				total += microCompileTakes + float64(b.roundsOf(&scenario{}))*b.microTakes(p)
			}
			return total
		},
	}
}

// microCompileTakes is what it takes to compile the benchmarks of a package, in seconds.
const microCompileTakes = 4

// microTakes is what it takes to run those of a package once: the testing package comes near to the time asked for by several tries.
func (b *benchFlags) microTakes(p *microPackage) float64 {
	const each = 0.15
	return float64(len(p.benchmarks)) * (each + 1.5*b.length.Seconds()/microParts)
}

// microPackage is a package with benchmarks.
type microPackage struct {
	folder     string // of its sources
	name       string // the last word of its path
	benchmarks []string
	program    string
}

// sourceTree finds the sources of this module: from the working directory upwards, else from the program.
func sourceTree() (string, error) {
	var from []string
	if dir, err := os.Getwd(); err == nil {
		from = append(from, dir)
	}
	if self, err := os.Executable(); err == nil {
		from = append(from, filepath.Dir(self))
	}
	for _, dir := range from {
		for ; ; dir = filepath.Dir(dir) {
			if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && bytes.HasPrefix(text, []byte("module wirepaxos\n")) {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("the sources of wirepaxos are neither above the working directory nor above the program")
}

var benchmarkFunc = regexp.MustCompile(`(?m)^func Benchmark([A-Z]\w*)\(`)

// microPackages are the packages with benchmarks of which the names match, in the order of their folders, and where their sources are.
func microPackages(only *regexp.Regexp) (list []*microPackage, tree string, err error) {
	if tree, err = sourceTree(); err != nil {
		return nil, "", err
	}
	for _, top := range []string{"dataplane", "paxos"} {
		err := filepath.WalkDir(filepath.Join(tree, top), func(file string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && e.Name() == "sim":
				return filepath.SkipDir // its benchmark is a whole simulation, and no hot function
			case e.IsDir() || !strings.HasSuffix(file, "_test.go"):
				return nil
			}
			text, err := os.ReadFile(file)
			list = addBenchmarks(list, filepath.Dir(file), text, only)
			return err
		})
		if err != nil {
			return nil, "", fmt.Errorf("the sources of wirepaxos cannot be read: %w", err)
		}
	}
	return list, tree, nil
}

// addBenchmarks adds those of one file.
func addBenchmarks(list []*microPackage, folder string, text []byte, only *regexp.Regexp) []*microPackage {
	for _, m := range benchmarkFunc.FindAllSubmatch(text, -1) {
		if !only.MatchString(filepath.Base(folder) + "." + string(m[1])) {
			continue
		}
		at := slices.IndexFunc(list, func(p *microPackage) bool { return p.folder == folder })
		if at < 0 {
			at = len(list)
			list = append(list, &microPackage{folder: folder, name: filepath.Base(folder)})
		}
		list[at].benchmarks = append(list[at].benchmarks, string(m[1]))
	}
	return list
}

func runMicro(ctx context.Context, r *runner, s *bench.Scenario) error {
	packages, tree, err := microPackages(r.only)
	if err == nil {
		_, err = exec.LookPath("go")
	}
	if err != nil {
		s.Skipped = err.Error()
		r.tell("micro", "skipped: %v", err)
		return nil
	}
	dir, err := os.MkdirTemp("", "wirepaxos-micro-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if len(packages) == 0 {
		s.Skipped = "no benchmark has such a name"
	}
	for _, p := range packages {
		p.program = filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(p.folder, tree+"/"), "/", "-")+".test")
		began := time.Now()
		if err := command(ctx, tree, io.Discard, "go", "test", "-c", "-o", p.program, "./"+strings.TrimPrefix(p.folder, tree+"/")); err != nil {
			return err
		}
		r.passed(microCompileTakes)
		r.tell("micro "+p.name, "compiled in %.1f s", time.Since(began).Seconds())
	}
	rounds := r.roundsOf(&scenario{})
	for round := 1; round <= rounds; round++ {
		for _, p := range packages {
			if err := r.microRound(ctx, p, s); err != nil {
				return err
			}
			r.passed(r.microTakes(p))
			r.tell(fmt.Sprintf("micro %d/%d %s", round, rounds, p.name), "benchmarks run: %d", len(p.benchmarks))
		}
	}
	return nil
}

// microRound runs the benchmarks of a package once.
func (r *runner) microRound(ctx context.Context, p *microPackage, s *bench.Scenario) error {
	var out bytes.Buffer
	err := command(ctx, p.folder, &out, p.program, "-test.run", "^$", "-test.bench", "^Benchmark("+strings.Join(p.benchmarks, "|")+")$", "-test.benchmem",
		"-test.benchtime", (r.length / microParts).String())
	if err != nil {
		return err
	}
	procs := ""
	if n := runtime.GOMAXPROCS(0); n > 1 {
		procs = fmt.Sprintf("-%d", n)
	}
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		m, ok := parseBenchmark(p.name, lines.Text(), procs)
		if !ok {
			continue
		}
		at := slices.IndexFunc(s.Micro, func(have bench.Micro) bool { return have.Name == m.Name })
		if at < 0 {
			s.Micro = append(s.Micro, m)
			continue
		}
		have := &s.Micro[at]
		have.NsPerOp, have.NsEach, have.CPUNsEach = append(have.NsPerOp, m.NsPerOp...), append(have.NsEach, m.NsEach...), append(have.CPUNsEach, m.CPUNsEach...)
		have.AllocsPerOp, have.BytesPerOp, have.MBPerS = max(have.AllocsPerOp, m.AllocsPerOp), max(have.BytesPerOp, m.BytesPerOp), max(have.MBPerS, m.MBPerS)
	}
	return lines.Err()
}

var benchmarkLine = regexp.MustCompile(`^Benchmark(\S+)\s+\d+\s+(.*)$`)

// parseBenchmark reads a line of go test -bench (golang.org/design/14313-benchmark-format). procs is what the testing package puts behind each name.
func parseBenchmark(name, line, procs string) (m bench.Micro, ok bool) {
	parts := benchmarkLine.FindStringSubmatch(line)
	if parts == nil {
		return m, false
	}
	m.Name = path.Base(name) + "." + strings.TrimSuffix(parts[1], procs)
	words := strings.Fields(parts[2])
	for i := 0; i+1 < len(words); i += 2 {
		x, err := strconv.ParseFloat(words[i], 64)
		if err != nil {
			return m, false
		}
		switch words[i+1] {
		case "ns/op":
			m.NsPerOp = []float64{x}
		case "ns/each":
			m.NsEach = []float64{x}
		case "cpu-ns/each":
			m.CPUNsEach = []float64{x}
		case "B/op":
			m.BytesPerOp = x
		case "allocs/op":
			m.AllocsPerOp = x
		case "MB/s":
			m.MBPerS = x
		}
	}
	return m, m.NsPerOp != nil
}

// command runs a program to its end. With the end of ctx it and all that it started are killed.
func command(ctx context.Context, dir string, out io.Writer, name string, args ...string) error {
	said := &tail{}
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Stdout, c.Stderr = dir, io.MultiWriter(out, said), said
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			return failed("interrupted")
		}
		return failed("%s: %w:\n%s", filepath.Base(name), err, said.last())
	}
	return nil
}
