package bench

import "wirepaxos/paxos"

// What is kept of the times without an answer: as many as there can be in the last second, for one is at least leastStallNs long.
const (
	leastStallNs = 250_000
	stallRing    = 4096
)

// Stall is a time without an answer: from one delivered value to the next. Readings of the loop's clock, which all processes of a host share.
type Stall struct {
	From paxos.Time `json:"from"`
	To   paxos.Time `json:"to"`
}

// stalls remembers the latest stalls of a load. What falls out of the ring is over a second old.
type stalls struct {
	last paxos.Time // of the latest answer; 0: none yet
	n    uint64     // stalls so far
	ring [stallRing]Stall
}

// answer notes that a value was delivered now.
func (s *stalls) answer(now paxos.Time) {
	if now-s.last >= leastStallNs && s.last > 0 {
		s.ring[s.n%stallRing] = Stall{s.last, now}
		s.n++
	}
	s.last = now
}

// StallReport is what a load knows of its latest stalls.
type StallReport struct {
	Last   paxos.Time `json:"last"`   // of the latest answer; 0: none yet
	Stalls []Stall    `json:"stalls"` // in their order
}

// Stalls reads them. It allocates; the loop has ended, or runs this in Inspect.
func (l *Load) Stalls() StallReport {
	s := &l.stalls
	r := StallReport{Last: s.last, Stalls: []Stall{}}
	for i := s.n - min(s.n, stallRing); i < s.n; i++ {
		r.Stalls = append(r.Stalls, s.ring[i%stallRing])
	}
	return r
}

// Next is when the first answer at or after a time came; that time itself where answers followed each other within 250 µs. 0: there was none yet.
func (r *StallReport) Next(from paxos.Time) paxos.Time {
	if r.Last < from {
		return 0
	}
	for _, s := range r.Stalls {
		if s.From < from && from <= s.To {
			return s.To
		}
	}
	return from
}

// Outage is the longest time without an answer behind an event: from the event to the end of the longest stall that has a part between the event
// and windowNs later, in nanoseconds. Only that part of a stall counts which is behind the event. It needs to know nothing of the cause, and errs to
// one side: a stall in the window that has another cause and is longer is taken for the event's.
//
// over tells that there was an answer behind the window; until then it is too early to tell.
func (r *StallReport) Outage(event, windowNs paxos.Time) (outageNs int64, over bool) {
	if r.Last < event+windowNs {
		return 0, false
	}
	longest := int64(0)
	for _, s := range r.Stalls {
		if s.To <= event || s.From >= event+windowNs {
			continue
		}
		if length := s.To - max(s.From, event); length > longest {
			longest, outageNs = length, s.To-event
		}
	}
	return outageNs, true
}
