package dataplane

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHoldDMALatency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu_dma_latency")
	if _, err := holdDMALatency(path, 0); err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a device that is not there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release, err := holdDMALatency(path, 7)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if got, _ := os.ReadFile(path); len(got) != 4 || binary.NativeEndian.Uint32(got) != 7 {
		t.Errorf("written: %v", got)
	}
}

// lockChild in the environment makes this test binary lock its memory and tell how much that is.
const lockChild = "WIREPAXOS_LOCK_CHILD"

// A process of its own: what is locked stays so for its life.
func TestLockMemory(t *testing.T) {
	if want := os.Getenv(lockChild); want != "" {
		lockAndTell(t, want)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []string{"none", "low"} {
		cmd := exec.Command(self, "-test.run", "^TestLockMemory$", "-test.v")
		cmd.Env = append(os.Environ(), lockChild+"="+limit)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("limit %s: %v\n%s", limit, err, out)
		}
		if limit == "none" && strings.Contains(string(out), "SKIP") {
			t.Skip("needs CAP_IPC_LOCK")
		}
	}
}

func lockAndTell(t *testing.T, limit string) {
	if limit == "low" {
		runtime.LockOSThread() // capabilities are those of a thread
		poor := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &poor); err != nil {
			t.Fatal(err)
		}
		if err := dropIPCLock(); err != nil {
			t.Fatal(err)
		}
		if err := LockMemory(); err == nil || !strings.Contains(err.Error(), "1024 KiB") {
			t.Errorf("beyond the limit: %v", err)
		}
		return
	}
	if !mayLock() {
		t.Skip("needs CAP_IPC_LOCK")
	}
	if err := LockMemory(); err != nil {
		t.Fatal(err)
	}
	before := lockedKiB(t)
	if before == 0 {
		t.Error("nothing is locked")
	}
	later, err := unix.Mmap(-1, 0, 8<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON) // what comes afterwards is locked too
	if err != nil {
		t.Fatal(err)
	}
	if after := lockedKiB(t); after < before+len(later)>>10 {
		t.Errorf("%d KiB were locked before %d more bytes were mapped, and %d after", before, len(later), after)
	}
}

// dropIPCLock gives CAP_IPC_LOCK up, on this thread alone.
func dropIPCLock() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(&header, &data[0])
}

func lockedKiB(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmLck:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib
		}
	}
	return 0
}
