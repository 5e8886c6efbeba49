// Package nictest is what a port is held to on real drivers: tests over two NICs that a wire joins, and a third one on the same wire whose driver has no
// zero-copy. On veth pairs (dataplane/afxdp) there is only copy mode; vmlab builds these tests into a virtual machine and runs them there.
//
// The environment names the NICs: WIREPAXOS_NICS=NAME,NAME the two, and WIREPAXOS_PLAIN_NIC=NAME the third. A test whose NICs are not named is skipped.
//
// A line "figure NAME NUMBER" is a measurement, for vmlab to tell.
package nictest
