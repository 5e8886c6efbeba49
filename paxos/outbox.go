package paxos

import "fmt"

// Outbox is what a role wants done after a step: messages to send, and events to tell people of.
//
// Now may leave at once. After must not leave before everything that the step changed is persistent: whatever promises or votes. With storage
// "memory" there is nothing to wait for and the caller sends both. The memory of every Data stays as it is until the same role steps again.
//
// Both lists are bounded. What does not fit is dropped and counted, as the network might have done; the protocol's retries heal it.
type Outbox struct {
	Now    []Message
	After  []Message
	Events []Event

	Dropped       uint64 // messages that did not fit
	EventsDropped uint64 // events likewise

	arena []byte
	used  int
	sink  Message // takes what does not fit
}

// OutboxSize bounds the messages of one step, and ArenaSize the bytes of the lists in them, where nobody asks for less.
const (
	OutboxSize = 1 << 13
	ArenaSize  = 1 << 20
	eventsSize = 64
)

// NewOutbox allocates an outbox of the usual sizes.
func NewOutbox() *Outbox { return NewOutboxOf(OutboxSize, ArenaSize) }

// NewOutboxOf allocates an outbox for that many messages in each list, and that many bytes of lists in them.
func NewOutboxOf(messages, arena int) *Outbox {
	return &Outbox{
		Now:    make([]Message, 0, messages),
		After:  make([]Message, 0, messages),
		Events: make([]Event, 0, eventsSize),
		arena:  make([]byte, arena),
	}
}

// Reset empties the outbox: the caller does so before each step of the role that owns it.
func (o *Outbox) Reset() {
	o.Now, o.After, o.Events, o.used = o.Now[:0], o.After[:0], o.Events[:0], 0
}

// send appends a message that may leave at once and returns it to be filled, zeroed; on a full list, one that goes nowhere.
func (o *Outbox) send(kind Kind, to NodeID) *Message {
	return o.push(&o.Now, kind, to)
}

// Send is send for roles of other packages: clients.
func (o *Outbox) Send(kind Kind, to NodeID) *Message { return o.send(kind, to) }

// Bytes is bytes for roles of other packages.
func (o *Outbox) Bytes(n int) []byte { return o.bytes(n) }

// sendAfter appends a message that must wait until the step's changes are persistent.
func (o *Outbox) sendAfter(kind Kind, to NodeID) *Message {
	return o.push(&o.After, kind, to)
}

func (o *Outbox) push(list *[]Message, kind Kind, to NodeID) *Message {
	n := len(*list)
	if n == cap(*list) {
		o.Dropped++
		o.sink = Message{}
		return &o.sink
	}
	*list = (*list)[:n+1]
	m := &(*list)[n]
	*m = Message{} // and field by field: a literal would be made elsewhere and copied
	m.Kind, m.To = kind, to
	return m
}

// bytes gives n bytes for a list that lives until the next Reset, or nil where the arena is used up.
func (o *Outbox) bytes(n int) []byte {
	if n > len(o.arena)-o.used {
		o.Dropped++
		return nil
	}
	b := o.arena[o.used : o.used+n : o.used+n]
	o.used += n
	return b
}

// EventKind is what an Event tells.
type EventKind uint8

// The events. They are rare; the node prints them.
const (
	EventLeading         EventKind = 1 + iota // this proposer leads by Ballot from Instance on
	EventPreempted                            // this proposer stepped down: Other is the higher ballot
	EventFollowing                            // another proposer leads, by Ballot
	EventStopped                              // more than a minority of acceptors do not vote any more: Count of them
	EventAmnesia                              // acceptor Node does not vote: restarted without its promises
	EventStoreFull                            // acceptor Node has no room for values
	EventConflict                             // another value at an equal Ballot for Instance: somebody broke the protocol
	EventLeaseExpired                         // learner Node did not renew its lease; it holds the low watermark back no longer
	EventRegistered                           // learner or client Node registered
	EventBehind                               // this learner is behind the low watermark Instance and takes state from another learner
	EventNoState                              // no learner that answers has state from Instance on: delivery has stopped
	EventRestored                             // this learner took state up to Instance from Node
	EventRoundsUsedUp                         // this proposer waits for more rounds
	EventUnreadableBatch                      // the chosen batch of Instance cannot be read
	EventHeldBack                             // learner Node is Count instances behind and holds the cluster back
	EventLetGo                                // it no longer does: it counts again once it has caught up
	EventTakenBack                            // it has, and has delivered up to Instance
	EventResigned                             // this proposer stopped leading by Ballot: Leadership says why
	EventHandoverFailed                       // this proposer leads on: Node did not take over
)

