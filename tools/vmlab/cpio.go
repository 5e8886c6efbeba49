package main

import (
	"fmt"
	"io"
)

// archive writes the kernel's initramfs: a cpio archive in the form "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	out     io.Writer
	inode   int
	written int64
	err     error
}

// Kinds of entries, as in stat(2).
const (
	kindFolder = 0o040000
	kindFile   = 0o100000
	kindDevice = 0o020000 // a character device
)

// folder adds an empty folder; those above it must be there.
func (a *archive) folder(name string) { a.entry(name, kindFolder|0o755, nil, 0, 0) }

// file adds a file.
func (a *archive) file(name string, mode int, content []byte) {
	a.entry(name, kindFile|mode, content, 0, 0)
}

// device adds a character device.
func (a *archive) device(name string, major, minor int) {
	a.entry(name, kindDevice|0o600, nil, major, minor)
}

// close ends the archive, and tells whether all could be written.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil, 0, 0)
	return a.err
}

// entry writes a head of 110 characters, the name with its zero, and the content, each filled up to a multiple of four.
func (a *archive) entry(name string, mode int, content []byte, major, minor int) {
	a.inode++
	const links, uid, gid, time, check = 1, 0, 0, 0, 0
	head := "070701"
	for _, field := range []int{a.inode, mode, uid, gid, links, time, len(content), 0, 0, major, minor, len(name) + 1, check} {
		head += fmt.Sprintf("%08X", field)
	}
	a.write([]byte(head + name + "\x00"))
	a.fill()
	a.write(content)
	a.fill()
}

func (a *archive) fill() {
	if rest := a.written % 4; rest != 0 {
		a.write(make([]byte, 4-rest))
	}
}

func (a *archive) write(b []byte) {
	if a.err == nil {
		_, a.err = a.out.Write(b)
		a.written += int64(len(b))
	}
}
