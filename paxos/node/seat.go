package node

import (
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// role is a step function of the protocol.
type role interface {
	Step(now paxos.Time, in []paxos.Message, out *paxos.Outbox)
	Deadline() paxos.Time
}

// seat is one role of one node on this loop.
type seat struct {
	node  paxos.NodeID
	place int // of the node among the local ones
	kind  paxos.Role
	nodes paxos.NodeSet // node alone
	roles roleSet       // kind alone
	role  role
	inbox []paxos.Message
	out   *paxos.Outbox
	due   paxos.Time

	state     *cluster.State // of a proposer's node
	reserving bool           // rounds for it, which were asked for and are not here
}

func newSeat(id paxos.NodeID, place int, kind paxos.Role, r role, size *Sizes) *seat {
	return &seat{
		node: id, place: place, kind: kind, nodes: paxos.SetOf(id), roles: setOf(kind), role: r, inbox: make([]paxos.Message, 0, size.Inbox), out: paxos.NewOutboxOf(size.Outbox, size.Arena),
	}
}

// Source gives a client values to submit.
type Source interface {
	// Done is told the outcome of a value; it may submit another.
	Done(now paxos.Time, o *client.Outcome)
	// Fill submits what there is to submit. It is called once a step.
	Fill(now paxos.Time, c *client.Client)
	// Deadline is when Fill is due though nothing arrives.
	Deadline() paxos.Time
}

// clientRole makes a client and its source a role.
type clientRole struct {
	*client.Client
	source Source
}

func (c *clientRole) Step(now paxos.Time, in []paxos.Message, out *paxos.Outbox) {
	c.Client.Step(now, in, out)
	c.source.Fill(now, c.Client)
	c.End()
}

func (c *clientRole) Deadline() paxos.Time { return min(c.Client.Deadline(), c.source.Deadline()) }

// takers tells which roles take a message of a kind, and senders which roles may send it. PROTOCOL.md has both in its message table.
var (
	takers  [256]roleSet
	senders [256]roleSet
)

type roleSet uint8

func setOf(roles ...paxos.Role) (s roleSet) {
	for _, r := range roles {
		s |= 1 << r
	}
	return s
}

func (s roleSet) has(r paxos.Role) bool { return s&(1<<r) != 0 }

func init() {
	const (
		a = paxos.RoleAcceptor
		p = paxos.RoleProposer
		l = paxos.RoleLearner
		c = paxos.RoleClient
	)
	for _, row := range []struct {
		kind     paxos.Kind
		from, to roleSet
	}{
		{paxos.KindSubmit, setOf(c), setOf(p)},
		{paxos.KindBusy, setOf(p), setOf(c)},
		{paxos.KindPrepare, setOf(p), setOf(a)},
		{paxos.KindPromise, setOf(a), setOf(p)},
		{paxos.KindPreempted, setOf(a), setOf(p)},
		{paxos.KindAccept, setOf(p), setOf(a, l)},
		{paxos.KindAccepted, setOf(a), setOf(l, p)},
		{paxos.KindHeartbeat, setOf(p), setOf(a, p, l)},
		{paxos.KindReply, setOf(l), setOf(c)},
		{paxos.KindHi, setOf(l), setOf(a, p)},
		{paxos.KindOK, setOf(a, p), setOf(l)},
		{paxos.KindDelete, setOf(l), setOf(a, p)},
		{paxos.KindRepeat, setOf(l, p), setOf(a)},
		{paxos.KindStored, setOf(a), setOf(l, p)},
		{paxos.KindTrimmed, setOf(a), setOf(l, p)},
		{paxos.KindRefused, setOf(a), setOf(p)},
		{paxos.KindCheckpointAsk, setOf(l), setOf(l)},
		{paxos.KindCheckpointPage, setOf(l), setOf(l)},
		{paxos.KindHeard, setOf(a), setOf(p)},
		{paxos.KindProbe, setOf(p), setOf(a)},
		{paxos.KindProbed, setOf(a), setOf(p)},
		{paxos.KindHandover, setOf(p), setOf(p)},
		{paxos.KindSubmitPart, setOf(c), setOf(p)},
		{paxos.KindSession, setOf(l), setOf(c)},
	} {
		senders[row.kind], takers[row.kind] = row.from, row.to
	}
}

// ends tells which roles may send m and which take it. Registrations of clients go the other way round than those of learners.
func ends(m *paxos.Message) (from, to roleSet) {
	if m.Flags&paxos.FlagClient != 0 {
		switch m.Kind {
		case paxos.KindHi, paxos.KindDelete:
			return setOf(paxos.RoleClient), setOf(paxos.RoleLearner)
		case paxos.KindOK:
			return setOf(paxos.RoleLearner), setOf(paxos.RoleClient)
		}
	}
	return senders[m.Kind], takers[m.Kind]
}
