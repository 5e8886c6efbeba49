package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// outcome is what the processes of a run told at its end.
type outcome struct {
	file     *cluster.File
	layout   string
	plan     *plan // nil where only one process is known
	results  []bench.ClientResult
	statuses []*node.Status
	tallies  map[paxos.NodeID]bench.TallyReport
	drop     float64
	dup      float64
	cpu      bench.CPUTimes // when it began
	costs    *bench.Costs   // nil: not taken
	stages   []bench.Stage  // none where no values were followed

	failovers []bench.Failover
	restarts  int
}

// outcomes is what came of all groups of a run.
type outcomes struct {
	groups []*outcome
	costs  *bench.Costs // of all together; nil: not taken
}

// began notes when the run did, by the machine's counts.
func (o *outcomes) began(cpu bench.CPUTimes) {
	for _, in := range o.groups {
		in.cpu = cpu
	}
}

// report is the report of one group, or of several all together with each one's own in it.
func (o *outcomes) report() (*bench.Report, error) {
	if len(o.groups) == 1 {
		o.groups[0].costs = o.costs
		return o.groups[0].report()
	}
	var ends []bench.GroupEnd
	for _, in := range o.groups {
		r, err := in.report()
		if err != nil {
			return nil, err
		}
		ends = append(ends, bench.GroupEnd{Group: in.file.Group, Report: r, Results: in.results, Tallies: in.tallies})
	}
	r, err := bench.JoinGroups(ends)
	if err == nil {
		r.Costs = o.costs
	}
	return r, err
}

// report joins all of it.
func (o *outcome) report() (*bench.Report, error) {
	merged, err := bench.Merge(o.results)
	if err != nil {
		return nil, err
	}
	r := &bench.Report{
		Transport: string(o.file.Transport), Link: string(o.file.LinkLayer()), Layout: o.layout, Batch: string(o.file.Batch),
		Acceptors: len(o.file.Acceptors()), Proposers: len(o.file.Proposers()), DropRate: o.drop, DupRate: o.dup, Machine: bench.ReadMachine(),
	}
	if o.file.Multicast {
		r.Multicast = multicastOn
	}
	r.Costs, r.Stages = o.costs, o.stages
	r.StealPercent = bench.StealSince(o.cpu)
	r.TakeClients(&merged)
	var learners []bench.LearnerEnd
	var frames uint64
	idles := map[string]bool{}
	for _, s := range o.statuses {
		idles[s.Idle] = true
		learners = append(learners, learnerEnds(s)...)
		frames += takePorts(r, s)
		r.Cores = append(r.Cores, bench.CoreUse{Core: s.Core, Runs: runs(s)})
		for _, l := range s.Learners {
			r.Instances = max(r.Instances, l.Counters.Instances)
		}
	}
	r.Idle = strings.Join(slices.Sorted(maps.Keys(idles)), ", ")
	total := merged.Values
	for _, c := range o.results {
		total += c.Warmup
	}
	if total > 0 {
		r.FramesPerValue = float64(frames) / float64(total)
	}
	if o.plan != nil {
		r.WireHops = float64(o.plan.wireHops())
		r.WireHopsNote = "of one value, from the client and back to it"
	}
	v := bench.Check(merged.Acknowledged, o.tallies, learners)
	r.TakeVerdict(&v, learners)
	r.TakeFailovers(o.failovers, o.restarts)
	if o.restarts > 0 {
		r.Notes = append(r.Notes, "frames, drops and system calls of processes that were killed are not in the counts")
	}
	t := &o.file.Timing
	r.HeartbeatMs, r.LeaderTimeoutMs, r.ClientRetryMs = milliseconds(t.Heartbeat), milliseconds(t.LeaderTimeout), milliseconds(t.ClientRetry)
	return r, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func learnerEnds(s *node.Status) (ends []bench.LearnerEnd) {
	for _, l := range s.Learners {
		ends = append(ends, bench.LearnerEnd{
			ID: uint16(l.ID), Delivered: l.Delivered, Hash: bench.Hash(l.Hash), Watermark: uint64(l.Watermark), Transfers: l.Counters.Transfers,
		})
	}
	return ends
}

// modeRank orders modes: a run is called by the least of its sockets.
var modeRank = map[string]int{"zerocopy": 3, "copy": 2, "generic": 1}

// takePorts adds a process's ports to the report and returns the frames that they sent.
func takePorts(r *bench.Report, s *node.Status) (frames uint64) {
	var nodes []uint16
	for _, id := range nodeIDs(s) {
		nodes = append(nodes, uint16(id))
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	for _, p := range s.Ports {
		frames += p.TxFrames
		r.Syscalls += p.Syscalls()
		r.Drops += p.RxDropped + p.RxMalformed + p.TxErrors
		r.Sockets = append(r.Sockets, bench.SocketUse{
			Nodes: nodes, Interface: p.Interface, Queue: p.Queue, Transport: p.Transport, Mode: p.Mode, Link: p.Link, Note: p.Note,
		})
		if p.Mode != "" && (r.Mode == "" || modeRank[p.Mode] < modeRank[r.Mode]) {
			r.Mode = p.Mode
		}
	}
	for _, n := range s.Dropped {
		r.Drops += n
	}
	b := &s.Border
	r.Drops += b.InboxFull + b.NoFrame + b.TxDropped + b.NoRoute + b.TooLong
	return frames
}

func nodeIDs(s *node.Status) (ids []paxos.NodeID) {
	for _, a := range s.Acceptors {
		ids = append(ids, a.ID)
	}
	for _, p := range s.Proposers {
		ids = append(ids, p.ID)
	}
	for _, l := range s.Learners {
		ids = append(ids, l.ID)
	}
	for _, c := range s.Clients {
		ids = append(ids, c.ID)
	}
	return ids
}

// runs says which roles a process runs.
func runs(s *node.Status) (text string) {
	add := func(role string, id paxos.NodeID) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %d", role, id)
	}
	for _, c := range s.Clients {
		add("client", c.ID)
	}
	for _, p := range s.Proposers {
		add("proposer", p.ID)
	}
	for _, a := range s.Acceptors {
		add("acceptor", a.ID)
	}
	for _, l := range s.Learners {
		add("learner", l.ID)
	}
	return text
}
