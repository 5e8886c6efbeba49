package doctor

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wirepaxos/dataplane"
)

// wakeLimitUs is the time to wake from a sleep state, in µs, from which on a loop that sleeps, or a packet's interrupt, feels it.
const wakeLimitUs = 10

// deepest is the deepest C-state that a core may fall into (Documentation/admin-guide/pm/cpuidle.rst): µs to wake from it, its name and its folder; -1
// where the kernel knows of none.
func (e *exam) deepest(core int) (micros int64, name, at string) {
	micros = -1
	for _, dir := range e.list(fmt.Sprintf("%scpu%d/cpuidle/state[0-9]*", cpuDir, core)) {
		latency, there := e.number(dir + "/latency")
		if disabled, _ := e.number(dir + "/disable"); there && disabled == 0 && latency > micros {
			micros, at = latency, dir
			name, _ = e.read(dir + "/name")
		}
	}
	return micros, name, at
}

// sleepStates are those that matter when the core's loop sleeps.
func (e *exam) sleepStates(what string, l Loop) {
	what += " C-states"
	deepest, name, at := e.deepest(l.Core)
	held, isHeld := e.heldLatency()
	switch {
	case deepest < 0:
		e.green(what, "none that the kernel knows of: the host decides, if there is one")
	case deepest <= wakeLimitUs:
		e.green(what, fmt.Sprintf("down to %s, which takes %d µs to wake from", name, deepest))
	case isHeld && held <= wakeLimitUs:
		e.green(what, fmt.Sprintf("down to %s, but a process holds /dev/cpu_dma_latency at %d µs", name, held))
	case e.need.DMALatency:
		e.green(what, fmt.Sprintf("down to %s, but /dev/cpu_dma_latency is to be held", name))
	case l.Spins:
		e.green(what, fmt.Sprintf("down to %s (%d µs to wake from), but a loop that spins does not sleep", name, deepest))
	default:
		e.yellow(what, fmt.Sprintf("down to %s, which takes %d µs to wake from", name, deepest), fmt.Sprintf("run with --dma-latency, or: echo 1 > %s/disable", at))
	}
}

// heldLatency is how long cores may take to wake, in µs, by all processes that say so (Documentation/power/pm_qos_interface.rst).
func (e *exam) heldLatency() (micros int32, there bool) {
	f, err := os.Open(filepath.Join(e.from.Root, dataplane.DMALatencyPath))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	var word [4]byte
	if _, err := io.ReadFull(f, word[:]); err != nil {
		return 0, false
	}
	return int32(binary.NativeEndian.Uint32(word[:])), true
}

// governor is the core's frequency (Documentation/admin-guide/pm/cpufreq.rst).
func (e *exam) governor(what string, l Loop) {
	what += " frequency"
	path := fmt.Sprintf("%scpu%d/cpufreq/scaling_governor", cpuDir, l.Core)
	governor, there := e.read(path)
	switch {
	case !there:
		e.green(what, "not the kernel's to choose")
	case governor == "performance":
		e.green(what, "governor performance")
	default:
		e.yellow(what, fmt.Sprintf("governor %s: the core slows down between bursts", governor), "echo performance > "+path)
	}
}

// interrupts are those of devices that the kernel may deliver to the core (Documentation/core-api/irq/irq-affinity.rst).
func (e *exam) interrupts(what string, l Loop) {
	what += " interrupts"
	var here []string
	for _, dir := range e.list("/proc/irq/[0-9]*") {
		path := dir + "/effective_affinity_list" // where they really go, on kernels that tell
		if text, there := e.read(path); !there || text == "" {
			path = dir + "/smp_affinity_list"
		}
		if slices.Contains(e.coreFile(path), l.Core) {
			here = append(here, filepath.Base(dir))
		}
	}
	if len(here) == 0 {
		e.green(what, "those of no device")
		return
	}
	first, more := here, ""
	if len(here) > 4 {
		first, more = here[:4], ", …"
	}
	move, away := "", "CORE"
	isLoops := func(core int) bool { return slices.Contains(e.need.cores(), core) }
	if left := slices.DeleteFunc(e.coreFile(cpuDir+"online"), isLoops); len(left) > 0 {
		away = dataplane.FormatCores(left)
	} else {
		move = "leave a core to everything else, and send them there: "
	}
	if e.runs("irqbalance") {
		move = "systemctl stop irqbalance, which would move them again; " + move
	}
	e.yellow(what, fmt.Sprintf("%d of devices may land there: %s%s", len(here), strings.Join(first, ", "), more),
		fmt.Sprintf("%sfor i in %s; do echo %s > /proc/irq/$i/smp_affinity_list; done", move, strings.Join(here, " "), away))
}

// runs tells whether a process of that name does.
func (e *exam) runs(name string) bool {
	return slices.ContainsFunc(e.list("/proc/[0-9]*/comm"), func(path string) bool {
		comm, _ := e.read(path)
		return comm == name
	})
}

// requests looks at what processes are told to hold of the machine.
func (e *exam) requests() {
	if e.need.DMALatency {
		const what = "cpu_dma_latency"
		if err := e.from.Hold(filepath.Join(e.from.Root, dataplane.DMALatencyPath)); err != nil {
			e.red(what, "tried, and refused: "+err.Error(), "run as root, or: chgrp wirepaxos "+dataplane.DMALatencyPath+" && chmod g+w "+dataplane.DMALatencyPath)
		} else {
			e.green(what, "can be held")
		}
	}
	if !e.need.FIFO {
		return
	}
	const what, dir = "real-time share", "/proc/sys/kernel/"
	share, there := e.number(dir + "sched_rt_runtime_us")
	period, knowsPeriod := e.number(dir + "sched_rt_period_us")
	if there && (share < 0 || knowsPeriod && share >= period) {
		e.red(what, "loops under SCHED_FIFO would keep their cores for ever if they hung", "sysctl -w kernel.sched_rt_runtime_us=950000")
		return
	}
	e.green(what, "the kernel leaves a part of each core to threads that are not real-time")
}
