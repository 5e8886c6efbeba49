package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string, cluster uint64, group, node uint16) *State {
	t.Helper()
	s, err := OpenState(dir, cluster, group, node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestReserveRounds(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 7, 1, 3)
	reserve := func(atLeast, n, wantFirst, wantLimit uint64) {
		t.Helper()
		first, limit, err := s.ReserveRounds(atLeast, n)
		if err != nil || first != wantFirst || limit != wantLimit {
			t.Errorf("ReserveRounds(%d, %d) = %d, %d, %v, want %d, %d", atLeast, n, first, limit, err, wantFirst, wantLimit)
		}
	}
	reserve(0, 10, 1, 11)
	reserve(0, 10, 11, 21)
	reserve(100, 5, 100, 105)
	reserve(50, 5, 105, 110)
	s.Close()
	if _, _, err := s.ReserveRounds(0, 1); err == nil {
		t.Error("a closed state gave out rounds")
	}
	s = open(t, dir, 7, 1, 3)
	reserve(0, 1, 110, 111)
	reserve(0, MaxRound-111, 111, MaxRound)
	for _, ask := range [][2]uint64{{0, 1}, {0, 0}, {0, MaxRound + 1}, {1 << 63, 1 << 63}, {^uint64(0), ^uint64(0)}} {
		if first, limit, err := s.ReserveRounds(ask[0], ask[1]); err == nil {
			t.Errorf("ReserveRounds(%d, %d) = %d, %d", ask[0], ask[1], first, limit)
		}
	}
}

func TestMark(t *testing.T) {
	dir := t.TempDir()
	mark := func(cluster uint64, group, node uint16, want bool) {
		t.Helper()
		s := open(t, dir, cluster, group, node)
		defer s.Close()
		if existed, err := s.Mark(); err != nil || existed != want {
			t.Errorf("Mark of %x %d %d = %v, %v, want %v", cluster, group, node, existed, err, want)
		}
	}
	mark(7, 1, 3, false)
	mark(7, 1, 3, true)
	mark(8, 1, 3, false) // another cluster's marker does not count
	mark(7, 2, 3, false)
	mark(7, 1, 4, false)
	mark(7, 1, 3, true)
}

// TestLeftovers: what a crash left beside the files does not matter.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 7, 1, 3)
	for _, ending := range []string{"rounds", "marker"} {
		if err := os.WriteFile(s.path(ending)+".new", []byte(strings.Repeat("half", 500)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if existed, err := s.Mark(); existed || err != nil {
		t.Errorf("Mark = %v, %v", existed, err)
	}
	if first, _, err := s.ReserveRounds(0, 1); first != 1 || err != nil {
		t.Errorf("ReserveRounds = %d, %v", first, err)
	}
	s.Close()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 3 {
		t.Errorf("left in the directory: %v, %v", names, err)
	}
	if existed, err := open(t, dir, 7, 1, 3).Mark(); !existed || err != nil {
		t.Errorf("Mark after a restart = %v, %v", existed, err)
	}
}

// TestNotOurs: a file of another node under our name, a link to nowhere, a directory or a pipe is an error, not a first start.
func TestNotOurs(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"other node":   func(path string) error { return os.Link(strings.Replace(path, "-n3.", "-n4.", 1), path) },
		"empty":        func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"too long":     func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) },
		"link nowhere": func(path string) error { return os.Symlink("nowhere", path) },
		"directory":    func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":         func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			other := open(t, dir, 7, 1, 4)
			other.Mark()
			other.ReserveRounds(0, 1)
			s := open(t, dir, 7, 1, 3)
			for _, ending := range []string{"rounds", "marker"} {
				if err := put(s.path(ending)); err != nil {
					t.Fatal(err)
				}
			}
			if existed, err := s.Mark(); err == nil || !strings.Contains(err.Error(), "must not vote") {
				t.Errorf("Mark = %v, %v", existed, err)
			}
			if _, err := s.Mark(); name == "pipe" && !strings.Contains(err.Error(), "it is not a regular file") {
				t.Errorf("Mark = %v", err) // reading it would wait for as long as someone has it open
			}
			if first, _, err := s.ReserveRounds(0, 1); err == nil || !strings.Contains(err.Error(), "must not lead") {
				t.Errorf("ReserveRounds = %d, %v", first, err)
			}
		})
	}
}

func TestOpenStateErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir     string
		cluster uint64
		want    string
	}{
		{filepath.Join(dir, "missing"), 7, "does not exist: make it"},
		{file, 7, "is not a directory: name a directory"},
		{"", 7, "is missing: name one"},
		{dir, 0, "must not be 0"},
	} {
		if s, err := OpenState(c.dir, c.cluster, 1, 3); s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.dir, err, c.want)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("something was left behind: %v", names)
	}
}

// TestReadOnlyDirectory uses a mode that keeps users out, which root does not notice, or a read-only mount, which only root can make.
func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		dir := "/proc/self/fdinfo" // a directory in which nobody can make a file
		if _, err := OpenState(dir, 7, 1, 3); err == nil || !strings.Contains(err.Error(), "state directory "+dir) {
			t.Errorf("%s: %v", dir, err)
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(dir, 7, 1, 3); !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "let this user write there") {
		t.Errorf("%v", err)
	}
}

func TestVolatile(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("needs /dev/shm to be a tmpfs")
	}
	dir, err := os.MkdirTemp("/dev/shm", "wirepaxos-test-")
	if err != nil {
		t.Skipf("needs a writable /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if !open(t, dir, 7, 1, 3).Volatile() {
		t.Error("a tmpfs is not called volatile")
	}
}

// lockedEnv makes the test binary hold a lock in that directory until its standard input ends.
const lockedEnv = "WIREPAXOS_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(lockedEnv); dir != "" {
		if _, err := OpenState(dir, 7, 1, 3); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), lockedEnv+"="+dir)
	in, err := child.StdinPipe() // ends with this process, and the child with it
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("child: %q, %v", line, err)
	}
	want := fmt.Sprintf("node 3: is run by pid %d already: end that one first", child.Process.Pid)
	if _, err := OpenState(dir, 7, 1, 3); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("beside another process: %v, want %q", err, want)
	}
	open(t, dir, 7, 1, 4) // another node is free
	child.Process.Kill()
	child.Wait()
	s := open(t, dir, 7, 1, 3)
	if _, err := OpenState(dir, 7, 1, 3); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d ", os.Getpid())) {
		t.Errorf("twice in this process: %v", err)
	}
	s.Close()
	s.Close()
	open(t, dir, 7, 1, 3)
}
