package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// etcdWire carries messages between the nodes: the library leaves that to its user. A connection goes one way; what one round sends to a node
// leaves in one write, from the loop itself, for every goroutine in between would cost a wake-up. A reader takes whatever has come and hands
// it over at once. Readers never wait for the loop, so loops that write to each other do not wait in a circle.
type etcdWire struct {
	id       int
	listener net.Listener
	to       []etcdLine    // by id-1; our own is unused
	arrived  chan struct{} // holds a token when there are messages to take
	up       atomic.Int32

	mu    sync.Mutex
	inbox []*pb.Message
	conns []net.Conn // to be closed
	shut  bool

	done sync.WaitGroup
}

// etcdLine is the way to one node.
type etcdLine struct {
	conn   net.Conn // owned by the loop; nil until connected
	opened chan net.Conn
	buffer []byte // length, message, length, message
}

const (
	lengthBytes   = 4
	largestFrame  = 64 << 20
	dialPause     = 10 * time.Millisecond
	readerBuffer  = 256 << 10
	messagesAhead = 64 // that a reader collects at most before it hands over
)

func openEtcdWire(cfg nodeConfig) (*etcdWire, error) {
	listener, err := net.Listen("tcp", cfg.address())
	if err != nil {
		return nil, err
	}
	w := &etcdWire{id: cfg.ID, listener: listener, to: make([]etcdLine, len(cfg.Addresses)), arrived: make(chan struct{}, 1)}
	for i, address := range cfg.Addresses {
		if i+1 == cfg.ID {
			continue
		}
		w.to[i].opened = make(chan net.Conn, 1)
		w.done.Go(func() { w.dial(&w.to[i], address) })
	}
	w.done.Go(w.accept)
	return w, nil
}

// dial tries until there is a connection.
func (w *etcdWire) dial(line *etcdLine, address string) {
	for {
		conn, err := net.Dial("tcp", address) // TCP_NODELAY is Go's default
		if err != nil {
			if w.closed() {
				return
			}
			time.Sleep(dialPause)
			continue
		}
		if w.keep(conn) {
			line.opened <- conn
			w.up.Add(1)
			w.knock()
		}
		return
	}
}

func (w *etcdWire) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		if w.keep(conn) {
			w.done.Go(func() { w.read(conn) })
		}
	}
}

// keep remembers a connection for close, or closes it now.
func (w *etcdWire) keep(conn net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		conn.Close()
		return false
	}
	w.conns = append(w.conns, conn)
	return true
}

func (w *etcdWire) closed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shut
}

// connected tells whether every other node can be reached.
func (w *etcdWire) connected() bool { return int(w.up.Load()) == len(w.to)-1 }

// read hands over what comes, in bursts of whatever one read brought.
func (w *etcdWire) read(conn net.Conn) {
	in := bufio.NewReaderSize(conn, readerBuffer)
	var burst []*pb.Message
	var frame []byte
	for {
		var length [lengthBytes]byte
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return // the other end is gone: the run is over, or has failed
		}
		n := binary.LittleEndian.Uint32(length[:])
		if n > largestFrame {
			return
		}
		if uint32(cap(frame)) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		m := &pb.Message{}
		if proto.Unmarshal(frame, m) != nil {
			return
		}
		if burst = append(burst, m); in.Buffered() < lengthBytes || len(burst) == messagesAhead {
			w.hand(burst)
			burst = burst[:0]
		}
	}
}

func (w *etcdWire) hand(burst []*pb.Message) {
	w.mu.Lock()
	w.inbox = append(w.inbox, burst...)
	w.mu.Unlock()
	w.knock()
}

// knock wakes the loop.
func (w *etcdWire) knock() {
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// take appends what has come to messages.
func (w *etcdWire) take(messages []*pb.Message) []*pb.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	messages = append(messages, w.inbox...)
	clear(w.inbox)
	w.inbox = w.inbox[:0]
	return messages
}

// send puts a message into the buffer of its node. The protocol repeats what is lost before there is a connection.
func (w *etcdWire) send(m *pb.Message) {
	line := &w.to[m.GetTo()-1]
	if line.conn == nil {
		select {
		case line.conn = <-line.opened:
		default:
			return
		}
	}
	at := len(line.buffer)
	line.buffer = append(line.buffer, make([]byte, lengthBytes)...)
	var err error
	if line.buffer, err = (proto.MarshalOptions{}).MarshalAppend(line.buffer, m); err != nil {
		panic(fmt.Sprintf("peers: a message of etcd/raft cannot be encoded: %v", err))
	}
	binary.LittleEndian.PutUint32(line.buffer[at:], uint32(len(line.buffer)-at-lengthBytes))
}

// flush writes what was sent, one write a node.
func (w *etcdWire) flush() error {
	for i := range w.to {
		line := &w.to[i]
		if len(line.buffer) == 0 {
			continue
		}
		_, err := line.conn.Write(line.buffer)
		line.buffer = line.buffer[:0]
		if err != nil && !w.closed() {
			return fmt.Errorf("node %d cannot be reached any more: %w", i+1, err)
		}
	}
	return nil
}

func (w *etcdWire) close() error {
	w.mu.Lock()
	w.shut = true
	err := w.listener.Close()
	for _, conn := range w.conns {
		err = errors.Join(err, conn.Close())
	}
	w.mu.Unlock()
	w.done.Wait()
	return err
}
