package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inode is a file of crashDisk: what was written, and what of it is on disk for sure.
type inode struct{ cached, durable []byte }

// crashDisk is a file system that knows what a power cut leaves. Every operation is recorded; the one with number failAt fails (with
// err) or, without err, ends the process by a panic before it happens.
type crashDisk struct {
	cached, durable map[string]*inode
	ops             []string
	failAt          int
	err             error
	noSync          bool // fsync of files lies
	noSyncDir       bool // fsync of directories lies
}

type crash struct{}

func newCrashDisk() *crashDisk {
	return &crashDisk{cached: map[string]*inode{}, durable: map[string]*inode{}, failAt: -1}
}

// step records an operation and fails it if it is its turn.
func (d *crashDisk) step(op, path string) error {
	d.ops = append(d.ops, op+" "+path[strings.LastIndexAny(path, "./")+1:])
	if len(d.ops)-1 != d.failAt {
		return nil
	}
	if d.err == nil {
		panic(crash{})
	}
	return &fs.PathError{Op: op, Path: path, Err: d.err}
}

func (d *crashDisk) Read(path string) ([]byte, error) {
	file, ok := d.cached[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return bytes.Clone(file.cached), nil
}

func (d *crashDisk) Create(path string) (DiskFile, error) {
	if err := d.step("create", path); err != nil {
		return nil, err
	}
	file, ok := d.cached[path]
	if !ok {
		file = &inode{}
		d.cached[path] = file
	}
	file.cached = nil
	return &crashFile{d, file, path}, nil
}

func (d *crashDisk) Rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	d.cached[to] = d.cached[from]
	delete(d.cached, from)
	return nil
}

func (d *crashDisk) Remove(path string) error {
	delete(d.cached, path)
	return nil
}

func (d *crashDisk) SyncDir(dir string) error {
	if err := d.step("syncdir", dir); err != nil {
		return err
	}
	if !d.noSyncDir {
		d.durable = maps.Clone(d.cached)
	}
	return nil
}

// crashFile is an open file of a crashDisk.
type crashFile struct {
	disk *crashDisk
	file *inode
	path string
}

func (f *crashFile) Write(p []byte) (int, error) {
	if err := f.disk.step("write", f.path); err != nil {
		f.file.cached = append(f.file.cached, p[:len(p)/2]...)
		return len(p) / 2, err
	}
	f.file.cached = append(f.file.cached, p...)
	return len(p), nil
}

func (f *crashFile) Sync() error {
	if err := f.disk.step("sync", f.path); err != nil {
		return err
	}
	if !f.disk.noSync {
		f.file.durable = bytes.Clone(f.file.cached)
	}
	return nil
}

func (f *crashFile) Close() error { return f.disk.step("close", f.path) }

// The outcomes of a power cut, from the best to the worst.
const (
	keepsAll     = iota // everything reached the disk
	keepsNames          // names did, unsynced content did not: the well-known empty file after a rename
	keepsContent        // content did, unsynced names did not
	keepsSynced         // only what was synced did
	outcomes
)

// after is the disk that the next start finds.
func (d *crashDisk) after(outcome int) *crashDisk {
	next := newCrashDisk()
	next.noSync, next.noSyncDir = d.noSync, d.noSyncDir
	names := d.cached
	if outcome == keepsContent || outcome == keepsSynced {
		names = d.durable
	}
	for path, file := range names {
		content := file.durable
		if outcome == keepsAll || outcome == keepsContent {
			content = file.cached
		}
		next.cached[path] = &inode{cached: bytes.Clone(content), durable: bytes.Clone(content)}
	}
	next.durable = maps.Clone(next.cached)
	return next
}

// history is what a node's lives were told, over all of them.
type history struct {
	limit  uint64 // rounds below were given out
	marked bool
	err    error
}

// live runs one life of a node on d until it is done or crashes.
func (h *history) live(d *crashDisk) {
	defer func() {
		if p := recover(); p != nil && p != any(crash{}) {
			panic(p)
		}
	}()
	s := NewState(d, "dir", 7, 1, 3)
	existed, err := s.Mark()
	if err != nil {
		h.err = fmt.Errorf("mark: %w", err)
		return
	}
	if h.marked && !existed {
		h.err = errors.New("an acceptor that had started was told that it had not")
		return
	}
	h.marked = true
	for range 3 {
		first, limit, err := s.ReserveRounds(0, 10)
		if err != nil {
			h.err = fmt.Errorf("rounds: %w", err)
			return
		}
		if first < h.limit || limit != first+10 {
			h.err = fmt.Errorf("rounds [%d, %d) were given out although all below %d were", first, limit, h.limit)
			return
		}
		h.limit = limit
	}
}

