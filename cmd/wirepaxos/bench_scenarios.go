package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
)

// scenarios are those that are made of trials and of what else there is, in the order in which `bench all` makes them.
func scenarios() []*scenario {
	return []*scenario{
		latencyScenario(), peakScenario(), curveScenario(), sizesScenario(), stagesScenario(), hopsScenario(), cpuScenario(), openScenario(),
		groupsScenario(),
	}
}

// transportTitles are the transports for people.
var transportTitles = map[string]string{"afxdp": "AF_XDP", "udp": "kernel UDP", "mem": "memory"}

// multicastName and multicastTitle are what the name and the series of a point have behind them where it has multicast.
const (
	multicastName  = "-multicast"
	multicastTitle = ", multicast"
)

// twice are a point and the same with multicast.
func (b *benchFlags) twice(name, series string, c trialConfig) []*benchPoint {
	many := c
	many.multicast = true
	return []*benchPoint{b.point(name, series, c), b.point(name+multicastName, series+multicastTitle, many)}
}

// usualValue is the size of a value in bytes where a scenario is not about sizes, as in the papers.
const usualValue = 64

// point is a point with the flags that all points share.
func (b *benchFlags) point(name, series string, c trialConfig) *benchPoint {
	c.idle = b.idle
	if c.transport == "afxdp" {
		c.link = b.link
	}
	c.acceptors, c.proposers, c.learners = cmp.Or(c.acceptors, 3), cmp.Or(c.proposers, 1), cmp.Or(c.learners, 1)
	c.batch, c.layout = cmp.Or(c.batch, "instance"), cmp.Or(c.layout, layoutPacked)
	c.groups, c.clients, c.outstanding, c.size = max(c.groups, 1), max(c.clients, 1), max(c.outstanding, 1), max(c.size, 1)
	return &benchPoint{name: name, series: series, trial: c}
}

func latencyScenario() *scenario {
	return &scenario{
		name: "latency", title: "how long one value takes, from the client and back to it, with nothing else under way",
		short: "How long one value takes with nothing else under way",
		long: `One client with one outstanding value of 64 bytes, over each transport: in the packed layout (client and proposer on one loop, acceptors and
learner on another) and with a process for each role; each also with multicast, where what is for several nodes leaves once for each way to them. Before each run an echo of frames as long as an Accept of that value, over such ports between two loops,
gives the time of a hop; the floor is that of all hops that a value crosses, and the ratio the median latency over it.`,
		example: "  wirepaxos bench latency\n  wirepaxos bench latency --quick --transport mem,udp --json latency.json",
		points: func(b *benchFlags) (points []*benchPoint) {
			for _, layout := range []string{layoutPacked, layoutProcessPerRole} {
				for _, t := range b.over(allTransports...) {
					points = append(points, b.twice(t+"-"+layout, transportTitles[t]+", "+layout, trialConfig{transport: t, layout: layout, size: usualValue, floor: true})...)
				}
			}
			return points
		},
	}
}

func peakScenario() *scenario {
	return &scenario{
		name: "peak", title: "values/s with 4 clients of 512 outstanding values each, by how values are batched",
		short: "How many values a second, by how they are batched",
		long: `Four clients with 512 outstanding values of 64 bytes each. Values of a burst share an instance (batch instance), or each has one (frame), or each
has one and every message a frame of its own (off), as the Kernel Paxos paper has it. Each also with multicast: a message for several nodes then
is in one frame, not in one for each.`,
		example: "  wirepaxos bench peak\n  wirepaxos bench peak --points 'afxdp|udp-off'",
		points: func(b *benchFlags) (points []*benchPoint) {
			for _, batch := range []string{"instance", "frame", "off"} {
				for _, t := range b.over(allTransports...) {
					c := trialConfig{transport: t, batch: batch, clients: 4, outstanding: 512, size: usualValue}
					points = append(points, b.twice(t+"-"+batch, transportTitles[t]+", batch "+batch, c)...)
				}
			}
			return points
		},
	}
}

