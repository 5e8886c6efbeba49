package afxdp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// Tests of several processes start this binary again with a child in the environment variable childEnv.
const childEnv = "WIREPAXOS_AFXDP_TEST_CHILD"

// child is what such a process shall do: open a port, say "open MODE" or the error, and echo until its standard input ends.
type child struct {
	Config    Config
	Drop      []int // capabilities that it gives up first
	DropAll   bool
	LockedKiB uint64 // memory that it may lock without CAP_IPC_LOCK; 0: as before
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		runtime.LockOSThread()
		var c child
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(c.run())
	}
	os.Exit(m.Run())
}

func (c *child) run() int {
	if err := c.drop(); err != nil {
		fmt.Println(err)
		return 1
	}
	p, err := Open(c.Config)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	fmt.Println("open", p.Info().Mode)
	var done atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		done.Store(true)
	}()
	var rx, tx [16]dataplane.Frame
	for !done.Load() {
		n := p.RxBurst(rx[:])
		k := p.Alloc(tx[:n])
		for i := range k {
			tx[i].Data = append(tx[i].Data, rx[i].Data...)
			tx[i].Peer = rx[i].Peer
		}
		p.Free(tx[p.TxBurst(tx[:k]):k])
		p.Free(rx[:n])
		p.Flush()
		if n == 0 {
			runtime.Gosched()
		}
	}
	if err := p.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// drop gives up capabilities of this thread.
func (c *child) drop() error {
	if !c.DropAll && len(c.Drop) == 0 {
		return nil
	}
	if c.LockedKiB != 0 {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: c.LockedKiB << 10, Max: c.LockedKiB << 10}); err != nil {
			return err
		}
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if !c.DropAll {
		if err := unix.Capget(&head, &data[0]); err != nil {
			return err
		}
		for _, n := range c.Drop {
			data[n/32].Effective &^= 1 << (n % 32)
			data[n/32].Permitted &^= 1 << (n % 32)
		}
		data[0].Inheritable = 0
		data[1].Inheritable = 0
	}
	return unix.Capset(&head, &data[0])
}

// running is a child that was started.
type running struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	answer chan string
	ended  bool
}

// start starts a child in the network namespace of the calling thread. It is killed at the end of the test at the latest.
func start(t *testing.T, c child) *running {
	t.Helper()
	text, err := json.Marshal(c)
	must(t, err)
	r := &running{cmd: exec.Command(os.Args[0]), answer: make(chan string, 1)}
	r.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	must(t, err)
	r.stdin, err = r.cmd.StdinPipe()
	must(t, err)
	must(t, r.cmd.Start())
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		r.answer <- strings.TrimSpace(line)
	}()
	t.Cleanup(r.kill)
	return r
}

// says waits for the child's line.
func (r *running) says(t *testing.T) string {
	t.Helper()
	select {
	case line := <-r.answer:
		return line
	case <-time.After(patience):
		t.Fatal("the child says nothing")
		return ""
	}
}

// kill ends the child with SIGKILL and waits for its end.
func (r *running) kill() {
	if !r.ended {
		r.ended = true
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
	}
}

// stop lets the child close its port and end.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.ended = true
	must(t, r.stdin.Close())
	must(t, r.cmd.Wait())
}

// eventually waits until done answers true, or fails.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for start := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
