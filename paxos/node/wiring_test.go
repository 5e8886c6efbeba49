package node

import (
	"strings"
	"testing"

	"wirepaxos/paxos/cluster"
)

// Who listens to the group's address: acceptors and learners that have their NIC to themselves. Processes that share one do not: where the one that gets such
// a frame is dead, the others would hear nothing.
func TestWhoListens(t *testing.T) {
	f := cluster.New()
	for id, n := range []struct {
		roles cluster.Roles
		mac   byte
		queue int
		want  bool
	}{
		{cluster.Acceptor, 1, 0, true}, {cluster.Learner, 1, 0, true}, // one process
		{cluster.Acceptor, 2, 0, false}, {cluster.Acceptor, 2, 1, false}, // two, behind one MAC
		{cluster.Learner, 3, 0, false}, {cluster.Client, 3, 1, false},
		{cluster.Replica, 4, 3, true}, {cluster.Learner | cluster.Client, 5, 0, true},
		{cluster.Proposer, 6, 0, false}, {cluster.Client, 7, 0, false},
	} {
		node := cluster.NewNode(uint16(id+1), n.roles)
		node.MAC, node.Queue = cluster.MAC{2, 0, 0, 0, 0, n.mac}, n.queue
		f.Nodes = append(f.Nodes, node)
		defer func() {
			e, err := f.EndpointOf(uint16(id + 1))
			if err != nil || listens(f, e) != n.want {
				t.Errorf("node %d of %v on queue %d of MAC %d: listens %v, %v", id+1, n.roles, n.queue, n.mac, !n.want, err)
			}
		}()
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
}

// Frames are passed on within a host only to processes behind the same NIC, as far as that is known.
func TestWhoIsPassedOnTo(t *testing.T) {
	one, two := cluster.MAC{2, 0, 0, 0, 0, 1}, cluster.MAC{2, 0, 0, 0, 0, 2}
	for _, c := range []struct {
		a, b cluster.MAC
		want bool
	}{{one, one, true}, {one, two, false}, {one, cluster.MAC{}, true}, {cluster.MAC{}, two, true}, {cluster.MAC{}, cluster.MAC{}, true}} {
		if got := behindOne(cluster.Endpoint{MAC: c.a}, cluster.Endpoint{MAC: c.b}); got != c.want {
			t.Errorf("%v and %v: %t", c.a, c.b, got)
		}
	}
}

// The group's address is of multicast, locally administered, another for each cluster and group, and the one that PROTOCOL.md shows.
func TestGroupMAC(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []uint64{1, 2, 1 << 23, 0x9f3c000000000001} {
		for group := range uint16(300) {
			mac := groupMAC(&cluster.File{Cluster: id, Group: group})
			if len(mac) != 6 || mac[0]&3 != 3 || seen[mac.String()] {
				t.Errorf("cluster %x, group %d: %v, seen before: %v", id, group, mac, seen[mac.String()])
			}
			seen[mac.String()] = true
		}
	}
	const want = "03:57:50:3a:38:79"
	if got := groupMAC(&cluster.File{Cluster: 0x9f3c000000000001, Group: 1}); got.String() != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// Where nobody leads, people are told that multicast may be why, if it may.
func TestGroupTrouble(t *testing.T) {
	f := cluster.New()
	f.Transport, f.Link, f.Multicast = cluster.TransportAFXDP, cluster.LinkEthernet, true
	waits := ProposerStatus{ID: 4, SinceS: 2 * f.Timing.LeaderTimeout.Seconds()}
	if told := groupTrouble(f, []ProposerStatus{{ID: 3, Leader: 3, SinceS: 1e6}, waits}); len(told) != 1 || !strings.Contains(told[0], "proposer 4 finds no leader") ||
		!strings.Contains(told[0], "03:57:50:") || !strings.Contains(told[0], "multicast = false") {
		t.Errorf("told is %q", told)
	}
	stopped, early := waits, waits
	stopped.Stopped, early.SinceS = true, f.Timing.LeaderTimeout.Seconds()/2
	if told := groupTrouble(f, []ProposerStatus{stopped, early}); len(told) != 0 {
		t.Errorf("told is %q", told)
	}
	for _, change := range []func(){
		func() { f.Multicast = false }, func() { f.Link = cluster.LinkUDP4 }, func() { f.Transport = cluster.TransportUDP }, func() { f.Transport = cluster.TransportMem },
	} {
		was := *f
		change()
		if told := groupTrouble(f, []ProposerStatus{waits}); len(told) != 0 {
			t.Errorf("multicast %t, %s, %s: told is %q", f.Multicast, f.Transport, f.Link, told)
		}
		*f = was
	}
}