// explore cuts the power at every operation of two lives in a row, with every outcome, and returns the first fault that a third one sees.
func explore(noSync, noSyncDir bool) error {
	const beyond = 24 // more operations than a life has: no crash at all
	for at := range beyond * beyond {
		for outcome := range outcomes * outcomes {
			d := newCrashDisk()
			d.noSync, d.noSyncDir = noSync, noSyncDir
			var h history
			d.failAt = at / beyond
			h.live(d)
			d = d.after(outcome / outcomes)
			d.failAt = at % beyond
			h.live(d)
			d = d.after(outcome % outcomes)
			h.live(d)
			if h.err != nil {
				return fmt.Errorf("cut at %d and %d, outcomes %d: %w", at/beyond, at%beyond, outcome, h.err)
			}
		}
	}
	return nil
}

func TestCrashAtEveryStep(t *testing.T) {
	if err := explore(false, false); err != nil {
		t.Error(err)
	}
}

// TestCrashFindsMissingSyncs shows that the test above would see it if either fsync were left out.
func TestCrashFindsMissingSyncs(t *testing.T) {
	if err := explore(true, false); err == nil {
		t.Error("without fsync of files nothing was found")
	}
	if err := explore(false, true); err == nil {
		t.Error("without fsync of directories nothing was found")
	}
}

func TestOrderOfSteps(t *testing.T) {
	for _, ending := range []string{"rounds", "marker"} {
		d := newCrashDisk()
		s := NewState(d, "dir", 7, 1, 3)
		var err error
		if ending == "rounds" {
			_, _, err = s.ReserveRounds(1, 10)
		} else {
			_, err = s.Mark()
		}
		want := []string{"create new", "write new", "sync new", "close new", "rename " + ending, "syncdir dir"}
		if err != nil || !slices.Equal(d.ops, want) {
			t.Errorf("%s: %v, %v, want %v", ending, err, d.ops, want)
		}
	}
}

// TestFailedSteps: an error of the file system is never a reservation or a first start; what can be tried again can be; after a failed
// fsync nothing can.
func TestFailedSteps(t *testing.T) {
	for at, step := range []string{"create", "write", "fsync", "close", "rename", "fsync"} {
		for _, errno := range []unix.Errno{unix.ENOSPC, unix.EROFS, unix.EIO} {
			d := newCrashDisk()
			s := NewState(d, "dir", 7, 1, 3)
			if _, _, err := s.ReserveRounds(1, 10); err != nil {
				t.Fatal(err)
			}
			d.failAt, d.err = len(d.ops)+at, errno
			_, _, err := s.ReserveRounds(1, 10)
			if !errors.Is(err, errno) || !strings.Contains(err.Error(), step+" of ") || !strings.HasSuffix(err.Error(), cure(errno)) {
				t.Errorf("%s with %v: %v", step, errno, err)
			}
			if _, left := d.cached[s.path("rounds")+".new"]; left {
				t.Errorf("%s with %v left its temporary file", step, errno)
			}
			first, _, again := s.ReserveRounds(1, 10)
			switch {
			case step == "fsync" && again == nil:
				t.Errorf("%s at %d with %v: rounds from %d were given out afterwards", step, at, errno, first)
			case step != "fsync" && (again != nil || first != 11):
				t.Errorf("%s with %v: then %d, %v, want 11", step, errno, first, again)
			}
			if _, err := s.Mark(); step == "fsync" && err == nil {
				t.Errorf("%s at %d with %v: a marker was believed afterwards", step, at, errno)
			}
		}
	}
}

// TestFailedMark: whatever fails, no first start is reported.
func TestFailedMark(t *testing.T) {
	for at := range 6 {
		d := newCrashDisk()
		d.failAt, d.err = at, unix.ENOSPC
		s := NewState(d, "dir", 7, 1, 3)
		if existed, err := s.Mark(); !errors.Is(err, unix.ENOSPC) || existed {
			t.Errorf("step %d: %v, %v", at, existed, err)
		}
	}
}

// TestTruncated: no prefix of a file is taken for the file, nor is a file with one bit changed.
func TestTruncated(t *testing.T) {
	d := newCrashDisk()
	s := NewState(d, "dir", 7, 1, 3)
	s.ReserveRounds(1, 10)
	s.Mark()
	for _, ending := range []string{"rounds", "marker"} {
		path := filepath.Join("dir", s.base+"."+ending)
		whole := d.cached[path].cached
		damaged := [][]byte{append(bytes.Clone(whole), '\n'), append(bytes.Clone(whole), whole...)}
		for i := range whole {
			bent := bytes.Clone(whole)
			bent[i] ^= 1 << (i % 8)
			damaged = append(damaged, whole[:i], bent)
		}
		for _, content := range damaged {
			d.cached[path].cached = content
			s := NewState(d, "dir", 7, 1, 3)
			var err error
			if ending == "rounds" {
				_, _, err = s.ReserveRounds(1, 10)
			} else {
				_, err = s.Mark()
			}
			if err == nil || !strings.Contains(err.Error(), "is damaged or of another node") {
				t.Fatalf("%s with %q: %v", ending, content, err)
			}
		}
		d.cached[path].cached = whole
	}
}
