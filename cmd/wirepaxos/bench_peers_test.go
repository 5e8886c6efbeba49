package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirepaxos/bench"
	"wirepaxos/tools/netlab"
)

// fakePeers is a script in place of the program that runs peers: good counts its runs in a file and tells more from one to the next, poor fails.
const fakePeers = `#!/bin/sh
case "$1" in
list) echo '[{"name":"good","title":"Good","system":"Good v1","durable":"a disk","unlike":"all of it","common":"the sky"},
 {"name":"poor","title":"Poor","system":"Poor v1","unlike":"it fails","common":"the sky"},
 {"name":"away","title":"Away","system":"Away","missing":"it is not here"}]' ;;
good) [ "$2 $3 $4 $5 $6 $7 $8 $9" = "--outstanding 1 --size 64 --duration 500ms --warmup 50ms" ] || exit 2
 echo "run $*" >> runs; n=$(wc -l < runs)
 echo '{"name":"good","series":"Good","unlike":"the sky; all of it","config":{"system":"Good v1","outstanding":1,"value_size":64},
 "runs":[{"values":10,"values_per_s":'$n'000,"latency_us":{"p50":'$n'00}}]}' ;;
*) echo "it broke" >&2; exit 1 ;;
esac
`

// writeFake writes a script as a program of its own.
func writeFake(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), peersProgram)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchPeersRefuses(t *testing.T) {
	fake := writeFake(t, fakePeers)
	for words, want := range map[string]string{
		"--rounds 101":                            "want 1 to 100",
		"--size 7":                                "want 8 to 1396",
		"--size 64,1397":                          "want 8 to 1396",
		"--outstanding 0":                         "want 1 to 256",
		"--outstanding 300":                       "a multiple of 256",
		"--duration -1s":                          "positive times",
		"--binary /dev/null":                      "make peers",
		"--peers nobody --binary " + fake:         "no such peer: there are good, poor, away",
		"--peers away --binary " + fake:           "it is not here",
		"--durable --peers poor --binary " + fake: "in memory only",
		"--binary /bin/true":                      "does not list its peers",
	} {
		if status, _, stderr := runProgram(t, append([]string{"bench", "peers"}, strings.Fields(words)...)...); status != 2 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit status %d, %q, want 2 and %q", words, status, stderr, want)
		}
	}
}

// Everyone runs in every round; what fails is told and the rest is measured all the same.
func TestBenchPeersInTurn(t *testing.T) {
	json := filepath.Join(shortDir(t), "suite.json")
	p := newProgram(t, "bench", "peers", "--binary", writeFake(t, fakePeers), "--outstanding", "1", "--size", "64", "--rounds", "2", "--duration", "500ms",
		"--warmup", "50ms", "--json", json)
	p.cmd.Dir = shortDir(t)
	p.start()
	if got := p.status(); got != 1 || !strings.Contains(p.stderr.String(), " runs failed") {
		t.Errorf("exit status %d: %s", got, p.stderr.String())
	}
	p.leavesNothing()
	out := p.stdout.String()
	own, series := 2, []string{"kernel UDP", "kernel UDP, multicast"}
	if netlab.Supported() == nil {
		own, series = 3, []string{"AF_XDP", "AF_XDP, multicast", "kernel UDP"}
	}
	for _, want := range []string{
		"Away is not in the comparison: it is not here", "it broke", "all that are libraries: the sky.", "Good: all of it.",
		fmt.Sprintf("%d of %d", 2*(own+2), 2*(own+2)),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	s, err := bench.ReadSuite(json)
	if err != nil {
		t.Fatal(err)
	}
	points := s.Scenarios[0].Points
	if len(s.Scenarios) != 1 || s.Scenarios[0].Name != "peers" || s.Scenarios[0].X != "outstanding" || len(points) != own+2 {
		t.Fatalf("%+v", s.Scenarios)
	}
	for i, name := range append(series, "Good", "Poor") {
		q := &points[i]
		if q.Series != name || (name == "Poor") != (q.Failed != "") || (name == "Poor") != (len(q.Runs) == 0) {
			t.Errorf("point %d: %+v", i, q)
		}
		for k, r := range q.Runs {
			if r.Round != k+1 || name == "Good" && (r.ValuesPerS <= 0 || r.LatencyUs.P50 <= 0) { // ours on a machine that is busy: who knows
				t.Errorf("%s: %+v", name, r)
			}
		}
		if want := strings.ToLower(name) + "-1"; i >= own && q.Name != want || name == "kernel UDP" && q.Name != "udp-1" || (i == own) != (name == "Good") {
			t.Errorf("name %s", q.Name)
		}
		if q.Config.Outstanding != 1 || q.Config.ValueSize != 64 {
			t.Errorf("%s: %+v", name, q.Config)
		}
	}
	if good := points[own].Over(valuesPerS); good.Min != 1000 || good.Max != 2000 || points[own].Unlike != "the sky; all of it" {
		t.Errorf("good: %+v", points[own])
	}
}

func TestBenchPeersInterrupted(t *testing.T) {
	fake := writeFake(t, strings.Replace(fakePeers, "good) [", "good) echo $$ > pid; exec sleep 60; [", 1))
	p := newProgram(t, "bench", "peers", "--binary", fake, "--peers", "good", "--durable", "--outstanding", "1", "--quick")
	p.cmd.Dir = shortDir(t)
	p.start()
	var pid int
	eventually(t, "the peer runs", func() bool {
		text, err := os.ReadFile(filepath.Join(p.cmd.Dir, "pid"))
		n, _ := fmt.Sscan(string(text), &pid)
		return err == nil && n == 1
	}, p.stdout.String)
	p.signal(syscall.SIGINT)
	if got := p.status(); got != 1 || !strings.Contains(p.stderr.String(), "interrupted") {
		t.Errorf("exit status %d: %s", got, p.stderr.String())
	}
	if syscall.Kill(pid, 0) == nil {
		t.Error("the peer still runs")
	}
	p.leavesNothing()
}

// The verdict is that of the rounds, not of medians from different ones, and takes the best of the others for each figure.
func TestBenchPeersVerdict(t *testing.T) {
	point := func(series, system string, figures ...float64) bench.Point {
		p := bench.Point{Series: series, Config: bench.Config{System: system, Outstanding: 64}}
		for i := 0; i < len(figures); i += 2 {
			p.Runs = append(p.Runs, bench.Run{Round: i/2 + 1, ValuesPerS: figures[i], LatencyUs: bench.Latency{P50: figures[i+1]}})
		}
		return p
	}
	s := &bench.Scenario{Title: "them", Points: []bench.Point{
		point("AF_XDP", "wirepaxos", 500, 10, 5000, 1, 600, 5),
		point("kernel UDP", "wirepaxos", 9e9, 1e-9, 9e9, 1e-9, 9e9, 1e-9),
		point("quick", "quick v1", 1, 50, 1, 20, 1, 20),
		point("fast", "fast v1", 100, 900, 1000, 900, 100, 900),
		point(libpaxosTitle, libpaxosTitle, 100, 0, 1000, 0, 100, 0),
		point("gone", "gone v1"),
	}}
	s.Points[5].Failed, s.Points[5].Config.Outstanding = "round 3: it broke", 64
	for i := range s.Points[4].Runs {
		s.Points[4].Runs[i].LatencyUs.Mean = 30
	}
	bad := bench.Run{Round: 3, ValuesPerS: 1e9, Problems: []string{"lost"}}
	s.Points[2].Runs[2] = bad
	for i := range s.Points[3].Runs {
		s.Points[3].Runs[i].Costs = bench.Costs{Values: 1000, CPUS: 0.005, Voluntary: int64(7000 + i)}
	}
	var b strings.Builder
	c := &contest{peersFlags: &peersFlags{outstanding: []int{64}, rounds: 3}}
	c.table(&b, s)
	for _, want := range []string{
		"AF_XDP to fast: 5.00 (5.00 - 6.00) times the values/s; the aim is at least 5: met",
		"AF_XDP to quick: 0.12 (0.05 - 0.20) of the median latency; the aim is at most 0.2: met",
		"AF_XDP to libpaxos (C): 5.00 (5.00 - 6.00) times the values/s; the aim is at least 10: not met",
		"AF_XDP to libpaxos (C): 0.17 (0.03 - 0.33) of the median latency; the aim is at most 0.125: not met",
		"the mean: it tells no median", "gone             no run can be believed: round 3: it broke", "600 (500 - 5,000)",
		"900.0 (900.0 - 900.0)          5.00          7.00", "35.0 (20.0 - 50.0)             -             -",
		"1 of 3 runs left out",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, b.String())
		}
	}
}

