package netlab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// identity names a process for good: the kernel gives its number to another one, but never with the same start time.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, as /proc/PID/stat has it
}

// identify reads who a process is. The identity of one that is gone, or is only waiting to be reaped, is zero.
func identify(pid int) identity {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}
	}
	// The name, in parentheses, may hold anything. Behind it: state, then 18 fields, then the start time.
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) < 20 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return identity{}
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return identity{}
	}
	return identity{PID: pid, Start: start}
}

func self() identity { return identify(os.Getpid()) }

// alive tells whether this very process runs.
func (id identity) alive() bool { return id.PID > 0 && identify(id.PID) == id }

// end asks the process to end, or its whole group, waits up to grace, then kills it. One that is gone is no error.
func (id identity) end(grace time.Duration, group bool) error {
	if id.PID <= 1 || id.PID == os.Getpid() {
		return nil
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: open it: %w", id.PID, err)
	}
	defer func() { _ = unix.Close(fd) }() // it was only waited for
	// Asked behind the open: from here the descriptor means this process, whatever happens to its number.
	if !id.alive() {
		return nil
	}
	for _, step := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{unix.SIGTERM, grace}, {unix.SIGKILL, killGrace}} {
		err := unix.PidfdSendSignal(fd, step.signal, nil, 0)
		if group && err == nil && id.alive() {
			err = unix.Kill(-id.PID, step.signal)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("process %d: send %v: %w", id.PID, step.signal, err)
		}
		if waitExit(fd, step.wait) {
			return nil
		}
	}
	return fmt.Errorf("process %d: still there %v after SIGKILL", id.PID, killGrace)
}

// killGrace bounds the wait for a process to vanish after SIGKILL.
const killGrace = 5 * time.Second

// waitExit waits for the process behind a pidfd to end, reaped or not.
func waitExit(fd int, bound time.Duration) bool {
	deadline := time.Now().Add(bound)
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 {
			return true
		}
		if !errors.Is(err, unix.EINTR) || left == 0 {
			return false
		}
	}
}
