package afxdp

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// Busy-polling, and what is done where it stalls.
//
// With SO_PREFER_BUSY_POLL a kick of a zero-copy socket polls the NAPI instance that the queue receives with, and wakes nobody. A driver whose transmit side
// has one of its own (virtio_net has) is then never told that something waits to be sent. What shows it is that completions do not come: the port counts
// how often it kicked, or was out of cells, since the last one came. Only where these are many is the clock read.

// stall is the search for completions that do not come.
type stall struct {
	waits uint32 // kicks, and requests for cells that were not there, since a packet was last completed
	since int64  // when a look found that some had been made (dataplane.Now); 0: none did
	stuck bool   // nothing comes without busy-polling either, and people were told

	napi       bool   // the kernel knows which NAPI instance to poll for this socket
	seenBefore uint64 // frames that the port had received before the socket was bound

	linkUp func() bool  // whether the wire takes packets at all; nil: it does
	calm   func() error // ends busy-polling
	tell   func(line string)
}

const (
	stallLook = 64         // waits from one look at the clock to the next
	stallNs   = 50_000_000 // for so long nothing comes from a queue that stalls: a NIC that is told to pause by its switch is heard of sooner
)

// waited counts a kick, or a request for a cell that was not there. It is on the hot path, and the look is not.
func (p *Port) waited() {
	if p.stall.waits++; p.stall.waits%stallLook == 0 {
		p.lookForStall()
	}
}

// outstanding is how many packets the kernel was shown that have not come back.
func (p *Port) outstanding() uint32 { return p.tx.published - p.comp.next }

// lookForStall decides whether completions are late or do not come. In copy mode they come when the receiver is done with a packet, and nobody can tell.
func (p *Port) lookForStall() {
	p.reap()
	s := &p.stall
	if !p.zeroCopy || s.waits == 0 || p.outstanding() == 0 || p.lastKick == unix.ENETDOWN || p.lastKick == unix.ENXIO {
		s.since = 0
		return
	}
	now := dataplane.Now()
	switch {
	case s.since == 0:
		s.since = now
	case now-s.since < stallNs:
	case s.linkUp != nil && !s.linkUp():
		s.since = 0
	case p.busyPoll:
		s.since = now
		p.fallBack()
	case !s.stuck:
		s.stuck = true
		p.counters.TxStalls++
		p.announce("the device completes nothing of what is sent: take the interface down and up, another queue, or mode \"" + ModeCopy + "\"")
	}
}

// fallBack ends busy-polling and kicks again, which now wakes the driver.
func (p *Port) fallBack() {
	p.counters.TxStalls++
	p.busyPoll = false
	p.info.BusyPoll = "stalled"
	text := "busy-polling was given up: nothing that was sent was completed, as where the NIC's two sides do not share a NAPI; take busy_poll \"off\""
	if err := p.stall.calm(); err != nil {
		text += fmt.Sprintf(" (and it cannot be ended: %v)", err)
	}
	p.announce(text)
	if p.tx.needWakeup() {
		p.kickSend()
	}
}

// announce keeps a line for Info, and tells it to people. The loop does not wait for them.
func (p *Port) announce(text string) {
	if p.info.Note != "" {
		p.info.Note += "; "
	}
	p.info.Note += text
	if p.stall.tell != nil {
		go p.stall.tell(fmt.Sprintf("%s queue %d: %s", p.info.Interface, p.info.Queue, text))
	}
}

// checkNAPI finds out whether there is anything to poll, once the socket has received a packet: the kernel learns from it which NAPI instance it came through.
// Drivers that do not tell (veth since 6.13) are not polled, however often they are asked.
func (p *Port) checkNAPI() {
	if p.counters.RxFrames == p.stall.seenBefore {
		return
	}
	id, err := unix.GetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID)
	if p.stall.napi = err != nil || id != 0; p.stall.napi {
		return
	}
	p.busyPoll = false
	p.info.BusyPoll = "without effect"
	_ = p.stall.calm() // what has no effect does no harm either
	p.announce(fmt.Sprintf("busy-polling has no effect: the driver does not tell what to poll; if interrupts are deferred, packets wait for their timer until "+
		"`wirepaxos nic restore %s`", p.info.Interface))
}

// setBusyPoll asks for what b wants. A kernel that refuses leaves a port that works without. The note says what is missing, if something is.
func (p *Port) setBusyPoll(m *makings, b *BusyPoll) (note string) {
	if *b == (BusyPoll{}) {
		return ""
	}
	prefer := 0
	if b.Prefer {
		prefer = 1
	}
	if err := p.askBusyPoll(prefer, b.Micros, b.Budget); err != nil {
		return fmt.Sprintf("no busy-polling: %s", strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	p.busyPoll = b.Prefer
	if !b.Prefer || !m.noisy {
		return ""
	}
	return fmt.Sprintf("interrupts come beside busy-polling: `wirepaxos nic tune %s --busy-poll` defers them", m.name)
}

func (p *Port) askBusyPoll(prefer, micros, budget int) error {
	err := errors.Join(
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, prefer),
		unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, micros),
	)
	if budget > 0 {
		err = errors.Join(err, unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET, budget))
	}
	return err
}

// watchStalls makes ready for a look.
func (p *Port) watchStalls(c *Config) {
	p.stall = stall{
		seenBefore: p.counters.RxFrames,

		linkUp: func() bool { return p.Health().State == LinkUp },
		calm:   func() error { return p.askBusyPoll(0, 0, 0) },
		tell:   c.Tell,
	}
}
