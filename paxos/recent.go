package paxos

// Large values that a leader has queued or proposed, by name. A client sends a value again that is not answered in time; where values of many
// frames are under way and some are lost, that is often, and each copy would take the same frames once more and make all that waits later
// still. So a leader takes no copy while it knows that one is under way. It does after a value was chosen and its client asks still:
// the answer was lost then, and a learner answers a copy like the first.
//
// The table is bounded. A name that is not in it any more costs a copy, which learners do not deliver twice.
type recent struct {
	names []recentName
	next  int // the place that is taken next, whoever has it
	last  int // the place that was found last: pieces come in a row
}

type recentName struct {
	name     fragmentName
	instance Instance // noInstance while it is queued
	asked    Time     // when a copy came first after it was chosen; 0 none yet
}

const (
	recentSize  = 256
	noInstance  = ^Instance(0)
	recentGrace = 4 // retry times from the first copy after a value was chosen until one is taken
)

func newRecent() recent { return recent{names: make([]recentName, recentSize)} }

func (r *recent) find(name fragmentName) *recentName {
	if e := &r.names[r.last]; e.name == name {
		return e
	}
	for at := range r.names {
		if e := &r.names[at]; e.name == name {
			r.last = at
			return e
		}
	}
	return nil
}

// queued notes a value that was queued.
func (r *recent) queued(name fragmentName) {
	r.names[r.next] = recentName{name: name, instance: noInstance}
	r.next = (r.next + 1) % recentSize
}

// proposed notes where a queued value went.
func (r *recent) proposed(batch []byte, i Instance) {
	var v Value
	if _, ok := NextValue(batch, &v); !ok {
		return
	}
	if e := r.find(submitName(v.Client, v.Sequence, v.Generation)); e != nil {
		e.instance = i
	}
}

// begunAnew forgets what was proposed by an earlier ballot: what no promise reports is not under way any more, and only a copy brings it back. What
// is queued still is.
func (r *recent) begunAnew() {
	for at := range r.names {
		if r.names[at].instance != noInstance {
			r.names[at] = recentName{}
		}
	}
}

func (r *recent) clear() {
	for at := range r.names {
		r.names[at] = recentName{}
	}
}

// underWay tells whether a value is queued, in flight, or chosen so recently that its answer may be on its way.
func (p *Proposer) underWay(now Time, name fragmentName) bool {
	e := p.recent.find(name)
	if e == nil || name == (fragmentName{}) {
		return false
	}
	if e.instance == noInstance || e.instance >= p.chosen {
		return true
	}
	if e.asked == 0 {
		e.asked = now
	}
	if now-e.asked < recentGrace*p.cfg.Retry {
		return true
	}
	*e = recentName{}
	return false
}
