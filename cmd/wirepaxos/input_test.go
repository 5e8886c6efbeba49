package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// refused runs the program with arguments that it must refuse: one line, with all of these words, status 2, nothing left.
func refused(t *testing.T, args []string, words ...string) {
	t.Helper()
	p := begin(t, args...)
	p.refuses(words...)
}

func (p *program) refuses(words ...string) {
	p.t.Helper()
	status, stderr := p.status(), p.stderr.String()
	p.leavesNothing()
	if status != 2 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "wirepaxos: ") {
		p.t.Errorf("%v: status %d: %q", p.cmd.Args[1:], status, stderr)
	}
	for _, word := range words {
		if !strings.Contains(stderr, word) {
			p.t.Errorf("%v: %q is missing in %q", p.cmd.Args[1:], word, stderr)
		}
	}
}

// file writes a cluster file into a directory of the test's.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// loopbackFile is a cluster over UDP on 127.0.0.1: acceptors 1 to 3, proposer 4, learner 5, client 6, one process each.
func loopbackFile(t *testing.T) string {
	t.Helper()
	p, err := newPlan(planConfig{acceptors: 3, proposers: 1, learners: 1, layout: layoutProcessPerRole, transport: cluster.TransportUDP,
		batch: cluster.BatchInstance, idle: cluster.IdleAuto})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.loopback(freePorts(t, len(p.procs))); err != nil {
		t.Fatal(err)
	}
	return file(t, "cluster.toml", string(p.file.Encode()))
}

