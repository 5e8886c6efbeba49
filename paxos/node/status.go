package node

import (
	"fmt"
	"math"
	"os"
	"runtime/metrics"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
)

// Status is what a process tells about itself: the answer of its control socket, as JSON.
type Status struct {
	PID         int                 `json:"pid"`
	UptimeS     float64             `json:"uptime_s"`
	Cluster     string              `json:"cluster"`
	Group       uint16              `json:"group"`
	Incarnation uint64              `json:"incarnation"`
	Transport   string              `json:"transport"`
	Batch       string              `json:"batch"`
	Multicast   bool                `json:"multicast"` // it sends what is for several nodes once; it takes that in any case
	MTU         int                 `json:"mtu"`
	Idle        string              `json:"idle"`
	Core        int                 `json:"core"` // -1: not pinned
	Ports       []PortStatus        `json:"ports"`
	Acceptors   []AcceptorStatus    `json:"acceptors,omitempty"`
	Proposers   []ProposerStatus    `json:"proposers,omitempty"`
	Learners    []LearnerStatus     `json:"learners,omitempty"`
	Clients     []ClientStatus      `json:"clients,omitempty"`
	Border      Counters            `json:"border"`
	Dropped     map[string]uint64   `json:"dropped,omitempty"` // of Border.Dropped, those that happened, by name
	Loop        dataplane.LoopStats `json:"loop"`
	GC          GCStatus            `json:"gc"`
	Usage       Usage               `json:"usage"`
	HeapAllocs  uint64              `json:"heap_allocs"`       // objects that the whole process allocated since its start; its loop allocates none in the steady state
	Trouble     []string            `json:"trouble,omitempty"` // why something does not move, for people
}

// GCStatus is the garbage collector's: how it is set, and how often it ran since the process began. LoopStats.GCCycles counts from when the loop began.
type GCStatus struct {
	Percent    int64  `json:"percent"`               // of what lives, how much garbage there is when it runs; -1: off
	LimitBytes int64  `json:"limit_bytes,omitempty"` // memory from which on it runs in any case; 0: none
	Cycles     uint64 `json:"cycles"`
}

// PortStatus is a port's.
type PortStatus struct {
	dataplane.Info
	dataplane.Counters
	Health *afxdp.Health `json:"health,omitempty"` // of the interface; nil where a port has none
}

// AcceptorStatus is an acceptor's.
type AcceptorStatus struct {
	ID        paxos.NodeID           `json:"id"`
	Promised  string                 `json:"promised"`
	Low       paxos.Instance         `json:"low"`
	High      paxos.Instance         `json:"high"`
	Hears     string                 `json:"hears"`   // the ballot of the leader that it heard last; "0.0": none
	HeardS    float64                `json:"heard_s"` // how long ago
	Learners  int                    `json:"learners"`
	Votes     bool                   `json:"votes"` // false: it restarted and storage "memory" lost its promises
	Fragments paxos.FragmentCounters `json:"fragments"`
	Counters  paxos.AcceptorCounters `json:"counters"`
}

// ProposerStatus is a proposer's.
type ProposerStatus struct {
	ID        paxos.NodeID           `json:"id"`
	Leads     bool                   `json:"leads"`
	Leader    paxos.NodeID           `json:"leader"` // as far as it knows; 0: nobody
	Ballot    string                 `json:"ballot"`
	Low       paxos.Instance         `json:"low"`
	Chosen    paxos.Instance         `json:"chosen_below"`
	Next      paxos.Instance         `json:"next"`
	Stopped   bool                   `json:"stopped"`
	Slow      paxos.NodeID           `json:"slow,omitempty"`   // learner that holds this leader back
	LetGo     []paxos.NodeID         `json:"let_go,omitempty"` // learners that were too slow and do not count until they have caught up
	Submitted paxos.FragmentCounters `json:"submitted_fragments"`
	Fetched   paxos.FragmentCounters `json:"fetched_fragments"`
	Counters  paxos.ProposerCounters `json:"counters"`

	SinceS     float64            `json:"since_s"` // for how long Leader has led, or nobody has
	Cause      string             `json:"cause"`   // why, in a word: paxos.Cause
	Why        string             `json:"why"`     // and in a sentence
	HandoverTo paxos.NodeID       `json:"handover_to,omitempty"`
	Changes    []LeadershipChange `json:"changes,omitempty"` // of who leads, the latest last
	Causes     map[string]uint64  `json:"causes,omitempty"`  // how often each had something to do with one
}

