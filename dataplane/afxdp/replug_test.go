package afxdp

import (
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"wirepaxos/dataplane"
)

// A port is closed at whatever point of its interface's going and coming, and leaves nothing behind.
func TestClosedWhileGone(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	ca.Listen = []net.HardwareAddr{groupMAC}
	// What the first use opens for good is opened now.
	warm, err := Open(ca)
	must(t, err)
	unplug(t)
	eventually(t, "the loop takes its leave", func() bool { breathe(warm); return warm.steering == nil })
	must(t, warm.Close())
	before := leftovers(t)
	settled := func(p *Port, state string) func() bool {
		return func() bool { return p.Health().State == state }
	}
	for name, close := range map[string]func(p *Port){
		"before the loop knew": func(p *Port) {
			eventually(t, "noticing", settled(p, LinkGone))
		},
		"while it was away": func(p *Port) {
			eventually(t, "the loop takes its leave", func() bool { breathe(p); return p.steering == nil })
		},
		"before the loop took what was opened anew": func(p *Port) {
			eventually(t, "the loop takes its leave", func() bool { breathe(p); return p.steering == nil })
			plug(t, 1, macA[:])
			eventually(t, "an offer", func() bool { return p.mail.offered.Load() != nil })
			unplug(t)
		},
		"at once": func(*Port) {},
	} {
		t.Run(name, func(t *testing.T) {
			plug(t, 1, macA[:])
			p, err := Open(ca)
			must(t, err)
			unplug(t)
			close(p)
			start := time.Now()
			must(t, p.Close())
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("closing took %v", took)
			}
			expectNothingLeft(t, before)
		})
	}
	plug(t, 1, macA[:])
	exchange(t, openPort(t, ca), openPort(t, cb))
}

// What comes back and is not what it was is told, with what to do, and taken once that is done.
func TestComesBackOtherwise(t *testing.T) {
	a, _, told := openTold(t, 2)
	gone := func() {
		t.Helper()
		unplug(t)
		told.expect(t, a, "the interface is gone")
	}
	back := func(times uint64) {
		t.Helper()
		reopened(t, a, times)
		told.expect(t, a, "the queue is bound anew")
		expectTrouble(t, a, "")
	}
	refused := func(words string) {
		t.Helper()
		told.expect(t, a, words)
		eventually(t, "trouble", func() bool { all := a.Trouble(); return len(all) == 2 && contains(all[1], words) })
	}
	gone()
	plug(t, 2, macB[:])
	refused("it has the address 02:00:00:00:00:0b, and the peers know it by 02:00:00:00:00:0a): run `ip link set dev wpa address 02:00:00:00:00:0a`")
	must(t, netlink.LinkSetHardwareAddr(byName(t, nameA), macA[:]))
	back(1)

	gone()
	plug(t, 2, macA[:])
	must(t, netlink.LinkSetDown(byName(t, nameA))) // it may have been opened just before; then it goes down
	eventually(t, "down", func() bool {
		breathe(a)
		return len(a.Trouble()) > 0 && contains(a.Trouble()[len(a.Trouble())-1], "wpa up")
	})
	must(t, netlink.LinkSetUp(byName(t, nameA)))
	reopened(t, a, 2)
	eventually(t, "being told", func() bool { // of the interface, or, where it was opened before it went down, of the link
		all := strings.Split(told.String(), "\n")
		return strings.Contains(all[len(all)-1], " is back after ")
	})
	told.forget()

	gone()
	foreign := foreignOn(t, 2)
	refused(`another XDP program is attached: program "somebody_else"`)
	foreign()
	back(3)
}

func (l *lines) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

// foreignOn plugs the pair in with the program of a stranger on it. The interface is up only once it is there.
func foreignOn(t *testing.T, queues int) (detach func()) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues, attrs.HardwareAddr = nameA, queues, queues, macA[:]
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerHardwareAddr: macB[:],
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues)}))
	l := attachStranger(t, nameA)
	for _, name := range []string{nameB, nameA} {
		must(t, netlink.LinkSetUp(byName(t, name)))
	}
	return func() { l.Close() }
}

// An interface that comes back with fewer queues than it had has none for the port; one that has enough is taken.
func TestComesBackWithFewerQueues(t *testing.T) {
	newNet(t, 2)
	ca, _ := ends(LinkEthernet)
	told := &lines{}
	ca.Tell, ca.Queue = told.tell, 1
	a := openPort(t, ca)
	unplug(t)
	plug(t, 1, macA[:])
	told.expect(t, a, "the interface is gone", "queue does not exist: wpa has queues 0 to 0")
	unplug(t)
	plug(t, 2, macA[:])
	reopened(t, a, 1)
}

