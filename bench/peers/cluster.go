package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"wirepaxos/bench"
)

// runConfig is one run as it was asked for.
type runConfig struct {
	loadConfig
	durable bool
	dir     string // where directories of nodes are made
}

// The patience of the runner with nodes, on a machine that is shared and slow.
const (
	startBound  = 30 * time.Second // for a node to be up, and for a leader
	answerBound = 10 * time.Second
	steadyFor   = 300 * time.Millisecond // how long all must name one leader before the load begins
	steadyPause = 20 * time.Millisecond
	endBound    = 5 * time.Second // for a node that was told to end
	startTries  = 3               // where somebody else took a port in between
)

// process is a node as the runner sees it.
type process struct {
	id      int
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan answer // closed when the node has closed its output
	log     tail
	done    chan struct{}
	err     error
}

// tail keeps the end of what a process wrote.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if extra := len(t.text) - tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

// cluster is the nodes of one run.
type cluster struct {
	peer  *peer
	dir   string // made for this run and removed with it; "" where nothing is written
	nodes []*process
}

// measure runs a peer once.
func measure(ctx context.Context, p *peer, cfg *runConfig) (*bench.Point, error) {
	began := bench.ReadCPUTimes()
	c, err := startCluster(ctx, p, cfg)
	if err != nil {
		return nil, err
	}
	run, err := c.run(ctx, cfg)
	if err := errors.Join(err, c.end()); err != nil {
		return nil, err
	}
	run.StealPercent = bench.StealSince(began)
	return &bench.Point{
		Name: p.name, Series: p.title, Unlike: unlikeAll + "; " + p.unlike, Runs: []bench.Run{*run},
		Config: bench.Config{
			System: p.system(), Transport: "tcp", Storage: p.storage(cfg.durable), Layout: "a process a node", Acceptors: nodes, Proposers: 1,
			Learners: nodes, Groups: 1, Clients: 1, Outstanding: cfg.Outstanding, ValueSize: cfg.Size, Driver: "loopback", WireHops: 2,
		},
	}, nil
}

// startCluster starts the nodes and waits until they are up. Another process may have taken one of the ports since it was found free.
func startCluster(ctx context.Context, p *peer, cfg *runConfig) (*cluster, error) {
	for try := 1; ; try++ {
		c := &cluster{peer: p}
		err := c.start(ctx, cfg)
		if err == nil {
			return c, nil
		}
		err = errors.Join(err, c.end())
		if try == startTries || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
			return nil, err
		}
	}
}

func (c *cluster) start(ctx context.Context, cfg *runConfig) error {
	addresses, err := freeAddresses(nodes)
	if err != nil {
		return err
	}
	if cfg.durable || c.peer.files {
		if c.dir, err = os.MkdirTemp(cfg.dir, "wirepaxos-peers-"); err != nil {
			return fmt.Errorf("%w: name a directory that can be written with --dir", err)
		}
	}
	for id := 1; id <= nodes; id++ {
		n := nodeConfig{Peer: c.peer.name, ID: id, Addresses: addresses, Durable: cfg.durable}
		if c.dir != "" {
			n.Dir = filepath.Join(c.dir, strconv.Itoa(id))
			if err := os.Mkdir(n.Dir, 0o700); err != nil {
				return err
			}
		}
		if err := c.launch(n); err != nil {
			return err
		}
	}
	for _, p := range c.nodes {
		if _, err := p.await(ctx, "up", startBound); err != nil {
			return err
		}
	}
	return nil
}

// freeAddresses are ports of 127.0.0.1 that nobody listens on at the moment.
func freeAddresses(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only when all were found, or the same would be found again
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// launch starts a node, which the kernel kills if this process dies.
func (c *cluster) launch(cfg nodeConfig) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find the program to start as a node: %w", err)
	}
	p := &process{id: cfg.ID, answers: make(chan answer, 16), done: make(chan struct{})}
	p.cmd = exec.Command(self, "node")
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start node %d: %w", cfg.ID, err)
	}
	c.nodes = append(c.nodes, p)
	go p.listen(out)
	return p.tell(&cfg)
}

// listen passes answers on until the node ends.
func (p *process) listen(out io.Reader) {
	lines := json.NewDecoder(out)
	for {
		var a answer
		if lines.Decode(&a) != nil {
			break
		}
		p.answers <- a
	}
	close(p.answers)
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *process) tell(what any) error {
	if err := json.NewEncoder(p.in).Encode(what); err != nil {
		return fmt.Errorf("node %d does not listen: %w: %s", p.id, err, p.log.String())
	}
	return nil
}

// await takes answers until one is of an event.
func (p *process) await(ctx context.Context, event string, bound time.Duration) (*answer, error) {
	late := time.NewTimer(bound)
	defer late.Stop()
	for {
		select {
		case a, ok := <-p.answers:
			switch {
			case !ok:
				<-p.done
				return nil, fmt.Errorf("node %d ended (%v): %s", p.id, p.err, p.log.String())
			case a.Event == "error":
				return nil, fmt.Errorf("node %d: %s", p.id, a.Error)
			case a.Event == event:
				return &a, nil
			}
		case <-late.C:
			return nil, fmt.Errorf("node %d does not answer with %q within %v: %s", p.id, event, bound, p.log.String())
		case <-ctx.Done():
			return nil, fmt.Errorf("interrupted: %w", ctx.Err())
		}
	}
}

func (p *process) ask(ctx context.Context, what string) (*answer, error) {
	if err := p.tell(&command{Do: what}); err != nil {
		return nil, err
	}
	return p.await(ctx, what, answerBound)
}

// end ends every node and removes what they wrote.
func (c *cluster) end() error {
	for _, p := range c.nodes {
		p.in.Close()
	}
	for _, p := range c.nodes {
		go func() {
			for range p.answers { // a node that waits to be heard does not end
			}
		}()
		select {
		case <-p.done:
		case <-time.After(endBound):
			_ = p.cmd.Process.Kill() // it has ended, or does so now
			<-p.done
		}
	}
	if c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}
