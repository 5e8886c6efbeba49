// Package nictest is what a port is held to on real drivers: tests over two NICs that a wire joins, and a third one on the same wire whose driver has no
// zero-copy. On veth pairs (dataplane/afxdp) there is only copy mode; vmlab builds these tests into a virtual machine and runs them there.
//
// The environment names the NICs: WIREPAXOS_NICS=NAME,NAME the two, and WIREPAXOS_PLAIN_NICS=NAME=OPTION+OPTION,... those without zero-copy and what
// QEMU was not told for each. WIREPAXOS_PROGRAM is bin/wirepaxos. A test that lacks what it needs is skipped.
//
// In a virtual machine of 1 GiB (QEMU 7.2, Linux 7.3.4) QEMU says after some dozen or hundred frames "virtio: bogus descriptor or out of resources" and
// holds the device for broken; the driver then waits for ever with the kernel's lock of all links held. User space cannot write such a descriptor. Of
// four runs with 1 GiB three ended so, with the kernel at its own address (nokaslr) as with it at a random one; of all with 2 GiB none, also at a
// random one. So the machine has 2 GiB; why less is too little is not known.
//
// A line "figure NAME NUMBER" is a measurement, and "got MODE: TEXT" what the sockets of a mode were, for vmlab to tell.
package nictest
