package mem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// sharedFile is a side's hold on a ring's file: the mapping, and an open file description whose byte locks (fcntl(2), "open file description
// locks") the kernel releases when the last descriptor goes, at the latest when the process is dead. Bytes 0 and 1 stand for the sides; byte 2 is
// held only while a side starts or leaves, so that these do not interleave.
type sharedFile struct {
	path       string
	fd         int
	memory     []byte
	generation uint32 // of this side's present incarnation
	fresh      bool   // made by this side, which has not finished its start: nobody else can have begun to use it
}

const (
	startByte = 2
	// startPatience bounds the wait for a side that is just starting or leaving, so that one stopped amid that is told about.
	startPatience = 5 * time.Second
)

// errReplaced says that the file was removed between open and lock.
var errReplaced = errors.New("the file was replaced meanwhile")

// OpenShared opens one side of a ring between two processes of this host, in the file Dir/Name.ring with the doorbells Dir/Name.a.bell and
// Dir/Name.b.bell. Either side may start first, die, and come back. While the other is not there, Alloc finds no cells.
// Errors say what to do about them; nothing is left open, and no file that was not there.
//
// The file must keep its length while it is open: the kernel kills with SIGBUS who touches a mapped page that is gone. Other
// users are kept out (0600).
func OpenShared(c Config) (*Port, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	path := filepath.Join(c.Dir, c.Name+".ring")
	for range 100 { // the other side may be leaving, over and over
		f, err := holdFile(path, c.Side)
		if errors.Is(err, errReplaced) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := f.start(c)
		if err != nil {
			_ = f.abandon() // the error that is told is that of the start
			return nil, err
		}
		return p, nil
	}
	return nil, fmt.Errorf("mem: ring %s: the file is removed again and again: is another program cleaning up the directory?", path)
}

// holdFile opens the file and takes the side and the start lock.
func holdFile(path string, side Side) (*sharedFile, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mem: ring %s: open: %w: %s", path, err, openAdvice(err))
	}
	f := &sharedFile{path: path, fd: fd}
	if err := f.hold(side); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return f, nil
}

func openAdvice(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return "the directory must exist"
	case errors.Is(err, unix.ELOOP):
		return "it is a symbolic link; remove it or choose another name"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "another user's; run both sides as one user or choose another name"
	default:
		return "choose another name or directory"
	}
}

func (f *sharedFile) hold(side Side) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return fmt.Errorf("mem: ring %s: %w", f.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("mem: ring %s: not a regular file of this user; remove it or choose another name", f.path)
	}
	for begin := time.Now(); f.lock(startByte) != nil; time.Sleep(time.Millisecond) {
		if time.Since(begin) > startPatience {
			return fmt.Errorf("mem: ring %s: another process has been starting or leaving for %v: is it stopped?", f.path, startPatience)
		}
	}
	var named unix.Stat_t
	if err := unix.Lstat(f.path, &named); err != nil || named.Ino != st.Ino || named.Dev != st.Dev {
		return errReplaced
	}
	if err := f.lock(int64(side)); err != nil {
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			return fmt.Errorf("mem: ring %s: lock side %v: %w: choose a directory on tmpfs or a local disk", f.path, side, err)
		}
		return fmt.Errorf("mem: ring %s: side %v is held by pid %d: stop it, or open side %v", f.path, side, f.pidOf(side), 1-side)
	}
	return nil
}

// lock takes a byte's lock without waiting.
func (f *sharedFile) lock(at int64) error {
	return unix.FcntlFlock(uintptr(f.fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1})
}

func (f *sharedFile) unlock(at int64) error {
	return unix.FcntlFlock(uintptr(f.fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: at, Len: 1})
}

// pidOf is what the side wrote of itself; 0 if it did not come to that.
func (f *sharedFile) pidOf(side Side) uint64 {
	var b [8]byte
	if _, err := unix.Pread(f.fd, b[:], atSides+int64(side)*sideBytes+atPid); err != nil {
		return 0
	}
	return binary.NativeEndian.Uint64(b[:])
}

// start maps the file and begins a new incarnation of the side. The start lock is held, and released at the end.
func (f *sharedFile) start(c Config) (*Port, error) {
	l := layoutOf(c)
	if err := f.size(l); err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(f.fd, 0, l.bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mem: ring %s: map %d bytes: %w: give fewer or smaller frames", f.path, l.bytes, err)
	}
	f.memory = memory
	if err := f.form(l); err != nil {
		return nil, err
	}
	bells, err := openFifos(f.path, c.Side)
	if err != nil {
		return nil, err
	}
	p := newPort(c, l, memory, c.Side, bells)
	p.file = f
	p.enter()
	f.fresh = false
	if err := f.unlock(startByte); err != nil {
		p.bell.close()
		return nil, fmt.Errorf("mem: ring %s: unlock: %w", f.path, err)
	}
	return p, nil
}

