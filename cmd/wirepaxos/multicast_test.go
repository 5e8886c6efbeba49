package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/bench"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// multicastRun is one run of the demo with --multicast. Where saved is not 0, the same without it follows, and the run must do with so many frames a value less.
type multicastRun struct {
	demoRun
	saved float64
}

// multicastRuns are every transport, link and layout; many of each role, large values, bad networks. One value is in flight where frames are compared: then
// none of them is shared by chance, and what is saved can be counted: with three acceptors of one process two of three accepts, and so on. Between
// processes half a frame less was seen on a machine with other things to do, where fewer votes share a frame by chance.
var multicastRuns = []multicastRun{
	{demoRun{flags: "--values 1000 --layout packed", layout: "packed", hops: 2}, 1.5},
	{demoRun{flags: "--values 1000 --layout process-per-role", layout: "process-per-role", hops: 4}, 2},
	{demoRun{flags: "--values 1000 --layout proposers-apart", layout: "proposers-apart", hops: -1}, 1.5},
	{demoRun{flags: "--values 1000 --layout proposers-apart --proposers 3 --learners 3 --batch frame", layout: "proposers-apart", batch: "frame", proposers: 3, learners: 3,
		hops: -1}, 1.5},
	{demoRun{flags: "--values 300 --layout shared-nic", layout: "shared-nic", hops: -1}, 0},
	{demoRun{flags: "--values 300 --layout shared-nic --link udp4 --learners 2", layout: "shared-nic", link: "udp4", learners: 2, hops: -1}, 0},
	{demoRun{flags: "--values 1000 --link udp4 --layout packed", link: "udp4", layout: "packed", hops: 2}, 1.5},
	{demoRun{flags: "--values 300 --link udp4 --layout process-per-role", link: "udp4", layout: "process-per-role", hops: 4}, 0},
	{demoRun{flags: "--values 1000 --acceptors 7 --learners 3 --layout packed", acceptors: 7, learners: 3, layout: "packed", hops: 2}, 5},
	{demoRun{flags: "--values 1000 --acceptors 7 --learners 3 --layout process-per-role", acceptors: 7, learners: 3, layout: "process-per-role", hops: 4}, 12},
	{demoRun{flags: "--values 2000 --batch off --outstanding 64 --layout packed", batch: "off", inFlight: 64, layout: "packed", hops: 2}, 1.5},
	{demoRun{flags: "--values 5000 --outstanding 256 --clients 2", inFlight: 256, clients: 2, hops: -1}, 0},
	{demoRun{flags: "--values 100 --size 20000 --layout packed", size: 20000, layout: "packed", hops: 2}, 20},
	{demoRun{flags: "--values 60 --size 20000 --layout process-per-role --outstanding 4 --drop 0.02", size: 20000, inFlight: 4, layout: "process-per-role", hops: 4,
		unreliable: true}, 0},
	{demoRun{flags: "--values 500 --drop 0.05 --dup 0.05", hops: -1, unreliable: true}, 0},
	{demoRun{flags: "--values 1000 --drop 0.05 --dup 0.05 --layout process-per-role --acceptors 5 --learners 3 --outstanding 32", layout: "process-per-role", acceptors: 5,
		learners: 3, inFlight: 32, hops: 4, unreliable: true}, 0},
	{demoRun{flags: "--values 500 --drop 0.05 --dup 0.05 --layout shared-nic --learners 2 --outstanding 8", layout: "shared-nic", learners: 2, inFlight: 8, hops: -1,
		unreliable: true}, 0},
	{demoRun{flags: "--values 1000 --transport udp --layout packed", transport: "udp", link: "udp4", layout: "packed", hops: 2}, 1.5},
	{demoRun{flags: "--values 300 --transport udp --layout process-per-role --learners 2 --drop 0.05 --dup 0.05", transport: "udp", link: "udp4", layout: "process-per-role",
		learners: 2, hops: 4, unreliable: true}, 0},
	{demoRun{flags: "--values 1000 --transport mem --layout packed", transport: "mem", link: "none", layout: "packed", hops: 0}, 1.5},
	{demoRun{flags: "--values 1000 --transport mem --layout packed --size 20000", transport: "mem", link: "none", layout: "packed", size: 20000, hops: 0}, 20},
	{demoRun{flags: "--values 1000 --transport mem --layout process-per-role --acceptors 7", transport: "mem", link: "none", layout: "process-per-role", acceptors: 7,
		hops: 0}, 0},
}

