package afxdp

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// bound is a socket that is bound to its queue, and its UMEM. There are two ways to it: asavie.go and hugepages.go.
type bound struct {
	fd   int
	umem []byte
	huge bool         // the UMEM lies in hugepages
	free func() error // closes the socket and gives the UMEM back
}

// socket is a bound AF_XDP socket with its four rings.
type socket struct {
	bound
	fill     fillRing
	comp     completionRing
	rx       rxRing
	tx       txRing
	zeroCopy bool // what XDP_OPTIONS says
	wanted   int  // NUMA node that the memory was to lie on, and that which it lies on
	node     int
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

// openSocket opens a socket on the queue, with a UMEM as the configuration has it, and maps its rings.
func openSocket(n *nic, c *Config, flags uint16, m *makings, offsets *unix.XDPMmapOffsets) (s *socket, refused *Error) {
	node := wantedNode("/", c.Cores, m.node)
	onNode(node, func() { s, refused = openPlaced(n, c, flags|unix.XDP_USE_NEED_WAKEUP, m, offsets) })
	if refused == nil {
		s.wanted, s.node = node, nodeOfMemory(s.umem)
	}
	return s, refused
}

// openPlaced is openSocket on a thread whose memory comes from where it shall.
func openPlaced(n *nic, c *Config, flags uint16, m *makings, offsets *unix.XDPMmapOffsets) (*socket, *Error) {
	if c.memory != nil {
		return openBound(n, c, m, offsets, func() (*bound, error) { return bindOver(n.index, c, flags) })
	}
	ordinary := func() (*bound, error) { return bindOrdinary(n.index, c, flags, offsets) }
	if c.Hugepages == HugepagesOff || c.Hugepages == HugepagesAuto && c.Cells*c.CellSize < HugepageSize {
		return openBound(n, c, m, offsets, ordinary)
	}
	memory, err := mapHugepages(c.Cells * c.CellSize)
	if err != nil {
		if c.Hugepages == HugepagesOn {
			return nil, explainHugepages(err, c)
		}
		return openBound(n, c, m, offsets, ordinary)
	}
	s, refused := openBound(n, c, m, offsets, func() (*bound, error) { return bindHugepages(n.index, memory, c, flags) })
	if refused == nil {
		return s, nil
	}
	_ = unix.Munmap(memory) // refuses what a socket that failed after its bind has unmapped already
	if refused.Kind == errNoUMEM {
		if c.Hugepages == HugepagesOn {
			return nil, explainHugepages(refused.Cause, c)
		}
		return openBound(n, c, m, offsets, ordinary)
	}
	return nil, refused
}

// openBound binds and maps the rings. A queue that is busy is tried again until c.BusyRetry has passed.
func openBound(n *nic, c *Config, m *makings, offsets *unix.XDPMmapOffsets, bind func() (*bound, error)) (*socket, *Error) {
	const pause = 5 * time.Millisecond
	for start := time.Now(); ; time.Sleep(pause) {
		b, err := bind()
		if err == nil {
			s := &socket{bound: *b}
			if err = s.setUp(c, offsets); err != nil {
				_ = s.close() // the first error is the one to tell
				return nil, fault(ErrSocket, err, "")
			}
			return s, nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Since(start)+pause > c.BusyRetry {
			return nil, explain(err, n, c, m)
		}
	}
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
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, c.TxRing*2*c.CellSize)
	return nil
}

// close frees the queue. The kernel does so a moment after the last mapping and descriptor are gone.
func (s *socket) close() error {
	s.fill.unmap()
	s.comp.unmap()
	s.rx.unmap()
	s.tx.unmap()
	s.umem = nil
	return s.free()
}

// explain makes a failed open an Error that says what to do.
func explain(err error, n *nic, c *Config, m *makings) *Error {
	if errors.Is(err, errNoUMEM) {
		return fault(errNoUMEM, err, "")
	}
	var errno unix.Errno
	_ = errors.As(err, &errno) // 0 if it did not come from the kernel
	switch errno {
	case unix.EBUSY:
		if n.queues == 1 {
			return fault(ErrQueueTaken, errno, "stop the process that holds it; %s has no other queue", n.name)
		}
		return fault(ErrQueueTaken, errno, "stop the process that holds it, or take another of the queues 0 to %d", n.queues-1)
	case unix.EPERM, unix.EACCES:
		return noPrivilege(errno)
	case unix.ENOBUFS:
		return fault(ErrLockedMemory, errno, "run `ulimit -l %d` or more first, or grant CAP_IPC_LOCK", c.Cells*c.CellSize/1024)
	case unix.ENETDOWN:
		return fault(ErrInterfaceDown, errno, "run `ip link set dev %s up`", n.name)
	case unix.ENODEV, unix.ENXIO:
		return fault(ErrNoInterface, errno, "it went away while the port opened")
	}
	if c.Mode == ModeZeroCopy && errno != 0 {
		return m.after(errno)
	}
	return fault(ErrSocket, err, "")
}
