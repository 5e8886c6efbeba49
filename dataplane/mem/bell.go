package mem

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bell is a pair of doorbells: mine, on which this side sleeps, and the peer's, which it rings. Within a process they are eventfds, each side with
// descriptors of its own (a number closed by one side and reused by the process must not be rung by the other); between
// processes FIFOs beside the ring's file. Both take eight bytes to ring, and never block.
type bell struct {
	mine, peers int
}

// newBells makes the bells of both sides of one process.
func newBells() ([2]bell, error) {
	var fds [2][2]int // of each side's bell: the side's own descriptor, the peer's
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err == nil {
			fds[i][0] = fd
			if fds[i][1], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
				unix.Close(fd)
			}
		}
		if err != nil {
			if i == 1 {
				unix.Close(fds[0][0])
				unix.Close(fds[0][1])
			}
			return [2]bell{}, err
		}
	}
	return [2]bell{{mine: fds[A][0], peers: fds[B][1]}, {mine: fds[B][0], peers: fds[A][1]}}, nil
}

// ring wakes the peer. That a bell is full of rings (EAGAIN) is as good.
func (b *bell) ring() { ringFD(b.peers) }

// quiet takes back the rings of earlier sleeps.
func (b *bell) quiet() { quietFD(b.mine) }

func (b *bell) close() error {
	err := errors.Join(unix.Close(b.mine), unix.Close(b.peers))
	b.mine, b.peers = -1, -1
	return err
}

// fifoPaths names the doorbells of sides A and B.
func fifoPaths(ring string) []string {
	base := strings.TrimSuffix(ring, ".ring")
	return []string{base + ".a.bell", base + ".b.bell"}
}

// openFifos opens both doorbells of a shared ring, and makes those that are missing. Opened for reading and writing, a FIFO neither
// waits for its other end nor ends with it (fifo(7)). If it fails it removes what it made.
func openFifos(ring string, side Side) (bell, error) {
	var fds [2]int
	var undo []func()
	for i, path := range fifoPaths(ring) {
		made := unix.Mkfifo(path, 0o600)
		if made == nil {
			undo = append(undo, func() { _ = unix.Unlink(path) }) // the error that is told is the first
		}
		var err error
		if made != nil && !errors.Is(made, unix.EEXIST) {
			err = fmt.Errorf("mem: doorbell %s: make a FIFO: %w: choose a directory on tmpfs or a local disk", path, made)
		} else if fds[i], err = openFifo(path); err == nil {
			undo = append(undo, func() { unix.Close(fds[i]) })
		}
		if err != nil {
			for _, u := range undo {
				u()
			}
			return bell{}, err
		}
	}
	return bell{mine: fds[side], peers: fds[1-side]}, nil
}

func openFifo(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("mem: doorbell %s: open: %w: remove it if nobody needs it, or choose another name", path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO || int(st.Uid) != os.Geteuid() {
		unix.Close(fd)
		return -1, fmt.Errorf("mem: doorbell %s: not a FIFO of this user; remove it if nobody needs it, or choose another name", path)
	}
	return fd, nil
}
