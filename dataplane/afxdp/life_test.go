package afxdp

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// lines are what a port told people.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) tell(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// expect waits until exactly the lines with these words were told, in this order, and forgets them.
func (l *lines) expect(t testing.TB, p *Port, words ...string) {
	t.Helper()
	seen := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.all)
	}
	for start := time.Now(); seen() < len(words); breathe(p) {
		if time.Since(start) > patience {
			t.Fatalf("told:\n%v\nwant lines with %q", l, words)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) != len(words) {
		t.Fatalf("told %q, want lines with %q", l.all, words)
	}
	for i, line := range l.all {
		t.Log(line)
		if !strings.Contains(line, words[i]) || strings.Contains(line, "\n") || !strings.HasPrefix(line, nameA+" queue ") {
			t.Errorf("told %q, want %q in it", line, words[i])
		}
	}
	l.all = nil
}

// breathe is a cycle of a loop that has nothing to do: it drops what it receives.
func breathe(p *Port) {
	var frames [32]dataplane.Frame
	p.Free(frames[:p.RxBurst(frames[:])])
	p.Flush()
	time.Sleep(time.Millisecond)
}

// expectTrouble waits until the port says so, and no more; "": none.
func expectTrouble(t testing.TB, p *Port, words string) {
	t.Helper()
	eventually(t, fmt.Sprintf("trouble %q", words), func() bool {
		breathe(p)
		all := p.Trouble()
		return words == "" && len(all) == 0 || words != "" && len(all) == 1 && strings.Contains(all[0], words)
	})
}

// openTold opens the two ends; what the first one tells is collected.
func openTold(t testing.TB, queues int) (a, b *Port, told *lines) {
	t.Helper()
	newNet(t, queues)
	ca, cb := ends(LinkEthernet)
	told = &lines{}
	ca.Tell = told.tell
	return openPort(t, ca), openPort(t, cb), told
}

// sendSome sends up to n frames and gives back what is not taken.
func sendSome(p *Port, n, size int) (taken int) {
	frames := make([]dataplane.Frame, n)
	n = p.Alloc(frames)
	for i := range frames[:n] {
		frames[i].Data, frames[i].Peer = frames[i].Data[:size], 0
	}
	taken = p.TxBurst(frames[:n])
	p.Free(frames[taken:n])
	p.Flush()
	return taken
}

// An interface that is set down under load costs frames, and nothing else: no call to the kernel is made again and again, no cell is lost, and when it is up again
// frames flow. It is told once when it goes, and once when it is back.
func TestSetDownUnderLoad(t *testing.T) {
	a, b, told := openTold(t, 1)
	exchange(t, a, b)
	must(t, netlink.LinkSetDown(byName(t, nameA)))
	told.expect(t, a, "set down")
	expectTrouble(t, a, "ip link set dev "+nameA+" up")
	calls := a.Counters().Syscalls()
	for range 10_000 {
		sendSome(a, 4, 100)
		var frames [4]dataplane.Frame
		a.Free(frames[:a.RxBurst(frames[:])])
		if !a.Arm() {
			t.Fatal("it would not sleep")
		}
	}
	if n := a.Counters().Syscalls() - calls; n > 10 {
		t.Errorf("%d calls to the kernel while the interface was down", n)
	}
	expectCells(t, a)
	if taken := sendSome(a, 4, 100); taken != 0 || a.Counters().TxFull == 0 {
		t.Errorf("%d frames taken into a full ring: %+v", taken, a.Counters())
	}
	if h := a.Health(); h.State != LinkDown || h.Losses != 1 || h.ForS <= 0 || h.AwayS < h.ForS {
		t.Errorf("%+v", h)
	}
	must(t, netlink.LinkSetUp(byName(t, nameA)))
	told.expect(t, a, "the link is back after")
	expectTrouble(t, a, "")
	drain(t, a, b)
	exchange(t, a, b)
	expectCells(t, a)
	if h := a.Health(); h.State != LinkUp || h.Losses != 1 || h.AwayS <= 0 || h.Reopened != 0 {
		t.Errorf("%+v", h)
	}
}

// drain takes what is on its way between two ports until nothing more comes.
func drain(t testing.TB, a, b *Port) {
	t.Helper()
	var frames [64]dataplane.Frame
	quiet := 0
	eventually(t, "quiet", func() bool {
		n := 0
		for _, p := range []*Port{a, b} {
			k := p.RxBurst(frames[:])
			p.Free(frames[:k])
			p.Flush()
			n += k
		}
		if quiet++; n > 0 {
			quiet = 0
		}
		return quiet > 20 && !a.txPending && !b.txPending
	})
}

