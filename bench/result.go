package bench

import (
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/paxos"
)

// SessionAcks are the acknowledgements of one session in one run, for Check. The sequences of a new session begin at 1, those of a resumed one
// above what the earlier run had delivered.
type SessionAcks struct {
	Client    uint64   `json:"client,string"`
	First     uint64   `json:"first"`           // the lowest sequence of the run; 0 is taken for 1
	Submitted uint64   `json:"submitted"`       // sequences First to this were submitted
	Below     uint64   `json:"below"`           // every sequence from First on and below was answered: acknowledged, or is in Failed
	Above     []uint64 `json:"above,omitempty"` // acknowledged at or above Below, ascending; Failed ones are not among them
	Failed    []uint64 `json:"failed,omitempty"`

	// Killed says that this is from some moment before the client died: what it was told and sent later is not known.
	Killed bool `json:"killed,omitempty"`
}

// ClientResult is what one client process measured, in a form that another process can read.
type ClientResult struct {
	Node        uint16 `json:"node"`
	Size        int    `json:"value_size"`
	Clients     int    `json:"clients"`
	Outstanding int    `json:"outstanding"`
	DurationNs  int64  `json:"duration_ns"` // of the measurement: from its begin to the last answer, at least the time that was asked for
	Submitted   uint64 `json:"submitted"`   // in the measurement
	Values      uint64 `json:"values"`      // of those, the ones answered as delivered: all in the histogram
	Warmup      uint64 `json:"warmup"`      // values delivered besides, not measured
	Failed      uint64 `json:"failed"`      // answered as not delivered
	Unanswered  uint64 `json:"unanswered"`
	Clamped     uint64 `json:"clamped"` // answers later than a minute, counted as one minute
	Retries     uint64 `json:"retries"`
	Late        uint64 `json:"late"`
	Refused     uint64 `json:"refused"`
	Redirects   uint64 `json:"redirects"`
	Switches    uint64 `json:"switches"`
	IntervalNs  int64  `json:"interval_ns"` // expected from one answer to the next, on one place
	HistogramV2 string `json:"histogram"`   // HdrHistogram's compressed encoding, version 2, base64; nanoseconds

	// Of an open loop.
	RatePerS      float64 `json:"rate_per_s,omitempty"` // values that were due; 0: a closed loop
	Arrivals      string  `json:"arrivals,omitempty"`
	Behind        uint64  `json:"behind,omitempty"`         // were due within the measurement, and never submitted
	Waited        uint64  `json:"waited,omitempty"`         // were due while no session had room, and were submitted later
	LateHistogram string  `json:"late_histogram,omitempty"` // from due to submitted, in the form of HistogramV2

	Acknowledged []SessionAcks `json:"acknowledged"`
}

// Acked are the acknowledgements so far, per session. It allocates.
func (l *Load) Acked() []SessionAcks {
	acks := make([]SessionAcks, len(l.sessions))
	for s := range l.sessions {
		acks[s] = l.sessions[s].acks()
	}
	return append(acks, l.past...)
}

func (e *session) acks() SessionAcks {
	a := SessionAcks{Client: uint64(e.id.Client), First: e.first, Submitted: e.next - 1, Below: e.below, Failed: sorted(e.failed)}
	a.Above = without(e.above(), a.Failed)
	return a
}

// above are the answered sequences past the prefix, ascending. The word that below lies in holds both ends of the span.
func (e *session) above() []uint64 {
	const words = paxos.SessionSpan / 64
	var list []uint64
	for base := e.below &^ 63; base < e.below+paxos.SessionSpan; base += 64 {
		for word := e.bits[base/64%words]; word != 0; word &= word - 1 {
			if s := base + uint64(bits.TrailingZeros64(word)); s >= e.below && s-e.below < paxos.SessionSpan {
				list = append(list, s)
			}
		}
	}
	return list
}

