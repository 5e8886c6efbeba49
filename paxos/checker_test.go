package paxos

import (
	"bytes"
	"math/bits"
)

// checker holds a bench to what consensus promises. It shares no code with the roles: it looks at messages and deliveries alone.
type checker struct {
	b         *bench
	longest   int // value
	values    map[ballotAt][]byte
	pieces    map[ballotAt]*pieces
	votes     map[ballotAt]uint8
	chosen    map[Instance][]byte
	end       Instance // above the highest chosen
	promised  map[NodeID]Ballot
	positions map[uint64]uint64 // which value every learner delivers there
	where     map[uint64]uint64 // at which position a value is delivered
}

type ballotAt struct {
	ballot   Ballot
	instance Instance
}

func newChecker(b *bench) *checker {
	return &checker{
		b: b, longest: 400, values: map[ballotAt][]byte{}, pieces: map[ballotAt]*pieces{},
		votes: map[ballotAt]uint8{}, chosen: map[Instance][]byte{}, promised: map[NodeID]Ballot{},
		positions: map[uint64]uint64{}, where: map[uint64]uint64{},
	}
}

// sent looks at a message as a role hands it over.
func (c *checker) sent(from NodeID, m *Message) {
	switch m.Kind {
	case KindAccept, KindStored:
		at := ballotAt{m.Ballot, m.Instance}
		if int(m.Total) != len(m.Data) {
			c.piece(from, at, m)
		} else if have, ok := c.values[at]; ok && !bytes.Equal(have, m.Data) {
			c.b.fatalf("node %d: %v of another value for ballot %v, instance %d", from, m.Kind, m.Ballot, m.Instance)
		} else if !ok && m.Kind == KindStored {
			c.b.fatalf("acceptor %d stored what nobody proposed: ballot %v, instance %d", from, m.Ballot, m.Instance)
		} else if !ok {
			c.values[at] = bytes.Clone(m.Data)
		}
		if m.Kind == KindStored {
			c.vote(from, at)
		}
	case KindPromise:
		if m.Ballot < c.promised[from] {
			c.b.fatalf("acceptor %d promised %v below %v", from, m.Ballot, c.promised[from])
		}
		c.promised[from] = m.Ballot
	case KindAccepted:
		for list := m.Data; len(list) > 0; list = list[acceptedEntrySize:] {
			r, _ := acceptedRangeAt(list)
			for i := range Instance(r.Count) {
				c.vote(from, ballotAt{m.Ballot, r.First + i})
			}
		}
	}
}

// pieces is a value of which a proposer has sent some bytes.
type pieces struct {
	value []byte
	sent  []bool
	left  int
}

// piece holds fragments to one value for each ballot and instance, byte by byte.
func (c *checker) piece(from NodeID, at ballotAt, m *Message) {
	p := c.pieces[at]
	if p == nil {
		p = &pieces{value: make([]byte, m.Total), sent: make([]bool, m.Total), left: int(m.Total)}
		c.pieces[at] = p
	}
	if len(p.value) != int(m.Total) || c.values[at] == nil && m.Kind == KindStored {
		c.b.fatalf("node %d: %v of %d bytes for ballot %v, instance %d, where %d were proposed", from, m.Kind, m.Total, at.ballot, at.instance, len(p.value))
	}
	for i, x := range m.Data {
		k := int(m.Offset) + i
		if p.sent[k] && p.value[k] != x {
			c.b.fatalf("node %d: %v of another value for ballot %v, instance %d", from, m.Kind, at.ballot, at.instance)
		} else if !p.sent[k] {
			p.value[k], p.sent[k] = x, true
			p.left--
		}
	}
	if p.left == 0 {
		c.values[at] = p.value
	}
}

// vote notes that an acceptor accepted. Once a quorum did at one ballot, the value is chosen, and nothing else ever is.
func (c *checker) vote(from NodeID, at ballotAt) {
	value, ok := c.values[at]
	if !ok {
		c.b.fatalf("acceptor %d accepted what nobody proposed: ballot %v, instance %d", from, at.ballot, at.instance)
	}
	before := c.votes[at]
	c.votes[at] |= 1 << from
	if bits.OnesCount8(c.votes[at]) <= len(c.b.members.Acceptors)/2 || before == c.votes[at] {
		return
	}
	if have, ok := c.chosen[at.instance]; !ok {
		c.chosen[at.instance] = value
		c.end = max(c.end, at.instance+1)
	} else if !bytes.Equal(have, value) {
		c.b.fatalf("instance %d: two values were chosen, the second by ballot %v", at.instance, at.ballot)
	}
}

// delivered holds every learner, in every incarnation, to one order, to each value once, and to values that were chosen and submitted.
func (c *checker) delivered(id NodeID, d *Delivery) {
	n := numberOf(d.Client, d.Sequence)
	if !bytes.Equal(d.Data, c.b.valueOf(n)) {
		c.b.fatalf("learner %d delivered %q as value %d", id, d.Data, n)
	}
	if batch, ok := c.chosen[d.Instance]; !ok || !bytes.Contains(batch, d.Data) {
		c.b.fatalf("learner %d delivered value %d in instance %d, where it was not chosen", id, n, d.Instance)
	}
	if have, ok := c.positions[d.Position]; ok && have != n {
		c.b.fatalf("learner %d delivered value %d at position %d, another delivered %d", id, n, d.Position, have)
	}
	if have, ok := c.where[n]; ok && have != d.Position {
		c.b.fatalf("learner %d delivered value %d at position %d, it was at %d", id, n, d.Position, have)
	}
	c.positions[d.Position], c.where[n] = n, d.Position
}
