package paxos

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts under testdata: one rule of the protocol a file. A script makes roles, lets time pass, and gives a role what it hears in one
// step; what it then says, tells and delivers is compared. testdata/README.md explains the notation.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scripts (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := newScript()
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
		})
	}
}

type script struct {
	now   Time
	group scriptGroup
	roles map[string]stepper
	outs  map[string]*Outbox
	said  strings.Builder
}

type scriptGroup struct {
	members                Members
	window, mtu, inFlight  int
	valueBytes, queueBytes int
	maxValue               int
	slowAfterMs            int
	dropSlow               bool
	batch                  BatchMode
	failover               bool // the script plays the acceptors' part in finding out who leads
	sessions, idle         int
}

func newScript() *script {
	return &script{
		roles: map[string]stepper{}, outs: map[string]*Outbox{},
		group: scriptGroup{
			members: Members{Acceptors: []NodeID{1, 2, 3}, Proposers: []NodeID{4, 5}, Learners: []NodeID{6, 7}},
			window:  16, mtu: 512, inFlight: 16, valueBytes: 1 << 14, queueBytes: 1 << 12, slowAfterMs: 1000, sessions: 16, idle: 64,
		},
	}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.said.Reset()
	switch d.Cmd {
	case "group":
		s.configure(t, d)
	case "time":
		var ms int64
		if _, err := fmt.Sscanf(d.CmdArgs[0].Key, "%dms", &ms); err != nil {
			d.Fatalf(t, "time: %v", err)
		}
		s.now += ms * 1e6
		return fmt.Sprintf("%d ms\n", s.now/1e6)
	case "start":
		s.start(t, d)
	case "step":
		s.step(t, d)
	case "pass":
		s.pass(t, d)
	case "handover":
		s.handover(t, d)
	case "leadership":
		s.leadership(d)
	case "leave":
		name := d.CmdArgs[0].Key + " " + d.CmdArgs[1].Key
		out := s.outs[name]
		out.Reset()
		s.roles[name].(*Learner).Leave(out)
		s.tell(out)
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	return s.said.String()
}

func (s *script) configure(t *testing.T, d *datadriven.TestData) {
	g := &s.group
	d.MaybeScanArgs(t, "window", &g.window)
	d.MaybeScanArgs(t, "mtu", &g.mtu)
	d.MaybeScanArgs(t, "in-flight", &g.inFlight)
	d.MaybeScanArgs(t, "value-bytes", &g.valueBytes)
	d.MaybeScanArgs(t, "queue-bytes", &g.queueBytes)
	d.MaybeScanArgs(t, "max-value", &g.maxValue)
	d.MaybeScanArgs(t, "slow-after-ms", &g.slowAfterMs)
	g.dropSlow = g.dropSlow || d.HasArg("drop-slow")
	d.MaybeScanArgs(t, "sessions", &g.sessions)
	d.MaybeScanArgs(t, "session-idle", &g.idle)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "failover":
			g.failover = true
		case "proposers":
			g.members.Proposers = nil
			for _, v := range a.Vals {
				g.members.Proposers = append(g.members.Proposers, nodeOf(v))
			}
		case "batch":
			g.batch = map[string]BatchMode{"instance": BatchInstance, "frame": BatchFrame, "off": BatchOff}[a.Vals[0]]
		case "learners":
			g.members.Learners = nil
			for _, v := range a.Vals {
				g.members.Learners = append(g.members.Learners, nodeOf(v))
			}
		}
	}
}

