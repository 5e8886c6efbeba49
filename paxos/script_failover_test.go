package paxos

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// What scripts have for failover. Most are about something else: for those, without "group failover", acceptors hear no other leader and
// always the one of the script, no loop is ever away, and none of that is shown.

// stepRole lets a role step and says what it says.
func (s *script) stepRole(r stepper, out *Outbox, in []Message) {
	out.Reset()
	p, ok := r.(*Proposer)
	if !ok || s.group.failover {
		r.Step(s.now, in, out)
		s.tell(out)
		return
	}
	s.alone(p)
	p.Step(s.now, in, out)
	s.tell(out)
	var answers []Message
	for i := range out.Now {
		if m := &out.Now[i]; m.Kind == KindProbe {
			answers = append(answers, Message{Kind: KindProbed, From: m.To, FromIncarnation: 1, Sequence: m.Sequence, Hash: uint64(never)})
		}
	}
	if len(answers) > 0 {
		s.stepRole(p, out, answers)
	}
}

// alone makes a proposer believe that all acceptors heard it and that its loop ran.
func (s *script) alone(p *Proposer) {
	p.stepped = s.now
	for k := range p.heardOf {
		p.heardOf[k] = s.now
	}
	p.progressAt = s.now
}

// aside tells whether a message is only about who leads, and takes what is about that out of the others.
func (s *script) aside(m *Message) bool {
	switch m.Kind {
	case KindProbe:
		return true
	case KindHeartbeat:
		m.Sequence = 0
		return slices.Contains(s.group.members.Acceptors, m.To)
	case KindReply:
		m.Leader = 0
	}
	return false
}

// handover asks a proposer to hand over: "handover proposer 4 to=5".
func (s *script) handover(t *testing.T, d *datadriven.TestData) {
	var to int
	d.ScanArgs(t, "to", &to)
	p := s.roles[d.CmdArgs[0].Key+" "+d.CmdArgs[1].Key].(*Proposer)
	if err := p.Handover(s.now, NodeID(to)); err != nil {
		fmt.Fprintf(&s.said, "refused: %v\n", err)
	}
}

// leadership says what a proposer tells people: "leadership proposer 4 [changes]".
func (s *script) leadership(d *datadriven.TestData) {
	p := s.roles[d.CmdArgs[0].Key+" "+d.CmdArgs[1].Key].(*Proposer)
	list := []Leadership{p.Leadership()}
	if d.HasArg("changes") {
		list = p.LeadershipChanges()
	}
	for _, l := range list {
		who := fmt.Sprintf("node %d leads by ballot %v", l.Leader, l.Ballot)
		if l.Leader == 0 {
			who = "nobody leads"
		}
		fmt.Fprintf(&s.said, "%s since %d ms: %s\n", who, l.Since/1e6, l.Why())
	}
	if n := p.Counters.HandoversIgnored; n > 0 {
		fmt.Fprintf(&s.said, "%d requests to take over were ignored\n", n)
	}
	if trouble := p.Trouble(s.now); trouble != "" {
		fmt.Fprintf(&s.said, "trouble: %s\n", trouble)
	}
}
