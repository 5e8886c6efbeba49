package check

import (
	"slices"

	"wirepaxos/paxos"
)

// acceptors holds each acceptor to its promises, by what it is told and says, message by message (PROTOCOL.md, P1 to P5):
//
//	promise    it promises no ballot below one that it promised or voted for
//	vote       it votes for no ballot below one that it promised
//	report     a promise lists every instance of its pages in which it voted, with the last ballot and that value
//	amnesia    with storage "memory", one that restarted neither promises nor votes
//	preempted  when it refuses for a promise, it names one above what it refuses
//	window     it votes for no instance beyond its window, nor for one that it was told is trimmed; what it calls trimmed it was told
type acceptors struct {
	suite  *Suite
	ledger *ledger
	window paxos.Instance
	of     [paxos.MaxNodes]acceptor
}

type acceptor struct {
	promised paxos.Ballot
	low      paxos.Instance // the highest that it was told
	votes    []paxos.Ballot // the last one of each instance; 0 none
	said     []said         // in this step
	replaced []said         // votes that others took the place of in this step
	sure     paxos.Ballot   // promised, but for the votes of this step for which several of its messages may have been the cause
	unsure   []said         // the votes before those
}

type said struct {
	ballot   paxos.Ballot
	instance paxos.Instance
	used     bool
}

func newAcceptors(s *Suite, c Cluster, l *ledger) *acceptors {
	return &acceptors{suite: s, ledger: l, window: paxos.Instance(c.Window)}
}

// OnStep goes through what an acceptor was told in order, and finds for each message what it said to that.
func (c *acceptors) OnStep(a *Actor, in []paxos.Message, out *paxos.Outbox) {
	if a.Role != paxos.RoleAcceptor {
		return
	}
	e := &c.of[a.Node]
	e.listVotes(out)
	e.sure, e.unsure = e.promised, e.unsure[:0]
	pages := out.After
	for i := range in {
		m := &in[i]
		switch m.Kind {
		case paxos.KindHeartbeat:
			e.low = max(e.low, m.Low)
		case paxos.KindAccept:
			e.low = max(e.low, m.Low)
			c.accept(a, e, m, in[i+1:])
		case paxos.KindPrepare:
			pages = c.prepare(a, e, m, pages)
		}
	}
	for _, s := range e.said { // answers to Repeat: what it voted for before
		if !s.used && e.vote(s.instance) != s.ballot && !slices.Contains(e.replaced, s) && out.Dropped == 0 {
			c.suite.Fail("vote", "%v says that it accepted by ballot %v in instance %d, which it was not asked to", a, s.ballot, s.instance)
		}
	}
	if a.Start > 0 && (len(e.said) > 0 || promises(out)) {
		c.suite.Fail("amnesia", "%v promises or votes after its %d. restart", a, a.Start)
	}
}

// OnSaid looks at refusals: without the ballot that was promised a proposer would have to find out by waiting.
func (c *acceptors) OnSaid(a *Actor, m *paxos.Message) {
	if m.Kind == paxos.KindPreempted && a.Role == paxos.RoleAcceptor && m.Promised <= m.Ballot {
		c.suite.Fail("preempted", "%v refused ballot %v for its promise and says that it promised %v", a, m.Ballot, m.Promised)
	}
}

func promises(out *paxos.Outbox) bool {
	for i := range out.After {
		if out.After[i].Kind == paxos.KindPromise {
			return true
		}
	}
	return false
}

func (e *acceptor) vote(i paxos.Instance) paxos.Ballot {
	if i >= paxos.Instance(len(e.votes)) {
		return 0
	}
	return e.votes[i]
}

// surely is the least vote that a page must list.
func (e *acceptor) surely(i paxos.Instance) paxos.Ballot {
	for k := range e.unsure {
		if e.unsure[k].instance == i {
			return e.unsure[k].ballot
		}
	}
	return e.votes[i]
}

// listVotes gathers the votes that a step says, new ones and old ones told again.
func (e *acceptor) listVotes(out *paxos.Outbox) {
	e.said, e.replaced = e.said[:0], e.replaced[:0]
	var shown *byte
	for i := range out.After {
		if m := &out.After[i]; m.Kind == paxos.KindAccepted && len(m.Data) > 0 && &m.Data[0] != shown { // else the same votes to another node
			shown = &m.Data[0]
			eachRange(m.Data, func(first paxos.Instance, count uint32) {
				if first >= far || count > far {
					return // the ledger has told
				}
				for k := range paxos.Instance(count) {
					e.said = append(e.said, said{ballot: m.Ballot, instance: first + k})
				}
			})
		}
	}
}