// start makes a role anew: "start acceptor 1 [amnesia]", "start proposer 4 [rounds=(1,9)]", "start learner 6 [empty]".
func (s *script) start(t *testing.T, d *datadriven.TestData) {
	kind, id := d.CmdArgs[0].Key, nodeOf(d.CmdArgs[1].Key)
	name, g := kind+" "+d.CmdArgs[1].Key, s.group
	s.outs[name] = NewOutbox()
	switch kind {
	case "acceptor":
		s.roles[name] = NewAcceptor(AcceptorConfig{
			ID: id, Members: g.members, Window: g.window, ValueBytes: g.valueBytes, MTU: g.mtu, MaxValue: g.maxValue, Aggregate: g.batch != BatchOff,
			Amnesia: d.HasArg("amnesia"),
		})
	case "proposer":
		p := NewProposer(ProposerConfig{
			ID: id, Members: g.members, Window: g.window, ValueBytes: g.valueBytes, QueueBytes: g.queueBytes, InFlight: g.inFlight, MTU: g.mtu,
			MaxValue: g.maxValue, Batch: g.batch, Heartbeat: 1e6, Retry: 10e6, LeaderTimeout: 100e6, Lease: 2000e6, SlowAfter: Time(g.slowAfterMs) * 1e6,
			DropSlow: g.dropSlow, Seed: uint64(id),
		}, s.now)
		first, limit := uint64(1), uint64(100)
		d.MaybeScanArgs(t, "rounds", &first, &limit)
		p.GrantRounds(first, limit)
		s.roles[name] = p
	case "learner":
		l := NewLearner(LearnerConfig{
			ID: id, Members: g.members, Window: g.window, ValueBytes: g.valueBytes, MTU: g.mtu, MaxValue: g.maxValue, Lease: 2000e6, Retry: 10e6, Repair: 2e6,
			Sessions: g.sessions, SessionIdle: Instance(g.idle),
			Deliver: func(d *Delivery) {
				fmt.Fprintf(&s.said, "delivers %d:%d:%s at position %d, instance %d\n", d.Client, d.Sequence, formatBytes(d.Data), d.Position, d.Instance)
			},
		}, s.now)
		if !d.HasArg("empty") {
			openSession(l, 9) // in generation 1, as batches say if they say nothing
		}
		s.roles[name] = l
	default:
		d.Fatalf(t, "no role %s", kind)
	}
}

// step lets a role hear the messages of the input, a line each, in one burst, and say what it has to say.
func (s *script) step(t *testing.T, d *datadriven.TestData) {
	name := d.CmdArgs[0].Key + " " + d.CmdArgs[1].Key
	r, ok := s.roles[name]
	if !ok {
		d.Fatalf(t, "%s was not started", name)
	}
	var in []Message
	for line := range strings.Lines(d.Input) {
		m, err := parseMessage(strings.TrimSpace(line))
		if err != nil {
			d.Fatalf(t, "%q: %v", line, err)
		}
		m.To = nodeOf(d.CmdArgs[1].Key)
		in = append(in, overTheWire(t, m))
	}
	s.stepRole(r, s.outs[name], in)
	if l, ok := r.(*Learner); ok && d.HasArg("watermark") {
		next, values, _ := l.Delivered()
		fmt.Fprintf(&s.said, "delivered below %d: %d values\n", next, values)
	}
	if p, ok := r.(*Proposer); ok && d.HasArg("watermark") {
		fmt.Fprintf(&s.said, "low %d, chosen below %d, next %d\n", p.Low(), p.ChosenBelow(), p.Next())
	}
	if a, ok := r.(*Acceptor); ok && d.HasArg("watermark") {
		fmt.Fprintf(&s.said, "low %d, high %d, promised %v\n", a.Low(), a.High(), a.Promised())
	}
}

// pass lets time pass for one role, which hears nothing: "pass learner 6 60ms [only=gap]". Only lines with that word are shown.
func (s *script) pass(t *testing.T, d *datadriven.TestData) {
	const every = 1e6
	var ms int64
	fmt.Sscanf(d.CmdArgs[2].Key, "%dms", &ms)
	var only string
	d.MaybeScanArgs(t, "only", &only)
	name := d.CmdArgs[0].Key + " " + d.CmdArgs[1].Key
	for end := s.now + ms*1e6; s.now < end; {
		s.now += every
		before := s.said.String()
		s.said.Reset()
		s.stepRole(s.roles[name], s.outs[name], nil)
		said := s.said.String()
		s.said.Reset()
		s.said.WriteString(before)
		for line := range strings.Lines(said) {
			if strings.Contains(line, only) {
				fmt.Fprintf(&s.said, "%d ms: %s", s.now/1e6, line)
			}
		}
	}
}

// overTheWire encodes and decodes a message, so that no script says what a frame could not.
func overTheWire(t *testing.T, m Message) Message {
	t.Helper()
	b := make([]byte, EncodedSize(&m))
	encode(b, &m)
	got := Message{From: m.From, To: m.To, FromIncarnation: m.FromIncarnation}
	if _, drop := Decode(b, &got); drop != DropNone {
		t.Fatalf("%v cannot be decoded: %v", m.Kind, drop)
	}
	return got
}

func (s *script) tell(out *Outbox) {
	for _, e := range out.Events {
		fmt.Fprintf(&s.said, "event: %v\n", e)
	}
	for i := range out.Now {
		if m := out.Now[i]; s.group.failover || !s.aside(&m) {
			fmt.Fprintf(&s.said, "to %d: %s\n", m.To, formatMessage(&m))
		}
	}
	for i := range out.After {
		fmt.Fprintf(&s.said, "to %d, once stored: %s\n", out.After[i].To, formatMessage(&out.After[i]))
	}
}
