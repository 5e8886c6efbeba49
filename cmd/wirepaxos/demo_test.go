package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirepaxos/bench"
	"wirepaxos/tools/netlab"
)

// demoRun is one run of the demo and what it must report. Zero fields are the defaults.
type demoRun struct {
	flags      string
	transport  string // "" is afxdp
	link       string
	layout     string // "" is any
	batch      string
	size       int
	inFlight   int
	clients    int
	acceptors  int
	proposers  int
	learners   int
	hops       float64 // -1: any
	unreliable bool    // frames are lost: retries must show
}

// demoRuns is the matrix: every transport, link, layout, batch mode, the ends of sizes and of values in flight, several of each role.
var demoRuns = []demoRun{
	{flags: "--duration 500ms --warmup 200ms", hops: -1},
	{flags: "--layout packed --values 300", layout: "packed", hops: 2},
	{flags: "--link udp4 --values 300", link: "udp4", hops: -1},
	{flags: "--layout process-per-role --values 300", layout: "process-per-role", hops: 4},
	{flags: "--layout process-per-role --link udp4 --learners 2 --values 300", link: "udp4", layout: "process-per-role", learners: 2, hops: 4},
	{flags: "--layout shared-nic --values 300", layout: "shared-nic", hops: -1},
	{flags: "--layout shared-nic --link udp4 --proposers 2 --values 300", layout: "shared-nic", link: "udp4", proposers: 2, hops: -1},
	{flags: "--drop 0.05 --dup 0.05 --values 500", hops: -1, unreliable: true},
	{flags: "--drop 0.05 --dup 0.05 --layout process-per-role --acceptors 5 --learners 3 --outstanding 32 --values 1000", layout: "process-per-role",
		acceptors: 5, learners: 3, inFlight: 32, hops: 4, unreliable: true},
	{flags: "--acceptors 5 --learners 3 --values 300", acceptors: 5, learners: 3, hops: -1},
	{flags: "--acceptors 1 --values 300", acceptors: 1, hops: -1},
	{flags: "--outstanding 256 --values 5000", inFlight: 256, hops: -1},
	{flags: "--outstanding 256 --batch frame --values 5000", inFlight: 256, batch: "frame", hops: -1},
	{flags: "--outstanding 256 --batch off --values 5000", inFlight: 256, batch: "off", hops: -1},
	{flags: "--size 1 --outstanding 8 --values 1000", size: 1, inFlight: 8, hops: -1},
	{flags: "--size 1396 --outstanding 8 --values 1000", size: 1396, inFlight: 8, hops: -1},
	{flags: "--size 1368 --outstanding 8 --link udp4 --values 1000", size: 1368, inFlight: 8, link: "udp4", hops: -1},
	{flags: "--clients 20 --outstanding 4 --proposers 2 --learners 2 --values 2000", clients: 20, inFlight: 4, proposers: 2, learners: 2, hops: -1},
	{flags: "--transport udp --values 300", transport: "udp", link: "udp4", hops: -1},
	{flags: "--transport udp --layout process-per-role --learners 2 --outstanding 32 --values 1000", transport: "udp", link: "udp4",
		layout: "process-per-role", learners: 2, inFlight: 32, hops: 4},
	{flags: "--transport udp --size 1368 --drop 0.05 --dup 0.05 --values 300", transport: "udp", link: "udp4", size: 1368, hops: -1, unreliable: true},
	{flags: "--size 65536 --outstanding 4 --values 150", size: 65536, inFlight: 4, hops: -1},
	{flags: "--size 65536 --outstanding 4 --learners 2 --drop 0.05 --values 60", size: 65536, inFlight: 4, learners: 2, hops: -1, unreliable: true},
	{flags: "--transport udp --size 65536 --values 100", transport: "udp", link: "udp4", size: 65536, hops: -1},
	{flags: "--transport udp --size 20000 --drop 0.05 --values 60", transport: "udp", link: "udp4", size: 20000, hops: -1, unreliable: true},
	{flags: "--transport mem --size 65536 --outstanding 64 --batch off --values 200", transport: "mem", link: "none", size: 65536, inFlight: 64,
		batch: "off", hops: 0},
	{flags: "--transport mem --values 300", transport: "mem", link: "none", hops: 0},
	{flags: "--transport mem --batch off --values 300", transport: "mem", link: "none", batch: "off", hops: 0},
	{flags: "--transport mem --layout process-per-role --acceptors 5 --learners 3 --outstanding 256 --values 5000", transport: "mem", link: "none",
		layout: "process-per-role", acceptors: 5, learners: 3, inFlight: 256, hops: 0},
	{flags: "--transport mem --size 1368 --clients 3 --values 300", transport: "mem", link: "none", size: 1368, clients: 3, hops: 0},
}