// durationNs is how long the measurement took.
func (l *Load) durationNs() int64 {
	to := l.last
	if l.stopped && l.stoppedAt >= l.end {
		to = max(to, l.end)
	}
	return max(0, to-l.from)
}

// Result is what the load measured. It allocates; the loop has ended, or runs this in Inspect.
func (l *Load) Result(node paxos.NodeID) (ClientResult, error) {
	encoded, err := encodeHistogram(l.measured)
	if err != nil {
		return ClientResult{}, err
	}
	r := ClientResult{
		Node: uint16(node), Size: l.cfg.Size, Clients: l.cfg.Sessions, Outstanding: l.cfg.Outstanding, DurationNs: l.durationNs(),
		Submitted: l.submitted, Values: l.answered, Warmup: l.delivered - l.answered, Failed: l.failed, Unanswered: uint64(l.open),
		Clamped: l.clamped, HistogramV2: encoded, Acknowledged: l.Acked(),
	}
	if l.arrivals != nil {
		if err := l.arrivals.result(&r); err != nil {
			return ClientResult{}, err
		}
		r.Behind = l.behind()
	} else if l.answered > 0 {
		r.IntervalNs = int64(float64(r.DurationNs) * float64(l.cfg.Sessions*l.cfg.Outstanding) / float64(l.answered))
	}
	if l.client != nil {
		c := &l.client.Counters
		r.Retries, r.Late, r.Refused, r.Redirects, r.Switches = c.Retries, c.Late, c.Refused, c.Redirects, c.Switches
	}
	return r, nil
}

// Merged are the results of several clients that ran at the same time.
type Merged struct {
	Size         int // of all; 0 where they differ
	Clients      int
	Outstanding  int   // of each client; 0 where they differ
	DurationNs   int64 // the longest
	Values       uint64
	Failed       uint64
	Unanswered   uint64
	Clamped      uint64
	Retries      uint64
	Bytes        uint64 // of the values
	IntervalNs   int64  // expected on one place; the mean over clients, by values
	RatePerS     float64
	Arrivals     string // "" where no loop is open
	Behind       uint64
	Waited       uint64
	Late         *hdrhistogram.Histogram
	Measured     *hdrhistogram.Histogram
	Corrected    *hdrhistogram.Histogram
	Acknowledged []SessionAcks
}

// Merge joins results. Each client's histogram is corrected by its own interval.
func Merge(results []ClientResult) (Merged, error) {
	m := Merged{Measured: newHistogram(), Corrected: newHistogram(), Late: newHistogram()}
	weighted := 0.0
	for i := range results {
		r := &results[i]
		h, err := mergeEncoded(m.Measured, r.HistogramV2, r.Node)
		if err != nil {
			return Merged{}, err
		}
		correct(m.Corrected, h, r.IntervalNs)
		if r.Arrivals != "" {
			if _, err := mergeEncoded(m.Late, r.LateHistogram, r.Node); err != nil {
				return Merged{}, err
			}
			m.Arrivals, m.RatePerS = r.Arrivals, m.RatePerS+r.RatePerS
			m.Behind, m.Waited = m.Behind+r.Behind, m.Waited+r.Waited
		}
		if i == 0 {
			m.Size, m.Outstanding = r.Size, r.Outstanding
		}
		m.Size, m.Outstanding = same(m.Size, r.Size), same(m.Outstanding, r.Outstanding)
		m.Clients += r.Clients
		m.DurationNs = max(m.DurationNs, r.DurationNs)
		m.Values += r.Values
		m.Failed += r.Failed
		m.Unanswered += r.Unanswered
		m.Clamped += r.Clamped
		m.Retries += r.Retries
		m.Bytes += r.Values * uint64(r.Size)
		weighted += float64(r.IntervalNs) * float64(r.Values)
		m.Acknowledged = append(m.Acknowledged, r.Acknowledged...)
	}
	if m.Values > 0 {
		m.IntervalNs = int64(weighted / float64(m.Values))
	}
	return m, nil
}

func same(a, b int) int {
	if a != b {
		return 0
	}
	return a
}