// badFlags are commands that cannot run, and words of the one line that says why.
var badFlags = []struct {
	args  string
	words []string
}{
	{"--nonsense", []string{"unknown flag: --nonsense", "--help"}},
	{"nonsense", []string{`unknown command "nonsense"`, "--help"}},
	{"dem", []string{`unknown command "dem"`}},
	{"lab nonsense", []string{`unknown command "nonsense"`, "lab --help"}},
	{"cluster nonsense", []string{`unknown command "nonsense"`, "cluster --help"}},
	{"demo extra", []string{`"extra"`}},
	{"demo --transport carrier-pigeon", []string{"carrier-pigeon", "afxdp, udp or mem"}},
	{"demo --transport mem --layout heap", []string{"--layout heap", "packed"}},
	{"demo --transport mem --link token-ring", []string{"token-ring"}},
	{"demo --transport mem --batch sometimes", []string{"sometimes"}},
	{"demo --transport mem --idle never", []string{"never"}},
	{"demo --transport udp --layout shared-nic", []string{"shared-nic", "--transport afxdp"}},
	{"demo --acceptors 0", []string{"--acceptors 0", "1 to 7"}},
	{"demo --acceptors 8", []string{"--acceptors 8", "1 to 7"}},
	{"demo --size 0", []string{"--size 0"}},
	{"demo --outstanding 1025", []string{"--outstanding 1025", "1 to 1024"}},
	{"demo --rate 0", []string{"--rate 0", "over 0"}},
	{"demo --rate NaN", []string{"--rate NaN", "over 0"}},
	{"demo --rate 1e9", []string{"--rate 1e+09", "at most 100000000"}},
	{"demo --rate 10 --arrivals often", []string{"often", "poisson or constant"}},
	{"demo --arrivals constant", []string{"--arrivals", "--rate"}},
	{"demo --rate 10 --outstanding 1025", []string{"--outstanding 1025", "1 to 1024"}},
	{"demo --clients 0", []string{"--clients 0"}},
	{"demo --duration -1s", []string{"--duration -1s"}},
	{"demo --drop 1.5", []string{"--drop 1.5"}},
	{"demo --transport mem --drop 0.1", []string{"--drop", "--transport afxdp or udp"}},
	{"client --config GOOD --id 6 --take-over", []string{"--take-over", "--session-file"}},
	{"client --config GOOD --id 6 --session-file GOOD", []string{"--session-file", "not of this cluster"}},
	{"client --config GOOD --id 6 --clients 16385", []string{"--clients 16385"}},
	{"demo --kill-leader-every 1s", []string{"--kill-leader-every 1s", "--proposers 1", "--proposers 3"}},
	{"demo --pause-leader-every 1s", []string{"--pause-leader-every 1s", "--proposers 1"}},
	{"demo --proposers 3 --kill-leader-every 9s --transport mem", []string{"--transport mem", "one process", "afxdp or udp"}},
	{"demo --proposers 3 --kill-leader-every 9s --layout packed", []string{"--layout packed", "--layout proposers-apart"}},
	{"demo --proposers 3 --kill-leader-every 500ms --leader-timeout 50ms", []string{"--kill-leader-every 500ms", "700ms", "50ms", "--leader-timeout"}},
	{"demo --proposers 3 --kill-leader-every -1s", []string{"--kill-leader-every -1s"}},
	{"demo --proposers 3 --kill-leader-every 9s --duration 5s", []string{"9s", "--duration"}},
	{"demo --transport udp --leader-timeout 1ms --heartbeat 5ms", []string{"leader", "1ms", "5ms"}},
	{"demo --leader-timeout 0", []string{"--leader-timeout 0s", "positive"}},
	{"bench nonsense", []string{`unknown command "nonsense"`, "bench --help"}},
	{"bench failover extra", []string{`"extra"`}},
	{"bench failover --kills 0", []string{"--kills 0", "1 to"}},
	{"bench failover --proposers 1", []string{"--proposers 1", "--proposers 3"}},
	{"bench failover --transport mem", []string{"--transport mem", "afxdp or udp"}},
	{"bench failover --layout packed", []string{"--layout packed", "proposers-apart"}},
	{"bench failover --leader-timeout 800ms", []string{"--leader-timeout 800ms", "500ms"}},
	{"bench failover --outstanding 0", []string{"--outstanding 0"}},
	{"bench echo --transport pigeon", []string{"--transport pigeon", "afxdp, udp or mem"}},
	{"bench echo --link token-ring", []string{"token-ring", "ethernet or udp4"}},
	{"bench echo --layout shared-nic", []string{"shared-nic", "--transport mem"}},
	{"bench echo --layout heap", []string{"--layout heap", "packed"}},
	{"bench echo --idle never", []string{"--idle never", "spin"}},
	{"bench echo --size 0", []string{"--size 0"}},
	{"bench echo --under-way 1025", []string{"--under-way 1025", "1 to 1024"}},
	{"bench echo --duration 1ms", []string{"--duration 1ms", "10ms"}},
	{"demo --floor --layout shared-nic", []string{"--floor", "shared-nic"}},
	{"acceptor --config GOOD --state-dir STATE", []string{"--id is missing"}},
	{"acceptor --config GOOD --state-dir STATE --id x", []string{"--id x", "number"}},
	{"acceptor --config GOOD --state-dir STATE --id 9", []string{"cluster.toml", "9"}},
	{"acceptor --config GOOD --state-dir STATE --id 4", []string{"cluster.toml", "4", "acceptor"}},
	{"acceptor --config GOOD --state-dir STATE --id 1,2", []string{"1", "2", "endpoint"}},
	{"acceptor --config /nonexistent/cluster.toml --id 1", []string{"/nonexistent/cluster.toml"}},
	{"acceptor --config GOOD --id 1 --state-dir /nonexistent/state", []string{"/nonexistent/state", "mkdir -p"}},
	{"acceptor --config GOOD --id 1 --state-dir /proc", []string{"/proc"}},
	{"proposer --config GOOD --id 4 --state-dir /proc", []string{"/proc"}},
	{"acceptor --config GOOD --id 1 --state-dir STATE --control /nonexistent/s", []string{"/nonexistent/s"}},
	{"acceptor --config GOOD --id 1 --state-dir STATE --core 4000", []string{"core 4000"}},
	{"acceptor --config GOOD --id 1 --state-dir STATE --idle never", []string{"never"}},
	{"acceptor --config GOOD --id 1 --state-dir STATE --node learner", []string{"--node learner", "ROLE@"}},
	{"client --config GOOD --id 6 --size 1369", []string{"1369", "at most 1368", "max_value"}},
	{"client --config GOOD --id 6 --size 65537", []string{"--size 65537", "at most 65536"}},
	{"client --config LARGE --id 6 --size 5001", []string{"5001", "at most 5000", "max_value"}},
	{"client --config GOOD --id 6 --proposer 1", []string{"1", "proposer"}},
	{"status /nonexistent/s", []string{"/nonexistent/s", "running"}},
	{"cluster check /nonexistent/c", []string{"/nonexistent/c"}},
}

func TestBadFlags(t *testing.T) {
	good, state := loopbackFile(t), shortDir(t)
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	large := file(t, "cluster.toml", strings.Replace(string(text), "max_value   = 0", "max_value   = 5000", 1))
	for _, c := range badFlags {
		t.Run(c.args, func(t *testing.T) {
			refused(t, strings.Fields(strings.NewReplacer("GOOD", good, "LARGE", large, "STATE", state).Replace(c.args)), c.words...)
		})
	}
}

