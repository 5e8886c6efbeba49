package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

func newLabExec() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "exec HOST -- COMMAND [ARGUMENT...]",
		Short: "Run a command on a host of a lab",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := netlab.Open(name)
			if err != nil {
				return err
			}
			defer lab.Close()
			program := args[1]
			if program == "wirepaxos" {
				if program, err = os.Executable(); err != nil {
					return err
				}
			}
			cmd := exec.Command(program, args[2:]...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			p, err := lab.Start(args[0], cmd)
			if err != nil {
				return err
			}
			go func() {
				for s := range signals {
					p.Signal(s.(syscall.Signal))
				}
			}()
			if err := p.Wait(); err != nil {
				return failed("%s on %s: %w", args[1], args[0], err)
			}
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "lab", "name of the lab")
	return c
}

func newLabStatus() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell of all labs on this machine",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			labs, err := netlab.List()
			if asJSON {
				e := json.NewEncoder(os.Stdout)
				e.SetIndent("", "  ")
				return errors.Join(e.Encode(labs), err)
			}
			if len(labs) == 0 {
				fmt.Println("no labs")
			}
			for _, l := range labs {
				fmt.Printf("lab %s: %s since %s, %d hosts\n", l.Name, l.Phase, l.Created.Format(time.DateTime), len(l.Hosts))
				for _, h := range l.Hosts {
					fmt.Printf("  host %-4s  namespace %s  %v  %v  %d queue(s)\n", h.Name, h.Namespace, h.MAC, h.IP, h.Queues)
				}
				for _, p := range l.Processes {
					fmt.Printf("  process %d on %s: %s\n", p.PID, p.Host, p.Command)
				}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

// sweep removes what the cluster of a lab that is down left: its files, and rings of processes that were killed.
func sweep(name string) error {
	var errs []error
	if f, _, err := cluster.Load(filepath.Join(labDir(name), "cluster.toml")); err == nil {
		errs = append(errs, node.RemoveRings(f.Cluster))
	}
	return errors.Join(append(errs, os.RemoveAll(labDir(name)))...)
}

func newLabDown() *cobra.Command {
	var name string
	var all bool
	c := &cobra.Command{
		Use:   "down",
		Short: "End what runs in a lab and remove it",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names := []string{name}
			if all {
				names = nil
				labs, err := netlab.List()
				if err != nil {
					return err
				}
				for _, l := range labs {
					names = append(names, l.Name)
				}
			}
			var errs []error
			for _, n := range names {
				err := netlab.Down(n)
				if errors.Is(err, netlab.ErrNotFound) {
					fmt.Printf("there is no lab %s\n", n)
					err = nil
				}
				errs = append(errs, err, sweep(n))
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().StringVar(&name, "name", "lab", "name of the lab")
	c.Flags().BoolVar(&all, "all", false, "all labs on this machine")
	return c
}

func newLabServe() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:    "serve",
		Short:  "Delay the frames of a lab that was left by `lab up --late`",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return netlab.Serve(ctx, name)
		},
	}
	c.Flags().StringVar(&name, "name", "lab", "name of the lab")
	return c
}
