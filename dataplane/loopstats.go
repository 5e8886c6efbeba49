package dataplane

import (
	"runtime/metrics"

	"golang.org/x/sys/unix"
)

// LoopStats are what a loop counted since Run began.
type LoopStats struct {
	Cycles     uint64
	BusyCycles uint64 // cycles that found work
	Work       uint64 // sum of what the cycles returned
	Yields     uint64 // times that the idle strategy offered the core to others
	Naps       uint64 // times that it slept

	// The time from one reading of the clock to the next, sleeps and inspections left out: a long one is a long cycle, or time
	// that the kernel or the runtime took.
	LongestGapNs int64
	GapsOver10Us uint64 // of at least 10 µs
	GapsOver1Ms  uint64 // of at least 1 ms; counted in GapsOver10Us too

	VoluntarySwitches   uint64 // of the loop's thread: it waited for something (getrusage, RUSAGE_THREAD)
	InvoluntarySwitches uint64 // of the loop's thread: the kernel gave its core to another
	GCCycles            uint64 // of the whole process

	FIFO          bool   // the loop's thread runs under SCHED_FIFO
	FIFOGivenBack uint64 // times that it gave SCHED_FIFO back, for it kept its core from everything else
}

func (s *LoopStats) noteGap(gapNs int64) {
	if gapNs <= s.LongestGapNs && gapNs < 10_000 {
		return
	}
	s.LongestGapNs = max(s.LongestGapNs, gapNs)
	if gapNs >= 10_000 {
		s.GapsOver10Us++
	}
	if gapNs >= 1_000_000 {
		s.GapsOver1Ms++
	}
}

// Stats asks the loop for its counts (see Inspect), or returns the last ones if it has ended.
func (l *Loop) Stats() (LoopStats, error) {
	var stats LoopStats
	err := l.Inspect(func() { stats = l.readStats() })
	if err == nil {
		return stats, nil
	}
	select {
	case <-l.ended:
		return l.stats, nil
	default:
		return LoopStats{}, err
	}
}

// readStats runs on the loop's own thread.
func (l *Loop) readStats() LoopStats {
	stats, now := l.stats, readOutsideCounts()
	stats.Yields, stats.Naps = l.idle.yields, l.idle.naps
	stats.VoluntarySwitches = now.voluntary - l.atStart.voluntary
	stats.InvoluntarySwitches = now.involuntary - l.atStart.involuntary
	stats.GCCycles = now.gcCycles - l.atStart.gcCycles
	if l.fifo != nil {
		stats.FIFO, stats.FIFOGivenBack = l.fifo.held.Load(), l.fifo.gaveBack.Load()
	}
	return stats
}

// outsideCounts are the running counts that others keep.
type outsideCounts struct {
	voluntary, involuntary uint64
	gcCycles               uint64
}

func readOutsideCounts() outsideCounts {
	var counts outsideCounts
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &usage) == nil { // it cannot fail: the struct is ours
		counts.voluntary, counts.involuntary = uint64(usage.Nvcsw), uint64(usage.Nivcsw)
	}
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() == metrics.KindUint64 {
		counts.gcCycles = sample[0].Value.Uint64()
	}
	return counts
}
