package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxRound is above every round that ReserveRounds gives out: a ballot holds a round of 48 bits beside the proposer's id.
const MaxRound = 1 << 48

// State is one node's part of a state directory: locked, so no other process runs the node from it. One goroutine uses it.
//
// The files, each named after cluster, group and node, so that nodes and clusters can share a directory and a node of another cluster
// is another node:
//
//	c9f3c…-g1-n3.lock     held while the process lives; the pid of the last holder inside
//	c9f3c…-g1-n3.rounds   the limit below which rounds may have been used
//	c9f3c…-g1-n3.marker   there once an acceptor has started
//
// The last two are one line of text that says its kind, version, cluster, group and node again and ends in a CRC-32C of all before it.
// They are replaced as a whole: temporary file, fsync, rename, fsync of the directory. Whoever deletes them takes from the
// node what it promised: then it needs a new id, or a new cluster.
type State struct {
	disk   Disk
	dir    string
	base   string // the name of the files without ending
	id     string // what the files say about their node
	lock   *os.File
	limit  uint64 // rounds below are reserved; 0: not read yet
	failed error  // a sync that failed; what is on disk is unknown from then on
}

// OpenState locks the files of one node in dir, which must be there already: a directory that is made anew where a disk was not
// mounted would make every start a first start. The error says what to do; where another process runs the node, it names its pid.
func OpenState(dir string, cluster uint64, group, node uint16) (*State, error) {
	if cluster == 0 || group == 0 || node == 0 {
		return nil, fmt.Errorf("state directory %s: cluster, group and node must not be 0", dir)
	}
	if dir == "" {
		return nil, errors.New("state directory is missing: name one on a disk that survives a reboot")
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("state directory %s does not exist: make it (mkdir -p) on a disk that survives a reboot, or mount that disk", dir)
	case err != nil:
		return nil, fmt.Errorf("state directory %s: %w: let this user use it", dir, reason(err))
	case !info.IsDir():
		return nil, fmt.Errorf("state directory %s is not a directory: name a directory", dir)
	}
	s := NewState(hostDisk{}, dir, cluster, group, node)
	if s.lock, err = lockFile(s.path("lock")); err != nil {
		return nil, fmt.Errorf("state directory %s: node %d: %w", dir, node, err)
	}
	return s, nil
}

// NewState is the state of one node on a disk that nobody else uses: OpenState without the lock.
func NewState(d Disk, dir string, cluster uint64, group, node uint16) *State {
	return &State{
		disk: d,
		dir:  dir,
		base: fmt.Sprintf("c%016x-g%d-n%d", cluster, group, node),
		id:   fmt.Sprintf("cluster=0x%016x group=%d node=%d", cluster, group, node),
	}
}

// Close gives the lock back. The files stay. A second Close does nothing.
func (s *State) Close() error {
	if s.lock == nil {
		return nil
	}
	err := s.lock.Close()
	s.lock = nil
	s.failed = fmt.Errorf("state directory %s is closed", s.dir)
	return err
}

// Dir is the directory.
func (s *State) Dir() string { return s.dir }

// Volatile tells whether the directory lies in memory (tmpfs, ramfs): after a reboot an acceptor would vote as if for the first
// time, and a proposer would use its rounds again. Good for a lab, worth a warning elsewhere.
func (s *State) Volatile() bool {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return false
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
}

// ReserveRounds reserves n rounds, the first of them at least atLeast and at least 1, for this proposer alone: [first, limit) is on disk
// before it returns, and no later call returns any of it, in this process or in one after a crash. Rounds that were reserved and not used
// are lost. A file that cannot be read or is damaged is an error, never a start from the beginning. After a failed fsync
// every call fails until the process starts anew.
func (s *State) ReserveRounds(atLeast, n uint64) (first, limit uint64, err error) {
	if s.failed != nil {
		return 0, 0, s.failed
	}
	if s.limit == 0 {
		if s.limit, err = s.readLimit(); err != nil {
			return 0, 0, err
		}
	}
	first = max(s.limit, atLeast)
	if n == 0 || n > MaxRound || first > MaxRound-n {
		return 0, 0, fmt.Errorf("state directory %s: %d rounds from %d are not to be had: rounds end at %d, begin a new cluster",
			s.dir, n, first, uint64(MaxRound))
	}
	if err := s.replace("rounds", first+n); err != nil {
		return 0, 0, err
	}
	s.limit = first + n
	return first, s.limit, nil
}

