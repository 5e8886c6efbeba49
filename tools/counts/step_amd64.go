package main

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// loopEnd is what b.Loop calls the first time, to begin, and the last time, to end; in between it counts inline.
const loopEnd = "testing.(*B).loopSlowPath"

// stepEnvironment makes a test binary do the same instructions each time: nothing runs beside, and of the processor only what every one of the last ten
// years has is used.
var stepEnvironment = []string{
	"GOMAXPROCS=1", "GOGC=off",
	"GODEBUG=asyncpreemptoff=1,cpu.all=off,cpu.sse3=on,cpu.ssse3=on,cpu.sse41=on,cpu.sse42=on,cpu.popcnt=on,cpu.pclmulqdq=on",
}

const (
	mostSteps  = 3_000_000
	breakpoint = 0xCC // INT3

	// All threads of the tracee, and no process that another thread of ours has started.
	waitFor = unix.WALL | unix.WNOTHREAD
)

// steps runs one benchmark of a test binary for some operations and counts the instructions between the first and the last call of b.Loop. The context
// bounds it.
func steps(ctx context.Context, b *testBinary, bench string, operations int) (n int, err error) {
	at, err := addressOf(b.path, loopEnd)
	if err != nil {
		return 0, err
	}
	output, err := os.CreateTemp("", "wirepaxos-counts-*.txt")
	if err != nil {
		return 0, fmt.Errorf("nowhere to write to: %w", err)
	}
	defer os.Remove(output.Name())
	defer output.Close()

	// All requests about a tracee must come from the thread that traces it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	process, err := os.StartProcess(b.path, []string{
		b.path, "-test.run", "^$", "-test.bench", bench, "-test.benchtime", strconv.Itoa(operations) + "x",
	}, &os.ProcAttr{
		Dir: b.dir, Env: append(os.Environ(), stepEnvironment...), Files: []*os.File{nil, output, output}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES) {
		return 0, fmt.Errorf("%w: %w", errNoTrace, err)
	} else if err != nil {
		return 0, err
	}
	t := &tracee{pid: process.Pid, threads: map[int]bool{process.Pid: true}}
	_ = process.Release() // the tracer waits for its threads one by one
	defer t.end()
	stop := context.AfterFunc(ctx, t.kill)
	defer stop()
	if n, err = t.count(at); err != nil {
		text, _ := os.ReadFile(output.Name())
		return 0, fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(text)))
	}
	return n, nil
}

// addressOf finds a function in a program that is loaded where it was linked.
func addressOf(program, function string) (uint64, error) {
	f, err := elf.Open(program)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if f.Type != elf.ET_EXEC {
		return 0, fmt.Errorf("%s was built to be loaded anywhere: build without -buildmode=pie (see go env GOFLAGS)", program)
	}
	symbols, err := f.Symbols()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", program, err)
	}
	for _, s := range symbols {
		if s.Name == function {
			return s.Value, nil
		}
	}
	return 0, fmt.Errorf("%s has no function %s: this Go counts the operations of a benchmark in another way; mend tools/counts", program, function)
}

// tracee is a process whose threads all stop where the tracer says. (ptrace(2))
type tracee struct {
	pid     int
	threads map[int]bool // that were seen to run
	under   [1]byte      // what the breakpoint lies on
}

// count is the whole life of a tracee: it stops at its exec, runs to b.Loop, from where that returns it is stepped until it calls again what ends it.
func (t *tracee) count(loop uint64) (int, error) {
	if _, err := t.wait(); err != nil {
		return 0, err
	}
	if err := syscall.PtraceSetOptions(t.pid, unix.PTRACE_O_EXITKILL|unix.PTRACE_O_TRACECLONE); err != nil {
		return 0, fmt.Errorf("%w: %w", errNoTrace, err)
	}
	thread, err := t.runTo(t.pid, loop)
	if err != nil {
		return 0, err
	}
	var r syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(thread, &r); err != nil {
		return 0, err
	}
	var caller [8]byte // the return address lies at the top of the stack
	if _, err := syscall.PtracePeekData(thread, uintptr(r.Rsp), caller[:]); err != nil {
		return 0, err
	}
	if thread, err = t.runTo(thread, binary.LittleEndian.Uint64(caller[:])); err != nil {
		return 0, err
	}
	if err := t.stopOthers(thread); err != nil {
		return 0, err
	}
	return t.stepTo(thread, loop)
}

