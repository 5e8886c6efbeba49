package check

import "wirepaxos/paxos"

// ballots holds proposers to their own ballots:
//
//	ballot owner   a proposer speaks only by ballots of its own id
//	ballot reused  no two incarnations of a proposer use one round
type ballots struct {
	suite *Suite
	of    [paxos.MaxNodes][]use
}

// use is a ballot and the incarnation that used it, each node's in the order of first use.
type use struct {
	ballot      paxos.Ballot
	incarnation paxos.Incarnation
}

func newBallots(s *Suite) *ballots { return &ballots{suite: s} }

// OnSaid hears what proposers say by a ballot.
func (c *ballots) OnSaid(a *Actor, m *paxos.Message) {
	if a.Role != paxos.RoleProposer || m.Kind != paxos.KindPrepare && m.Kind != paxos.KindAccept && m.Kind != paxos.KindHeartbeat {
		return
	}
	used := c.of[a.Node]
	if n := len(used); n > 0 && used[n-1] == (use{m.Ballot, a.Incarnation}) {
		return
	}
	if m.Ballot.Proposer() != a.Node {
		c.suite.Fail("ballot owner", "%v says %v by ballot %v, which is not its own", a, m.Kind, m.Ballot)
	}
	for _, u := range used {
		if u.ballot == m.Ballot && u.incarnation != a.Incarnation {
			c.suite.Fail("ballot reused", "%v uses ballot %v, which it used before its restart", a, m.Ballot)
		}
	}
	c.of[a.Node] = append(used, use{m.Ballot, a.Incarnation})
}