// Where the other end is off, the kernel takes frames and drops them: they are counted, and their cells come back.
func TestCarrierLost(t *testing.T) {
	a, b, told := openTold(t, 1)
	exchange(t, a, b)
	must(t, netlink.LinkSetDown(byName(t, nameB)))
	told.expect(t, a, "the link is down")
	expectTrouble(t, a, "cable")
	before := *a.Counters()
	for range 100 {
		sendSome(a, 1, 100)
	}
	for range 1000 {
		a.Flush()
	}
	if c := a.Counters(); c.TxErrors != before.TxErrors+100 || a.txPending || a.cells.outgoing != 0 {
		t.Errorf("%+v, pending %v, %d cells on their way out", c, a.txPending, a.cells.outgoing)
	}
	expectCells(t, a)
	must(t, netlink.LinkSetUp(byName(t, nameB)))
	told.expect(t, a, "the link is back after")
	exchange(t, a, b)
}

// An MTU that became too small is told, and what it costs: what receives drops longer frames, shorter ones pass. Back to the old one all
// pass. One that native XDP cannot have is refused by the kernel.
func TestMTUChangesUnderLoad(t *testing.T) {
	a, b, told := openTold(t, 1)
	passes := func(size int, want bool) {
		t.Helper()
		drain(t, a, b)
		from := b.Counters().RxFrames
		sendSome(a, 8, size)
		drain(t, a, b)
		if got := b.Counters().RxFrames - from; (got == 8) != want || !want && got != 0 {
			t.Errorf("%d of 8 frames of %d bytes came", got, size)
		}
		expectCells(t, a)
	}
	passes(a.MTU(), true)
	for _, name := range []string{nameA, nameB} {
		must(t, netlink.LinkSetMTU(byName(t, name), 1000))
	}
	told.expect(t, a, fmt.Sprintf("MTU is 1000: frames with more than 1000 bytes of payload may be lost, and up to %d are sent", a.MTU()))
	expectTrouble(t, a, "mtu 1500")
	passes(a.MTU(), false)
	if a.Counters().TxErrors == 0 {
		t.Error("frames that were lost are not counted")
	}
	passes(900, true)
	for _, name := range []string{nameA, nameB} {
		must(t, netlink.LinkSetMTU(byName(t, name), 1500))
	}
	told.expect(t, a, "MTU is 1500 again")
	expectTrouble(t, a, "")
	passes(a.MTU(), true)
	if err := netlink.LinkSetMTU(byName(t, nameA), 9000); err == nil {
		t.Error("the kernel let a native program have an MTU of 9000")
	}
	exchange(t, a, b)
}

// What is told of other interfaces costs no memory: a busy machine's containers come and go.
func TestOthersCostNothing(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	w := &watch{index: 7, events: os.NewFile(uintptr(ends[0]), "events")}
	defer w.events.Close()
	event := make([]byte, 32)
	about := func(index uint32) {
		binary.NativeEndian.PutUint32(event[unix.SizeofNlMsghdr+4:], index)
		if n, err := unix.Write(ends[1], event); n != len(event) || err != nil {
			t.Fatal(n, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		about(8)
		about(9)
		about(7)
		if !w.wait() {
			t.Fatal("not heard")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n, err := unix.Read(ends[0], event); err != unix.EAGAIN {
		t.Errorf("another interface ended the wait: %d bytes are left, %v", n, err)
	}
	must(t, unix.Close(ends[1]))
}

// plug makes the pair that newNet made, once more.
func plug(t testing.TB, queues int, mac net.HardwareAddr) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues, attrs.HardwareAddr = nameA, queues, queues, mac
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerHardwareAddr: macB[:],
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues)}))
	for _, name := range []string{nameB, nameA} {
		must(t, netlink.LinkSetUp(byName(t, name)))
	}
}

func unplug(t testing.TB) {
	t.Helper()
	must(t, netlink.LinkDel(byName(t, nameA)))
}

// reopened waits until a port has its interface again.
func reopened(t testing.TB, p *Port, times uint64) {
	t.Helper()
	eventually(t, "opening the port anew", func() bool {
		breathe(p)
		h := p.Health()
		return h.Reopened == times && h.State == LinkUp
	})
}

