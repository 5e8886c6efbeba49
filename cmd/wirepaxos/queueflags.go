package main

import (
	"github.com/spf13/pflag"

	"wirepaxos/paxos/cluster"
)

// queueFlags say how a node's AF_XDP queue is opened.
type queueFlags struct {
	mode, hugepages, busyPoll string
	chunk                     int
}

func (q *queueFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&q.mode, "mode", "", "AF_XDP mode: auto, zerocopy (refuses any other), copy")
	flags.IntVar(&q.chunk, "chunk", 0, "AF_XDP: bytes of memory for a packet, 2048 or 4096 (for an MTU of more than 1500), in place of the file's; the same on all nodes")
	flags.StringVar(&q.hugepages, "hugepages", "",
		"AF_XDP: where that memory lies: auto (in reserved pages of 2 MiB where there are enough), on (refuses others), off; in place of the file's")
	flags.StringVar(&q.busyPoll, "busy-poll", "",
		"AF_XDP: off, or prefer: the loop runs the NIC's driver in its own system calls; its interrupts go on unless \"wirepaxos nic tune --busy-poll\" defers them")
}

// apply puts what was given in place of the file's.
func (q *queueFlags) apply(f *cluster.File, given func(name string, set func())) {
	given("mode", func() { f.Mode = cluster.Mode(q.mode) })
	given("chunk", func() { f.Chunk = q.chunk })
	given("hugepages", func() { f.Hugepages = cluster.Hugepages(q.hugepages) })
	given("busy-poll", func() { f.BusyPoll = cluster.BusyPoll(q.busyPoll) })
}

// queueFlagNames are the flags that add makes.
var queueFlagNames = []string{"mode", "chunk", "hugepages", "busy-poll"}
