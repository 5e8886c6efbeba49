package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// Nodes of a cluster with several ways on one port. The process under test is "m": 4 and 5.
var manyNodes = []struct {
	id       uint16
	roles    cluster.Roles
	endpoint string
}{
	{1, cluster.Acceptor, "a"}, {2, cluster.Acceptor, "a"}, {3, cluster.Acceptor, "b"},
	{4, cluster.Proposer, "m"}, {5, cluster.Acceptor | cluster.Learner, "m"}, {6, cluster.Learner, "l"},
	{7, cluster.Client, "c"}, {8, cluster.Client, "c"}, {9, cluster.Proposer, "p"},
	{10, cluster.Acceptor, "s"}, {11, cluster.Learner, "s"}, {12, cluster.Learner, "t"},
	{13, cluster.Proposer, "q"}, {14, cluster.Learner, "q"}, {15, cluster.Proposer, "r"}, {16, cluster.Proposer, "r"},
	{17, cluster.Acceptor, "x"}, {18, cluster.Acceptor, "y"}, {60, cluster.Learner, "z"},
}

// manyWays are the ways to the endpoints, from any other: the NIC is port 0, rings to processes of the host of "m", "s" and "t" are others. "x" and "y" are
// behind one MAC; "a", "b", "l", "q" and "z" listen to the group's address.
var manyWays = map[string]Way{
	"a": {Peer: 0, Many: true}, "b": {Peer: 1, Many: true}, "l": {Peer: 2, Many: true}, "c": {Peer: 3}, "p": {Peer: 4}, "q": {Peer: 5, Many: true}, "r": {Peer: 6},
	"x": {Peer: 7}, "y": {Peer: 7}, "z": {Peer: 8, Many: true},
	"m": {Port: 1, Pass: true}, "s": {Port: 1, Pass: true}, "t": {Port: 2, Pass: true},
}

const groupPeer dataplane.Peer = 9

// many is a node of that cluster whose roles a test lets speak.
type many struct {
	t     *testing.T
	node  *Node
	ports []*fakePort
	file  *cluster.File
}

