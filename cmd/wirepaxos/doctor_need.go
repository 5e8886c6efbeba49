package main

import (
	"fmt"
	"math"
	"net"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/doctor"
)

// holdFlags say what a process holds of its machine while it runs.
type holdFlags struct{ memory, latency, fifo bool }

func (h *holdFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&h.memory, "lock-memory", false, "lock the process's memory, so that no page of it is ever written out or moved away")
	flags.BoolVar(&h.latency, "dma-latency", false, "hold /dev/cpu_dma_latency at 0, so that no core sleeps deeply; for loops that sleep (--idle block)")
	flags.BoolVar(&h.fifo, "fifo", false,
		"run the loop under SCHED_FIFO on its core; it is given back if everything else is kept off that core for 3 s, and \"status\" tells")
}

func (h *holdFlags) spec() node.Hold {
	return node.Hold{Memory: h.memory, DMALatency: h.latency, FIFO: h.fifo}
}

func (h *holdFlags) need() *doctor.Need {
	return &doctor.Need{LockMemory: h.memory, DMALatency: h.latency, FIFO: h.fifo}
}

// groupPlace is what is behind the nodes where they are of one of several groups.
func groupPlace(f *cluster.File, groups int) string {
	if groups == 1 {
		return ""
	}
	return fmt.Sprintf(" of group %d", f.Group)
}

// addNeed adds what some endpoints of a cluster need, of a group that place names.
func addNeed(need *doctor.Need, f *cluster.File, ends []cluster.Endpoint, place string) {
	need.AFXDP = f.Transport == cluster.TransportAFXDP
	for i := range ends {
		e := &ends[i]
		name := nodesOf(e) + place
		loop := doctor.Loop{Name: name, Core: doctor.NoCore, Spins: e.Idle == cluster.IdleSpin}
		if e.Core != cluster.NoCore {
			loop.Core, loop.Spins = e.Core, loop.Spins || e.Idle == cluster.IdleAuto
		}
		if need.AFXDP {
			loop.Interface = e.Interface
			need.HugePages, need.Cell = f.Hugepages == cluster.HugepagesOn, f.Chunk
			need.NICs = append(need.NICs, nicOf(f, e, name))
		}
		need.Loops = append(need.Loops, loop)
	}
}

// nodesOf names the nodes of an endpoint for people: "node 1,2".
func nodesOf(e *cluster.Endpoint) string {
	var ids []string
	for _, n := range e.Nodes {
		ids = append(ids, fmt.Sprint(n.ID))
	}
	return "node " + strings.Join(ids, ",")
}

func nicOf(f *cluster.File, e *cluster.Endpoint, name string) doctor.NIC {
	n := doctor.NIC{
		Name: name, Interface: e.Interface, Queue: e.Queue, Mode: string(f.Mode), UDP: f.LinkLayer() == cluster.LinkUDP4, MTU: f.MTU, VLAN: int(f.VLAN),
		EtherType: f.EtherType, Port: e.Port, IP: e.IP, BusyPoll: f.BusyPoll == cluster.BusyPollPrefer,
	}
	if n.MTU == 0 { // frames are as long as the interface takes
		n.MTU = paxos.MinMTU
	}
	if !e.MAC.IsZero() {
		n.MAC = net.HardwareAddr(slices.Clone(e.MAC[:]))
	}
	return n
}

// heed refuses to start, with --strict, where the doctor has a line about the nodes that is not green.
func (o *nodeFlags) heed(files []*cluster.File, ids []uint16) error {
	if !o.strict {
		return nil
	}
	need := o.hold.need()
	for _, f := range files {
		var ends []cluster.Endpoint
		for _, id := range ids {
			e, err := f.EndpointOf(id)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(ends, func(other cluster.Endpoint) bool { return other.Key == e.Key }) {
				ends = append(ends, e)
			}
		}
		addNeed(need, f, ends, groupPlace(f, len(files)))
	}
	page := doctor.Examine(need, doctor.Here())
	if bad := page.Count(doctor.Red) + page.Count(doctor.Yellow); bad > 0 {
		words := make([]string, len(ids))
		for i, id := range ids {
			words[i] = fmt.Sprint(id)
		}
		group := ""
		if o.group != 0 {
			group = fmt.Sprintf(" --group %d", o.group)
		}
		return fmt.Errorf("--strict: the doctor has %d lines that are not green, the first: %v (all of them: `wirepaxos doctor --config %s --id %s%s`)", bad,
			page.First(), o.config, strings.Join(words, ","), group)
	}
	return nil
}

// The garbage collector's settings, by the names of --gc.
const (
	gcBounded = "bounded" // it runs when garbage is four times what lives
	gcOff     = "off"     // it does not run until garbage fills gcRoom

	gcPercent = 400
	gcRoom    = 1 << 30
)

func checkGC(word string) error {
	if word != gcBounded && word != gcOff {
		return fmt.Errorf("--gc %s: want %s or %s", word, gcBounded, gcOff)
	}
	return nil
}

// setGC sets the collector for a process whose memory is all made by now. Nothing is allocated on the loop; what little the other goroutines leave is
// collected when there is much of it. A process whose collector is off and that makes garbage after all is not to take all of the machine's memory.
func setGC(word string) {
	if word != gcOff {
		debug.SetGCPercent(gcPercent)
		return
	}
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	limit := int64(math.MaxInt64)
	if sample[0].Value.Kind() == metrics.KindUint64 {
		limit = int64(sample[0].Value.Uint64()) + gcRoom
	}
	debug.SetMemoryLimit(limit)
	debug.SetGCPercent(-1)
}
