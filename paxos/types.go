package paxos

import (
	"fmt"
	"math/bits"
)

// Cluster tells clusters apart that share a network. Drawn at random once; frames of another cluster are dropped.
type Cluster uint64

// Group tells the groups of one cluster apart. Each group is a Paxos of its own.
type Group uint16

// NodeID names a node of the cluster file, 1 to MaxNodes-1. A node hosts one or more roles.
type NodeID uint16

// NodeSet is a set of nodes: bit i is node i.
type NodeSet uint64

// SetOf is the set of one node, or the empty one if the id is out of range.
func SetOf(id NodeID) NodeSet { return 1 << id }

// Has tells whether a node is in the set.
func (s NodeSet) Has(id NodeID) bool { return s&SetOf(id) != 0 }

// Least is the node with the least id. The set is not empty.
func (s NodeSet) Least() NodeID { return NodeID(bits.TrailingZeros64(uint64(s))) }

// Len is how many nodes there are.
func (s NodeSet) Len() int { return bits.OnesCount64(uint64(s)) }

// Incarnation is drawn at random at each start of a node.
type Incarnation uint64

// Epoch numbers the memberships of a group. There is one membership so far, FirstEpoch.
type Epoch uint32

// FirstEpoch is the membership that the cluster file names.
const FirstEpoch Epoch = 1

// Instance numbers the consensus instances of a group from 0.
type Instance uint64

// ClientID names a client session: 64 random bits.
type ClientID uint64

// Time is nanoseconds on any monotonic clock. The core never reads one; its caller does.
type Time = int64

// Ballot is a round and the proposer that owns it: round<<16 | proposer. 0 is no ballot; every real one is greater.
//
// A ballot names at most one value per instance, for ever: a round belongs to one proposer, which reserves it durably before
// it uses it and never uses it again after a restart (see Rounds).
type Ballot uint64

// MakeBallot joins a round (1 to 2^48-1) and its proposer.
func MakeBallot(round uint64, proposer NodeID) Ballot {
	return Ballot(round<<16 | uint64(proposer))
}

// Round is the ballot's round.
func (b Ballot) Round() uint64 { return uint64(b) >> 16 }

// Proposer is the node that owns the ballot.
func (b Ballot) Proposer() NodeID { return NodeID(b & 0xffff) }

func (b Ballot) String() string { return fmt.Sprintf("%d.%d", b.Round(), b.Proposer()) }

// Limits. Each is part of the protocol: all nodes of a cluster are built with the same.
const (
	MaxNodes     = 64        // node ids are below
	MaxAcceptors = 7         // of one group
	MaxRound     = 1<<48 - 1 // of a ballot
	SessionSpan  = 1024      // a client runs at most this far past its oldest unanswered sequence
	MaxSessions  = 1 << 14   // client sessions that a learner keeps at most, and unless the cluster file says fewer
	SessionIdle  = 1 << 20   // instances after which an unused session may give way to a new one when the table is full, unless the file says else
	MaxSequence  = 1<<48 - 1 // of a client's values

	// MaxInstance bounds instances, so that no sum of an instance and a span wraps.
	MaxInstance Instance = 1<<62 - 1
)

// The limits that index arrays or mask are powers of two; a node id and the kind of a value share a byte. The compiler checks.
const (
	_ = uint(-(MaxNodes & (MaxNodes - 1)))
	_ = uint(-(SessionSpan & (SessionSpan - 1)))
	_ = uint(1<<6 - MaxNodes)
)

// Quorum is the number of acceptors that any two quorums of n share one of: more than half.
// ("Paxos Made Simple", section 2.2: any two majorities have at least one acceptor in common.)
func Quorum(n int) int { return n/2 + 1 }

// Members are the nodes of a group by role, as the cluster file names them. They do not change while a node runs.
type Members struct {
	Acceptors []NodeID
	Proposers []NodeID
	Learners  []NodeID
}

// Check tells what is wrong with a membership.
func (m Members) Check() error {
	if len(m.Acceptors) == 0 || len(m.Acceptors) > MaxAcceptors {
		return fmt.Errorf("paxos: %d acceptors, want 1 to %d", len(m.Acceptors), MaxAcceptors)
	}
	if len(m.Proposers) == 0 {
		return fmt.Errorf("paxos: no proposer")
	}
	for _, role := range [][]NodeID{m.Acceptors, m.Proposers, m.Learners} {
		var seen [MaxNodes]bool
		for _, id := range role {
			if id == 0 || id >= MaxNodes {
				return fmt.Errorf("paxos: node id %d, want 1 to %d", id, MaxNodes-1)
			}
			if seen[id] {
				return fmt.Errorf("paxos: node %d is named twice in one role", id)
			}
			seen[id] = true
		}
	}
	return nil
}

// places maps node ids to their place in a role's list, or -1.
type places [MaxNodes]int8

func placesOf(ids []NodeID) (p places) {
	for i := range p {
		p[i] = -1
	}
	for i, id := range ids {
		p[id] = int8(i)
	}
	return p
}

// of is the place of a node, -1 for one without the role. The id may come from the wire.
func (p *places) of(id NodeID) int {
	if id >= MaxNodes {
		return -1
	}
	return int(p[id])
}

// Role is one of the protocol's roles that a node hosts.
type Role uint8

// The roles. A client is a role on the wire too: it gets replies.
const (
	RoleAcceptor Role = iota
	RoleProposer
	RoleLearner
	RoleClient
	numRoles
)

var roleNames = [numRoles]string{"acceptor", "proposer", "learner", "client"}

func (r Role) String() string { return roleNames[r] }