// Our program may be taken off by who has the right to. It is told when the counts are read next, and the port puts it back, or waits until it may: a
// stranger's stays.
func TestProgramTakenOff(t *testing.T) {
	newNet(t, 2)
	ca, cb := ends(LinkEthernet)
	told := &lines{}
	ca.Tell = told.tell
	a, other := openPort(t, ca), openPort(t, onQueue(ca, 1))
	b := openPort(t, cb)
	id := attached(t, nameA)
	must(t, TakeOff(a.nic.index, id))
	stranger := attachStranger(t, nameA)
	for _, p := range []*Port{a, other} {
		must(t, p.RefreshDriverCounters())
	}
	eventually(t, "the trouble of both", func() bool {
		breathe(a)
		breathe(other)
		return len(a.Trouble()) == 2 && len(other.Trouble()) == 2 // that it is off, and whose is there
	})
	var all []string
	eventually(t, "a line of both kinds from each", func() bool {
		told.mu.Lock()
		defer told.mu.Unlock()
		all = append([]string(nil), told.all...)
		return len(all) == 4
	})
	for _, words := range []string{"our XDP program was taken off", `program "somebody_else"`} {
		if n := strings.Count(strings.Join(all, "\n"), words); n != 2 {
			t.Errorf("%q is told %d times in %q", words, n, all)
		}
	}
	told.forget()
	must(t, stranger.Close())
	for _, p := range []*Port{a, other} {
		eventually(t, "the return of the program", func() bool { breathe(a); breathe(other); return p.Health().Reopened == 1 })
		must(t, p.RefreshDriverCounters())
		expectTrouble(t, p, "")
	}
	if now := attached(t, nameA); now == 0 || now == id {
		t.Errorf("program %d is attached, was %d", now, id)
	}
	drain(t, a, b)
	exchange(t, a, b)
	expectCells(t, a)
	eventually(t, "being told by both", func() bool {
		return strings.Count(told.String(), "our XDP program is on the interface again after ") == 2
	})
}

// A device that is moved to another namespace is gone, and comes back with the index that it had.
func TestMovedAway(t *testing.T) {
	a, b, told := openTold(t, 1)
	here, err := netns.Get()
	must(t, err)
	defer here.Close()
	elsewhere, err := netns.New() // the thread is there now
	must(t, err)
	defer elsewhere.Close()
	must(t, netns.Set(here))
	l := byName(t, nameA)
	must(t, netlink.LinkSetNsFd(l, int(elsewhere)))
	told.expect(t, a, "the interface is gone")
	must(t, netns.Set(elsewhere))
	must(t, netlink.LinkSetNsFd(byName(t, nameA), int(here)))
	must(t, netns.Set(here))
	must(t, netlink.LinkSetUp(byName(t, nameA)))
	reopened(t, a, 1)
	drain(t, a, b)
	exchange(t, a, b)
	if now := byName(t, nameA).Attrs().Index; now != l.Attrs().Index {
		t.Logf("its index is %d now, and was %d", now, l.Attrs().Index)
	}
}

// Two processes that share an interface both come back to it, and to one program; when they have ended nothing is left on it.
func TestSharersComeBack(t *testing.T) {
	newNet(t, 2)
	ca, cb := ends(LinkEthernet)
	b0, b1 := openPort(t, cb), openPort(t, onQueue(cb, 1))
	first, second := start(t, child{Config: ca}), start(t, child{Config: onQueue(ca, 1)})
	for _, c := range []*running{first, second} {
		if got := c.says(t); got != "open copy" {
			t.Fatal(got)
		}
	}
	for round := range uint64(2) {
		expectEcho(t, b0)
		expectEcho(t, b1)
		unplug(t)
		plug(t, 2, macA[:])
		reopened(t, b0, round+1)
		reopened(t, b1, round+1)
		echoes(t, b0)
		echoes(t, b1)
	}
	first.kill()
	echoes(t, b1)
	second.kill()
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
}

// echoes waits until the peer of p answers: it may just be coming back.
func echoes(t testing.TB, p *Port) {
	t.Helper()
	var frames [32]dataplane.Frame
	eventually(t, "an echo", func() bool {
		sendSome(p, 1, 100)
		n := p.RxBurst(frames[:])
		p.Free(frames[:n])
		return n > 0
	})
	drain(t, p, p)
}

// echoTask is a loop's: it answers what comes, or asks and counts the answers.
type echoTask struct {
	p       *Port
	asks    bool
	answers atomic.Uint64
	rx, tx  [32]dataplane.Frame
}

func (e *echoTask) Cycle(int64) int {
	n := e.p.RxBurst(e.rx[:])
	want := n
	if e.asks {
		e.answers.Add(uint64(n))
		want = 4
	}
	k := e.p.Alloc(e.tx[:want])
	for i := range k {
		e.tx[i].Data, e.tx[i].Peer = e.tx[i].Data[:100], 0
	}
	e.p.Free(e.tx[e.p.TxBurst(e.tx[:k]):k])
	e.p.Free(e.rx[:n])
	e.p.Flush()
	return n
}

func (e *echoTask) Deadline() int64 { return dataplane.Now() + 1e6 }