// size makes a file of length 0 (new, or left by one that died before this) as long as the ring, with all its pages, so that a full
// file system is an error now and not SIGBUS later. A file of another length is not ours to touch.
func (f *sharedFile) size(l layout) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return fmt.Errorf("mem: ring %s: %w", f.path, err)
	}
	if st.Size == 0 {
		f.fresh = true
		if err := unix.Fallocate(f.fd, 0, 0, int64(l.bytes)); err != nil {
			return fmt.Errorf("mem: ring %s: allocate %d bytes: %w: make room there, or give fewer or smaller frames", f.path, l.bytes, err)
		}
		return nil
	}
	if st.Size < headerBytes {
		return f.foreign()
	}
	if st.Size != int64(l.bytes) {
		var header [atForm + 32]byte
		if _, err := unix.Pread(f.fd, header[:], 0); err != nil || binary.NativeEndian.Uint64(header[:]) != formMagic {
			return f.foreign()
		}
		var form [4]uint64
		for i := range form {
			form[i] = binary.NativeEndian.Uint64(header[atForm+8*i:])
		}
		return f.otherForm(form, l)
	}
	return nil
}

// form writes the header's form where there is none yet, and compares it where there is.
func (f *sharedFile) form(l layout) error {
	want := l.form()
	switch word(f.memory, atMagic).Load() {
	case 0:
		for i, b := range f.memory[:headerBytes] {
			if b != 0 && (i < atForm || i >= atForm+32) { // the form may be there in part: its writer died before the magic
				return f.foreign()
			}
		}
		for i, v := range want {
			word(f.memory, atForm+8*i).Store(v)
		}
		word(f.memory, atMagic).Store(formMagic)
		return nil
	case formMagic:
		var have [4]uint64
		for i := range have {
			have[i] = word(f.memory, atForm+8*i).Load()
		}
		if have != want {
			return f.otherForm(have, l)
		}
		return nil
	default:
		return f.foreign()
	}
}

func (f *sharedFile) foreign() error {
	return fmt.Errorf("mem: ring %s: not a ring's file; remove it if nobody needs it, or choose another name", f.path)
}

func (f *sharedFile) otherForm(have [4]uint64, l layout) error {
	want := l.form()
	if have[0] != want[0] {
		return fmt.Errorf("mem: ring %s: made by another release (format %d, here %d); run one release on both sides, "+
			"or stop both and remove the file", f.path, have[0], want[0])
	}
	return fmt.Errorf("mem: ring %s: made for %d frames of %d bytes, asked for %d of %d; give both sides the same, "+
		"or stop both and remove the file", f.path, have[1], have[2], want[1], want[2])
}

// enter begins an incarnation. The last one's word ready is taken back before the new generation shows; its indices may stay, since they carry
// their session.
func (p *Port) enter() {
	p.me.generation.Store(0)
	p.me.ready.Store(0)
	p.me.asleep.Store(0)
	p.me.pid.Store(uint64(os.Getpid()))
	last := word(p.file.memory, atLastGen)
	p.file.generation = uint32(last.Load()) + 1
	last.Store(uint64(p.file.generation))
	p.me.generation.Store(uint64(p.file.generation))
	p.bell.ring() // the peer may sleep until someone comes
}

// leave is Close of a shared ring. The files go with the last side: one that died no longer counts, and finds new ones if it comes back.
// What was published stays readable for the peer, in the memory that it has mapped.
func (p *Port) leave() error {
	f := p.file
	p.me.generation.Store(0)
	p.me.ready.Store(0)
	p.bell.ring()
	begin := time.Now()
	for f.lock(startByte) != nil {
		if time.Since(begin) > startPatience {
			return f.abandon() // a process is stopped amid its start: it keeps the files
		}
		time.Sleep(time.Millisecond)
	}
	var gone []error
	if f.lock(int64(1-p.side)) == nil {
		for _, path := range append(fifoPaths(f.path), f.path) {
			if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
				gone = append(gone, fmt.Errorf("mem: remove %s: %w", path, err))
			}
		}
	}
	return errors.Join(append(gone, f.abandon())...)
}

// abandon lets go of everything as the kernel does when a process dies: nothing is said to the peer. A file made by a start that failed is
// removed.
func (f *sharedFile) abandon() error {
	var err error
	if f.memory != nil {
		err = unix.Munmap(f.memory)
		f.memory = nil
	}
	if f.fresh {
		_ = unix.Unlink(f.path) // the error that is told is that of the start
	}
	if e := unix.Close(f.fd); e != nil || err != nil {
		return fmt.Errorf("mem: ring %s: close: %w", f.path, errors.Join(err, e))
	}
	return nil
}
