package node

import (
	"fmt"
	"strconv"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// Who leads, for people: what status tells of it, and the request that hands it over.

func proposerStatus(id paxos.NodeID, r *paxos.Proposer, now paxos.Time, letGo []paxos.NodeID) ProposerStatus {
	b, leads := r.Leading()
	l := r.Leadership()
	s := ProposerStatus{
		ID: id, Leads: leads, Leader: r.Leader(), Ballot: b.String(), Low: r.Low(), Chosen: r.ChosenBelow(), Next: r.Next(), Stopped: r.Stopped(),
		Counters: r.Counters, SinceS: seconds(now - l.Since), Cause: l.Cause.String(), Why: l.Why(), HandoverTo: r.HandoverTo(),
	}
	s.LetGo = letGo
	s.Slow, _ = r.Slow()
	s.Submitted, s.Fetched = r.Fragments()
	if !leads {
		s.Ballot = l.Ballot.String()
	}
	for _, c := range r.LeadershipChanges() {
		s.Changes = append(s.Changes, LeadershipChange{
			Leader: c.Leader, Ballot: c.Ballot.String(), AgoS: seconds(now - c.Since), SinceNs: c.Since, Cause: c.Cause.String(), Why: c.Why(),
		})
	}
	for cause, n := range r.LeadershipCauses() {
		if n > 0 {
			if s.Causes == nil {
				s.Causes = map[string]uint64{}
			}
			s.Causes[paxos.Cause(cause).String()] = n
		}
	}
	return s
}

func seconds(t paxos.Time) float64 { return time.Duration(t).Seconds() }

func heardSeconds(a acceptorRole, now paxos.Time) float64 {
	if a.Heard() == 0 {
		return 0
	}
	return seconds(a.HeardFor(now))
}

func proposerTrouble(id paxos.NodeID, r *paxos.Proposer, now paxos.Time) (trouble []string) {
	if text := r.Trouble(now); text != "" {
		trouble = append(trouble, text)
	}
	if n := r.Counters.HandoversIgnored; n > 0 {
		trouble = append(trouble, fmt.Sprintf("proposer %d ignored %d requests to take over that did not come from the leader that it follows: "+
			"they were late, or two nodes run under one id", id, n))
	}
	return trouble
}

// borderTrouble says what frames that do not belong here mean for people.
func borderTrouble(c *Counters) (trouble []string) {
	if n := c.Dropped[paxos.DropSender]; n > 0 {
		trouble = append(trouble, fmt.Sprintf("%d frames came from nodes that the cluster file does not name and were dropped: "+
			"do all processes run with the same file, and the same --node flags?", n))
	}
	if n := c.Dropped[paxos.DropGroup]; n > 0 {
		trouble = append(trouble, fmt.Sprintf("%d frames of other groups came in here and were dropped: where groups share a NIC, each needs its frames on its "+
			"own queue: give it an EtherType of its own (ethertypes) and steer that (`wirepaxos nic steer`), or take link = \"udp4\"", n))
	}
	if n := c.Dropped[paxos.DropRole]; n > 0 {
		trouble = append(trouble, fmt.Sprintf("%d messages came from a node that has no role to send them, or for one that has no role to "+
			"take them, and were dropped: do all processes run with the same file?", n))
	}
	return trouble
}

// groupTrouble names a reason for having no leader that nobody can see from here: what is for all goes to an address that not every network carries.
func groupTrouble(f *cluster.File, proposers []ProposerStatus) (trouble []string) {
	if !f.Multicast || f.Transport != cluster.TransportAFXDP || f.LinkLayer() != cluster.LinkEthernet {
		return nil
	}
	for i := range proposers {
		if p := &proposers[i]; p.Leader == 0 && !p.Stopped && p.SinceS > f.Timing.LeaderTimeout.Seconds() {
			trouble = append(trouble, fmt.Sprintf("proposer %d finds no leader, and multicast is on: if the network does not forward frames to %v, or a NIC "+
				"takes them to a queue that no process is bound to, set multicast = false", p.ID, groupMAC(f)))
		}
	}
	return trouble
}

// Handover is the outcome of a planned handover.
type Handover struct {
	From   paxos.NodeID `json:"from"`
	To     paxos.NodeID `json:"to"`
	Ballot string       `json:"ballot"` // by which the new leader leads
	TookMs float64      `json:"took_ms"`
}

// Bounds of AnswerHandover: how long it waits, which is less than the other side of the control socket does, and how often it looks.
const (
	handoverWait = controlBound * 3 / 4
	handoverLook = 500 * time.Microsecond
)

// AnswerHandover answers "handover NODE" once the outcome is known: the proposer here that leads asks proposer NODE to take over.
func (p *Process) AnswerHandover(words []string) (any, error) {
	if len(words) != 1 {
		return nil, fmt.Errorf("a handover takes one word, the proposer that shall lead: got %d", len(words))
	}
	number, err := strconv.ParseUint(words[0], 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no node id: want the number of a proposer", words[0])
	}
	to, err := p.spec.File.Find(cluster.Proposer, uint16(number))
	if err != nil {
		return nil, err
	}
	return p.handOver(paxos.NodeID(to.ID))
}

func (p *Process) handOver(to paxos.NodeID) (*Handover, error) {
	from, r := p.leadingProposer()
	if r == nil {
		return nil, fmt.Errorf("no proposer runs in this process: ask the process of the one that leads, of proposers %v",
			members(p.spec.File).Proposers)
	}
	var err error
	began := time.Now()
	p.Inspect(func() { err = r.Handover(dataplane.Now(), to) })
	for err == nil {
		var over, leads bool
		var now paxos.Leadership
		p.Inspect(func() {
			_, leads = r.Leading()
			now, over = r.Leadership(), r.HandoverTo() == 0
		})
		switch {
		case over && now.Leader == to:
			return &Handover{From: from, To: to, Ballot: now.Ballot.String(), TookMs: float64(time.Since(began).Microseconds()) / 1e3}, nil
		case over && leads:
			err = fmt.Errorf("node %d did not take over, and node %d leads on by ballot %v: is node %d running, and does it follow node %d?",
				to, from, now.Ballot, to, from)
		case over && now.Leader != 0:
			err = fmt.Errorf("node %d leads by ballot %v: it came before node %d", now.Leader, now.Ballot, to)
		case time.Since(began) > handoverWait && over:
			err = fmt.Errorf("node %d no longer leads, but is not told who does: `wirepaxos admin status` of the other proposers says more", from)
		case time.Since(began) > handoverWait:
			err = fmt.Errorf("still under way after %v: `wirepaxos admin status` says how it ends", handoverWait)
		default:
			time.Sleep(handoverLook)
		}
	}
	return nil, err
}

// leadingProposer is the proposer of this process that leads, or one that can say who does; nil without any.
func (p *Process) leadingProposer() (id paxos.NodeID, r *paxos.Proposer) {
	p.Inspect(func() {
		for _, s := range p.node.seats {
			if one, ok := s.role.(*paxos.Proposer); ok {
				if _, leads := one.Leading(); leads || r == nil {
					id, r = s.node, one
				}
			}
		}
	})
	return id, r
}