// LeadershipChange is a change of who leads, as a proposer saw it.
type LeadershipChange struct {
	Leader paxos.NodeID `json:"leader"` // 0: nobody
	Ballot string       `json:"ballot"`
	AgoS   float64      `json:"ago_s"`
	Cause  string       `json:"cause"`
	Why    string       `json:"why"`

	SinceNs paxos.Time `json:"since_ns"` // the same, on CLOCK_MONOTONIC of the proposer's host: to hold against other processes there
}

// LearnerStatus is a learner's. Two learners with the same watermark have the same delivered and hash.
type LearnerStatus struct {
	ID        paxos.NodeID           `json:"id"`
	Watermark paxos.Instance         `json:"watermark"`
	High      paxos.Instance         `json:"high"`
	Delivered uint64                 `json:"delivered"`
	Hash      uint64                 `json:"hash"`
	Sessions  int                    `json:"sessions"`
	Behind    bool                   `json:"behind"` // takes state from another learner
	Stuck     bool                   `json:"stuck"`  // none has it
	Fragments paxos.FragmentCounters `json:"fragments"`
	Counters  paxos.LearnerCounters  `json:"counters"`
}

// ClientStatus is a client's.
type ClientStatus struct {
	ID       paxos.NodeID    `json:"id"`
	Proposer paxos.NodeID    `json:"proposer"`
	Learner  paxos.NodeID    `json:"learner"`
	Stopped  bool            `json:"stopped"`
	Counters client.Counters `json:"counters"`
}

// watched is a port that knows how its interface is.
type watched interface {
	Health() afxdp.Health
	Trouble() []string
}

// refresher is a port that reads the driver's own counts only when asked.
type refresher interface{ RefreshDriverCounters() error }

// Status asks the loop how things are.
func (p *Process) Status() (*Status, error) {
	f := p.spec.File
	s := &Status{
		PID: os.Getpid(), UptimeS: time.Since(p.started).Seconds(), Cluster: fmt.Sprintf("0x%016x", f.Cluster), Group: f.Group,
		Incarnation: uint64(p.node.incarnation), Transport: string(f.Transport), Batch: string(f.Batch), Multicast: f.Multicast,
		MTU: p.node.mtu, Idle: p.idle.String(), Core: p.endpoint.Core,
	}
	stats, err := p.stats()
	if err != nil {
		return nil, err
	}
	s.Loop, s.HeapAllocs, s.Usage = stats, heapAllocs(), *p.usage(&stats)
	s.GC = readGC(s.Usage.GCCycles)
	p.Inspect(func() { p.read(s) })
	for reason, n := range s.Border.Dropped {
		if n > 0 {
			if s.Dropped == nil {
				s.Dropped = map[string]uint64{}
			}
			s.Dropped[paxos.Drop(reason).String()] = n
		}
	}
	return s, nil
}

// stats asks the loop several times: one whose core is taken may not answer for seconds.
func (p *Process) stats() (s dataplane.LoopStats, err error) {
	for range statsTries {
		if s, err = p.loop.Stats(); err == nil {
			break
		}
	}
	return s, err
}

const statsTries = 5

