package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/bench"
	"wirepaxos/paxos/node"
)

func TestCostsBetween(t *testing.T) {
	a := &node.Usage{PID: 1, Values: 100, CPUNs: 5e9, Voluntary: 10, Involuntary: 20, Allocations: 1000, AllocatedBytes: 1 << 20, GCCycles: 3}
	b := &node.Usage{PID: 1, LoopVoluntary: 1, LoopInvoluntary: 2, Syscalls: 3, Frames: 4, FrameBytes: 5, Drops: 7, CPUNs: 5e9}
	after := func(u node.Usage) *node.Usage {
		u.Values += 50
		u.CPUNs += 2e9
		u.Voluntary, u.Involuntary = u.Voluntary+1, u.Involuntary+2
		u.Allocations, u.AllocatedBytes, u.GCCycles = u.Allocations+30, u.AllocatedBytes+400, u.GCCycles+1
		u.LoopVoluntary, u.LoopInvoluntary = u.LoopVoluntary+5, u.LoopInvoluntary+6
		u.Syscalls, u.Frames, u.FrameBytes = u.Syscalls+7, u.Frames+8, u.FrameBytes+9
		u.Retries, u.Drops = u.Retries+10, u.Drops+11
		return &u
	}
	first := []*node.Usage{a, b}
	last := []*node.Usage{after(*a), after(*b)}
	// Both loops count, their process once.
	want := bench.Costs{
		Values: 100, CPUS: 2, Voluntary: 1, Involuntary: 2, Allocations: 30, AllocatedBytes: 400, GCCycles: 1, LoopVoluntary: 10, LoopInvoluntary: 12,
		Syscalls: 14, Frames: 16, FrameBytes: 18, Retries: 20, Drops: 22,
	}
	if c := costsBetween(first, last); c == nil || *c != want {
		t.Errorf("costs %+v, want %+v", c, want)
	}
	last[1].PID = 2
	if c := costsBetween(first, last); c != nil {
		t.Errorf("of a process that began anew: %+v", c)
	}
	if c := costsBetween(first, first[:1]); c != nil {
		t.Errorf("of other processes: %+v", c)
	}
	if c := costsBetween(first, first); c != nil {
		t.Errorf("of no values: %+v", c)
	}
}

// In the steady state of spinning loops nothing is allocated, nothing is collected, and no loop ever waits. What is left is of those that ask for the
// readings: it does not grow with the values.
func TestCostsOfTheSteadyState(t *testing.T) {
	for _, transport := range []string{"mem", "udp", "afxdp"} {
		t.Run(transport, func(t *testing.T) {
			if transport == "afxdp" {
				needLab(t)
			}
			path := filepath.Join(t.TempDir(), "r.json")
			status, stdout, stderr := runProgram(t, "demo", "--transport", transport, "--idle", "spin", "--layout", "packed", "--outstanding", "32",
				"--duration", "2s", "--warmup", "300ms", "--progress=false", "--json", path)
			if status != 0 {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			r := readReport(t, path)
			c := r.Costs
			if c == nil || !strings.Contains(stdout, "costs of all processes") {
				t.Fatalf("no costs in:\n%s", stdout)
			}
			t.Logf("%+v", *c)
			if c.Values < r.Values/2 || c.CPUS <= 0 || c.Frames == 0 {
				t.Errorf("nothing was counted: %+v, of %d values", *c, r.Values)
			}
			least := map[string]int64{"mem": 40, "udp": 40 + 42, "afxdp": 40 + 14}[transport]
			if c.FrameBytes < c.Frames*least {
				t.Errorf("%d bytes in %d frames: a frame has at least %d with its headers", c.FrameBytes, c.Frames, least)
			}
			if (c.Syscalls == 0) != (transport == "mem") {
				t.Errorf("%d system calls", c.Syscalls)
			}
			const few = 400 // objects that some answers on control sockets may take
			if c.Allocations > few || c.GCCycles > 0 || c.LoopVoluntary > 20 {
				t.Errorf("%d objects, %d GC cycles, loops waited %d times", c.Allocations, c.GCCycles, c.LoopVoluntary)
			}
		})
	}
}

// Where processes are killed there is no telling what they cost.
func TestNoCostsOfProcessesThatDie(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	status, stdout, stderr := runProgram(t, "demo", "--transport", "udp", "--proposers", "3", "--kill-leader-every", "1500ms", "--duration", "3s", "--json", path)
	if status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
	}
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), `"costs"`) {
		t.Errorf("costs of processes that were killed: %v", err)
	}
}
