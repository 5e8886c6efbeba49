package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wirepaxos/bench"
)

// An echo comes to its end over every kind of port, and leaves nothing behind.
func TestBenchEcho(t *testing.T) {
	for _, flags := range []string{"--transport mem", "--transport udp", "--transport afxdp", "--transport afxdp --link udp4 --layout process-per-role"} {
		t.Run(strings.ReplaceAll(flags, " ", ""), func(t *testing.T) {
			if strings.Contains(flags, "afxdp") {
				needLab(t)
			}
			path := filepath.Join(t.TempDir(), "echo.json")
			args := append([]string{"bench", "echo", "--duration", "500ms", "--under-way", "16", "--size", "100", "--json", path}, strings.Fields(flags)...)
			status, stdout, stderr := runProgram(t, args...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var e echoOutcome
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatal(err)
			}
			if e.Rounds == 0 || e.RoundUs.P50 <= 0 || e.PerS <= 0 || e.UnderWay != 16 || e.Size != acceptBytes(100) {
				t.Errorf("echo %+v", e)
			}
			if mode := map[bool]string{true: "copy"}[strings.Contains(flags, "afxdp")]; e.Mode != mode {
				t.Errorf("mode %q, want %q", e.Mode, mode)
			}
			for _, want := range []string{"round trip", "hop ", "frames/s with 16 under way"} {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is missing in:\n%s", want, stdout)
				}
			}
		})
	}
}

func TestBenchEchoInterrupted(t *testing.T) {
	for _, transport := range []string{"mem", "udp", "afxdp"} {
		t.Run(transport, func(t *testing.T) {
			if transport == "afxdp" {
				needLab(t)
			}
			p := begin(t, "bench", "echo", "--transport", transport, "--duration", "600s")
			p.shows("An echo over")
			p.signal(syscall.SIGINT)
			if status := p.status(); status != 1 || p.stderr.String() != "wirepaxos: interrupted\n" {
				t.Errorf("status %d: %q", status, p.stderr.String())
			}
			p.leavesNothing()
		})
	}
}

// The demo holds its median against the hops that its values cross, also between loops over memory.
func TestDemoFloor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	status, stdout, stderr := runProgram(t, "demo", "--transport", "mem", "--layout", "packed", "--floor", "--values", "2000", "--warmup", "100ms", "--json", path)
	if status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
	}
	r := readReport(t, path)
	w := r.Wire
	if w == nil || w.Hops != 2 || w.HopUs <= 0 || w.FloorUs != 2*w.HopUs || w.RatioFloor != r.LatencyUs.P50/w.FloorUs || w.EchoPerS <= 0 || r.WireHops != 0 {
		t.Errorf("wire %+v, median %g µs, %g wire hops", w, r.LatencyUs.P50, r.WireHops)
	}
	if !strings.Contains(stdout, "2 hops of an echo at") {
		t.Errorf("no floor in:\n%s", stdout)
	}
}

// Where the end that answers cannot run, its reason is told at once.
func TestEchoWithoutAnAnswer(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	back := echoEnd{Transport: "afxdp", Interface: "nonexistent0", Reflect: true}
	forth := echoEnd{
		Transport: "udp", Local: netip.MustParseAddrPort("127.0.0.1:0"), Peer: netip.MustParseAddrPort("127.0.0.1:9"), Core: -1, Idle: "block",
		Echo: bench.EchoConfig{Size: 100, UnderWay: 1, HopNs: 1e9, RateNs: 1e9},
	}
	start := func(_ string, cmd *exec.Cmd) (func(), error) { return func() { _ = cmd.Wait() }, cmd.Start() }
	if _, err := joinEnds(t.Context(), self, start, "", "", &back, &forth); err == nil || !strings.Contains(err.Error(), "nonexistent0") {
		t.Errorf("error %v", err)
	}
}

// Without a lab the ends are on 127.0.0.1.
func TestEchoOnLoopback(t *testing.T) {
	p, err := newPlan(planConfig{acceptors: 1, proposers: 1, learners: 1, layout: layoutPacked, transport: "udp", batch: "instance", idle: "auto"})
	if err != nil {
		t.Fatal(err)
	}
	o, err := measureEcho(t.Context(), p, bench.EchoConfig{Size: 100, UnderWay: 4, HopNs: 1e8, RateNs: 1e8}, false)
	if err != nil || o.Rounds == 0 {
		t.Errorf("echo %+v, error %v", o, err)
	}
}

func TestEchoEndsSayWhatIsWrong(t *testing.T) {
	refused(t, []string{"bench", "echo-end", "x"}, "echo", "cannot be read")
	e := echoEnd{Transport: "afxdp", Interface: "nonexistent0"}
	if _, err := e.run(); err == nil || !strings.Contains(err.Error(), "nonexistent0") {
		t.Errorf("error %v", err)
	}
}
