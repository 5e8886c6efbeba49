package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

func TestDoctorBadFlags(t *testing.T) {
	good, state := loopbackFile(t), shortDir(t)
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"doctor extra", []string{`"extra"`}},
		{"doctor --id 1", []string{"--id 1", "--config"}},
		{"doctor --mode copy", []string{"--mode", "name the cluster file", "--config"}},
		{"doctor --config GOOD --mode fast", []string{"mode", `"fast"`}},
		{"doctor --config GOOD --id x", []string{"--id x", "number"}},
		{"doctor --config GOOD --id 60", []string{"no node 60"}},
		{"doctor --config /nonexistent/c", []string{"/nonexistent/c"}},
		{"acceptor --config GOOD --id 1 --state-dir STATE --gc sometimes", []string{"--gc sometimes", "bounded or off"}},
		{"acceptor --config GOOD --id 1 --state-dir STATE --fifo", []string{"SCHED_FIFO", "core of its own"}},
		{"acceptor --config GOOD --id 1 --state-dir STATE --strict --idle spin", []string{"--strict", "spins without a core", "--core", "doctor --config"}},
		{"client --config GOOD --id 6 --strict --idle spin", []string{"--strict", "spins without a core"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			refused(t, strings.Fields(strings.NewReplacer("GOOD", good, "STATE", state).Replace(c.args)), c.words...)
		})
	}
}

// doctorPage is what "doctor --json" prints.
type doctorPage struct {
	Grade              string
	Red, Yellow, Green int
	Lines              []struct{ Grade, What, Text, Mend string }
}

// examine runs "doctor --json".
func examine(t *testing.T, args ...string) (status int, p doctorPage) {
	t.Helper()
	status, stdout, stderr := runProgram(t, append([]string{"doctor", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &p); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	if len(p.Lines) == 0 || p.Red+p.Yellow+p.Green != len(p.Lines) || (status == 1) != (p.Red > 0) || status > 1 {
		t.Errorf("status %d: %d lines, %d red, %d yellow, %d green", status, len(p.Lines), p.Red, p.Yellow, p.Green)
	}
	return status, p
}

// line is the line about something, of the worst grade that there is.
func (p *doctorPage) line(what string) (grade, text string) {
	for _, l := range p.Lines {
		if l.What == what && (grade == "" || l.Grade == "red") {
			grade, text = l.Grade, l.Text
		}
	}
	return grade, text
}

func TestDoctor(t *testing.T) {
	_, bare := examine(t)
	if grade, _ := bare.line("kernel"); grade == "" {
		t.Errorf("nothing about the kernel: %+v", bare)
	}
	status, strict := examine(t, "--strict")
	if strict.Yellow != 0 || strict.Red != bare.Red+bare.Yellow || (status == 0) != (strict.Red == 0) {
		t.Errorf("strict: status %d, %d red, %d yellow; without: %d red, %d yellow", status, strict.Red, strict.Yellow, bare.Red, bare.Yellow)
	}
	status, text, stderr := runProgram(t, "doctor", "--interface", "no-such-nic")
	if status != 1 || !strings.Contains(text, "no-such-nic") || !strings.Contains(stderr, "wirepaxos: doctor: ") || strings.Contains(text, "\x1b") {
		t.Errorf("an interface that is not there: status %d\n%s%s", status, text, stderr)
	}
}

// The nodes of a file are those of --id, or else those whose address this machine has.
func TestDoctorFindsItsNodes(t *testing.T) {
	good := loopbackFile(t)
	_, here := examine(t, "--config", good)
	_, one := examine(t, "--config", good, "--id", "5")
	for id := 1; id <= 6; id++ {
		what := fmt.Sprintf("node %d", id)
		if grade, _ := here.line(what); grade == "" {
			t.Errorf("%s is on this machine, and there is nothing about it", what)
		}
		if grade, _ := one.line(what); (grade != "") != (id == 5) {
			t.Errorf("--id 5: %s is %q", what, grade)
		}
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	far := file(t, "cluster.toml", strings.ReplaceAll(string(text), "127.0.0.1", "192.0.2.1"))
	refused(t, []string{"doctor", "--config", far}, "no node has a MAC or an IP of this machine", "--id")
}

// In a lab the page is about the interface that the nodes bind, and each fault of it is red.
func TestDoctorInLab(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	ask := func(args ...string) (status int, p doctorPage) {
		t.Helper()
		out, err := b.lab.Output(t.Context(), b.plan.hosts[0].Name, b.self, append([]string{"doctor", "--json", "--config", b.config()}, args...)...)
		if json.Unmarshal(out, &p) != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return p.Red, p
	}
	if red, p := ask(); red > 0 {
		t.Errorf("a sound lab: %+v", p.Lines)
	}
	nodes := b.plan.procs[0].nodes
	if _, p := ask("--id", strconv.Itoa(int(nodes[0]))); p.Lines[len(p.Lines)-1].What != "wp0 time-stamps" {
		t.Errorf("%+v", p.Lines)
	}
	if _, err := b.lab.Output(t.Context(), b.plan.hosts[0].Name, "ip", "link", "set", "dev", "wp0", "down"); err != nil {
		t.Skipf("needs ip: %v", err)
	}
	_, p := ask()
	if grade, _ := p.line("wp0 link"); grade != "red" {
		t.Errorf("the interface is down: %+v", p.Lines)
	}
}

// poorly starts the program with no more than these capabilities missing, as root without them.
func poorly(t *testing.T, cmd *exec.Cmd, dropped ...uintptr) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give capabilities up")
	}
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread goes with what it gave up
		for _, c := range dropped {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				ended <- err
				return
			}
		}
		ended <- cmd.Run() // forked from this thread
	}()
	err := <-ended
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Skipf("cannot give capabilities up: %v", err)
	}
}