func TestSpreadOver(t *testing.T) {
	for outstanding, want := range map[int][2]int{1: {1, 1}, 256: {1, 256}, 512: {2, 256}, 1024: {4, 256}, 16384: {64, 256}} {
		if clients, each, ok := spreadOver(outstanding); !ok || clients != want[0] || each != want[1] {
			t.Errorf("%d: %d clients with %d, %v", outstanding, clients, each, ok)
		}
	}
	for _, outstanding := range []int{-256, 0, 257, 16640} {
		if _, _, ok := spreadOver(outstanding); ok {
			t.Errorf("%d is taken", outstanding)
		}
	}
}

// The real thing, built from its sources: where go has all modules at hand. Without our own runs, which on a busy machine may bring too little.
func TestBenchPeersBuilds(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("needs the go command: %v", err)
	}
	list := exec.Command("go", "list", "-deps", "./...")
	list.Dir, list.Env = filepath.Join("..", "..", peersSources), append(os.Environ(), "GOPROXY=off")
	if output, err := list.CombinedOutput(); err != nil {
		t.Skipf("needs the modules of %s in the module cache (make peers): %s", peersSources, lastLines(output))
	}
	cache := t.TempDir()
	p := newProgram(t, "bench", "peers", "--durable", "--peers", "etcd", "--outstanding", "8", "--rounds", "1", "--quick", "--duration", "200ms")
	p.cmd.Env = append(p.cmd.Env, "XDG_CACHE_HOME="+cache, "GOPROXY=off", "GOCACHE="+goEnvironment(t, "GOCACHE"))
	p.start()
	late := time.AfterFunc(5*time.Minute, func() { p.cmd.Process.Kill() }) // a build of it all
	defer late.Stop()
	<-p.done
	if got := p.status(); got != 0 {
		t.Fatalf("exit status %d:\n%s\n%s", got, p.stdout.String(), p.stderr.String())
	}
	for _, want := range []string{"Building " + peersProgram, "etcd/raft: a RawNode", "1 of 1"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, p.stdout.String())
		}
	}
	if !isProgram(filepath.Join(cache, "wirepaxos", peersProgram)) {
		t.Error("it is not in the cache directory")
	}
}

func goEnvironment(t *testing.T, name string) string {
	t.Helper()
	output, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// What breaks because everything ends is told as that; anything else as it is.
func TestUnlessInterrupted(t *testing.T) {
	broken := errors.New("no such file")
	ctx, cancel := context.WithCancel(context.Background())
	if err := unlessInterrupted(ctx, broken); err != broken {
		t.Errorf("%v, want %v", err, broken)
	}
	cancel()
	if err := unlessInterrupted(ctx, broken); err == nil || err.Error() != "interrupted" {
		t.Errorf("%v, want interrupted", err)
	}
}