func curveScenario() *scenario {
	return &scenario{
		name: "curve", title: "latency against throughput: more and more clients of one outstanding value each", x: "clients", rounds: 3,
		short: "Latency against throughput, with 1 to 256 clients",
		long: `1, 2, 4, up to 256 clients with one outstanding value each, of 64 and of 1000 bytes, as in figures 4 to 6 of the Kernel Paxos paper: with values of
a burst in one instance, and with one message a frame as the paper has it (batch off). Three runs of each point, unless --rounds says otherwise.`,
		example: "  wirepaxos bench curve --out curve\n  wirepaxos bench curve --quick --transport afxdp --points 64b",
		points: func(b *benchFlags) (points []*benchPoint) {
			clients := []int{1, 2, 4, 8, 16, 32, 64, 128, 256}
			if b.quick {
				clients = []int{1, 16, 256}
			}
			for _, n := range clients {
				for _, size := range []int{64, 1000} {
					for _, batch := range []string{"instance", "off"} {
						if b.quick && size != usualValue && batch == "off" {
							continue
						}
						for _, t := range b.over("afxdp", "udp") {
							name := fmt.Sprintf("%s-%s-%db-c%d", t, batch, size, n)
							series := fmt.Sprintf("%s, %d B, batch %s", transportTitles[t], size, batch)
							pair := b.twice(name, series, trialConfig{transport: t, batch: batch, clients: n, size: size})
							if t != "afxdp" || batch != "instance" {
								pair = pair[:1]
							}
							points = append(points, pair...)
						}
					}
				}
			}
			return points
		},
	}
}

func sizesScenario() *scenario {
	return &scenario{
		name: "sizes", title: "values of 1 byte to 64 KiB, 64 of them outstanding", x: "value_size", rounds: 3,
		short: "Values of 1 byte to 64 KiB",
		long: `One client with 64 outstanding values of 1, 64, 256, 1000, 1396, 4096, 16384 and 65536 bytes. Up to 1,396 bytes (1,368 over UDP and memory) a value fits a frame of
Ethernet's 1,500; a larger one goes in fragments. Three runs of each point, unless --rounds says otherwise.`,
		example: "  wirepaxos bench sizes\n  wirepaxos bench sizes --transport afxdp --points '1396|4096'",
		points: func(b *benchFlags) (points []*benchPoint) {
			sizes := []int{1, 64, 256, 1000, 1396, 4096, 16384, 65536}
			if b.quick {
				sizes = []int{1, 64, 1000, 1396, 65536}
			}
			for _, size := range sizes {
				for _, t := range b.over(allTransports...) {
					c := trialConfig{transport: t, outstanding: 64, size: size}
					pair := b.twice(fmt.Sprintf("%s-%db", t, size), transportTitles[t], c)
					if t != "afxdp" {
						pair = pair[:1]
					}
					points = append(points, pair...)
				}
			}
			return points
		},
	}
}

// followed is that one value in so many is followed.
const followed = 16

func stagesScenario() *scenario {
	return &scenario{
		name: "stages", title: "where a value's time goes, from role to role", rounds: 3,
		short: "Where a value's time goes, from role to role",
		long: `One client with one outstanding value of 64 bytes, in the packed layout and with a process for each role, and in the packed layout with 64 of
them. One value in 16 is followed: from the client to the proposer, which gives it an instance, to the acceptor that completes a quorum, to the learner that
delivers it, and back. Times are those of the cycles of the loops: two roles that handle a value in one cycle have it at one time. Three runs of each
point, unless --rounds says otherwise.`,
		example: "  wirepaxos bench stages\n  wirepaxos bench stages --transport afxdp --points packed --out stages",
		points: func(b *benchFlags) (points []*benchPoint) {
			for _, kind := range []struct {
				layout      string
				outstanding int
			}{{layoutPacked, 1}, {layoutProcessPerRole, 1}, {layoutPacked, 64}} {
				for _, t := range b.over(allTransports...) {
					c := trialConfig{transport: t, layout: kind.layout, outstanding: kind.outstanding, size: usualValue, stages: followed}
					series := fmt.Sprintf("%s, %s, %d outstanding", transportTitles[t], kind.layout, kind.outstanding)
					points = append(points, b.point(fmt.Sprintf("%s-%s-o%d", t, kind.layout, kind.outstanding), series, c))
				}
			}
			return points
		},
	}
}

