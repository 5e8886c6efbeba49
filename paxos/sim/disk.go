package sim

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"

	"wirepaxos/paxos/cluster"
)

// disk is a machine's: it outlives the machine's starts. What was written and not synced may be lost when the power goes, as a whole or in part, and
// so may names that were not synced with their directory. It implements cluster.Disk.
type disk struct {
	names  []name // as the running system sees them
	synced []name // as they are on disk for sure
	power  int    // operations until it goes; forever: it stays
}

type name struct {
	path string
	file *inode
}

// inode is a file: what was written, and what of it is on disk for sure.
type inode struct{ written, synced []byte }

const forever = 1 << 30

var errPower = errors.New("the power is gone")

func newDisk() *disk { return &disk{power: forever} }

// step is one operation that changes something.
func (d *disk) step() error {
	if d.power == 0 {
		return errPower
	}
	if d.power != forever {
		d.power--
	}
	return nil
}

func find(names []name, path string) int {
	return slices.IndexFunc(names, func(n name) bool { return n.path == path })
}

func (d *disk) Read(path string) ([]byte, error) {
	if d.power == 0 {
		return nil, errPower
	}
	if i := find(d.names, path); i >= 0 {
		return bytes.Clone(d.names[i].file.written), nil
	}
	return nil, fs.ErrNotExist
}

func (d *disk) Create(path string) (cluster.DiskFile, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	i := find(d.names, path)
	if i < 0 {
		d.names = append(d.names, name{path, &inode{}})
		i = len(d.names) - 1
	}
	d.names[i].file.written = nil
	return &openFile{d, d.names[i].file}, nil
}

func (d *disk) Rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	i := find(d.names, from)
	if i < 0 {
		return fs.ErrNotExist
	}
	file := d.names[i].file
	d.names = slices.DeleteFunc(d.names, func(n name) bool { return n.path == from || n.path == to })
	d.names = append(d.names, name{to, file})
	return nil
}

func (d *disk) Remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.names = slices.DeleteFunc(d.names, func(n name) bool { return n.path == path })
	return nil
}

func (d *disk) SyncDir(string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.synced = slices.Clone(d.names)
	return nil
}

// crash is what the next start finds: names as they were or as they were synced, and of each file that was not synced all, nothing or a part.
func (d *disk) crash(r *random) {
	if r.percent(50) {
		d.names = slices.Clone(d.synced)
	}
	for _, n := range d.names {
		if bytes.Equal(n.file.written, n.file.synced) {
			continue
		}
		switch r.below(3) {
		case 0:
			n.file.written = n.file.synced
		case 1:
			n.file.written = n.file.written[:r.below(int64(len(n.file.written))+1)]
		}
		n.file.synced = bytes.Clone(n.file.written)
	}
	d.synced = slices.Clone(d.names)
	d.power = forever
}

type openFile struct {
	disk *disk
	file *inode
}

func (f *openFile) Write(b []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		f.file.written = append(f.file.written, b[:len(b)/2]...)
		return len(b) / 2, err
	}
	f.file.written = append(f.file.written, b...)
	return len(b), nil
}

func (f *openFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	f.file.synced = bytes.Clone(f.file.written)
	return nil
}

func (f *openFile) Close() error { return nil }
