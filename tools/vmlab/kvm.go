package main

import (
	"os"
	"path/filepath"
)

// hasKVM tells whether this process may have it at all. Whether it works shows at the start: nested it may not.
func hasKVM() bool {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// kvmMark is the file that says that KVM did not work since this machine was booted: finding it out takes seconds.
func kvmMark(cache string) string { return filepath.Join(cache, "vmlab-no-kvm") }

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(id)
}

func isMarked(file string) bool {
	text, err := os.ReadFile(file)
	return err == nil && len(text) > 0 && string(text) == bootID()
}

func mark(file string) {
	_ = os.WriteFile(file, []byte(bootID()), 0o644) // without it the next run finds out again
}
