package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where a run took place, and with what build.
type Machine struct {
	Kernel  string `json:"kernel"`
	CPU     string `json:"cpu"` // model; "" where the kernel does not say
	CPUs    int    `json:"cpus"`
	Go      string `json:"go"`
	Version string `json:"version"` // of the module; "(devel)" for a build from a checkout
	Commit  string `json:"commit"`  // "" where the build does not know; with "+changes" where files were changed

	Governor string `json:"governor"` // of the CPUs' frequency; several with commas; "" where the kernel has none to say

	StealPercent float64 `json:"steal_percent"` // of all CPU time during the run, what the host gave to other machines
}

// CPUTimes are the machine's CPU times since it booted, in ticks: all of it, and what the host gave to others (proc(5), /proc/stat).
type CPUTimes struct{ Total, Steal uint64 }

// ReadCPUTimes reads them; zero where the kernel does not tell.
func ReadCPUTimes() (t CPUTimes) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const stealField, fields = 8, 8 // guest times, behind it, are counted in the others already
	for i, word := range strings.Fields(line) {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil || i > fields {
			continue
		}
		if t.Total += n; i == stealField {
			t.Steal = n
		}
	}
	return t
}

// StealSince is the share of CPU time since from that the host gave to others, in percent.
func StealSince(from CPUTimes) float64 {
	now := ReadCPUTimes()
	if now.Total <= from.Total {
		return 0
	}
	return 100 * float64(now.Steal-from.Steal) / float64(now.Total-from.Total)
}

// ReadMachine asks the kernel and the binary. What they do not tell stays empty.
func ReadMachine() Machine {
	m := Machine{CPU: cpuModel(), CPUs: runtime.NumCPU(), Go: runtime.Version(), Governor: governor("/sys/devices/system/cpu")}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	m.Version = build.Main.Version
	changed := ""
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			m.Commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				changed = "+changes"
			}
		}
	}
	if m.Commit != "" {
		m.Commit += changed
	}
	return m
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// governor names the governors of all CPUs below a folder like the kernel's (admin-guide/pm/cpufreq.rst), each once.
func governor(folder string) string {
	files, _ := filepath.Glob(filepath.Join(folder, "cpu[0-9]*/cpufreq/scaling_governor")) // the pattern is sound
	var names []string
	for _, path := range files {
		if text, err := os.ReadFile(path); err == nil {
			names = append(names, strings.TrimSpace(string(text)))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ",")
}