// Loops go on, whichever way they idle, while their interface goes and comes.
func TestUnpluggedUnderLoad(t *testing.T) {
	for _, idle := range []dataplane.IdleKind{dataplane.IdleYield, dataplane.IdleBlock} {
		t.Run(idle.String(), func(t *testing.T) {
			a, b, told := openTold(t, 1)
			asks, answers := &echoTask{p: a, asks: true}, &echoTask{p: b}
			stop := runLoops(t, idle, asks, answers)
			goesOn := func() {
				t.Helper()
				from := asks.answers.Load()
				eventually(t, "answers", func() bool { return asks.answers.Load() > from+1000 })
			}
			goesOn()
			for round := range uint64(3) {
				unplug(t)
				eventually(t, "noticing", func() bool { return a.Health().State == LinkGone })
				time.Sleep(20 * time.Millisecond)
				plug(t, 1, macA[:])
				eventually(t, "coming back", func() bool { return a.Health().Reopened == round+1 && b.Health().Reopened == round+1 })
				goesOn()
				must(t, netlink.LinkSetDown(byName(t, nameA)))
				must(t, netlink.LinkSetUp(byName(t, nameA)))
				goesOn()
			}
			stop()
			t.Log(told)
			drain(t, a, b)
			for _, p := range []*Port{a, b} {
				expectCells(t, p)
				if p.cells.incoming != p.cells.filled || p.cells.outgoing != 0 {
					t.Errorf("cells are missing: %d of %d incoming in the kernel, %d outgoing", p.cells.filled, p.cells.incoming, p.cells.outgoing)
				}
			}
		})
	}
}

// runLoops gives each task a loop on a thread of its own until stop.
func runLoops(t *testing.T, idle dataplane.IdleKind, tasks ...*echoTask) (stop func()) {
	t.Helper()
	var loops []*dataplane.Loop
	ended := make(chan error, len(tasks))
	for _, task := range tasks {
		l, err := dataplane.NewLoop(dataplane.LoopConfig{Name: "echo", Core: dataplane.NoCore, Idle: idle, Ports: []dataplane.Port{task.p}}, task)
		must(t, err)
		loops = append(loops, l)
		go func() { ended <- l.Run() }()
	}
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		for _, l := range loops {
			l.Stop()
		}
		for range loops {
			must(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return stop
}

// A link that is reset while the port opens is waited for, and how long that took is told; without a link before there is nothing to wait for.
func TestOpeningResetsTheLink(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	told := &lines{}
	ca.Tell = told.tell
	const away = 300 * time.Millisecond
	a, took := openResetting(t, ca, away)
	told.expect(t, a, "opening it reset the link, which is back after")
	if took < away {
		t.Errorf("open after %v; the link was away for %v", took, away)
	}
	exchange(t, a, openPort(t, cb))
	must(t, a.Close())

	ca.LinkWait = 50 * time.Millisecond
	a, took = openResetting(t, ca, time.Second)
	told.expect(t, a, "which is not back after", "the link is down", "the link is back")
	if took > 900*time.Millisecond {
		t.Errorf("open after %v, and it should have waited for %v", took, ca.LinkWait)
	}
	must(t, a.Close())

	ca.LinkWait = 0
	must(t, netlink.LinkSetDown(byName(t, nameB)))
	eventually(t, "no carrier", func() bool { return !hasCarrier(byName(t, nameA)) })
	start := time.Now()
	a, err := Open(ca)
	must(t, err)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it waited for %v for a link that had not been there", took)
	}
	told.expect(t, a, "the link is down")
	must(t, a.Close())
}

// openResetting opens a port with a stand-in for a driver that resets its link when the program is attached: it takes the other end down then, and up again a
// while later. It has the queue itself until it has done so, so that Open cannot be faster.
func openResetting(t *testing.T, c Config, away time.Duration) (p *Port, took time.Duration) {
	t.Helper()
	full, err := c.withDefaults()
	must(t, err)
	n, refused := lookNIC(c.Interface, c.Queue)
	if refused != nil {
		t.Fatal(refused)
	}
	offsets, refused := probeAFXDP()
	if refused != nil {
		t.Fatal(refused)
	}
	holder, refused := openSocket(n, &full, 0, &makings{}, &offsets)
	if refused != nil {
		t.Fatal(refused)
	}
	here, err := netns.Get()
	must(t, err)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and it ends with the goroutine
		defer here.Close()
		done <- resetLink(here, n, holder, away)
	}()
	start := time.Now()
	p, err = Open(c)
	took = time.Since(start)
	if err != nil {
		t.Fatal(err, <-done)
	}
	must(t, <-done)
	return p, took
}

// resetLink is what the stand-in does, on a thread of its own in the namespace.
func resetLink(here netns.NsHandle, n *nic, holder *socket, away time.Duration) error {
	if err := netns.Set(here); err != nil {
		return err
	}
	other, err := netlink.LinkByName(nameB)
	if err != nil {
		return err
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if id, _, err := n.attachedProgram(); err != nil || id != 0 {
			break
		} else if time.Since(start) > patience {
			return os.ErrDeadlineExceeded
		}
	}
	if err := netlink.LinkSetDown(other); err != nil {
		return err
	}
	if err := holder.close(); err != nil {
		return err
	}
	time.Sleep(away)
	return netlink.LinkSetUp(other)
}
