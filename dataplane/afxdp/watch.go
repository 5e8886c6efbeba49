package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// watch follows what the kernel tells of interfaces (rtnetlink(7), RTNLGRP_LINK) for as long as the port is open, on a goroutine of its own. It sleeps
// until there is something, and allocates nothing for what is told of others. What it may touch of the port is the mailbox and the descriptor;
// link and index change only by what it offers, the rest is the loop's.
type watch struct {
	port   *Port
	config Config // as the port was opened, all defaults in place
	memory []byte // the UMEM
	index  int    // of the interface that the socket is bound to, or was
	needs  int    // the interface's MTU that the longest frame needs
	parked bool   // the interface is gone and the loop knows
	retry  bool   // look again soon, also without an event

	stripped atomic.Bool // the loop saw that our program was taken off, which no event tells

	message [4096]byte // the event that is looked at, or its beginning

	netns  int // the namespace of who opened the port: what is opened anew belongs there
	events *os.File
	stop   atomic.Bool
	done   chan struct{}

	mu     sync.Mutex
	health Health
	since  int64    // when it ceased to be up, or was last so
	excuse struct { // why the port cannot be opened anew
		text  string
		since int64
		told  bool
	}
}

// retryPause is between two tries to open a port anew, and handPause between two looks whether the loop has taken what it was offered.
const (
	retryPause = 200 * time.Millisecond
	handPause  = 2 * time.Millisecond
	excuseNs   = 500e6 // an interface that comes back is not at once what it shall be: what stands in the way is told once it has for so long
)

// attend waits for the link and begins to watch the interface of a port that was just opened. If it cannot, the port is closed.
func (p *Port) attend(config Config) *Error {
	c, wrong := config.withDefaults()
	if wrong == nil {
		p.awaitLink(&c)
		wrong = p.startWatch(c)
	}
	if wrong != nil {
		_ = p.Close() // the first error is the one to tell
		return fault(ErrSocket, wrong, "")
	}
	return nil
}

// awaitLink waits for a link that was there before the port was opened: attaching a program, or binding without copies, makes some drivers reset it, and
// what is sent meanwhile is lost.
func (p *Port) awaitLink(c *Config) {
	const pause, progress = 10 * time.Millisecond, 2 * time.Second
	w := watch{config: *c} // for its lines
	start, told, reset := time.Now(), time.Now(), false
	for p.nic.carrier && c.LinkWait >= 0 {
		link, err := netlink.LinkByIndex(p.nic.index)
		away := time.Since(start)
		switch {
		case err != nil:
			return // the watch tells
		case hasCarrier(link):
			if reset {
				w.tell("opening it reset the link, which is back after %v", away.Round(time.Millisecond))
			}
			return
		case away >= c.LinkWait:
			w.tell("opening it reset the link, which is not back after %v: going on without", away.Round(time.Millisecond))
			return
		case time.Since(told) >= progress:
			told = time.Now()
			w.tell("opening it reset the link; waiting for it, %v so far", away.Round(time.Second))
		}
		reset = true
		time.Sleep(pause)
	}
}

// startWatch begins to watch. It belongs on the thread that opened the port, whose namespace it means.
func (p *Port) startWatch(c Config) error {
	w := &watch{port: p, config: c, memory: p.umem, index: p.nic.index, done: make(chan struct{}), since: dataplane.Now()}
	w.needs = p.mtu + p.headerLen - p.link.LinkLen()
	w.health = Health{State: LinkUp, MTU: p.nic.mtu}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.RTNLGRP_LINK - 1)}); err != nil {
		_ = unix.Close(fd) // the first error is the one to tell
		return fmt.Errorf("listen to changes of interfaces: %w", err)
	}
	if w.netns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("open the network namespace: %w", err)
	}
	w.events = os.NewFile(uintptr(fd), "netlink")
	p.watch = w
	entered := make(chan error, 1)
	go w.run(entered)
	return <-entered // it has all its descriptors from now on
}

// end stops watching. The loop must have ended: what it has not taken is released here.
func (w *watch) end() {
	w.stop.Store(true)
	_ = w.events.Close() // ends the wait
	<-w.done
	_ = unix.Close(w.netns)
}

func (w *watch) run(entered chan<- error) {
	defer close(w.done)
	home, err := enterNetns(w.netns)
	if err != nil { // not in a process with one namespace
		entered <- fmt.Errorf("enter the interface's network namespace again: %w", err)
		return
	}
	defer home()
	entered <- nil
	w.look() // what changed before the first event
	for w.wait() {
		w.look()
	}
}

