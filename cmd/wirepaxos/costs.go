package main

import (
	"context"
	"time"

	"wirepaxos/bench"
	"wirepaxos/dataplane"
	"wirepaxos/paxos/node"
)

// costMeter takes what the values of a measurement cost: a reading of all processes shortly before it begins, one at its end, the
// difference of both, and the values that were delivered between them. In between it asks for nothing, so that the processes are alone.
type costMeter struct {
	phase  func() (bench.Phase, error)   // of the client's load
	usages func() ([]*node.Usage, error) // of all processes, in one order
	watch  func(context.Context) error   // an error says that the run is over: somebody has ended, or wants it to
}

// costLead is how long before the measurement the first reading is begun: readings hold loops up, and that is not to be measured. A shorter warm-up
// gives less.
const costLead = 50 * time.Millisecond

// Pauses of the meter: while a session is opened, and between two looks at the processes.
const (
	phasePause = 10 * time.Millisecond
	watchPause = 200 * time.Millisecond
)

// measure waits for the end of the measurement and returns its costs, or nil if it was over before it could be read.
func (m *costMeter) measure(ctx context.Context) (*bench.Costs, error) {
	p, err := m.until(ctx, phasePause, func(p bench.Phase) bool { return p.Begun || p.Stopped })
	if err != nil || p.Stopped {
		return nil, err
	}
	if err := m.sleep(ctx, p.From-int64(costLead)); err != nil {
		return nil, err
	}
	first, err := m.usages()
	if err != nil {
		return nil, err
	}
	if p.End > 0 {
		err = m.sleep(ctx, p.End)
	} else {
		_, err = m.until(ctx, watchPause, func(p bench.Phase) bool { return p.Finished })
	}
	if err != nil {
		return nil, err
	}
	last, err := m.usages()
	if err != nil {
		return nil, err
	}
	return costsBetween(first, last), nil
}

// until asks for the phase again and again.
func (m *costMeter) until(ctx context.Context, pause time.Duration, done func(bench.Phase) bool) (bench.Phase, error) {
	for {
		p, err := m.phase()
		if err != nil || done(p) {
			return p, err
		}
		if err := m.sleep(ctx, dataplane.Now()+int64(pause)); err != nil {
			return p, err
		}
	}
}

// sleep waits for a time on the loops' clock.
func (m *costMeter) sleep(ctx context.Context, until int64) error {
	for {
		if err := m.watch(ctx); err != nil {
			return err
		}
		left := time.Duration(until - dataplane.Now())
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(left, watchPause)):
		}
	}
}

// costsBetween is what was used between two readings of the same processes; nil if one began anew meanwhile, or no value was delivered. What is of a
// whole process counts once for all its loops.
func costsBetween(first, last []*node.Usage) *bench.Costs {
	if len(first) != len(last) {
		return nil
	}
	c := &bench.Costs{}
	seen := map[int]bool{}
	for i, was := range first {
		is := last[i]
		if was.PID != is.PID {
			return nil
		}
		c.Values += is.Values - was.Values
		c.LoopVoluntary += int64(is.LoopVoluntary - was.LoopVoluntary)
		c.LoopInvoluntary += int64(is.LoopInvoluntary - was.LoopInvoluntary)
		c.Syscalls += int64(is.Syscalls - was.Syscalls)
		c.Frames += int64(is.Frames - was.Frames)
		c.FrameBytes += int64(is.FrameBytes - was.FrameBytes)
		c.Retries += int64(is.Retries - was.Retries)
		c.Drops += int64(is.Drops - was.Drops)
		if seen[is.PID] {
			continue
		}
		seen[is.PID] = true
		c.CPUS += float64(is.CPUNs-was.CPUNs) / 1e9
		c.Voluntary += is.Voluntary - was.Voluntary
		c.Involuntary += is.Involuntary - was.Involuntary
		c.Allocations += int64(is.Allocations - was.Allocations)
		c.AllocatedBytes += int64(is.AllocatedBytes - was.AllocatedBytes)
		c.GCCycles += int64(is.GCCycles - was.GCCycles)
	}
	if c.Values == 0 {
		return nil
	}
	return c
}
