// Package nictest is what a port is held to on real drivers: tests over two NICs that a wire joins, and a third one on the same wire whose driver has no
// zero-copy. On veth pairs (dataplane/afxdp) there is only copy mode; vmlab builds these tests into a virtual machine and runs them there.
//
// The environment names the NICs: WIREPAXOS_NICS=NAME,NAME the two, and WIREPAXOS_PLAIN_NIC=NAME the third. A test whose NICs are not named is skipped.
//
// In a virtual machine with QEMU 7.2, Linux 7.3.4, 1 GiB and a kernel at a random address, QEMU said after some hundred or some ten thousand frames "virtio:
// bogus descriptor or out of resources" and held the device for broken; the driver then waits for ever with the kernel's lock of all links held. User space
// cannot write such a descriptor. With the kernel at its own address (nokaslr) and 2 GiB a run of 300,000 frames did not show it; why is not known for sure.
//
// A line "figure NAME NUMBER" is a measurement, for vmlab to tell.
package nictest
