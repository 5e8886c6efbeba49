// Package afxdp is a dataplane.Port over an AF_XDP socket: one queue of one interface, driven by its rings.
//
// The life of a port. Open looks at the interface (nic.go), makes or joins the XDP program that steers our packets to
// sockets (steering.go, program.go), opens and binds a socket (socket.go), maps its rings (unsafe.go) and puts the socket
// into the program's map. Where it listens to multicast addresses (listen.go), a second socket, which receives nothing, keeps
// the NIC letting them in. Close goes the same way back. When the last process that holds the program's link ends, in
// whatever way, the kernel detaches the program, unless it is pinned (pin.go). A port that could not be opened leaves nothing behind; its Error says what
// to do.
//
// An interface that is set down, loses its carrier or its MTU is watched for (watch.go): people are told, and frames flow again when it is back. One that goes
// away takes the socket and the program with it; the port then waits for one of that name and opens everything anew but the UMEM, beside the loop, which takes it
// over between two bursts (life.go). Nothing of that is on the hot path: a load where nothing was received, and a branch before a kick.
//
// The life of a frame. The UMEM is cut into cells of 2,048 or 4,096 bytes, which the kernel calls chunks. A cell is always in one of these places:
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
// The UMEM. It lies in ordinary pages, and then github.com/asavie/xdp makes it together with the socket (asavie.go), or in reserved hugepages of 2 MiB, which
// that package cannot map: then the socket is opened here (hugepages.go). Hugepages are worth it: medians of six runs each in turn with those of ordinary
// pages, on a machine that did other things too, a round trip of 64 bytes over veth took 2.94 µs (2.88 to 3.01) against 3.20 (3.14 to 3.26), and of 1,400 bytes
// 3.84 against 4.00: a page holds 1,024 cells in place of two. Cells of 4,096 bytes, one to an ordinary page, take 3.42 µs, and in hugepages 3.14; they are for
// interfaces with an MTU of more than 1,500. On a machine with several NUMA nodes UMEM and rings lie on that of the loop's core, or of the NIC (numa.go).
//
// Zero-copy. A socket is called so only if XDP_OPTIONS says it and the program runs in the driver; it is never asked for where packets may be longer than a
// cell, for the NIC would drop those of the kernel's own traffic too. Where mode "zerocopy" is refused the error names what is missing (zerocopy.go): the
// driver's part, the kernel's release, a virtual machine's option, the MTU, the size of cells.
//
// Busy-polling (Config.BusyPoll) has the kernel run the driver's receive side inside our own system calls. It takes effect with napi_defer_hard_irqs and
// gro_flush_timeout set on the interface, which `wirepaxos nic tune --busy-poll` does and `nic restore` takes back. Two things can go wrong, and both are found
// while the port runs, told, and fallen back from (stall.go): a zero-copy queue whose two sides do not share a NAPI instance sends nothing, for a kick then wakes
// nobody; and a driver that does not tell the instance (veth since kernel 6.13) is not polled at all, so that its packets wait for the timer: 200 µs a round
// trip over veth tuned like that. Over veth it can only cost: 3.36 µs a round trip where it was asked for in vain, against 3.20.
//
// Limits, plainly: packets of more than 1,792 bytes (3,840 in large cells), header included, do not fit a cell; multi-buffer packets are not used.
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
