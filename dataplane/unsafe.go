package dataplane

import (
	"syscall"
	_ "unsafe" // for go:linkname; no pointer is touched here
)

// The three functions of the runtime that a poll loop needs and that have no public name. Go keeps them reachable by linkname
// (their comments in the runtime say so, go.dev/issue/67401); a toolchain that takes them away fails to link, it does not misbehave.

// nanotime is CLOCK_MONOTONIC read through the vdso. time.Since costs the same but counts from the start of the process, and two
// processes of one host could not compare their stamps.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

// procPin keeps the goroutine on its P: the scheduler cannot preempt it until procUnpin. A pinned goroutine must not park
// (channel, mutex, net poller): the runtime ends the process with "schedule: holding locks". System calls are allowed as long as
// the goroutine is locked to its thread, for then the thread waits for a P by itself and the scheduler is not entered.
//
//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

// pinnedBreath lets the runtime in for a moment, and, unless the core is crowded, whatever else waits for it. Entering a system call is what makes it
// sound: there the runtime hands over the P if a stop-the-world waits, and the garbage collector may scan this stack. The three calls
// and this function have no stack check (nosplit), so that sysmon's request to preempt after 10 ms finds no point between unpin and
// pin to act on; it would cost a hand-over between two threads.
//
//go:nosplit
func pinnedBreath(crowded bool) {
	call := uintptr(syscall.SYS_SCHED_YIELD)
	if crowded {
		call = syscall.SYS_GETPPID // the cheapest that does nothing
	}
	procUnpin()
	_, _, _ = syscall.Syscall(call, 0, 0, 0)
	procPin()
}
