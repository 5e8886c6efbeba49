package check

import "wirepaxos/paxos"

// trim holds proposers to the low watermark: nothing is called trimmed that a learner has not delivered, unless that learner's lease ran out or
// it took its leave. A learner's word is the watermark that it reports in Hi.
type trim struct {
	suite    *Suite
	learners []paxos.NodeID
	told     [paxos.MaxNodes]paxos.Instance // the highest that a learner reported, in any incarnation
	let      [paxos.MaxNodes]bool           // let go by somebody
	low      paxos.Instance                 // the highest that was looked at
}

func newTrim(s *Suite, c Cluster) *trim { return &trim{suite: s, learners: c.Members.Learners} }

// OnEvent hears of leases that ended.
func (c *trim) OnEvent(a *Actor, e *paxos.Event) {
	if e.Kind == paxos.EventLeaseExpired && a.Role == paxos.RoleProposer {
		c.let[e.Node] = true
	}
}

// OnSaid hears of watermarks.
func (c *trim) OnSaid(a *Actor, m *paxos.Message) {
	switch {
	case a.Role == paxos.RoleLearner && m.Kind == paxos.KindHi:
		c.told[a.Node] = max(c.told[a.Node], m.Instance)
	case a.Role == paxos.RoleLearner && m.Kind == paxos.KindDelete:
		c.let[a.Node] = true
	case m.Low <= c.low:
	case a.Role == paxos.RoleProposer && (m.Kind == paxos.KindAccept || m.Kind == paxos.KindHeartbeat):
		c.low = m.Low
		c.trimmed(a, m.Low)
	}
}

func (c *trim) trimmed(a *Actor, low paxos.Instance) {
	most := paxos.Instance(0)
	for _, id := range c.learners {
		most = max(most, c.told[id])
		if c.told[id] < low && !c.let[id] {
			c.suite.Fail("trim", "%v trims below %d, and learner %d, whose lease lives, has delivered up to %d", a, low, id, c.told[id])
		}
	}
	if most < low {
		c.suite.Fail("trim", "%v trims below %d, and no learner has delivered further than %d", a, low, most)
	}
}
