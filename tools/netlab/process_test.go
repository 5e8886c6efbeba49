package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// namespaceID is the kernel's number for a namespace, as readlink of /proc/self/ns/net shows it.
func namespaceID(t *testing.T, name string) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(namespacePath(name), &stat); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("net:[%d]", stat.Ino)
}

func TestProgramsRunInTheirNamespace(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	home, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range lab.Hosts() {
		want := namespaceID(t, h.Namespace)
		out, err := lab.Output(within(t), h.Name, "readlink", "/proc/self/ns/net")
		if got := strings.TrimSpace(string(out)); got != want || err != nil {
			t.Errorf("a program of host %s ran in %s, want %s: %v", h.Name, got, want, err)
		}
		err = lab.Do(h.Name, func() error {
			if got, err := os.Readlink("/proc/thread-self/ns/net"); got != want || err != nil {
				t.Errorf("Do for host %s ran in %s, want %s: %v", h.Name, got, want, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	// No thread of ours stays behind in a host's namespace.
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		now, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		if err == nil && now != home {
			t.Errorf("thread %s is in %s, want %s", thread.Name(), now, home)
		}
	}
	if _, err := lab.Output(within(t), "nobody", "true"); err == nil {
		t.Error("a program ran in no host")
	}
	if _, err := lab.Output(within(t), "a", "/does/not/exist"); err == nil {
		t.Error("a program that is not there ran")
	}
}

func TestProcessesEnd(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	p, err := lab.Start("a", sleeper())
	if err != nil {
		t.Fatal(err)
	}
	if got := running(t, lab); len(got) != 1 || got[0].PID != p.PID || got[0].Host != "a" || got[0].Command != "sleep" {
		t.Errorf("status lists %+v", got)
	}
	p.Signal(unix.SIGUSR1) // which sleep does not catch
	if err := p.Wait(); err == nil || !strings.Contains(err.Error(), "user defined signal 1") {
		t.Errorf("wait: %v", err)
	}
	p.Signal(unix.SIGKILL) // to nobody: its number may be another's by now
	if got := running(t, lab); len(got) != 0 {
		t.Errorf("after its end status lists %+v", got)
	}

	ctx, cancel := context.WithCancel(within(t))
	cmd := exec.CommandContext(ctx, "sleep", "1000")
	p, err = lab.Start("b", cmd)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Wait(); err == nil {
		t.Error("a cancelled program ended well")
	}
	if out, err := lab.Output(within(t), "a", "sh", "-c", "echo out; exit 3"); string(out) != "out\n" || err == nil {
		t.Errorf("got %q, %v", out, err)
	}
}

// Down ends programs that do not want to end, and what they have started.
func TestDownEndsStubbornGroup(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	cmd := exec.Command("sh", "-c", `trap "" TERM; sleep 1000 & echo $!; while :; do sleep 0.05; done`)
	cmd.Stdout = writer
	p, err := lab.Start("a", cmd)
	_ = writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 32)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	var grandchild int
	if _, err := fmt.Fscan(bytes.NewReader(line[:n]), &grandchild); err != nil {
		t.Fatal(err)
	}
	first, second := identify(p.PID), identify(grandchild)
	if !first.alive() || !second.alive() {
		t.Fatal("they do not run")
	}
	if err := lab.Down(); err != nil {
		t.Error(err)
	}
	eventually(t, "both are gone", func() bool { return !first.alive() && !second.alive() })
}

// What a program leaves behind in its group ends with it.
func TestGroupEndsWithItsLeader(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	out, err := lab.Output(within(t), "a", "sh", "-c", "sleep 1000 >/dev/null & echo $!")
	var left int
	if _, scanErr := fmt.Fscan(bytes.NewReader(out), &left); err != nil || scanErr != nil {
		t.Fatalf("%q: %v", out, errors.Join(err, scanErr))
	}
	eventually(t, "it is gone", func() bool { return !identify(left).alive() })
}

// Programs of another handle end with it, or with the lab.
func TestProgramsOfAnotherHandle(t *testing.T) {
	lab := up(t, Spec{Hosts: hostsNamed("a", "b", "c")})
	other, err := Open(lab.Name())
	if err != nil {
		t.Fatal(err)
	}
	p, err := other.Start("b", sleeper())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	<-p.Done()
	third, err := Open(lab.Name())
	if err != nil {
		t.Fatal(err)
	}
	p, err = third.Start("b", sleeper())
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Down(); err != nil {
		t.Error(err)
	}
	<-p.Done()
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

func running(t *testing.T, lab *Lab) []ProcessStatus {
	t.Helper()
	labs, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range labs {
		if l.Name == lab.Name() {
			return l.Processes
		}
	}
	t.Fatalf("lab %s is not listed", lab.Name())
	return nil
}

func TestIdentity(t *testing.T) {
	me := self()
	if me.PID != os.Getpid() || me.Start == 0 || !me.alive() {
		t.Errorf("I am %+v", me)
	}
	if (identity{PID: me.PID, Start: me.Start + 1}).alive() || (identity{}).alive() {
		t.Error("someone else is alive in my place")
	}
	cmd := sleeper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id := identify(cmd.Process.Pid)
	if err := (identity{PID: id.PID, Start: id.Start + 1}).end(time.Second, false); err != nil || !id.alive() {
		t.Errorf("a process with another start time: %v", err)
	}
	if err := id.end(testBound, false); err != nil {
		t.Error(err)
	}
	if id.alive() { // it is not reaped yet, but it has ended
		t.Error("it is alive")
	}
	_ = cmd.Wait()
	if err := id.end(time.Second, true); err != nil {
		t.Errorf("a process that is gone: %v", err)
	}
}