// runTo lets all threads run until one comes to an address, and tells which. The breakpoint is gone then, and that thread has not executed it.
func (t *tracee) runTo(thread int, at uint64) (int, error) {
	if _, err := syscall.PtracePeekText(thread, uintptr(at), t.under[:]); err != nil {
		return 0, err
	}
	if _, err := syscall.PtracePokeText(thread, uintptr(at), []byte{breakpoint}); err != nil {
		return 0, err
	}
	if err := syscall.PtraceCont(thread, 0); err != nil {
		return 0, err
	}
	for {
		s, err := t.wait()
		if err != nil {
			return 0, err
		}
		thread, signal := s.thread, s.StopSignal()
		if signal == syscall.SIGTRAP && s.TrapCause() == 0 {
			var r syscall.PtraceRegs
			if err := syscall.PtraceGetRegs(thread, &r); err != nil {
				return 0, err
			}
			if r.Rip == at+1 {
				r.Rip = at
				_, err := syscall.PtracePokeText(thread, uintptr(at), t.under[:])
				return thread, errors.Join(err, syscall.PtraceSetRegs(thread, &r))
			}
		}
		if signal == syscall.SIGTRAP || signal == syscall.SIGSTOP { // a clone, or the first stop of a thread: nothing that the program sent
			signal = 0
		}
		if err := syscall.PtraceCont(thread, int(signal)); err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, err
		}
	}
}

// stopOthers stops all threads but one, for good.
func (t *tracee) stopOthers(thread int) error {
	running := maps.Clone(t.threads)
	delete(running, thread)
	for other := range running {
		if err := unix.Tgkill(t.pid, other, unix.SIGSTOP); errors.Is(err, unix.ESRCH) {
			delete(running, other) // it has ended
		} else if err != nil {
			return err
		}
	}
	for len(running) > 0 {
		s, err := t.wait()
		if err != nil {
			return err
		}
		delete(running, s.thread)
		maps.DeleteFunc(running, func(other int, _ bool) bool { return !t.threads[other] })
	}
	return nil
}

// stepTo executes one instruction after the other until a thread comes to an address, and counts them.
func (t *tracee) stepTo(thread int, at uint64) (n int, err error) {
	var r syscall.PtraceRegs
	for n = 0; n < mostSteps; n++ {
		if err := syscall.PtraceSingleStep(thread); err != nil {
			return 0, t.ended(err)
		}
		for s := (stop{}); s.thread != thread; {
			if s, err = t.wait(); err != nil {
				return 0, err
			}
		}
		if err := syscall.PtraceGetRegs(thread, &r); err != nil {
			return 0, t.ended(err)
		}
		if r.Rip == at {
			return n, nil
		}
	}
	return 0, fmt.Errorf("more than %d instructions: give fewer operations", mostSteps)
}

// stop is a thread that stopped, and why.
type stop struct {
	syscall.WaitStatus
	thread int
}

// wait waits until a thread of the tracee stops. That the process ended is an error. One thread alone is not waited for: the kernel tells the end of the
// first only when the ends of the others were heard.
func (t *tracee) wait() (s stop, err error) {
	for {
		s.thread, err = syscall.Wait4(-1, &s.WaitStatus, waitFor, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return s, t.ended(err)
		case s.Stopped():
			t.threads[s.thread] = true
			return s, nil
		}
		delete(t.threads, s.thread)
		if s.thread == t.pid {
			return s, t.ended(fmt.Errorf("it ended with status %#x", uint32(s.WaitStatus)))
		}
	}
}

// ended says what it means that a tracee is not there any more.
func (t *tracee) ended(err error) error {
	return fmt.Errorf("the benchmark did not come to its end: it must exist, loop by b.Loop, and wait for no other thread (%w)", err)
}

func (t *tracee) kill() { _ = syscall.Kill(t.pid, syscall.SIGKILL) }

// end kills the process and takes its threads away. The kernel gives the first one last.
func (t *tracee) end() {
	t.kill()
	for {
		var status syscall.WaitStatus
		thread, err := syscall.Wait4(-1, &status, waitFor, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || thread == t.pid && (status.Exited() || status.Signaled()) {
			return
		}
	}
}
