package node

import (
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/paxos"
)

// ways is PROTOCOL.md's message table once more, written down apart from the code: who sends a kind, and who takes it.
var ways = []struct {
	kind     paxos.Kind
	flags    uint8
	from, to []paxos.Role
}{
	{paxos.KindSubmit, 0, roleList("c"), roleList("p")},
	{paxos.KindBusy, 0, roleList("p"), roleList("c")},
	{paxos.KindPrepare, 0, roleList("p"), roleList("a")},
	{paxos.KindPromise, 0, roleList("a"), roleList("p")},
	{paxos.KindPreempted, 0, roleList("a"), roleList("p")},
	{paxos.KindAccept, 0, roleList("p"), roleList("al")},
	{paxos.KindAccepted, 0, roleList("a"), roleList("pl")},
	{paxos.KindHeartbeat, 0, roleList("p"), roleList("apl")},
	{paxos.KindReply, 0, roleList("l"), roleList("c")},
	{paxos.KindHi, 0, roleList("l"), roleList("ap")},
	{paxos.KindOK, 0, roleList("ap"), roleList("l")},
	{paxos.KindDelete, 0, roleList("l"), roleList("ap")},
	{paxos.KindHi, paxos.FlagClient, roleList("c"), roleList("l")},
	{paxos.KindOK, paxos.FlagClient, roleList("l"), roleList("c")},
	{paxos.KindDelete, paxos.FlagClient, roleList("c"), roleList("l")},
	{paxos.KindRepeat, 0, roleList("lp"), roleList("a")},
	{paxos.KindStored, 0, roleList("a"), roleList("lp")},
	{paxos.KindTrimmed, 0, roleList("a"), roleList("lp")},
	{paxos.KindRefused, 0, roleList("a"), roleList("p")},
	{paxos.KindCheckpointAsk, 0, roleList("l"), roleList("l")},
	{paxos.KindCheckpointPage, 0, roleList("l"), roleList("l")},
	{paxos.KindSession, 0, roleList("l"), roleList("c")},
}

func roleList(letters string) (roles []paxos.Role) {
	for _, letter := range letters {
		roles = append(roles, map[rune]paxos.Role{
			'a': paxos.RoleAcceptor, 'p': paxos.RoleProposer, 'l': paxos.RoleLearner, 'c': paxos.RoleClient,
		}[letter])
	}
	return roles
}

func has(roles []paxos.Role, r paxos.Role) bool {
	for _, have := range roles {
		if have == r {
			return true
		}
	}
	return false
}

// The remote node and its endpoint, and the local node, of each role.
var (
	remote = map[paxos.Role]struct {
		id       paxos.NodeID
		endpoint string
	}{
		paxos.RoleAcceptor: {acceptor1, "a"}, paxos.RoleProposer: {proposer9, "p"}, paxos.RoleLearner: {learner7, "l"}, paxos.RoleClient: {client8, "c"},
	}
	local = map[paxos.Role]paxos.NodeID{
		paxos.RoleAcceptor: acceptor3, paxos.RoleProposer: proposer4, paxos.RoleLearner: learner5, paxos.RoleClient: client6,
	}
)

// A message is handed to the roles that take its kind, if the sender has a role that may send it; any other is dropped and counted.
func TestWhoMaySendWhat(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	for _, way := range ways {
		for sender, from := range remote {
			for taker, to := range local {
				message := paxos.Message{Kind: way.kind, Flags: way.flags, Ballot: paxos.MakeBallot(1, proposer9), Promised: paxos.MakeBallot(2, proposer9), Total: 1}
				before := r.node.Counters
				taken := r.border(from.endpoint, r.frame(from.id, to, message))[taker]
				allowed := has(way.from, sender) && has(way.to, taker)
				dropped := r.node.Counters.Dropped[paxos.DropRole] - before.Dropped[paxos.DropRole]
				if allowed != (taken == 1) || allowed != (dropped == 0) || r.node.Counters.Messages-before.Messages != uint64(taken) {
					t.Errorf("%v (flags %d) from a %v to a %v: taken %d times, dropped %d times, reasons %v", way.kind, way.flags, sender, taker,
						taken, dropped, r.node.Counters.Dropped)
				}
			}
		}
	}
}

// border lets a frame in from an endpoint and tells how many messages each role's inbox got. No role steps.
func (r *rig) border(endpoint string, frame []byte) map[paxos.Role]int {
	r.t.Helper()
	port := r.ports[endpoint]
	port.in = append(port.in, frame)
	for _, l := range r.node.ports {
		if l.port == dataplane.Port(port) {
			r.node.receive(l)
		}
	}
	got := map[paxos.Role]int{}
	for _, s := range r.node.seats {
		got[s.kind] += len(s.inbox)
		s.inbox = s.inbox[:0]
	}
	return got
}

// A node with several roles takes a message once for each of them.
func TestMessageForTwoRolesOfANode(t *testing.T) {
	f := rigFile(t)
	f.Nodes[3].Roles |= f.Nodes[4].Roles // node 4 is proposer and learner
	r := newRig(t, f, "m", nil)
	got := r.border("a", r.frame(acceptor1, proposer4, paxos.Message{Kind: paxos.KindAccepted, Ballot: paxos.MakeBallot(1, proposer4)}))
	if got[paxos.RoleProposer] != 1 || got[paxos.RoleLearner] != 1 || r.node.Counters.Messages != 1 {
		t.Errorf("it was taken by %v", got)
	}
}

