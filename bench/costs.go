package bench

import (
	"fmt"
	"strings"
)

// PerMillion is a count of a million values; -1 where it could not be counted, or there were no values.
func (c *Costs) PerMillion(n float64) float64 {
	if n < 0 || c.Values == 0 {
		return -1
	}
	return n * 1e6 / float64(c.Values)
}

// text writes the costs as a table: in all, and of a million values.
func (c *Costs) text(b *strings.Builder) {
	fmt.Fprintf(b, "costs of all processes    %14s %14s\n", "in all", "per million")
	fmt.Fprintf(b, "  %-22s  %14s %14s\n", "values", grouped(float64(c.Values)), "1,000,000")
	fmt.Fprintf(b, "  %-22s  %14.2f %14s\n", "CPU time (s)", c.CPUS, seconds(c.PerMillion(c.CPUS)))
	for _, row := range []struct {
		name string
		n    int64
	}{
		{"loops waited", c.LoopVoluntary}, {"loops were kept away", c.LoopInvoluntary}, {"context switches", sum(c.Voluntary, c.Involuntary)},
		{"system calls of ports", c.Syscalls}, {"heap objects", c.Allocations}, {"heap bytes", c.AllocatedBytes}, {"GC cycles", c.GCCycles},
		{"frames", c.Frames}, {"bytes of frames", c.FrameBytes}, {"retries", c.Retries}, {"drops", c.Drops},
	} {
		fmt.Fprintf(b, "  %-22s  %14s %14s\n", row.name, counted(float64(row.n)), counted(c.PerMillion(float64(row.n))))
	}
	b.WriteString("  a loop waits in a voluntary context switch and is kept away in an involuntary\n")
	b.WriteString("  one; context switches are of all threads, also of those that measure\n\n")
}

// sum is of two counts; -1 where one could not be counted.
func sum(x, y int64) int64 {
	if x < 0 || y < 0 {
		return -1
	}
	return x + y
}

func seconds(s float64) string {
	if s < 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", s)
}

// counted writes a count, and the smallest ones with decimals.
func counted(n float64) string {
	switch {
	case n < 0:
		return "-"
	case n > 0 && n < 10 && n != float64(int64(n)):
		return fmt.Sprintf("%.2f", n)
	}
	return grouped(n)
}
