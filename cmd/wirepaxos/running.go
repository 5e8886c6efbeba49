package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"wirepaxos/bench"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// running is a planned cluster whose processes run, in a lab of network namespaces or on the loopback address.
type running struct {
	plan    *plan
	dir     string      // made for this run and removed with it; "" where place is somebody else's
	place   string      // where cluster file, state and control sockets are
	lab     *netlab.Lab // nil on loopback
	self    string      // our own program
	procs   []*child
	output  io.Writer // gets what the client's process prints
	verbose bool      // pass on what the others tell

	stages uint // one value in so many is followed; 0: none

	costs *bench.Costs // of the measurement, once it is over; nil: not taken
}

// child is one process of it.
type child struct {
	proc
	name   string
	socket string
	args   []string
	log    *tail
	lab    *netlab.Process
	cmd    *exec.Cmd
	done   chan struct{}
	err    error
}

// tail keeps the last lines that a process wrote, to be shown if it fails.
type tail struct {
	mu      sync.Mutex
	prefix  string
	partial []byte
	lines   []string
	echo    io.Writer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial = append(t.partial, b...)
	for {
		line, rest, ok := bytes.Cut(t.partial, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		if t.lines = append(t.lines, string(line)); len(t.lines) > 20 {
			t.lines = t.lines[1:]
		}
		if t.echo != nil {
			fmt.Fprintf(t.echo, "%s: %s\n", t.prefix, line)
		}
		t.partial = append(t.partial[:0], rest...)
	}
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// build makes the directory, the network and the cluster file. On an error nothing is left.
func build(ctx context.Context, p *plan, name string, faults netlab.Faults, loopback uint16) (r *running, err error) {
	building := &running{plan: p}
	r = building
	defer func() {
		if err != nil {
			err = errors.Join(err, building.end()) // r is nil by now: a return with an error has set it
		}
	}()
	if r.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("cannot find the program to start as a role process: %w", err)
	}
	if r.dir, err = os.MkdirTemp("", "wirepaxos-"+name+"-"); err != nil {
		return nil, err
	}
	r.place = r.dir
	if loopback != 0 {
		err = p.loopback(loopback)
	} else {
		if r.lab, err = netlab.Up(ctx, netlab.Spec{Name: name, Hosts: p.hosts, Faults: faults}); err != nil {
			return nil, err
		}
		err = p.address(r.lab.Hosts())
	}
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.state(), 0o700); err != nil {
		return nil, err
	}
	return r, os.WriteFile(r.config(), p.file.Encode(), 0o600)
}

func (r *running) config() string { return filepath.Join(r.place, "cluster.toml") }
func (r *running) state() string  { return filepath.Join(r.place, "state") }

// start starts the process of each endpoint, the client's last and with extra flags; with no extra flags it is left out.
func (r *running) start(clientFlags []string) error {
	for i, q := range r.plan.procs {
		c := r.child(i, q, clientFlags)
		if c == nil {
			continue
		}
		r.procs = append(r.procs, c)
		if err := r.launch(c); err != nil {
			return err
		}
	}
	return nil
}

// child says how to start a process.
func (r *running) child(i int, q proc, clientFlags []string) *child {
	ids := append([]uint16(nil), q.nodes...)
	first := r.plan.file.Nodes[ids[0]-1].Roles
	isClient := false
	for k, id := range ids {
		if id == r.plan.client {
			ids[0], ids[k] = ids[k], ids[0]
			first, isClient = cluster.Client, true
		}
	}
	if isClient && len(ids) == 1 && clientFlags == nil {
		return nil
	}
	if isClient && clientFlags == nil { // the others of its endpoint run without it
		ids = ids[1:]
		first, isClient = r.plan.file.Nodes[ids[0]-1].Roles, false
	}
	var words []string
	for _, id := range ids {
		words = append(words, strconv.Itoa(int(id)))
	}
	list := strings.Join(words, ",")
	c := &child{proc: q, name: fmt.Sprintf("%v %s", first, list), socket: filepath.Join(r.place, fmt.Sprintf("p%d.sock", i+1)), done: make(chan struct{})}
	c.args = []string{first.Names()[0], "--config", r.config(), "--id", list, "--state-dir", r.state(), "--control", c.socket, "--check"}
	if r.stages > 0 {
		c.args = append(c.args, "--stages", strconv.FormatUint(uint64(r.stages), 10))
	}
	if isClient {
		c.args = append(c.args, clientFlags...)
	}
	c.log = &tail{prefix: c.name}
	if r.verbose {
		c.log.echo = os.Stderr
	}
	return c
}

// launch starts a process, in its host's namespace if there is a lab.
func (r *running) launch(c *child) error {
	c.done, c.err = make(chan struct{}), nil
	cmd := exec.Command(r.self, c.args...)
	cmd.Stderr = c.log
	if c.args[0] == "client" {
		cmd.Stdout = r.output
	}
	if r.lab != nil {
		p, err := r.lab.Start(r.plan.hosts[c.host].Name, cmd)
		if err != nil {
			return err
		}
		c.lab = p
		go func() {
			c.err = p.Wait()
			close(c.done)
		}()
		return nil
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	c.cmd = cmd
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return nil
}

// signal sends a signal to a process. One that has ended gets none.
func (c *child) signal(s syscall.Signal) {
	if c.lab != nil {
		c.lab.Signal(s)
		return
	}
	_ = c.cmd.Process.Signal(s) // it has ended
}

// ended tells whether a process has ended.
func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// failure says how a process that should run has ended. One that refused to start has said in its last line why.
func (c *child) failure() error {
	lines := strings.Split(c.log.last(), "\n")
	var exit *exec.ExitError
	if why, said := strings.CutPrefix(lines[len(lines)-1], "wirepaxos: "); said && errors.As(c.err, &exit) && exit.ExitCode() == 2 {
		return fmt.Errorf("%s: %s", c.name, why)
	}
	return fmt.Errorf("%s has ended (%v):\n%s", c.name, errors.Join(c.err), c.log.last())
}

// ready waits until every process answers on its control socket.
func (r *running) ready(ctx context.Context) error {
	bound := time.Now().Add(20 * time.Second)
	for _, c := range r.procs {
		for {
			_, err := node.AskAll[*node.Status](c.socket, "status")
			if err == nil {
				break
			}
			if c.ended() {
				return c.failure()
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if time.Now().After(bound) {
				return fmt.Errorf("%s does not answer: %w", c.name, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// statuses asks all processes, each of which answers for all groups.
func (r *running) statuses() (all []*node.Status, err error) {
	return askEach[*node.Status](r, "status")
}

// end stops the processes in good order and removes all traces.
func (r *running) end() error {
	var errs []error
	for _, c := range r.procs {
		if c.cmd != nil {
			_ = c.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
		}
	}
	for _, c := range r.procs {
		if c.cmd == nil {
			continue
		}
		select {
		case <-c.done:
		case <-time.After(3 * time.Second):
			_ = c.cmd.Process.Kill()
			<-c.done
		}
	}
	if r.lab != nil {
		errs = append(errs, r.lab.Down())
	}
	errs = append(errs, node.RemoveRings(r.plan.file.Cluster))
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}
