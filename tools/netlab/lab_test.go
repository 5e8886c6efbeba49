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

	"golang.org/x/sys/unix"
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

// state of descriptors, before and after.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestUpDownLeavesNothing(t *testing.T) {
	needLab(t)
	for name, spec := range map[string]Spec{
		"direct": {Hosts: hostsNamed("a", "b")},
		"switch": {Hosts: hostsNamed("a", "b", "c")},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Name = nameFor(t)
			round := func() {
				lab, err := Up(within(t), spec)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := lab.Start("a", sleeper()); err != nil {
					t.Error(err)
				}
				if err := lab.Down(); err != nil {
					t.Error(err)
				}
			}
			round() // what the runtime opens once is open now
			files, programs := openFiles(t), switchPrograms(t)
			round()
			if left := leftovers(t, spec.Name); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if now := openFiles(t); now > files {
				t.Errorf("%d files open, %d before", now, files)
			}
			eventually(t, "the programs are unloaded", func() bool { return switchPrograms(t) <= programs })
			if _, err := os.Stat(namespacePath("wp-" + spec.Name + "-a")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("namespace: %v", err)
			}
		})
	}
}

func TestDirectOrSwitch(t *testing.T) {
	cases := map[string]struct {
		spec   Spec
		direct bool
	}{
		"two hosts":   {Spec{Hosts: hostsNamed("a", "b")}, true},
		"three hosts": {Spec{Hosts: hostsNamed("a", "b", "c")}, false},
		"forced":      {Spec{Hosts: hostsNamed("a", "b"), ForceSwitch: true}, false},
		"faults":      {Spec{Hosts: hostsNamed("a", "b"), Faults: Faults{DropPPM: 1}}, false},
		"two queues":  {Spec{Hosts: []HostSpec{{Name: "a", Queues: 2}, {Name: "b"}}}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			lab := up(t, c.spec)
			if lab.Direct() != c.direct {
				t.Fatalf("direct = %v, want %v", lab.Direct(), c.direct)
			}
			if _, err := os.Stat(namespacePath(namespaceOf(lab.Name(), switchName))); (err == nil) == c.direct {
				t.Errorf("namespace of the switch: %v", err)
			}
			if _, err := lab.Counters(); errors.Is(err, ErrNoSwitch) != c.direct {
				t.Errorf("counters: %v", err)
			}
			if err := lab.Cut("a", "b"); errors.Is(err, ErrNoSwitch) != c.direct {
				t.Errorf("cut: %v", err)
			}
		})
	}
}

// Every link must carry when Up returns: the very first frame arrives.
func TestFirstFrameArrives(t *testing.T) {
	for name, force := range map[string]bool{"direct": false, "switch": true} {
		t.Run(name, func(t *testing.T) {
			lab := up(t, Spec{Hosts: hostsNamed("a", "b"), ForceSwitch: force})
			a, b := plug(t, lab, "a", etherTypeTest), plug(t, lab, "b", etherTypeTest)
			a.send(a.frameTo(b.host.MAC, 1))
			if b.receive(testBound) == nil {
				t.Fatal("it did not")
			}
		})
	}
}

func TestTwoLabsSideBySide(t *testing.T) {
	one := up(t, Spec{Name: nameFor(t) + "1", Hosts: hostsNamed("a", "b", "c")})
	two := up(t, Spec{Name: nameFor(t) + "2", Hosts: hostsNamed("a", "b", "c")})
	a1, b1 := plug(t, one, "a", etherTypeTest), plug(t, one, "b", etherTypeTest)
	a2, b2 := plug(t, two, "a", etherTypeTest), plug(t, two, "b", etherTypeTest)
	a1.send(a1.frameTo(b1.host.MAC, 1))
	a2.send(a2.frameTo(b2.host.MAC, 2))
	if got := b1.count(quiet); len(got) != 1 || got[1] != 1 {
		t.Errorf("the first lab got %v", got)
	}
	if got := b2.count(quiet); len(got) != 1 || got[2] != 1 {
		t.Errorf("the second lab got %v", got)
	}
	if err := one.Down(); err != nil {
		t.Fatal(err)
	}
	a2.send(a2.frameTo(b2.host.MAC, 3))
	if got := b2.count(quiet); got[3] != 1 {
		t.Errorf("the second lab got %v after the first was down", got)
	}
}

