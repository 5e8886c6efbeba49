package netlab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain also is the process that owns a lab and is killed: the tests start their own binary again.
func TestMain(m *testing.M) {
	if name := os.Getenv("NETLAB_TEST_OWNER"); name != "" {
		ownAndWait(name)
	}
	os.Exit(m.Run())
}

// ownAndWait builds a lab, starts a program in it, prints its number, and waits for ever: it never takes the lab down.
func ownAndWait(name string) {
	lab, err := Up(context.Background(), Spec{Name: name, Hosts: hostsNamed("a", "b", "c")})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := lab.Start("a", sleeper())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up", p.PID)
	select {}
}

// otherOwner starts a process that owns a lab and returns it with the number of the program that runs in the lab.
func otherOwner(t *testing.T, lab string) (owner *exec.Cmd, child int) {
	t.Helper()
	owner = exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), "NETLAB_TEST_OWNER="+lab)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	owner.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = owner.Process.Kill() // it may be gone
		_ = owner.Wait()
		if err := Down(lab); err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("down: %v", err)
		}
		if left := leftovers(t, lab); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scanErr := fmt.Sscanf(line, "up %d", &child); err != nil || scanErr != nil {
		t.Fatalf("owner said %q: %v", line, errors.Join(err, scanErr))
	}
	return owner, child
}

func TestKilledOwner(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	owner, child := otherOwner(t, name)
	running := identify(child)
	if !running.alive() {
		t.Fatal("the program does not run")
	}
	if _, err := Up(within(t), Spec{Name: name, Hosts: hostsNamed("a", "b")}); !errors.Is(err, ErrRunning) {
		t.Errorf("while its owner lives: %v", err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	eventually(t, "its program died with it", func() bool { return !running.alive() })
	if phase := phaseOf(t, name); phase != PhaseStale {
		t.Errorf("phase %q, want stale", phase)
	}
	if _, err := Open(name); err == nil {
		t.Error("a stale lab was opened")
	}
	up(t, Spec{Name: name, Hosts: hostsNamed("a", "b")}) // cleans the old one, whose host c is nowhere in the new spec
	if _, err := os.Stat(namespacePath(namespaceOf(name, "c"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a namespace of the old lab: %v", err)
	}
}

func TestDownOfKilledOwner(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	owner, _ := otherOwner(t, name)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	if err := Down(name); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := Down(name); !errors.Is(err, ErrNotFound) {
		t.Errorf("second down: %v", err)
	}
}

func TestDownOfLivingOwner(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	owner, child := otherOwner(t, name)
	running := identify(child)
	reaped := make(chan struct{})
	go func() { _ = owner.Wait(); close(reaped) }()
	if err := Down(name); err != nil {
		t.Fatal(err)
	}
	<-reaped
	eventually(t, "its program died with it", func() bool { return !running.alive() })
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func phaseOf(t *testing.T, name string) string {
	t.Helper()
	labs, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, lab := range labs {
		if lab.Name == name {
			return lab.Phase
		}
	}
	return ""
}

// A process that got the number of one in the state file is left alone.
func TestRecycledNumberIsNotKilled(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	owner, _ := otherOwner(t, name)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	stranger := sleeper()
	stranger.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	id := identify(stranger.Process.Pid)
	err := update(name, func(s *state) error {
		older := identity{PID: id.PID, Start: id.Start - 1}
		s.Owner, s.Server = older, older
		s.Processes = []recorded{{identity: older, Host: "a", Command: "sleep"}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Down(name); err != nil {
		t.Fatal(err)
	}
	if !id.alive() {
		t.Error("it was killed")
	}
}

func TestDamagedStateIsNamed(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	if err := locked(func() error { return os.WriteFile(statePath(name), []byte("{"), 0o644) }); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = removeFile(statePath(name)) }()
	for what, call := range map[string]func() error{
		"up":   func() error { _, err := Up(within(t), Spec{Name: name, Hosts: hostsNamed("a", "b")}); return err },
		"down": func() error { return Down(name) },
		"list": func() error { _, err := List(); return err },
	} {
		var syntax *json.SyntaxError
		if err := call(); !errors.As(err, &syntax) || !strings.Contains(err.Error(), statePath(name)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
