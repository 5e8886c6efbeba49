// Package sim runs whole clusters in virtual time, in one goroutine each, and tries to break them.
//
// What runs is what runs in production: package node with its border, routes and rounds, on dataplane.Loop, with the roles and the clients;
// there is no protocol here. What is put in its place is the machine: the network is dataplane/simwire, each machine has a clock of its own that
// is set wrong and drifts, a disk that keeps what was synced, and a price for each turn of its loop.
//
// The life of a run (Run):
//
//  1. The seed draws a cluster (plan.go): roles, who shares a machine or a NIC, sizes, timers, load, multicast. Every concern has a random stream of its
//     own.
//  2. The world (world.go) takes what is next, an arrival on the network or an event that somebody arranged, moves the time there, and lets
//     machines that have something to do take a turn of their loop (machine.go). Clients work on registers through the log (source.go,
//     registry.go). Faults (faults.go) are what the profile (profile.go) allows, and the protocol is held to survive.
//  3. The faults end. Within a bound (bound.go) every client must be served again, and after that all learners must come to stand at one place.
//  4. Package check has listened all the time: to each step of each role, to deliveries, to clients. The first broken promise ends the run.
//
// One seed is one run, to the byte: nothing here or below reads a clock, a random source, or the order of a map, and nothing runs beside. The
// trace's hash shows it.
package sim
