package main

import (
	"strings"
	"testing"

	"wirepaxos/paxos/cluster"
)

// A cluster whose processes have queues of every kind works, and each tells what it got, in its first lines and in its status.
func TestQueueSettings(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP, learners: 2})
	settings := [][]string{
		{"--chunk", "4096", "--busy-poll", "prefer", "--hugepages", "off"},
		{"--chunk", "4096"},
		{"--busy-poll", "prefer"},
		{"--hugepages", "off"},
	}
	for i, p := range b.plan.procs {
		id := p.nodes[0]
		b.nodes[id].args = append(b.nodes[id].args, settings[i%len(settings)]...)
	}
	b.startAll()
	b.goesOn("the start")
	for i, p := range b.plan.procs {
		id, flags := p.nodes[0], strings.Join(settings[i%len(settings)], " ")
		want := struct {
			cell           int
			busyPoll, told string
		}{2048, "off", "cells of 2048 bytes in "}
		if strings.Contains(flags, "4096") {
			want.cell, want.told = 4096, "cells of 4096 bytes in "
		}
		if strings.Contains(flags, "prefer") {
			want.busyPoll = "prefer"
			b.tells(id, "busy-polled (interrupts come beside")
		}
		b.tells(id, want.told)
		ports := b.status(id).Ports
		if len(ports) == 0 || ports[0].Transport != "afxdp" {
			t.Fatalf("node %d: %+v", id, ports)
		}
		got := ports[0].Info
		if got.Cell != want.cell || got.BusyPoll != want.busyPoll && !(want.busyPoll == "prefer" && got.BusyPoll == "without effect") || strings.Contains(flags, "off") && got.Pages != "ordinary" || got.Pages == "" {
			t.Errorf("node %d with %s: %+v", id, flags, got)
		}
	}
	b.agree()
}

// What cannot be opened so is refused with what to do.
func TestQueueSettingsRefused(t *testing.T) {
	path := loopbackFile(t)
	role := func(flags ...string) []string {
		return append([]string{"acceptor", "--id", "1", "-f", path, "--state-dir", shortDir(t)}, flags...)
	}
	refused(t, role("--chunk", "3000"), "chunk 3000", "2048", "4096")
	refused(t, role("--hugepages", "yes"), `"yes"`, "auto, on or off")
	refused(t, role("--busy-poll", "on"), `"on"`, "off or prefer")

	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	k := b.nodes[b.plan.procs[0].nodes[0]]
	k.args = append(k.args, "--mtu", "3000")
	if err := b.launch(k); err != nil {
		t.Fatal(err)
	}
	b.tells(b.plan.procs[0].nodes[0], "mtu is 3000, but a chunk of 2048 bytes has room for 1728: lower it, or take the larger chunk (chunk = 4096, --chunk 4096)")
	<-k.done
}
