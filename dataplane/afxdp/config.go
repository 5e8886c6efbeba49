package afxdp

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
)

// Modes that a port can be asked for. What it got says Info.
const (
	ModeAuto     = "auto"     // zero-copy where the driver has it, else copy
	ModeZeroCopy = "zerocopy" // zero-copy with a native program, or an error
	ModeCopy     = "copy"     // the kernel copies each packet
)

// Link layers.
const (
	LinkEthernet = "ethernet"
	LinkUDP4     = "udp4"
)

// Sizes that Open takes where Config has zero. All are powers of two. 4,096 small cells are 8 MiB, the usual limit on locked memory.
const (
	DefaultCells          = 4096
	DefaultFillRing       = 2048
	DefaultCompletionRing = 1024
	DefaultRxRing         = 2048
	DefaultTxRing         = 1024

	// SmallCell and LargeCell are the sizes that a UMEM cell may have, in bytes; the kernel calls it a chunk. A packet lies in one cell, so that a
	// small one takes what an MTU of 1,500 lets in, and a large one what fits a page.
	SmallCell = 2048
	LargeCell = 4096

	// MaxRing is the largest ring, in descriptors, and MaxCells the largest UMEM, in cells.
	MaxRing  = 1 << 15
	MaxCells = 1 << 18

	minRing  = 32 // the kernel's smallest budget for one kick (TX_BATCH_SIZE)
	minCells = 64
)

// Each of these has length 0 only if its constant is a power of two.
var (
	_ = [0]struct{}([DefaultCells & (DefaultCells - 1)]struct{}{})
	_ = [0]struct{}([DefaultFillRing & (DefaultFillRing - 1)]struct{}{})
	_ = [0]struct{}([DefaultCompletionRing & (DefaultCompletionRing - 1)]struct{}{})
	_ = [0]struct{}([DefaultRxRing & (DefaultRxRing - 1)]struct{}{})
	_ = [0]struct{}([DefaultTxRing & (DefaultTxRing - 1)]struct{}{})
)

// DefaultBusyRetry is how long Open goes on trying to bind a queue that is busy. The kernel frees a queue some 20 ms after
// its last socket was closed; on a machine with more threads than cores more than three seconds were seen.
const DefaultBusyRetry = 10 * time.Second

// DefaultLinkWait is how long Open waits for a link that opening reset. Drivers of 10 Gbit/s and more need one to four seconds.
const DefaultLinkWait = 10 * time.Second

// PeerAddr is where a peer is. Its place in Config.Peers is its dataplane.Peer.
//
// On an ethernet link MAC is needed and names the sender of what is received. Two peers may share a MAC; what comes from it
// then carries the first one's number. On a udp4 link IP is needed; MAC is taken from the kernel's neighbour table if nil;
// IP and UDPPort (0: the port's own UDPPort) name the sender.
type PeerAddr struct {
	MAC     net.HardwareAddr
	IP      netip.Addr
	UDPPort uint16
}

// BusyPoll asks the kernel to run the driver's receive loop inside our own system calls (Documentation/networking/napi.rst,
// "Busy polling"), which then are made also when nothing is there. The zero value asks for nothing. It takes effect only
// with napi_defer_hard_irqs and gro_flush_timeout set on the interface (`wirepaxos nic tune --busy-poll`); Info.Note tells where they are not.
type BusyPoll struct {
	Prefer bool // SO_PREFER_BUSY_POLL
	Micros int  // SO_BUSY_POLL, microseconds; 0 with Prefer: 20
	Budget int  // SO_BUSY_POLL_BUDGET, packets a poll; 0 with Prefer: 64
}

