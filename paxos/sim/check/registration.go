package check

import "wirepaxos/paxos"

// registration holds learners to asking no more than they must:
//
//	registration  to a node that answered, a learner says Hi to renew only, a few times a lease (PROTOCOL.md, "Registration")
//
// Nothing else breaks where it asks for ever: only a network that carries more the longer it runs.
type registration struct {
	suite *Suite
	now   func() int64
	lease int64
	of    [paxos.MaxNodes][paxos.MaxNodes]asked // by learner and by whom it asks
}

type asked struct {
	learner  paxos.Incarnation // that was answered; 0 none
	answered paxos.Incarnation // of whom it asked
	since    int64             // when counting began
	n        int
}

// mostHi is how often a learner may say Hi in a lease: each eighth of it, at once after it took another learner's state, and as often again
// for clocks that are wrong.
const mostHi = 24

func newRegistration(s *Suite, c Cluster) *registration {
	return &registration{suite: s, now: c.Now, lease: c.Lease}
}

// OnStep hears of answers.
func (c *registration) OnStep(a *Actor, in []paxos.Message, _ *paxos.Outbox) {
	if a.Role != paxos.RoleLearner {
		return
	}
	for i := range in {
		m := &in[i]
		if e := &c.of[a.Node][m.From]; m.Kind == paxos.KindOK && m.Flags&paxos.FlagClient == 0 &&
			(e.learner != a.Incarnation || e.answered != m.FromIncarnation) {
			*e = asked{learner: a.Incarnation, answered: m.FromIncarnation, since: c.now()}
		}
	}
}

// OnSaid counts.
func (c *registration) OnSaid(a *Actor, m *paxos.Message) {
	if a.Role != paxos.RoleLearner || m.Kind != paxos.KindHi || m.Flags != 0 || m.To >= paxos.MaxNodes {
		return
	}
	e := &c.of[a.Node][m.To]
	if e.learner != a.Incarnation {
		return
	}
	if now := c.now(); now-e.since > c.lease {
		e.since, e.n = now, 0
	}
	if e.n++; e.n > mostHi {
		c.suite.Fail("registration", "%v said Hi to node %d %d times in one lease, though that had answered", a, m.To, e.n)
	}
}
