package doctor

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
)

// queueBytes is what one queue locks: its UMEM.
func (n *Need) queueBytes() int { return afxdp.DefaultCells * n.cell() }

// umem is what all queues lock together: the kernel counts for the user, not for the process.
func (n *Need) umem() uint64 { return uint64(n.queueBytes() * max(len(n.NICs), 1)) }

func (n *Need) cell() int {
	if n.Cell == 0 {
		return afxdp.SmallCell
	}
	return n.Cell
}

// memory looks at what can be locked, and in which pages it lies.
func (e *exam) memory() {
	if e.need.AFXDP || e.need.Bare || e.need.LockMemory {
		e.lockedMemory()
	}
	e.transparentPages()
	if e.need.AFXDP || e.need.Bare {
		e.hugePages()
	}
}

func (e *exam) lockedMemory() {
	const what = "locked memory"
	mend := "ulimit -l unlimited (systemd: LimitMEMLOCK=infinity), or CAP_IPC_LOCK"
	limit, there := e.limit("Max locked memory")
	have, _ := e.capabilities()
	switch {
	case have&(1<<unix.CAP_IPC_LOCK) != 0:
		e.green(what, "no limit: CAP_IPC_LOCK")
	case !there:
		e.yellow(what, "/proc/self/limits does not tell the limit", "mount /proc: mount -t proc proc /proc")
	case limit < e.need.umem() && (e.need.AFXDP || e.need.Bare):
		e.red(what, fmt.Sprintf("%d KiB may be locked, and the UMEM takes %d", limit>>10, e.need.umem()>>10), mend)
	case e.need.LockMemory && limit != math.MaxUint64:
		e.red(what, fmt.Sprintf("%d KiB may be locked, which is less than a process has", limit>>10), mend)
	default:
		e.green(what, "up to "+size(limit))
	}
}

func size(bytes uint64) string {
	if bytes == math.MaxUint64 {
		return "any amount"
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

// limit is a soft limit of this process (proc(5), /proc/pid/limits), math.MaxUint64 for none.
func (e *exam) limit(name string) (n uint64, there bool) {
	limits, _ := e.read("/proc/self/limits")
	for line := range strings.Lines(limits) {
		rest, ok := strings.CutPrefix(line, name)
		if words := strings.Fields(rest); ok && len(words) > 0 {
			if words[0] == "unlimited" {
				return math.MaxUint64, true
			}
			n, err := strconv.ParseUint(words[0], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// transparentPages are what rings of values lie in: dataplane.PopulateMemory asks for them.
func (e *exam) transparentPages() {
	const what, path = "transparent hugepages", "/sys/kernel/mm/transparent_hugepage/enabled"
	text, there := e.read(path)
	switch {
	case !there:
		e.yellow(what, "this kernel has none: every value costs look-ups of small pages", "boot a kernel with CONFIG_TRANSPARENT_HUGEPAGE")
	case strings.Contains(text, "[never]"):
		e.yellow(what, "off: every value costs look-ups of small pages", "echo madvise > "+path)
	default:
		_, chosen, _ := strings.Cut(text, "[")
		chosen, _, _ = strings.Cut(chosen, "]")
		e.green(what, chosen+": processes ask for them")
	}
}

// hugePages tells of reserved ones. They are needed where the cluster file asks for them, for the UMEM of each queue.
func (e *exam) hugePages() {
	const what, dir2M = "hugepages", "/sys/kernel/mm/hugepages/hugepages-2048kB"
	var sizes []string
	for _, dir := range e.list("/sys/kernel/mm/hugepages/hugepages-*kB") {
		total, _ := e.number(dir + "/nr_hugepages")
		free, _ := e.number(dir + "/free_hugepages")
		kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(dir), "hugepages-"), "kB"))
		if err == nil && total > 0 {
			sizes = append(sizes, fmt.Sprintf("%d of %d MiB, %d free", total, kib>>10, free))
		}
	}
	text := orWord(strings.Join(sizes, "; "), "none")
	perQueue := (e.need.queueBytes() + afxdp.HugepageSize - 1) / afxdp.HugepageSize
	wanted := int64(max(len(e.need.NICs), 1) * perQueue)
	total, there := e.number(dir2M + "/nr_hugepages")
	free, _ := e.number(dir2M + "/free_hugepages")
	switch {
	case !e.need.HugePages:
		e.green(what, "reserved: "+text+"; not needed")
	case !there:
		e.red(what, "this kernel has none of 2 MiB", "boot a kernel with CONFIG_HUGETLBFS, or hugepages = \"auto\" in the cluster file")
	case free < wanted:
		e.red(what, fmt.Sprintf("reserved: %s; the UMEM takes %d of 2 MiB", text, wanted), fmt.Sprintf("echo %d > %s/nr_hugepages", total+wanted-free, dir2M))
	default:
		e.green(what, fmt.Sprintf("reserved: %s; the UMEM takes %d", text, wanted))
	}
}
