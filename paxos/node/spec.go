package node

import (
	"fmt"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// Spec says what a process runs on one loop.
type Spec struct {
	File     *cluster.File
	Nodes    []uint16     // ids of the nodes; all of one endpoint
	StateDir string       // of acceptors and proposers
	Core     int          // overrides the file; CoreOfFile: as the file says
	Idle     cluster.Idle // overrides the file; ""
	Hold     Hold         // what the process holds of its machine

	// Links are ready-made rings to the other endpoints of this process, by Endpoint.Key. Endpoints of this host that are not in
	// it are other processes.
	Links map[string]dataplane.Port

	Client  *ClientSpec                              // of the client nodes among Nodes
	Deliver func(id paxos.NodeID, d *paxos.Delivery) // gets what the learners among Nodes deliver; may be nil
	Notice  func(n Notice)                           // gets the events, on a goroutine of its own; may be nil
	Warn    func(format string, args ...any)         // gets what people should know, at start and of interfaces later; may be nil
	Observe func(s Stepped)                          // gets every step of every role, on the loop; nil costs nothing
}

// Hold is what a process holds of its machine from Open to Close.
type Hold struct {
	Memory     bool // its memory, locked for the rest of its life (dataplane.LockMemory)
	DMALatency bool // all cores awake (dataplane.HoldDMALatency)
	FIFO       bool // its core, before everything that is not real-time (dataplane.LoopConfig)
}

// CoreOfFile as Spec.Core takes the core that the file names.
const CoreOfFile = -2

// ClientSpec is what the client nodes do.
type ClientSpec struct {
	Sessions    int
	Outstanding int
	MaxValue    int
	Proposer    uint16 // tried first; 0: one on this loop, else the first
	Source      Source

	// As in client.Config. Sessions are resumed by the first client node of the process.
	Resume                 []client.SessionID
	TakeOver, Reopen, Keep bool
}

// MTU is the payload of a frame of the file's cluster where no port says otherwise.
func MTU(f *cluster.File) int {
	if f.MTU != 0 {
		return f.MTU
	}
	return mem.DefaultMTU
}

// members are the nodes by role.
func members(f *cluster.File) (m paxos.Members) {
	ids := func(nodes []cluster.Node) (ids []paxos.NodeID) {
		for _, n := range nodes {
			ids = append(ids, paxos.NodeID(n.ID))
		}
		return ids
	}
	return paxos.Members{Acceptors: ids(f.Acceptors()), Proposers: ids(f.Proposers()), Learners: ids(f.Learners())}
}

// rolePairs joins the file's roles and the protocol's, in the order in which a value meets them.
var rolePairs = []struct {
	file cluster.Roles
	role paxos.Role
}{
	{cluster.Client, paxos.RoleClient},
	{cluster.Proposer, paxos.RoleProposer},
	{cluster.Acceptor, paxos.RoleAcceptor},
	{cluster.Learner, paxos.RoleLearner},
}

func rolesOf(r cluster.Roles) (s roleSet) {
	for _, p := range rolePairs {
		if r.Has(p.file) {
			s |= setOf(p.role)
		}
	}
	return s
}

// endpoint is the one endpoint that all nodes of the spec share.
func (s *Spec) endpoint() (cluster.Endpoint, error) {
	if len(s.Nodes) == 0 {
		return cluster.Endpoint{}, fmt.Errorf("no node named: give the ids of the nodes to run")
	}
	first, err := s.File.EndpointOf(s.Nodes[0])
	if err != nil {
		return first, err
	}
	for _, id := range s.Nodes[1:] {
		e, err := s.File.EndpointOf(id)
		if err != nil {
			return first, err
		}
		if e.Key != first.Key {
			return first, fmt.Errorf("%s: nodes %d and %d are not on one endpoint (%s and %s): a process runs the nodes of one endpoint, "+
				"start another process for the others", s.File.Name, s.Nodes[0], id, first.Key, e.Key)
		}
	}
	return first, nil
}

func (s *Spec) warn(format string, args ...any) {
	if s.Warn != nil {
		s.Warn(format, args...)
	}
}
