package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos"
	"wirepaxos/paxos/node"
)

// memRun is a planned cluster in this process: a loop for each endpoint of each group, rings in memory between every two of a group.
type memRun struct {
	groups  []*memGroup
	running sync.WaitGroup
}

// memGroup is one group of it.
type memGroup struct {
	plan    *plan // as the group sees it
	procs   []*node.Process
	tallies []tallies // of each process
	notes   []stageNotes
	load    *bench.Load
	client  *node.Process
}

// runMem runs the cluster of a plan in this process.
func (o *demoFlags) runMem(ctx context.Context, p *plan) error {
	in, err := o.measureMem(ctx, p, func() error {
		o.opening(p, "one process")
		return nil
	})
	if err != nil {
		return err
	}
	return o.tell(in)
}

// measureMem runs the cluster and its load, and gathers what came of it. Once everything is there it calls begin, and only then runs the loops.
func (o *demoFlags) measureMem(ctx context.Context, p *plan, begin func() error) (*outcomes, error) {
	if err := p.address(nil); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "wirepaxos-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	m := &memRun{}
	defer m.end()
	for i, f := range p.file.Split() {
		own := *p
		own.file = f
		g := &memGroup{plan: &own}
		m.groups = append(m.groups, g)
		if err := g.open(o, i, dir); err != nil {
			return nil, err
		}
	}
	if err := begin(); err != nil {
		return nil, err
	}
	w := &watch{quiet: !o.progress, linger: true}
	for _, g := range m.groups {
		w.parts = append(w.parts, &watched{p: g.client, load: g.load, id: paxos.NodeID(p.client), group: g.plan.file.Group})
		m.runServers(g)
	}
	finished := make(chan error, 1)
	clients := m.clients()
	go func() { finished <- w.run(clients.run, clients.stop) }()
	in, err := m.await(ctx, w, finished)
	if err != nil {
		return nil, err
	}
	if o.stages > 0 {
		for i, g := range m.groups {
			in.groups[i].stages = g.stages()
		}
	}
	return in, nil
}

// runServers runs the loops of a group but for the client's.
func (m *memRun) runServers(g *memGroup) {
	for _, q := range g.procs {
		if q == g.client {
			continue
		}
		m.running.Go(func() {
			if err := q.Run(); err != nil {
				fmt.Fprintf(os.Stderr, "wirepaxos: %v\n", err)
			}
		})
	}
}

// clients are the loops of the clients of all groups.
func (m *memRun) clients() (all groupLoops) {
	for _, g := range m.groups {
		all = append(all, &groupLoop{file: g.plan.file, p: g.client})
	}
	return all
}

// open makes the rings and the processes of group number i.
func (m *memGroup) open(o *demoFlags, i int, dir string) (err error) {
	p := m.plan
	if m.load, err = o.load(groupSeed(p.client, i)); err != nil {
		return err
	}
	links, err := ringAll(p)
	if err != nil {
		return err
	}
	for i, q := range p.procs {
		s := node.Spec{File: p.file, Nodes: q.nodes, StateDir: dir, Core: node.CoreOfFile, Links: links[i]}
		if o.verbose {
			s.Notice = func(n node.Notice) { fmt.Fprintf(os.Stderr, "%v %d: %v\n", n.Role, n.Node, n.Event) }
		}
		own, err := newTallies(p.file, q.nodes, true)
		if err != nil {
			return err
		}
		notes, err := newStageNotes(o.stages)
		if err != nil {
			return err
		}
		s.Deliver, s.Observe = own.deliver(), notes.observe()
		hasClient := slices.Contains(q.nodes, p.client)
		if hasClient {
			s.Client = &node.ClientSpec{Sessions: o.clients, Outstanding: o.outstanding, MaxValue: o.size, Source: m.load}
		}
		process, err := node.Open(s)
		if err != nil {
			return err
		}
		m.procs = append(m.procs, process)
		m.tallies, m.notes = append(m.tallies, own), append(m.notes, notes)
		if hasClient {
			m.client = process
		}
	}
	return nil
}

