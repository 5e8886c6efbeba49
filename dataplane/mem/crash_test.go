package mem

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"wirepaxos/dataplane"
)

// TestMain becomes the other process of TestKilledProcess when asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MEM_TEST_PEER_DIR"); dir != "" {
		if err := peerProcess(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// peerProcess is side B: it floods A with frames that tell their own content, checks what comes, holds some of it, and says "met"
// once when the first frame came. It lives until it is killed, at most a minute.
func peerProcess(dir string) error {
	p, err := OpenShared(Config{Dir: dir, Side: B, Frames: 64, MTU: 256})
	if err != nil {
		return err
	}
	var t traffic
	for begin, said := time.Now(), false; time.Since(begin) < time.Minute; {
		if err := t.cycle(p); err != nil {
			return err
		}
		if !said && t.received > 0 {
			said = true
			fmt.Println("met")
		}
	}
	return nil
}

// traffic is a loop that sends all it can, checks all that comes, and holds the last few frames for a while.
type traffic struct {
	received, sent uint64
	held           []dataplane.Frame
	copies         [][]byte
}

func (t *traffic) cycle(p *Port) error {
	var frames [8]dataplane.Frame
	n := p.Alloc(frames[:])
	for i := range frames[:n] {
		t.sent++
		data := frames[i].Data[:8+t.sent*13%240]
		for at := range data {
			data[at] = byte(t.sent * 31)
		}
		binary.LittleEndian.PutUint32(data, uint32(t.sent))
		binary.LittleEndian.PutUint32(data[4:], uint32(len(data)))
		frames[i].Peer, frames[i].Data = 0, data
	}
	p.Free(frames[p.TxBurst(frames[:n]):n])
	p.Flush()
	n = p.RxBurst(frames[:])
	for _, f := range frames[:n] {
		if err := t.check(f.Data); err != nil {
			return err
		}
		t.received++
		t.held = append(t.held, f)
		t.copies = append(t.copies, append([]byte(nil), f.Data...))
	}
	for len(t.held) > 20 {
		if string(t.held[0].Data) != string(t.copies[0]) {
			return fmt.Errorf("%v: a held frame changed", p.side)
		}
		p.Free(t.held[:1])
		t.held, t.copies = t.held[1:], t.copies[1:]
	}
	if p.counters.RxMalformed != 0 {
		return fmt.Errorf("%v: %d entries were nonsense", p.side, p.counters.RxMalformed)
	}
	return nil
}

func (t *traffic) check(data []byte) error {
	seq := binary.LittleEndian.Uint32(data)
	if n := binary.LittleEndian.Uint32(data[4:]); int(n) != len(data) {
		return fmt.Errorf("frame %d of %d bytes says %d", seq, len(data), n)
	}
	for _, b := range data[8:] {
		if b != byte(seq*31) {
			return fmt.Errorf("frame %d of %d bytes is torn", seq, len(data))
		}
	}
	return nil
}

// Side B is a process of its own, killed with SIGKILL amid its traffic and started again, with and without a restart of A meanwhile.
// Nothing that either side receives or holds is ever torn, no cell is lost, and each new incarnation is heard.
func TestKilledProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self/exe"); err != nil {
		t.Skipf("needs /proc to start itself again: %v", err)
	}
	c := Config{Dir: t.TempDir(), Side: A, Frames: 64, MTU: 256}
	a := mustShared(t, c)
	var own traffic
	for round := range 12 {
		peer := exec.Command("/proc/self/exe")
		peer.Env = append(os.Environ(), "MEM_TEST_PEER_DIR="+c.Dir)
		peer.Stderr = os.Stderr
		out, err := peer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := peer.Start(); err != nil {
			t.Fatal(err)
		}
		met := make(chan bool, 1)
		go func() { met <- bufio.NewScanner(out).Scan() }()
		heard, from, hears := false, own.received, false
		for begin := time.Now(); !heard || !hears || own.received < from+2000; {
			select {
			case heard = <-met:
				if !heard {
					peer.Wait()
					t.Fatal("the peer gave up")
				}
			default:
			}
			hears = own.received > from
			if err := own.cycle(a); err != nil {
				peer.Process.Kill()
				peer.Wait()
				t.Fatal(err)
			}
			if time.Since(begin) > 20*time.Second {
				peer.Process.Kill()
				peer.Wait()
				t.Fatalf("round %d: heard %v, %d frames came", round, heard, own.received-from)
			}
		}
		peer.Process.Kill()
		if round%2 == 0 { // go on while it dies
			for range 2000 {
				if err := own.cycle(a); err != nil {
					t.Fatal(err)
				}
			}
		}
		peer.Wait()
		if round%3 == 2 {
			kill(a)
			a = mustShared(t, c)
			own.held, own.copies = nil, nil
		}
	}
}
