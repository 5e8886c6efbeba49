package bench

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// SuiteSchema is the version of the form of a Suite. Fields may come without a new one; none goes.
const SuiteSchema = 1

// Suite is what one bench command measured: one JSON object, that `bench report` draws and `bench compare` compares.
type Suite struct {
	Schema    int        `json:"schema"`
	Command   string     `json:"command"` // as it was given: "wirepaxos bench all --quick"
	Quick     bool       `json:"quick"`   // short runs: enough to see that everything works, not to quote
	Began     time.Time  `json:"began"`
	TookS     float64    `json:"took_s"`
	Scenarios []Scenario `json:"scenarios"`
	Machine
}

// Scenario is one question to the machine, and the points that answer it.
type Scenario struct {
	Name    string   `json:"name"`    // "latency"
	Title   string   `json:"title"`   // a line for people
	Command string   `json:"command"` // that makes it alone
	X       string   `json:"x"`       // the field of Config that the points of a series differ in, by its JSON name: "outstanding"; "" for a plain table
	Skipped string   `json:"skipped,omitempty"`
	TookS   float64  `json:"took_s"`
	Points  []Point  `json:"points,omitempty"`
	Micro   []Micro  `json:"micro,omitempty"`
	Notes   []string `json:"notes,omitempty"`

	Failovers []FailoverPoint `json:"failovers,omitempty"`
}

// Point is one configuration and its runs, which were made in turn with those of the scenario's other points: A B A B.
type Point struct {
	Name   string `json:"name"`   // short, of its own within the scenario: "afxdp-packed"; names its files
	Series string `json:"series"` // what a plot calls the line that it is on: "AF_XDP", "kernel UDP", "memory", "etcd/raft"
	Config Config `json:"config"`
	Runs   []Run  `json:"runs"`
	Unlike string `json:"unlike,omitempty"` // for a peer: what is unlike our own set-up
	Failed string `json:"failed,omitempty"` // why there are no runs, or fewer

	Cores   []CoreUse   `json:"cores,omitempty"`   // which loop ran where, as in the last run
	Sockets []SocketUse `json:"sockets,omitempty"` // what each port really got, as in the last run
}

// Config is what was asked for, and what the sockets really got.
type Config struct {
	System      string  `json:"system"`    // "wirepaxos", or a peer with its version: "etcd/raft v3.7.0"
	Transport   string  `json:"transport"` // "afxdp", "udp", "mem", "tcp"
	Mode        string  `json:"mode"`      // AF_XDP: the least of all sockets, as in Report
	Link        string  `json:"link"`
	Layout      string  `json:"layout"`
	Batch       string  `json:"batch"`
	Multicast   string  `json:"multicast,omitempty"` // "on": what is for several nodes leaves once for each way to them
	Idle        string  `json:"idle"`
	Storage     string  `json:"storage"` // "memory", or how it is durable
	Acceptors   int     `json:"acceptors"`
	Proposers   int     `json:"proposers"`
	Learners    int     `json:"learners"`
	Groups      int     `json:"groups"`
	Together    string  `json:"together,omitempty"` // "on": each process runs all groups; else each group has processes of its own
	Clients     int     `json:"clients"`
	Outstanding int     `json:"outstanding"` // of all clients together, at most; 0 where the load is open
	ValueSize   int     `json:"value_size"`
	RatePerS    float64 `json:"rate_per_s"` // open loop: values a second that were due; 0 for a closed loop
	Arrivals    string  `json:"arrivals"`   // open loop: "poisson" or "constant"
	WireHops    float64 `json:"wire_hops"`  // frames in a row, on the wire, from a value's submission to its reply
	Driver      string  `json:"driver"`     // of the interfaces: "veth" in a lab, "loopback" outside; "" where there are none
}

// Run is one measured run. Latencies are microseconds: of an open loop from the time at which a value was due.
type Run struct {
	Round              int      `json:"round"` // of the scenario: runs of one round were made one after the other
	DurationS          float64  `json:"duration_s"`
	Values             uint64   `json:"values"`
	ValuesPerS         float64  `json:"values_per_s"`
	LatencyUs          Latency  `json:"latency_us"`
	LatencyCorrectedUs *Latency `json:"latency_corrected_us,omitempty"` // closed loop: corrected for coordinated omission
	HistogramV2        string   `json:"histogram"`                      // of LatencyUs, as in ClientResult
	Behind             uint64   `json:"behind,omitempty"`               // open loop: values that were due and could not be submitted in the measurement
	Costs              Costs    `json:"costs"`
	Stages             []Stage  `json:"stages,omitempty"`
	Wire               *Wire    `json:"wire,omitempty"`
	StealPercent       float64  `json:"steal_percent"`
	Problems           []string `json:"problems,omitempty"` // what the check found; a run with one proves nothing
}

