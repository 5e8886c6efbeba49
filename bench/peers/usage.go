package main

import (
	"fmt"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"

	"wirepaxos/bench"
)

// usage is what a process has used since it began.
type usage struct {
	CPUS        float64 `json:"cpu_s"`
	Voluntary   int64   `json:"voluntary"`
	Involuntary int64   `json:"involuntary"`
	Objects     int64   `json:"objects"`
	Bytes       int64   `json:"bytes"`
	GCCycles    int64   `json:"gc_cycles"`
}

// readUsage asks the kernel for all threads of this process, and Go's runtime, without stopping it.
func readUsage() (usage, error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return usage{}, fmt.Errorf("getrusage: %w", err)
	}
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	at := func(i int) int64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(samples[i].Value.Uint64())
	}
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return usage{
		CPUS: cpu.Seconds(), Voluntary: r.Nvcsw, Involuntary: r.Nivcsw, Objects: at(0), Bytes: at(1), GCCycles: at(2),
	}, nil
}

// unknownCosts are costs of which nothing could be counted.
func unknownCosts(values uint64) bench.Costs {
	return bench.Costs{
		Values: values, CPUS: -1, Voluntary: -1, Involuntary: -1, LoopVoluntary: -1, LoopInvoluntary: -1, Syscalls: -1, Allocations: -1,
		AllocatedBytes: -1, GCCycles: -1, Frames: -1, FrameBytes: -1, Retries: -1, Drops: -1,
	}
}

// costs are what all nodes used from the begin to the end of the measurement.
func costs(begin, end []usage, values, retries uint64) bench.Costs {
	c := unknownCosts(values)
	c.CPUS, c.Voluntary, c.Involuntary, c.Allocations, c.AllocatedBytes, c.GCCycles, c.Retries = 0, 0, 0, 0, 0, 0, int64(retries)
	for i := range begin {
		b, e := &begin[i], &end[i]
		c.CPUS += e.CPUS - b.CPUS
		c.Voluntary += e.Voluntary - b.Voluntary
		c.Involuntary += e.Involuntary - b.Involuntary
		c.Allocations += e.Objects - b.Objects
		c.AllocatedBytes += e.Bytes - b.Bytes
		c.GCCycles += e.GCCycles - b.GCCycles
	}
	return c
}