func hopsScenario() *scenario {
	return &scenario{
		name: "hops", title: "who shares a process, and how many acceptors: hops and frames of a value, and its latency", x: "acceptors", rounds: 3,
		short: "What layouts and acceptors cost: hops, frames and latency of one value",
		long: `One client with one outstanding value of 64 bytes, in each layout (packed; proposers-apart: client and proposer a process each; process-per-role;
shared-nic: two processes behind one MAC, AF_XDP only) with 1 to 7 acceptors. Hops are the frames in a row from the client and back to it, frames all
that are sent. Three runs of each point, unless --rounds says otherwise.`,
		example: "  wirepaxos bench hops\n  wirepaxos bench hops --points 'packed|-a3'",
		points: func(b *benchFlags) (points []*benchPoint) {
			acceptors := []int{1, 2, 3, 4, 5, 6, 7}
			if b.quick {
				acceptors = []int{3, 7}
			}
			for _, n := range acceptors {
				for _, layout := range []string{layoutPacked, layoutProposersApart, layoutProcessPerRole, layoutSharedNIC} {
					for _, t := range b.over("afxdp") {
						if layout == layoutSharedNIC && t != "afxdp" {
							continue
						}
						c := trialConfig{transport: t, layout: layout, acceptors: n, size: usualValue}
						pair := b.twice(fmt.Sprintf("%s-%s-a%d", t, layout, n), transportTitles[t]+", "+layout, c)
						if layout != layoutPacked && layout != layoutProcessPerRole {
							pair = pair[:1]
						}
						points = append(points, pair...)
					}
				}
			}
			return points
		},
	}
}

func cpuScenario() *scenario {
	return &scenario{
		name: "cpu", title: "what values cost: context switches, system calls, CPU time, allocations, collections", x: "clients",
		short: "Context switches, system calls, CPU time and allocations of values",
		long: `1, 2, 4 and 8 clients with one outstanding value of 64 bytes each, as in the table of the Kernel Paxos paper, where libpaxos had 7,000 to 12,000
context switches a second and Kernel Paxos about 150. The counts are of all processes of the cluster and of the client; those of loops are of the threads
that poll.`,
		example: "  wirepaxos bench cpu\n  wirepaxos bench cpu --idle spin --transport afxdp",
		points: func(b *benchFlags) (points []*benchPoint) {
			clients := []int{1, 2, 4, 8}
			if b.quick {
				clients = []int{1, 8}
			}
			for _, n := range clients {
				for _, t := range b.over(allTransports...) {
					points = append(points, b.point(fmt.Sprintf("%s-c%d", t, n), transportTitles[t], trialConfig{transport: t, clients: n, size: usualValue}))
				}
			}
			return points
		},
	}
}

func groupsScenario() *scenario {
	return &scenario{
		name: "groups", title: "several groups side by side, each a cluster of its own with 64 outstanding values", x: "groups",
		short: "Several groups side by side: values/s of all together",
		long: `1 to 4 groups at the same time, each with a client of its own, which has 64 outstanding values of 64 bytes: with processes and links for each
group, and with one process for all of them where there would be one for each, which has as many loops, each with a queue (AF_XDP) or a UDP port of its own. Where
there are cores enough each loop has one; where there are not, loops of several groups share the cores and sleep when there is nothing to do.`,
		example: "  wirepaxos bench groups\n  wirepaxos bench groups --transport mem --idle yield",
		points: func(b *benchFlags) (points []*benchPoint) {
			groups := []int{1, 2, 3, 4}
			if b.quick {
				groups = []int{1, 2, 4}
			}
			for _, n := range groups {
				for _, t := range b.over(allTransports...) {
					c := trialConfig{transport: t, groups: n, outstanding: 64, size: usualValue}
					points = append(points, b.point(fmt.Sprintf("%s-g%d", t, n), transportTitles[t], c))
					if c.together = true; n > 1 {
						points = append(points, b.point(fmt.Sprintf("%s-g%d-together", t, n), transportTitles[t]+", groups in one process", c))
					}
				}
			}
			return points
		},
		notes: groupNotes,
	}
}

// groupNotes says what the figures of several groups show on this machine, and what they cannot.
func groupNotes(_ *runner, s *bench.Scenario) (notes []string) {
	set, err := dataplane.Cores()
	cores := len(set.Allowed)
	if err != nil {
		cores = runtime.NumCPU()
	}
	const loops = 2 // of a group in the packed layout
	if most := slices.MaxFunc(append(s.Points, bench.Point{}), func(a, b bench.Point) int { return a.Config.Groups - b.Config.Groups }).Config.Groups; most*loops > cores {
		notes = append(notes, fmt.Sprintf("%d groups have %d loops, and there are %d cores: from group %d on the loops share cores and sleep between values, so this "+
			"shows what sharing costs, and nothing of what more cores would give.", most, most*loops, cores, cores/loops+1))
	}
	return append(notes, "The loads of the groups begin some 10 ms after each other; the rate is the sum of the rates of all.")
}
