package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/paxos/node"
)

// A role whose loop spins under SCHED_FIFO answers, ends when it is told to, and says what it holds. One role, on the last core, while no other test of that
// kind runs on this machine; the kernel ends it once the loop has been real-time for 1.5 s (RLIMIT_RTTIME), whatever becomes of this test.
func TestRoleUnderFIFO(t *testing.T) {
	limit, err := exec.LookPath("prlimit")
	if err != nil {
		t.Skipf("needs prlimit, so that the kernel ends what goes wrong: %v", err)
	}
	cores, err := dataplane.Cores()
	if err != nil || len(cores.Allowed) < 2 || runtime.NumCPU() < 2 {
		t.Skipf("needs two cores, has %v (%v)", cores.Allowed, err)
	}
	alone, err := net.Listen("unix", "@wirepaxos-real-time-test") // abstract: it goes with this process
	if err != nil {
		t.Skipf("another such test runs on this machine: %v", err)
	}
	defer alone.Close()
	core := cores.Allowed[len(cores.Allowed)-1]
	dir, config := shortDir(t), loopbackFile(t)
	socket := filepath.Join(dir, "c")
	args := []string{"acceptor", "--config", config, "--id", "1", "--state-dir", dir, "--control", socket, "--idle", "spin", "--core", fmt.Sprint(core), "--fifo"}
	p := newProgram(t, args...)
	p.cmd.Args = append([]string{limit, "--rttime=1500000:1500000", p.cmd.Path}, args...)
	p.cmd.Path = limit
	p.start()
	var s node.Status
	eventually(t, "the acceptor answers, or ends", func() bool {
		select {
		case <-p.done:
			return true
		default:
			return node.Ask(socket, "status", &s) == nil
		}
	}, p.stderr.String)
	p.cmd.Process.Signal(syscall.SIGTERM)
	status := p.status()
	if ended := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ended.Signaled() && ended.Signal() == syscall.SIGKILL {
		t.Skip("the machine was so slow that the kernel ended the role first")
	}
	if text := p.stderr.String(); strings.Contains(text, "SCHED_FIFO") && status == 2 {
		t.Skipf("SCHED_FIFO cannot be tried: %s", text)
	}
	if status != 0 || !s.Loop.FIFO || s.Loop.FIFOGivenBack != 0 || s.Loop.Cycles == 0 {
		t.Errorf("status %d, loop %+v\n%s", status, s.Loop, p.stderr.String())
	}
	if left, err := unix.SchedGetAttr(os.Getpid(), 0); err != nil || left.Policy != unix.SCHED_NORMAL {
		t.Errorf("this process: %+v, %v", left, err)
	}
}
