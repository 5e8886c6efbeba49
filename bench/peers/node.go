package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"wirepaxos/dataplane"
)

// command is what the runner tells a node: a line of JSON on its standard input.
type command struct {
	Do   string      `json:"do"` // "standing", "usage", "load"
	Load *loadConfig `json:"load,omitempty"`
}

// answer is what a node says: a line of JSON on its standard output.
type answer struct {
	Event    string      `json:"event"` // "up", "standing", "usage"; of a load "begin", "end", "result"; "error"
	Standing standing    `json:"standing"`
	Usage    usage       `json:"usage"`
	Result   *loadResult `json:"result,omitempty"`
	Error    string      `json:"error,omitempty"`
}

// gcPercent lets the heap of a node grow to five times what is live before it is collected: none of the peers is short of memory here.
const gcPercent = 400

// drain is how long a node waits for values under way when the measurement is over.
const drain = 10 * time.Second

// node is the process of one replica.
type node struct {
	nodeConfig
	replica replica
	mu      sync.Mutex
	out     *json.Encoder
}

// runNode runs a replica and does what it is told, until there is nothing more on in. The first line has its configuration.
func runNode(in io.Reader, out io.Writer) (err error) {
	debug.SetGCPercent(gcPercent)
	lines := json.NewDecoder(bufio.NewReader(in))
	n := &node{out: json.NewEncoder(out)}
	if err := lines.Decode(&n.nodeConfig); err != nil {
		return fmt.Errorf("a node gets its configuration on its standard input, from the runner: %w", err)
	}
	p := findLibrary(n.Peer)
	if p == nil || n.ID < 1 || n.ID > len(n.Addresses) {
		return fmt.Errorf("no peer %q with a node %d of %d", n.Peer, n.ID, len(n.Addresses))
	}
	if n.replica, err = p.start(n.nodeConfig); err != nil {
		return fmt.Errorf("%s does not start: %w", p.title, err)
	}
	defer func() { err = errors.Join(err, n.replica.close()) }()
	n.say(&answer{Event: "up"})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		var c command
		if err := lines.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("a command cannot be read: %w", err)
		}
		n.obey(ctx, &c)
	}
}

func (n *node) say(a *answer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.out.Encode(a) // a runner that is gone closes our input too
}

// obey is the switch over the commands.
func (n *node) obey(ctx context.Context, c *command) {
	switch {
	case c.Do == "standing":
		n.say(&answer{Event: c.Do, Standing: n.replica.standing()})
	case c.Do == "usage":
		n.tellUsage(c.Do)
	case c.Do == "load" && c.Load != nil:
		go n.load(ctx, *c.Load)
	default:
		n.say(&answer{Event: "error", Error: fmt.Sprintf("no command %q", c.Do)})
	}
}

func (n *node) tellUsage(event string) {
	u, err := readUsage()
	if err != nil {
		n.say(&answer{Event: "error", Error: err.Error()})
		return
	}
	n.say(&answer{Event: event, Usage: u})
}

// load runs a load to its end, and tells when the measurement begins, when it ends, and what it was.
func (n *node) load(ctx context.Context, cfg loadConfig) {
	l := newLoad(cfg, dataplane.Now())
	n.replica.carry(l)
	sleep(ctx, cfg.Warmup)
	n.tellUsage("begin")
	sleep(ctx, time.Duration(l.end-dataplane.Now()))
	n.tellUsage("end")
	late := time.NewTimer(drain)
	defer late.Stop()
	select {
	case <-l.done:
	case <-late.C:
	case <-ctx.Done():
		return
	}
	r, err := l.result(n.ID)
	if err != nil {
		n.say(&answer{Event: "error", Error: err.Error()})
		return
	}
	n.say(&answer{Event: "result", Result: r, Standing: n.replica.standing()})
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
