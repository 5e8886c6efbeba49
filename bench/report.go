package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the outcome of a run: one JSON object. The names of its fields are a contract with scripts; more may come, none goes.
//
// Latencies are microseconds. Values, rates and latencies are those of the measurement, without the warm-up.
type Report struct {
	Transport string  `json:"transport"` // "afxdp", "udp" or "mem"
	Mode      string  `json:"mode"`      // AF_XDP: "zerocopy", "copy" or "generic", the least of all sockets; otherwise ""
	Link      string  `json:"link"`      // "ethernet", "udp4", or "" where there is no link layer
	Layout    string  `json:"layout"`
	Batch     string  `json:"batch"`               // "instance", "frame" or "off"
	Multicast string  `json:"multicast,omitempty"` // "on", or nothing
	Idle      string  `json:"idle"`
	Acceptors int     `json:"acceptors"`
	Proposers int     `json:"proposers"`
	DropRate  float64 `json:"drop_rate"` // of the lab's switch
	DupRate   float64 `json:"dup_rate"`

	ValueSize   int     `json:"value_size"`
	Load        string  `json:"load"`        // "closed" or "open" loop
	Outstanding int     `json:"outstanding"` // of each client; of an open loop at most
	Clients     int     `json:"clients"`
	DurationS   float64 `json:"duration_s"`
	Values      uint64  `json:"values"`
	ValuesPerS  float64 `json:"values_per_s"`
	MbitPerS    float64 `json:"mbit_per_s"` // of the values' bytes, without any headers
	Instances   uint64  `json:"instances"`
	Failed      uint64  `json:"failed"`     // answered as not delivered
	Unanswered  uint64  `json:"unanswered"` // when the time to wait for answers was over

	LatencyUs           Latency `json:"latency_us"`            // of a closed loop from the submission, of an open one from the time at which a value was due
	LatencyCorrectedUs  Latency `json:"latency_corrected_us"`  // corrected for coordinated omission
	CorrectedIntervalUs float64 `json:"corrected_interval_us"` // with this expected interval
	LatencyClamped      uint64  `json:"latency_clamped"`       // answers later than a minute, counted as one minute

	// Of an open loop.
	RatePerS     float64 `json:"rate_per_s"`     // values that were due
	Arrivals     string  `json:"arrivals"`       // "poisson" or "constant"
	Behind       uint64  `json:"behind"`         // were due within the measurement and never submitted; then latencies are a lower bound
	Waited       uint64  `json:"waited"`         // were due while as many as may be were unanswered, and submitted later
	LateSubmitUs Latency `json:"late_submit_us"` // from due to submitted: waiting, and the schedule's own error

	WireHops       float64 `json:"wire_hops"` // frames in a row, on the wire, from a value's submission to its reply
	WireHopsNote   string  `json:"wire_hops_note"`
	Wire           *Wire   `json:"wire,omitempty"`   // an echo over such ports; missing where none was measured
	FramesPerValue float64 `json:"frames_per_value"` // sent by all nodes
	Retries        uint64  `json:"retries"`
	Drops          uint64  `json:"drops"`    // frames that ports or roles dropped
	Syscalls       uint64  `json:"syscalls"` // on the hot path, of all ports

	Costs *Costs `json:"costs,omitempty"` // of the measurement; missing where they were not taken: a run that lost processes, or saw only one of several

	Stages []Stage `json:"stages,omitempty"` // of sampled values; missing where none were sampled. The last one is the whole way, client to client

	HeartbeatMs     float64 `json:"heartbeat_ms"`
	LeaderTimeoutMs float64 `json:"leader_timeout_ms"`
	ClientRetryMs   float64 `json:"client_retry_ms"`

	Kills      int           `json:"kills"`       // of leading proposers, with -9
	Pauses     int           `json:"pauses"`      // of leading proposers, by SIGSTOP
	Restarts   int           `json:"restarts"`    // of those that were killed
	LeadsMs    FailoverTimes `json:"leads_ms"`    // from the signal until another proposer leads
	FailoverMs FailoverTimes `json:"failover_ms"` // to the next delivered value
	OutageMs   FailoverTimes `json:"outage_ms"`   // to the end of the longest time without an answer
	Failovers  []Failover    `json:"failovers"`

	Lost       uint64       `json:"lost"`
	Duplicated uint64       `json:"duplicated"`
	Reordered  uint64       `json:"reordered"`
	Equal      bool         `json:"equal"`
	Learners   []LearnerEnd `json:"learners"`
	Problems   []string     `json:"problems"`
	Notes      []string     `json:"notes"`

	Machine
	Cores   []CoreUse   `json:"cores"`
	Sockets []SocketUse `json:"sockets"`

	Group  uint16    `json:"group,omitempty"`  // of a report beside others in Groups
	Groups []*Report `json:"groups,omitempty"` // of several groups, each one's own; then the rest is of all together

	measured  *hdrhistogram.Histogram
	corrected *hdrhistogram.Histogram
	failover  *hdrhistogram.Histogram
}

