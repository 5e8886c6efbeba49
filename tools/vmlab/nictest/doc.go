// Package nictest is what a port is held to on real drivers: tests over two NICs that a wire joins, and a third one on the same wire whose driver has no
// zero-copy. On veth pairs (dataplane/afxdp) there is only copy mode; vmlab builds these tests into a virtual machine and runs them there.
//
// The environment names the NICs: WIREPAXOS_NICS=NAME,NAME the two, and WIREPAXOS_PLAIN_NIC=NAME the third. A test whose NICs are not named is skipped.
//
// In a virtual machine with QEMU 7.2 and Linux 7.3.4 the conformance suite, some 40,000 frames and dozens of sockets long, passed whole over raw Ethernet in
// some runs; in others QEMU said in the midst of it "virtio: bogus descriptor or out of resources" and held the device for broken. Then nothing moves, and the
// driver waits for ever with the kernel's lock of all links held. It came with one and two virtual CPUs alike, with and without indirect descriptors. User
// space cannot write such a descriptor: the fault is the driver's or QEMU's.
//
// A line "figure NAME NUMBER" is a measurement, for vmlab to tell.
package nictest
