package main

import (
	"fmt"

	"wirepaxos/tools/vmlab/script"
)

// clusterFile is the cluster between two NICs: three acceptors on one, proposer, learner and client on the other. An emulated machine stands still for
// longer than a real one, so that its leader gets more time.
func clusterFile() string {
	text := `cluster = "0x766d6c61622d7a63"
transport = "afxdp"
mode = "zerocopy"

[timing]
heartbeat = "5ms"
leader_timeout = "1s"
`
	hub := plugged(plugHubs + 1)
	node := func(id int, roles string, n machineNIC) {
		text += fmt.Sprintf("\n[[node]]\nid = %d\nroles = [%s]\ninterface = %q\nmac = %q\n", id, roles, n.name, n.mac)
	}
	for id := 1; id <= 3; id++ {
		node(id, `"acceptor"`, hub[0])
	}
	node(4, `"proposer", "learner"`, hub[1])
	node(5, `"client"`, hub[1])
	return text
}

// clusterRun is one way to run the cluster. Runs of one kind are told together.
type clusterRun struct {
	mode        string
	multicast   bool
	outstanding int
	values      int
	turn        int
}

// clusterRuns are in turn, copy and zero-copy.
func clusterRuns() []clusterRun {
	var runs []clusterRun
	for _, kind := range []struct {
		multicast                  bool
		outstanding, values, turns int
	}{{false, 1, 400, 3}, {true, 1, 400, 1}, {false, 64, 8000, 1}} {
		for turn := range kind.turns {
			for _, mode := range []string{"copy", "zerocopy"} {
				runs = append(runs, clusterRun{mode, kind.multicast, kind.outstanding, kind.values, turn})
			}
		}
	}
	return runs
}

// kind is what the runs to be compared have in common.
func (r clusterRun) kind() string {
	if r.multicast {
		return fmt.Sprintf("%d outstanding, multicast", r.outstanding)
	}
	return fmt.Sprintf("%d outstanding", r.outstanding)
}

// name tells the runs apart.
func (r clusterRun) name() string {
	name := fmt.Sprintf("cluster-%s-%d", r.mode, r.outstanding)
	if r.multicast {
		name += "-multicast"
	}
	return fmt.Sprintf("%s-%c", name, 'a'+r.turn)
}

// step runs the acceptors in one process on the core of all others, and the rest in another, its loop on the isolated core. Both sleep when they have
// nothing to do: in an emulated machine who spins takes the time of those who carry the frames. So many values end the run, which on a busy host takes
// many times as long as on an idle one.
func (r clusterRun) step(i int) script.Step {
	result, state := fmt.Sprintf("/tmp/result%d.json", i), fmt.Sprintf("/tmp/state%d", i)
	common := []string{"--config", "/etc/cluster.toml", "--state-dir", state, "--mode", r.mode, fmt.Sprintf("--multicast=%v", r.multicast),
		"--idle", "block", "--quiet"}
	acceptors := append([]string{"/bin/wirepaxos", "acceptor", "--id", "1,2,3"}, common...)
	client := append([]string{"/bin/wirepaxos", "client", "--id", "5,4", "--check", "--progress=false", "--core", fmt.Sprint(cores - 1),
		"--outstanding", fmt.Sprint(r.outstanding), "--warmup", "500ms", "--values", fmt.Sprint(r.values), "--duration", "60s",
		"--json", result}, common...)
	return script.Step{
		Name: r.name(), Title: fmt.Sprintf("three acceptors on one NIC, the rest on another: %s, %s", r.mode, r.kind()),
		Commands: [][]string{acceptors, client}, TimeoutS: stepTimeS, Show: result, Folders: []string{state},
	}
}
