package dataplane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// LockMemory keeps the pages of this process in memory, those that it has and those that it will use (mlockall(2)): no page of a ring is
// written out or moved away under pressure. Call it after PopulateMemory. MCL_ONFAULT is what a Go process needs: the runtime reserves
// far more addresses than it uses, and without it every one of them would get a page.
//
// It is refused where locking would later fail: a process with MCL_FUTURE and a limit dies at the mmap that goes beyond it.
func LockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("memory cannot be locked: read its limit: %w", err)
	}
	if limit.Cur != unix.RLIM_INFINITY && !mayLock() {
		return fmt.Errorf("memory cannot be locked: only %d KiB may be: run as root, give CAP_IPC_LOCK, or `ulimit -l unlimited`", limit.Cur>>10)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("memory cannot be locked (mlockall): %w: give CAP_IPC_LOCK, or `ulimit -l unlimited`", err)
	}
	return nil
}

// mayLock tells whether this process has CAP_IPC_LOCK, which lifts the limit.
func mayLock() bool {
	var data [2]unix.CapUserData // version 3 has two words of 32 bits
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0
}

// DMALatencyPath is where a process tells how long its cores may take to wake (Documentation/power/pm_qos_interface.rst).
const DMALatencyPath = "/dev/cpu_dma_latency"

// HoldDMALatency keeps all cores of the machine out of sleep states that take longer than so many microseconds to wake from, as long as the
// process lives or until release. 0 is for loops that sleep and want to wake at once; it costs power on every core.
func HoldDMALatency(micros int32) (release func(), err error) {
	return holdDMALatency(DMALatencyPath, micros)
}

func holdDMALatency(path string, micros int32) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		why := err
		if inner := errors.Unwrap(err); inner != nil {
			why = inner
		}
		return nil, fmt.Errorf("%s cannot be held: %w: run as root, or let this user write to it; not every kernel has it", path, why)
	}
	if _, err := f.Write(binary.NativeEndian.AppendUint32(nil, uint32(micros))); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
