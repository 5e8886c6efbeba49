package cluster

import "fmt"

// How the AF_XDP queue of every process is opened, beside its Mode.

// Hugepages says what the memory that packets lie in (the UMEM) is to lie in. What was got, the port says.
type Hugepages string

// HugepagesAuto takes hugepages where enough are reserved, HugepagesOn nothing else.
const (
	HugepagesAuto Hugepages = "auto"
	HugepagesOn   Hugepages = "on"
	HugepagesOff  Hugepages = "off"
)

// BusyPoll says who runs the driver: its interrupts, or the loop itself in its system calls.
type BusyPoll string

// The kinds of busy-polling.
const (
	BusyPollOff    BusyPoll = "off"
	BusyPollPrefer BusyPoll = "prefer"
)

// The sizes of a cell of the UMEM, in bytes.
const (
	SmallChunk = 2048
	LargeChunk = 4096
)

var (
	hugepages = []Hugepages{HugepagesAuto, HugepagesOn, HugepagesOff}
	busyPolls = []BusyPoll{BusyPollOff, BusyPollPrefer}
	spanChunk = span{lo: SmallChunk, hi: LargeChunk}
)

// readQueue reads the keys of this file.
func (f *File) readQueue(t *table) {
	word(t, "hugepages", &f.Hugepages)
	word(t, "busy_poll", &f.BusyPoll)
	number(t, "chunk", spanChunk, &f.Chunk)
}

func (f *File) checkQueue() error {
	var chunk error
	if f.Chunk != SmallChunk && f.Chunk != LargeChunk {
		chunk = fmt.Errorf("chunk %d is no size of a cell: write %d, or %d for an MTU of more than 1500", f.Chunk, SmallChunk, LargeChunk)
	}
	return f.first([]keyed{
		{"hugepages", checkWord("hugepages", f.Hugepages, hugepages)},
		{"busy_poll", checkWord("busy_poll", f.BusyPoll, busyPolls)},
		{"chunk", chunk},
	})
}

func (f *File) encodeQueue(line func(format string, args ...any)) {
	line("chunk       = %d # bytes of memory for a packet: 2048, or 4096 for an MTU of more than 1500", f.Chunk)
	line("hugepages   = %s # auto, on, off: where that memory lies, in reserved pages of 2 MiB or not", quoted(f.Hugepages))
	line("busy_poll   = %s # off, prefer: the loop runs the driver; see wirepaxos nic tune --busy-poll", quoted(f.BusyPoll))
}
