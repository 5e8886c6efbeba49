package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// wire is what the guest's NICs are plugged into: a switch in this process. One datagram on a Unix socket is one frame. It knows by the port's
// own MAC where a frame goes; one to many, or to nobody that it knows, goes to all others. A port whose guest does not read keeps wireQueue frames;
// what comes beyond is dropped and counted, as a switch does.
type wire struct {
	ports              []*wirePort
	receivers, senders sync.WaitGroup
}

// Limits of a port.
const (
	wireQueue = 8192
	wireFrame = 2048
)

type wirePort struct {
	mac        net.HardwareAddr
	conn       *net.UnixConn
	near, far  string // the paths of our socket and of the guest's
	queue      chan []byte
	in, out    atomic.Uint64
	dropped    atomic.Uint64
	unsendable atomic.Uint64
}

// newWire makes a wire with a port for each NIC, its sockets in folder. It carries frames until close.
func newWire(folder string, nics []machineNIC) (*wire, error) {
	w := &wire{}
	for _, n := range nics {
		mac, err := net.ParseMAC(n.mac)
		if err != nil {
			return nil, err
		}
		p := &wirePort{mac: mac, queue: make(chan []byte, wireQueue),
			near: filepath.Join(folder, "wire-"+n.name), far: filepath.Join(folder, "nic-"+n.name)}
		if p.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.near, Net: "unixgram"}); err != nil {
			w.close()
			return nil, fmt.Errorf("the wire's socket: %w", err)
		}
		// Best effort: a sender waits anyway when a buffer is full.
		_ = p.conn.SetReadBuffer(4 << 20)
		_ = p.conn.SetWriteBuffer(4 << 20)
		w.ports = append(w.ports, p)
	}
	for _, p := range w.ports {
		w.receivers.Go(func() { w.receive(p) })
		w.senders.Go(p.send)
	}
	return w, nil
}

// receive takes what a NIC sends, and puts it into the queues of those that shall have it, until the socket is closed.
func (w *wire) receive(from *wirePort) {
	buffer := make([]byte, wireFrame)
	for {
		n, err := from.conn.Read(buffer)
		if err != nil {
			return
		}
		if n < 14 {
			continue // no Ethernet header
		}
		from.in.Add(1)
		frame := bytes.Clone(buffer[:n])
		if to := w.find(frame[:6]); to != nil {
			to.put(frame)
			continue
		}
		for _, to := range w.ports {
			if to != from {
				to.put(frame)
			}
		}
	}
}

func (w *wire) find(mac []byte) *wirePort {
	for _, p := range w.ports {
		if bytes.Equal(p.mac, mac) {
			return p
		}
	}
	return nil
}

func (p *wirePort) put(frame []byte) {
	select {
	case p.queue <- frame:
	default:
		p.dropped.Add(1)
	}
}

// send gives the NIC what lies in its queue; a write waits while the guest does not read.
func (p *wirePort) send() {
	to := &net.UnixAddr{Name: p.far, Net: "unixgram"}
	for frame := range p.queue {
		if _, err := p.conn.WriteToUnix(frame, to); err != nil {
			p.unsendable.Add(1) // no guest yet, or no more
			continue
		}
		p.out.Add(1)
	}
}

// close ends the wire and waits for that.
func (w *wire) close() {
	for _, p := range w.ports {
		p.conn.Close()    // ends receive, and a write that waits
		os.Remove(p.near) // for the wire of the next machine
		os.Remove(p.far)
	}
	w.receivers.Wait() // they put into all queues
	for _, p := range w.ports {
		close(p.queue)
	}
	w.senders.Wait()
}

// carried is how many frames the wire took in, and how many it dropped because a NIC did not take them.
func (w *wire) carried() (in, dropped uint64) {
	for _, p := range w.ports {
		in += p.in.Load()
		dropped += p.dropped.Load()
	}
	return in, dropped
}
