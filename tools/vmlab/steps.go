package main

import (
	"fmt"

	"wirepaxos/tools/vmlab/script"
)

// clusterFile is the cluster between the two NICs: three acceptors on one, proposer, learner and client on the other. An emulated machine stands still for
// longer than a real one, so that its leader gets more time.
const clusterFile = `cluster = "0x766d6c61622d7a63"
transport = "afxdp"
mode = "zerocopy"

[timing]
heartbeat = "5ms"
leader_timeout = "1s"

[[node]]
id = 1
roles = ["acceptor"]
interface = "wire0"
mac = "02:00:00:00:00:0a"

[[node]]
id = 2
roles = ["acceptor"]
interface = "wire0"
mac = "02:00:00:00:00:0a"

[[node]]
id = 3
roles = ["acceptor"]
interface = "wire0"
mac = "02:00:00:00:00:0a"

[[node]]
id = 4
roles = ["proposer", "learner"]
interface = "wire1"
mac = "02:00:00:00:00:0b"

[[node]]
id = 5
roles = ["client"]
interface = "wire1"
mac = "02:00:00:00:00:0b"
`

// clusterRun is one way to run the cluster.
type clusterRun struct {
	mode, multicast string
	outstanding     int
}

// clusterRuns are in turn, copy and zero-copy.
var clusterRuns = []clusterRun{
	{"copy", "false", 1}, {"zerocopy", "false", 1}, {"copy", "true", 1}, {"zerocopy", "true", 1},
	{"copy", "false", 64}, {"zerocopy", "false", 64},
}

// allSteps is what the guest does.
func allSteps() []script.Step {
	test := func(name, title, pattern string, seconds int) script.Step {
		return script.Step{
			Name: name, Title: title, TimeoutS: seconds,
			Commands: [][]string{{"/bin/nictest", "-test.v", "-test.failfast", "-test.run", "^(" + pattern + ")$", "-test.timeout", fmt.Sprintf("%ds", seconds-5)}},
			Env:      []string{"WIREPAXOS_NICS=" + nics[0].name + "," + nics[1].name, "WIREPAXOS_PLAIN_NIC=" + nics[2].name},
		}
	}
	steps := []script.Step{
		test("echo", "20,000 frames of every length there and back, none lost", "TestEcho", 40),
		test("rate", "frames a second, copy and zero-copy in turn", "TestRate", 40),
	}
	for i, r := range clusterRuns {
		steps = append(steps, r.step(i))
	}
	return append(steps,
		test("queue", "a queue that does not exist is refused", "TestQueueThatDoesNotExist", 20),
		test("plain", "a NIC without zero-copy: refused, or copy and told so", "TestPlainNIC", 40),
		test("reopen", "a queue comes back after its socket is closed, in both modes", "TestReopen", 40),
		// Last: it takes longest, and is hardest on QEMU's device (doc of nictest).
		test("conformance", "the conformance suite of all ports, on zero-copy sockets", "TestConformance", 240),
	)
}

// name tells the runs apart.
func (r clusterRun) name() string {
	kind := ""
	if r.multicast == "true" {
		kind = "-multicast"
	}
	return fmt.Sprintf("cluster-%s%s-%d", r.mode, kind, r.outstanding)
}

func (r clusterRun) step(i int) script.Step {
	result := fmt.Sprintf("/tmp/result%d.json", i)
	state := fmt.Sprintf("/state%d", i)
	common := []string{"--config", "/etc/cluster.toml", "--state-dir", state, "--mode", r.mode, "--multicast=" + r.multicast,
		"--idle", "block", "--quiet"}
	acceptors := append([]string{"/bin/wirepaxos", "acceptor", "--id", "1,2,3"}, common...)
	client := append([]string{"/bin/wirepaxos", "client", "--id", "5,4", "--check", "--progress=false", "--outstanding", fmt.Sprint(r.outstanding),
		"--warmup", "1s", "--duration", "2s", "--json", result}, common...)
	return script.Step{
		Name: r.name(), Title: fmt.Sprintf("three acceptors on one NIC, proposer, learner and client on the other: %s, multicast %s, %d outstanding",
			r.mode, r.multicast, r.outstanding),
		Commands: [][]string{acceptors, client}, TimeoutS: 40, Show: result, Folders: []string{state},
	}
}
