package dataplane

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hugePage is the size that the kernel's transparent huge pages have on amd64, and on arm64 with pages of 4 KiB.
const hugePage = 2 << 20

// PreferHugePages asks the kernel to back the memory that this process has by now with huge pages (madvise(2), MADV_HUGEPAGE): call it once all is
// allocated and before it is used, for what was touched already stays as it is. Values lie in rings of 64 MiB each; every frame and every
// instance is on another page, and in a virtual machine a page that the processor has to look up costs several loads from memory.
// Measured with proposer, client, three acceptors and a learner on one thread over mem: 10 to 30 % less time for a value.
//
// It is advice: where transparent huge pages are off nothing changes and nothing is wrong.
func PreferHugePages() error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("cannot read which memory this process has: %w", err)
	}
	defer f.Close()
	for _, r := range anonymousMemory(f) {
		// Sound for whoever owns the memory, the Go runtime included: its content and its protection stay.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_HUGEPAGE); errno == unix.EINVAL {
			return nil // a kernel without huge pages
		} else if errno != 0 && !errors.Is(errno, unix.ENOMEM) { // ENOMEM: it is gone by now
			return fmt.Errorf("cannot ask for huge pages at %#x: %w", r.from, errno)
		}
	}
	return nil
}

// span is memory from one address up to another.
type span struct{ from, to uintptr }

// anonymousMemory reads proc_pid_maps(5) and lists the whole huge pages within private memory that belongs to no file and may be written to.
func anonymousMemory(maps io.Reader) (list []span) {
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var r span
		var mode, offset, device string
		var inode uint64
		if n, _ := fmt.Fscanf(bytes.NewReader(lines.Bytes()), "%x-%x %s %s %s %d", &r.from, &r.to, &mode, &offset, &device, &inode); n != 6 {
			continue
		}
		r.from, r.to = (r.from+hugePage-1)&^(hugePage-1), r.to&^(hugePage-1)
		if mode == "rw-p" && inode == 0 && r.from < r.to {
			list = append(list, r)
		}
	}
	return list
}
