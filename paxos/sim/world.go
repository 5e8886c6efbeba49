package sim

import (
	"fmt"
	"slices"

	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/sim/check"
)

// world is one run: machines, the network between them, and what is going to happen when.
type world struct {
	plan     *plan
	profile  *Profile
	net      *simwire.Net
	machines []*machine
	at       []*machine                      // by address
	home     [paxos.MaxNodes]simwire.Address // of each node
	events   events
	suite    *check.Suite
	trace    trace
	registry registry
	faults   faults
	features features

	now         int64
	quiet       bool // clients submit nothing more
	turns       uint64
	leaders     uint64       // times that a proposer came to lead
	leadersThen uint64       // when the faults stopped
	messages    uint64       // received by nodes that are gone; living ones count their own
	failure     string       // why the run cannot go on
	healedAt    int64        // when the faults stopped; 0: not yet
	servedAt    int64        // when every client was served again
	quietAt     int64        // when the last load ended
	asked       paxos.NodeID // who is to take over, after the faults; 0 nobody
}

// mostTurns ends a run that does not end by itself: a loop that finds work for ever.
const mostTurns = 1 << 27

func newWorld(cfg *Config) *world {
	p, network := newPlan(cfg.Seed, cfg.Profile), newRandom(cfg.Seed, "network")
	w := &world{
		plan: p, profile: cfg.Profile,
		net: simwire.New(simwire.Config{Seed: network.next(), MTU: p.file.MTU, Queue: p.queue, Cells: 512}),
	}
	w.trace = trace{w: w, out: cfg.Trace}
	w.suite = check.NewSuite(check.Cluster{
		Members: members(p.file), Window: int(p.file.Window), Lease: int64(p.file.Timing.Lease), LeaderTimeout: int64(p.file.Timing.LeaderTimeout),
		Sessions: p.file.Sessions, SessionIdle: paxos.Instance(p.file.SessionIdle), Now: func() int64 { return w.now },
	})
	w.registry = newRegistry(w)
	w.net.Tap(w.trace.frame)
	random := newRandom(cfg.Seed, "machines")
	for i, e := range p.file.Endpoints() {
		m := newMachine(w, i, e, &random, cfg.Profile.skewed)
		m.habits = p.habits[i]
		w.machines = append(w.machines, m)
		at := w.net.Address(m.name)
		for _, id := range m.ids {
			w.home[id] = at
		}
	}
	if p.file.Multicast {
		w.net.Tap(w.frame)
	}
	if p.shared {
		w.share(firstAcceptor+1, firstAcceptor)
		w.share(firstLearner, firstAcceptor+2)
	}
	w.at = w.machines // addresses are given in the order of machines
	w.faults = newFaults(w, cfg.Seed)
	if p.file.SlowLearner == cluster.SlowDrop {
		w.features.count(featDrop)
	}
	if p.file.Sessions < 64 {
		w.features.count(featSmallTables)
	}
	for _, m := range w.machines {
		w.events.add(random.below(5*ms), func() { m.start() })
	}
	return w
}

// share puts the machine of one node on the host of another's, behind its NIC: all that others send it comes in there and is passed on. It does nothing
// where that is one machine or the first node is not there.
func (w *world) share(id, host uint16) {
	for _, m := range w.machines {
		if slices.Contains(m.ids, id) {
			m.door = int(w.home[host])
		}
	}
}

// run lets things happen until stop says that it is enough, something is wrong, or the time is up.
func (w *world) run(until int64, stop func() bool) {
	for w.failure == "" && w.suite.Violation() == nil && !stop() {
		arrival, ok := w.net.Next()
		due := w.events.next()
		if !ok || due < arrival {
			arrival = due
		}
		if arrival > until {
			w.advance(until)
			return
		}
		w.advance(arrival)
		if due == arrival {
			w.events.run(w)
		}
		if w.turns > mostTurns {
			w.failure = fmt.Sprintf("after %d turns of loops the run has come no further than %d ns", w.turns, w.now)
		}
	}
}

// advance moves the time on, and wakes the machines at which something arrives.
func (w *world) advance(to int64) {
	w.now = max(w.now, to)
	for _, a := range w.net.AdvanceTo(w.now) {
		w.at[a].wake(w.now)
	}
}

const (
	pollNs    = 2 * ms
	ackedEach = 5 // values that every client must get through after the faults
)