// enterNetns puts the calling goroutine onto a thread in the namespace until it is sent home. In a process that has one it is there.
func enterNetns(netns int) (home func(), err error) {
	const own = "/proc/thread-self/ns/net"
	runtime.LockOSThread()
	var want, have unix.Stat_t
	if err := errors.Join(unix.Fstat(netns, &want), unix.Stat(own, &have)); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	if want.Ino == have.Ino && want.Dev == have.Dev {
		runtime.UnlockOSThread()
		return func() {}, nil
	}
	former, err := unix.Open(own, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		if err = unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
			_ = unix.Close(former) // the first error is the one to tell
		}
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		if unix.Setns(former, unix.CLONE_NEWNET) == nil { // else the thread ends with the goroutine
			runtime.UnlockOSThread()
		}
		_ = unix.Close(former)
	}, nil
}

// wait waits for an event that may concern the port. It answers false when the port is closed.
func (w *watch) wait() bool {
	deadline := time.Time{} // none
	if w.retry || w.parked {
		deadline = time.Now().Add(retryPause)
	}
	_ = w.events.SetReadDeadline(deadline) // fails only once the file is closed, and then so does the read
	for {
		if w.stripped.Load() {
			return !w.stop.Load()
		}
		n, err := w.events.Read(w.message[:])
		switch {
		case err == nil && !w.parked && !w.concerns(w.message[:n]):
			continue
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ENOBUFS): // the last: some events were lost
			return !w.stop.Load()
		}
		return false
	}
}

// strip makes the watch open the port anew, with our program. The loop calls it.
func (w *watch) strip() {
	w.stripped.Store(true)
	_ = w.events.SetReadDeadline(time.Now()) // ends the wait, or comes before it: then that looks at stripped
}

// concerns tells whether a message is of the interface that the socket is bound to: the index is in the second word behind the header (rtnetlink(7)).
func (w *watch) concerns(message []byte) bool {
	const at = unix.SizeofNlMsghdr + 4
	return len(message) >= at+4 && int(binary.NativeEndian.Uint32(message[at:])) == w.index
}

// look finds out how the interface is now.
func (w *watch) look() {
	if w.parked {
		w.comeBack()
		return
	}
	stripped := w.stripped.Swap(false)
	if unbound(w.port.fd) {
		w.leave(LinkGone)
		return
	}
	if stripped {
		w.leave(LinkNoProgram)
		return
	}
	link, err := netlink.LinkByIndex(w.index)
	if w.retry = err != nil; w.retry { // it is just going: the kernel unbinds the socket in a moment
		return
	}
	a := link.Attrs()
	switch {
	case a.RawFlags&unix.IFF_UP == 0:
		w.note(LinkDown, a.MTU)
	case !hasCarrier(link):
		w.note(LinkNoCarrier, a.MTU)
	default:
		w.note(LinkUp, a.MTU)
	}
	w.port.mail.news.Add(1) // what was refused may be taken now
}

// leave takes from the loop what belonged to an interface that is gone, or has not our program any more, and releases it.
func (w *watch) leave(state string) {
	w.note(state, 0)
	q := parked(&w.config)
	if !w.hand(q) {
		return
	}
	w.parked = true
	q.discard()
	if err := vacate(w.port.fd); err != nil {
		w.tell("the old socket stays open: %v", err) // it does no harm
	}
}

// comeBack opens the port anew if it can.
func (w *watch) comeBack() {
	q, err := reopen(&w.config, &w.port.link, w.memory)
	if err != nil {
		w.noteRefused(err)
		return
	}
	if err := replaceFD(q.fd, w.port.fd); err != nil {
		q.discard()
		w.tell("the new socket cannot take the place of the old one: %v", err)
		return
	}
	w.index = q.nic.index
	mode, mtu := q.info.Mode, q.nic.mtu
	taken := w.hand(q)
	q.discard() // what it has now: nothing of the kernel's, or what the loop did not take any more
	if !taken {
		return
	}
	w.parked = false
	w.noteReopened(mode, mtu)
	w.look()
}

// hand offers q and waits until the loop has taken it and q has what it gave. It answers false if the port was closed before.
func (w *watch) hand(q *Port) bool {
	mail := &w.port.mail
	mail.offered.Store(q)
	for news := mail.news.Add(1); mail.answer.Load() != news; time.Sleep(handPause) {
		if w.stop.Load() {
			return !mail.offered.CompareAndSwap(q, nil)
		}
	}
	return true
}
