package check

import "wirepaxos/paxos"

// choice holds a proposer to what phase 1 binds it to ("Paxos Made Simple", section 2.2, P2c; PROTOCOL.md, L2), also where nothing was chosen
// yet and another value would do no harm this time:
//
//	choice  where an acceptor reported a value, what is proposed is the value reported with the highest ballot by some quorum
//
// Which quorum a proposer goes by is its own business, and so is which pages it makes use of. It must have heard of the instance from a quorum of
// which nobody reported a higher ballot than the one that what it proposes was reported with.
type choice struct {
	ledger *ledger
	suite  *Suite
	of     [paxos.MaxNodes]hearing
}

// hearing is what a proposer was promised for its last ballot.
type hearing struct {
	ballot  paxos.Ballot
	by      [paxos.MaxAcceptors]hears
	last    paxos.Instance // the proposal looked at last, plus 1: an accept goes to many
	reports int
}

// hears is what one acceptor told.
type hears struct {
	incarnation paxos.Incarnation
	pages       []page
	reports     []reported
}

// page is a range that was told of: everything from until on as well, if it is the last.
type page struct {
	from, until paxos.Instance
	last        bool
}

func newChoice(s *Suite, l *ledger) *choice { return &choice{suite: s, ledger: l} }

// OnStep hears the promises that a proposer is told.
func (c *choice) OnStep(a *Actor, in []paxos.Message, _ *paxos.Outbox) {
	if a.Role != paxos.RoleProposer {
		return
	}
	for i := range in {
		if m := &in[i]; m.Kind == paxos.KindPromise && c.ledger.place[m.From] >= 0 && m.Ballot.Proposer() == a.Node {
			c.of[a.Node].hear(m, int(c.ledger.place[m.From]))
		}
	}
}

func (h *hearing) hear(m *paxos.Message, k int) {
	if m.Ballot < h.ballot {
		return
	}
	if m.Ballot > h.ballot {
		h.ballot, h.last, h.reports = m.Ballot, 0, 0
		for k := range h.by {
			h.by[k].pages, h.by[k].reports = h.by[k].pages[:0], h.by[k].reports[:0]
		}
	}
	e := &h.by[k]
	if e.incarnation != m.FromIncarnation { // pages of two incarnations are never one promise
		h.reports -= len(e.reports)
		e.incarnation, e.pages, e.reports = m.FromIncarnation, e.pages[:0], e.reports[:0]
	}
	for data := m.Data; len(data) >= 32; data = data[32:] {
		if reportedAt(data).ballot >= m.Ballot {
			return // told after our own phase 2 had begun: it says nothing about what was there before
		}
	}
	e.pages = append(e.pages, page{m.Instance, m.Until, m.Flags&paxos.FlagLast != 0})
	for data := m.Data; len(data) >= 32; data = data[32:] {
		e.reports = append(e.reports, reportedAt(data))
		h.reports++
	}
}

// told is what an acceptor told of an instance. heard is false where it told nothing; a report of ballot 0 says that it accepted nothing there.
func (e *hears) told(i paxos.Instance) (r reported, heard bool) {
	for _, p := range e.pages {
		heard = heard || i >= p.from && (i < p.until || p.last)
	}
	for _, x := range e.reports {
		if x.instance == i {
			r = x
		}
	}
	return r, heard
}

// OnSaid judges what a proposer proposes. The ledger has heard it before.
func (c *choice) OnSaid(a *Actor, m *paxos.Message) {
	h := &c.of[a.Node]
	if m.Kind != paxos.KindAccept || a.Role != paxos.RoleProposer || m.Ballot != h.ballot || h.reports == 0 || h.last == m.Instance+1 {
		return
	}
	p := c.ledger.find(m.Ballot, m.Instance)
	if p == nil || p.missing > 0 {
		return
	}
	h.last = m.Instance + 1
	best, highest := paxos.Ballot(0), paxos.Ballot(0)
	for k := range h.by {
		r, _ := h.by[k].told(m.Instance)
		highest = max(highest, r.ballot)
		if r.ballot > best && r.digest == p.digest && int(r.length) == len(p.data) {
			best = r.ballot
		}
	}
	bound := 0
	for k := range h.by {
		if r, heard := h.by[k].told(m.Instance); heard && r.ballot <= best {
			bound++
		}
	}
	if highest > 0 && bound < c.ledger.quorum {
		c.suite.Fail("choice", "%v proposes by ballot %v in instance %d what was reported with ballot %v (0.0: with none), and ballot %v was reported",
			a, m.Ballot, m.Instance, best, highest)
	}
}
