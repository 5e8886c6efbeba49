package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestGovernors(t *testing.T) {
	folder := t.TempDir()
	if got := governor(folder); got != "" {
		t.Errorf("without a governor: %q", got)
	}
	for cpu, name := range []string{"powersave\n", "performance\n", "powersave\n"} {
		path := filepath.Join(folder, fmt.Sprintf("cpu%d", cpu), "cpufreq")
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "scaling_governor"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := governor(folder); got != "performance,powersave" {
		t.Errorf("governors %q", got)
	}
}

func TestStealIsAShare(t *testing.T) {
	now := ReadCPUTimes()
	if now.Total == 0 || now.Steal > now.Total {
		t.Fatalf("read %+v", now)
	}
	if got := StealSince(CPUTimes{}); got < 0 || got > 100 {
		t.Errorf("%v %% of all time since boot was stolen", got)
	}
	if got := StealSince(CPUTimes{Total: now.Total * 2}); got != 0 {
		t.Errorf("%v %% of no time was stolen", got)
	}
}
