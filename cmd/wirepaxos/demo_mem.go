package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos"
	"wirepaxos/paxos/node"
)

// memRun is a planned cluster in this process: a loop for each endpoint, rings in memory between every two.
type memRun struct {
	procs   []*node.Process
	tallies []tallies // of each process
	notes   []stageNotes
	load    *bench.Load
	client  *node.Process
	running sync.WaitGroup
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
func (o *demoFlags) measureMem(ctx context.Context, p *plan, begin func() error) (*outcome, error) {
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
	if err := m.open(o, p, dir); err != nil {
		return nil, err
	}
	if err := begin(); err != nil {
		return nil, err
	}
	w := &watch{p: m.client, load: m.load, id: paxos.NodeID(p.client), quiet: !o.progress, linger: true}
	for _, q := range m.procs {
		if q == m.client {
			continue
		}
		m.running.Add(1)
		go func() {
			defer m.running.Done()
			if err := q.Run(); err != nil {
				fmt.Fprintf(os.Stderr, "wirepaxos: %v\n", err)
			}
		}()
	}
	finished := make(chan error, 1)
	go func() { finished <- w.run() }()
	in, err := m.await(ctx, w, finished)
	if err != nil {
		return nil, err
	}
	in.file, in.layout, in.plan = p.file, p.layout, p
	if o.stages > 0 {
		in.stages = m.stages(p)
	}
	return in, nil
}

// open makes the rings and the processes.
func (m *memRun) open(o *demoFlags, p *plan, dir string) (err error) {
	if m.load, err = o.load(uint64(p.client)); err != nil {
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
		hasClient := false
		for _, id := range q.nodes {
			hasClient = hasClient || id == p.client
		}
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

// await waits for the load and the learners, and gathers what everyone counted.
func (m *memRun) await(ctx context.Context, w *watch, ended <-chan error) (*outcome, error) {
	meter := &costMeter{phase: w.phase, usages: m.usages, watch: func(ctx context.Context) error {
		select {
		case err := <-ended:
			return errors.Join(failed("the client's loop has ended early"), err)
		default:
		}
		if ctx.Err() != nil {
			m.client.Stop()
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
			m.client.Stop()
			<-ended
			return nil, failed("interrupted")
		case <-time.After(settlePause):
		}
	}
	result, err := w.result()
	if err != nil {
		return nil, err
	}
	in := &outcome{costs: costs, results: []bench.ClientResult{result}, tallies: map[paxos.NodeID]bench.TallyReport{}}
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
	m.client.Stop()
	return in, <-ended
}

// stages joins the notes of all loops.
func (m *memRun) stages(p *plan) []bench.Stage {
	var all []bench.StageNote
	for i, q := range m.procs {
		all = append(all, m.notes[i].read(q)...)
	}
	return p.stagesOf(all, m.load.Phase()) // its loop has ended
}

// usages reads all loops; they are of one process.
func (m *memRun) usages() (all []*node.Usage, err error) {
	for _, p := range m.procs {
		u, err := p.Usage()
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// end stops the loops and releases everything.
func (m *memRun) end() {
	for _, p := range m.procs {
		p.Stop()
	}
	m.running.Wait()
	for _, p := range m.procs {
		p.Close()
	}
}
