package afxdp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
)

// Where packets lie in their cells.
const (
	rxHeadroom = unix.XDP_PACKET_HEADROOM // the kernel writes a packet this far into its cell, and none that is longer than the rest of it
	payloadAt  = 320                      // where the payload of a packet to send begins: a cache line, behind all headers
)

// Room is how long the payload of a frame may be at most in cells of a size, whatever the interface's MTU and headers.
func Room(cellSize int) int { return cellSize - payloadAt }

// Port is one queue of one interface. It implements dataplane.Port.
type Port struct {
	// Touched by every burst.
	socket
	cells     cells
	link      header.Link
	peers     peerTable
	templates []header.Template // by peer
	headerLen int
	mtu       int
	txPending bool // something is in the TX ring, or is to be shown to the kernel
	busyPoll  bool // an empty RxBurst asks the kernel to look
	lastKick  unix.Errno
	stall     stall
	counters  dataplane.Counters

	steering *steering
	listener int // the socket that keeps the NIC listening to multicast addresses, or -1
	info     dataplane.Info
	driver   driverCounters
	closed   bool

	mail  mailbox // from the watch
	watch *watch
	nic   nic // as it was when the port was opened
}

// driverCounters are what the kernel has counted and RefreshDriverCounters has taken over already: of the socket, and of those before it.
type driverCounters struct{ invalidTx, rxDropped, unsteered uint64 }

var _ dataplane.Port = (*Port)(nil)

// Open opens a queue of an interface, both in the network namespace of the calling thread. It fails with an *Error and then
// leaves nothing behind.
func Open(config Config) (*Port, error) {
	p, err := open(config)
	if err == nil {
		err = p.attend(config)
	}
	if err != nil {
		err.Interface, err.Queue = config.Interface, config.Queue
		if err.Interface == "" {
			err.Interface = "(no interface)"
		}
		return nil, err
	}
	return p, nil
}

func open(config Config) (*Port, *Error) {
	c, wrong := config.withDefaults()
	if wrong != nil {
		return nil, fault(ErrConfig, wrong, "")
	}
	n, err := lookNIC(c.Interface, c.Queue)
	if err != nil {
		return nil, err
	}
	offsets, err := probeAFXDP()
	if err != nil {
		return nil, err
	}
	p := &Port{listener: -1, nic: *n}
	if c.memory == nil { // else the cells are another port's, and none may go into the fill ring here
		p.cells = newCells(c.Cells, c.CellSize, c.FillRing)
	}
	if err := p.address(n, &c); err != nil {
		return nil, err
	}
	if p.steering, err = openSteering(n); err != nil {
		return nil, err
	}
	m := lookMakings(n, c.CellSize)
	flags, note, err := bindFlags(&c, p.steering, m)
	if err != nil {
		p.steering.closeDescriptors()
		return nil, err
	}
	s, err := openSocket(n, &c, flags, m, &offsets)
	if err != nil {
		p.steering.closeDescriptors()
		return nil, err
	}
	if flags == 0 && !s.zeroCopy {
		note = m.fellBack()
	}
	p.socket = *s
	if err := p.start(n, &c, m, note); err != nil {
		_ = p.Close() // the first error is the one to tell
		return nil, err
	}
	return p, nil
}

