package check

import "wirepaxos/paxos"

// Handover is a request to a proposer to hand over, and what it said.
type Handover struct {
	From, To paxos.NodeID
	Leads    bool         // From does
	Proposer bool         // To is one
	Underway paxos.NodeID // the one that From has under way already; 0 none
	Refusal  error
}

// AskedToHandOver holds a proposer to it that a handover which cannot be is refused at once and with a reason, and any other begun.
func (s *Suite) AskedToHandOver(h *Handover) {
	can := h.Leads && h.Proposer && h.To != h.From && h.Underway == 0
	switch {
	case can && h.Refusal != nil:
		s.Fail("handover", "proposer %d refuses to hand over to proposer %d: %v", h.From, h.To, h.Refusal)
	case !can && h.Refusal == nil:
		s.Fail("handover", "proposer %d begins to hand over to node %d, which cannot be: it leads: %v, that one is a proposer: %v, under way already: to %d",
			h.From, h.To, h.Leads, h.Proposer, h.Underway)
	case h.Refusal != nil && h.Refusal.Error() == "":
		s.Fail("handover", "proposer %d refuses to hand over to node %d and does not say why", h.From, h.To)
	}
}
