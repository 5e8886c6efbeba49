// Package netlab builds a network of veth pairs on one machine: a bed to run a cluster on without a NIC.
//
// The life of a lab, in order:
//
//  1. Up claims the lab's name in a state file under /run/wirepaxos/lab, then makes one network namespace per host (wp-LAB-HOST)
//     and one for the switch (wp-LAB-sw), a veth pair per host (wp0 in the host's namespace, s0, s1, … in the switch's), fixed
//     addresses, and permanent neighbour entries, so that no ARP is needed. It returns when every link carries.
//  2. A frame that a host sends on wp0 arrives at its switch end. The XDP program there looks the destination MAC up and redirects
//     the frame, on the sender's core, to the switch end of the destination, out of whose peer it comes: into an AF_XDP socket
//     or the host's kernel. Multicast and broadcast go to all hosts but the sender. What is addressed to no other host is dropped.
//  3. A frame that the XDP program cannot send on alone goes to a classifier on the same switch end: a duplicated frame, and a frame
//     to a host with several queues, whose queue the host's own rules choose (HostSpec.Steer), as a NIC's flow director would.
//  4. A frame to be delayed is copied to a ring that the serving process reads; it sends the frame on when it is due.
//  5. Down ends the processes that Start started, removes links and namespaces, and last the state file.
//
// Two hosts without faults, of one queue each, get one veth pair from namespace to namespace and no switch.
//
// # Who keeps a lab
//
// The process that called Up owns the lab; when it ends, it must call Down (cancelling Up's context does the same). Programs are
// attached by netlink, not by a bpf_link, so they live as long as the links do: forwarding, dropping, duplicating and cutting
// need no process. Only delaying does. The owner serves the delays itself; Detach leaves the lab running without an owner, and then
// another process may serve them with Serve, which is what `lab up` leaves behind if delays are asked for.
// An owner that died without Down leaves a stale lab: the next Up of its name, or Down, cleans it. Processes are recorded with their
// start time, so a process that got a recycled number is never signalled.
//
// # What is not a NIC here
//
// The switch runs in the softirq of whoever sends. Where more threads spin than there are cores, the kernel hands that work to ksoftirqd,
// which must wait for a core like everyone else: a frame then takes milliseconds through the switch (1.7 s were seen on two cores with
// twenty threads ready to run; nothing was lost). Give a lab no more spinning loops than the machine has cores.
//
// Checksums and segmentation are done in software (a checksum left to the NIC would be lost on the way through XDP). IPv6 is off.
// sysfs shows the namespace of the process that mounted it: programs in a lab should ask netlink for their interface.
// The directory /run/netns stays behind, mounted on itself, as `ip netns add` leaves it.
package netlab
