package nic

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ifreq is struct ifreq of linux/if.h as SIOCETHTOOL reads it: a name, and the address of the request.
type ifreq struct {
	name    [unix.IFNAMSIZ]byte
	request unsafe.Pointer
	_       [16]byte // the union is 24 bytes on 64-bit machines
}

// ethtoolRequest gives a request to the driver of an interface, in the network namespace of the calling thread. The answer is in the same bytes.
//
// The kernel reads and writes as many bytes as the command and the counts inside the request say; every request here is made by the functions of
// request.go, whose lengths come from the same counts. request is reachable from the ifreq, so that it neither moves nor goes during the call.
func ethtoolRequest(name string, request []byte) error {
	if len(name) >= unix.IFNAMSIZ {
		return fmt.Errorf("%q is too long for the name of an interface", name)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for ethtool: %w", err)
	}
	defer unix.Close(fd)
	r := ifreq{request: unsafe.Pointer(unsafe.SliceData(request))} // first of the bytes
	copy(r.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))) // r lives on this stack until the call is over
	runtime.KeepAlive(request)
	if errno != 0 {
		return errno
	}
	return nil
}
