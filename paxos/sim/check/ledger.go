package check

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"wirepaxos/paxos"
)

// ledger writes down, for each instance and ballot, the value that was proposed and who voted for it, and so which value is chosen.
//
//	ballot     a ballot names one value per instance, whoever speaks of it
//	votes      an acceptor votes only for what was proposed
//	agreement  once a quorum voted at one ballot, no other value is chosen, proposed by a higher ballot, or delivered
type ledger struct {
	suite     *Suite
	place     [paxos.MaxNodes]int8 // of acceptors
	quorum    int
	instances []instance
	last      struct { // the message before: an accept goes to many
		ballot   paxos.Ballot
		instance paxos.Instance
		offset   uint32
		data     *byte
	}
}

type instance struct {
	proposals []proposal // by ballot, as they came
	chosen    int        // index of the proposal that a quorum voted for first, plus 1
}

// proposal is what one ballot proposes in one instance. Large values come in fragments.
type proposal struct {
	ballot  paxos.Ballot
	data    []byte
	pieces  []piece // those that came
	missing int
	digest  uint64 // once nothing is missing
	votes   uint8  // a bit for each acceptor's place
}

type piece struct{ offset, length uint32 }

func newLedger(s *Suite, c Cluster) *ledger {
	return &ledger{suite: s, place: placesOf(c.Members.Acceptors), quorum: len(c.Members.Acceptors)/2 + 1}
}

// at is the record of an instance.
func (l *ledger) at(i paxos.Instance) *instance {
	for paxos.Instance(len(l.instances)) <= i {
		l.instances = append(l.instances, instance{})
	}
	return &l.instances[i]
}

// far is an instance that no run reaches: a number that somebody made up.
const far = 1 << 24

// find is what a ballot proposed in an instance, or nil.
func (l *ledger) find(b paxos.Ballot, i paxos.Instance) *proposal {
	if i >= paxos.Instance(len(l.instances)) {
		return nil
	}
	for k := range l.instances[i].proposals {
		if p := &l.instances[i].proposals[k]; p.ballot == b {
			return p
		}
	}
	return nil
}

// OnStep begins a step: the memory that messages of the last one showed may hold something else now.
func (l *ledger) OnStep(*Actor, []paxos.Message, *paxos.Outbox) { l.last.data = nil }

// OnSaid hears proposals and votes.
func (l *ledger) OnSaid(a *Actor, m *paxos.Message) {
	switch m.Kind {
	case paxos.KindAccept:
		l.proposed(a, m, true)
	case paxos.KindStored:
		if a.Role == paxos.RoleAcceptor {
			l.proposed(a, m, false)
			l.vote(a, m.Ballot, m.Instance)
		}
	case paxos.KindAccepted:
		eachRange(m.Data, func(first paxos.Instance, count uint32) {
			if first >= far || count > far {
				l.suite.Fail("votes", "%v says that it accepted %d instances from %d on", a, count, first)
				return
			}
			for i := range paxos.Instance(count) {
				l.vote(a, m.Ballot, first+i)
			}
		})
	}
}

// proposed takes a value that somebody says a ballot proposes: a proposer makes that true, an acceptor repeats it.
func (l *ledger) proposed(a *Actor, m *paxos.Message, own bool) {
	if len(m.Data) > 0 && l.last.data == &m.Data[0] && l.last.ballot == m.Ballot && l.last.instance == m.Instance && l.last.offset == m.Offset {
		return
	}
	if m.Instance >= far {
		l.suite.Fail("ballot", "%v speaks of instance %d", a, m.Instance)
		return
	}
	p := l.find(m.Ballot, m.Instance)
	if p == nil {
		if !own {
			l.suite.Fail("votes", "%v stored a value by ballot %v in instance %d that nobody proposed", a, m.Ballot, m.Instance)
			return
		}
		r := l.at(m.Instance)
		r.proposals = append(r.proposals, proposal{ballot: m.Ballot, data: make([]byte, m.Total), missing: int(m.Total)})
		p = &r.proposals[len(r.proposals)-1]
		if m.Total == 0 {
			p.digest = xxhash.Sum64(nil)
			l.contradicts(r, p, m.Instance)
		}
	}
	if len(p.data) != int(m.Total) || int(m.Offset)+len(m.Data) > len(p.data) {
		l.suite.Fail("ballot", "%v: ballot %v has a value of %d bytes in instance %d, and now one of %d", a, m.Ballot, len(p.data), m.Instance, m.Total)
		return
	}
	if !p.take(m.Offset, m.Data) {
		l.suite.Fail("ballot", "%v: ballot %v names two values in instance %d", a, m.Ballot, m.Instance)
		return
	}
	if p.missing == 0 && p.digest == 0 {
		p.digest = xxhash.Sum64(p.data)
		l.contradicts(l.at(m.Instance), p, m.Instance)
	}
	if len(m.Data) > 0 {
		l.last.ballot, l.last.instance, l.last.offset, l.last.data = m.Ballot, m.Instance, m.Offset, &m.Data[0]
	}
}

