package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"wirepaxos/paxos/cluster"
)

// newLeaderBed is a bed of two proposers that runs, and whose leader does not change because the machine is busy.
func newLeaderBed(t *testing.T) (b *bed, leader, other uint16) {
	t.Helper()
	b = newBed(t, planConfig{transport: cluster.TransportUDP, proposers: 2})
	b.plan.file.Timing.LeaderTimeout = 2 * time.Second
	b.rewrite(string(b.plan.file.Encode()))
	b.startAll()
	b.goesOn("the start")
	leader, other = b.leader(), 4
	if leader == 4 {
		other = 5
	}
	return b, leader, other
}

// admin runs an admin command.
func (b *bed) admin(args ...string) (status int, out, errors string) {
	b.t.Helper()
	return runProgram(b.t, append([]string{"admin"}, args...)...)
}

// Leadership is handed over and back while values flow; each side says why it changed.
func TestAdminHandover(t *testing.T) {
	b, leader, other := newLeaderBed(t)
	for range 2 {
		status, out, errors := b.admin("handover", b.nodes[leader].socket, fmt.Sprint(other))
		if status != 0 || !strings.HasPrefix(out, fmt.Sprintf("node %d leads by ballot ", other)) || errors != "" {
			t.Fatalf("status %d: %q %q", status, out, errors)
		}
		b.goesOn("the handover")
		if now := b.leader(); now != other {
			t.Fatalf("node %d leads\n%s", now, b.describe())
		}
		p, q := b.status(other).Proposers[0], b.status(leader).Proposers[0]
		if p.Cause != "asked" || p.Why != fmt.Sprintf("node %d handed over", leader) || q.Causes["handed over"] != 1 || q.Counters.HandedOver != 1 {
			t.Errorf("the new leader says %q, the one before %+v", p.Why, q)
		}
		leader, other = other, leader
	}
	b.agree()
}

// A handover that cannot be is refused with one line that says why and what to do, and changes nothing.
func TestAdminHandoverRefused(t *testing.T) {
	b, leader, other := newLeaderBed(t)
	led := b.status(leader).Proposers[0].Ballot
	for _, c := range []struct {
		at   uint16
		to   string
		want string
	}{
		{leader, fmt.Sprint(leader), "leads already"},
		{leader, "1", "node 1: is acceptor, not proposer: choose from proposer 4, 5"},
		{leader, "77", "no proposer 77: choose from proposer 4, 5"},
		{leader, "x", `"x" is no node id`},
		{leader, "", "takes one word"},
		{other, fmt.Sprint(leader), fmt.Sprintf("proposer %d does not lead, node %d does: ask the process of node %d", other, leader, leader)},
		{1, "4", "no proposer runs in this process"},
	} {
		status, out, errors := b.admin("handover", b.nodes[c.at].socket, c.to)
		if status != 1 || out != "" || strings.Count(errors, "\n") != 1 || !strings.Contains(errors, c.want) {
			t.Errorf("handover at node %d to %q: status %d: %q %q, want %q", c.at, c.to, status, out, errors, c.want)
		}
	}
	if status, _, errors := b.admin("handover", b.dir+"/none.sock", "4"); status != 1 || !strings.Contains(errors, "is the process running?") {
		t.Errorf("a socket that is not there: status %d: %q", status, errors)
	}
	if now := b.status(leader).Proposers[0]; now.Ballot != led || !now.Leads {
		t.Errorf("it led by %s, now %+v", led, now)
	}
}

// Status shows all processes side by side; one that does not answer is named, and the others are shown all the same.
func TestAdminStatus(t *testing.T) {
	b, leader, other := newLeaderBed(t)
	sockets := []string{b.nodes[1].socket, b.nodes[4].socket, b.nodes[5].socket}
	status, out, errors := b.admin(append([]string{"status"}, sockets...)...)
	for _, want := range []string{
		fmt.Sprintf("proposer %d  leads by ballot ", leader), fmt.Sprintf("proposer %d  follows node %d, ballot ", other, leader), "acceptor 1  ",
		"heard the leader by ballot ", "no leader was ever heard of",
		fmt.Sprintf("changes of leadership as proposer %d saw them:", other), "nobody leads",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if status != 0 || t.Failed() {
		t.Fatalf("status %d: %s\n%s", status, out, errors)
	}
	b.kill(leader)
	b.goesOn("the leader's death")
	status, out, errors = b.admin(append([]string{"status", "--json"}, sockets...)...)
	var answers []processAnswer
	err := json.Unmarshal([]byte(out), &answers)
	if err != nil || status != 1 || len(answers) != 3 || !strings.Contains(errors, "not every process answered") {
		t.Fatalf("status %d: %v: %s\n%s", status, err, out, errors)
	}
	for _, a := range answers {
		switch a.Socket {
		case b.nodes[leader].socket:
			if a.Status != nil || !strings.Contains(a.Error, "is the process running?") {
				t.Errorf("the dead one: %+v", a)
			}
		case b.nodes[other].socket:
			if a.Status == nil || a.Error != "" {
				t.Fatalf("%+v", a)
			}
			if p := a.Status.Proposers[0]; !p.Leads || p.Cause != "silence" || p.Why == "" || len(p.Changes) < 3 || p.Counters.Asked == 0 {
				t.Errorf("the one that took over: %+v", p)
			}
		}
	}
}

// Why nobody leads is told: here two of three acceptors are gone.
func TestAdminStatusWithoutLeader(t *testing.T) {
	b, leader, _ := newLeaderBed(t)
	b.kill(1)
	b.kill(2)
	want := "1 of 3 answer"
	var out string
	eventually(t, "the status says "+want, func() bool {
		_, out, _ = b.admin("status", b.nodes[leader].socket)
		return strings.Contains(out, want) && strings.Contains(out, "knows no leader") &&
			strings.Contains(out, "no quorum of acceptors answered for")
	}, func() string { return out })
}
