// Package afxdp is a dataplane.Port over an AF_XDP socket: one queue of one interface, driven by its rings.
//
// The life of a port. Open looks at the interface (nic.go), makes or joins the XDP program that steers our packets to
// sockets (steering.go, program.go), opens and binds a socket (socket.go), maps its rings (unsafe.go) and puts the socket
// into the program's map. Where it listens to multicast addresses (listen.go), a second socket, which receives nothing, keeps
// the NIC letting them in. Close goes the same way back. When the last process that holds the program's link ends, in
// whatever way, the kernel detaches the program, unless it is pinned (pin.go). A port that could not be opened leaves nothing behind; its Error says what
// to do.
//
// The life of a frame. The UMEM is cut into cells of CellSize bytes. A cell is always in one of these places:
//
//	pool ── refill ──▶ fill ring ──▶ kernel ──▶ RX ring ── RxBurst ──▶ caller ── Free ──▶ pool
//	pool ── Alloc ──▶ caller ── TxBurst ──▶ TX ring ──▶ kernel ──▶ completion ring ── reap ──▶ pool
//
// The pool is a stack, so that the cells used last, which the caches still hold, are used next; both directions share it.
// Neither can starve the other: cells on the way out never exceed what the fill ring's share leaves, and cells on the way
// in, those that the caller holds included, always leave a quarter for sending (cells.go).
//
// A packet to send begins at a fixed place in its cell, so that its payload begins at payloadAt, on a cache line of its
// own: the headers lie in front of it. A received packet lies where the kernel put it, XDP_PACKET_HEADROOM (256) bytes into
// the cell.
//
// Each ring is shared with the kernel: one side moves the producer index, the other the consumer index
// (Documentation/networking/af_xdp.rst, "Rings"). We load the kernel's index with acquire order and publish ours after the
// entries with release order (sync/atomic is stronger than both), and keep copies of both so that most calls touch neither
// shared line.
//
// System calls on the hot path are kicks only. A kick to send is made when TX descriptors are waiting and the TX ring's
// need_wakeup flag is set; in copy mode it always is. A kick to receive is made when the fill ring's flag is set: a driver
// that ran out of cells sleeps until then. Without traffic in copy mode there is none.
//
// Limits, plainly: packets of more than 1,792 bytes, header included, do not fit a cell; multi-buffer packets are not used.
// A NIC that strips VLAN tags before XDP sees them (rx-vlan-offload) hides tagged packets from us: turn that off. IPv4
// packets with options and fragments are left to the kernel. Peers' MACs are looked up once, at Open. A socket receives only
// what comes in on its own queue: packets of ours on another are counted (Unsteered) and go to the kernel. So do packets to a
// multicast address: each comes in on one queue of a NIC, which rules for our own MAC do not choose.
//
// Measured by the benchmarks beside the code, two spinning threads pinned to the two cores of a virtual machine with kernel 6.18,
// over veth, copy mode, native program, 64 bytes, medians of three runs: 3.3 µs a round trip (p50; udp4 3.2), 0.57 million
// round trips/s with 32 in flight, 0.65 million frames/s one way. Nearly all of that is spent in the kernel: the port's own
// share of receiving a frame and sending one is about 0.1 µs. No NIC and no zero-copy driver was measured.
package afxdp
