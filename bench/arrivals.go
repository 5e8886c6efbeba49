package bench

import (
	"fmt"
	"math/rand/v2"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/paxos"
)

// An open loop: each value is due at a time of a schedule that waits for nobody. The first step from then on submits it; where all
// sessions have as many values unanswered as they may, it waits, and those behind it in their order. Whatever it waited for is part of
// what it took, for that is measured from the time at which it was due.
//
// Only the next due time is kept: who waits is the schedule from there to now. What still waits at the end of the warm-up is left out, so that
// a cluster that does not take the rate is measured, and not its queue.

// How values of an open loop are spread over time.
const (
	ArrivalsPoisson  = "poisson"  // independent of each other: exponential times between two
	ArrivalsConstant = "constant" // at even distances
)

// CheckArrivals refuses a rate or a spread that an open loop does not have.
func CheckArrivals(rate float64, spread string) error {
	switch {
	case !(rate > 0 && rate <= maxRate): // and not NaN
		return fmt.Errorf("%g values/s, want over 0 and at most %d", rate, int64(maxRate))
	case spread != ArrivalsPoisson && spread != ArrivalsConstant:
		return fmt.Errorf("values arrive %s or %s, not %q", ArrivalsPoisson, ArrivalsConstant, spread)
	}
	return nil
}

// maxRate is one value in 10 ns.
const maxRate = 1e8

// arrivals are when values are due, and what is known of those that are unanswered.
type arrivals struct {
	*schedule
	dues   []paxos.Time            // of the values of each session, by sequence
	fullAt paxos.Time              // the last time at which a value was due and no session had room; 0: never
	waited uint64                  // values that were due then, were submitted since, and are measured
	late   *hdrhistogram.Histogram // of those that are measured: from due to submitted
}

func newArrivals(cfg *LoadConfig) (*arrivals, error) {
	spread := cfg.Arrivals
	if spread == "" {
		spread = ArrivalsPoisson
	}
	if err := CheckArrivals(cfg.Rate, spread); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return &arrivals{
		schedule: newSchedule(1e9/cfg.Rate, spread == ArrivalsPoisson, cfg.Seed),
		dues:     make([]paxos.Time, cfg.Sessions*paxos.SessionSpan), late: newHistogram(),
	}, nil
}

// of is the due time of a value that is unanswered: those of one session are less than a span apart.
func (a *arrivals) of(s int, sequence uint64) *paxos.Time {
	return &a.dues[s*paxos.SessionSpan+int(sequence%paxos.SessionSpan)]
}

// schedule is a sequence of due times; due is the first that is left.
type schedule struct {
	meanNs  float64 // from one value to the next
	poisson bool
	seed    uint64
	begin   paxos.Time
	n       uint64  // times that were passed
	offset  float64 // of the next from begin; a float64 tells nanoseconds apart for a hundred days
	pcg     rand.PCG
	draw    *rand.Rand // from pcg
}

func newSchedule(meanNs float64, poisson bool, seed uint64) *schedule {
	s := &schedule{meanNs: meanNs, poisson: poisson, seed: seed}
	s.draw = rand.New(&s.pcg)
	return s
}

// start begins the schedule anew: the draws are the same again.
func (s *schedule) start(now paxos.Time) {
	const stream = 0x9e3779b97f4a7c15
	s.pcg.Seed(s.seed, stream)
	s.goOn(now)
}

// goOn leaves out what was due before. The exponential distribution has no memory: the times from there on are as good as those before.
func (s *schedule) goOn(from paxos.Time) {
	s.begin, s.n, s.offset = from, 0, 0
	if s.poisson {
		s.offset = s.gap()
	}
}

func (s *schedule) due() paxos.Time { return s.begin + paxos.Time(s.offset) }

// pass goes on to the next time.
func (s *schedule) pass() {
	s.n++
	if s.poisson {
		s.offset += s.gap()
	} else {
		s.offset = float64(s.n) * s.meanNs
	}
}

// gap draws the time between two values. The ziggurat of math/rand takes 20 ns where the inverse of the distribution function took 50.
func (s *schedule) gap() float64 { return s.draw.ExpFloat64() * s.meanNs }

// countUntil is how many times are left before a time, from another one on. It draws some ten million of them, within a second; of more, the
// rest are as many as there are in the mean.
func (s schedule) countUntil(from, until paxos.Time) (n uint64) {
	const most = 1 << 24
	s.draw = rand.New(&s.pcg) // of the copy
	for range most {
		due := s.due()
		if due >= until {
			return n
		}
		if due >= from {
			n++
		}
		s.pass()
	}
	return n + uint64(float64(until-max(from, s.due()))/s.meanNs)
}

// submitDue submits what is due, as far as the sessions have room: to each in turn, so that their load is alike.
func (l *Load) submitDue(now paxos.Time) {
	a := l.arrivals
	for l.budget > 0 && !l.stopped {
		due := a.due()
		if due > now || due >= l.end {
			return
		}
		if due < l.from && now >= l.from {
			a.goOn(l.from) // the queue of the warm-up is not what the measurement waits for
			continue
		}
		if l.queued == 0 {
			a.fullAt = now
			return
		}
		s := l.next()
		e := &l.sessions[s]
		if e.missing == 0 || e.dead {
			continue // another took its place, and is not open yet
		}
		sequence := e.next
		if !l.put(now, due, s) {
			continue // it runs too far past its oldest unanswered value: an answer brings it here again
		}
		*a.of(int(s), sequence) = due
		a.pass()
		if due >= l.from {
			record(a.late, min(now-due, highestNs), 1)
			if due <= a.fullAt {
				a.waited++
			}
		}
		if e.missing > 0 {
			l.wait(e, s)
		}
	}
}

// behind is how many values were due within the measurement and were never submitted.
func (l *Load) behind() uint64 {
	if l.client == nil || l.cfg.Values > 0 && l.submitted >= l.cfg.Values {
		return 0
	}
	until := l.end
	if l.stopped {
		until = min(until, l.stoppedAt)
	} else {
		until = min(until, l.arrivals.fullAt+1)
	}
	return l.arrivals.countUntil(l.from, until)
}

// result fills in what an open loop knows beside its latencies.
func (a *arrivals) result(r *ClientResult) (err error) {
	r.RatePerS, r.Arrivals, r.Waited = 1e9/a.meanNs, ArrivalsConstant, a.waited
	if a.poisson {
		r.Arrivals = ArrivalsPoisson
	}
	r.LateHistogram, err = encodeHistogram(a.late)
	return err
}
