package udp

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// All unsafe of the package is here. The vectors are Go memory: the collector does not move it, the pointers in it are typed, so it
// keeps alive what they name, and they name only memory that lives as long as the port. The kernel reads and writes it during
// the calls below and at no other time, since every call is synchronous.

// mmsghdr is struct mmsghdr of recvmmsg(2). The compiler pads it as C does: Hdr is aligned to a pointer.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

const (
	nameBytes    = unix.SizeofSockaddrInet4
	controlBytes = 32 // one SO_RXQ_OVFL message takes CmsgSpace(4) = 24
)

// rxVectors are the headers that recvmmsg fills. Entries below armed have a cell.
type rxVectors struct {
	hdrs      [rxVector]mmsghdr
	iovs      [rxVector]unix.Iovec
	names     [rxVector]unix.RawSockaddrInet4
	controls  [rxVector][controlBytes]byte
	cells     [rxVector]uint32
	armed     int
	dropsSeen uint32 // the socket's drop counter when it was last told
}

func (v *rxVectors) init() {
	for i := range v.hdrs {
		h := &v.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
		h.Iov = &v.iovs[i]
		h.SetIovlen(1)
		h.Control = &v.controls[i][0]
		v.cells[i] = noCell
	}
}

// place gives entry i a cell.
func (v *rxVectors) place(i int, cell uint32, memory []byte, mtu int) {
	v.cells[i] = cell
	v.iovs[i].Base = &memory[0]
	v.iovs[i].SetLen(mtu)
}

// reset restores the lengths that the kernel overwrote in entry i.
func (v *rxVectors) reset(i int) {
	h := &v.hdrs[i].hdr
	h.Namelen = nameBytes
	h.SetControllen(controlBytes)
	h.Flags = 0
}

// receive fills up to want entries and returns how many.
func (v *rxVectors) receive(fd, want int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.hdrs[0])), uintptr(want),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return min(int(n), want), 0
}

// datagram is the length of what came into entry i, and whether the cell was too short for it.
func (v *rxVectors) datagram(i int) (length int, truncated bool) {
	return int(v.hdrs[i].len), v.hdrs[i].hdr.Flags&unix.MSG_TRUNC != 0
}

// drops is the socket's drop counter as told with entry i. The kernel leaves it out while it is 0 (SO_RXQ_OVFL in socket(7)).
func (v *rxVectors) drops(i int) (count uint32, told bool) {
	if v.hdrs[i].hdr.Controllen < unix.SizeofCmsghdr+4 {
		return 0, false
	}
	control := &v.controls[i]
	// controls are arrays of 32 bytes in a struct of 8-byte alignment behind members whose sizes are multiples of 8.
	h := (*unix.Cmsghdr)(unsafe.Pointer(control))
	if h.Level != unix.SOL_SOCKET || h.Type != unix.SO_RXQ_OVFL {
		return 0, false
	}
	return binary.NativeEndian.Uint32(control[unix.SizeofCmsghdr:]), true
}

// txVectors are the headers that sendmmsg reads: a queue in one piece, so that one call sends all of it.
type txVectors struct {
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	cells []uint32
	head  int // first that is queued
	tail  int // behind the last that is queued
}

func (v *txVectors) init(size int) {
	v.hdrs, v.iovs, v.cells = make([]mmsghdr, size), make([]unix.Iovec, size), make([]uint32, size)
	for i := range v.hdrs {
		h := &v.hdrs[i].hdr
		h.Namelen = nameBytes
		h.Iov = &v.iovs[i]
		h.SetIovlen(1)
	}
}

func (v *txVectors) empty() bool { return v.head == v.tail }

// room tells whether one more can be pushed. It moves what is left of an earlier flush to the front when the tail is at the end.
func (v *txVectors) room() bool {
	if v.tail < len(v.hdrs) {
		return true
	}
	if v.head == 0 {
		return false
	}
	for i := v.head; i < v.tail; i++ { // each header keeps its own iovec: copy what they say, not where they are
		to := i - v.head
		v.hdrs[to].hdr.Name = v.hdrs[i].hdr.Name
		v.iovs[to] = v.iovs[i]
		v.cells[to] = v.cells[i]
	}
	v.tail -= v.head
	v.head = 0
	return true
}

func (v *txVectors) push(to *unix.RawSockaddrInet4, cell uint32, data []byte) {
	v.hdrs[v.tail].hdr.Name = (*byte)(unsafe.Pointer(to))
	v.iovs[v.tail].Base = &data[0]
	v.iovs[v.tail].SetLen(len(data))
	v.cells[v.tail] = cell
	v.tail++
}

// send hands the whole queue to the kernel and returns how many it took.
func (v *txVectors) send(fd int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.hdrs[v.head])), uintptr(v.tail-v.head),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return min(int(n), v.tail-v.head), 0
}

// pop takes the first of the queue off and returns its cell.
func (v *txVectors) pop() uint32 {
	cell := v.cells[v.head]
	v.head++
	if v.head == v.tail {
		v.head, v.tail = 0, 0
	}
	return cell
}

// readable asks poll(2), without waiting, whether a datagram is there.
func readable(fd int) bool {
	poll := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	var now unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return errno == 0 && n > 0
}