// CoreUse is one loop and where it ran.
type CoreUse struct {
	Group uint16 `json:"group,omitempty"` // of several
	Core  int    `json:"core"`            // -1: wherever the kernel put it
	Runs  string `json:"runs"`            // "client 7, learner 5"
}

// SocketUse is one port and what it really got.
type SocketUse struct {
	Group     uint16   `json:"group,omitempty"` // of several
	Nodes     []uint16 `json:"nodes"`
	Interface string   `json:"interface"`
	Queue     int      `json:"queue"`
	Transport string   `json:"transport"`
	Mode      string   `json:"mode"`
	Link      string   `json:"link"`
	Note      string   `json:"note"`
}

// TakeClients fills in what the clients measured.
func (r *Report) TakeClients(m *Merged) {
	r.ValueSize, r.Outstanding, r.Clients = m.Size, m.Outstanding, m.Clients
	r.DurationS = float64(m.DurationNs) / 1e9
	r.Values, r.Failed, r.Unanswered, r.Retries = m.Values, m.Failed, m.Unanswered, m.Retries
	if m.DurationNs > 0 {
		r.ValuesPerS = float64(m.Values) / r.DurationS
		r.MbitPerS = float64(m.Bytes) * 8 / 1e6 / r.DurationS
	}
	r.Load, r.RatePerS, r.Arrivals, r.Behind, r.Waited = "closed", m.RatePerS, m.Arrivals, m.Behind, m.Waited
	if m.Arrivals != "" {
		r.Load = "open"
		r.LateSubmitUs = latencyOf(m.Late)
	}
	r.LatencyUs, r.LatencyCorrectedUs = latencyOf(m.Measured), latencyOf(m.Corrected)
	r.CorrectedIntervalUs, r.LatencyClamped = microseconds(float64(m.IntervalNs)), m.Clamped
	r.measured, r.corrected = m.Measured, m.Corrected
}

// TakeVerdict fills in what the check found.
func (r *Report) TakeVerdict(v *Verdict, learners []LearnerEnd) {
	r.Lost, r.Duplicated, r.Reordered, r.Equal = v.Lost, v.Duplicated, v.Reordered, v.Equal
	r.Problems, r.Notes, r.Learners = v.Problems, v.Notes, learners
}

// WriteJSON writes the report to a file: whole, or not at all. Lists that are empty are written as such, not as null.
func (r *Report) WriteJSON(path string) error { return WriteJSON(path, r.withLists()) }

// withLists is the report with empty lists where there are none.
func (r *Report) withLists() *Report {
	whole := *r
	whole.Learners, whole.Problems, whole.Notes = orEmpty(r.Learners), orEmpty(r.Problems), orEmpty(r.Notes)
	whole.Cores, whole.Sockets, whole.Failovers = orEmpty(r.Cores), orEmpty(r.Sockets), orEmpty(r.Failovers)
	whole.Groups = nil
	for _, one := range r.Groups {
		whole.Groups = append(whole.Groups, one.withLists())
	}
	return &whole
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// WriteJSON writes v to a file as indented JSON: whole, or not at all.
func WriteJSON(path string, v any) error {
	return writeWhole(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	})
}

// WriteHgrm writes the measured latencies to a file in HdrHistogram's text format of percentiles, in microseconds, as its plotters read it.
func (r *Report) WriteHgrm(path string) error { return writeHgrm(path, r.measured) }

// WriteCSV writes them as comma-separated values, a line for each latency that there was: the percentile that it is, the value in microseconds,
// how many had it.
func (r *Report) WriteCSV(path string) error { return writeCSV(path, r.measured) }

func writeCSV(path string, h *hdrhistogram.Histogram) error {
	return writeWhole(path, func(w io.Writer) error {
		b := bufio.NewWriter(w)
		fmt.Fprintln(b, "percentile,value_us,count")
		below := int64(0)
		if h != nil {
			for _, bar := range h.Distribution() {
				if bar.Count > 0 {
					below += bar.Count
					fmt.Fprintf(b, "%.6f,%.3f,%d\n", 100*float64(below)/float64(h.TotalCount()), float64(bar.To)/1e3, bar.Count)
				}
			}
		}
		return b.Flush()
	})
}

// WriteCorrectedHgrm does so for the ones that are corrected for coordinated omission.
func (r *Report) WriteCorrectedHgrm(path string) error { return writeHgrm(path, r.corrected) }

func writeHgrm(path string, h *hdrhistogram.Histogram) error {
	if h == nil {
		h = newHistogram()
	}
	return writeWhole(path, func(w io.Writer) error {
		const ticksPerHalf, nsPerUs = 5, 1000
		_, err := h.PercentilesPrint(w, ticksPerHalf, nsPerUs)
		return err
	})
}

// writeWhole writes beside the file and renames: a reader sees the old one or the new one. What is no file (a pipe, a terminal) is written to.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		defer f.Close()
		return write(f)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("bench: cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("bench: cannot write %s: %w", path, err)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
