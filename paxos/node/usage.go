package node

import (
	"os"
	"runtime/metrics"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
	"wirepaxos/paxos/cluster"
)

// Usage is what a process has used and done since it began: two readings and the values between them tell what a value costs.
//
// A reading is not free: it stops the loop for some ten microseconds, and whoever asks for it wakes threads of the process and makes it allocate an
// answer. What the loop's thread did stands apart for that reason. The runtime counts objects when a block of them is full, so a reading may lack
// some hundreds.
type Usage struct {
	PID    int    `json:"pid"`
	Values uint64 `json:"values"` // that learners told clients of this process delivered

	// Of the whole process, with all its loops.
	CPUNs          int64  `json:"cpu_ns"`      // user and system time
	Voluntary      int64  `json:"voluntary"`   // context switches: a thread waited for something
	Involuntary    int64  `json:"involuntary"` // the kernel gave its core to another
	Allocations    uint64 `json:"allocations"` // heap objects
	AllocatedBytes uint64 `json:"allocated_bytes"`
	GCCycles       uint64 `json:"gc_cycles"`

	// Of the loop and its ports.
	LoopVoluntary   uint64 `json:"loop_voluntary"` // of the loop's thread
	LoopInvoluntary uint64 `json:"loop_involuntary"`
	Syscalls        uint64 `json:"syscalls"` // of the ports, on the hot path
	Frames          uint64 `json:"frames"`   // sent
	FrameBytes      uint64 `json:"frame_bytes"`
	Retries         uint64 `json:"retries"` // of clients
	Drops           uint64 `json:"drops"`   // of ports and of the border to the roles
}

// Usage reads what the process has used, also once its loop has ended.
func (p *Process) Usage() (*Usage, error) {
	stats, err := p.stats()
	if err != nil {
		return nil, err
	}
	return p.usage(&stats), nil
}

func (p *Process) usage(stats *dataplane.LoopStats) *Usage {
	u := &Usage{PID: os.Getpid(), LoopVoluntary: stats.VoluntarySwitches, LoopInvoluntary: stats.InvoluntarySwitches}
	p.Inspect(func() { p.readNode(u) })
	u.readProcess()
	return u
}

// readNode runs on the loop, or after its end.
func (p *Process) readNode(u *Usage) {
	u.Drops = p.node.Counters.lost()
	for _, l := range p.node.ports {
		if r, ok := l.port.(refresher); ok {
			_ = r.RefreshDriverCounters() // what the driver does not tell stays as it was
		}
		c := l.port.Counters()
		u.Syscalls += c.Syscalls()
		u.Frames += c.TxFrames
		u.FrameBytes += c.TxBytes + c.TxFrames*uint64(linkHeaders(l.port.Info(), p.spec.File))
		u.Drops += c.RxDropped + c.RxMalformed + c.TxErrors
	}
	for _, c := range p.node.clients {
		u.Values += c.Counters.Delivered
		u.Retries += c.Counters.Retries
	}
}

// lost is how many frames and messages did not get past the border.
func (c *Counters) lost() (n uint64) {
	for _, dropped := range c.Dropped {
		n += dropped
	}
	return n + c.InboxFull + c.NoFrame + c.TxDropped + c.NoRoute + c.TooLong
}

// linkHeaders is what a frame of a port has on the wire before its payload. The kernel's own sockets are taken to send over Ethernet.
func linkHeaders(info dataplane.Info, f *cluster.File) (n int) {
	switch info.Transport {
	case "udp":
		return header.EthernetLen + header.IPv4Len + header.UDPLen
	case "afxdp":
		n = header.EthernetLen
		if f.VLAN != 0 {
			n += header.TagLen
		}
		if info.Link == "udp4" {
			n += header.IPv4Len + header.UDPLen
		}
	}
	return n
}

func (u *Usage) readProcess() {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) == nil { // it cannot fail: the struct is ours
		u.CPUNs = r.Utime.Nano() + r.Stime.Nano()
		u.Voluntary, u.Involuntary = int64(r.Nvcsw), int64(r.Nivcsw)
	}
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	read := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0 // a runtime that does not count it
		}
		return samples[i].Value.Uint64()
	}
	u.Allocations, u.AllocatedBytes, u.GCCycles = read(0)+read(1), read(2), read(3)
}
