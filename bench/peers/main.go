package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usageText = `wirepaxos-peers runs other systems under the load of wirepaxos' bench; ` + "`wirepaxos bench peers`" + ` does so in turn with its own runs.

  wirepaxos-peers list           what there is, as JSON
  wirepaxos-peers NAME [flags]   one run, as JSON: etcd, hashicorp, dragonboat, libpaxos (whose programs must be on PATH)

`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program: 0 done, 1 it ran and the outcome is not what it should be, 2 it could not run.
func run(args []string, in io.Reader, out, complaints io.Writer) int {
	err := dispatch(args, in, out, complaints)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, new(failure)):
		fmt.Fprintf(complaints, "wirepaxos-peers: %v\n", err)
		return 1
	}
	fmt.Fprintf(complaints, "wirepaxos-peers: %v\n", err)
	return 2
}

// failure is an error of a run that took place.
type failure struct{ error }

func dispatch(args []string, in io.Reader, out, complaints io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("no peer is named: wirepaxos-peers --help lists them")
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(out, usageText)
		newFlags(&runConfig{}, out).PrintDefaults()
		return nil
	case "list":
		return writeJSON(out, listPeers())
	case "node":
		return runNode(in, out)
	}
	var cfg runConfig
	flags := newFlags(&cfg, complaints)
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if err := cfg.check(flags.Args()); err != nil {
		return err
	}
	return runPeer(args[0], &cfg, out)
}

func newFlags(cfg *runConfig, out io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("wirepaxos-peers", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&cfg.Outstanding, "outstanding", 1, "values under way at once")
	flags.IntVar(&cfg.Size, "size", 64, "bytes of a value")
	flags.DurationVar(&cfg.Duration, "duration", 2*time.Second, "how long is measured")
	flags.DurationVar(&cfg.Warmup, "warmup", 500*time.Millisecond, "how long the load runs before")
	flags.BoolVar(&cfg.durable, "durable", false, "what was promised is on disk")
	flags.StringVar(&cfg.dir, "dir", "", "where the nodes' directories are made (default: /dev/shm, with --durable the directory for temporary files)")
	return flags
}

// check refuses what cannot be run, and fills in what was not given.
func (c *runConfig) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no flag: wirepaxos-peers --help lists them", rest[0])
	case c.Outstanding < 1 || c.Outstanding > maxOutstanding:
		return fmt.Errorf("--outstanding %d: want 1 to %d", c.Outstanding, maxOutstanding)
	case c.Size < minSize || c.Size > maxSize:
		return fmt.Errorf("--size %d: want %d to %d", c.Size, minSize, maxSize)
	case c.Duration <= 0 || c.Warmup < 0:
		return fmt.Errorf("--duration %v, --warmup %v: want positive times", c.Duration, c.Warmup)
	}
	if c.dir == "" && !c.durable {
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			c.dir = "/dev/shm"
		}
	}
	return nil
}

// runPeer runs one peer and writes its point. A signal ends the run, and its traces are removed.
func runPeer(name string, cfg *runConfig, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if name == libpaxosName {
		point, err := measureLibpaxos(ctx, cfg)
		if err != nil {
			return err
		}
		return writeJSON(out, point)
	}
	p := findLibrary(name)
	if p == nil {
		return fmt.Errorf("no peer is called %q: wirepaxos-peers list tells which there are", name)
	}
	point, err := measure(ctx, p, cfg)
	if err != nil {
		return failure{err}
	}
	if err := writeJSON(out, point); err != nil {
		return err
	}
	if list := point.Runs[0].Problems; len(list) > 0 {
		return failure{fmt.Errorf("%s: %s", p.title, list[0])}
	}
	return nil
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// listed is a peer in the list.
type listed struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	System  string `json:"system"`
	Missing string `json:"missing,omitempty"` // why it cannot be run here
	Memory  string `json:"memory"`
	Durable string `json:"durable"`
	Unlike  string `json:"unlike"`           // from our own set-up
	Common  string `json:"common,omitempty"` // what besides is unlike in this one and others
}

func listPeers() (list []listed) {
	for i := range libraries {
		p := &libraries[i]
		list = append(list, listed{
			Name: p.name, Title: p.title, System: p.system(), Memory: p.memory, Durable: p.durable, Unlike: p.unlike, Common: unlikeAll,
		})
	}
	return append(list, listLibpaxos())
}