// address builds the link, the templates and the table of peers.
func (p *Port) address(n *nic, c *Config) *Error {
	p.link = header.Link{EtherType: c.EtherType, VLAN: c.VLAN, IP: c.LocalIP, Port: c.UDPPort}
	local := c.LocalMAC
	if local == nil {
		local = n.mac
	}
	var wrong error
	if p.link.MAC, wrong = header.ParseMAC(local); wrong != nil {
		return fault(ErrConfig, wrong, "AF_XDP needs an Ethernet interface")
	}
	if c.Link == LinkUDP4 {
		p.link.Kind = header.UDP4
		if p.link.IP == (netip.Addr{}) {
			ip, err := n.firstIPv4()
			if err != nil {
				return err
			}
			p.link.IP = ip
		}
	}
	if wrong := p.link.Check(); wrong != nil {
		return fault(ErrConfig, wrong, "")
	}
	p.headerLen = p.link.Len()
	p.mtu = min(n.mtu-(p.headerLen-p.link.LinkLen()), c.CellSize-rxHeadroom-p.headerLen, Room(c.CellSize))
	if p.mtu <= 0 {
		return fault(ErrConfig, fmt.Errorf("the interface's MTU is %d", n.mtu), "run `ip link set dev %s mtu 1500`", n.name)
	}
	p.peers = newPeerTable(len(c.Peers))
	p.templates = make([]header.Template, len(c.Peers))
	for i := range c.Peers {
		if err := p.addPeer(n, dataplane.Peer(i), &c.Peers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *Port) addPeer(n *nic, peer dataplane.Peer, a *PeerAddr) *Error {
	addr := header.Addr{IP: a.IP, Port: a.UDPPort}
	if addr.Port == 0 {
		addr.Port = p.link.Port
	}
	mac := a.MAC
	if mac == nil && p.link.Kind == header.UDP4 && a.IP.Is4() {
		var err *Error
		if mac, err = n.neighbour(a.IP); err != nil {
			return err
		}
	}
	var wrong error
	if addr.MAC, wrong = header.ParseMAC(mac); wrong == nil {
		p.templates[peer], wrong = p.link.Template(addr)
	}
	if wrong != nil {
		return fault(ErrConfig, fmt.Errorf("peer %d: %w", peer, wrong), "give its MAC, and on a udp4 link its IPv4 address")
	}
	p.peers.add(p.link.Key(addr), peer)
	return nil
}

// start gives the kernel cells to receive into, lets packets in, and finds out what the port has become.
func (p *Port) start(n *nic, c *Config, m *makings, note string) *Error {
	var notes []string
	if note != "" {
		notes = append(notes, note)
	}
	var refused *Error
	if p.listener, refused = listen(n, c.Listen); refused != nil {
		return refused
	}
	if note := p.setBusyPoll(m, &c.BusyPoll); note != "" {
		notes = append(notes, note)
	}
	p.watchStalls(c)
	p.refill()
	if err := p.steering.enter(c.Queue, p.fd, &p.link); err != nil {
		return fault(ErrProgram, err, "")
	}
	// What is attached now is what counts: a native program may have been replaced by the driver's or the operator's will.
	_, native, err := n.attachedProgram()
	if err != nil {
		return fault(ErrProgram, err, "")
	}
	mode, refused := modeOf(c.Mode, native, p.zeroCopy)
	if refused != nil {
		return refused
	}
	if !native {
		notes = append(notes, p.steering.why)
	}
	p.info = dataplane.Info{
		Transport: "afxdp", Mode: mode, Link: p.link.Kind.String(), Interface: n.name, Queue: c.Queue,
		Cell: c.CellSize, Pages: "ordinary", Node: nodeText(p.node), BusyPoll: "off",
	}
	if p.huge {
		p.info.Pages = "huge"
	}
	if p.busyPoll {
		p.info.BusyPoll = "prefer"
	}
	if p.wanted != anyNode && p.node != p.wanted {
		notes = append(notes, fmt.Sprintf("the UMEM is not all on NUMA node %d: memory is short there", p.wanted))
	}
	p.info.Note = strings.Join(notes, "; ")
	return nil
}

// MTU is the largest payload, in bytes: the interface's MTU without the IPv4 and UDP headers, and no more than fits a cell.
func (p *Port) MTU() int { return p.mtu }

// Info tells what the port really is. Mode is "zerocopy" only if the socket says so and the program is native.
func (p *Port) Info() dataplane.Info { return p.info }

// Counters are the port's own. RxDropped and Unsteered are as of the last RefreshDriverCounters.
func (p *Port) Counters() *dataplane.Counters { return &p.counters }

// FD is the socket.
func (p *Port) FD() int { return p.fd }

// RefreshDriverCounters reads from the kernel what it counts for us: RxDropped, Unsteered, and descriptors it refused,
// which are added to TxErrors, and looks for packets that are never completed. It makes system calls and is not for the hot path: once a second is
// plenty. Only the owning loop may call it.
func (p *Port) RefreshDriverCounters() error {
	if p.steering == nil {
		return nil // the interface is gone, and what was counted there stays
	}
	s, err := getOption[unix.XDPStatistics](p.fd, unix.XDP_STATISTICS)
	if err != nil {
		return fmt.Errorf("afxdp: %s queue %d: read XDP_STATISTICS: %w", p.info.Interface, p.info.Queue, err)
	}
	if p.outstanding() > 0 {
		p.stall.waits++ // with none that asks to be woken nothing else counts
		p.lookForStall()
	}
	p.counters.RxDropped = p.driver.rxDropped + s.Rx_dropped + s.Rx_ring_full
	p.counters.TxErrors += s.Tx_invalid_descs - p.driver.invalidTx
	p.driver.invalidTx = s.Tx_invalid_descs
	n, err := p.steering.countUnsteered()
	if err != nil {
		return fmt.Errorf("afxdp: %s queue %d: %w", p.info.Interface, p.info.Queue, err)
	}
	p.counters.Unsteered = p.driver.unsteered + n - p.steering.baseline
	if p.steering.isDetached() {
		p.watch.strip()
	}
	return nil
}

// Close frees the queue and the memory, lets no more packets in, and gives up the share in the XDP program.
func (p *Port) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	if p.watch != nil {
		p.watch.end()
	}
	err := p.socket.close()
	if p.steering != nil {
		p.steering.closeDescriptors()
	}
	if p.listener >= 0 {
		err = errors.Join(err, unix.Close(p.listener))
	}
	if err != nil {
		return fmt.Errorf("afxdp: %s queue %d: close: %w", p.info.Interface, p.info.Queue, err)
	}
	return nil
}
