package paxos

import "testing"

// A leader whose accepts get no answer sends less and less: an acceptor that cannot keep up is not given more to do.
func TestPaceBacksOff(t *testing.T) {
	const retry = Time(10e6)
	p := newPace(512)
	now := Time(0)
	sends := 0
	for range 20 {
		wait := p.wait(retry)
		now += wait
		sends += p.flight
		p.lost(now, wait)
	}
	if p.flight != leastFlight || p.wait(retry) != retry<<mostDoubled {
		t.Errorf("after 20 losses in a row the flight is %d and the wait %d ns, want %d and %d", p.flight, p.wait(retry), leastFlight, retry<<mostDoubled)
	}
	if sends > 2*512+20*leastFlight {
		t.Errorf("%d accepts were sent into the void", sends)
	}
	for i := range 10_000 {
		if p.chosen(1, 1e5); i == 0 && p.doubled != 0 {
			t.Error("an answer did not end the doubling")
		}
	}
	if p.flight != 512 || p.wait(retry) != retry {
		t.Errorf("after 10,000 instances chosen the flight is %d and the wait %d ns, want 512 and %d", p.flight, p.wait(retry), retry)
	}
}

// Losses of one flight cut it once.
func TestPaceCutsOnceAWait(t *testing.T) {
	p := newPace(512)
	for range 100 {
		p.lost(20e6, 10e6)
	}
	if p.flight != 256 {
		t.Errorf("the flight is %d after the losses of one moment, want 256", p.flight)
	}
}

// Where round trips take longer than the retry time, nothing is sent again before an answer can be there.
func TestPaceFollowsTrips(t *testing.T) {
	p := newPace(512)
	for range 100 {
		p.chosen(1, 20e6)
	}
	if got := p.wait(10e6); got < 70e6 {
		t.Errorf("trips take 20 ms and the wait is %d ns", got)
	}
	p.chosen(1, 0)
	if got := p.wait(10e6); got < 70e6 {
		t.Error("an instance that was sent twice counted as a trip")
	}
}

// A value of many frames lets the flight grow as that many small ones would: an instance at a time, a flight of a few frames would never recover.
func TestPaceGrowsByFrames(t *testing.T) {
	small, large := newPace(512), newPace(512)
	small.flight, large.flight = leastFlight, leastFlight
	for range 20 {
		large.chosen(47, 0)
		for range 47 {
			small.chosen(1, 0)
		}
	}
	if large.flight < small.flight || large.flight > 2*small.flight {
		t.Errorf("after 20 values of 47 frames the flight is %d, after as many frames of small ones %d", large.flight, small.flight)
	}
	for range 400 {
		large.chosen(47, 0)
	}
	if large.flight != 512 {
		t.Errorf("the flight is %d, want the most, 512", large.flight)
	}
}
