package sim

// clock is a machine's own: it was set at another time than the others and runs a little fast or slow. The world's time is 0 at the start.
type clock struct {
	offset int64
	drift  int64 // how far it gains in driftUnit
}

const driftUnit = 1 << 20 // nanoseconds: about a millisecond

// local is what the clock shows at a time of the world.
func (c *clock) local(world int64) int64 { return c.offset + world + world/driftUnit*c.drift }

// world is the first time of the world at which the clock shows local or more; never for a local time that never comes.
func (c *clock) world(local int64) int64 {
	if local >= never/2 {
		return never
	}
	gone := local - c.offset
	t := max(0, gone-gone/driftUnit*c.drift-2*max(c.drift, -c.drift))
	for c.local(t) < local {
		t += local - c.local(t)
	}
	return t
}

const never int64 = 1<<63 - 1
