package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// Kernels that brought what we use (the kernel's own history): AF_XDP with need_wakeup; bpf_link for XDP and what the lab needs.
var (
	leastAFXDP = version{5, 4}
	leastUsual = version{5, 18}
)

// version is the first two numbers of a kernel's.
type version struct{ major, minor int }

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// parseVersion reads "6.18.44-something".
func parseVersion(release string) (v version, err error) {
	_, err = fmt.Sscanf(release, "%d.%d", &v.major, &v.minor)
	return v, err
}

func (e *exam) kernel() {
	const what = "kernel"
	release, there := e.read("/proc/sys/kernel/osrelease")
	v, err := parseVersion(release)
	switch {
	case !there || err != nil:
		e.yellow(what, fmt.Sprintf("it does not tell its version (%q)", release), "mount /proc: mount -t proc proc /proc")
	case v.less(leastAFXDP) && (e.need.AFXDP || e.need.Bare):
		e.red(what, fmt.Sprintf("%s has no AF_XDP with need_wakeup", release), fmt.Sprintf("boot %v or later", leastUsual))
	case v.less(leastUsual):
		e.yellow(what, fmt.Sprintf("%s is older than any that this was tried on", release), fmt.Sprintf("boot %v or later", leastUsual))
	default:
		e.green(what, release)
	}
}

// clocks looks at what time and the host do to a loop.
func (e *exam) clocks() {
	e.clockSource()
	if len(e.need.spinning()) > 0 || e.need.Bare {
		e.steal()
	}
}

func (e *exam) clockSource() {
	const what, dir = "clock source", "/sys/devices/system/clocksource/clocksource0/"
	current, there := e.read(dir + "current_clocksource")
	available, _ := e.read(dir + "available_clocksource")
	fast := "tsc" // read from user space in some 20 ns
	switch {
	case !there:
		e.green(what, "the kernel does not tell")
	case current == fast, current == "arch_sys_counter":
		e.green(what, current)
	case strings.Contains(" "+available+" ", " "+fast+" "):
		e.yellow(what, current+" takes longer to read than the tsc, and each cycle of a loop reads it",
			"echo tsc > "+dir+"current_clocksource")
	case current == "kvm-clock" || current == "hyperv_clocksource_tsc_page":
		e.green(what, current+": the host's tsc, scaled")
	default:
		e.yellow(what, current+" is read by a system call or by the bus, and each cycle of a loop reads it",
			"boot with tsc=reliable if the processor's tsc runs evenly")
	}
}

// stealLimit is the share of CPU time, in percent, that the host may take without its being told.
const stealLimit = 0.1

// steal tells of a host that gives the CPUs of this virtual machine to others. Only CPU time that this machine wanted counts: idle time is not in it.
func (e *exam) steal() {
	const what = "steal"
	text, there := e.read("/proc/stat")
	line, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(line)
	const stealField, idle, waiting = 8, 4, 5 // proc(5), counted from the word "cpu"
	if !there || len(words) <= stealField {
		e.green(what, "the kernel does not tell")
		return
	}
	var wanted, stolen float64
	for i, word := range words[1 : stealField+1] {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil || i+1 == idle || i+1 == waiting {
			continue
		}
		if wanted += n; i+1 == stealField {
			stolen = n
		}
	}
	percent := 0.0
	if wanted > 0 {
		percent = 100 * stolen / wanted
	}
	if percent < stealLimit {
		e.green(what, fmt.Sprintf("%.2f %% of the CPU time since boot went to other machines of the host", percent))
		return
	}
	e.yellow(what, fmt.Sprintf("%.2f %% of the CPU time since boot went to other machines of the host: loops stand still meanwhile", percent),
		"ask for CPUs of your own (pinned, not overcommitted), or take a machine without a hypervisor")
}
