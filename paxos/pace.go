package paxos

// pace bounds what a leader has in flight by what comes back. Without it an overload feeds itself: acceptors that lack the time drop frames,
// and the retries of those frames take more of their time. It is TCP's way: the flight is halved when something has to be sent again
// (RFC 5681, section 3.1) and grows with what is chosen; the time before a retry follows the round trips, and doubles while none
// completes (RFC 6298, section 5).
type pace struct {
	most    int  // the flight is never larger
	flight  int  // frames of instances that may be in flight
	grown   int  // frames chosen since the flight grew last
	trip    Time // smoothed, from an accept to its quorum
	doubled uint // how often the time before a retry has doubled
	cutAt   Time // when the flight was halved last
}

const (
	leastFlight  = 4
	mostDoubled  = 6
	growEach     = 16 // the flight grows by one for each sixteenth of it that is chosen
	tripsPerWait = 4
)

func newPace(most int) pace { return pace{most: most, flight: most} }

// reset begins anew, for a new ballot.
func (p *pace) reset() { p.flight, p.grown, p.doubled = p.most, 0, 0 }

// wait is the time before something that is not answered is sent again. However long trips were, it doubles no further than the retry time does.
func (p *pace) wait(retry Time) Time {
	trips := max(retry, tripsPerWait*p.trip)
	return max(trips, min(trips<<p.doubled, retry<<mostDoubled))
}

// room notes that acceptors which had no room have some again: what they refused was not lost, and need not wait as if it were.
func (p *pace) room() { p.doubled = 0 }

// chosen notes that an instance was chosen whose value took so many frames; trip is how long it took, or 0 where a retry makes that unknown
// (RFC 6298, section 3).
func (p *pace) chosen(frames int, trip Time) {
	p.doubled = 0
	if trip > 0 {
		p.trip += (trip - p.trip) / 8
	} else if frames > 1 {
		// Of many frames one is lost so often that hardly any trip is ever measured: one that was long must not count for ever.
		p.trip -= p.trip / 16
	}
	if p.flight == p.most {
		return
	}
	if p.grown += frames; p.grown*growEach >= p.flight {
		p.flight, p.grown = min(p.flight+min(frames, p.grown*growEach/p.flight), p.most), 0
	}
}

// lost notes that something had to be sent again. What was sent before the last cut says nothing new.
func (p *pace) lost(now, wait Time) {
	if now-p.cutAt < wait {
		return
	}
	p.cutAt, p.grown = now, 0
	p.flight = max(p.flight/2, min(leastFlight, p.most))
	p.doubled = min(p.doubled+1, mostDoubled)
}
