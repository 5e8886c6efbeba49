// Package udp is a port over the kernel's UDP sockets: the baseline that AF_XDP is measured against, and the fallback where it is missing.
//
// The life cycle:
//
//  1. Open binds one socket and allocates all there ever will be: cells to receive into, cells to send from, and the vectors of
//     headers that recvmmsg(2) and sendmmsg(2) read.
//  2. RxBurst is one recvmmsg into the armed cells. A cell whose datagram goes to the caller is replaced in the vector by an empty
//     one; the caller owns it until Free. While the caller holds all cells, datagrams wait in the socket's buffer, then the
//     kernel drops them (RxDropped, as far as SO_RXQ_OVFL tells).
//  3. Alloc hands out empty cells, TxBurst puts them into the sending vector, Flush is one sendmmsg of what is in it. The kernel copies,
//     so the cells are free when the call returns. What it does not take for lack of buffers stays queued, in order, for the next Flush.
//
// Nothing blocks (MSG_DONTWAIT), so the calls are raw: the runtime's scheduler does not hear of them.
//
// Peers are told apart by source address and port. IPv4 only. A datagram is one frame, its payload one frame's payload.
package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

const (
	// DefaultMTU is what an Ethernet of 1500 bytes leaves behind the IPv4 and UDP headers.
	DefaultMTU = 1472
	// MaxMTU is the largest payload of a UDP datagram over IPv4.
	MaxMTU = 65507
	// DefaultFrames is the number of cells in each direction.
	DefaultFrames = 1024
	// DefaultSocketBytes is asked of the kernel for each of the socket's two buffers.
	DefaultSocketBytes = 4 << 20

	headerBytes = 28   // IPv4 without options, and UDP
	maxVector   = 1024 // UIO_MAXIOV: messages in one sendmmsg(2) or recvmmsg(2)
	rxVector    = 64   // datagrams in one recvmmsg
)

// Config says what to open. The zero value of a field with a default stands for that default.
type Config struct {
	Listen      netip.AddrPort   // address and port of this end, as the peers know them; port 0 lets the kernel choose
	Peers       []netip.AddrPort // the table of peers: Peer n is Peers[n]
	MTU         int              // largest payload in bytes, at most MaxMTU; DefaultMTU
	Frames      int              // cells in each direction, a power of two; DefaultFrames
	SocketBytes int              // wanted size of each socket buffer; DefaultSocketBytes. Less is reported in Info.Note
}

// Port is one bound socket. It implements dataplane.Port.
type Port struct {
	fd       int
	mtu      int
	stride   int    // distance of two cells
	frames   uint64 // cells in each direction; cells below it receive, the others send
	cells    []byte
	rxFree   pool
	txFree   pool
	rx       rxVectors
	tx       txVectors
	peers    peerTable
	counters dataplane.Counters
	info     dataplane.Info
	local    netip.AddrPort
}

// Open binds a socket to c.Listen. Errors say what to do about them; nothing is left open.
func Open(c Config) (*Port, error) {
	if err := c.settle(); err != nil {
		return nil, err
	}
	peers, err := newPeerTable(c.Peers)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("udp: open a socket for %v: %w", c.Listen, err)
	}
	p, err := bound(fd, c, peers)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return p, nil
}

// settle fills in the defaults and refuses what cannot be.
func (c *Config) settle() error {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MTU, DefaultMTU)
	def(&c.Frames, DefaultFrames)
	def(&c.SocketBytes, DefaultSocketBytes)
	c.Listen = netip.AddrPortFrom(c.Listen.Addr().Unmap(), c.Listen.Port())
	switch {
	case !c.Listen.Addr().Is4():
		return fmt.Errorf("udp: listen on %v: not an IPv4 address; give one as 10.0.0.1:7000", c.Listen)
	case c.Listen.Addr().IsUnspecified():
		return fmt.Errorf("udp: listen on %v: peers must know the sender's address; give the one they send to, not 0.0.0.0", c.Listen)
	case c.MTU < 1 || c.MTU > MaxMTU:
		return fmt.Errorf("udp: listen on %v: MTU %d: give 1 to %d", c.Listen, c.MTU, MaxMTU)
	case c.Frames < 2*rxVector || c.Frames > 1<<20 || c.Frames&(c.Frames-1) != 0:
		return fmt.Errorf("udp: listen on %v: %d frames: give a power of two from %d to %d", c.Listen, c.Frames, 2*rxVector, 1<<20)
	case c.SocketBytes < 0 || c.SocketBytes > 1<<30:
		return fmt.Errorf("udp: listen on %v: socket buffers of %d bytes: give at most %d", c.Listen, c.SocketBytes, 1<<30)
	}
	return nil
}

