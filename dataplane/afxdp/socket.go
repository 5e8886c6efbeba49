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
	"time"

	"github.com/asavie/xdp"
	"golang.org/x/sys/unix"
)

// This file holds all that is owed to github.com/asavie/xdp, which creates the socket, registers the UMEM, sizes the rings and
// binds. What we do around it, and why:
//
//   - Its bind flags are a package variable: opens are serialised by openLock.
//   - It creates the descriptor without close-on-exec: a child started meanwhile would keep the queue. syscall.ForkLock holds
//     children back.
//   - It maps the four rings and never unmaps them, neither in Close nor when bind fails. A mapping keeps the socket, and the
//     socket its queue, for the life of the process. We map the rings ourselves, need none of its mappings, and unmap them at once.
//   - It reports kernel errors as text only: errnoOf reads them back.
//   - Its methods for the rings are not used at all. FD, GetFrame (the whole UMEM, once) and Close are.

var openLock sync.Mutex

// socket is a bound AF_XDP socket, its UMEM and its four rings.
type socket struct {
	xsk      *xdp.Socket
	fd       int
	umem     []byte
	fill     fillRing
	comp     completionRing
	rx       rxRing
	tx       txRing
	zeroCopy bool // what XDP_OPTIONS says
}

// probeAFXDP finds out whether this process may have AF_XDP sockets at all, and how their rings are laid out.
func probeAFXDP() (unix.XDPMmapOffsets, *Error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return unix.XDPMmapOffsets{}, explainProbe(err)
	}
	defer unix.Close(fd)
	offsets, err := getOption[unix.XDPMmapOffsets](fd, unix.XDP_MMAP_OFFSETS)
	if err != nil || offsets.Fr.Flags == 0 {
		return offsets, fault(ErrNoAFXDP, err, "the kernel's AF_XDP has no need_wakeup: take 5.11 or newer, or another transport")
	}
	return offsets, nil
}

// explainProbe says why there is not even an unbound AF_XDP socket.
func explainProbe(err error) *Error {
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fault(ErrNoAFXDP, err, "take a kernel with CONFIG_XDP_SOCKETS, 5.11 or newer, or another transport")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return noPrivilege(err)
	}
	return fault(ErrSocket, err, "")
}

func noPrivilege(cause error) *Error {
	return fault(ErrNoPrivilege, cause, "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_SYS_ADMIN and CAP_IPC_LOCK")
}

// openSocket opens a socket on the queue and maps its rings. A queue that is busy is tried again until c.BusyRetry has passed.
func openSocket(n *nic, c *Config, flags uint16, offsets *unix.XDPMmapOffsets) (*socket, *Error) {
	const pause = 5 * time.Millisecond
	options := &xdp.SocketOptions{
		NumFrames: c.Cells, FrameSize: CellSize,
		FillRingNumDescs: c.FillRing, CompletionRingNumDescs: c.CompletionRing,
		RxRingNumDescs: c.RxRing, TxRingNumDescs: c.TxRing,
	}
	if c.memory != nil {
		return openOver(n, c, flags|unix.XDP_USE_NEED_WAKEUP, offsets)
	}
	for start := time.Now(); ; time.Sleep(pause) {
		xsk, err := newSocket(n.index, c.Queue, options, flags|unix.XDP_USE_NEED_WAKEUP, offsets)
		if err == nil {
			s := &socket{xsk: xsk, fd: xsk.FD(), umem: xsk.GetFrame(xdp.Desc{Len: uint32(c.Cells * CellSize)})}
			if err = s.setUp(c, offsets); err != nil {
				s.close()
				return nil, fault(ErrSocket, err, "")
			}
			return s, nil
		}
		if errnoOf(err) != unix.EBUSY || time.Since(start)+pause > c.BusyRetry {
			return nil, explain(err, n, c)
		}
	}
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

// setUp maps the rings, and asks for what makes kicks fewer.
func (s *socket) setUp(c *Config, o *unix.XDPMmapOffsets) error {
	var err error
	ring := func(offset int64, layout unix.XDPRingOffset, n, size int) (r ringMemory) {
		if err == nil {
			r, err = mapRing(s.fd, offset, layout, n, size)
		}
		return r
	}
	s.fill = fillRing{ringMemory: ring(unix.XDP_UMEM_PGOFF_FILL_RING, o.Fr, c.FillRing, addressSize), mask: uint32(c.FillRing - 1)}
	s.comp = completionRing{ringMemory: ring(unix.XDP_UMEM_PGOFF_COMPLETION_RING, o.Cr, c.CompletionRing, addressSize),
		mask: uint32(c.CompletionRing - 1)}
	s.rx = rxRing{ringMemory: ring(unix.XDP_PGOFF_RX_RING, o.Rx, c.RxRing, descriptorSize), mask: uint32(c.RxRing - 1)}
	s.tx = txRing{ringMemory: ring(unix.XDP_PGOFF_TX_RING, o.Tx, c.TxRing, descriptorSize), mask: uint32(c.TxRing - 1)}
	if err != nil {
		return err
	}
	got, err := unix.GetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	if err != nil {
		return fmt.Errorf("read XDP_OPTIONS: %w", err)
	}
	s.zeroCopy = got&unix.XDP_OPTIONS_ZEROCOPY != 0
	// Best effort, both: an older kernel sends 32 packets a kick, and Flush asks again; a full send buffer (each packet in
	// flight is charged to it in copy mode) makes a kick stop early, and Flush asks again.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, c.TxRing)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, c.TxRing*2*CellSize)
	return nil
}

// close frees the queue. The kernel does so a moment after the last mapping and descriptor are gone.
func (s *socket) close() error {
	s.fill.unmap()
	s.comp.unmap()
	s.rx.unmap()
	s.tx.unmap()
	s.umem = nil
	if s.xsk == nil {
		return unix.Close(s.fd)
	}
	return s.xsk.Close()
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

// explain makes a failed open an Error that says what to do.
func explain(err error, n *nic, c *Config) *Error {
	errno := errnoOf(err)
	switch errno {
	case unix.EBUSY:
		if n.queues == 1 {
			return fault(ErrQueueTaken, errno, "stop the process that holds it; %s has no other queue", n.name)
		}
		return fault(ErrQueueTaken, errno, "stop the process that holds it, or take another of the queues 0 to %d", n.queues-1)
	case unix.EPERM, unix.EACCES:
		return noPrivilege(errno)
	case unix.ENOBUFS:
		return fault(ErrLockedMemory, errno, "run `ulimit -l %d` or more first, or grant CAP_IPC_LOCK", c.Cells*CellSize/1024)
	case unix.ENETDOWN:
		return fault(ErrInterfaceDown, errno, "run `ip link set dev %s up`", n.name)
	case unix.ENODEV, unix.ENXIO:
		return fault(ErrNoInterface, errno, "it went away while the port opened")
	case unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT:
		if c.Mode == ModeZeroCopy {
			return fault(ErrNoZeroCopy, errno, "take mode %q or %q, or a driver with zero-copy", ModeAuto, ModeCopy)
		}
	}
	return fault(ErrSocket, err, "")
}
