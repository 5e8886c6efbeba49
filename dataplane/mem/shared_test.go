package mem

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// exchange sends n frames of one byte and expects them.
func exchange(t *testing.T, from, to *Port, n int) {
	t.Helper()
	frames := make([]dataplane.Frame, n)
	if got := from.Alloc(frames); got != n {
		t.Fatalf("Alloc gave %d of %d", got, n)
	}
	for i := range frames {
		frames[i].Peer, frames[i].Data = 0, append(frames[i].Data, byte(i))
	}
	if took := from.TxBurst(frames); took != n {
		t.Fatalf("TxBurst took %d of %d", took, n)
	}
	from.Flush()
	if got := to.RxBurst(frames); got != n {
		t.Fatalf("%d of %d frames came", got, n)
	}
	for i := range frames {
		if len(frames[i].Data) != 1 || frames[i].Data[0] != byte(i) {
			t.Fatalf("frame %d is %v", i, frames[i].Data)
		}
	}
	to.Free(frames)
}

// greet lets both sides take the steps of session.go until they have met.
func greet(t *testing.T, a, b *Port) {
	t.Helper()
	var frames [64]dataplane.Frame
	for range 3 {
		for _, p := range []*Port{a, b} {
			p.Free(frames[:p.RxBurst(frames[:])]) // a survivor first reads what the dead one had published
		}
	}
	if !a.ready || !b.ready || a.session != b.session {
		t.Fatalf("not met: A ready %v in %d, B ready %v in %d", a.ready, a.session, b.ready, b.session)
	}
}

// The survivor's caller still reads frames of a peer that died: the peer that comes back does not write over them, and gets their cells
// back when they are freed.
func TestSurvivorHoldsFrames(t *testing.T) {
	c := Config{Dir: t.TempDir(), Frames: 64}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	var held, frames [64]dataplane.Frame
	for i := range b.Alloc(held[:40]) {
		held[i].Peer, held[i].Data = 0, append(held[i].Data, byte(i))
	}
	b.TxBurst(held[:40])
	b.Flush()
	if n := a.RxBurst(held[:30]); n != 30 { // 10 stay in the ring
		t.Fatalf("%d frames came", n)
	}
	a.Free(held[20:30])
	for range 3 {
		kill(b)
		b = mustShared(t, on(c, B))
		greet(t, a, b)
		n := b.Alloc(frames[:])
		if n != 64-20 {
			t.Fatalf("B found %d free cells; A holds 20 of 64", n)
		}
		for i := range frames[:n] {
			frames[i].Peer, frames[i].Data = 0, frames[i].Data[:1]
			frames[i].Data[0] = 0xFF
		}
		b.Free(frames[:n])
		for i := range held[:20] {
			if held[i].Data[0] != byte(i) {
				t.Fatalf("held frame %d was overwritten", i)
			}
		}
	}
	a.Free(held[:20])
	exchange(t, b, a, 44)
	exchange(t, b, a, 64)
	exchange(t, a, b, 64)
}

// The survivor's own cells come back from the dead: those in the ring, those held there, those queued and not flushed; the ones that its caller
// has stay with the caller.
func TestSurvivorGetsItsCellsBack(t *testing.T) {
	c := Config{Dir: t.TempDir(), Frames: 64}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	var sent, frames [64]dataplane.Frame
	a.Alloc(sent[:])
	for i := range sent {
		sent[i].Peer, sent[i].Data = 0, append(sent[i].Data, 1)
	}
	a.TxBurst(sent[:40])
	a.Flush()
	a.TxBurst(sent[40:60])
	if n := b.RxBurst(frames[:20]); n != 20 {
		t.Fatalf("%d frames came", n)
	}
	b.Free(frames[:5])
	kill(b)
	b = mustShared(t, on(c, B))
	greet(t, a, b)
	if n := b.RxBurst(frames[:]); n != 0 {
		t.Errorf("%d frames of the old session came", n)
	}
	if n := a.Alloc(frames[:]); n != 60 {
		t.Fatalf("A found %d free cells, not 60", n)
	}
	a.Free(frames[:60])
	if n := a.TxBurst(sent[60:]); n != 4 { // the caller's are as good as ever
		t.Fatalf("TxBurst took %d of 4", n)
	}
	a.Flush()
	if n := b.RxBurst(frames[:]); n != 4 {
		t.Fatalf("%d of 4 frames came", n)
	}
	b.Free(frames[:4])
	exchange(t, a, b, 64)
}

// An index left by a dead side is never taken for one of the new session, whatever its count.
func TestIndexOfAnotherSession(t *testing.T) {
	c := Config{Dir: t.TempDir(), Frames: 64}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	exchange(t, b, a, 10)
	old := a.session
	kill(b)
	b = mustShared(t, on(c, B))
	b.me.sent.Store(indexWord(old+7, 13)) // as if A looked before B had prepared
	var frames [64]dataplane.Frame
	if n := a.RxBurst(frames[:]); n != 0 {
		t.Fatalf("%d frames came out of nothing", n)
	}
	greet(t, a, b)
	exchange(t, b, a, 10)
	if a.Counters().RxMalformed+b.Counters().RxMalformed != 0 {
		t.Error("a new incarnation was counted as nonsense")
	}
}

// What was flushed before a clean close can still be received.
func TestLastWords(t *testing.T) {
	c := Config{Dir: t.TempDir()}
	a, b := mustShared(t, on(c, A)), mustShared(t, on(c, B))
	greet(t, a, b)
	var frames [3]dataplane.Frame
	b.Alloc(frames[:])
	for i := range frames {
		frames[i].Peer, frames[i].Data = 0, append(frames[i].Data, byte(i))
	}
	b.TxBurst(frames[:])
	b.Flush()
	b.Close()
	if n := a.RxBurst(frames[:]); n != 3 || frames[2].Data[0] != 2 {
		t.Errorf("%d of 3 frames came", n)
	}
	a.Free(frames[:])
}
