package dataplane

// Peer is a place in the port's table of peers, given at open. It stands for one link address
// (a MAC, an IP address and UDP port, the other end of a shared ring).
type Peer uint16

// NoPeer is no one: the value of Frame.Peer before the caller set it.
const NoPeer Peer = 0xFFFF

// Frame is a view of one cell of a port's memory.
//
// Data is the payload, past the link headers. A received frame has len(Data) bytes of payload (a link layer with a minimum size may
// have padded it). A frame from Alloc has len(Data) = 0 and cap(Data) = the port's MTU; the caller extends it in place and may change
// its length only: the first byte must stay where it was.
type Frame struct {
	Data []byte
	Peer Peer   // received: who sent it; to send: who shall get it
	Cell uint64 // the port's own mark for the cell; callers leave it alone
}

// Port is one queue of one NIC, or its stand-in. One loop owns it: no two methods may run at once.
type Port interface {
	// RxBurst fills frames with what has arrived and returns how many, at most len(frames). The caller owns frames[:n] until Free.
	// Packets of strangers (not in the table of peers) and malformed ones are dropped and counted, never returned.
	RxBurst(frames []Frame) int

	// Alloc fills frames with empty frames to send and returns how many: fewer than asked for when the port's cells are all in
	// flight. The caller owns them until TxBurst takes them or Free gives them back.
	Alloc(frames []Frame) int

	// TxBurst queues frames that came from this port's Alloc, in order, and returns how many it took. It takes frames[:n]; the
	// caller keeps the rest and must Free or retry them. A frame to a peer that does not exist, empty, or longer than the
	// MTU is a fault of the caller: it is taken, dropped and counted as TxErrors.
	TxBurst(frames []Frame) int

	// Flush makes the driver send what is queued: at most one system call, none where none is needed.
	Flush()

	// Free gives frames back, received ones or unused ones from Alloc, in any order.
	Free(frames []Frame)

	// MTU is the largest payload of one frame, in bytes.
	MTU() int

	// Info tells what the port really is: what was got, not what was asked for.
	Info() Info

	// Counters are the port's counts since it was opened. Only the owning loop may read them; Loop.Inspect lets others ask.
	Counters() *Counters

	// FD is a descriptor that poll(2) finds readable when there is something to receive, or -1 if the port has none.
	FD() int

	// Arm is called before a loop sleeps on FD. It answers false if there is something to receive already: then do not sleep.
	Arm() bool

	// Close releases everything, the queue included. The port and its frames must not be used afterwards. A second Close does nothing.
	Close() error
}

// Info says what a port is.
type Info struct {
	Transport string // "afxdp", "udp", "mem"
	Mode      string // AF_XDP: "zerocopy" or "copy" with a native program, "generic" with a generic one; otherwise ""
	Link      string // "ethernet", "udp4", or "" where there is no link layer
	Interface string // name of the interface, or of the shared ring
	Queue     int    // queue of the interface; 0 where there are no queues
	Cell      int    // AF_XDP: bytes of a cell of the UMEM, which the kernel calls a chunk; 0 elsewhere
	Pages     string // AF_XDP: "huge" (of 2 MiB) or "ordinary", what the UMEM lies in; "" elsewhere
	Node      string // AF_XDP: NUMA node that the UMEM lies on, "several", or "" where the kernel does not tell
	BusyPoll  string // AF_XDP: "off" or "prefer"; "stalled" or "without effect" where it was asked for and given up; "" elsewhere
	Note      string // why it is not what was asked for, for people; "" if it is
}

// Counters count what a port did. They are plain words, written by the owning loop alone.
type Counters struct {
	RxFrames    uint64 // frames handed to the caller
	RxBytes     uint64 // their payload
	RxBursts    uint64 // RxBurst calls that returned something
	RxStrangers uint64 // dropped: sender not in the table of peers
	RxMalformed uint64 // dropped: link headers short, wrong, or of another length than they say
	RxDropped   uint64 // dropped before the port saw them (ring full, no buffer), as far as the driver tells
	TxFrames    uint64 // frames queued
	TxBytes     uint64 // their payload
	TxFull      uint64 // frames that TxBurst did not take because the ring was full
	TxErrors    uint64 // taken and dropped: no such peer, empty, too long, or refused by the kernel
	TxStalls    uint64 // AF_XDP: times that nothing of what was sent was completed for long; Info.Note says what was done
	AllocFailed uint64 // frames asked of Alloc that it did not have
	RxSyscalls  uint64 // system calls made to receive or to refill
	TxSyscalls  uint64 // system calls made to send (kicks)
	Unsteered   uint64 // AF_XDP: frames of ours on a queue without a socket, passed to the kernel (of the whole interface)
}

// Syscalls is the number of system calls that the port made on the hot path.
func (c *Counters) Syscalls() uint64 { return c.RxSyscalls + c.TxSyscalls }
