package check

import (
	"slices"

	"wirepaxos/paxos"
)

// leadership holds proposers to what they claim, and to leaving a leader alone that does its work (PROTOCOL.md, "Leader"). Agreement needs neither:
//
//	contact      who says that it leads has had an answer of a quorum to what it said in the last few leader timeouts
//	undisturbed  a leader that a majority of acceptors hears is not preempted by another proposer, but for a handover
//
// Contact is measured by the leader's own clock alone, which its heartbeats carry and the answers bring back. Undisturbed is measured by the time of the
// run, with room for clocks that are wrong: an acceptor hears a leader if it has answered that one's heartbeats, and taken nobody else's messages, for
// longer than a follower may rely on what it was told, at distances at which it cannot have told anybody that it hears no leader.
type leadership struct {
	suite     *Suite
	now       func() int64
	timeout   int64 // of leaders
	quorum    int
	place     [paxos.MaxNodes]int8 // of acceptors
	n         int                  // of them
	acceptors [paxos.MaxAcceptors]attention
	proposers [paxos.MaxNodes]claim
}

// attention is what an acceptor hears.
type attention struct {
	leader      paxos.Ballot // whose messages it took last
	since, last int64        // it answered its heartbeats from since until last
}

// claim is what a proposer has said and been told.
type claim struct {
	prepared paxos.Ballot // the last one that it said Prepare by
	leads    bool         // by its own account
	asked    bool         // in this step, to take over

	ballot  paxos.Ballot // of its heartbeats
	answers [paxos.MaxAcceptors]int64
}

// mostSilent is for how many leader timeouts a leader may go on without a quorum that answers: four, and one for good measure.
const mostSilent = 5

func newLeadership(s *Suite, c Cluster) *leadership {
	return &leadership{
		suite: s, now: c.Now, timeout: c.LeaderTimeout, place: placesOf(c.Members.Acceptors), n: len(c.Members.Acceptors), quorum: len(c.Members.Acceptors)/2 + 1,
	}
}

// OnStart forgets what a role knew before.
func (c *leadership) OnStart(a *Actor) {
	switch {
	case a.Role == paxos.RoleProposer:
		c.proposers[a.Node] = claim{}
	case a.Role == paxos.RoleAcceptor && c.place[a.Node] >= 0:
		c.acceptors[c.place[a.Node]] = attention{}
	}
}

// OnEvent hears proposers say that they lead, and that they do no more.
func (c *leadership) OnEvent(a *Actor, e *paxos.Event) {
	switch e.Kind {
	case paxos.EventLeading:
		c.proposers[a.Node].leads = true
	case paxos.EventPreempted, paxos.EventResigned:
		c.proposers[a.Node].leads = false
	}
}

// OnStep hears what acceptors and proposers are told.
func (c *leadership) OnStep(a *Actor, in []paxos.Message, _ *paxos.Outbox) {
	switch k := c.place[a.Node]; {
	case a.Role == paxos.RoleProposer:
		c.proposers[a.Node].told(a, in, c)
	case a.Role == paxos.RoleAcceptor && k >= 0:
		for i := range in {
			m := &in[i]
			if e := &c.acceptors[k]; (m.Kind == paxos.KindHeartbeat || m.Kind == paxos.KindAccept) && e.leader != m.Ballot {
				*e = attention{leader: m.Ballot, last: never}
			}
		}
	}
}

// never is long before any run.
const never = -1 << 62

func (p *claim) told(a *Actor, in []paxos.Message, c *leadership) {
	p.asked = false
	for i := range in {
		m := &in[i]
		switch k := c.place[m.From]; {
		case m.Kind == paxos.KindHandover:
			p.asked = true
		case m.Kind == paxos.KindHeard && k >= 0 && m.Ballot == p.ballot && m.Ballot.Proposer() == a.Node:
			p.answers[k] = max(p.answers[k], int64(m.Sequence))
		}
	}
}

// OnSaid judges.
func (c *leadership) OnSaid(a *Actor, m *paxos.Message) {
	switch k := c.place[a.Node]; {
	case m.Kind == paxos.KindHeard && a.Role == paxos.RoleAcceptor && k >= 0:
		c.acceptors[k].answers(m.Ballot, c.now(), c.timeout)
	case m.Kind == paxos.KindHeartbeat && a.Role == paxos.RoleProposer && m.Ballot.Proposer() == a.Node:
		c.contact(a, m)
	case m.Kind == paxos.KindPrepare && a.Role == paxos.RoleProposer && m.Ballot.Proposer() == a.Node:
		c.undisturbed(a, m)
	}
}

// answers notes that an acceptor answered a leader's heartbeat.
func (e *attention) answers(b paxos.Ballot, now, timeout int64) {
	if b != e.leader {
		return
	}
	if !e.hears(now, timeout) {
		e.since = now
	}
	e.last = now
}

// hears tells whether an acceptor that is asked now says that it hears its leader: it does for half a leader timeout, less what clocks may differ.
func (e *attention) hears(now, timeout int64) bool { return now-e.last <= timeout*9/20 }

func (c *leadership) contact(a *Actor, m *paxos.Message) {
	p, sent := &c.proposers[a.Node], int64(m.Sequence)
	if p.ballot != m.Ballot { // the first: a quorum has just promised
		p.ballot = m.Ballot
		for k := range p.answers {
			p.answers[k] = sent
		}
	}
	newest := p.answers
	list := newest[:c.n]
	slices.Sort(list)
	if silent := sent - list[len(list)-c.quorum]; silent > mostSilent*c.timeout {
		c.suite.Fail("contact", "%v says that it leads by ballot %v, and no quorum has answered what it said in the last %d µs, %d leader timeouts",
			a, m.Ballot, silent/1000, silent/c.timeout)
	}
}

// undisturbed looks, when a proposer begins phase 1, whether it had to know that there is a leader. What it was told counts for half a leader timeout.
// One that leads itself, or believes so, may begin anew: its own work is what it ends.
func (c *leadership) undisturbed(a *Actor, m *paxos.Message) {
	p, now := &c.proposers[a.Node], c.now()
	if m.Ballot <= p.prepared {
		return
	}
	p.prepared = m.Ballot
	if p.leads || p.asked {
		return
	}
	for k := range c.acceptors {
		b, n := c.acceptors[k].leader, 0
		if b == 0 || b.Proposer() == a.Node {
			continue
		}
		for j := range c.acceptors {
			if e := &c.acceptors[j]; e.leader == b && e.hears(now, c.timeout) && now-e.since >= c.timeout*11/10 {
				n++
			}
		}
		if n >= c.quorum {
			c.suite.Fail("undisturbed", "%v begins phase 1 by ballot %v, and %d acceptors have heard the leader by ballot %v all the time", a, m.Ballot, n, b)
			return
		}
	}
}
