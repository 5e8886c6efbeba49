package afxdp

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// descriptor is struct xdp_desc of linux/if_xdp.h: an entry of the RX and TX rings.
type descriptor struct {
	Addr    uint64 // of the packet, from the start of the UMEM
	Len     uint32
	Options uint32
}

const (
	descriptorSize = int(unsafe.Sizeof(descriptor{}))
	addressSize    = int(unsafe.Sizeof(uint64(0))) // an entry of the fill and completion rings
)

// Sizes that the kernel's headers fix: each array has length 0 only if ours agrees.
var (
	_ = [0]struct{}([descriptorSize - 16]struct{}{})
	_ = [0]struct{}([unsafe.Sizeof(unix.XDPDesc{}) - 16]struct{}{})
	_ = [0]struct{}([unsafe.Sizeof(unix.CPUSet{}) - maxNodes/8]struct{}{})
)

// ringMemory is one ring as the kernel shares it. Exactly one of addresses and descriptors is set.
type ringMemory struct {
	producer    *atomic.Uint32
	consumer    *atomic.Uint32
	flags       *atomic.Uint32
	addresses   []uint64
	descriptors []descriptor
	memory      []byte // the mapping; nil once unmapped
}

// mapRing maps a ring of fd with n entries of entrySize bytes.
//
// Sound because: the kernel laid the ring out at these offsets for n entries (XDP_MMAP_OFFSETS, and the size that was set
// by setsockopt), page-aligned, indices on 4 and entries on 8 bytes; mmap would have failed for a longer range; the memory
// is not the Go heap's and lives until unmap, after which nothing of ringMemory is used. atomic.Uint32 is one uint32 with
// no other state.
func mapRing(fd int, offset int64, o unix.XDPRingOffset, n, entrySize int) (ringMemory, error) {
	size := ringBytes(o, n, entrySize)
	memory, err := unix.Mmap(fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ringMemory{}, fmt.Errorf("map ring at offset %#x: %w", offset, err)
	}
	base := unsafe.Pointer(unsafe.SliceData(memory))
	r := ringMemory{
		producer: (*atomic.Uint32)(unsafe.Add(base, o.Producer)),
		consumer: (*atomic.Uint32)(unsafe.Add(base, o.Consumer)),
		flags:    (*atomic.Uint32)(unsafe.Add(base, o.Flags)),
		memory:   memory,
	}
	if entrySize == descriptorSize {
		r.descriptors = unsafe.Slice((*descriptor)(unsafe.Add(base, o.Desc)), n)
	} else {
		r.addresses = unsafe.Slice((*uint64)(unsafe.Add(base, o.Desc)), n)
	}
	return r, nil
}

// ringBytes is the length of a ring's mapping.
func ringBytes(o unix.XDPRingOffset, n, entrySize int) int { return int(o.Desc) + n*entrySize }

func (r *ringMemory) unmap() {
	if r.memory != nil {
		_ = unix.Munmap(r.memory) // cannot fail for a mapping that we made
		*r = ringMemory{}
	}
}

// unmapForeign ends a mapping that package syscall made for someone else, of exactly length bytes at address.
//
// Sound because the slice is made only to name the mapping to syscall.Munmap, which looks it up among its own by its last
// byte and refuses what it does not know; nothing reads or writes through it.
func unmapForeign(address uintptr, length int) error {
	p := *(*unsafe.Pointer)(unsafe.Pointer(&address))
	return syscall.Munmap(unsafe.Slice((*byte)(p), length))
}

// registerUMEM makes memory the UMEM of fd, in cells of that size.
//
// Sound because the kernel copies the struct, which lives until the call returns; memory is a mapping, not the Go heap's, which stays where it is; the
// kernel keeps its pages from registration to the end of the socket, also once it is unmapped.
func registerUMEM(fd int, memory []byte, cellSize int) error {
	r := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))), Len: uint64(len(memory)), Size: uint32(cellSize)}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG, uintptr(unsafe.Pointer(&r)), unsafe.Sizeof(r), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// memoryPolicy reads the calling thread's (get_mempolicy(2)).
//
// Sound because the kernel writes one int and a set of at most maxNodes bits, which is what there is room for.
func memoryPolicy() (mode int, mask unix.CPUSet, err error) {
	var m int32
	_, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&mask)), maxNodes, 0, 0, 0)
	if errno != 0 {
		return 0, mask, errno
	}
	return int(m), mask, nil
}

// nodeOfByte asks for the NUMA node of the page with a byte of memory (get_mempolicy(2), MPOL_F_NODE | MPOL_F_ADDR).
//
// Sound because the kernel looks at the address, which is live, and writes one int.
func nodeOfByte(memory []byte, at int) (int, error) {
	var node int32
	_, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&node)), 0, 0, uintptr(unsafe.Pointer(&memory[at])),
		unix.MPOL_F_NODE|unix.MPOL_F_ADDR, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(node), nil
}

// getOption reads a socket option of level SOL_XDP into value.
//
// Sound because the kernel writes at most size bytes, the size of T, to a live value without pointers.
func getOption[T unix.XDPMmapOffsets | unix.XDPStatistics](fd, option int) (value T, err error) {
	size := uint32(unsafe.Sizeof(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(unsafe.Pointer(&value)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return value, errno
	}
	return value, nil
}