// ringAll makes a ring between every two endpoints: for each of them, its ends by the key of the other.
func ringAll(p *plan) ([]map[string]dataplane.Port, error) {
	ends := make([]map[string]dataplane.Port, len(p.procs))
	keys := make([]string, len(p.procs))
	for i, q := range p.procs {
		e, err := p.file.EndpointOf(q.nodes[0])
		if err != nil {
			return nil, err
		}
		ends[i], keys[i] = map[string]dataplane.Port{}, e.Key
	}
	for i := range ends {
		for k := i + 1; k < len(ends); k++ {
			a, b, err := mem.NewPair(mem.Config{Name: fmt.Sprintf("%s-%s", keys[i], keys[k]), MTU: node.MTU(p.file), Frames: 2048})
			if err != nil {
				return nil, err
			}
			ends[i][keys[k]], ends[k][keys[i]] = a, b
		}
	}
	return ends, nil
}

// await waits for the loads and the learners, and gathers what everyone counted.
func (m *memRun) await(ctx context.Context, w *watch, ended <-chan error) (*outcomes, error) {
	meter := &costMeter{phase: w.phase, usages: m.usages, watch: func(ctx context.Context) error {
		select {
		case err := <-ended:
			return errors.Join(failed("the client's loop has ended early"), err)
		default:
		}
		if ctx.Err() != nil {
			m.clients().stop()
			<-ended
			return failed("interrupted")
		}
		return nil
	}}
	costs, err := meter.measure(ctx)
	if err != nil {
		return nil, err
	}
	for !w.finished() {
		select {
		case err := <-ended:
			return nil, errors.Join(failed("the client's loop has ended early"), err)
		case <-ctx.Done():
			m.clients().stop()
			<-ended
			return nil, failed("interrupted")
		case <-time.After(settlePause):
		}
	}
	in := &outcomes{costs: costs}
	for i, g := range m.groups {
		one, err := g.gather(w.parts[i])
		if err != nil {
			return nil, err
		}
		in.groups = append(in.groups, one)
	}
	m.clients().stop()
	return in, <-ended
}

// gather waits for the learners of a group, and collects what everyone counted.
func (m *memGroup) gather(w *watched) (*outcome, error) {
	result, err := w.result()
	if err != nil {
		return nil, err
	}
	in := &outcome{
		file: m.plan.file, layout: m.plan.layout, plan: m.plan, results: []bench.ClientResult{result}, tallies: map[paxos.NodeID]bench.TallyReport{},
	}
	for range int(settleBound / settlePause) {
		in.statuses = in.statuses[:0]
		for _, p := range m.procs {
			status, err := p.Status()
			if err != nil {
				return nil, err
			}
			in.statuses = append(in.statuses, status)
		}
		if settled(in.statuses) {
			break
		}
		time.Sleep(settlePause)
	}
	for i, p := range m.procs {
		reports, err := m.tallies[i].read(p)
		if err != nil {
			return nil, err
		}
		for id, t := range reports {
			in.tallies[id] = t
		}
	}
	return in, nil
}

// stages joins the notes of all loops of a group.
func (m *memGroup) stages() []bench.Stage {
	var all []bench.StageNote
	for i, q := range m.procs {
		all = append(all, m.notes[i].read(q)...)
	}
	return m.plan.stagesOf(all, m.load.Phase()) // its loop has ended
}

// usages reads all loops; they are of one process.
func (m *memRun) usages() (all []*node.Usage, err error) {
	for _, g := range m.groups {
		for _, p := range g.procs {
			u, err := p.Usage()
			if err != nil {
				return nil, err
			}
			all = append(all, u)
		}
	}
	return all, nil
}

// end stops the loops and releases everything.
func (m *memRun) end() {
	for _, g := range m.groups {
		for _, p := range g.procs {
			p.Stop()
		}
	}
	m.running.Wait()
	for _, g := range m.groups {
		for _, p := range g.procs {
			p.Close()
		}
	}
}
