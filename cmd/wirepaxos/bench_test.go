package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// What cannot be measured is refused in one line, before anything runs.
func TestBenchRefuses(t *testing.T) {
	for _, c := range []struct {
		args  string
		words []string
	}{
		{"bench nonsense", []string{`unknown command "nonsense"`, "bench --help"}},
		{"bench latency extra", []string{`"extra"`}},
		{"bench latency --rounds 0", []string{"--rounds 0", "1 to 1000"}},
		{"bench latency --duration 0s", []string{"--duration 0s", "positive"}},
		{"bench latency --warmup -1s", []string{"--warmup -1s", "positive"}},
		{"bench peak --transport tcp", []string{`"tcp" does not exist`, "afxdp, udp, mem"}},
		{"bench peak --idle never", []string{"never"}},
		{"bench peak --link token-ring", []string{"token-ring"}},
		{"bench curve --points (", []string{"--points (", "regular expression"}},
		{"bench curve --points nothing-like-it", []string{"--points nothing-like-it", "no point"}},
		{"bench sizes --json /nonexistent/folder/x.json", []string{"/nonexistent/folder"}},
		{"bench sizes --out /proc/nothing", []string{"--out /proc/nothing"}},
		{"bench all --only latency,nonsense", []string{`"nonsense" does not exist`, "latency, peak"}},
		{"bench micro --points nothing-like-it", []string{"--points nothing-like-it", "no point"}},
		{"bench micro --transport mem", []string{"unknown flag: --transport"}},
		{"bench trial --transport udp", []string{"--transport udp", "over memory"}},
	} {
		t.Run(strings.ReplaceAll(c.args, " ", ""), func(t *testing.T) { refused(t, strings.Fields(c.args), c.words...) })
	}
}

// brief are runs that deliver something also on a machine that is busy: loops that sleep get a core at once, those that spin on a shared one wait.
var brief = []string{"--duration", "200ms", "--idle", "block", "--warmup", "50ms"}

// starved is what a run says that had no core all the time; on a busy machine that is no fault of the program.
const starved = "no value was delivered"

// benched runs a bench command that must end well, and is the suite that it wrote and what it said.
func benched(t *testing.T, args ...string) (*bench.Suite, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "suite.json")
	args = append(args, "--json", path)
	status, stdout, stderr := runProgram(t, append([]string{"bench"}, args...)...)
	for tries := 1; tries < 4 && strings.Contains(stderr, starved); tries++ {
		status, stdout, stderr = runProgram(t, append([]string{"bench"}, args...)...)
	}
	if status != 0 || stderr != "" {
		t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
	}
	s, err := bench.ReadSuite(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Command != "wirepaxos bench "+strings.Join(args, " ") || s.Kernel == "" || s.CPUs == 0 || s.TookS <= 0 || s.Began.IsZero() {
		t.Errorf("a suite of %q on %+v, begun %v, %v s", s.Command, s.Machine, s.Began, s.TookS)
	}
	return s, stdout
}

// wholePoint holds a point against what every point has that ran.
func wholePoint(t *testing.T, p *bench.Point, rounds int) {
	t.Helper()
	if len(p.Runs) != rounds || p.Failed != "" || p.Config.System != "wirepaxos" || p.Config.Storage != "memory" || p.Config.Idle == "" || len(p.Cores) == 0 ||
		len(p.Sockets) == 0 {
		t.Errorf("point %s: %d runs of %d, failed %q, config %+v, cores %v, sockets %v", p.Name, len(p.Runs), rounds, p.Failed, p.Config, p.Cores, p.Sockets)
	}
	for i := range p.Runs {
		r := &p.Runs[i]
		if r.Round != i+1 || r.Values == 0 || r.ValuesPerS <= 0 || r.DurationS <= 0 || r.LatencyUs.P50 <= 0 || r.Costs.Values == 0 || r.Costs.Frames == 0 {
			t.Errorf("point %s, run %d: %+v", p.Name, i, r)
		}
	}
	if h, err := p.Histogram(); err != nil || h.TotalCount() == 0 {
		t.Errorf("point %s: histogram %v", p.Name, err)
	}
}

