package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/bench"
	"wirepaxos/paxos/cluster"
)

// A trial over memory is one process: this program with `bench trial` and the demo's flags, so that nothing of an earlier trial is in its heap. It
// says "ready" once its cluster is there, begins at a line from its parent, and tells the trial in a line of JSON.

// trialFlags are the flags of that process.
type trialFlags struct {
	demo  demoFlags
	cores []int // of the processes of the plan, in place of what the plan says
	apart bool  // cores counts
}

const trialReady = "ready\n"

func newBenchTrial() *cobra.Command {
	var o trialFlags
	c := &cobra.Command{
		Use:    "trial",
		Short:  "One run in one process over memory, for the other bench commands",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			o.apart = c.Flags().Changed("cores")
			return o.run(c.Context())
		},
	}
	o.demo.add(c.Flags())
	c.Flags().IntSliceVar(&o.cores, "cores", nil, "core of each loop; -1: none")
	return c
}

func (o *trialFlags) run(ctx context.Context) error {
	d := &o.demo
	if err := d.check(); err != nil {
		return err
	}
	if d.transport != "mem" {
		return fmt.Errorf("--transport %s: a trial in one process is over memory: use the demo", d.transport)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := d.planned(cluster.TransportMem)
	if err != nil {
		return err
	}
	for i := range p.procs {
		if o.apart && i < len(o.cores) {
			p.procs[i].core = o.cores[i]
		}
	}
	var echo *echoOutcome
	if d.floor {
		c := echoTime(d.duration)
		c.Size, c.UnderWay = acceptBytes(d.size), d.clients*d.outstanding
		if echo, err = measureEcho(ctx, p, c, false); err != nil {
			return err
		}
	}
	answers := os.Stdout
	os.Stdout = os.Stderr // what the demo tells is for nobody here
	in, err := d.measureMem(ctx, p, func() error {
		if _, err := answers.WriteString(trialReady); err != nil {
			return err
		}
		defer func() { d.cpu = bench.ReadCPUTimes() }()
		return awaitLine(ctx, os.Stdin)
	})
	if err != nil {
		return err
	}
	in.began(d.cpu)
	report, err := in.report()
	if err != nil {
		return err
	}
	t, err := newTrial(bench.Config{}, report, p.portHops(), echo)
	if err != nil {
		return err
	}
	return json.NewEncoder(answers).Encode(t)
}

// awaitLine waits for a line, or for the end of ctx: then the goroutine that reads ends with the process.
func awaitLine(ctx context.Context, r io.Reader) error {
	line := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(r).ReadString('\n')
		line <- err
	}()
	select {
	case err := <-line:
		return err
	case <-ctx.Done():
		return failed("interrupted")
	}
}

// memCell is such a process, seen from its parent.
type memCell struct {
	config  bench.Config
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Reader
	log     *tail
	ended   bool
}

// memEndGrace is how long the process may take to end after SIGTERM before it is killed.
const memEndGrace = 3 * time.Second

// raiseMem starts the process, and waits until its cluster is there.
func raiseMem(ctx context.Context, c *trialConfig, p *groupPlan, words []string) (_ cell, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program to start for a run over memory: %w", err)
	}
	if c.apart() > 1 {
		words = append(words, "--cores", coresOf(p.plan))
	}
	x := &memCell{config: c.config(), log: &tail{}}
	x.cmd = exec.Command(self, append([]string{"bench", "trial"}, words...)...)
	x.cmd.Stderr = x.log
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if x.in, err = x.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := x.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a run over memory: %w", err)
	}
	x.answers = bufio.NewReader(out)
	line, err := x.answer(ctx)
	if err == nil && string(line) != trialReady {
		err = x.failure()
	}
	if err != nil {
		return nil, errors.Join(err, x.end())
	}
	return x, nil
}

// coresOf are the cores of a plan's processes.
func coresOf(p *plan) string {
	var words []string
	for _, q := range p.procs {
		words = append(words, fmt.Sprint(q.core))
	}
	return strings.Join(words, ",")
}

// answer reads a line; at the end of ctx it tells the process to end, which ends the line.
func (x *memCell) answer(ctx context.Context) ([]byte, error) {
	defer context.AfterFunc(ctx, func() { _ = x.cmd.Process.Signal(syscall.SIGTERM) })() // one that has ended needs none
	line, err := x.answers.ReadBytes('\n')
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, x.failure()
	}
	return line, nil
}

// failure is what the process said last.
func (x *memCell) failure() error {
	_ = x.end() // it has ended, or is of no use
	lines := strings.Split(x.log.last(), "\n")
	return failed("the run over memory has ended: %s", strings.TrimPrefix(lines[len(lines)-1], "wirepaxos: "))
}

func (x *memCell) begin() error {
	_, err := io.WriteString(x.in, "go\n")
	return err
}

func (x *memCell) finish(ctx context.Context) (*trial, error) {
	line, err := x.answer(ctx)
	if err != nil {
		return nil, err
	}
	t := &trial{}
	if err := json.Unmarshal(line, t); err != nil {
		return nil, fmt.Errorf("the run over memory told what cannot be read: %w", err)
	}
	c := x.config
	c.Link, c.Layout, c.Batch, c.Idle = t.Config.Link, t.Config.Layout, t.Config.Batch, t.Config.Idle
	c.Multicast = t.Config.Multicast
	c.Acceptors, c.Proposers, c.Learners, c.ValueSize = t.Config.Acceptors, t.Config.Proposers, t.Config.Learners, t.Config.ValueSize
	t.Config = c
	return t, nil
}

func (x *memCell) end() error {
	if x.ended {
		return nil
	}
	x.ended = true
	_ = x.cmd.Process.Signal(syscall.SIGTERM) // one that has ended needs none
	kill := time.AfterFunc(memEndGrace, func() { _ = x.cmd.Process.Kill() })
	defer kill.Stop()
	_ = x.cmd.Wait() // its last line said how it ended
	return nil
}