// accept finds the vote that an Accept got, if any. A vote that was cast before may be told again whatever was promised since.
//
// The message that a vote answers is the first one here, and may have been a later one: the last piece of a value, or a retry of what was refused at
// first because the store was full.
func (c *acceptors) accept(a *Actor, e *acceptor, m *paxos.Message, later []paxos.Message) {
	voted := false
	for k := range e.said {
		if s := &e.said[k]; s.ballot == m.Ballot && s.instance == m.Instance && !s.used {
			s.used, voted = true, true
			break
		}
	}
	if !voted || e.vote(m.Instance) == m.Ballot || slices.Contains(e.replaced, said{ballot: m.Ballot, instance: m.Instance}) {
		return
	}
	switch {
	case m.Ballot < e.sure:
		c.suite.Fail("vote", "%v accepted by ballot %v in instance %d after it had promised %v", a, m.Ballot, m.Instance, e.sure)
	case m.Instance < e.low:
		c.suite.Fail("window", "%v accepted in instance %d, which it was told is trimmed: the low watermark is %d", a, m.Instance, e.low)
	case m.Instance-e.low >= c.window:
		c.suite.Fail("window", "%v accepted in instance %d, beyond its window of %d from %d on", a, m.Instance, c.window, e.low)
	}
	e.promised = max(e.promised, m.Ballot)
	for paxos.Instance(len(e.votes)) <= m.Instance {
		e.votes = append(e.votes, 0)
	}
	before := said{ballot: e.votes[m.Instance], instance: m.Instance}
	e.replaced = append(e.replaced, before)
	if slices.ContainsFunc(later, func(x paxos.Message) bool {
		return x.Kind == paxos.KindAccept && x.Ballot == m.Ballot && x.Instance == m.Instance
	}) {
		e.unsure = append(e.unsure, before)
	} else {
		e.sure = max(e.sure, m.Ballot)
	}
	e.votes[m.Instance] = max(e.votes[m.Instance], m.Ballot)
}

// prepare finds the pages that a Prepare got, if any, and returns the rest. Each begins where the one before ended.
func (c *acceptors) prepare(a *Actor, e *acceptor, m *paxos.Message, rest []paxos.Message) []paxos.Message {
	from := m.Instance
	for i := range rest {
		p := &rest[i]
		if p.Kind != paxos.KindPromise {
			continue
		}
		if p.Ballot != m.Ballot || p.To != m.From || p.Instance != from {
			return rest[i:]
		}
		if p.Ballot < e.sure {
			c.suite.Fail("promise", "%v promised ballot %v after %v", a, p.Ballot, e.sure)
		}
		if p.Low > e.low {
			c.suite.Fail("window", "%v says that everything below %d is trimmed and was told so only of what is below %d", a, p.Low, e.low)
		}
		e.promised, e.sure = max(e.promised, p.Ballot), max(e.sure, p.Ballot)
		c.page(a, e, p)
		if from = p.Until; p.Flags&paxos.FlagLast != 0 {
			return rest[i+1:]
		}
	}
	return nil
}

// page compares a page with the votes.
func (c *acceptors) page(a *Actor, e *acceptor, p *paxos.Message) {
	listed := p.Data
	end := paxos.Instance(len(e.votes))
	if p.Flags&paxos.FlagLast == 0 {
		end = min(end, p.Until)
	}
	for i := max(p.Instance, p.Low); i < end; i++ {
		for len(listed) >= 32 && reportedAt(listed).instance < i {
			listed = listed[32:]
		}
		want := e.surely(i)
		if want == 0 {
			continue
		}
		if len(listed) < 32 || reportedAt(listed).instance != i {
			c.suite.Fail("report", "%v promised %v and left out instance %d, where it had accepted by ballot %v", a, p.Ballot, i, want)
			return
		}
		r := reportedAt(listed)
		q := c.ledger.find(r.ballot, i)
		if r.ballot < want || q == nil || q.digest != r.digest || len(q.data) != int(r.length) {
			c.suite.Fail("report", "%v promised %v and reported instance %d at ballot %v, where it had accepted another value by ballot %v",
				a, p.Ballot, i, r.ballot, want)
			return
		}
	}
}