// hasFloor holds the floor of each run against the hops of a value.
func hasFloor(t *testing.T, p *bench.Point, hops float64) {
	t.Helper()
	for i := range p.Runs {
		if w := p.Runs[i].Wire; w == nil || w.Hops != hops || w.HopUs <= 0 || w.FloorUs != w.Hops*w.HopUs || w.RatioFloor <= 0 || w.EchoPerS <= 0 {
			t.Errorf("point %s, run %d: floor %+v, want one of %g hops", p.Name, i, w, hops)
		}
	}
}

// runLine is a line about a run: the share of the whole, the round, the point.
var runLine = regexp.MustCompile(`(?m)^\[ *(\d+)/(\d+) +\d+ s, \d+ s to go\] (\w+) (\d+)/(\d+) (\S+) `)

// A scenario makes its runs in turn, tells of each, and leaves a whole suite with files.
func TestBenchLatencyOverMemory(t *testing.T) {
	out := t.TempDir()
	s, stdout := benched(t, append([]string{"latency", "--transport", "mem", "--rounds", "2", "--points", "(packed|role)$", "--out", out}, brief...)...)
	var order []string
	for _, m := range runLine.FindAllStringSubmatch(stdout, -1) {
		order = append(order, strings.Join(m[1:], " "))
	}
	want := []string{
		"1 4 latency 1 2 mem-packed", "2 4 latency 1 2 mem-process-per-role", "3 4 latency 2 2 mem-packed", "4 4 latency 2 2 mem-process-per-role",
	}
	if !slices.Equal(order, want) {
		t.Errorf("runs %q, want %q", order, want)
	}
	if len(s.Scenarios) != 1 || len(s.Scenarios[0].Points) != 2 || s.Scenarios[0].TookS <= 0 {
		t.Fatalf("scenarios %+v", s.Scenarios)
	}
	sc := &s.Scenarios[0]
	if want := "wirepaxos bench latency --duration 200ms --idle block --points '(packed|role)$' --rounds 2 --transport mem --warmup 50ms"; sc.Command != want {
		t.Errorf("the scenario's command is %q, want %q", sc.Command, want)
	}
	for i := range sc.Points {
		p := &sc.Points[i]
		wholePoint(t, p, 2)
		if c := p.Config; c.Transport != "mem" || c.Mode != "" || c.Driver != "" || c.Acceptors != 3 || c.ValueSize != 64 || c.Outstanding != 1 || c.Groups != 1 {
			t.Errorf("config %+v", c)
		}
		if p.Runs[0].LatencyCorrectedUs == nil {
			t.Error("a closed loop without corrected latencies")
		}
		hasFloor(t, p, []float64{2, 4}[i])
	}
	for _, name := range []string{"suite.json", "latency-mem-packed.hgrm", "latency-mem-packed.csv", "latency-mem-process-per-role.hgrm"} {
		if info, err := os.Stat(filepath.Join(out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, want := range []string{"memory, packed ", "p99.9 µs", "nothing lost, doubled or reordered"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
}

// The other scenarios differ in what their points are.
func TestBenchScenariosOverMemory(t *testing.T) {
	short := append([]string{"--transport", "mem", "--rounds", "1"}, brief...)
	for _, c := range []struct {
		scenario, points string
		names            []string
		holds            func(c *bench.Config, r *bench.Run) bool
	}{
		{"peak", "frame$|off-", []string{"mem-frame", "mem-off-multicast"}, func(c *bench.Config, r *bench.Run) bool {
			return c.Clients == 4 && c.Outstanding == 2048 && (c.Batch == "off") == (c.Multicast == "on")
		}},
		{"curve", "-instance-1000b-c(2|64)$", []string{"mem-instance-1000b-c2", "mem-instance-1000b-c64"}, func(c *bench.Config, _ *bench.Run) bool {
			return c.ValueSize == 1000 && c.Outstanding == c.Clients
		}},
		{"sizes", "-(1|65536)b$", []string{"mem-1b", "mem-65536b"}, func(c *bench.Config, _ *bench.Run) bool { return c.Outstanding == 64 }},
		{"hops", "packed-a[27]$", []string{"mem-packed-a2", "mem-packed-a7"}, func(c *bench.Config, _ *bench.Run) bool { return c.Acceptors == 2 || c.Acceptors == 7 }},
		{"stages", "packed", []string{"mem-packed-o1", "mem-packed-o64"}, func(c *bench.Config, r *bench.Run) bool { return len(r.Stages) > 3 }},
		{"cpu", "c8", []string{"mem-c8"}, func(c *bench.Config, _ *bench.Run) bool { return c.Clients == 8 }},
		{"groups", "g[12]", []string{"mem-g1", "mem-g2", "mem-g2-together"}, func(c *bench.Config, _ *bench.Run) bool { return c.Outstanding == 64*c.Groups && c.Clients == c.Groups }},
		{"open", "(10|50)pct", []string{"mem-10pct", "mem-50pct"}, func(c *bench.Config, r *bench.Run) bool {
			return c.RatePerS > 0 && c.Arrivals == "poisson" && c.Outstanding == 0 && r.LatencyCorrectedUs == nil
		}},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			s, stdout := benched(t, append(append([]string{c.scenario}, short...), "--points", c.points)...)
			var names []string
			for i := range s.Scenarios[0].Points {
				p := &s.Scenarios[0].Points[i]
				names = append(names, p.Name)
				wholePoint(t, p, 1)
				if !c.holds(&p.Config, &p.Runs[0]) {
					t.Errorf("config %+v", p.Config)
				}
			}
			if !slices.Equal(names, c.names) {
				t.Errorf("points %q, want %q", names, c.names)
			}
			if !strings.Contains(stdout, c.scenario+": "+s.Scenarios[0].Title) {
				t.Errorf("no table in:\n%s", stdout)
			}
		})
	}
}

// testRunner is a runner in this process; without a lab UDP runs on the loopback address.
func testRunner(t *testing.T, lab error, list []*scenario, flags ...string) (*runner, *strings.Builder) {
	t.Helper()
	b := &benchFlags{}
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	b.add(f)
	b.addCluster(f)
	if err := f.Parse(flags); err != nil {
		t.Fatal(err)
	}
	r, err := newRunner(b, list, lab)
	if err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	r.to = said
	return r, said
}

// Without a lab what needs AF_XDP has the reason, and the others run: UDP on 127.0.0.1.
func TestBenchWithoutLab(t *testing.T) {
	list := []*scenario{latencyScenario()}
	var r *runner
	var said *strings.Builder
	for tries := 1; ; tries++ {
		r, said = testRunner(t, errors.New("no privilege"), list, append([]string{"--rounds", "2", "--points", "packed$"}, brief...)...)
		err := r.all(context.Background(), list)
		if err == nil {
			break
		}
		if tries == 4 || !strings.Contains(err.Error(), starved) {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	points := r.suite.Scenarios[0].Points
	if len(points) != 3 || points[0].Failed != "not measured: no privilege" || len(points[0].Runs) != 0 {
		t.Fatalf("points %+v", points)
	}
	wholePoint(t, &points[1], 2)
	wholePoint(t, &points[2], 2)
	if c := points[1].Config; c.Driver != "loopback" || c.Link != "udp4" || c.WireHops != 2 {
		t.Errorf("over UDP %+v", c)
	}
	var order []string
	for _, m := range runLine.FindAllStringSubmatch(said.String(), -1) {
		order = append(order, m[4]+m[6])
	}
	if want := []string{"1udp-packed", "1mem-packed", "2udp-packed", "2mem-packed"}; !slices.Equal(order, want) {
		t.Errorf("runs %q, want %q", order, want)
	}
	if !strings.Contains(said.String(), "afxdp-packed: not measured: no privilege") {
		t.Errorf("the reason is missing in:\n%s", said)
	}
	if r, err := newRunner(flagsOf(t, "--transport", "afxdp"), list, errors.New("no privilege")); err == nil || !strings.Contains(err.Error(), "no privilege") {
		t.Errorf("only AF_XDP was asked for: %v, %v", r, err)
	}
}

// A scenario of which nothing can be measured is refused.
func TestBenchHopsWithoutLab(t *testing.T) {
	if r, err := newRunner(flagsOf(t), []*scenario{hopsScenario()}, errors.New("no privilege")); err == nil || !strings.Contains(err.Error(), "no privilege") {
		t.Errorf("%v, %v", r, err)
	}
}

func flagsOf(t *testing.T, flags ...string) *benchFlags {
	r, _ := testRunner(t, nil, []*scenario{peakScenario()}, flags...)
	return r.benchFlags
}

// A run that breaks is told, tried once more, and does not keep the others from running; a run whose check does not hold makes the command fail.
func TestBenchTellsOfFailures(t *testing.T) {
	broken := &scenario{name: "broken", title: "what breaks", points: func(b *benchFlags) []*benchPoint {
		return []*benchPoint{
			b.point("bad", "bad", trialConfig{transport: "mem", layout: "heap"}), b.point("good", "good", trialConfig{transport: "mem", size: 8}),
		}
	}}
	r, said := testRunner(t, nil, []*scenario{broken}, append([]string{"--rounds", "3"}, brief...)...)
	var f failure
	err := r.all(context.Background(), []*scenario{broken})
	if !errors.As(err, &f) || !strings.Contains(err.Error(), "of the runs") || strings.Count(said.String(), "FAILED") != 2 {
		t.Errorf("%v\n%s", err, said)
	}
	points := r.suite.Scenarios[0].Points
	if len(points[0].Runs) != 0 || !strings.Contains(points[0].Failed, "layout heap") || len(points[1].Runs) != 3 {
		t.Errorf("points %+v", points)
	}

	lossy := &scenario{name: "lossy", title: "what loses", takes: func(*benchFlags) float64 { return 1 },
		run: func(_ context.Context, _ *runner, s *bench.Scenario) error {
			s.Points = []bench.Point{{Name: "p", Runs: []bench.Run{{Round: 1, Problems: []string{"lost 3 values"}}}}}
			return nil
		}}
	r, said = testRunner(t, nil, []*scenario{lossy})
	if err := r.all(context.Background(), []*scenario{lossy}); !errors.As(err, &f) || !strings.Contains(err.Error(), "lossy, p, round 1: lost 3 values") {
		t.Errorf("%v\n%s", err, said)
	}
	if !strings.Contains(said.String(), "PROBLEM: p, round 1: lost 3 values") {
		t.Errorf("the problem is missing in:\n%s", said)
	}
}

// Without a peak there are no rates, and the command fails.
func TestBenchOpenWithoutPeak(t *testing.T) {
	list := []*scenario{openScenario()}
	r, said := testRunner(t, nil, list, append([]string{"--rounds", "1", "--transport", "mem"}, brief...)...)
	r.idle = "never"
	var f failure
	if err := r.all(context.Background(), list); !errors.As(err, &f) || !strings.Contains(err.Error(), "mem-peak") {
		t.Errorf("%v\n%s", err, said)
	}
	for _, p := range r.suite.Scenarios[0].Points {
		if len(p.Runs) != 0 || !strings.Contains(p.Failed, "the peak could not be measured: round 2: ") {
			t.Errorf("point %+v", p)
		}
	}
}

// Ctrl-C at any time ends with status 1 and leaves nothing.
func TestBenchInterrupted(t *testing.T) {
	for _, transport := range []string{"afxdp", "udp", "mem"} {
		for _, after := range []time.Duration{50 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprint(transport, after), func(t *testing.T) {
				if transport == "afxdp" {
					needLab(t)
				}
				p := begin(t, "bench", "groups", "--transport", transport, "--duration", "600s", "--points", "g2")
				p.shows("runs of 10m")
				time.Sleep(after)
				p.signal(syscall.SIGINT)
				if status := p.status(); status != 1 || p.stderr.String() != "wirepaxos: interrupted\n" {
					t.Errorf("status %d, %q", status, p.stderr.String())
				}
				p.leavesNothing()
			})
		}
	}
}

// Over AF_XDP a point says what its sockets got, and how far a value's way is.
func TestBenchHopsOverAFXDP(t *testing.T) {
	needLab(t)
	s, _ := benched(t, append([]string{"hops", "--rounds", "1", "--points", "-a3$"}, brief...)...)
	hops := map[string]float64{"packed": 2, "proposers-apart": 3, "process-per-role": 4}
	for i := range s.Scenarios[0].Points {
		p := &s.Scenarios[0].Points[i]
		wholePoint(t, p, 1)
		if c := p.Config; c.Mode != "copy" || c.Link != "ethernet" || c.Driver != "veth" || hops[c.Layout] != 0 && c.WireHops != hops[c.Layout] {
			t.Errorf("config %+v", c)
		}
	}
	if n := len(s.Scenarios[0].Points); n != 4 {
		t.Errorf("%d points, want 4", n)
	}
}

// Groups over AF_XDP are clusters of their own: two have two of everything.
func TestBenchGroupsOverAFXDP(t *testing.T) {
	needLab(t)
	s, stdout := benched(t, "groups", "--transport", "afxdp", "--rounds", "1", "--points", "g2", "--duration", "500ms", "--idle", "block")
	p := &s.Scenarios[0].Points[0]
	wholePoint(t, p, 1)
	if c := p.Runs[0].Costs; c.CPUS <= 0 || c.Voluntary < 0 {
		t.Errorf("the costs of both groups are %+v", c)
	}
	if len(p.Sockets) != 4 || len(p.Cores) != 4 || p.Config.Groups != 2 || !strings.Contains(stdout, "The loads of the groups begin") {
		t.Errorf("%d sockets, %d loops, config %+v\n%s", len(p.Sockets), len(p.Cores), p.Config, stdout)
	}
}

// Groups differ in their id. Several have a core for each loop, or none has.
func TestPlansOfGroups(t *testing.T) {
	r, _ := testRunner(t, nil, []*scenario{groupsScenario()})
	set, err := dataplane.Cores()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 40} {
		plans, err := r.plansOf(&r.benchFlags.point("", "", trialConfig{transport: "mem", groups: n}).trial)
		if err != nil || len(plans) != n {
			t.Fatalf("%d plans of %d groups, %v", len(plans), n, err)
		}
		cores := map[int]int{}
		for g, p := range plans {
			if p.file.Group != uint16(g+1) {
				t.Errorf("group %d has the id %d", g+1, p.file.Group)
			}
			for _, q := range p.procs {
				cores[q.core]++
			}
		}
		enough := 2*n <= len(set.Allowed)
		for core, loops := range cores {
			if enough && (core == cluster.NoCore || loops > 1) || !enough && core != cluster.NoCore {
				t.Errorf("%d groups on %d cores: %d loops on core %d", n, len(set.Allowed), loops, core)
			}
		}
	}
}

// All scenarios make one suite; failover is among them, with its kills.
func TestBenchAll(t *testing.T) {
	transport, driver := "afxdp", "veth"
	if netlab.Supported() != nil {
		transport, driver = "udp", "loopback"
	}
	s, stdout := benched(t, "all", "--quick", "--idle", "block", "--only", "failover,latency", "--transport", transport, "--points", transport+"(-packed)?$")
	if len(s.Scenarios) != 2 || s.Scenarios[0].Name != "latency" || s.Scenarios[1].Name != "failover" || !s.Quick {
		t.Fatalf("scenarios %+v", s.Scenarios)
	}
	wholePoint(t, &s.Scenarios[0].Points[0], quickRounds)
	hasFloor(t, &s.Scenarios[0].Points[0], 2)
	sc := &s.Scenarios[1]
	if want := fmt.Sprintf("wirepaxos bench failover --kills %d --transport %s", quickKills, transport); sc.Command != want {
		t.Errorf("command %q, want %q", sc.Command, want)
	}
	f := &sc.Failovers[0]
	if f.Kills != quickKills || len(f.Failovers) != quickKills || f.ValueMs.Median <= 0 || f.ValueMs.Max < f.ValueMs.Median || f.HistogramV2 == "" ||
		f.LeaderTimeoutMs != 6 || f.Config.Driver != driver || f.Config.Proposers != 3 || f.Failed != "" {
		t.Errorf("failovers %+v", f)
	}
	if !strings.Contains(stdout, fmt.Sprintf("failover %s 5 of 5", transport)) || !strings.Contains(stdout, "next value ms, median") {
		t.Errorf("failovers are missing in:\n%s", stdout)
	}
}
