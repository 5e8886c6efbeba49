package afxdp

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/asavie/xdp"
	"golang.org/x/sys/unix"
)

// This file holds all that is owed to github.com/asavie/xdp, which creates the socket, allocates and registers the UMEM, sizes the rings and
// binds: the way to a UMEM of ordinary pages. (A UMEM in hugepages it cannot make: hugepages.go.) What we do around it, and why:
//
//   - Its bind flags are a package variable: opens are serialised by openLock.
//   - It creates the descriptor without close-on-exec: a child started meanwhile would keep the queue. syscall.ForkLock holds
//     children back.
//   - It maps the four rings and never unmaps them, neither in Close nor when bind fails. A mapping keeps the socket, and the
//     socket its queue, for the life of the process. We map the rings ourselves, need none of its mappings, and unmap them at once.
//   - It reports kernel errors as text only: errnoOf reads them back.
//   - Its methods for the rings are not used at all. FD, GetFrame (the whole UMEM, once) and Close are.

var openLock sync.Mutex

// bindOrdinary opens and binds a socket whose UMEM is of ordinary pages.
func bindOrdinary(index int, c *Config, flags uint16, offsets *unix.XDPMmapOffsets) (*bound, error) {
	options := &xdp.SocketOptions{
		NumFrames: c.Cells, FrameSize: c.CellSize,
		FillRingNumDescs: c.FillRing, CompletionRingNumDescs: c.CompletionRing,
		RxRingNumDescs: c.RxRing, TxRingNumDescs: c.TxRing,
	}
	xsk, err := newSocket(index, c.Queue, options, flags, offsets)
	if err != nil {
		if errno := errnoOf(err); errno != 0 {
			return nil, fmt.Errorf("%s: %w", strings.TrimSuffix(err.Error(), ": "+errno.Error()), errno)
		}
		return nil, err
	}
	return &bound{fd: xsk.FD(), umem: xsk.GetFrame(xdp.Desc{Len: uint32(c.Cells * c.CellSize)}), free: xsk.Close}, nil
}

// newSocket is xdp.NewSocket without its leaks.
func newSocket(index, queue int, options *xdp.SocketOptions, flags uint16, offsets *unix.XDPMmapOffsets) (*xdp.Socket, error) {
	openLock.Lock()
	defer openLock.Unlock()
	before, err := socketMappings()
	if err != nil {
		return nil, err
	}
	known := make(map[uint64]bool)
	for _, m := range before {
		known[m.inode] = true
	}
	syscall.ForkLock.RLock()
	xdp.DefaultSocketFlags = flags
	xsk, err := xdp.NewSocket(index, queue, options)
	xdp.DefaultSocketFlags = 0
	if err == nil {
		unix.CloseOnExec(xsk.FD())
	}
	syscall.ForkLock.RUnlock()
	leak := unmapRings(func(inode uint64) bool { return !known[inode] }, options, offsets)
	if err == nil && leak != nil {
		_ = xsk.Close() // the error to tell is why the mappings stay
		return nil, leak
	}
	return xsk, err
}

// mapping is a line of /proc/self/maps that belongs to a socket.
type mapping struct {
	begin  uintptr
	offset uint64
	inode  uint64
}

// socketMappings lists the mappings of sockets in this process: "7f00-7f01 rw-s 180000000 00:08 12345  socket:[12345]".
func socketMappings() ([]mapping, error) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, fmt.Errorf("AF_XDP needs /proc: %w", err)
	}
	defer f.Close()
	var all []mapping
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "socket:[") {
			continue
		}
		begin, _, _ := strings.Cut(fields[0], "-")
		b, err1 := strconv.ParseUint(begin, 16, 64)
		o, err2 := strconv.ParseUint(fields[2], 16, 64)
		i, err3 := strconv.ParseUint(fields[4], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("read /proc/self/maps: %w", err)
		}
		all = append(all, mapping{begin: uintptr(b), offset: o, inode: i})
	}
	return all, lines.Err()
}

// unmapRings ends the ring mappings of the sockets that mine picks by inode.
func unmapRings(mine func(inode uint64) bool, options *xdp.SocketOptions, offsets *unix.XDPMmapOffsets) error {
	lengths := map[uint64]int{
		unix.XDP_UMEM_PGOFF_FILL_RING:       ringBytes(offsets.Fr, options.FillRingNumDescs, addressSize),
		unix.XDP_UMEM_PGOFF_COMPLETION_RING: ringBytes(offsets.Cr, options.CompletionRingNumDescs, addressSize),
		unix.XDP_PGOFF_RX_RING:              ringBytes(offsets.Rx, options.RxRingNumDescs, descriptorSize),
		unix.XDP_PGOFF_TX_RING:              ringBytes(offsets.Tx, options.TxRingNumDescs, descriptorSize),
	}
	all, err := socketMappings()
	if err != nil {
		return err
	}
	for _, m := range all {
		length, ok := lengths[m.offset]
		if !ok || !mine(m.inode) {
			continue
		}
		// A mapping that package syscall does not know was not made by asavie/xdp, and stays.
		if e := unmapForeign(m.begin, length); e != nil && !errors.Is(e, unix.EINVAL) {
			err = errors.Join(err, fmt.Errorf("unmap a ring: %w", e))
		}
	}
	return err
}

// knownErrnos are those that opening can end in and that mean something to us.
var knownErrnos = []unix.Errno{
	unix.EBUSY, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT, unix.EPERM, unix.EACCES, unix.ENOBUFS, unix.ENOMEM, unix.ENETDOWN,
	unix.ENODEV, unix.ENXIO, unix.EAFNOSUPPORT, unix.EMFILE, unix.ENFILE,
}

// errnoOf reads the error number back from the text that asavie/xdp makes of it; 0 if there is none.
func errnoOf(err error) unix.Errno {
	for _, e := range knownErrnos {
		if strings.HasSuffix(err.Error(), ": "+e.Error()) {
			return e
		}
	}
	return 0
}
