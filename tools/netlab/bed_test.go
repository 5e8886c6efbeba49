package netlab

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// testBound is how long any one test waits for anything before it fails.
const testBound = time.Minute

// etherTypeTest is the local experimental EtherType, which no kernel answers.
const etherTypeTest = 0x88B5

// needLab skips where no lab can be built, and says why.
func needLab(t *testing.T) {
	t.Helper()
	if err := Supported(); err != nil {
		t.Skipf("needs root and veth: %v", err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testBound)
	t.Cleanup(cancel)
	return ctx
}

// up builds a lab named after the test, which takes it down.
func up(t *testing.T, spec Spec) *Lab {
	t.Helper()
	needLab(t)
	if spec.Name == "" {
		spec.Name = nameFor(t)
	}
	lab, err := Up(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Errorf("down: %v", err)
		}
		if left := leftovers(t, spec.Name); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return lab
}

// nameFor makes a lab's name of a test's, its process in it so that two test runs do not meet.
func nameFor(t *testing.T) string {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(strings.TrimPrefix(t.Name(), "Test")))
	return name[:min(len(name), 14)] + "_" + pidText()
}

func pidText() string { return strings.ToLower(big(os.Getpid())) }

// big writes a number in few letters.
func big(n int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	if n < len(digits) {
		return digits[n : n+1]
	}
	return big(n/len(digits)) + digits[n%len(digits):n%len(digits)+1]
}

func hostsNamed(names ...string) []HostSpec {
	hosts := make([]HostSpec, len(names))
	for i, name := range names {
		hosts[i].Name = name
	}
	return hosts
}

// leftovers lists the files and namespaces of a lab.
func leftovers(t *testing.T, lab string) []string {
	t.Helper()
	var left []string
	for dir, prefix := range map[string]string{stateDir: lab + ".", namespaceDir: "wp-" + lab + "-"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), prefix) {
				left = append(left, entry.Name())
			}
		}
	}
	return left
}

// switchPrograms lists the programs on a lab's switch ends: none if it has no switch.
func switchPrograms(t *testing.T, lab *Lab) (ids []ebpf.ProgramID) {
	t.Helper()
	if lab.Direct() {
		return nil
	}
	err := inNamespace(namespaceOf(lab.Name(), switchName), func() error {
		for slot := range lab.Hosts() {
			link, err := netlink.LinkByName(endName(slot))
			if err != nil {
				return err
			}
			ids = append(ids, ebpf.ProgramID(link.Attrs().Xdp.ProgId))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// loaded tells whether the kernel still has a program.
func loaded(id ebpf.ProgramID) bool {
	prog, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return false
	}
	_ = prog.Close()
	return true
}

// eventually waits until ok, for what the kernel finishes behind our back.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testBound); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", testBound, what)
		}
	}
}

// wire is a packet socket on a host's interface: it sends and receives whole frames.
type wire struct {
	t    *testing.T
	lab  *Lab
	host Host
	fd   int
	sent uint64 // frames
}

// plug opens a wire for one EtherType; 0x0003 is all of them.
func plug(t *testing.T, lab *Lab, host string, etherType uint16) *wire {
	t.Helper()
	h, err := lab.Host(host)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, lab: lab, host: h}
	err = lab.Do(host, func() error {
		swapped := etherType<<8 | etherType>>8
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(swapped))
		if err != nil {
			return err
		}
		w.fd = fd
		link, err := net.InterfaceByName(h.Interface)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		// What this end sends itself is no arrival.
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swapped, Ifindex: link.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(w.fd) })
	return w
}

// frameTo builds a frame of the test's EtherType with a number as its payload.
func (w *wire) frameTo(to net.HardwareAddr, number int) []byte {
	frame := make([]byte, 64)
	copy(frame, to)
	copy(frame[6:], w.host.MAC)
	binary.BigEndian.PutUint16(frame[12:], etherTypeTest)
	binary.LittleEndian.PutUint32(frame[14:], uint32(number))
	return frame
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	if _, err := unix.Write(w.fd, frame); err != nil {
		w.t.Fatalf("host %s: send: %v", w.host.Name, err)
	}
	w.sent++
}

// receive returns the next frame, or nil if none comes within the bound.
func (w *wire) receive(bound time.Duration) []byte {
	w.t.Helper()
	buffer := make([]byte, 8192)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, int(bound.Milliseconds()))
	if n == 0 || err != nil {
		return nil
	}
	n, _, err = unix.Recvfrom(w.fd, buffer, unix.MSG_DONTWAIT)
	if err != nil {
		w.t.Fatalf("host %s: receive: %v", w.host.Name, err)
	}
	return buffer[:n]
}

// settle waits until the switch has treated all that the wires have sent: with too few cores it does so behind the sender's back.
func settle(t *testing.T, wires ...*wire) {
	t.Helper()
	for _, w := range wires {
		eventually(t, "the switch has treated all frames of host "+w.host.Name, func() bool {
			c := counters(t, w.lab, w.host.Name)
			return c.Forwarded+c.Dropped+c.Delayed+c.Unknown+c.Cut >= w.sent && c.Released >= c.Delayed
		})
	}
}

// count waits for as many numbered frames as should come, then for a quiet time for those that should not, and counts each number.
func (w *wire) count(total int) map[int]int {
	w.t.Helper()
	seen := make(map[int]int)
	for got := 0; ; got++ {
		wait := quiet
		if got < total {
			wait = testBound
		}
		frame := w.receive(wait)
		if frame == nil {
			return seen
		}
		seen[int(binary.LittleEndian.Uint32(frame[14:]))]++
	}
}

// quiet is how long a test waits for what should not happen.
const quiet = 100 * time.Millisecond

func counters(t *testing.T, lab *Lab, host string) Counters {
	t.Helper()
	all, err := lab.Counters()
	if err != nil {
		t.Fatal(err)
	}
	slot, err := lab.slot(host)
	if err != nil {
		t.Fatal(err)
	}
	return all[slot]
}

// sleeper is a program that runs until it is ended.
func sleeper() *exec.Cmd {
	return exec.Command("sleep", "1000")
}