// read runs on the loop.
func (p *Process) read(s *Status) {
	now := dataplane.Now()
	s.Border = p.node.Counters
	for _, l := range p.node.ports {
		if r, ok := l.port.(refresher); ok {
			_ = r.RefreshDriverCounters() // what the driver does not tell stays as it was
		}
		port := PortStatus{Info: l.port.Info(), Counters: *l.port.Counters()}
		if w, ok := l.port.(watched); ok {
			h := w.Health()
			port.Health = &h
			s.Trouble = append(s.Trouble, w.Trouble()...)
		}
		s.Ports = append(s.Ports, port)
	}
	for _, seat := range p.node.seats {
		switch r := seat.role.(type) {
		case acceptorRole:
			s.Acceptors = append(s.Acceptors, AcceptorStatus{
				ID: seat.node, Promised: r.Promised().String(), Low: r.Low(), High: r.High(), Learners: r.Learners(), Votes: !r.Amnesia(),
				Hears: r.Heard().String(), HeardS: heardSeconds(r, now), Fragments: r.Fragments(), Counters: r.Counters,
			})
		case *paxos.Proposer:
			s.Proposers = append(s.Proposers, proposerStatus(seat.node, r, now, p.letGo(r)))
			s.Trouble = append(s.Trouble, proposerTrouble(seat.node, r, now)...)
			s.Trouble = append(s.Trouble, slowTrouble(r, p.letGo(r))...)
		case *paxos.Learner:
			watermark, values, hash := r.Delivered()
			s.Learners = append(s.Learners, LearnerStatus{
				ID: seat.node, Watermark: watermark, High: r.High(), Delivered: values, Hash: hash, Sessions: r.Sessions(),
				Behind: r.Behind(), Stuck: r.Stuck(), Fragments: r.Fragments(), Counters: r.Counters,
			})
		case *clientRole:
			s.Clients = append(s.Clients, ClientStatus{
				ID: seat.node, Proposer: r.Proposer(), Learner: r.Learner(), Stopped: r.Stopped(), Counters: r.Counters,
			})
			if trouble := r.Trouble(now); trouble != "" {
				s.Trouble = append(s.Trouble, trouble)
			}
		}
	}
	s.Trouble = append(s.Trouble, portTrouble(s.Ports)...)
	s.Trouble = append(s.Trouble, borderTrouble(&s.Border)...)
	s.Trouble = append(s.Trouble, groupTrouble(p.spec.File, s.Proposers)...)
	if s.Loop.FIFOGivenBack > 0 {
		s.Trouble = append(s.Trouble, fmt.Sprintf("the loop kept everything else off core %d for seconds and gave SCHED_FIFO back: isolate the core, or run "+
			"without --fifo", s.Core))
	}
	if gap := s.Loop.LongestGapNs; gap >= longGapNs {
		where := fmt.Sprintf("off core %d", s.Core)
		if s.Core < 0 {
			where = "off every core"
		}
		s.Trouble = append(s.Trouble, fmt.Sprintf("the kernel once kept this loop %s for %d ms: other threads run there, or the host "+
			"gave it to another machine", where, gap/1e6))
	}
}

// slowTrouble says which learners hold a leader back, or did.
func slowTrouble(r *paxos.Proposer, letGo []paxos.NodeID) (trouble []string) {
	if slow, behind := r.Slow(); slow != 0 {
		trouble = append(trouble, fmt.Sprintf("learner %d holds the cluster back: %d instances behind", slow, behind))
	}
	for _, id := range letGo {
		trouble = append(trouble, fmt.Sprintf("learner %d was let go, too slow for the others: it does not count until it has caught up", id))
	}
	return trouble
}

// letGo are the learners that a leader no longer waits for.
func (p *Process) letGo(r *paxos.Proposer) (ids []paxos.NodeID) {
	for _, n := range p.spec.File.Learners() {
		if r.WasLetGo(paxos.NodeID(n.ID)) {
			ids = append(ids, paxos.NodeID(n.ID))
		}
	}
	return ids
}

// longGapNs is a gap between two cycles that people should know of.
const longGapNs = 100e6

// portTrouble says what the counts of a port mean for people.
func portTrouble(ports []PortStatus) (trouble []string) {
	for _, p := range ports {
		if p.Unsteered > 0 {
			trouble = append(trouble, p.Interface+": frames of ours come in on queues where no process takes them and go to the kernel: "+
				"steer them here, or reduce the NIC to the queues in use")
		}
		if p.TxStalls > 0 {
			trouble = append(trouble, fmt.Sprintf("%s queue %d: packets that were sent stayed with the driver: %s", p.Interface, p.Queue, p.Note))
		}
		if p.RxFrames == 0 && p.RxStrangers > 0 {
			trouble = append(trouble, p.Interface+": only frames of strangers arrive: do the addresses in the cluster file match the machines?")
		}
	}
	return trouble
}

// readGC asks the runtime how its collector is set.
func readGC(cycles uint64) GCStatus {
	s := GCStatus{Cycles: cycles}
	samples := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() == metrics.KindUint64 {
		s.Percent = max(-1, int64(samples[0].Value.Uint64())) // the runtime tells -1 in 64 bits without a sign
	}
	if samples[1].Value.Kind() == metrics.KindUint64 {
		if limit := samples[1].Value.Uint64(); limit < math.MaxInt64 {
			s.LimitBytes = int64(limit)
		}
	}
	return s
}

func heapAllocs() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0 // a runtime that does not count them
	}
	return sample[0].Value.Uint64()
}