// play is the whole run: load and faults, then load alone, then silence. In some runs there is silence before the load alone, too.
func (w *world) play() {
	polled := int64(0)
	poll := func(reached func() bool) func() bool {
		return func() bool {
			if w.now < polled {
				return false
			}
			polled = w.now + pollNs
			return reached()
		}
	}
	w.faults.begin()
	w.run(w.plan.runNs, func() bool { return false })
	w.faults.end()
	w.healedAt, w.leadersThen = w.now, w.leaders
	if ending := newRandom(w.faults.seed, "ending"); w.profile.fixed == nil && ending.percent(30) {
		w.quiet = true // nothing new comes after what the faults left behind: it must be found without
		w.phase("nothing is unanswered and all learners stand at one place, without new values", w.plan.boundNs(), poll(w.settled))
		w.quiet, w.healedAt = false, w.now
		for _, m := range w.machines {
			m.wake(w.now)
		}
	}
	if w.profile.fixed == nil {
		w.phase("every client is served again", w.plan.boundNs(), poll(w.served))
		w.servedAt = w.now
		w.phase("a leader hands over", w.plan.boundNs(), poll(w.handedOver))
	}
	w.quietAt = w.now
	w.quiet = true
	w.phase("nothing is unanswered and all learners stand at one place", w.plan.boundNs(), poll(w.settled))
	if w.failure == "" && w.suite.Violation() == nil {
		end := w.end()
		w.suite.Ended(&end)
		w.registry.judge()
	}
}

// phase runs until something is reached, which must be within bound.
func (w *world) phase(what string, bound int64, reached func() bool) {
	if w.failure != "" || w.suite.Violation() != nil {
		return
	}
	done := false
	until := w.now + bound
	w.events.add(until, func() {}) // so that time goes on though nothing else happens
	w.run(until, func() bool {
		done = done || reached()
		return done
	})
	if !done && w.failure == "" && w.suite.Violation() == nil && !reached() {
		w.suite.Fail("progress", "%d virtual ms after the faults ended it is not so that %s: %s", (w.now-w.healedAt)/ms, what, w.describe())
	}
}

// served tells whether every client got values through since the faults stopped.
func (w *world) served() bool {
	for _, m := range w.machines {
		if m.source != nil && m.source.ackedSince(w.healedAt) < ackedEach {
			return false
		}
	}
	return true
}

// settled tells whether nothing is unanswered and all learners stand at one place, with nothing above it that a leader proposes. What a learner
// heard of further up, nobody may remember: the proposals of one that leads no more, which no acceptor got.
func (w *world) settled() bool {
	place, next, learners, same := paxos.Instance(0), paxos.Instance(0), 0, true
	for _, m := range w.machines {
		if m.source != nil && m.source.unanswered() > 0 {
			return false
		}
		m.roles(func(id paxos.NodeID, role any) {
			switch r := role.(type) {
			case *paxos.Learner:
				at, _, _ := r.Delivered()
				same = same && !r.Behind() && (learners == 0 || at == place)
				place = at
				learners++
			case *paxos.Proposer:
				if _, leads := r.Leading(); leads {
					next = max(next, r.Next())
				}
			}
		})
	}
	return same && place >= next
}

// learnerEnd is where a learner stands.
func learnerEnd(id paxos.NodeID, l *paxos.Learner) check.LearnerEnd {
	watermark, values, hash := l.Delivered()
	return check.LearnerEnd{Node: id, Watermark: watermark, Values: values, Hash: hash}
}

// end is the last state.
func (w *world) end() (e check.End) {
	for _, m := range w.machines {
		m.roles(func(id paxos.NodeID, role any) {
			if l, ok := role.(*paxos.Learner); ok {
				e.Learners = append(e.Learners, learnerEnd(id, l))
			}
		})
	}
	return e
}

// describe says how every role stands, for people who look for what holds a run up.
func (w *world) describe() (text string) {
	for _, m := range w.machines {
		if !m.up() {
			text += fmt.Sprintf("; %s is down", m.name)
		}
		m.roles(func(id paxos.NodeID, role any) {
			switch r := role.(type) {
			case *paxos.Acceptor:
				text += fmt.Sprintf("; acceptor %d promised %v, holds %d to %d, votes: %v", id, r.Promised(), r.Low(), r.High(), !r.Amnesia())
			case *paxos.Proposer:
				b, leads := r.Leading()
				text += fmt.Sprintf("; proposer %d leads: %v, by %v, follows %d, low %d, chosen below %d, next %d", id, leads, b, r.Leader(), r.Low(),
					r.ChosenBelow(), r.Next())
			case *paxos.Learner:
				at, n, _ := r.Delivered()
				text += fmt.Sprintf("; learner %d delivered %d values up to %d of %d, behind: %v, stuck: %v", id, n, at, r.High(), r.Behind(), r.Stuck())
			}
		})
		if m.source != nil {
			text += fmt.Sprintf("; client on %s has %d unanswered", m.name, m.source.unanswered())
			if m.up() {
				for _, c := range m.clients() {
					text += fmt.Sprintf(" (%s), proposer %d, learner %d", c.Trouble(m.clock.local(w.now)), c.Proposer(), c.Learner())
				}
			}
		}
	}
	return text[min(2, len(text)):]
}
