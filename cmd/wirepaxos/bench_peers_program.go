package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The program that runs the peers, and where its sources lie in a checkout.
const (
	peersProgram = "wirepaxos-peers"
	peersSources = "bench/peers"
	peersModule  = "module wirepaxos/bench/peers\n"
)

// findPeers is the program's path: as named, beside our own program, or built from its sources.
func findPeers(ctx context.Context, named string) (string, error) {
	if named != "" {
		if !isProgram(named) {
			return "", fmt.Errorf("--binary %s is no program: `make peers` builds bin/%s", named, peersProgram)
		}
		return filepath.Abs(named)
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find our own program: %w: name the other with --binary", err)
	}
	if beside := filepath.Join(filepath.Dir(self), peersProgram); isProgram(beside) {
		return beside, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("%w: name the program %s with --binary", err, peersProgram)
	}
	sources := findSources(here, filepath.Dir(self))
	if sources == "" {
		return "", fmt.Errorf("%s is not beside %s, and its sources are not at hand: build it with `make peers` in a checkout, or name it with --binary",
			peersProgram, self)
	}
	return buildPeers(ctx, sources)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// findSources looks in folders and above them.
func findSources(folders ...string) string {
	for _, dir := range folders {
		for ; ; dir = filepath.Dir(dir) {
			sources := filepath.Join(dir, peersSources)
			if text, err := os.ReadFile(filepath.Join(sources, "go.mod")); err == nil && bytes.HasPrefix(text, []byte(peersModule)) {
				return sources
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return ""
}

// buildPeers builds the program in the user's cache directory. Go builds nothing anew that has not changed.
func buildPeers(ctx context.Context, sources string) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", fmt.Errorf("%s has to be built and go is not on PATH: build it elsewhere with `make peers` and name it with --binary", peersProgram)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: build it with `make peers` and name it with --binary", err)
	}
	program := filepath.Join(cache, "wirepaxos", peersProgram)
	fmt.Printf("Building %s from %s as %s; the first time takes some minutes.\n", peersProgram, sources, program)
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		return "", err
	}
	cmd := childCommand(ctx, "go", "build", "-trimpath", "-o", program, ".")
	cmd.Dir = sources
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s cannot be built (%w): its modules must be at hand or be fetched: %s", peersProgram, err, lastLines(output))
	}
	return program, nil
}

// endDelay is what a child gets to clean up when it is told to end.
const endDelay = 15 * time.Second

// childCommand makes a command that is told to end when the context is over or this process dies, and is out of reach of the terminal's Ctrl-C.
func childCommand(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endDelay
	return cmd
}

// listedPeer is a peer as the program lists it.
type listedPeer struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	System  string `json:"system"`
	Missing string `json:"missing"`
	Durable string `json:"durable"`
	Unlike  string `json:"unlike"`
	Common  string `json:"common"`
}

func listPeers(ctx context.Context, program string) (list []listedPeer, err error) {
	text, err := childCommand(ctx, program, "list").Output()
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil || len(list) == 0 {
		return nil, fmt.Errorf("%s does not list its peers (%w): is it the program that `make peers` builds?", program, err)
	}
	return list, nil
}

// complaint is what a child that failed wrote, in short.
func complaint(err error, stderr []byte) error {
	if text := lastLines(stderr); text != "" {
		return fmt.Errorf("%s (%w)", text, err)
	}
	return err
}

// lastLines are the last lines of a text, in one.
func lastLines(text []byte) string {
	const most = 3
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "; ")
}

// unlessInterrupted is err, unless all of it shall end: what broke because of that tells nothing.
func unlessInterrupted(ctx context.Context, err error) error {
	if ended := interrupted(ctx); ended != nil {
		return ended
	}
	return err
}

// interrupted tells whether a run ended because all of it shall end.
func interrupted(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return failed("interrupted")
	}
	return ctx.Err()
}
