// Package nictest is what a port is held to on real drivers: tests over two NICs that a wire joins, and a third one on the same wire whose driver has no
// zero-copy. On veth pairs (dataplane/afxdp) there is only copy mode; vmlab builds these tests into a virtual machine and runs them there.
//
// The environment names the NICs: WIREPAXOS_NICS=NAME,NAME the two, and WIREPAXOS_PLAIN_NICS=NAME=OPTION+OPTION,... those without zero-copy and what
// QEMU was not told for each. WIREPAXOS_PROGRAM is bin/wirepaxos. A test that lacks what it needs is skipped.
//
// Linux 6.13 to 7.3 at least have a fault in virtio_net where it is a module, as in distributions: the header of every packet that a zero-copy socket sends
// is a variable of the module, which is mapped for the device as if it lay in the kernel's own image. The device reads what lies at the module's address less
// 0xffffffff80000000 (nokaslr), 0x40403000 here. A virtual machine of 1 GiB has no memory there: QEMU says "virtio: bogus descriptor or out of
// resources" and holds the device for broken, and the driver waits for ever with the kernel's lock of all links held (in all of three machines within 565
// frames; with 1.5 and 2 GiB in none). With more memory the device takes whatever lies there for a header, and what it does not understand it drops or
// changes. So vmlab's machine has 2 GiB, of which the kernel gets the lower half (mem=1G) at its own address (nokaslr): the header that the device
// finds is of zeros, as it shall be. Elsewhere such a NIC is for trying zero-copy, not for use.
//
// A line "figure NAME NUMBER" is a measurement, and "got MODE: TEXT" what the sockets of a mode were, for vmlab to tell.
package nictest