// Event is something that people should be told of.
type Event struct {
	Kind     EventKind
	Node     NodeID
	Ballot   Ballot
	Other    Ballot
	Instance Instance
	Count    int

	Leadership Leadership
}

func (o *Outbox) event(e Event) {
	if len(o.Events) == cap(o.Events) {
		o.EventsDropped++
		return
	}
	o.Events = append(o.Events, e)
}

func (e Event) String() string {
	switch e.Kind {
	case EventLeading:
		return fmt.Sprintf("leads by ballot %v from instance %d on", e.Ballot, e.Instance)
	case EventPreempted:
		return fmt.Sprintf("no longer leads by ballot %v: ballot %v of node %d is higher", e.Ballot, e.Other, e.Other.Proposer())
	case EventFollowing:
		return fmt.Sprintf("follows node %d, which leads by ballot %v", e.Ballot.Proposer(), e.Ballot)
	case EventStopped:
		return fmt.Sprintf("the cluster has stopped: %d acceptors restarted without their promises and do not vote, so no quorum is left; "+
			"begin anew with `wirepaxos cluster new` and empty state directories", e.Count)
	case EventAmnesia:
		return fmt.Sprintf("acceptor %d does not vote: it restarted and storage \"memory\" lost its promises", e.Node)
	case EventStoreFull:
		return fmt.Sprintf("acceptor %d has no room for instance %d: learners hold the low watermark back, or value_bytes is too small", e.Node, e.Instance)
	case EventConflict:
		return fmt.Sprintf("acceptor %d refused instance %d: another value came with the same ballot %v; two nodes run under one id",
			e.Node, e.Instance, e.Ballot)
	case EventLeaseExpired:
		return fmt.Sprintf("learner %d did not renew its lease and no longer holds back trimming", e.Node)
	case EventRegistered:
		return fmt.Sprintf("node %d registered", e.Node)
	case EventBehind:
		return fmt.Sprintf("is behind the low watermark %d: takes state from another learner", e.Instance)
	case EventNoState:
		return fmt.Sprintf("delivery has stopped: no learner that answers has state for instance %d; start one that has, or begin anew with "+
			"`wirepaxos cluster new`", e.Instance)
	case EventRestored:
		return fmt.Sprintf("took state up to instance %d from learner %d", e.Instance, e.Node)
	case EventRoundsUsedUp:
		return "waits for rounds to be reserved in the state directory"
	case EventHeldBack:
		return fmt.Sprintf("learner %d holds the cluster back: %d instances behind", e.Node, e.Count)
	case EventLetGo:
		return fmt.Sprintf("learner %d no longer holds the cluster back: it was let go, %d instances behind, and has to take state from another", e.Node, e.Count)
	case EventTakenBack:
		return fmt.Sprintf("learner %d has caught up to instance %d and counts again", e.Node, e.Instance)
	case EventUnreadableBatch:
		return fmt.Sprintf("the batch chosen in instance %d cannot be read; its values are skipped on every learner alike", e.Instance)
	case EventResigned:
		return fmt.Sprintf("no longer leads by ballot %v: %s", e.Ballot, e.Leadership.Why())
	case EventHandoverFailed:
		return fmt.Sprintf("leads on by ballot %v: node %d did not take over in time; is it running, and does it follow this node?",
			e.Ballot, e.Node)
	}
	return "?"
}
