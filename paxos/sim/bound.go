package sim

import "wirepaxos/paxos"

// longestRestNs is how long people let a client rest at most that lost its sessions, before they begin it anew.
const longestRestNs = 40 * ms

// boundNs is how long a cluster may take, once the faults have ended, to serve every client again; and then, once nothing more is submitted, to
// bring all learners to one place. It is made of the cluster's own timers: what may be running when the faults end has to run out, and whatever
// goes wrong goes wrong once. (PROTOCOL.md, "Timers" and the sections that name them.)
//
//   - A lease: of a learner that is gone, or whose earlier incarnation is thought to live.
//   - 12 leader timeouts: a leader that gets nothing chosen leads for 8 of them, one that no quorum hears for 4.
//   - The wait of a proposer that has lost five elections in a row: 16 times 23 heartbeats, or 16 times two retry times.
//   - 160 retry times: 32 until a learner tells of a gap; 64 for which a leader began phase 1 for another gap just before, or waits for fetched values
//     in vain; 64 for an accept whose wait has doubled as often as it does.
//   - 64 retry times of a client: it waits 32 at most before it sends a value again, and what it sends goes first to a proposer that leads no more.
//   - Where learners keep few sessions: as many tries to open one as instances have to pass until another gives way, each an instance of its own and
//     each after a rest.
//
// Where the queue of a port is shorter than a value has fragments, no try brings all of it, and what is tried takes as many tries as that has
// queues in it, and one more.
func (c *plan) boundNs() int64 {
	t := c.file.Timing
	retry, client := int64(t.Retry), int64(t.ClientRetry)
	tries := int64(1)
	if n := paxos.AcceptFrames(c.file.MTU, c.maxValue); n > c.queue {
		tries += int64(n / c.queue)
	}
	room := int64(0)
	if c.file.Sessions < manySessions {
		room = c.file.SessionIdle * (longestRestNs + client)
	}
	return room + int64(t.Lease) + 12*int64(t.LeaderTimeout) + 16*max(23*int64(t.Heartbeat), 2*retry) + tries*(160*retry+64*client)
}
