// Package cluster reads and writes the one configuration of a cluster, and keeps the small synced files of a node.
//
// The life of a configuration:
//
//  1. New draws a cluster id; the operator adds nodes; Encode writes cluster.toml. The same file goes to every machine.
//  2. Load (or Parse) reads it back. What it returns was checked as a whole by Validate: no later code checks it again. Every error
//     is one line that says where (file and line), what, and what to do.
//  3. A command changes what its flags name (Transport, Link, ...), adds the nodes that only it knows with AddNode, and calls
//     Validate again: the lines of the file are still in the errors.
//  4. Split, or ForGroup, takes a file with several groups apart: each group's view is a file with that group alone (groups.go).
//  5. Endpoints groups the nodes into what a process opens: one link address and queue, one loop. From here on the file is not
//     needed any more.
//
// Load reads the paxos.conf files of Kernel Paxos and of libpaxos as they are (conf.go says how they map), so that
// Encode of what was loaded converts them.
//
// The life of a node's state directory:
//
//  1. OpenState locks the node's files in the directory, so that no second process runs the same node from it.
//  2. An acceptor that keeps its promises in memory calls Mark once, before its first promise or vote: true says that an earlier
//     start may have promised something that is now forgotten, so this one must not vote.
//  3. A proposer calls ReserveRounds before it uses a round: the block is on disk before the call returns, so no two lives of one
//     proposer ever use one round, and a ballot names at most one value per instance.
//  4. Close (or the end of the process, however it comes) gives the lock back. The files stay.
//
// Ids are plain integers here: the package does not import the protocol, and the protocol does not import it.
// Nothing in it belongs on a hot path.
package cluster
