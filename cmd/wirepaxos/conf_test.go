package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// confCluster runs a cluster from a paxos.conf: acceptors and proposer by their numbers there, learner and client by --node.
type confCluster struct {
	t      *testing.T
	config string
	extra  []string // flags that all processes get
	dir    string   // of sockets and state
	client string   // its control socket

	sockets []string // of all
}

// start starts one process; lab is nil on loopback.
func (c *confCluster) start(lab *netlab.Lab, host, role, id string) *program {
	c.t.Helper()
	socket := filepath.Join(c.dir, role+id+".sock")
	args := append([]string{role, "--config", c.config, "--id", id, "--state-dir", c.dir, "--control", socket}, c.extra...)
	c.sockets = append(c.sockets, socket)
	if role == "client" {
		args = append(args, "--duration", "600s", "--warmup", "0s")
		c.client = socket
	}
	p := newProgram(c.t, args...)
	if lab == nil {
		p.start()
	} else {
		p.startIn(lab, host)
	}
	return p
}

// delivers waits until the client has got values, and all are there, also those that it can do without; those who run tell why if it does not.
func (c *confCluster) delivers(running []*program) {
	c.t.Helper()
	eventually(c.t, "values are delivered", func() bool {
		var s node.Status
		for _, socket := range c.sockets {
			if node.Ask(socket, "status", &s) != nil {
				return false
			}
		}
		return node.Ask(c.client, "status", &s) == nil && len(s.Clients) == 1 && s.Clients[0].Counters.Delivered > 100
	}, func() string {
		text := ""
		for _, p := range running {
			text += fmt.Sprintf("%v:\n%s%s", p.cmd.Args[1:], p.stdout.String(), p.stderr.String())
		}
		return text
	})
}

// warned checks that a line that means nothing here was named with its number.
func (c *confCluster) warned(p *program, words ...string) {
	c.t.Helper()
	for _, word := range words {
		if !strings.Contains(p.stderr.String(), word) {
			c.t.Errorf("%q is missing in:\n%s", word, p.stderr.String())
		}
	}
}

// A libpaxos paxos.conf as it is: UDP sockets; it names no learner and no client, so the flags do.
func TestLibpaxosConf(t *testing.T) {
	base := int(freePorts(t, 6))
	text := "# a comment\nverbosity info\ntcp-nodelay no\nstorage-backend memory\nacceptor-trash-files yes\n"
	for i := range 3 {
		text += fmt.Sprintf("acceptor %d 127.0.0.1 %d\n", i, base+i)
	}
	text += fmt.Sprintf("proposer 0 127.0.0.1 %d\n", base+3)
	c := &confCluster{t: t, config: file(t, "paxos.conf", text), dir: shortDir(t), extra: []string{
		"--node", fmt.Sprintf("learner@127.0.0.1:%d", base+4), "--node", fmt.Sprintf("client@127.0.0.1:%d", base+5),
	}}
	var all []*program
	for _, p := range [][2]string{{"acceptor", "0"}, {"acceptor", "1"}, {"acceptor", "2"}, {"proposer", "0"}, {"learner", "49"}, {"client", "50"}} {
		all = append(all, c.start(nil, "", p[0], p[1]))
	}
	c.delivers(all)
	c.warned(all[0], "paxos.conf:3", "tcp-nodelay")
	for _, p := range all {
		p.signal(syscall.SIGTERM)
		if status := p.status(); status != 0 {
			t.Errorf("%v: status %d: %s", p.cmd.Args[1:], status, p.stderr.String())
		}
	}
}

// A Kernel Paxos paxos.conf as it is: raw Ethernet over AF_XDP; the interface is a flag, as if_name was there.
func TestKernelPaxosConf(t *testing.T) {
	needLab(t)
	spec := netlab.Spec{Name: fmt.Sprintf("itconf%d", os.Getpid())}
	for i := range 6 {
		spec.Hosts = append(spec.Hosts, netlab.HostSpec{Name: fmt.Sprintf("h%d", i)})
	}
	lab, err := netlab.Up(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Error(err)
		}
	})
	hosts := lab.Hosts()
	text := "verbosity quiet\nlearner-catch-up yes\n"
	for i := range 3 {
		text += fmt.Sprintf("acceptor %d %v\n", i, hosts[i].MAC)
	}
	text += fmt.Sprintf("p 0 %v\n", hosts[3].MAC)
	c := &confCluster{t: t, config: file(t, "paxos.conf", text), dir: shortDir(t), extra: []string{
		"--interface", netlab.Interface, "--node", fmt.Sprintf("learner@%v", hosts[4].MAC), "--node", fmt.Sprintf("client@%v", hosts[5].MAC),
	}}
	var all []*program
	for i, p := range [][2]string{{"acceptor", "0"}, {"acceptor", "1"}, {"acceptor", "2"}, {"proposer", "0"}, {"learner", "49"}, {"client", "50"}} {
		all = append(all, c.start(lab, hosts[i].Name, p[0], p[1]))
	}
	c.delivers(all)
	c.warned(all[0], "paxos.conf:2", "learner-catch-up")
}

// nobody is the user without privileges.
const nobody = 65534

// unprivileged is a program that nobody runs.
func unprivileged(t *testing.T, args ...string) *program {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become another user")
	}
	p := newProgram(t, args...)
	self, err := os.ReadFile(p.cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t) // the test binary's own directory may be closed to others
	p.cmd.Path = filepath.Join(dir, "wirepaxos")
	if err := os.WriteFile(p.cmd.Path, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, open := range []string{dir, p.dir} {
		if err := os.Chmod(open, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	p.cmd.Dir = "/"
	if err := exec.Command(p.cmd.Path, "--version").Run(); err != nil {
		t.Skipf("needs a temporary directory that programs can run from: %v", err)
	}
	p.start()
	return p
}

// Without privileges the demo runs over memory and says so first; what needs them is refused, and so is a directory of another user's.
func TestNoPrivileges(t *testing.T) {
	p := unprivileged(t, "demo", "--values", "100", "--warmup", "10ms")
	if status := p.status(); status != 0 || !strings.HasPrefix(p.stdout.String(), "No AF_XDP here (") ||
		!strings.Contains(p.stdout.String(), "nothing lost, doubled or reordered") {
		t.Errorf("status %d:\n%s\n%s", status, p.stdout.String(), p.stderr.String())
	}
	p.leavesNothing()
	p = unprivileged(t, "demo", "--transport", "udp", "--values", "100", "--warmup", "10ms")
	if status := p.status(); status != 0 || !strings.Contains(p.stdout.String(), "127.0.0.1, without a lab") {
		t.Errorf("status %d:\n%s\n%s", status, p.stdout.String(), p.stderr.String())
	}
	p.leavesNothing()
	unprivileged(t, "demo", "--transport", "afxdp").refuses("root", "--transport mem")
	unprivileged(t, "demo", "--drop", "0.1", "--transport", "udp").refuses("root", "--drop")
	unprivileged(t, "lab", "up", "--name", "itnobody").refuses("root")
	state := shortDir(t)
	if err := os.Chmod(filepath.Dir(loopbackFile(t)), 0o700); err != nil {
		t.Fatal(err)
	}
	path := loopbackFile(t)
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	unprivileged(t, "acceptor", "--config", path, "--id", "1", "--state-dir", state).refuses(state)
	unprivileged(t, "acceptor", "--config", path, "--id", "1").refuses("state", "--state-dir")
	unprivileged(t, "acceptor", "--config", path, "--id", "1", "--state-dir", state, "--transport", "afxdp", "--interface", "lo").refuses("cluster.toml")
}