// readLimit reads the lowest round that was never reserved.
func (s *State) readLimit() (uint64, error) {
	data, err := s.disk.Read(s.path("rounds"))
	if errors.Is(err, fs.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s cannot be read: %w: mend that, without it this proposer must not lead", s.path("rounds"), reason(err))
	}
	limit, ok := s.decode("rounds", data)
	if !ok || limit < 1 || limit > MaxRound {
		return 0, fmt.Errorf("%s is damaged or of another node: this proposer may have used any round and must not lead: "+
			"restore its newest copy, or give the proposer a new node id", s.path("rounds"))
	}
	return limit, nil
}

// Mark notes on disk that this acceptor has started, before it promises or votes for the first time. It tells whether an earlier
// start was noted already: then this acceptor may have promised and voted, and with storage in memory it has forgotten it. A marker of
// another cluster, group or node does not count. One that cannot be read, or holds another thing than its name says, is an error:
// the acceptor must not vote then. Call it once a start: the next call finds the marker of this one.
func (s *State) Mark() (existed bool, err error) {
	if s.failed != nil {
		return false, s.failed
	}
	data, err := s.disk.Read(s.path("marker"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, s.replace("marker", 1)
	}
	if err != nil {
		return false, fmt.Errorf("%s cannot be read: %w: mend that, until then this acceptor must not vote", s.path("marker"), reason(err))
	}
	if _, ok := s.decode("marker", data); !ok {
		return false, fmt.Errorf("%s is damaged or of another node: this acceptor may have voted before and must not vote: "+
			"give it a new node id, or begin a new cluster", s.path("marker"))
	}
	return true, nil
}

// stateVersion is the version of the files' content.
const stateVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *State) path(ending string) string { return filepath.Join(s.dir, s.base+"."+ending) }

// encode is the content of a file.
func (s *State) encode(ending string, value uint64) []byte {
	line := fmt.Appendf(nil, "wirepaxos %s version=%d %s value=%d", ending, stateVersion, s.id, value)
	return fmt.Appendf(line, " crc32c=0x%08x\n", crc32.Checksum(line, castagnoli))
}

// decode accepts only what encode writes, to the byte.
func (s *State) decode(ending string, data []byte) (value uint64, ok bool) {
	_, rest, _ := bytes.Cut(data, []byte(" value="))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	value, err := strconv.ParseUint(string(digits), 10, 64)
	return value, err == nil && bytes.Equal(data, s.encode(ending, value))
}

// replace puts a file in place durably. Until the rename the old content stands, whatever fails; the directory's fsync makes the rename
// last. The caller may act on the new content only after a nil error.
func (s *State) replace(ending string, value uint64) error {
	path := s.path(ending)
	temporary := path + ".new" // one is enough, the lock keeps others away; one left by a crash is written over
	step, err := s.write(temporary, s.encode(ending, value))
	if err == nil {
		step, err = "rename", s.disk.Rename(temporary, path)
	}
	if err != nil {
		_ = s.disk.Remove(temporary) // it holds nothing that anyone was promised
	} else if step, err = "fsync", s.disk.SyncDir(s.dir); err == nil {
		return nil
	}
	err = fmt.Errorf("state directory %s: %s of %s.%s: %w: %s", s.dir, step, s.base, ending, reason(err), cure(err))
	if step == "fsync" { // the kernel may have dropped what it could not write, and says so only once
		s.failed = err
	}
	return err
}

// write makes a file with that content, synced, and names the step that failed.
func (s *State) write(path string, data []byte) (step string, err error) {
	file, err := s.disk.Create(path)
	if err != nil {
		return "create", err
	}
	if _, err := file.Write(data); err != nil {
		file.Close()
		return "write", err
	}
	if err := file.Sync(); err != nil {
		file.Close()
		return "fsync", err
	}
	return "close", file.Close()
}
