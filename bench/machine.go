package bench

import (
	"os"
	"runtime"
	"runtime/debug"
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
}

// ReadMachine asks the kernel and the binary. What they do not tell stays empty.
func ReadMachine() Machine {
	m := Machine{CPU: cpuModel(), CPUs: runtime.NumCPU(), Go: runtime.Version()}
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
