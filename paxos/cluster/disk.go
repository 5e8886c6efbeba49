package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Disk is what State asks of a file system: the machine's, or one that a test or a simulator puts in its place.
type Disk interface {
	Read(path string) ([]byte, error)     // fs.ErrNotExist only where there is nothing of that name
	Create(path string) (DiskFile, error) // to write, empty, whatever was there
	Rename(from, to string) error         // atomic
	Remove(path string) error             //
	SyncDir(dir string) error             // makes renames and new names last
}

// DiskFile is a file that is being written.
type DiskFile interface {
	io.Writer
	Sync() error
	Close() error
}

// maxStateBytes bounds what is read of a file: ours are one line.
const maxStateBytes = 4096

// hostDisk is the machine's file system.
type hostDisk struct{}

// read opens without following a link or waiting for a pipe's other end: neither is ours.
func (hostDisk) Read(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	return io.ReadAll(io.LimitReader(file, maxStateBytes))
}

func (hostDisk) Create(path string) (DiskFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err // not a nil *os.File in a non-nil interface
	}
	return file, nil
}

func (hostDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (hostDisk) Remove(path string) error { return os.Remove(path) }

func (hostDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lockFile opens path and takes it for this process. flock(2) ends with the last descriptor, so also with kill -9; descriptors are
// closed on exec, so no child keeps it.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w: %s", reason(err), cure(err))
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := lockHolder(file)
		file.Close()
		return nil, fmt.Errorf("is run by %s already: end that one first", holder)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock: flock: %w: name a directory on a file system with locks", err)
	}
	// The pid is for people. A full disk must not keep a node from starting, so what fails here is not an error.
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return file, nil
}

// lockHolder reads who holds a lock.
func lockHolder(file *os.File) string {
	var b [32]byte
	n, _ := file.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b[:n])))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("pid %d", pid)
}

// reason takes the path out of an error of package os, since the message around it names it.
func reason(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// cure says what to do about an error of the file system.
func cure(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "free some space on that disk"
	case errors.Is(err, unix.EROFS):
		return "mount it for writing, or name another directory"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "let this user write there"
	case errors.Is(err, unix.EIO):
		return "the disk fails, replace it and give the node a new id"
	}
	return "name a directory on a disk that survives a reboot"
}