// A port outlives its interface. While that is gone nothing comes and nothing goes, at no cost; when one of that name is there again both ends go on, with the
// frames that their callers held all the while, as often as it happens, and nothing is left behind of what was before.
func TestUnplugged(t *testing.T) {
	for _, link := range []string{LinkEthernet, LinkUDP4} {
		t.Run(link, func(t *testing.T) {
			newNet(t, 1)
			ca, cb := ends(link)
			ca.Listen = []net.HardwareAddr{groupMAC}
			told := &lines{}
			ca.Tell = told.tell
			a, b := openPort(t, ca), openPort(t, cb)
			held := holdFrames(t, a, b)
			var before leftover
			for round := range uint64(4) {
				old := socketOf(t, a)
				unplug(t)
				told.expect(t, a, "the interface is gone")
				expectTrouble(t, a, "waiting for one of that name")
				whileGone(t, a)
				eventually(t, "the old socket's end", func() bool { return socketOf(t, a) != old })
				plug(t, 1, macA[:])
				reopened(t, a, round+1)
				reopened(t, b, round+1)
				told.expect(t, a, "the queue is bound anew, in mode copy")
				expectTrouble(t, a, "")
				drain(t, a, b)
				exchange(t, a, b)
				expectCells(t, a)
				if listensTo(t, nameA, groupMAC) != 1 || attached(t, nameA) == 0 {
					t.Error("it does not listen, or has no program")
				}
				if round == 0 {
					before = leftovers(t)
				}
			}
			expectNothingLeft(t, before)
			held.expect(t, a, b)
		})
	}
}

// socketOf tells sockets apart that have a descriptor after one another.
func socketOf(t testing.TB, p *Port) string {
	t.Helper()
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", p.FD()))
	must(t, err)
	return name
}

// A UMEM stays what and where it is when the port is opened anew.
func TestUMEMStays(t *testing.T) {
	newNet(t, 1)
	reserveHugepages(t)
	ca, cb := ends(LinkEthernet)
	ca.Hugepages, ca.CellSize = HugepagesOn, LargeCell
	a, b := openPort(t, ca), openPort(t, cb)
	was := a.Info()
	unplug(t)
	eventually(t, "the loop takes its leave", func() bool { breathe(a); return a.steering == nil })
	plug(t, 1, macA[:])
	reopened(t, a, 1)
	reopened(t, b, 1)
	if now := a.Info(); now != was || now.Pages != "huge" || now.Cell != LargeCell {
		t.Errorf("%+v, was %+v", now, was)
	}
	drain(t, a, b)
	exchange(t, a, b)
}

// whileGone tries all that a caller may do with a port without an interface.
func whileGone(t testing.TB, p *Port) {
	t.Helper()
	eventually(t, "the loop takes its leave", func() bool { breathe(p); return p.steering == nil })
	calls := p.Counters().Syscalls()
	for range 1000 {
		sendSome(p, 8, 100)
		var frames [8]dataplane.Frame
		if n := p.RxBurst(frames[:]); n != 0 {
			t.Fatalf("received %d frames from nowhere", n)
		}
		p.refill()
		if !p.Arm() {
			t.Fatal("it would not sleep")
		}
	}
	must(t, p.RefreshDriverCounters())
	if n := p.Counters().Syscalls() - calls; n != 0 {
		t.Errorf("%d calls to the kernel while the interface was gone", n)
	}
	if h := p.Health(); h.State != LinkGone || h.AwayS <= 0 {
		t.Errorf("%+v", h)
	}
	expectCells(t.(*testing.T), p)
}

// heldFrames are frames that a caller keeps for long: one to send and one received.
type heldFrames struct{ empty, received [1]dataplane.Frame }

func holdFrames(t testing.TB, a, b *Port) *heldFrames {
	t.Helper()
	h := &heldFrames{}
	if a.Alloc(h.empty[:]) != 1 {
		t.Fatal("no cell")
	}
	h.empty[0].Data, h.empty[0].Peer = append(h.empty[0].Data, "kept to be sent"...), 0
	frames := make([]dataplane.Frame, 1)
	b.Alloc(frames)
	frames[0].Data, frames[0].Peer = append(frames[0].Data, "kept for long"...), 0
	b.TxBurst(frames)
	b.Flush()
	eventually(t, "a frame", func() bool { return a.RxBurst(h.received[:]) == 1 })
	return h
}

// expect sends the one, which must come as it was written, and looks at the other.
func (h *heldFrames) expect(t testing.TB, a, b *Port) {
	t.Helper()
	if got := string(h.received[0].Data[:13]); got != "kept for long" {
		t.Errorf("the received frame has become %q", got)
	}
	a.Free(h.received[:])
	if a.TxBurst(h.empty[:]) != 1 {
		t.Fatal("not taken")
	}
	a.Flush()
	var frames [1]dataplane.Frame
	eventually(t, "the frame", func() bool { return b.RxBurst(frames[:]) == 1 })
	if got := string(frames[0].Data[:15]); got != "kept to be sent" {
		t.Errorf("%q came", got)
	}
	b.Free(frames[:])
	expectCells(t.(*testing.T), a)
	if a.cells.incoming != a.cells.filled || a.cells.outgoing != 0 {
		t.Errorf("cells are missing: %d of %d incoming in the kernel, %d outgoing", a.cells.filled, a.cells.incoming, a.cells.outgoing)
	}
}
