package paxos

import "fmt"

// Who leads and why that changed, as one proposer saw it: a record for people. Nothing in the protocol depends on it.

// Cause says why leadership changed.
type Cause uint8

// The causes. The first six begin a leadership or tell of one, the others end one or explain why it was begun anew.
const (
	CauseNone       Cause = iota // nothing has happened yet
	CauseFirst                   // no leader was ever heard of
	CauseSilence                 // Node, which led, was not heard for For; no quorum of acceptors heard it either
	CauseAsked                   // Node, which led, handed over
	CauseHeard                   // Node leads: its heartbeat came here
	CauseTold                    // Node leads: acceptors hear it, though its heartbeats do not come here
	CausePreempted               // an acceptor promised a higher ballot, of Node
	CauseHandedOver              // Node was handed over to, and took over
	CauseCutOff                  // no quorum of acceptors answered heartbeats for For
	CauseAway                    // this proposer's own loop did not run for For
	CauseStuck                   // heartbeats were answered, but nothing that was proposed was chosen for For
	CauseUnanswered              // no quorum answered phase 1 for For
	CauseGap                     // learner Node cannot learn an instance from those that voted for it: phase 1 begins anew
	CauseRecovery                // nobody gave a value that was reported for For: phase 1 begins anew
	NumCauses
)

var causeNames = [NumCauses]string{
	"none", "first", "silence", "asked", "heard", "told", "preempted", "handed over", "cut off", "away", "stuck", "unanswered", "gap", "recovery",
}

func (c Cause) String() string {
	if c >= NumCauses {
		return "?"
	}
	return causeNames[c]
}

// reason is why something changes: a cause, the node that it is about, and how long that took.
type reason struct {
	cause  Cause
	node   NodeID
	lasted Time
}

// Leadership is who leads, since when, and why.
type Leadership struct {
	Leader NodeID // 0: nobody, as far as this proposer knows
	Ballot Ballot // by which the leader leads; where there is none, by which the last one did
	Since  Time   // on the proposer's clock
	Cause  Cause
	Node   NodeID // see Cause
	For    Time   // see Cause
}

// Why is the cause in words.
func (l Leadership) Why() string {
	const tenth = 1e5                                                 // of a millisecond
	lasted := fmt.Sprintf("%v ms", float64((l.For+tenth/2)/tenth)/10) // the core knows no clock, and no package of times
	switch l.Cause {
	case CauseNone:
		return "no leader was heard of yet"
	case CauseFirst:
		return "no leader was ever heard of"
	case CauseSilence:
		if l.Node == 0 {
			return fmt.Sprintf("nobody led for %v", lasted)
		}
		return fmt.Sprintf("node %d was silent for %v", l.Node, lasted)
	case CauseAsked:
		return fmt.Sprintf("node %d handed over", l.Node)
	case CauseHeard:
		return fmt.Sprintf("node %d was heard", l.Node)
	case CauseTold:
		return fmt.Sprintf("acceptors hear node %d, though its heartbeats do not come here", l.Node)
	case CausePreempted:
		return fmt.Sprintf("an acceptor promised a higher ballot of node %d", l.Node)
	case CauseHandedOver:
		return fmt.Sprintf("handed over to node %d", l.Node)
	case CauseCutOff:
		return fmt.Sprintf("no quorum of acceptors answered for %v", lasted)
	case CauseAway:
		return fmt.Sprintf("its own loop did not run for %s", lasted)
	case CauseStuck:
		return fmt.Sprintf("acceptors answer heartbeats, but chose nothing for %v", lasted)
	case CauseUnanswered:
		return fmt.Sprintf("no quorum answered phase 1 for %v", lasted)
	case CauseGap:
		return fmt.Sprintf("learner %d could not learn an instance from those that voted for it", l.Node)
	case CauseRecovery:
		return fmt.Sprintf("nobody gave a value that was reported for %v", lasted)
	}
	return "?"
}