// Every mistake in a cluster file is told with its line, whichever the dialect.
func TestBadClusterFiles(t *testing.T) {
	good, err := os.ReadFile(loopbackFile(t))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(good), "\n")
	for _, c := range []struct {
		name, text string
		words      []string
	}{
		{"cluster.toml", string(good) + "colour = \"red\"\n", []string{fmt.Sprintf("cluster.toml:%d", lines+1), "colour"}},
		{"cluster.toml", string(good) + "[[node\n", []string{fmt.Sprintf("cluster.toml:%d", lines+1)}},
		{"cluster.toml", string(good) + "[[node]]\nid = 1\nroles = [\"learner\"]\nip = \"127.0.0.1\"\nport = 9\n", []string{"cluster.toml:", "1"}},
		{"cluster.toml", string(good) + "[[node]]\nid = 30\nroles = [\"king\"]\n", []string{"cluster.toml:", "king"}},
		{"paxos.conf", "acceptor 0 127.0.0.1 8800\nproposer 0 127.0.0.1\n", []string{"paxos.conf:2"}},
		{"paxos.conf", "acceptor 0 aa:bb:cc:dd:ee:01\nproposer 0 aa:bb:cc:dd:ee\n", []string{"paxos.conf:2"}},
	} {
		path := file(t, c.name, c.text)
		refused(t, []string{"cluster", "check", path}, c.words...)
		refused(t, []string{"acceptor", "--config", path, "--id", "1", "--state-dir", shortDir(t)}, c.words...)
	}
}

// Nodes that cannot reach each other are refused at start.
func TestNoPath(t *testing.T) {
	for _, c := range []struct {
		transport cluster.Transport
		words     []string
	}{
		{cluster.TransportMem, []string{"cluster.toml:", "host", "h1"}},    // within one host, and there are two
		{cluster.TransportAFXDP, []string{"cluster.toml:", "node", "mac"}}, // the link has no address to send to
		{cluster.TransportUDP, []string{"cluster.toml:", "node", "ip"}},
	} {
		f := cluster.New()
		f.Transport = c.transport
		for id, roles := range []cluster.Roles{cluster.Acceptor, cluster.Proposer, cluster.Learner} {
			n := cluster.NewNode(uint16(id+1), roles)
			n.Endpoint, n.Host = fmt.Sprint("p", id), fmt.Sprint("h", id)
			f.Nodes = append(f.Nodes, n)
		}
		path := file(t, "cluster.toml", string(f.Encode()))
		refused(t, []string{"acceptor", "--config", path, "--id", "1", "--state-dir", shortDir(t)}, c.words...)
	}
}

// startIn starts the program on a host of a lab.
func (p *program) startIn(lab *netlab.Lab, host string) {
	p.t.Helper()
	q, err := lab.Start(host, p.cmd)
	if err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.err = q.Wait()
		close(p.done)
	}()
}

// What is wrong with an interface or a queue is told, and a process that runs there is not disturbed.
func TestBadInterfaces(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	b.startAll()
	b.goesOn("the start")
	for _, c := range []struct {
		flags string
		stop  bool // the acceptor there, first
		words []string
	}{
		{flags: "--interface wp7", words: []string{"wp7", "ip link"}},
		{flags: "--queue 5", words: []string{"wp0", "queue 5", "ethtool"}},
		{flags: "", words: []string{"wp0", "queue 0", "stop the process that holds it"}},
		{flags: "--mode zerocopy", stop: true, words: []string{"wp0", "copy"}},
		{flags: "--interface down0", words: []string{"down0", "ip link set dev down0 up"}},
	} {
		t.Run(or(c.flags, "taken"), func(t *testing.T) {
			host := b.plan.hosts[0].Name
			if c.stop {
				b.stop(1)
			}
			if strings.Contains(c.flags, "down0") {
				addDownLink(t, b.lab, host)
			}
			args := []string{"acceptor", "--config", b.config(), "--id", "1", "--state-dir", shortDir(t)}
			p := newProgram(t, append(args, strings.Fields(c.flags)...)...)
			p.startIn(b.lab, host)
			p.refuses(c.words...)
		})
	}
	b.goesOn("all that")
	b.agree()
}

// addDownLink adds a veth pair that is down to a host of a lab; it goes with the lab's namespace.
func addDownLink(t *testing.T, lab *netlab.Lab, host string) {
	t.Helper()
	err := lab.Do(host, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "down0"
		pair := netlink.NewVeth(attrs)
		pair.PeerName = "down1"
		return netlink.LinkAdd(pair)
	})
	if err != nil {
		t.Fatal(err)
	}
}
