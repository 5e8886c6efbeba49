package check

import (
	"github.com/cespare/xxhash/v2"

	"wirepaxos/paxos"
)

// values holds the cluster to what clients submit and are told:
//
//	integrity     nothing is delivered that was not submitted, to the byte
//	acknowledged  a client is told "delivered" only of what a learner has delivered, and it stays delivered
//	refused       a client is told another status only for a reason that its session's history has
//
// A value is named by client, generation and sequence: what one run of a client sends is never another's.
type values struct {
	suite    *Suite
	sessions *sessions // nil: nothing happens to sessions here
	of       map[valueID]*value
	acked    []valueID
}

type value struct {
	digest   uint64
	position uint64
	times    int // delivered, by all learners
}

func newValues(s *Suite, t *sessions) *values {
	return &values{suite: s, sessions: t, of: map[valueID]*value{}}
}

// OnSubmitted hears of a value.
func (c *values) OnSubmitted(s *Submitted) {
	id := valueID{s.Client, s.Generation, s.Sequence}
	if c.of[id] != nil {
		c.suite.Fail("integrity", "%v is submitted twice", id)
	}
	c.of[id] = &value{digest: xxhash.Sum64(s.Data)}
}

// OnDelivered hears of a delivery.
func (c *values) OnDelivered(a *Actor, d *paxos.Delivery) {
	id := valueID{d.Client, d.Generation, d.Sequence}
	v := c.of[id]
	if v == nil {
		c.suite.Fail("integrity", "%v delivered %v, which was never submitted", a, id)
		return
	}
	if v.digest != xxhash.Sum64(d.Data) {
		c.suite.Fail("integrity", "%v delivered %v with other bytes than were submitted", a, id)
	}
	v.position, v.times = d.Position, v.times+1
}

// OnOutcome hears what a client is told.
func (c *values) OnOutcome(o *Outcome) {
	id := valueID{o.Client, o.Generation, o.Sequence}
	v := c.of[id]
	switch {
	case o.Status != paxos.StatusDelivered:
		if c.sessions == nil || !c.sessions.mayEnd(o) {
			c.suite.Fail("refused", "a client is told of %v: %v", id, o.Status)
		}
	case v == nil:
		c.suite.Fail("acknowledged", "a client is told that %v is delivered, which it never sent", id)
	case v.times == 0:
		c.suite.Fail("acknowledged", "a client is told that %v is delivered, and no learner did", id)
	default:
		c.acked = append(c.acked, id)
	}
}

// OnEnd looks for what was acknowledged in what every learner has delivered.
func (c *values) OnEnd(e *End) {
	for _, id := range c.acked {
		for _, l := range e.Learners {
			if v := c.of[id]; v.position >= l.Values {
				c.suite.Fail("acknowledged", "%v was acknowledged and learner %d ended without it", id, l.Node)
			}
		}
	}
}
