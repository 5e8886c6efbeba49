package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// workshop builds and runs mutants.
type workshop struct {
	root      string
	temporary string // folder of all that is made
	patience  time.Duration
}

// outcome is what the simulator said about some seeds of one profile.
type outcome struct {
	caught  bool
	profile string
	checker string
	seed    uint64 // that showed it
	seeds   int    // that ran
	took    time.Duration
	note    string // why nothing can be said of the rest
}

// firstSeed is where every run begins, so that each can be run again.
const firstSeed = 1

var errInterrupted = errors.New("interrupted")

// killDelay is what a command gets between being asked to end and being killed.
const killDelay = 5 * time.Second

// command makes a command in a process group of its own, which ends as a whole when the context does.
func (w *workshop) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = w.root
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killDelay
	return cmd
}

// overlay writes the mutant's files and says where the list of them is.
func (w *workshop) overlay(m *mutant) (list, dir string, err error) {
	dir = filepath.Join(w.temporary, m.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	files, err := m.apply(os.DirFS(w.root))
	if err != nil {
		return "", "", err
	}
	replace := make(map[string]string)
	for name, text := range files {
		wrong := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(wrong, []byte(text), 0o600); err != nil {
			return "", "", err
		}
		replace[filepath.Join(w.root, filepath.FromSlash(name))] = wrong
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", "", err
	}
	list = filepath.Join(dir, "overlay.json")
	return list, dir, os.WriteFile(list, text, 0o600)
}

// build makes the binary of a mutant; of the true version where m is nil.
func (w *workshop) build(ctx context.Context, m *mutant) (binary string, err error) {
	args, name, dir := []string{"build"}, "the true version", w.temporary
	if m != nil {
		list, folder, err := w.overlay(m)
		if err != nil {
			return "", err
		}
		args, name, dir = append(args, "-overlay", list), "mutant "+m.name, folder
	}
	binary = filepath.Join(dir, "wirepaxos")
	cmd := w.command(ctx, "go", append(args, "-o", binary, "./cmd/wirepaxos")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); ctx.Err() != nil {
		return "", errInterrupted
	} else if err != nil {
		return "", fmt.Errorf("%s does not build: %w\n%s", name, err, text)
	}
	return binary, nil
}

// buildAll compiles what each mutant changes, and links nothing.
func (w *workshop) buildAll(ctx context.Context, all []mutant) error {
	var failed []error
	for i := range all {
		m := &all[i]
		list, _, err := w.overlay(m)
		if err != nil {
			return err
		}
		args := []string{"build", "-overlay", list}
		for _, e := range m.edits {
			if folder := "./" + path.Dir(e.path); !slices.Contains(args, folder) {
				args = append(args, folder)
			}
		}
		text, err := w.command(ctx, "go", args...).CombinedOutput()
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("mutant %s does not build: %w\n%s", m.name, err, text))
		}
	}
	fmt.Printf("%d of %d mutants build\n", len(all)-len(failed), len(all))
	return errors.Join(failed...)
}

// simulated is what `wirepaxos sim --json` writes.
type simulated struct {
	Seeds  int `json:"seeds"` // that ran
	Failed []struct {
		Seed      uint64 `json:"seed"`
		Violation struct {
			Rule string `json:"rule"`
		} `json:"violation"`
	} `json:"failed"`
}

// simulate runs seeds of one profile until one fails. The error is of what is neither a verdict nor a crash.
func (w *workshop) simulate(ctx context.Context, binary, profile string, seeds int) (o outcome, err error) {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	report := binary + "-" + profile + ".json"
	cmd := w.command(limited, binary, "sim", "--seed", fmt.Sprint(firstSeed), "--seeds", fmt.Sprint(seeds), "--profile", profile,
		"--workers", "1", "--json", report)
	text, failed := cmd.CombinedOutput()
	o = outcome{profile: profile, took: time.Since(began)}
	switch {
	case ctx.Err() != nil:
		return o, errInterrupted
	case limited.Err() != nil:
		o.note = fmt.Sprintf("no end within %v", w.patience)
		return o, nil
	case failed != nil && (bytes.Contains(text, []byte("panic:")) || bytes.Contains(text, []byte("fatal error:"))):
		o.caught, o.checker = true, "panic"
		return o, nil
	}
	var said simulated
	content, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(content, &said)
	}
	if err != nil || (failed == nil) != (len(said.Failed) == 0) {
		return o, fmt.Errorf("%s: no verdict (%v, %v)\n%s", strings.Join(cmd.Args, " "), failed, err, text)
	}
	o.seeds = said.Seeds
	if len(said.Failed) > 0 {
		o.caught, o.seed, o.checker = true, said.Failed[0].Seed, said.Failed[0].Violation.Rule
	}
	return o, nil
}
