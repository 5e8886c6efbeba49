package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"wirepaxos/bench"
)

// libpaxos is no library of this program: the sample programs that it builds are run, if they are on PATH. Their client keeps values under
// way as ours does, and prints a line a second.
const (
	libpaxosName   = "libpaxos"
	libpaxosTitle  = "libpaxos (C)"
	libpaxosUnlike = "kernel TCP on the loopback, a process a role, its sample client, which tells each second how many values came back and the least, " +
		"mean and most latency: there are no percentiles; its means are cut to whole microseconds"
)

var libpaxosPrograms = []string{"acceptor", "proposer", "learner", "client"}

// libpaxosMissing says why libpaxos cannot be run; "" if it can. Other programs have such names too: the client must know the flags.
func libpaxosMissing() string {
	for _, name := range libpaxosPrograms {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Sprintf("libpaxos' sample program %q is not on PATH", name)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), endBound)
	defer cancel()
	help, _ := exec.CommandContext(ctx, "client", "--help").CombinedOutput() // its exit status is 1
	if !bytes.Contains(help, []byte("--proposer-id")) {
		return `the program "client" on PATH is not libpaxos' sample`
	}
	return ""
}

func listLibpaxos() listed {
	return listed{
		Name: libpaxosName, Title: libpaxosTitle, System: libpaxosTitle, Missing: libpaxosMissing(), Memory: "memory", Unlike: libpaxosUnlike,
	}
}

// measureLibpaxos runs three acceptors, a proposer and the client.
func measureLibpaxos(ctx context.Context, cfg *runConfig) (*bench.Point, error) {
	if missing := libpaxosMissing(); missing != "" {
		return nil, fmt.Errorf("%s: build libpaxos and put its folder of samples there", missing)
	}
	if cfg.durable {
		return nil, fmt.Errorf("libpaxos is run in memory only: leave --durable out")
	}
	began := bench.ReadCPUTimes()
	text, err := libpaxosRun(ctx, cfg)
	if err != nil {
		return nil, failure{err}
	}
	run, err := parseLibpaxos(text, int(math.Ceil(cfg.Warmup.Seconds())))
	if err != nil {
		return nil, failure{err}
	}
	run.StealPercent = bench.StealSince(began)
	return &bench.Point{
		Name: libpaxosName, Series: libpaxosTitle, Unlike: libpaxosUnlike, Runs: []bench.Run{*run},
		Config: bench.Config{
			System: libpaxosTitle, Transport: "tcp", Storage: "memory", Layout: "a process a role", Acceptors: nodes, Proposers: 1, Learners: 1,
			Groups: 1, Clients: 1, Outstanding: cfg.Outstanding, ValueSize: cfg.Size, Driver: "loopback",
		},
	}, nil
}

// libpaxosRun is what the client printed. It prints when it ends, on an interrupt.
func libpaxosRun(ctx context.Context, cfg *runConfig) (text string, err error) {
	dir, err := os.MkdirTemp("", "wirepaxos-peers-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	conf, err := writeLibpaxosConf(dir)
	if err != nil {
		return "", err
	}
	var running []*exec.Cmd
	defer func() {
		for _, cmd := range running {
			_ = cmd.Process.Kill() // it has ended, or does so now
			_ = cmd.Wait()         // by that signal
		}
	}()
	launch := func(out *bytes.Buffer, name string, args ...string) (*exec.Cmd, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		return cmd, cmd.Start()
	}
	for _, role := range [][]string{{"acceptor", "0"}, {"acceptor", "1"}, {"acceptor", "2"}, {"proposer", "0"}} {
		cmd, err := launch(&bytes.Buffer{}, role[0], role[1], conf)
		if err != nil {
			return "", err
		}
		running = append(running, cmd)
	}
	sleep(ctx, time.Second) // nobody tells when they listen
	var out bytes.Buffer
	client, err := launch(&out, "client", conf, "-o", strconv.Itoa(cfg.Outstanding), "-v", strconv.Itoa(cfg.Size), "-p", "0")
	if err != nil {
		return "", err
	}
	seconds := math.Ceil(cfg.Warmup.Seconds()) + math.Ceil(cfg.Duration.Seconds())
	sleep(ctx, time.Duration(seconds*float64(time.Second))+500*time.Millisecond)
	_ = client.Process.Signal(os.Interrupt) // it may have ended; then its output tells why
	late := time.AfterFunc(endBound, func() { _ = client.Process.Kill() })
	defer late.Stop()
	if err := client.Wait(); err != nil {
		return "", fmt.Errorf("libpaxos' client: %w: %s", err, out.String())
	}
	return out.String(), ctx.Err()
}

func writeLibpaxosConf(dir string) (path string, err error) {
	addresses, err := freeAddresses(nodes + 1)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, a := range addresses {
		role, id := "acceptor", i
		if i == nodes {
			role, id = "proposer", 0
		}
		fmt.Fprintf(&b, "%s %d %s\n", role, id, strings.Replace(a, ":", " ", 1))
	}
	b.WriteString("verbosity quiet\nstorage-backend memory\ntcp-nodelay yes\n")
	path = filepath.Join(dir, "paxos.conf")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

// libpaxosLine is what the client prints each second.
var libpaxosLine = regexp.MustCompile(`(?m)^(\d+) value/sec, [\d.]+ Mbps, latency min (\d+) us max (\d+) us avg (\d+) us`)

// parseLibpaxos adds up the seconds after those of the warm-up.
func parseLibpaxos(text string, skip int) (*bench.Run, error) {
	lines := libpaxosLine.FindAllStringSubmatch(text, -1)
	if len(lines) <= skip {
		return nil, fmt.Errorf("libpaxos' client told %d seconds, of which %d are to warm up: %s", len(lines), skip, text)
	}
	r := &bench.Run{}
	sum := 0.0
	for i, line := range lines[skip:] {
		var figures [4]float64
		for k := range figures {
			figure, err := strconv.ParseFloat(line[k+1], 64)
			if err != nil {
				return nil, fmt.Errorf("libpaxos' client told %q", line[0])
			}
			figures[k] = figure
		}
		r.Values += uint64(figures[0])
		sum += figures[0] * figures[3]
		if l := &r.LatencyUs; i == 0 || figures[1] < l.Min {
			l.Min = figures[1]
		}
		r.LatencyUs.Max = max(r.LatencyUs.Max, figures[2])
	}
	r.DurationS = float64(len(lines) - skip)
	r.ValuesPerS = float64(r.Values) / r.DurationS
	if r.Values == 0 {
		r.Problems = []string{"no value was delivered in the measurement"}
		return r, nil
	}
	r.LatencyUs.Mean = sum / float64(r.Values)
	r.Costs = unknownCosts(r.Values)
	return r, nil
}