// take notes a piece of the value; false where it differs from what came before.
func (p *proposal) take(offset uint32, data []byte) bool {
	place := p.data[offset : int(offset)+len(data)]
	for _, have := range p.pieces {
		if have.offset == offset && have.length == uint32(len(data)) {
			return bytes.Equal(place, data)
		}
	}
	if len(data) == 0 {
		return true
	}
	copy(place, data)
	p.pieces = append(p.pieces, piece{offset, uint32(len(data))})
	p.missing -= len(data)
	return true
}

// contradicts holds a proposal to the value that is chosen already, where its ballot is higher. ("Paxos Made Simple", section 2.2, P2b.)
func (l *ledger) contradicts(r *instance, p *proposal, i paxos.Instance) {
	if r.chosen == 0 {
		return
	}
	c := &r.proposals[r.chosen-1]
	if p.ballot > c.ballot && p.digest != c.digest {
		l.suite.Fail("agreement", "ballot %v proposes another value in instance %d than the one chosen by ballot %v", p.ballot, i, c.ballot)
	}
}

// vote notes that an acceptor accepted.
func (l *ledger) vote(a *Actor, b paxos.Ballot, i paxos.Instance) {
	k := l.place[a.Node]
	if k < 0 {
		l.suite.Fail("votes", "%v is no acceptor and votes", a)
		return
	}
	p := l.find(b, i)
	if p == nil || p.missing != 0 {
		l.suite.Fail("votes", "%v accepted by ballot %v in instance %d what nobody proposed", a, b, i)
		return
	}
	if p.votes&(1<<k) != 0 {
		return
	}
	p.votes |= 1 << k
	if bits.OnesCount8(p.votes) != l.quorum {
		return
	}
	r := &l.instances[i]
	if r.chosen != 0 {
		if c := &r.proposals[r.chosen-1]; c.digest != p.digest {
			l.suite.Fail("agreement", "instance %d: ballot %v chose one value and ballot %v another", i, c.ballot, b)
		}
		return
	}
	for k := range r.proposals {
		if q := &r.proposals[k]; q == p {
			r.chosen = k + 1
		} else if q.ballot > b && q.missing == 0 && q.digest != p.digest {
			l.suite.Fail("agreement", "instance %d: ballot %v chose a value and ballot %v had proposed another", i, b, q.ballot)
		}
	}
}

// chosen is the batch that is chosen in an instance.
func (l *ledger) chosen(i paxos.Instance) (batch []byte, ok bool) {
	if i >= paxos.Instance(len(l.instances)) || l.instances[i].chosen == 0 {
		return nil, false
	}
	r := &l.instances[i]
	return r.proposals[r.chosen-1].data, true
}

// eachRange reads the entries of an Accepted, by PROTOCOL.md: first instance u64, count u32, zero u32.
func eachRange(data []byte, hear func(first paxos.Instance, count uint32)) {
	for ; len(data) >= 16; data = data[16:] {
		hear(paxos.Instance(binary.LittleEndian.Uint64(data)), binary.LittleEndian.Uint32(data[8:]))
	}
}

// reported is an entry of a Promise, by PROTOCOL.md: instance u64, ballot u64, digest u64, length u32, zero u32.
type reported struct {
	instance paxos.Instance
	ballot   paxos.Ballot
	digest   uint64
	length   uint32
}

func reportedAt(data []byte) reported {
	le := binary.LittleEndian
	return reported{
		instance: paxos.Instance(le.Uint64(data)), ballot: paxos.Ballot(le.Uint64(data[8:])), digest: le.Uint64(data[16:]), length: le.Uint32(data[24:]),
	}
}
