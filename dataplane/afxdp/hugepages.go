package afxdp

import (
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/netdev"
)

// A UMEM in hugepages. github.com/asavie/xdp allocates the UMEM itself, so here the socket is opened without it.

// What Config.Hugepages may ask for. What was got says Info.
const (
	HugepagesAuto = "auto" // where enough are reserved, else ordinary pages
	HugepagesOn   = "on"   // hugepages or an error
	HugepagesOff  = "off"  // ordinary pages
)

// ErrNoHugepages says that hugepages were asked for and are not reserved.
var ErrNoHugepages = errors.New("hugepages are missing")

// errNoUMEM says that memory could not be registered as a UMEM for a reason that is the memory's.
var errNoUMEM = errors.New("memory cannot be registered as a UMEM")

// HugepageSize is the size of the hugepages that a UMEM is put into, in bytes.
const HugepageSize = 2 << 20

// mapHugepages takes as many reserved hugepages as size bytes need. The kernel reserves them for the mapping before it answers, so that none is missing
// at first use (Documentation/admin-guide/mm/hugetlbpage.rst).
func mapHugepages(size int) ([]byte, error) {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE | unix.MAP_HUGETLB
	// The size is told by its logarithm: the machine's usual size of hugepages may be another.
	logarithm := bits.TrailingZeros(HugepageSize) << unix.MAP_HUGE_SHIFT
	return unix.Mmap(-1, 0, hugepagesOf(size)*HugepageSize, unix.PROT_READ|unix.PROT_WRITE, flags|logarithm)
}

// hugepagesOf is how many hugepages size bytes need.
func hugepagesOf(size int) int { return (size + HugepageSize - 1) / HugepageSize }

// bindHugepages opens and binds a socket whose UMEM is memory. Without an error the memory is given back with the socket.
func bindHugepages(index int, memory []byte, c *Config, flags uint16) (*bound, error) {
	over := *c
	over.memory = memory[:c.Cells*c.CellSize]
	b, err := bindOver(index, &over, flags)
	if err != nil {
		return nil, err
	}
	unbind := b.free
	b.huge, b.free = true, func() error { return errors.Join(unbind(), unix.Munmap(memory)) }
	return b, nil
}

// bindOwn registers the UMEM, sizes the rings and binds (Documentation/networking/af_xdp.rst).
func bindOwn(fd, index int, memory []byte, c *Config, flags uint16) error {
	if err := registerUMEM(fd, memory, c.CellSize); err != nil {
		if errors.Is(err, unix.EFAULT) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOMEM) {
			return fmt.Errorf("%w: %w", errNoUMEM, err)
		}
		return fmt.Errorf("register the UMEM: %w", err)
	}
	for _, ring := range []struct {
		name      string
		option, n int
	}{
		{"fill", unix.XDP_UMEM_FILL_RING, c.FillRing},
		{"completion", unix.XDP_UMEM_COMPLETION_RING, c.CompletionRing},
		{"RX", unix.XDP_RX_RING, c.RxRing},
		{"TX", unix.XDP_TX_RING, c.TxRing},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_XDP, ring.option, ring.n); err != nil {
			return fmt.Errorf("size the %s ring: %w", ring.name, err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(index), QueueID: uint32(c.Queue)}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// Reserved are the hugepages of HugepageSize that the machine has.
type Reserved struct{ Total, Free int }

// hugepagesDir is where the kernel tells of them.
var hugepagesDir = fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB", HugepageSize>>10)

// readReserved reads how many there are, and how many nobody has taken or been promised.
func readReserved(dir string) (Reserved, error) {
	read := func(name string) (n int, err error) {
		text, err := netdev.ReadText(filepath.Join(dir, name))
		if err != nil {
			return 0, err
		}
		wide, err := strconv.ParseUint(text, 10, 64)
		return int(int64(wide)), err // the kernel's difference of two counts may be below 0 for a moment, and is written without a sign
	}
	total, err1 := read("nr_hugepages")
	free, err2 := read("free_hugepages")
	promised, err3 := read("resv_hugepages")
	return Reserved{Total: max(0, total), Free: max(0, free-promised)}, errors.Join(err1, err2, err3)
}

// explainHugepages says how many hugepages are missing, and the command that reserves them.
func explainHugepages(cause error, c *Config) *Error {
	need := hugepagesOf(c.Cells * c.CellSize)
	r, err := readReserved(hugepagesDir)
	switch {
	case err != nil:
		return fault(ErrNoHugepages, cause, "this kernel has none of %d MiB: take one with CONFIG_HUGETLBFS, or hugepages %q", HugepageSize>>20, HugepagesAuto)
	case r.Free >= need:
		return fault(ErrNoHugepages, cause, "%d of %d MiB are free, but this process may not have %d: look at the limit on them of its cgroup "+
			"(hugetlb.2MB.max), or take hugepages %q", r.Free, HugepageSize>>20, need, HugepagesAuto)
	}
	return fault(ErrNoHugepages, cause, "run `echo %d > %s/nr_hugepages`: the UMEM needs %d of %d MiB, and of the %d reserved %d are free; "+
		"or take hugepages %q", r.Total+need-r.Free, hugepagesDir, need, HugepageSize>>20, r.Total, r.Free, HugepagesAuto)
}