// A process without the capabilities that AF_XDP needs is told so, and by trying too; one with little locked memory likewise.
func TestDoctorWithoutPrivileges(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	cmd := exec.Command("/bin/sh", "-c", `ulimit -l 64 && exec "$0" doctor --json`, self)
	cmd.Stdout = &out
	poorly(t, cmd, unix.CAP_NET_RAW, unix.CAP_BPF, unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_IPC_LOCK)
	var p doctorPage
	if err := json.Unmarshal([]byte(out.String()), &p); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	for _, what := range []string{"CAP_NET_RAW", "CAP_BPF", "CAP_NET_ADMIN", "AF_XDP socket", "XDP program", "locked memory"} {
		if grade, text := p.line(what); grade != "red" {
			t.Errorf("%s is %s: %s", what, grade, text)
		}
	}
	if grade, text := p.line("CAP_SYS_ADMIN"); grade != "yellow" {
		t.Errorf("CAP_SYS_ADMIN is %s: %s", grade, text)
	}
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("status %d", cmd.ProcessState.ExitCode())
	}
}

// A role with --strict starts exactly where the doctor has nothing to say, and holds what it was told to.
func TestRoleHoldsItsMachine(t *testing.T) {
	dir, good := shortDir(t), loopbackFile(t)
	socket := filepath.Join(dir, "c")
	args := []string{"acceptor", "--config", good, "--id", "1", "--state-dir", dir, "--control", socket, "--gc", "off"}
	if status, _ := examine(t, "--config", good, "--id", "1", "--strict"); status == 0 {
		args = append(args, "--strict")
	} else {
		refused(t, append(args, "--strict"), "--strict", "doctor --config")
	}
	lock, held := mayHold(t)
	if lock {
		args = append(args, "--lock-memory")
	}
	if held {
		args = append(args, "--dma-latency")
	}
	p := begin(t, args...)
	p.shows("node 1")
	var s node.Status
	eventually(t, "the acceptor answers", func() bool { return node.Ask(socket, "status", &s) == nil }, p.stderr.String)
	if s.GC.Percent != -1 || s.GC.LimitBytes < gcRoom || s.GC.Cycles < s.Loop.GCCycles || s.Loop.FIFO {
		t.Errorf("%+v, loop %+v", s.GC, s.Loop)
	}
	pid := p.cmd.Process.Pid
	if kib := statusKiB(t, pid, "VmLck"); (kib > 1024) != lock {
		t.Errorf("%d KiB locked, want some: %v", kib, lock)
	}
	if has := opened(pid, dataplane.DMALatencyPath); has != held {
		t.Errorf("%s is held: %v, want %v", dataplane.DMALatencyPath, has, held)
	}
	p.signal(syscall.SIGTERM)
	if status := p.status(); status != 0 {
		t.Errorf("status %d\n%s", status, p.stderr.String())
	}
}

// mayHold tells what this machine lets a process hold.
func mayHold(t *testing.T) (lock, latency bool) {
	if release, err := dataplane.HoldDMALatency(2_000_000_000); err == nil { // more than any state takes: nothing changes
		latency = true
		release()
	} else {
		t.Logf("skipped --dma-latency: %v", err)
	}
	status, _ := os.ReadFile("/proc/self/status")
	_, caps, _ := strings.Cut(string(status), "CapEff:\t")
	mask, _ := strconv.ParseUint(strings.Fields(caps + " 0")[0], 16, 64)
	if lock = mask&(1<<unix.CAP_IPC_LOCK) != 0; !lock {
		t.Log("skipped --lock-memory: needs CAP_IPC_LOCK")
	}
	return lock, latency
}

// statusKiB reads a size from /proc/pid/status.
func statusKiB(t *testing.T, pid int, key string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), key+":")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kib
}

// opened tells whether a process has a file open.
func opened(pid int, path string) bool {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == path {
			return true
		}
	}
	return false
}