// Costs are counts of all processes of the system together, over the values of the measurement. What could not be counted is -1.
type Costs struct {
	Values          uint64  `json:"values"`           // that the counts are of
	CPUS            float64 `json:"cpu_s"`            // user and system time
	Voluntary       int64   `json:"voluntary"`        // context switches of all threads
	Involuntary     int64   `json:"involuntary"`      //
	LoopVoluntary   int64   `json:"loop_voluntary"`   // of the threads of poll loops alone
	LoopInvoluntary int64   `json:"loop_involuntary"` //
	Syscalls        int64   `json:"syscalls"`         // of the ports, on the hot path
	Allocations     int64   `json:"allocations"`      // of heap objects
	AllocatedBytes  int64   `json:"allocated_bytes"`  //
	GCCycles        int64   `json:"gc_cycles"`        //
	Frames          int64   `json:"frames"`           // sent
	FrameBytes      int64   `json:"frame_bytes"`      // sent, with link headers
	Retries         int64   `json:"retries"`          // of clients
	Drops           int64   `json:"drops"`            // of ports and roles
}

// Stage is a part of a value's way, from sampled values.
type Stage struct {
	From      string  `json:"from"` // "client", "proposer", "acceptor", "learner"
	To        string  `json:"to"`
	LatencyUs Latency `json:"latency_us"`
	Samples   uint64  `json:"samples"`
}

// Wire is the floor under a latency: an echo of frames of the same size over the same ports, in the same run.
type Wire struct {
	Hops       float64 `json:"hops"`        // that a value crosses from its submission to its reply
	HopUs      float64 `json:"hop_us"`      // one way, the median: half a round trip
	EchoPerS   float64 `json:"echo_per_s"`  // frames a second that came back with as many under way as the run had outstanding
	FloorUs    float64 `json:"floor_us"`    // Hops × HopUs
	RatioFloor float64 `json:"ratio_floor"` // the median latency over FloorUs
}

// FailoverPoint is one configuration whose leaders were killed one after the other under load.
type FailoverPoint struct {
	Name            string        `json:"name"`
	Series          string        `json:"series"`
	Config          Config        `json:"config"`
	Failed          string        `json:"failed,omitempty"` // why nothing was measured
	HeartbeatMs     float64       `json:"heartbeat_ms"`
	LeaderTimeoutMs float64       `json:"leader_timeout_ms"`
	Kills           int           `json:"kills"`
	LeadsMs         FailoverTimes `json:"leads_ms"`  // from the signal until another proposer leads
	ValueMs         FailoverTimes `json:"value_ms"`  // to the next delivered value
	OutageMs        FailoverTimes `json:"outage_ms"` // to the end of the longest time without an answer
	Failovers       []Failover    `json:"failovers,omitempty"`
	HistogramV2     string        `json:"histogram"` // of the times to the next delivered value, as in ClientResult
	Values          uint64        `json:"values"`
	StealPercent    float64       `json:"steal_percent"`
	Problems        []string      `json:"problems,omitempty"`
}

// Micro is one Go benchmark.
type Micro struct {
	Name        string    `json:"name"` // "paxos.AcceptorAccept"
	NsPerOp     []float64 `json:"ns_per_op"`
	NsEach      []float64 `json:"ns_each,omitempty"`     // of one message or value, where an op is several and the benchmark says how many
	CPUNsEach   []float64 `json:"cpu_ns_each,omitempty"` // CPU time of the process for it
	AllocsPerOp float64   `json:"allocs_per_op"`
	BytesPerOp  float64   `json:"bytes_per_op"`
	MBPerS      float64   `json:"mb_per_s,omitempty"`
}

// Spread is the median of some runs, with the least and the most.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// SpreadOf orders figures. None gives the zero Spread.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(figures))
	n := len(s)
	return Spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1], N: n}
}

// Over is the spread of one figure over the runs of a point.
func (p *Point) Over(figure func(*Run) float64) Spread {
	figures := make([]float64, len(p.Runs))
	for i := range p.Runs {
		figures[i] = figure(&p.Runs[i])
	}
	return SpreadOf(figures)
}

// WriteJSON writes the suite to a file: whole, or not at all.
func (s *Suite) WriteJSON(path string) error { return WriteJSON(path, s) }

// ReadText reads a file, and unpacks it where its name ends in .gz.
func ReadText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		unpacked, err := gzip.NewReader(f)
		if err != nil {
			return nil, fmt.Errorf("bench: %s is not packed by gzip: %w", path, err)
		}
		defer unpacked.Close()
		r = unpacked
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", path, err)
	}
	return text, nil
}

// ReadSuite reads a suite from a file, which may be packed by gzip.
func ReadSuite(path string) (*Suite, error) {
	text, err := ReadText(path)
	if err != nil {
		return nil, err
	}
	s := &Suite{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("bench: %s is not what `wirepaxos bench … --json` writes: %w", path, err)
	}
	if s.Schema != SuiteSchema {
		return nil, fmt.Errorf("bench: %s has schema %d, this program reads %d: measure again, or use the program that wrote it", path, s.Schema, SuiteSchema)
	}
	return s, nil
}