// newMany makes the node of an endpoint.
func newMany(t *testing.T, endpoint string, change func(f *cluster.File, c *Config)) *many {
	t.Helper()
	f := cluster.New()
	f.Transport, f.Window, f.ValueBytes, f.Multicast = cluster.TransportMem, 1<<12, 1<<20, true
	for _, r := range manyNodes {
		n := cluster.NewNode(r.id, r.roles)
		n.Endpoint = r.endpoint
		f.Nodes = append(f.Nodes, n)
	}
	m := &many{t: t, file: f}
	dir, drawn := t.TempDir(), uint64(0)
	c := Config{
		File: f, Ways: map[string]Way{}, Many: map[int]dataplane.Peer{0: groupPeer}, MTU: fakeMTU, Now: 1,
		Draw:   func() uint64 { drawn++; return drawn },
		State:  func(id uint16) (*cluster.State, error) { return cluster.OpenState(dir, f.Cluster, f.Group, id) },
		Rounds: newRoundKeeper(func(_ paxos.NodeID, err error) { t.Error(err) }),
		Sizes:  UsualSizes(), Notice: func(Notice) {}, Warn: t.Logf,
	}
	for _, e := range f.Endpoints() {
		if name := e.Nodes[0].Endpoint; name != endpoint {
			c.Ways[e.Key] = manyWays[name]
			continue
		}
		for _, n := range e.Nodes {
			c.Nodes = append(c.Nodes, n.ID)
		}
	}
	for range 3 {
		m.ports = append(m.ports, &fakePort{})
		c.Ports = append(c.Ports, m.ports[len(m.ports)-1])
	}
	if change != nil {
		change(f, &c)
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.node, err = New(c); err != nil {
		t.Fatal(err)
	}
	return m
}

// seat is the seat of a node's role.
func (m *many) seat(id paxos.NodeID, kind paxos.Role) *seat {
	return (&rig{Process: &Process{node: m.node}, t: m.t}).seatOf(id, kind)
}

// say lets a role say each message to each of the nodes, one after the other.
func (m *many) say(s *seat, to []paxos.NodeID, messages ...paxos.Message) {
	s.out.Reset()
	for _, what := range messages {
		for _, id := range to {
			o := s.out.Send(what.Kind, id)
			*o = what
			o.To = id
		}
	}
	m.node.dispatch(s)
}

func nodes(ids ...paxos.NodeID) []paxos.NodeID { return ids }

func accept(instance paxos.Instance) paxos.Message {
	return paxos.Message{Kind: paxos.KindAccept, Ballot: paxos.MakeBallot(1, 4), Instance: instance}
}

// sent tells and forgets what left by a port: by which peer, for whom, and what, in order of the text.
func (m *many) sent(port int) (frames []string) {
	m.t.Helper()
	p := m.ports[port]
	for i, b := range p.sent {
		h, rest, drop := paxos.ParseFrame(b, m.node.cluster, m.node.group)
		text := fmt.Sprintf("peer %d for %s:", p.peers[i], idsOf(h.Nodes()))
		for len(rest) > 0 && drop == paxos.DropNone {
			var got paxos.Message
			if rest, drop = paxos.Decode(rest, &got); drop == paxos.DropNone {
				text += fmt.Sprintf(" %v %d", got.Kind, got.Instance)
			}
		}
		if drop != paxos.DropNone {
			m.t.Fatalf("a frame that this process sent is dropped: %v", drop)
		}
		frames = append(frames, text)
	}
	p.sent, p.peers = nil, nil
	slices.Sort(frames)
	return frames
}

func idsOf(set paxos.NodeSet) string {
	var words []string
	for ; set != 0; set &= set - 1 {
		words = append(words, fmt.Sprint(set.Least()))
	}
	return strings.Join(words, "+")
}

// expect holds what left by a port against frames.
func (m *many) expect(what string, port int, want ...string) {
	m.t.Helper()
	if got := m.sent(port); !slices.Equal(got, want) {
		m.t.Errorf("%s: by port %d left\n\t%q\nwant\n\t%q", what, port, got, want)
	}
}

// inboxes tells and empties what came in for local roles.
func (m *many) inboxes() (got []string) {
	for _, s := range m.node.seats {
		for i := range s.inbox {
			got = append(got, fmt.Sprintf("%v %d to %d: %v %d", s.kind, s.node, s.inbox[i].To, s.inbox[i].Kind, s.inbox[i].Instance))
		}
		s.inbox = s.inbox[:0]
	}
	return got
}

// noLeaks checks that every frame of a port is either the port's or in stock.
func (m *many) noLeaks() {
	m.t.Helper()
	for i, l := range m.node.ports {
		if m.ports[i].out != len(l.stash) {
			m.t.Errorf("port %d misses %d frames, %d are in stock", i, m.ports[i].out, len(l.stash))
		}
	}
}

// Who is told what, by frames: one for each way on which some of them are.
func TestOneFrameForSeveral(t *testing.T) {
	m := newMany(t, "m", nil)
	proposer := m.seat(4, paxos.RoleProposer)
	for _, c := range []struct {
		what     string
		to       []paxos.NodeID
		messages int
		want     [3][]string
		here     []string
	}{
		{what: "two of one process", to: nodes(1, 2), want: [3][]string{{"peer 0 for 1+2: accept 0"}}},
		{what: "two processes that listen", to: nodes(1, 3), want: [3][]string{{"peer 9 for 1+3: accept 0"}}},
		{what: "all that listen", to: nodes(1, 2, 3, 6), want: [3][]string{{"peer 9 for 1+2+3+6: accept 0"}}},
		{what: "in another order", to: nodes(6, 2, 3, 1), want: [3][]string{{"peer 9 for 1+2+3+6: accept 0"}}},
		{what: "several messages", to: nodes(1, 2, 3), messages: 2, want: [3][]string{{"peer 9 for 1+2+3: accept 0 accept 1"}}},
		{what: "one that does not listen", to: nodes(1, 3, 9), want: [3][]string{{"peer 4 for 9: accept 0", "peer 9 for 1+3: accept 0"}}},
		{what: "two clients of one process", to: nodes(7, 8), want: [3][]string{{"peer 3 for 7+8: accept 0"}}},
		{what: "a client and a proposer", to: nodes(7, 9), want: [3][]string{{"peer 3 for 7: accept 0", "peer 4 for 9: accept 0"}}},
		{what: "two processes behind one MAC", to: nodes(17, 18), want: [3][]string{{"peer 7 for 17: accept 0", "peer 7 for 18: accept 0"}}},
		{what: "and those that listen", to: nodes(1, 2, 17, 18),
			want: [3][]string{{"peer 0 for 1+2: accept 0", "peer 7 for 17: accept 0", "peer 7 for 18: accept 0"}}},
		{what: "far apart", to: nodes(1, 3, 60), want: [3][]string{{"peer 8 for 60: accept 0", "peer 9 for 1+3: accept 0"}}},
		{what: "too far apart to share", to: nodes(3, 60), want: [3][]string{{"peer 1 for 3: accept 0", "peer 8 for 60: accept 0"}}},
		{what: "a process of this host", to: nodes(10, 11, 1, 3), want: [3][]string{{"peer 9 for 1+3: accept 0"}, {"peer 0 for 10+11: accept 0"}}},
		{what: "two processes of this host", to: nodes(10, 11, 12), want: [3][]string{nil, {"peer 0 for 10+11: accept 0"}, {"peer 0 for 12: accept 0"}}},
		{what: "one here", to: nodes(1, 5, 3), want: [3][]string{{"peer 9 for 1+3: accept 0"}}, here: []string{"acceptor 5 to 5: accept 0", "learner 5 to 5: accept 0"}},
		{what: "all here", to: nodes(5, 4), here: []string{"acceptor 5 to 5: accept 0", "learner 5 to 5: accept 0"}},
		{what: "one twice", to: nodes(3, 3), want: [3][]string{{"peer 1 for 3: accept 0"}}},
		{what: "one", to: nodes(3), want: [3][]string{{"peer 1 for 3: accept 0"}}},
	} {
		var all []paxos.Message
		for i := range max(1, c.messages) {
			all = append(all, accept(paxos.Instance(i)))
		}
		m.say(proposer, c.to, all...)
		here := m.inboxes()
		m.node.transmit()
		for port, want := range c.want {
			m.expect(c.what, port, want...)
		}
		if !slices.Equal(here, c.here) {
			t.Errorf("%s: here came in %q, want %q", c.what, here, c.here)
		}
	}
	m.noLeaks()
	if c := &m.node.Counters; c.NoFrame+c.NoRoute+c.TooLong+c.TxDropped+c.InboxFull != 0 {
		t.Errorf("something was dropped: %+v", c)
	}
}

// Messages that differ share a frame only as those of one destination do; who is nobody is counted, and the others get theirs.
func TestNotTheSame(t *testing.T) {
	m := newMany(t, "m", nil)
	s := m.seat(4, paxos.RoleProposer)
	s.out.Reset()
	for i, id := range nodes(1, 2, 3) {
		*s.out.Send(paxos.KindAccept, id) = accept(paxos.Instance(i))
		s.out.Now[i].To = id
	}
	m.node.dispatch(s)
	m.node.transmit()
	m.expect("another instance each", 0, "peer 0 for 1: accept 0", "peer 0 for 2: accept 1", "peer 1 for 3: accept 2")
	m.say(s, nodes(1, 2, 40, paxos.MaxNodes, 3), accept(7))
	m.node.transmit()
	m.expect("nobody among them", 0, "peer 9 for 1+2+3: accept 7")
	if m.node.Counters.NoRoute == 0 {
		t.Error("a message to nobody was not counted")
	}
}

// Without multicast each node gets frames of its own, and with one message a frame one message is one frame to all.
func TestOtherModes(t *testing.T) {
	m := newMany(t, "m", func(f *cluster.File, _ *Config) { f.Multicast = false })
	m.say(m.seat(4, paxos.RoleProposer), nodes(1, 2, 3, 6), accept(0), accept(1))
	m.node.transmit()
	m.expect("without multicast", 0, "peer 0 for 1: accept 0 accept 1", "peer 0 for 2: accept 0 accept 1", "peer 1 for 3: accept 0 accept 1",
		"peer 2 for 6: accept 0 accept 1")

	m = newMany(t, "m", func(f *cluster.File, _ *Config) { f.Batch = cluster.BatchOff })
	m.say(m.seat(4, paxos.RoleProposer), nodes(1, 2, 3, 9), accept(0), accept(1))
	m.node.transmit()
	m.expect("one message a frame", 0, "peer 4 for 9: accept 0", "peer 4 for 9: accept 1", "peer 9 for 1+2+3: accept 0", "peer 9 for 1+2+3: accept 1")
	m.noLeaks()

	m = newMany(t, "m", func(_ *cluster.File, c *Config) { c.Many = nil })
	m.say(m.seat(4, paxos.RoleProposer), nodes(1, 2, 3), accept(0))
	m.node.transmit()
	m.expect("on a link without a group address", 0, "peer 0 for 1+2: accept 0", "peer 1 for 3: accept 0")
}

// Votes for a learner and a proposer of one process leave at once, in one frame; those for proposers alone wait, in a shared frame too.
func TestSharedVotesWait(t *testing.T) {
	m := newMany(t, "m", func(_ *cluster.File, c *Config) { c.Patience = spinPatience })
	acceptor := m.seat(5, paxos.RoleAcceptor)
	votes := make([]byte, 16)
	votes[8] = 1 // one instance
	vote := func(to ...paxos.NodeID) {
		m.node.now += 1000
		m.say(acceptor, to, paxos.Message{Kind: paxos.KindAccepted, Ballot: paxos.MakeBallot(1, 9), Data: votes})
		m.node.transmit()
	}
	vote(13, 14)
	m.expect("a proposer and a learner of one process", 0, "peer 5 for 13+14: accepted 0")
	vote(6, 14, 9)
	m.expect("two learners, and a proposer elsewhere", 0, "peer 9 for 6+14: accepted 0")
	vote(15, 16)
	m.expect("two proposers of one process", 0)
	if due := m.node.Deadline(); due > m.node.now+spinPatience {
		t.Errorf("votes are due %d ns from now, want at most %d", due-m.node.now, spinPatience)
	}
	vote(15, 16)
	m.node.now += spinPatience
	m.node.transmit()
	m.expect("after their time", 0, "peer 4 for 9: accepted 0", "peer 6 for 15+16: accepted 0 accepted 0")
	m.node.transmit()
	m.expect("with nothing to say", 0)
	m.noLeaks()
}

// heard is how often each node was told each thing by what left, by any port.
func (m *many) heard() map[string]int {
	m.t.Helper()
	got := map[string]int{}
	for _, p := range m.ports {
		for _, b := range p.sent {
			h, rest, drop := paxos.ParseFrame(b, m.node.cluster, m.node.group)
			for len(rest) > 0 && drop == paxos.DropNone {
				var x paxos.Message
				rest, drop = paxos.Decode(rest, &x)
				for set := h.Nodes(); set != 0; set &= set - 1 {
					switch x.Kind {
					case paxos.KindStored:
						got[fmt.Sprint(set.Least(), " stored ", x.Instance)]++
					case paxos.KindAccepted:
						got[fmt.Sprint(set.Least(), " accepted ", x.Ballot.Round())]++
					}
				}
			}
			if drop != paxos.DropNone {
				m.t.Fatal(drop)
			}
		}
	}
	return got
}

// More sets of nodes than are remembered come by turns, votes that wait among them: everything leaves, once, and no frame is lost or sent twice.
func TestManySets(t *testing.T) {
	m := newMany(t, "m", func(_ *cluster.File, c *Config) { c.Patience = spinPatience })
	s := m.seat(5, paxos.RoleAcceptor)
	votes := make([]byte, 16)
	votes[8] = 1
	sets := [][]paxos.NodeID{
		nodes(1, 2), nodes(1, 3), nodes(2, 3), nodes(1, 2, 3), nodes(1, 6), nodes(15, 16), nodes(13, 14), nodes(7, 8), nodes(1, 2, 6, 14), nodes(9, 15, 16), nodes(10, 11),
	}
	if len(sets) < 2*fansKept {
		t.Fatalf("%d sets are too few for %d that are remembered", len(sets), fansKept)
	}
	want := map[string]int{}
	for round := range 400 {
		set := sets[(round*7+round/5)%len(sets)]
		said := []paxos.Message{{Kind: paxos.KindAccepted, Ballot: paxos.MakeBallot(uint64(round+1), 9), Data: votes}} // which wait where they may
		if round%4 == 0 {
			said = append(said, paxos.Message{Kind: paxos.KindStored, Ballot: paxos.MakeBallot(1, 9), Instance: paxos.Instance(round)})
		}
		m.say(s, set, said...)
		for _, id := range set {
			want[fmt.Sprint(id, " accepted ", round+1)]++
			if round%4 == 0 {
				want[fmt.Sprint(id, " stored ", round)]++
			}
		}
		noted := map[*builder]bool{}
		for _, b := range m.node.open {
			if noted[b] {
				t.Fatalf("round %d: the frame to %s is noted twice", round, idsOf(b.nodes))
			}
			noted[b] = true
		}
		if round%(1+round/50) == 0 {
			m.node.now += 20_000
			m.node.transmit()
		}
	}
	m.node.Leave()
	got := m.heard()
	for what, n := range want {
		if got[what] != n {
			t.Errorf("%s: %d times, want %d", what, got[what], n)
		}
	}
	for what, n := range got {
		if want[what] == 0 {
			t.Errorf("%s: %d times, and nobody said it", what, n)
		}
	}
	if cap(m.node.open) != len(m.node.local)*paxos.MaxNodes*(1+fansKept) {
		t.Errorf("the list of open frames grew to %d", cap(m.node.open))
	}
	m.noLeaks()
}

// frame is a frame of node 9 for several.
func (m *many) frame(set paxos.NodeSet, messages ...paxos.Message) []byte {
	h := paxos.FrameHeader{Cluster: m.node.cluster, Incarnation: 9, Group: m.node.group, Sender: 9, Epoch: paxos.FirstEpoch}
	h.SetNodes(set)
	b := make([]byte, 2*fakeMTU)
	var w paxos.FrameWriter
	w.Start(b, h)
	for i := range messages {
		w.Append(&messages[i])
	}
	return b[:w.Finish()]
}

// receive lets a frame in by the NIC; no role steps. What is passed on leaves.
func (m *many) receive(frame []byte) {
	m.node.frame(&dataplane.Frame{Data: frame})
	for _, l := range m.node.ports {
		m.node.push(l)
	}
}

func setOfNodes(ids ...paxos.NodeID) (s paxos.NodeSet) {
	for _, id := range ids {
		s |= paxos.SetOf(id)
	}
	return s
}

// A frame for several nodes is taken by those that are here and passed on to those of this host, each process once and for its own nodes alone; nobody
// else's business is ignored and counted as such, not as a drop.
func TestReceivedForSeveral(t *testing.T) {
	here := []string{"acceptor 5 to 5: accept 3", "learner 5 to 5: accept 3"}
	for _, c := range []struct {
		what       string
		to         paxos.NodeSet
		here       []string
		near, next []string
		ignored    uint64
		dropped    uint64
	}{
		{what: "here and elsewhere", to: setOfNodes(1, 3, 5), here: here},
		{what: "one here of two", to: setOfNodes(4, 5), here: here},
		{what: "elsewhere", to: setOfNodes(1, 2, 3), ignored: 1},
		{what: "unknown nodes", to: setOfNodes(40, 41), ignored: 1},
		{what: "one elsewhere", to: setOfNodes(1), dropped: 1},
		{what: "one unknown", to: setOfNodes(40), dropped: 1},
		{what: "a process of this host", to: setOfNodes(10), near: []string{"peer 0 for 10: accept 3"}},
		{what: "several of one", to: setOfNodes(10, 11), near: []string{"peer 0 for 10+11: accept 3"}},
		{what: "two processes of this host", to: setOfNodes(10, 11, 12), near: []string{"peer 0 for 10+11: accept 3"}, next: []string{"peer 0 for 12: accept 3"}},
		{what: "all kinds", to: setOfNodes(1, 3, 5, 9, 10, 12), here: here, near: []string{"peer 0 for 10: accept 3"}, next: []string{"peer 0 for 12: accept 3"}},
		{what: "elsewhere and of this host", to: setOfNodes(1, 11), near: []string{"peer 0 for 11: accept 3"}},
	} {
		m := newMany(t, "m", nil)
		m.receive(append(m.frame(c.to, accept(3)), 0, 0, 0)) // with padding
		if got := m.inboxes(); !slices.Equal(got, c.here) {
			t.Errorf("%s: here came in %q, want %q", c.what, got, c.here)
		}
		n := m.node.Counters
		m.expect(c.what, 0)
		m.expect(c.what, 1, c.near...)
		m.expect(c.what, 2, c.next...)
		drops := uint64(0)
		for _, k := range n.Dropped {
			drops += k
		}
		if n.Ignored != c.ignored || n.Dropped[paxos.DropDestination] != c.dropped || drops != c.dropped || n.Forwarded != uint64(len(c.near)+len(c.next)) {
			t.Errorf("%s: ignored %d, dropped %v, passed on %d", c.what, n.Ignored, n.Dropped, n.Forwarded)
		}
		m.noLeaks()
	}
}

// What was passed on is for those who get it alone: they take it and pass nothing on, so no frame goes round.
func TestPassedOnOnce(t *testing.T) {
	m := newMany(t, "m", nil)
	m.receive(m.frame(setOfNodes(1, 5, 10, 11, 12), accept(3)))
	passed := m.ports[1].sent[0]
	s := newMany(t, "s", func(f *cluster.File, _ *Config) { f.Cluster = m.file.Cluster })
	s.receive(passed)
	if got := s.inboxes(); !slices.Equal(got, []string{"acceptor 10 to 10: accept 3", "learner 11 to 11: accept 3"}) {
		t.Errorf("there came in %q", got)
	}
	for port := range s.ports {
		s.expect("passed on twice", port)
	}
	if c := &s.node.Counters; c.Forwarded != 0 || c.Ignored != 0 || c.Dropped != [paxos.NumDrops]uint64{} || c.Messages != 1 {
		t.Errorf("counters: %+v", c)
	}
}

// A frame that is longer than the ring to its process takes is counted, and costs the ring no cell: shorter ones are passed on after any number of them.
func TestTooLongToPassOn(t *testing.T) {
	m := newMany(t, "m", nil)
	m.ports[1].cells = burst
	long := m.frame(setOfNodes(10), paxos.Message{Kind: paxos.KindAccept, Ballot: paxos.MakeBallot(1, 9), Total: fakeMTU, Data: make([]byte, fakeMTU)})
	for range 3 * burst {
		m.receive(long)
	}
	m.receive(m.frame(setOfNodes(10), accept(3)))
	m.expect("after many that are too long", 1, "peer 0 for 10: accept 3")
	if c := &m.node.Counters; c.TooLong != 3*burst || c.Forwarded != 1 || c.NoFrame != 0 {
		t.Errorf("counters: %+v", c)
	}
	m.noLeaks()
}

// Status shows what was ignored beside what was dropped.
func TestStatusShowsIgnored(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	r.node.Counters.Ignored = 3
	s, err := r.statusHere()
	if err != nil || s.Border.Ignored != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	if text, err := json.Marshal(s); err != nil || !strings.Contains(string(text), `"Ignored":3`) {
		t.Errorf("%s, %v", text, err)
	}
}
