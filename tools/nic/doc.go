// Package nic shows the interfaces of a machine as a poll-mode program sees them, and sets one up for it: what `wirepaxos nic` does.
//
// A NIC stays a Linux interface throughout. List only looks. The others change something, print each change before they make it, and refuse an
// interface that the default route goes over unless they are told to go on (Guard):
//
//   - Attach pins our XDP program and its maps in a bpffs of our own, so that they stay while no role runs; Detach takes the pins away, and the
//     bpffs when it is empty.
//   - Steer makes packets of one kind arrive on one queue: by an ntuple rule, or for UDP by the RSS indirection table.
//   - Tune sets queues, rings, coalescing, the two NAPI settings that busy polling wants, and takes interrupts off the cores of loops.
//   - Restore puts back all that Steer and Tune changed.
//
// The life of a change. Every setting has a name (setting.go) and a value that is text. Steer and Tune make a plan: what is, and what shall be
// (plan.go). Before the first change, what was is written to a file and synced (state.go): a crash at any later moment leaves a file from which
// Restore can go back. A setting that was changed before keeps its first old value. The file knows the boot and the interface that it is of; after a
// reboot the settings are gone with the kernel that had them, and so is the file's meaning.
//
// What a driver does not have is said and skipped. What it has and refuses is said, with what to do, and the command goes on with the rest and fails at the
// end; nothing of it is kept.
//
// A rule is known by what it says, not by its place in the NIC's table: others use the table too, and some drivers choose the place themselves (rules.go).
//
// Where the kernel speaks: netlink and ioctl for the interface in the network namespace of the calling thread; generic netlink, family netdev
// (Documentation/netlink/specs/netdev.yaml), for XDP features and queues; a sysfs of the same namespace, mounted for the purpose if /sys shows another.
//
// Tried on veth, kernel 6.18, which has queues and the NAPI settings, and on virtio_net in a virtual machine, kernel 7.3, which also has rings and interrupts
// and refuses coalescing. Rules and indirection were held against a stand-in that checks the requests byte for byte and refuses each in turn; they have met no
// NIC.
package nic
