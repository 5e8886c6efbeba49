package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wirepaxos/tools/netlab"
)

// asProgram in the environment makes this test binary the program: its processes, and theirs, are then the real thing.
const asProgram = "WIREPAXOS_AS_PROGRAM"

// testBound is how long a test waits for any one thing before it fails. Machines under test are slow and shared.
const testBound = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Setenv(asProgram, "1")
	os.Exit(m.Run())
}

// needLab skips where no lab can be built, and says why.
func needLab(t *testing.T) {
	t.Helper()
	if err := netlab.Supported(); err != nil {
		t.Skipf("needs root and AF_XDP on veth: %v", err)
	}
}

// shortDir is a directory of the test's own with a name short enough for sockets in it. It must be empty at the test's end but for what
// the test itself put there under keep.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wpt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// program is a process of the program under test.
type program struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr lockedBuffer
	dir            string // its TMPDIR: it must leave nothing there
	done           chan struct{}
	err            error
}

// begin starts the program; it is killed at the test's end if it still runs.
func begin(t *testing.T, args ...string) *program {
	t.Helper()
	p := newProgram(t, args...)
	p.start()
	return p
}

func newProgram(t *testing.T, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.Command(self, args...), dir: shortDir(t), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "TMPDIR="+p.dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}

func (p *program) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			p.cmd.Process.Kill()
			<-p.done
		}
	})
}

// status waits for the end and is the exit status.
func (p *program) status() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(testBound):
		p.t.Fatalf("%v did not end within %v:\n%s\n%s", p.cmd.Args[1:], testBound, p.stdout.String(), p.stderr.String())
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// signal sends a signal to the process alone.
func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// shows waits until the program has written text.
func (p *program) shows(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%v shows %q", p.cmd.Args[1:], text), func() bool {
		return strings.Contains(p.stdout.String()+p.stderr.String(), text)
	}, func() string { return p.stdout.String() + p.stderr.String() })
}

// leavesNothing checks what a program of this number might have left: files, namespaces, labs, processes.
func (p *program) leavesNothing() {
	p.t.Helper()
	pid := p.cmd.Process.Pid
	eventually(p.t, fmt.Sprintf("%v leaves nothing behind", p.cmd.Args[1:]), func() bool { return len(p.left(pid)) == 0 },
		func() string { return strings.Join(p.left(pid), "\n") })
}

func (p *program) left(pid int) (left []string) {
	for _, pattern := range []string{
		filepath.Join(p.dir, "*"), fmt.Sprintf("/run/netns/wp-demo%d-*", pid), fmt.Sprintf("/run/wirepaxos/lab/demo%d[.-]*", pid),
		fmt.Sprintf("/run/netns/wp-echo%d-*", pid), fmt.Sprintf("/run/wirepaxos/lab/echo%d[.-]*", pid),
		fmt.Sprintf("/run/netns/wp-bench%d[_-]*", pid), fmt.Sprintf("/run/wirepaxos/lab/bench%d[_.-]*", pid),
	} {
		found, _ := filepath.Glob(pattern) // the patterns are sound
		left = append(left, found...)
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(p.dir)) {
			left = append(left, path+": "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return left
}

// run runs the program to its end.
func runProgram(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	p := begin(t, args...)
	status = p.status()
	p.leavesNothing()
	return status, p.stdout.String(), p.stderr.String()
}

// eventually waits until something holds; state tells how things are if it never does.
func eventually(t *testing.T, what string, holds func() bool, state func() string) {
	t.Helper()
	for bound := time.Now().Add(testBound); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(bound) {
			t.Fatalf("not within %v: %s:\n%s", testBound, what, state())
		}
	}
}