// bound binds fd and builds the port around it.
func bound(fd int, c Config, peers peerTable) (*Port, error) {
	name, mtu, err := interfaceOf(c.Listen.Addr())
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1); err != nil {
		return nil, fmt.Errorf("udp: %s: count drops of the socket on %v: %w", name, c.Listen, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(c.Listen.Port()), Addr: c.Listen.Addr().As4()}); err != nil {
		return nil, bindError(err, name, c.Listen)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("udp: %s: name of the socket on %v: %w", name, c.Listen, err)
	}
	p := &Port{fd: fd, mtu: c.MTU, stride: (c.MTU + 63) &^ 63, frames: uint64(c.Frames), peers: peers}
	p.local = netip.AddrPortFrom(c.Listen.Addr(), uint16(sa.(*unix.SockaddrInet4).Port))
	p.info = dataplane.Info{Transport: "udp", Link: "udp4", Interface: name, Note: sizeBuffers(fd, c.SocketBytes)}
	if p.info.Note == "" && mtu < c.MTU+headerBytes {
		p.info.Note = fmt.Sprintf("frames over %d bytes are fragmented: the MTU of %s is %d", mtu-headerBytes, name, mtu)
	}
	p.cells = make([]byte, 2*c.Frames*p.stride)
	for i := 0; i < len(p.cells); i += unix.Getpagesize() {
		p.cells[i] = 0 // page faults now, not on the hot path
	}
	p.rxFree = newPool(0, c.Frames)
	p.txFree = newPool(c.Frames, c.Frames)
	p.rx.init()
	p.tx.init(min(c.Frames, maxVector))
	p.arm()
	return p, nil
}

// bindError says what to do about a bind that failed.
func bindError(err error, name string, at netip.AddrPort) error {
	advice := "check the address"
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		advice = fmt.Sprintf("another socket has UDP port %d; stop its process (ss -ulpn shows it) or choose another port", at.Port())
	case errors.Is(err, unix.EADDRNOTAVAIL):
		advice = "this host does not hold the address; ip -4 addr lists those it does"
	case errors.Is(err, unix.EACCES):
		advice = "ports below 1024 need root; choose a higher one"
	}
	return fmt.Errorf("udp: %s: listen on %v: %w: %s", name, at, err, advice)
}

// sizeBuffers raises the socket's buffers to want bytes each, past the system's limit if the process may, and answers
// with what came of it when that is less. The kernel books overhead too and reports twice what was asked for (socket(7)).
func sizeBuffers(fd, want int) string {
	note := ""
	for _, b := range []struct {
		force, plain int
		name, sysctl string
	}{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, "receive", "net.core.rmem_max"},
		{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, "send", "net.core.wmem_max"},
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, b.force, want) != nil {
			// Refused without CAP_NET_ADMIN; the plain option is cut to the limit and never fails for its size.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, b.plain, want)
		}
		got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, b.plain)
		if err == nil && got/2 < want && note == "" {
			note = fmt.Sprintf("%s buffer is %d bytes of %d: raise sysctl %s", b.name, got/2, want, b.sysctl)
		}
	}
	return note
}

// interfaceOf finds the interface that holds addr. All of 127.0.0.0/8 belongs to the loopback interface.
func interfaceOf(addr netip.Addr) (name string, mtu int, err error) {
	links, err := net.Interfaces()
	if err != nil {
		return "", 0, fmt.Errorf("udp: list the interfaces to find %v: %w", addr, err)
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			continue // it went away between the two calls
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && (prefix.Addr() == addr || link.Flags&net.FlagLoopback != 0 && prefix.Contains(addr)) {
				return link.Name, link.MTU, nil
			}
		}
	}
	return "", 0, fmt.Errorf("udp: listen on %v: no interface of this host holds the address; ip -4 addr lists those it does", addr)
}

// LocalAddr is the bound address, with the port that the kernel chose if Config.Listen left it open.
func (p *Port) LocalAddr() netip.AddrPort { return p.local }

// MTU is the largest payload of one frame, in bytes.
func (p *Port) MTU() int { return p.mtu }

// Info tells what the port is. Note names a socket buffer smaller than asked for, or an interface that will fragment.
func (p *Port) Info() dataplane.Info { return p.info }

// Counters are the port's counts. RxDropped is what the socket's buffer had no room for; the kernel tells with the next datagram
// that it lets through. TxErrors includes datagrams that the kernel refused to send (no route, firewall, too long).
func (p *Port) Counters() *dataplane.Counters { return &p.counters }

// FD is the socket; -1 once it is closed.
func (p *Port) FD() int { return p.fd }

// Close closes the socket. Datagrams still queued to be sent are dropped.
func (p *Port) Close() error {
	if p.fd < 0 {
		return nil
	}
	err := unix.Close(p.fd)
	p.fd = -1
	if err != nil {
		return fmt.Errorf("udp: %s: close the socket on %v: %w", p.info.Interface, p.local, err)
	}
	return nil
}