func TestNameOfLivingLabIsRefused(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b")})
	if _, err := Up(within(t), Spec{Name: lab.Name(), Hosts: hostsNamed("x", "y")}); !errors.Is(err, ErrRunning) {
		t.Fatalf("got %v", err)
	}
	if _, err := lab.Output(within(t), "a", "true"); err != nil {
		t.Errorf("the lab that runs was hurt: %v", err)
	}
}

func TestForeignNamespaceIsRefusedAndKept(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	foreign := namespaceOf(name, "b")
	if err := errors.Join(prepareNamespaceDir(), addNamespace(foreign)); err != nil {
		t.Fatal(err)
	}
	_, err := Up(within(t), Spec{Name: name, Hosts: hostsNamed("a", "b")})
	if err == nil || !strings.Contains(err.Error(), "ip netns del "+foreign) {
		t.Errorf("got %v", err)
	}
	if err := inNamespace(foreign, func() error { return nil }); err != nil {
		t.Errorf("it was hurt: %v", err)
	}
	if err := removeNamespace(foreign); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFailureInTheMiddleLeavesNothing(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("no more")
	cancel(reason) // Up asks after it made its first namespace
	if _, err := Up(ctx, Spec{Name: name, Hosts: hostsNamed("a", "b", "c")}); !errors.Is(err, reason) {
		t.Errorf("got %v", err)
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPanicLeavesNothing(t *testing.T) {
	needLab(t)
	name := nameFor(t)
	func() {
		defer func() { _ = recover() }()
		lab, err := Up(within(t), Spec{Name: name, Hosts: hostsNamed("a", "b", "c")})
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = lab.Down() }()
		panic("the owner's")
	}()
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCancelTakesDown(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	needLab(t)
	lab, err := Up(ctx, Spec{Name: nameFor(t), Hosts: hostsNamed("a", "b", "c")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := lab.Start("a", sleeper())
	if err != nil {
		t.Error(err)
	}
	cancel()
	eventually(t, "nothing is left", func() bool { return len(leftovers(t, lab.Name())) == 0 })
	if err := lab.Down(); err != nil {
		t.Error(err)
	}
	<-p.Done()
	if _, err := lab.Start("a", sleeper()); err == nil {
		t.Error("a program was started in a lab that is down")
	}
	if _, err := lab.Counters(); !errors.Is(err, errClosed) {
		t.Errorf("counters: %v", err)
	}
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

func TestDetachOpenServe(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	if err := Serve(within(t), lab.Name()); err == nil || !strings.Contains(err.Error(), "its owner serves") {
		t.Errorf("serve beside the owner: %v", err)
	}
	if err := lab.Detach(); err != nil {
		t.Fatal(err)
	}
	if phase := phaseOf(t, lab.Name()); phase != PhaseDetached {
		t.Errorf("phase %q", phase)
	}
	other, err := Open(lab.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	a, b := plug(t, other, "a", etherTypeTest), plug(t, other, "b", etherTypeTest)
	a.send(a.frameTo(b.host.MAC, 1))
	if got := b.count(quiet); got[1] != 1 {
		t.Errorf("without an owner got %v", got)
	}
	slow := Faults{DelayPPM: million, Delay: 1}
	if err := other.SetFaults(slow); err == nil || !strings.Contains(err.Error(), "lab serve") {
		t.Errorf("delays without a server: %v", err)
	}
	ctx, cancel := context.WithCancel(within(t))
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, lab.Name()) }()
	eventually(t, "the delays are served", func() bool { return other.SetFaults(slow) == nil })
	a.send(a.frameTo(b.host.MAC, 2))
	if b.receive(testBound) == nil {
		t.Error("the delayed frame did not arrive")
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := lab.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if phase := phaseOf(t, lab.Name()); phase != PhaseDetached {
		t.Errorf("after close the phase is %q", phase)
	}
	if err := Down(lab.Name()); err != nil {
		t.Errorf("down: %v", err)
	}
	if _, err := unix.Write(a.fd, a.frameTo(b.host.MAC, 3)); err == nil {
		t.Error("the interface is still there")
	}
}
