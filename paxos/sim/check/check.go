// Package check holds a cluster to what consensus promises. It hears what every role is told and says, step by step, what learners deliver, and
// what clients submit and are told; it shares no code with the roles but the types of the messages.
//
// A Suite passes on what it hears to its checkers. A checker is any type with some of the On... methods below; each gets what it has a method
// for. What is wrong is a Violation; the first one counts, for whatever comes after it may follow from it.
package check

import (
	"fmt"

	"wirepaxos/paxos"
)

// Cluster is what checkers know of the cluster from the start.
type Cluster struct {
	Members       paxos.Members
	Window        int
	Lease         int64        // of learners, in nanoseconds
	LeaderTimeout int64        // in nanoseconds
	Now           func() int64 // the time of the run, in nanoseconds

	// Of the table of client sessions, as in the cluster file. 0: what becomes of sessions is not followed.
	Sessions    int
	SessionIdle paxos.Instance
}

// Actor is one role of one node in one of its starts.
type Actor struct {
	Node        paxos.NodeID
	Role        paxos.Role
	Incarnation paxos.Incarnation
	Start       int // of the node, from 0
}

func (a *Actor) String() string { return fmt.Sprintf("%v %d", a.Role, a.Node) }

// Submitted is a value that a client sends for the first time. Generation is that of its session, which is open by then.
type Submitted struct {
	Client     paxos.ClientID
	Generation uint32
	Sequence   uint64
	Data       []byte
}

// Outcome is what a client is told about a value. Generation 0: its session was not opened before, so that it was never sent.
type Outcome struct {
	Client     paxos.ClientID
	Generation uint32
	Sequence   uint64
	Status     paxos.Status
}

// End is the last state of a run whose faults had stopped long before.
type End struct {
	Learners []LearnerEnd
}

// LearnerEnd is where a learner stands.
type LearnerEnd struct {
	Node      paxos.NodeID
	Watermark paxos.Instance
	Values    uint64
	Hash      uint64
}

// What a checker may hear. Slices and messages are good until the method returns.
type (
	// startHearer hears that a role starts, in a new incarnation of its node.
	startHearer interface{ OnStart(a *Actor) }
	// stepHearer hears of a step as a whole: what the role was told, then what it said.
	stepHearer interface {
		OnStep(a *Actor, in []paxos.Message, out *paxos.Outbox)
	}
	// sayHearer hears every message that a role says, whether or not the network carries it.
	sayHearer interface {
		OnSaid(a *Actor, m *paxos.Message)
	}
	eventHearer interface {
		OnEvent(a *Actor, e *paxos.Event)
	}
	// deliverHearer hears of a value that a learner delivers, before the step in which it does.
	deliverHearer interface {
		OnDelivered(a *Actor, d *paxos.Delivery)
	}
	submitHearer  interface{ OnSubmitted(s *Submitted) }
	outcomeHearer interface{ OnOutcome(o *Outcome) }
	endHearer     interface{ OnEnd(e *End) }
)

// Violation is a promise that was broken.
type Violation struct {
	Rule string `json:"rule"` // the checker's name for it
	Text string `json:"text"`
}

func (v *Violation) String() string { return v.Rule + ": " + v.Text }

// Suite is a set of checkers.
type Suite struct {
	violation *Violation

	start   []startHearer
	step    []stepHearer
	say     []sayHearer
	event   []eventHearer
	deliver []deliverHearer
	submit  []submitHearer
	outcome []outcomeHearer
	end     []endHearer
}

// NewSuite makes a suite of all checkers of this package but Linearizable, which wants to know what values mean.
func NewSuite(c Cluster) *Suite {
	s := &Suite{}
	l := newLedger(s, c)
	s.Add(l)
	s.Add(newAcceptors(s, c, l))
	s.Add(newBallots(s))
	s.Add(newChoice(s, l))
	s.Add(newRegistration(s, c))
	s.Add(newLeadership(s, c))
	s.Add(newTrim(s, c))
	s.Add(newOrder(s, l))
	var t *sessions
	if c.Sessions > 0 {
		t = newSessions(s, c, l)
	}
	s.Add(newValues(s, t))
	if t != nil {
		s.Add(t)
	}
	return s
}

// Add adds a checker: one that implements at least one of the On... methods.
func (s *Suite) Add(checker any) {
	add(&s.start, checker)
	add(&s.step, checker)
	add(&s.say, checker)
	add(&s.event, checker)
	add(&s.deliver, checker)
	add(&s.submit, checker)
	add(&s.outcome, checker)
	add(&s.end, checker)
}

func add[T any](list *[]T, checker any) {
	if c, ok := checker.(T); ok {
		*list = append(*list, c)
	}
}

// Fail reports a violation.
func (s *Suite) Fail(rule, format string, args ...any) {
	if s.violation == nil {
		s.violation = &Violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
	}
}

// Violation is the first one, or nil.
func (s *Suite) Violation() *Violation { return s.violation }

// Started tells that a role starts.
func (s *Suite) Started(a *Actor) {
	for _, c := range s.start {
		c.OnStart(a)
	}
}

// Stepped tells of a step.
func (s *Suite) Stepped(a *Actor, in []paxos.Message, out *paxos.Outbox) {
	for i := range out.Events {
		for _, c := range s.event {
			c.OnEvent(a, &out.Events[i])
		}
	}
	for _, c := range s.step {
		c.OnStep(a, in, out)
	}
	for _, list := range [2][]paxos.Message{out.Now, out.After} {
		for i := range list {
			for _, c := range s.say {
				c.OnSaid(a, &list[i])
			}
		}
	}
}

// Delivered tells of a value that a learner delivers.
func (s *Suite) Delivered(a *Actor, d *paxos.Delivery) {
	for _, c := range s.deliver {
		c.OnDelivered(a, d)
	}
}

// Submitted tells of a value that a client submits.
func (s *Suite) Submitted(v *Submitted) {
	for _, c := range s.submit {
		c.OnSubmitted(v)
	}
}

// Told tells what a client was told.
func (s *Suite) Told(o *Outcome) {
	for _, c := range s.outcome {
		c.OnOutcome(o)
	}
}

// Ended tells of the last state.
func (s *Suite) Ended(e *End) {
	for _, c := range s.end {
		c.OnEnd(e)
	}
}

// places maps node ids to their place in a list.
func placesOf(ids []paxos.NodeID) (p [paxos.MaxNodes]int8) {
	for i := range p {
		p[i] = -1
	}
	for i, id := range ids {
		p[id] = int8(i)
	}
	return p
}