// What is wrong with a frame is counted by its reason, and nothing of it is handed on.
func TestFramesDropped(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	sound := func() []byte {
		return r.frame(acceptor1, proposer4, paxos.Message{Kind: paxos.KindTrimmed, Low: 7})
	}
	spoilt := func(at int, value byte) []byte {
		b := sound()
		b[at] = value
		return b
	}
	foreign := func(header paxos.FrameHeader) []byte {
		b := make([]byte, fakeMTU)
		var w paxos.FrameWriter
		w.Start(b, header)
		return b[:w.Finish()]
	}
	header := paxos.FrameHeader{
		Cluster: r.node.cluster, Incarnation: 9, Group: r.node.group, Sender: acceptor1, Destination: proposer4, Epoch: paxos.FirstEpoch,
	}
	with := func(change func(h *paxos.FrameHeader)) []byte {
		h := header
		change(&h)
		return foreign(h)
	}
	for drop, b := range map[paxos.Drop][]byte{
		paxos.DropShort:       sound()[:paxos.FrameHeaderSize-1],
		paxos.DropMagic:       spoilt(0, 'x'),
		paxos.DropVersion:     spoilt(2, 9),
		paxos.DropFrameKind:   spoilt(3, 9),
		paxos.DropCheck:       spoilt(paxos.FrameHeaderSize+9, 0xee),
		paxos.DropCluster:     with(func(h *paxos.FrameHeader) { h.Cluster++ }),
		paxos.DropGroup:       with(func(h *paxos.FrameHeader) { h.Group++ }),
		paxos.DropEpoch:       with(func(h *paxos.FrameHeader) { h.Epoch++ }),
		paxos.DropSender:      with(func(h *paxos.FrameHeader) { h.Sender = 40 }),
		paxos.DropDestination: with(func(h *paxos.FrameHeader) { h.Destination = 40 }),
		paxos.DropRole:        r.frame(acceptor1, client6, paxos.Message{Kind: paxos.KindTrimmed}),
	} {
		before := r.node.Counters
		got := r.border("a", b)
		for role, n := range got {
			if n > 0 {
				t.Errorf("%v: the %v got %d messages", drop, role, n)
			}
		}
		if r.node.Counters.Dropped[drop] != before.Dropped[drop]+1 || r.node.Counters.Messages != before.Messages {
			t.Errorf("%v: counted %v", drop, r.node.Counters.Dropped)
		}
	}
}

// A frame for a node that this host's other process runs is passed on to it, whole; one for nobody is dropped.
func TestFramePassedOn(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	b := r.frame(acceptor1, learner7, paxos.Message{Kind: paxos.KindTrimmed, Low: 7})
	padded := append(append([]byte{}, b...), make([]byte, 10)...)
	r.receive("a", padded)
	found := 0
	for _, sent := range r.ports["l"].sent {
		if string(sent) == string(b) {
			found++
		}
	}
	if found != 1 || r.node.Counters.Forwarded != 1 {
		t.Errorf("passed on %d times, counted %d", found, r.node.Counters.Forwarded)
	}
	r.ports["l"].cells = 1
	r.ports["l"].out = 1 // no frame is left
	for _, l := range r.node.ports {
		l.stash = l.stash[:0]
	}
	r.receive("a", b)
	if r.node.Counters.Forwarded != 1 || r.node.Counters.NoFrame == 0 {
		t.Errorf("counters: %+v", r.node.Counters)
	}
}

// An inbox that is full drops and counts; what is in it is handled.
func TestInboxOverflow(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	s := r.seatOf(learner5, paxos.RoleLearner)
	m := paxos.Message{Kind: paxos.KindTrimmed, From: acceptor1, To: learner5}
	for range cap(s.inbox) + 3 {
		r.node.deliver(&m, paxos.SetOf(learner5), setOf(paxos.RoleLearner))
	}
	if len(s.inbox) != cap(s.inbox) || r.node.Counters.InboxFull != 3 {
		t.Errorf("%d messages are in, %d were dropped", len(s.inbox), r.node.Counters.InboxFull)
	}
	r.cycle()
	if len(s.inbox) != 0 {
		t.Errorf("%d messages are still in after a cycle", len(s.inbox))
	}
}

// A port without frames, or whose ring stays full, costs messages, which are counted; no frame leaks.
func TestNoFramesLeft(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	r.ports["a"].cells, r.ports["a"].out = 1, 1
	r.now += 1e9 // everyone has something to say
	r.cycle()
	if r.node.Counters.NoFrame == 0 || len(r.ports["a"].sent) != 0 {
		t.Errorf("counted %d, sent %d", r.node.Counters.NoFrame, len(r.ports["a"].sent))
	}
	if len(r.ports["b"].sent) == 0 {
		t.Error("the other port sent nothing either")
	}

	r = newRig(t, rigFile(t), "m", nil)
	for _, p := range r.ports {
		p.room = -1 // n < -1 never holds: nothing is taken
	}
	r.now += 1e9
	r.cycle()
	if r.node.Counters.TxDropped == 0 {
		t.Error("frames that no port took were not counted")
	}
	for name, p := range r.ports {
		held := 0
		for _, l := range r.node.ports {
			if l.port == dataplane.Port(p) {
				held = len(l.stash)
			}
		}
		if p.out != held {
			t.Errorf("port %s misses %d frames, the lane has %d", name, p.out, held)
		}
	}
}
