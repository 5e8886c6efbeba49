package dataplane

// Now is the time in nanoseconds on CLOCK_MONOTONIC, the same clock in every process of a host (and none between hosts). It costs
// a vdso call, some 40 ns at 2.5 GHz, and allocates nothing. A loop reads it once per cycle and passes it on: tasks take that value.
func Now() int64 { return nanotime() }
