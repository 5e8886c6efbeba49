package check

import (
	"github.com/cespare/xxhash/v2"

	"wirepaxos/paxos"
)

// values holds the cluster to what clients submit and are told:
//
//	integrity     nothing is delivered that was not submitted, to the byte
//	acknowledged  a client is told "delivered" only of what a learner has delivered, and it stays delivered
//	refused       no client is told another status, in a run where none has reason to
type values struct {
	suite *Suite
	of    map[valueID]*value
	acked []valueID
}

type value struct {
	digest   uint64
	position uint64
	times    int // delivered, by all learners
}

func newValues(s *Suite) *values { return &values{suite: s, of: map[valueID]*value{}} }

// OnSubmitted hears of a value.
func (c *values) OnSubmitted(s *Submitted) {
	id := valueID{s.Client, s.Sequence}
	if c.of[id] != nil {
		c.suite.Fail("integrity", "client %x submitted value %d twice", uint64(s.Client), s.Sequence)
	}
	c.of[id] = &value{digest: xxhash.Sum64(s.Data)}
}

// OnDelivered hears of a delivery.
func (c *values) OnDelivered(a *Actor, d *paxos.Delivery) {
	v := c.of[valueID{d.Client, d.Sequence}]
	if v == nil {
		c.suite.Fail("integrity", "%v delivered value %d of client %x, which was never submitted", a, d.Sequence, uint64(d.Client))
		return
	}
	if v.digest != xxhash.Sum64(d.Data) {
		c.suite.Fail("integrity", "%v delivered value %d of client %x with other bytes than were submitted", a, d.Sequence, uint64(d.Client))
	}
	v.position, v.times = d.Position, v.times+1
}

// OnOutcome hears what a client is told.
func (c *values) OnOutcome(o *Outcome) {
	id := valueID{o.Client, o.Sequence}
	v := c.of[id]
	switch {
	case v == nil:
		c.suite.Fail("acknowledged", "client %x is told of value %d, which it never submitted", uint64(o.Client), o.Sequence)
	case o.Status != paxos.StatusDelivered:
		c.suite.Fail("refused", "client %x is told of value %d: %v", uint64(o.Client), o.Sequence, o.Status)
	case v.times == 0:
		c.suite.Fail("acknowledged", "client %x is told that value %d is delivered, and no learner did", uint64(o.Client), o.Sequence)
	default:
		c.acked = append(c.acked, id)
	}
}

// OnEnd looks for what was acknowledged in what every learner has delivered.
func (c *values) OnEnd(e *End) {
	for _, id := range c.acked {
		for _, l := range e.Learners {
			if v := c.of[id]; v.position >= l.Values {
				c.suite.Fail("acknowledged", "value %d of client %x was acknowledged and learner %d ended without it", id.sequence, uint64(id.client), l.Node)
			}
		}
	}
}