// With multicast every combination ends as it does without: learners that agree, nothing lost, doubled or reordered; and with fewer frames.
func TestDemoMulticast(t *testing.T) {
	lab := netlab.Supported()
	for _, r := range multicastRuns {
		t.Run(strings.ReplaceAll(r.flags, " ", ""), func(t *testing.T) {
			if lab != nil && (r.transport == "" || r.unreliable) {
				t.Skipf("needs root and AF_XDP on veth: %v", lab)
			}
			with := r.run(t, "--multicast")
			if r.saved == 0 {
				return
			}
			without := r.run(t, "--multicast=false")
			t.Logf("%.2f frames a value with multicast, %.2f without", with.FramesPerValue, without.FramesPerValue)
			if with.FramesPerValue > without.FramesPerValue-r.saved {
				t.Errorf("%.2f frames a value with multicast, %.2f without: want %v less", with.FramesPerValue, without.FramesPerValue, r.saved)
			}
		})
	}
}

// run is one run of the demo, checked as every other.
func (r *multicastRun) run(t *testing.T, multicast string) *bench.Report {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.json")
	args := append([]string{"demo", "--warmup", "50ms", "--json", path, multicast}, strings.Fields(r.flags)...)
	status, stdout, stderr := runProgram(t, args...)
	if status != 0 || stderr != "" {
		t.Fatalf("%s: status %d\n%s\n%s", multicast, status, stdout, stderr)
	}
	r.checkText(t, stdout)
	r.check(t, path)
	report := readReport(t, path)
	return &report
}

// Processes of which some have multicast and some have not work together: each takes what the others send, whatever it sends itself.
func TestMulticastOfSome(t *testing.T) {
	for _, with := range [][]uint16{{4}, {1, 2, 3}, {1, 4, 5}, {2, 3, 6, 7}} {
		for _, transport := range transports {
			t.Run(fmt.Sprint(transport, with), func(t *testing.T) {
				b := newBed(t, planConfig{transport: transport, learners: 2})
				for _, id := range with {
					b.nodes[id].args = append(b.nodes[id].args, "--multicast")
				}
				b.startAll()
				b.goesOn("the start")
				if transport == cluster.TransportAFXDP {
					b.listen()
				}
				b.agree()
			})
		}
	}
}

// The same of a file that says multicast and processes that are told otherwise.
func TestMulticastRefusedBySome(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, multicast: true, learners: 2})
	for _, id := range []uint16{1, 5} {
		b.nodes[id].args = append(b.nodes[id].args, "--multicast=false")
	}
	b.startAll()
	b.goesOn("the start")
	b.listen()
	b.agree()
}

// listen checks that the interfaces of acceptors and learners let the group's address in, whether or not their processes send to it, and those of
// others do not. An XDP program on veth sees every packet, so that nothing else would show it here.
func (b *bed) listen() {
	b.t.Helper()
	for _, n := range b.plan.file.Nodes {
		var text []byte
		err := b.lab.Do(b.plan.hosts[b.nodes[n.ID].host].Name, func() (err error) {
			text, err = os.ReadFile("/proc/thread-self/net/dev_mcast")
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if want := n.Roles&(cluster.Acceptor|cluster.Learner) != 0; strings.Contains(string(text), "035750") != want {
			b.t.Errorf("the interface of node %d, %v, listens to the group: %v; it lists\n%s", n.ID, n.Roles, !want, text)
		}
	}
}

// Behind one MAC an acceptor dies and the other goes on: what is for both was never in one frame, which would come in where the dead one was.
func TestSharedNICMulticast(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, layout: layoutSharedNIC, learners: 3, multicast: true})
	// acceptors 1 and 2; acceptor 3 and proposer 4; learners 5 and 6; learner 7 and client 8
	b.startAll()
	b.goesOn("the start")
	b.kill(5)
	b.goesOn("the death of a learner")
	b.start(5)
	b.kill(1)
	b.goesOn("the death of the first acceptor of its NIC")
	b.start(1)
	b.tells(1, "does not vote")
	b.goesOn("its return")
	b.agree()
}

// A process of whose nodes none is named by what comes to all counts it, and tells so; it is no drop.
func TestIgnoredIsTold(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, multicast: true})
	b.startAll()
	b.goesOn("the start")
	var s *node.Status
	eventually(t, "the client's process ignores what is for others", func() bool {
		s = b.status(b.plan.client)
		return s.Border.Ignored > 0
	}, b.describe)
	if len(s.Dropped) != 0 {
		t.Errorf("it dropped %v", s.Dropped)
	}
	status, stdout, stderr := runProgram(t, "status", b.nodes[b.plan.client].socket)
	if status != 0 || stderr != "" || !strings.Contains(stdout, `"Ignored": `) || strings.Contains(stdout, `"Ignored": 0`) {
		t.Errorf("status %d: %s\n%s", status, stdout, stderr)
	}
	b.agree()
}
