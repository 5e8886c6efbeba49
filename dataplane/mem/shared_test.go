package mem

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/porttest"
)

func mustShared(t testing.TB, c Config) *Port {
	t.Helper()
	p, err := OpenShared(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// on is the configuration of one side.
func on(c Config, side Side) Config {
	c.Side = side
	return c
}

// kill lets go of p as the kernel does for a dead process: nothing is written any more.
func kill(p *Port) {
	p.file.abandon()
	p.bell.close()
	p.ready = false
}

func TestConformanceShared(t *testing.T) {
	porttest.Run(t, func(t *testing.T) *porttest.Pair {
		c := Config{Dir: t.TempDir(), Frames: 256}
		p := &porttest.Pair{B: mustShared(t, on(c, B)), A: mustShared(t, on(c, A))}
		p.KillB = func() { kill(p.B.(*Port)) }
		p.ReopenB = func() dataplane.Port { return mustShared(t, on(c, B)) }
		return p
	})
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestFilesComeAndGo(t *testing.T) {
	c := Config{Dir: t.TempDir(), Name: "r"}
	a := mustShared(t, on(c, A))
	b := mustShared(t, on(c, B))
	for _, name := range []string{"r.ring", "r.a.bell", "r.b.bell"} {
		st, err := os.Stat(filepath.Join(c.Dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v", name, err, st.Mode())
		}
	}
	a.Close()
	if got := files(t, c.Dir); len(got) != 3 {
		t.Errorf("with one side left there is %v", got)
	}
	a = mustShared(t, on(c, A))
	b.Close()
	a.Close()
	if got := files(t, c.Dir); len(got) != 0 {
		t.Errorf("both sides left %v", got)
	}
	a, b = mustShared(t, on(c, A)), mustShared(t, on(c, B))
	kill(b)
	kill(a)
	if got := files(t, c.Dir); len(got) != 3 {
		t.Errorf("two dead sides left %v", got)
	}
	b = mustShared(t, on(c, B)) // what they left is used again
	b.Close()
	if got := files(t, c.Dir); len(got) != 0 {
		t.Errorf("the last side left %v", got)
	}
}

func TestSideIsHeldByOne(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	a := mustShared(t, on(c, A))
	_, err := OpenShared(on(c, A))
	if err == nil || !strings.Contains(err.Error(), "side A is held by pid ") || !strings.Contains(err.Error(), "open side B") {
		t.Fatalf("a second side A: %v", err)
	}
	mustShared(t, on(c, B))
	kill(a)
	mustShared(t, on(c, A))
}

func TestStrangeFiles(t *testing.T) {
	garbage := make([]byte, 100_000)
	for i := range garbage {
		garbage[i] = byte(i*7 + 1)
	}
	dir := t.TempDir()
	c := Config{Dir: dir, Name: "r"}
	path := filepath.Join(dir, "r.ring")
	whole := layoutOf(Config{Frames: DefaultFrames, MTU: DefaultMTU})
	stamped := func(version, frames uint64, size int) []byte {
		b := make([]byte, size)
		form := whole.form()
		form[0], form[1] = version, frames
		binary.NativeEndian.PutUint64(b, formMagic)
		for i, v := range form {
			binary.NativeEndian.PutUint64(b[atForm+8*i:], v)
		}
		return b
	}
	sameLength := make([]byte, whole.bytes)
	copy(sameLength, garbage)
	halfZero := make([]byte, whole.bytes)
	halfZero[3000] = 1
	for name, x := range map[string]struct {
		content []byte
		want    string
	}{
		"short":             {garbage[:10], "not a ring's file"},
		"garbage":           {garbage, "not a ring's file"},
		"garbage, length":   {sameLength, "not a ring's file"},
		"zeros and a one":   {halfZero, "not a ring's file"},
		"other version":     {stamped(2, DefaultFrames, whole.bytes), "format 2, here 1"},
		"other frames":      {stamped(1, 512, 1<<20), "made for 512 frames of 1472 bytes, asked for 1024 of 1472"},
		"form and length":   {stamped(1, 512, whole.bytes), "made for 512 frames"},
		"a form, other end": {stamped(9, 512, 1<<20), "format 9"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, x.content, 0o600); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			p, err := OpenShared(c)
			if err == nil {
				p.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "remove") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q lacks %q or what to do", err, x.want)
			}
			if now, _ := os.ReadFile(path); string(now) != string(x.content) {
				t.Error("the file was changed")
			}
			if got := files(t, dir); len(got) != 1 {
				t.Errorf("left %v", got)
			}
		})
	}
}

func TestOpenSharedSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.ring")
	fails := func(name, want string, c Config) {
		t.Helper()
		p, err := OpenShared(c)
		if err == nil {
			p.Close()
			t.Fatalf("%s: opened", name)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q lacks %q", name, err, want)
		}
	}
	c := Config{Dir: dir, Name: "r"}
	fails("no directory", "the directory must exist", Config{Dir: filepath.Join(dir, "missing")})
	if err := os.Symlink("/dev/null", path); err != nil {
		t.Fatal(err)
	}
	fails("symbolic link", "symbolic link", c)
	os.Remove(path)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("FIFO", "not a regular file", c)
	os.Remove(path)
	bell := filepath.Join(dir, "r.b.bell")
	if err := os.WriteFile(bell, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails("bell is a file", "not a FIFO", c)
	if got := files(t, dir); len(got) != 1 || got[0] != "r.b.bell" {
		t.Errorf("a start that failed left %v", got)
	}
}

// A file that the last side removes while another waits for its turn to start is not the one to use.
func TestFileIsReplacedDuringStart(t *testing.T) {
	c := Config{Dir: t.TempDir(), Name: "r"}
	path := filepath.Join(c.Dir, "r.ring")
	first, err := holdFile(path, B) // and with it the start lock
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Port, 1)
	go func() {
		p, err := OpenShared(on(c, A))
		if err != nil {
			t.Error(err)
		}
		opened <- p
	}()
	waitForDescriptor(t, path, 2)
	if err := unix.Unlink(path); err != nil {
		t.Fatal(err)
	}
	first.abandon()
	a := <-opened
	if a == nil {
		return
	}
	defer a.Close()
	b := mustShared(t, on(c, B))
	greet(t, a, b)
}

// waitForDescriptor waits until this process has a file open n times.
func waitForDescriptor(t *testing.T, path string, n int) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 4*time.Second; time.Sleep(time.Millisecond) {
		open := 0
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("needs /proc: %v", err)
		}
		for _, e := range entries {
			if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); target == path {
				open++
			}
		}
		if open == n {
			return
		}
	}
	t.Fatalf("%s is not open %d times", path, n)
}

// A file whose maker died before it was done is finished by the next.
func TestUnfinishedFiles(t *testing.T) {
	c := Config{Dir: t.TempDir(), Name: "r"}
	path := filepath.Join(c.Dir, "r.ring")
	l := layoutOf(Config{Frames: DefaultFrames, MTU: DefaultMTU})
	sized := make([]byte, l.bytes)
	formed := make([]byte, l.bytes)
	binary.NativeEndian.PutUint64(formed[atForm:], 1)
	for _, content := range [][]byte{{}, sized, formed} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		mustShared(t, on(c, A)).Close()
	}
}
