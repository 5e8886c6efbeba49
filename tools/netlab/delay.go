package netlab

import (
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"
)

// maxHeld bounds the delayed frames in memory. Beyond it the server stops reading, the ring fills, and frames pass undelayed.
const maxHeld = 1 << 16

// delayServer sends delayed frames on when they are due. One goroutine reads the ring, one waits and sends.
type delayServer struct {
	tables *tables
	hosts  int
	reader *ringbuf.Reader
	socket int // AF_PACKET, in the switch's namespace; receives nothing

	mu   sync.Mutex
	held heldFrames
	wake chan struct{} // an earlier frame has come, or there is room again
	room *sync.Cond

	released [MaxHosts]uint64 // written by the sender alone
	stopped  chan struct{}
	done     sync.WaitGroup
}

// held is a delayed frame.
type held struct {
	due          uint64 // ns on the monotonic clock
	number       uint64 // order of arrival, for frames that are due together
	from, target uint16
	frame        []byte
}

type heldFrames struct {
	frames []held
	next   uint64
}

func (h *heldFrames) Len() int { return len(h.frames) }
func (h *heldFrames) Less(i, j int) bool {
	a, b := &h.frames[i], &h.frames[j]
	return a.due < b.due || a.due == b.due && a.number < b.number
}
func (h *heldFrames) Swap(i, j int) { h.frames[i], h.frames[j] = h.frames[j], h.frames[i] }
func (h *heldFrames) Push(x any)    { h.frames = append(h.frames, x.(held)) }
func (h *heldFrames) Pop() any {
	last := len(h.frames) - 1
	x := h.frames[last]
	h.frames[last] = held{} // the frame's bytes are free again
	h.frames = h.frames[:last]
	return x
}

// serveDelays starts the server of a lab. Only one may run: a ring has one reader.
func serveDelays(lab string, t *tables, hosts int) (*delayServer, error) {
	s := &delayServer{tables: t, hosts: hosts, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	s.room = sync.NewCond(&s.mu)
	err := inNamespace(namespaceOf(lab, switchName), func() (err error) {
		s.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab %s: packet socket for delayed frames: %w", lab, err)
	}
	for slot := range s.released { // another process may have served before
		if err := t.released.Lookup(uint32(slot), &s.released[slot]); err != nil {
			return nil, errors.Join(fmt.Errorf("lab %s: count of released frames: %w", lab, err), unix.Close(s.socket))
		}
	}
	if s.reader, err = ringbuf.NewReader(t.delays); err != nil {
		return nil, errors.Join(fmt.Errorf("lab %s: ring of delayed frames: %w", lab, err), unix.Close(s.socket))
	}
	s.done.Add(2)
	go s.read()
	go s.send()
	return s, nil
}

// stop ends the server. Frames that it still holds are lost, as in a switch that is switched off.
func (s *delayServer) stop() error {
	close(s.stopped)
	s.mu.Lock()
	s.room.Broadcast()
	s.mu.Unlock()
	err := s.reader.Close() // wakes the reading goroutine
	s.done.Wait()
	return errors.Join(err, unix.Close(s.socket))
}

func (s *delayServer) isStopped() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

// read moves frames from the ring to the heap.
func (s *delayServer) read() {
	defer s.done.Done()
	var record ringbuf.Record
	for {
		if err := s.reader.ReadInto(&record); err != nil {
			return // closed by stop; a ring of our own size fails in no other way
		}
		raw := record.RawSample
		length := int(binary.NativeEndian.Uint32(raw[recordLength:]))
		frame := held{
			due:    binary.NativeEndian.Uint64(raw[recordDue:]),
			from:   binary.NativeEndian.Uint16(raw[recordFrom:]),
			target: binary.NativeEndian.Uint16(raw[recordTarget:]),
			frame:  append([]byte(nil), raw[recordFrame:recordFrame+length]...),
		}
		if !s.hold(frame) {
			return
		}
	}
}

// hold keeps a frame until it is due, and waits while there is no room. It answers false when the server was stopped.
func (s *delayServer) hold(frame held) bool {
	s.mu.Lock()
	for s.held.Len() >= maxHeld && !s.isStopped() {
		s.room.Wait()
	}
	frame.number = s.held.next
	s.held.next++
	heap.Push(&s.held, frame)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // the sender will look anyway
	}
	return !s.isStopped()
}

// send sleeps until the earliest frame is due and sends it.
func (s *delayServer) send() {
	defer s.done.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		frame, wait := s.next()
		if wait == 0 {
			s.release(frame)
			if s.isStopped() {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-s.stopped:
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// next takes the earliest frame if it is due, or tells how long to wait: an hour where there is none.
func (s *delayServer) next() (held, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.Len() == 0 {
		return held{}, time.Hour
	}
	if wait := int64(s.held.frames[0].due) - monotonicNs(); wait > 0 {
		return held{}, time.Duration(wait)
	}
	frame := heap.Pop(&s.held).(held)
	s.room.Signal()
	return frame, 0
}

// monotonicNs reads the clock that the forwarder stamps frames with.
func monotonicNs() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail: the clock exists and the pointer is good
	return now.Nano()
}

// release sends a frame out of the ends that it is for, the way there being open now.
func (s *delayServer) release(frame held) {
	cell, err := s.tables.readSettings()
	if err != nil {
		return // the lab is being taken down
	}
	var ends uint64
	if frame.target&targetEveryone != 0 {
		ends = (1<<s.hosts - 1) &^ (1 << frame.from)
	} else {
		ends = 1 << (frame.target & targetSlotMask)
	}
	for ends &^= cell.cuts(int(frame.from)); ends != 0; ends &= ends - 1 {
		to := &unix.SockaddrLinklayer{Ifindex: int(cell.end(bits.TrailingZeros64(ends)))}
		// A frame that the other end refuses is lost, as on any wire.
		_ = unix.Sendto(s.socket, frame.frame, 0, to)
	}
	s.released[frame.from]++
	_ = s.tables.released.Put(uint32(frame.from), s.released[frame.from]) // an array's cell is always there
}

// Serve delays the frames of a running lab that no process owns, until ctx ends or the lab is taken down.
// It needs the same privileges as Up. Only one process may serve a lab: another one is refused.
func Serve(ctx context.Context, name string) error {
	lab, err := Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = lab.Close() }() // it started no processes
	if lab.direct {
		return fmt.Errorf("lab %s: %w", name, ErrNoSwitch)
	}
	if err := lab.becomeServer(); err != nil {
		return err
	}
	server, err := serveDelays(name, lab.tables, len(lab.hosts))
	if err != nil {
		return errors.Join(err, lab.resignServer())
	}
	tick := time.NewTicker(serveCheck)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
			running = lab.serving()
		}
	}
	return errors.Join(server.stop(), lab.resignServer())
}

// serveCheck is how often a server asks whether its lab is still there.
const serveCheck = time.Second
