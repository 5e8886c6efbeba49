package page

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/bench"
)

// synthetic makes suites out of a seed. Its figures look like measurements and are none.
type synthetic struct {
	testing.TB
	*rand.Rand
	rounds int
	values int // in each histogram
}

func newSynthetic(t testing.TB, seed uint64, rounds int) *synthetic {
	return &synthetic{TB: t, Rand: rand.New(rand.NewPCG(seed, 4)), rounds: rounds, values: 1500}
}

// suite has a scenario of every form that the bench writes.
func (g *synthetic) suite() *bench.Suite {
	return &bench.Suite{
		Schema: bench.SuiteSchema, Command: "wirepaxos bench all --json synthetic.json", Began: time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC), TookS: 600,
		Machine: bench.Machine{
			Kernel: "0.0.0-synthetic", CPU: "No CPU: synthetic figures", CPUs: 2, Go: "go0.0", Version: "(devel)", Commit: "0000000", StealPercent: 2.5,
		},
		Scenarios: []bench.Scenario{
			g.latency(), g.curve(), g.peak(), g.sizes(), g.open(), g.peers(), g.failover(), g.micro(),
			{Name: "groups", Title: "Several groups side by side", Command: "wirepaxos bench groups", X: "groups", Skipped: "only one core is free"},
		},
	}
}

var syntheticTransports = []struct {
	series, transport string
	us                float64 // of one value
}{{"AF_XDP", "afxdp", 9}, {"kernel UDP", "udp", 22}, {"memory", "mem", 5}}

func (g *synthetic) config(transport string) bench.Config {
	c := bench.Config{
		System: "wirepaxos", Transport: transport, Layout: "packed", Batch: "instance", Idle: "spin", Storage: "memory", Acceptors: 3, Proposers: 1, Learners: 1,
		Groups: 1, Clients: 1, Outstanding: 1, ValueSize: 64,
	}
	switch transport {
	case "afxdp":
		c.Mode, c.Link, c.Driver = "copy", "ethernet", "veth"
	case "mem":
		c.Layout = "one process"
	}
	return c
}

// point makes the runs of a point that takes us microseconds for a value, and delivers rate values a second.
func (g *synthetic) point(series string, c bench.Config, us, rate float64) bench.Point {
	p := bench.Point{Name: fmt.Sprintf("%s-%d-%d", c.Transport, c.Outstanding, c.ValueSize), Series: series, Config: c}
	for round := range g.rounds {
		noise := math.Exp(g.NormFloat64() * .08)
		p.Runs = append(p.Runs, g.run(round+1, us*noise, rate/noise))
	}
	p.Cores = []bench.CoreUse{{Core: 0, Runs: "client 7, proposer 4"}, {Core: 1, Runs: "acceptor 1, acceptor 2, acceptor 3, learner 5"}}
	if c.Transport == "afxdp" {
		p.Sockets = []bench.SocketUse{{Nodes: []uint16{4, 7}, Interface: "syn0", Transport: "afxdp", Mode: c.Mode, Link: c.Link}}
	}
	return p
}

func (g *synthetic) run(round int, us, rate float64) bench.Run {
	h := hdrhistogram.New(1, 60e9, 3)
	for range g.values {
		ns := us * 1e3 * (0.8 + 0.2*math.Exp(g.NormFloat64()*.5))
		if g.Float64() < .004 {
			ns *= 3 + 20*g.ExpFloat64()
		}
		if err := h.RecordValue(int64(ns)); err != nil {
			g.Fatal(err)
		}
	}
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		g.Fatal(err)
	}
	at := func(q float64) float64 { return float64(h.ValueAtPercentile(q)) / 1e3 }
	l := bench.Latency{
		Min: float64(h.Min()) / 1e3, Mean: h.Mean() / 1e3, P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99), Max: float64(h.Max()) / 1e3,
	}
	corrected := l
	corrected.P99 *= 1.2
	values := uint64(rate)
	return bench.Run{
		Round: round, DurationS: 1, Values: values, ValuesPerS: rate, LatencyUs: l, LatencyCorrectedUs: &corrected, HistogramV2: string(encoded),
		StealPercent: 3 * g.Float64(),
		Costs: bench.Costs{
			Values: values, CPUS: 2, Voluntary: g.Int64N(40), Involuntary: g.Int64N(400), Syscalls: int64(values), Frames: int64(values) * 7,
			FrameBytes: int64(values) * 900, GCCycles: 0, LoopVoluntary: 0, LoopInvoluntary: -1, Allocations: 0, AllocatedBytes: 0,
		},
	}
}

func (g *synthetic) latency() bench.Scenario {
	sc := bench.Scenario{Name: "latency", Title: "One value at a time", Command: "wirepaxos bench latency", X: "layout", Notes: []string{"A synthetic note."}}
	for _, t := range syntheticTransports {
		for _, layout := range []string{"packed", "process-per-role"} {
			c := g.config(t.transport)
			us := t.us
			if t.transport != "mem" {
				if c.Layout = layout; layout != "packed" {
					us *= 1.7
				}
			} else if layout != "packed" {
				continue
			}
			p := g.point(t.series, c, us, 1e6/us)
			for i := range p.Runs {
				r := &p.Runs[i]
				if t.transport != "mem" {
					r.Wire = &bench.Wire{Hops: 2, HopUs: us / 4, FloorUs: us / 2, EchoPerS: 300e3, RatioFloor: 2}
				}
				for k, to := range []string{"proposer", "acceptor", "learner", "client"} {
					s := bench.Stage{From: []string{"client", "proposer", "acceptor", "learner"}[k], To: to, Samples: 500}
					s.LatencyUs.P50, s.LatencyUs.P99 = us*[]float64{.3, .25, .15, .3}[k], us*float64(k+1)
					r.Stages = append(r.Stages, s)
				}
			}
			sc.Points = append(sc.Points, p)
		}
	}
	return sc
}

