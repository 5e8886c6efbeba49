package page

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"wirepaxos/bench"
)

// durable are the bounds of clusters that keep what they promise on disk.
func (e *evidence) durable() []bound {
	onDisk := func(c *bench.Config) bool {
		return isOurs(c) && c.Transport == "afxdp" && !inMemory(c) && c.ValueSize == 64
	}
	f, ok := e.find("durable", func(c *bench.Config) bool { return onDisk(c) && c.Outstanding == 64 }, faster)
	return []bound{
		bound{what: "values/s, durable, 64 outstanding", want: "≥ 100,000", limit: 100_000, atLeast: true}.take(f, ok, throughput.of),
	}
}

// failover is the time from the kill of a leader to the next delivered value.
func (e *evidence) failover() bound {
	b := bound{what: "leader killed with -9 to next delivered value: median", want: "≤ 10 ms", limit: 10, unit: "ms", missing: "no failover is in the suites"}
	for _, s := range e.suites {
		for i := range s.Scenarios {
			sc := &s.Scenarios[i]
			for k := range sc.Failovers {
				p := &sc.Failovers[k]
				if p.Config.Transport != "afxdp" || p.Failed != "" || len(p.Problems) > 0 || p.Kills == 0 {
					continue
				}
				b.got = bench.Spread{Median: p.ValueMs.Median, Min: p.ValueMs.Min, Max: p.ValueMs.Max, N: p.Kills}
				b.command, b.where = sc.Command, joined(p.Series, fmt.Sprintf("%d kills", p.Kills))
				return b
			}
		}
	}
	return b
}

// steady are the counts that must be nought where loops spin.
func (e *evidence) steady() (list []bound) {
	f, ok := e.find("peak", func(c *bench.Config) bool { return load64(c, "afxdp", "instance") && c.Idle == "spin" }, faster)
	if !ok {
		f, ok = e.find("latency", func(c *bench.Config) bool { return load64(c, "afxdp", "") && c.Idle == "spin" }, quicker)
	}
	for _, c := range []struct {
		what string
		of   func(*bench.Run) int64
	}{
		{"allocations", func(r *bench.Run) int64 { return r.Costs.Allocations }},
		{"GC cycles", func(r *bench.Run) int64 { return r.Costs.GCCycles }},
		{"voluntary context switches of spinning loops", func(r *bench.Run) int64 { return r.Costs.LoopVoluntary }},
	} {
		b := bound{what: "steady state, in a whole run: " + c.what, want: "0"}
		b = b.take(f, ok, func(r *bench.Run) float64 {
			if n := c.of(r); n >= 0 && r.Costs.Values > 0 {
				return float64(n)
			}
			return math.NaN()
		})
		if !ok {
			b.missing = "no point over AF_XDP has loops that spin"
		}
		list = append(list, b)
	}
	return list
}

// peerBound is what is wanted against other systems.
type peerBound struct {
	what           string
	rate, delay    float64
	isIn           func(system string) bool
	missing        string
	hasOutstanding []int
}

func isLibpaxos(system string) bool { return strings.Contains(strings.ToLower(system), "libpaxos") }

var peerBounds = []peerBound{
	{
		what: "the best peer", rate: 5, delay: 5, isIn: func(s string) bool { return !isLibpaxos(s) },
		missing: "no peer is in the suites: wirepaxos bench peers", hasOutstanding: []int{1, 64, 256, 1024},
	},
	{
		what: "C libpaxos", rate: 10, delay: 8, isIn: isLibpaxos,
		missing: "it was not in the run: its programs are not on the PATH, or no peers were run", hasOutstanding: nil,
	},
}

// peers holds AF_XDP against the best of the other systems at equal outstanding, the throughput against the one with the most, the latency against the one
// with the least.
func (e *evidence) peers() (list []bound) {
	for _, want := range peerBounds {
		pairs, command := e.peerPairs(want.isIn)
		outstanding := want.hasOutstanding
		for i := range pairs {
			if n := pairs[i].ours.Config.Outstanding; outstanding == nil || !slices.Contains(outstanding, n) {
				outstanding = append(outstanding[:len(outstanding):len(outstanding)], n)
			}
		}
		if len(pairs) == 0 {
			both := fmt.Sprintf("≥ %g× throughput, ≤ 1/%g median latency", want.rate, want.delay)
			list = append(list, bound{what: "AF_XDP against " + want.what, want: both, missing: want.missing})
			continue
		}
		for _, n := range outstanding {
			for _, m := range castings {
				list = append(list, want.at(n, m, pairs, command)...)
			}
		}
	}
	return list
}

// peerPairs are the pairs of our AF_XDP points and other systems in memory, from the newest suite that has any.
func (e *evidence) peerPairs(isIn func(string) bool) (pairs []versus, command string) {
	for _, s := range e.suites {
		for i := range s.Scenarios {
			for _, v := range versusIn(soundPoints(&s.Scenarios[i]), "afxdp") {
				if c := &v.theirs.Config; !isOurs(c) && isIn(c.System) && v.ours.Config.ValueSize == 64 && inMemory(c) {
					pairs = append(pairs, v)
				}
			}
			if len(pairs) > 0 {
				return pairs, s.Scenarios[i].Command
			}
		}
	}
	return nil, ""
}

// at are the two bounds at one number of outstanding values, without or with multicast.
func (w *peerBound) at(outstanding int, m casting, pairs []versus, command string) []bound {
	rate := bound{
		what: fmt.Sprintf("AF_XDP%s over %s, throughput: %d outstanding", m.title, w.what, outstanding),
		want: fmt.Sprintf("≥ %g×", w.rate), limit: w.rate, atLeast: true, unit: "×",
		missing: "not in the suites at so many outstanding",
	}
	delay := rate
	delay.what = fmt.Sprintf("%s over AF_XDP%s, median latency: %d outstanding", w.what, m.title, outstanding)
	delay.want, delay.limit = fmt.Sprintf("≥ %g×", w.delay), w.delay
	var best, quickest *bench.Point
	for i := range pairs {
		v := &pairs[i]
		if v.ours.Config.Outstanding != outstanding || v.ours.Config.Multicast != m.value {
			continue
		}
		if best == nil || faster(v.theirs, best) {
			best = v.theirs
			rate.got, rate.command, rate.where = v.throughput, command, "against "+v.theirs.Config.System
		}
		if quickest == nil || quicker(v.theirs, quickest) {
			quickest = v.theirs
			delay.got, delay.command, delay.where = v.latency, command, "against "+v.theirs.Config.System
		}
	}
	if best == nil && m.optional {
		return nil
	}
	return []bound{rate, delay}
}

// verdictTable has each bound, what was measured, and whether it is met.
func verdictTable(suites []*bench.Suite) *table {
	t := &table{
		Title: "Bounds", Head: []string{"figure", "result", "measured", "bound", "of"},
		Note: "Measured: median of the runs (least–most); the median decides. " +
			"The bounds are aims on a machine with 2 CPUs over veth in copy mode, with 64-byte values.",
	}
	for _, b := range bounds(suites) {
		measured := cell{Text: spreadText(b.got), Class: "num"}
		if b.got.N > 0 && b.unit != "" {
			measured.Text += " " + b.unit
		}
		t.Rows = append(t.Rows, row{
			Cells: []cell{{Text: b.what, Class: "wrap"}, b.result(), measured, word(b.want), {Text: b.where, Class: "wrap", Code: b.command}},
			Faint: b.got.N == 0,
		})
	}
	return t
}