// Config says what to open.
type Config struct {
	Interface string
	Queue     int
	Mode      string // ModeAuto if empty
	Link      string // LinkEthernet if empty

	EtherType uint16           // ethernet: header.TypeOwn if 0
	VLAN      uint16           // 802.1Q tag on every packet, 1 to 4094; 0: none
	UDPPort   uint16           // udp4: our port
	LocalMAC  net.HardwareAddr // the interface's if nil
	LocalIP   netip.Addr       // udp4: the interface's first IPv4 address if zero

	Peers []PeerAddr

	// Cores are those that the port's loop is pinned to: the UMEM is put on the NUMA node of the first. With none it is put on the NIC's.
	Cores []int

	// Listen are multicast addresses, packets to which the NIC is asked to let in besides those to its own. A peer with such an address is for sending only.
	Listen []net.HardwareAddr

	// Tell gets a line for people when the interface is set down, loses its carrier, goes away, comes back, or gets an MTU that is too small,
	// and when busy-polling stalls. It is called on another goroutine than the loop's and may take its time. nil: nobody is told; Health, Trouble and Info know in any case.
	Tell func(line string) `json:"-"`

	memory []byte // a UMEM that is there already; nil: Open makes one

	Cells          int    // number of UMEM cells; power of two
	CellSize       int    // SmallCell (if 0) or LargeCell
	Hugepages      string // HugepagesAuto if empty
	FillRing       int    // ring sizes in descriptors; powers of two
	CompletionRing int
	RxRing         int
	TxRing         int

	BusyPoll  BusyPoll
	BusyRetry time.Duration // DefaultBusyRetry if 0; negative: try once
	LinkWait  time.Duration // for how long Open waits for a link that opening reset: DefaultLinkWait if 0; negative: not at all
}

// withDefaults fills in what is zero and checks what can be checked without looking at the machine.
func (c Config) withDefaults() (Config, error) {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.Cells, DefaultCells)
	set(&c.CellSize, SmallCell)
	set(&c.FillRing, DefaultFillRing)
	set(&c.CompletionRing, DefaultCompletionRing)
	set(&c.RxRing, DefaultRxRing)
	set(&c.TxRing, DefaultTxRing)
	if c.BusyPoll.Prefer {
		set(&c.BusyPoll.Micros, 20)
		set(&c.BusyPoll.Budget, 64)
	}
	if c.Mode == "" {
		c.Mode = ModeAuto
	}
	if c.Hugepages == "" {
		c.Hugepages = HugepagesAuto
	}
	if c.Link == "" {
		c.Link = LinkEthernet
	}
	if c.EtherType == 0 {
		c.EtherType = header.TypeOwn
	}
	if c.BusyRetry == 0 {
		c.BusyRetry = DefaultBusyRetry
	}
	if c.LinkWait == 0 {
		c.LinkWait = DefaultLinkWait
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.Interface == "":
		return fmt.Errorf("no interface named")
	case c.Queue < 0:
		return fmt.Errorf("queue %d is negative", c.Queue)
	case c.Mode != ModeAuto && c.Mode != ModeZeroCopy && c.Mode != ModeCopy:
		return fmt.Errorf("mode %q does not exist: %s, %s or %s", c.Mode, ModeAuto, ModeZeroCopy, ModeCopy)
	case c.Link != LinkEthernet && c.Link != LinkUDP4:
		return fmt.Errorf("link %q does not exist: %s or %s", c.Link, LinkEthernet, LinkUDP4)
	case c.Hugepages != HugepagesAuto && c.Hugepages != HugepagesOn && c.Hugepages != HugepagesOff:
		return fmt.Errorf("hugepages %q do not exist: %s, %s or %s", c.Hugepages, HugepagesAuto, HugepagesOn, HugepagesOff)
	case c.CellSize != SmallCell && c.CellSize != LargeCell:
		return fmt.Errorf("cells of %d bytes: want %d or %d", c.CellSize, SmallCell, LargeCell)
	case len(c.Peers) > int(dataplane.NoPeer):
		return fmt.Errorf("%d peers: at most %d", len(c.Peers), dataplane.NoPeer)
	case c.BusyPoll.Micros < 0 || c.BusyPoll.Budget < 0 || c.BusyPoll.Budget > 0xFFFF:
		return fmt.Errorf("busy-poll of %d µs, budget %d: out of range", c.BusyPoll.Micros, c.BusyPoll.Budget)
	}
	for _, s := range []struct {
		name             string
		value, low, high int
	}{
		{"cells", c.Cells, minCells, MaxCells},
		{"fill ring", c.FillRing, minRing, MaxRing},
		{"completion ring", c.CompletionRing, minRing, MaxRing},
		{"RX ring", c.RxRing, minRing, MaxRing},
		{"TX ring", c.TxRing, minRing, MaxRing},
	} {
		if s.value < s.low || s.value > s.high || s.value&(s.value-1) != 0 {
			return fmt.Errorf("%s of %d: want a power of two from %d to %d", s.name, s.value, s.low, s.high)
		}
	}
	return nil
}