func (g *synthetic) curve() bench.Scenario {
	sc := bench.Scenario{Name: "curve", Title: "Latency against throughput", Command: "wirepaxos bench curve", X: "clients"}
	for _, size := range []int{64, 1000} {
		for _, batch := range []string{"instance", "off"} {
			for _, t := range syntheticTransports[:2] {
				for clients := 1; clients <= 256; clients *= 4 {
					c := g.config(t.transport)
					c.Clients, c.Outstanding, c.ValueSize, c.Batch = clients, clients, size, batch
					peak := 9e6 / t.us / (1 + float64(size)/1000)
					if batch == "off" {
						peak /= 6
					}
					us := t.us + float64(clients)*1e6/peak
					sc.Points = append(sc.Points, g.point(t.series, c, us, float64(clients)*1e6/us))
				}
			}
		}
	}
	return sc
}

func (g *synthetic) peak() bench.Scenario {
	sc := bench.Scenario{Name: "peak", Title: "As many values as it takes", Command: "wirepaxos bench peak", X: "batch"}
	for i, batch := range []string{"instance", "frame", "off"} {
		for _, t := range syntheticTransports {
			c := g.config(t.transport)
			c.Batch, c.Clients, c.Outstanding = batch, 4, 512
			rate := []float64{1.6e6, 8e5, 1.4e5}[i] * 9 / t.us
			sc.Points = append(sc.Points, g.point(t.series, c, 512e6/rate, rate))
		}
	}
	return sc
}

func (g *synthetic) sizes() bench.Scenario {
	sc := bench.Scenario{Name: "sizes", Title: "Values of 1 byte to 64 KiB", Command: "wirepaxos bench sizes", X: "value_size"}
	for _, t := range syntheticTransports {
		for _, size := range []int{1, 64, 256, 1000, 1396, 4096, 16384, 65536} {
			c := g.config(t.transport)
			c.ValueSize, c.Outstanding = size, 64
			rate := 9e6 / t.us / (1 + float64(size)/800)
			sc.Points = append(sc.Points, g.point(t.series, c, 64e6/rate, rate))
		}
	}
	return sc
}

func (g *synthetic) open() bench.Scenario {
	sc := bench.Scenario{Name: "open", Title: "Values that come when they come", Command: "wirepaxos bench open", X: "rate_per_s"}
	for i, share := range []float64{.1, .3, .5, .7, .9} {
		c := g.config("afxdp")
		c.Outstanding, c.RatePerS, c.Arrivals = 0, 1e6*share, "poisson"
		sc.Points = append(sc.Points, g.point("AF_XDP", c, 10+float64(i*i)*8, 1e6*share))
	}
	return sc
}

func (g *synthetic) peers() bench.Scenario {
	sc := bench.Scenario{Name: "peers", Title: "Other systems, in turn with ours", Command: "wirepaxos bench peers", X: "outstanding"}
	for _, outstanding := range []int{1, 64, 256, 1024} {
		for _, s := range []struct {
			series, system string
			us, peak       float64
		}{{"AF_XDP", "wirepaxos", 9, 1.4e6}, {"made-up/raft", "made-up/raft v0.0.0", 45, 2.7e5}, {"imaginary", "imaginary v0.0.0", 139, 1.6e5}} {
			c := g.config("afxdp")
			c.Outstanding = outstanding
			if s.system != "wirepaxos" {
				c = bench.Config{System: s.system, Transport: "tcp", Storage: "memory", Groups: 1, Clients: 1, Outstanding: outstanding, ValueSize: 64}
			}
			c.System = s.system
			us := max(s.us, float64(outstanding)*1e6/s.peak)
			p := g.point(s.series, c, us, float64(outstanding)*1e6/us)
			if s.system != "wirepaxos" {
				p.Unlike = "no hop from a client: it runs in the leader's process"
			}
			sc.Points = append(sc.Points, p)
		}
	}
	return sc
}

func (g *synthetic) failover() bench.Scenario {
	sc := bench.Scenario{Name: "failover", Title: "The leader dies", Command: "wirepaxos bench failover"}
	for _, t := range syntheticTransports[:2] {
		p := bench.FailoverPoint{Name: t.transport, Series: t.series, Config: g.config(t.transport), Kills: 30, HeartbeatMs: 1, LeaderTimeoutMs: 6}
		h := hdrhistogram.New(1, 60e9, 3)
		for range p.Kills {
			ms := 8 + g.ExpFloat64()*t.us/10
			p.Failovers = append(p.Failovers, bench.Failover{How: "killed", ValueMs: ms, LeadsMs: ms - 1, OutageMs: ms + 1})
			if err := h.RecordValue(int64(ms * 1e6)); err != nil {
				g.Fatal(err)
			}
		}
		p.ValueMs = bench.FailoverTimes{Min: 8, Median: float64(h.ValueAtPercentile(50)) / 1e6, P90: 12, Max: float64(h.Max()) / 1e6}
		sc.Failovers = append(sc.Failovers, p)
	}
	return sc
}

func (g *synthetic) micro() bench.Scenario {
	sc := bench.Scenario{Name: "micro", Title: "The hot functions", Command: "wirepaxos bench micro"}
	for _, name := range []string{"paxos.Accept/burst=1/a-frame=1", "paxos.Accept/burst=32/a-frame=8", "dataplane/mem.PushPop"} {
		m := bench.Micro{Name: name}
		for range g.rounds {
			m.NsPerOp = append(m.NsPerOp, 50+20*g.Float64())
		}
		sc.Micro = append(sc.Micro, m)
	}
	return sc
}