// leadershipChanges is how many changes a proposer remembers.
const leadershipChanges = 16

// history is the last changes of leadership, and how often each cause had something to do with one.
type history struct {
	changes [leadershipChanges]Leadership
	n       uint64 // of all; the last is at (n-1) mod leadershipChanges
	causes  [NumCauses]uint64
}

// start begins the history: nobody leads yet.
func (h *history) start(now Time) { h.changes[0], h.n = Leadership{Since: now}, 1 }

// record remembers a change. That still nobody leads, after another try, is none.
func (h *history) record(l Leadership) {
	if last := h.last(); last.Leader == l.Leader && (l.Leader == 0 || last.Ballot == l.Ballot) {
		return
	}
	h.changes[h.n%leadershipChanges] = l
	h.n++
}

func (h *history) last() Leadership { return h.changes[(h.n-1)%leadershipChanges] }

// led notes who leads from now on by which ballot, 0 nobody, and why.
func (p *Proposer) led(now Time, leader NodeID, b Ballot, why reason) {
	p.leader = leader
	p.history.causes[why.cause]++
	p.history.record(Leadership{Leader: leader, Ballot: b, Since: now, Cause: why.cause, Node: why.node, For: why.lasted})
}

// Leadership is who leads as far as this proposer knows, since when, and why.
func (p *Proposer) Leadership() Leadership { return p.history.last() }

// LeadershipChanges are the last changes, the oldest first.
func (p *Proposer) LeadershipChanges() []Leadership {
	h := &p.history
	var list []Leadership
	for i := h.n - min(h.n, leadershipChanges); i < h.n; i++ {
		list = append(list, h.changes[i%leadershipChanges])
	}
	return list
}

// LeadershipCauses is how often each cause had something to do with a change of leadership.
func (p *Proposer) LeadershipCauses() [NumCauses]uint64 { return p.history.causes }

// restlessTimeouts is within how many leader timeouts a whole history of changes is too many.
const restlessTimeouts = 4 * leadershipChanges

// Trouble says why nobody leads, or why leaders do not last, for people; "" if somebody does, or nobody has waited for long.
func (p *Proposer) Trouble(now Time) string {
	all := len(p.cfg.Members.Acceptors)
	last := p.history.last()
	oldest := p.history.changes[p.history.n%leadershipChanges] // once there are so many
	switch {
	case p.history.n > leadershipChanges && now-oldest.Since < restlessTimeouts*p.cfg.LeaderTimeout:
		return fmt.Sprintf("proposer %d saw leadership change %d times within %d ms: leader_timeout is short for machines "+
			"that keep loops from running, or frames are lost; write a longer one, or give each loop a core of its own", p.cfg.ID, leadershipChanges, (now-oldest.Since)/1e6)
	case last.Leader != 0 || now-last.Since < p.cfg.LeaderTimeout:
		return ""
	case p.stopped:
		return fmt.Sprintf("proposer %d: the cluster has stopped: more than a minority of its %d acceptors restarted without their promises "+
			"and do not vote", p.cfg.ID, all)
	case p.rounds.wanted != 0:
		return fmt.Sprintf("proposer %d waits for rounds to be reserved in the state directory, and cannot lead before", p.cfg.ID)
	case p.phase == preparing:
		done := 0
		for k := range p.cfg.Members.Acceptors {
			if p.views[k].done {
				done++
			}
		}
		return fmt.Sprintf("proposer %d tries to lead by ballot %v: %d of %d acceptors have promised, it takes %d",
			p.cfg.ID, p.ballot, done, all, p.quorum)
	case p.asking.on:
		answered, silent, _ := p.tally(now)
		return fmt.Sprintf("proposer %d hears no leader and asks the acceptors: %d of %d answer, %d of those hear none; an election takes %d",
			p.cfg.ID, answered, all, silent, p.quorum)
	}
	return ""
}
