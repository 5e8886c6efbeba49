// Package dataplane moves bursts of frames between poll loops.
//
// The life of a frame, in the order of the packet:
//
//  1. A loop (Loop) runs one Task on one thread, pinned to one core. Each cycle it reads the clock once and calls the task.
//  2. The task calls RxBurst on each of its ports (Port). The frames that it gets are its own until it gives them back with Free.
//     It reads them in place: they lie in the port's memory (the UMEM of an AF_XDP socket, a shared ring, a receive buffer).
//  3. To send, the task takes empty frames with Alloc, writes their payload in place, names the peer, and hands them over with
//     TxBurst. What TxBurst took belongs to the port, which recycles it; what it did not take still belongs to the task.
//  4. At the end of the cycle the task calls Flush once: at most one kick of the driver, none where none is needed.
//  5. The loop's idle strategy decides what a cycle without work does: spin, yield, back off, or block in poll(2).
//
// A frame's payload begins behind the link headers. Those are the port's alone: prebuilt per peer, written on transmit, checked
// and cut off on receive. A task knows peers only as small numbers (Peer).
//
// A port is owned by one loop and never blocks. Nothing here allocates, locks or logs after it was opened; what goes wrong on
// the hot path is counted (Counters). Loops exchange frames only through the single-producer single-consumer rings of package mem.
//
// This package knows nothing of the protocol that the frames carry.
package dataplane