// Every combination ends with learners that agree and nothing lost, doubled or reordered, and says so in JSON.
func TestDemo(t *testing.T) {
	lab := netlab.Supported()
	for _, r := range demoRuns {
		t.Run(strings.ReplaceAll(r.flags, " ", ""), func(t *testing.T) {
			unreliable := strings.Contains(r.flags, "--drop")
			if lab != nil && (r.transport == "" || unreliable) {
				t.Skipf("needs root and AF_XDP on veth: %v", lab)
			}
			out := t.TempDir()
			args := append([]string{"demo"}, strings.Fields(r.flags)...)
			if !strings.Contains(r.flags, "--warmup") {
				args = append(args, "--warmup", "50ms")
			}
			args = append(args, "--json", filepath.Join(out, "r.json"), "--hgrm", filepath.Join(out, "r.hgrm"))
			status, stdout, stderr := runProgram(t, args...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			r.checkText(t, stdout)
			r.check(t, filepath.Join(out, "r.json"))
			if b, err := os.ReadFile(filepath.Join(out, "r.hgrm")); err != nil || !strings.Contains(string(b), "TotalCount") {
				t.Errorf("no histogram: %v %q", err, b)
			}
		})
	}
}

func (r *demoRun) checkText(t *testing.T, stdout string) {
	t.Helper()
	for _, want := range []string{"p99.99", "every learner delivered the same sequence; nothing lost, doubled or reordered", "Next: "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	if r.transport == "" && !strings.Contains(stdout, "copy mode, native XDP program") {
		t.Errorf("the mode of the sockets is missing in:\n%s", stdout)
	}
}

// check holds the JSON against the contract: every field there, of its type, with the value that the flags ask for.
func (r *demoRun) check(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	var got bench.Report
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	mode := ""
	if r.transport == "" {
		mode = "copy"
	}
	for field, want := range map[string]any{
		"transport": or(r.transport, "afxdp"), "mode": mode, "link": strings.TrimPrefix(or(r.link, "ethernet"), "none"),
		"layout": or(r.layout, got.Layout), "batch": or(r.batch, "instance"), "value_size": float64(or(r.size, 64)),
		"outstanding": float64(or(r.inFlight, 1)), "clients": float64(or(r.clients, 1)), "acceptors": float64(or(r.acceptors, 3)),
		"proposers": float64(or(r.proposers, 1)), "lost": 0.0, "duplicated": 0.0, "reordered": 0.0, "equal": true,
	} {
		if raw[field] != want {
			t.Errorf("%s is %v, want %v", field, raw[field], want)
		}
	}
	for _, field := range []string{"duration_s", "values", "values_per_s", "instances", "wire_hops", "frames_per_value", "retries"} {
		if _, isNumber := raw[field].(float64); !isNumber {
			t.Errorf("%s is %v, want a number", field, raw[field])
		}
	}
	r.checkCounts(t, &got, raw)
	r.checkLearners(t, raw)
}

func (r *demoRun) checkCounts(t *testing.T, got *bench.Report, raw map[string]any) {
	t.Helper()
	if got.Values == 0 || got.ValuesPerS <= 0 || got.DurationS <= 0 || got.Instances == 0 || got.FramesPerValue <= 0 {
		t.Errorf("nothing measured: %d values, %v/s, %v s, %d instances, %v frames a value", got.Values, got.ValuesPerS, got.DurationS,
			got.Instances, got.FramesPerValue)
	}
	if r.hops >= 0 && got.WireHops != r.hops {
		t.Errorf("wire_hops is %v, want %v", got.WireHops, r.hops)
	}
	if r.unreliable && got.Retries == 0 {
		t.Error("frames were lost, but no value was ever sent again")
	}
	latency, _ := raw["latency_us"].(map[string]any)
	last := 0.0
	for _, field := range []string{"min", "p50", "p90", "p99", "p999", "max"} {
		v, isNumber := latency[field].(float64)
		if !isNumber || v < last {
			t.Errorf("latency_us.%s is %v, below %v", field, latency[field], last)
		}
		last = v
	}
	if mean, _ := latency["mean"].(float64); mean <= 0 || mean > last {
		t.Errorf("latency_us.mean is %v", latency["mean"])
	}
}

func (r *demoRun) checkLearners(t *testing.T, raw map[string]any) {
	t.Helper()
	learners, _ := raw["learners"].([]any)
	if len(learners) != or(r.learners, 1) {
		t.Fatalf("learners is %v, want %d", raw["learners"], or(r.learners, 1))
	}
	first, _ := learners[0].(map[string]any)
	for _, l := range learners {
		l, _ := l.(map[string]any)
		if l["id"] == nil || l["delivered"] != first["delivered"] || l["hash"] != first["hash"] || l["delivered"].(float64) < raw["values"].(float64) {
			t.Errorf("learner %v beside %v, and %v values", l, first, raw["values"])
		}
	}
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// An open loop says so, and how exact it was; its latencies are from when values were due. Every file that was asked for is there.
func TestDemoOpenLoop(t *testing.T) {
	out := t.TempDir()
	path, csv := filepath.Join(out, "r.json"), filepath.Join(out, "r.csv")
	status, stdout, stderr := runProgram(t, "demo", "--transport", "mem", "--rate", "20000", "--arrivals", "constant", "--clients", "2",
		"--duration", "1s", "--warmup", "200ms", "--progress=false", "--json", path, "--csv", csv)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
	}
	for _, want := range []string{"2 client(s) with 20000 values/s", "open loop: 20,000 values/s due, constant", "2 clients x 1024 in flight at most", "late submit"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "   1 s ") {
		t.Errorf("there is a line a second:\n%s", stdout)
	}
	r := readReport(t, path)
	if r.Load != "open" || r.RatePerS != 20000 || r.Arrivals != "constant" || r.Values+r.Behind < 19_999 || r.Values+r.Behind > 20_001 || r.LateSubmitUs.Max == 0 {
		t.Errorf("load %q, %g values/s %s, %d values, %d behind, late %+v", r.Load, r.RatePerS, r.Arrivals, r.Values, r.Behind, r.LateSubmitUs)
	}
	total := uint64(0)
	text, err := os.ReadFile(csv)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines[1:] {
		var percentile, value float64
		var count uint64
		if _, err := fmt.Sscanf(line, "%g,%g,%d", &percentile, &value, &count); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		total += count
	}
	if last := lines[len(lines)-1]; lines[0] != "percentile,value_us,count" || total != r.Values || !strings.HasPrefix(last, "100.000000,") {
		t.Errorf("%q … %q, %d values of %d", lines[0], last, total, r.Values)
	}
}

// A value over what any cluster takes is refused before anything runs. Below that the demo sets max_value: one byte more than a frame takes goes
// in fragments.
func TestDemoValueOverTheLimit(t *testing.T) {
	refused(t, []string{"demo", "--values", "1", "--size", "65537"}, "--size 65537", "at most 65536 bytes", "max_value")
	status, stdout, stderr := runProgram(t, "demo", "--transport", "mem", "--values", "20", "--warmup", "10ms", "--size", "1369")
	if status != 0 {
		t.Errorf("status %d\n%s\n%s", status, stdout, stderr)
	}
}

// Ctrl-C at any time ends with status 1 and leaves nothing.
func TestDemoInterrupted(t *testing.T) {
	for _, transport := range []string{"afxdp", "udp", "mem"} {
		for _, after := range []time.Duration{0, 30 * time.Millisecond, 150 * time.Millisecond} {
			t.Run(fmt.Sprint(transport, after), func(t *testing.T) {
				if transport == "afxdp" {
					needLab(t)
				}
				p := begin(t, "demo", "--transport", transport, "--duration", "600s", "--layout", "process-per-role")
				p.shows("client(s) with")
				if after == 0 {
					p.shows(" values/s ") // it is in full swing
				}
				time.Sleep(after)
				p.signal(syscall.SIGINT)
				if status := p.status(); status != 1 && status != 2 {
					t.Errorf("status %d:\n%s", status, p.stderr.String())
				}
				if after == 0 && p.stderr.String() != "wirepaxos: interrupted\n" {
					t.Errorf("it said %q", p.stderr.String())
				}
				p.leavesNothing()
			})
		}
	}
}
