package main

import (
	"testing"
	"time"

	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// In the steady state of real processes nothing is allocated for a burst, and a burst costs at most one system call. What little is allocated
// is for the lines and answers of other goroutines, and does not grow with the bursts.
func TestSteadyState(t *testing.T) {
	for _, layout := range []string{layoutPacked, layoutProcessPerRole} {
		t.Run(layout, func(t *testing.T) {
			b := newBed(t, planConfig{transport: cluster.TransportAFXDP, layout: layout})
			b.startAll()
			b.goesOn("the start")
			var first []*node.Status
			for _, q := range b.plan.procs {
				first = append(first, b.status(q.nodes[0]))
			}
			const bursts = 20_000
			eventually(t, "many bursts", func() bool {
				time.Sleep(250 * time.Millisecond) // each answer allocates some hundred objects
				for i, q := range b.plan.procs {
					if b.status(q.nodes[0]).Loop.BusyCycles < first[i].Loop.BusyCycles+bursts {
						return false
					}
				}
				return true
			}, b.describe)
			for i, q := range b.plan.procs {
				now, then := b.status(q.nodes[0]), first[i]
				busy := now.Loop.BusyCycles - then.Loop.BusyCycles
				// An answer to eventually costs some hundred objects; one object a burst would be many more than all of them.
				if allocs := now.HeapAllocs - then.HeapAllocs; allocs > busy/2 {
					t.Errorf("%s allocated %d objects in %d bursts", b.procs[i].name, allocs, busy)
				}
				calls := uint64(0)
				for k := range now.Ports {
					calls += now.Ports[k].Syscalls() - then.Ports[k].Syscalls()
				}
				if calls == 0 || calls > busy+(now.Loop.Cycles-then.Loop.Cycles)/1000 {
					t.Errorf("%s made %d system calls in %d bursts", b.procs[i].name, calls, busy)
				}
				t.Logf("%s: %d bursts, %d system calls, %d objects allocated by all goroutines", b.procs[i].name, busy, calls,
					now.HeapAllocs-then.HeapAllocs)
			}
			b.agree()
		})
	}
}
