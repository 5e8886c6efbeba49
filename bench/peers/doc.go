// Command wirepaxos-peers runs the systems that somebody would otherwise pick in place of wirepaxos, on this machine, under the load of its bench.
//
//	wirepaxos-peers list                                       what there is, in which version, and what is unlike our own set-up
//	wirepaxos-peers etcd [--outstanding N] [--size N] …        one measured run of etcd/raft; so hashicorp, dragonboat, libpaxos
//
// It is a module of its own, so that what it builds on stays out of the product's dependencies.
//
// The life of a run:
//
//  1. The runner (cluster.go) starts three copies of this program as nodes, each with an address on 127.0.0.1 and, where the peer writes files,
//     a directory of its own. Commands go down a node's standard input and answers come up its standard output, one JSON object a line; a
//     node ends with its input, and the kernel kills it with the runner.
//  2. Each node (node.go) runs one replica of the peer. The runner waits until all three name one leader and go on to for a while.
//  3. The leader's node gets the load (load.go): a closed loop that keeps values under way through the peer's own call for proposing. There is
//     no hop from a client to the leader and back, which is in favour of the peers. A value counts when the state machine of the node that
//     proposed it has applied it, which a quorum of two of the three nodes has committed by then.
//  4. At the begin and at the end of the measurement every node tells what it has used so far. The run is written to standard output as a
//     bench.Point with one Run.
package main
