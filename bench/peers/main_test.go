package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/bench"
)

// asProgram in the environment makes this test binary the program; as a node it is one whoever starts it.
const asProgram = "WIREPAXOS_PEERS_AS_PROGRAM"

// testBound is how long a test waits for any one thing before it fails. Machines under test are slow and shared.
const testBound = 60 * time.Second

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "node" || os.Getenv(asProgram) != "") {
		os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Every value comes back, all of them are in the histogram, and nothing is left behind: with each peer, in memory and on a disk.
func TestPeers(t *testing.T) {
	for i := range libraries {
		for _, durable := range []bool{false, true} {
			p := &libraries[i]
			t.Run(p.name+map[bool]string{true: "-durable"}[durable], func(t *testing.T) {
				dir := t.TempDir()
				var out, complaints bytes.Buffer
				status := run([]string{
					p.name, "--outstanding", "8", "--size", "100", "--warmup", "50ms", "--duration", "300ms", "--dir", dir,
					"--durable=" + strconv.FormatBool(durable),
				}, nil, &out, &complaints)
				if status != 0 {
					t.Fatalf("exit status %d: %s", status, complaints.String())
				}
				checkPoint(t, p, out.Bytes(), durable)
				if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			})
		}
	}
}

func checkPoint(t *testing.T, p *peer, text []byte, durable bool) {
	t.Helper()
	var point bench.Point
	if err := json.Unmarshal(text, &point); err != nil || len(point.Runs) != 1 {
		t.Fatalf("no point with one run: %v\n%s", err, text)
	}
	r := &point.Runs[0]
	h, err := hdrhistogram.Decode([]byte(r.HistogramV2))
	if err != nil {
		t.Fatal(err)
	}
	if r.Values == 0 || uint64(h.TotalCount()) != r.Values || len(r.Problems) > 0 || r.DurationS < 0.3 || r.LatencyUs.P50 <= 0 || r.ValuesPerS <= 0 {
		t.Errorf("%d values, %d in the histogram, in %v s, p50 %v, problems %q", r.Values, h.TotalCount(), r.DurationS, r.LatencyUs.P50, r.Problems)
	}
	if c := &r.Costs; c.Values != r.Values || c.CPUS <= 0 || c.Voluntary <= 0 || c.Allocations <= 0 || c.AllocatedBytes <= 0 || c.Syscalls != -1 {
		t.Errorf("costs %+v", c)
	}
	if c := &point.Config; c.Outstanding != 8 || c.ValueSize != 100 || c.Storage != p.storage(durable) || !strings.HasPrefix(c.System, p.title+" v") {
		t.Errorf("config %+v", c)
	}
	if point.Series != p.title || !strings.Contains(point.Unlike, p.unlike) {
		t.Errorf("series %q, unlike %q", point.Series, point.Unlike)
	}
}

func TestRefuses(t *testing.T) {
	for words, want := range map[string]string{
		"":                        "no peer is named",
		"paxos":                   `no peer is called "paxos"`,
		"etcd --outstanding 0":    "want 1 to",
		"etcd --size 7":           "want 8 to",
		"etcd --duration 0s":      "positive times",
		"etcd more":               `"more" is no flag`,
		"etcd --no-such-flag":     "flag provided but not defined",
		"node":                    "from the runner",
		"libpaxos --durable=true": "is not on PATH",
	} {
		t.Run(words, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			var out, complaints bytes.Buffer
			if status := run(strings.Fields(words), strings.NewReader(""), &out, &complaints); status != 2 || !strings.Contains(complaints.String(), want) {
				t.Errorf("exit status %d, %q, want 2 and %q", status, complaints.String(), want)
			}
		})
	}
}

func TestList(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out bytes.Buffer
	if status := run([]string{"list"}, nil, &out, &out); status != 0 {
		t.Fatalf("exit status %d: %s", status, out.String())
	}
	var list []listed
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
		if (p.Missing != "") != (p.Name == libpaxosName) || p.Unlike == "" || p.Memory == "" {
			t.Errorf("%+v", p)
		}
	}
	if got := strings.Join(names, " "); got != "etcd hashicorp dragonboat libpaxos" {
		t.Errorf("names %s", got)
	}
}

// began is the program with a run that has begun to write, or has nodes at least.
func began(t *testing.T, dir string) (cmd *exec.Cmd, nodes []int, complaints *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	complaints = &bytes.Buffer{}
	cmd = exec.Command(self, "etcd", "--durable", "--dir", dir, "--duration", "1m")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for bound := time.Now().Add(testBound); ; time.Sleep(10 * time.Millisecond) {
		if nodes = children(t, cmd.Process.Pid); len(nodes) == 3 {
			return cmd, nodes, complaints
		}
		if time.Now().After(bound) {
			t.Fatalf("%d nodes run", len(nodes))
		}
	}
}

func children(t *testing.T, pid int) (list []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // that thread is gone
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, child)
		}
	}
	return list
}

// gone waits until processes have ended.
func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for bound := time.Now().Add(testBound); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(bound) {
				t.Fatalf("process %d still runs", pid)
			}
		}
	}
}

func status(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	late := time.AfterFunc(testBound, func() { cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // the state has it
	return cmd.ProcessState.ExitCode()
}

func TestInterrupted(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd, nodes, complaints := began(t, dir)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if got := status(t, cmd); got != 1 || !strings.Contains(complaints.String(), "interrupted") {
			t.Errorf("%v: exit status %d: %s", signal, got, complaints.String())
		}
		gone(t, nodes)
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%v: left behind: %v, %v", signal, left, err)
		}
	}
}

// The kernel ends the nodes of a runner that is killed.
func TestKilled(t *testing.T) {
	cmd, nodes, _ := began(t, t.TempDir())
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	status(t, cmd)
	gone(t, nodes)
}

func TestNodeDies(t *testing.T) {
	dir := t.TempDir()
	cmd, nodes, complaints := began(t, dir)
	for _, pid := range nodes {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if got := status(t, cmd); got != 1 || !strings.Contains(complaints.String(), "node ") {
		t.Errorf("exit status %d: %s", got, complaints.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
