// Package node joins roles, ports and a loop: it is what a process of a cluster runs.
//
// The way of a message, which never turns back:
//
//  1. receive: a burst of frames from each port. A frame is checked whole (cluster, group, checksum, sender, destination) before any of it is
//     believed; its messages are decoded into the inboxes of the roles that take them. What is wrong is dropped and counted by reason.
//  2. step: each role with something in its inbox, or whose time has come, steps once per pass. What it has to say to a role on the same loop
//     goes straight into that inbox and is handled in the next pass of the same cycle; the rest is written into the frame that is
//     open to its destination; with multicast, one frame for all destinations on the same way (many.go).
//  3. transmit: the open frames are finished and handed to their ports, each port is flushed once, and the received frames are freed.
//     On a loop that spins a frame with nothing but a few votes for a proposer stays open for up to 50 µs: nobody waits for it. Measured
//     with one value at a time and three acceptors: 4.2 frames a value instead of 7, and 28 % less latency in the median (AF_XDP, UDP
//     and memory alike; six runs of each in turn, on a loaded machine).
//
// Data of a message is a view: of a received frame until step 3, or of the sending role's memory until that role steps again. Every
// inbox is emptied once a pass, and no role steps twice in a pass, so no view outlives what it shows.
//
// A route is chosen once, at start: a node on this loop by its inbox, a node of another process of this host through a ring in shared memory
// (two processes behind one MAC cannot talk through the switch: it does not send a frame back where it came from), any other through the
// NIC. A frame for a node of this host that came in on our queue is passed on to its process through that ring. With multicast a NIC's port has one more
// peer, the address of the group, to which acceptors and learners listen that have their NIC to themselves.
//
// A Process is one loop and one group. A program that runs several groups opens one for each, and joins what they answer on its control socket
// (groups.go); they share nothing but the state directory, where files are named by group, and the NIC.
//
// Storage is "memory": what a step puts into Outbox.After leaves at once.
package node
