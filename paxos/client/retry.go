package client

import "wirepaxos/paxos"

// How a client finds who leads and who replies, and tries again.

// onBusy turns to the proposer that leads, or waits a little.
func (c *Client) onBusy(m *paxos.Message) {
	c.Counters.Refused++
	c.lastReason = m.Reason
	c.stopped = m.Reason == paxos.ReasonStopped
	switch m.Reason {
	case paxos.ReasonNotLeader:
		if c.turnTo(m.Leader) {
			c.resendAt = c.now
		}
	case paxos.ReasonNoLeader:
		c.resendAt = min(c.resendAt, c.now+c.cfg.Retry/8)
	case paxos.ReasonWindowFull:
		c.resendAt = min(c.resendAt, c.now+c.cfg.Retry/2)
	}
}

func (c *Client) turnTo(leader paxos.NodeID) bool {
	for i, id := range c.cfg.Proposers {
		if id == leader && i != c.proposer {
			c.flush() // what is in the open batch goes where it was meant to
			c.proposer = i
			c.Counters.Redirects++
			return true
		}
	}
	return false
}

func (c *Client) tick() {
	c.register()
	if c.now >= c.resendAt {
		c.resendAt = never
		c.scan(0)
	} else if c.now >= c.nextScan {
		c.scan(c.cfg.Retry)
	}
}

// register tells the learner where replies go: again and again until it answers, then in time before the lease ends.
func (c *Client) register() {
	if c.now < c.nextHi {
		return
	}
	m := c.out.Send(paxos.KindHi, c.cfg.Learners[c.learner])
	m.Flags, m.Total = paxos.FlagClient, uint32(c.cfg.Lease/1e6)
	if c.now >= c.renewal {
		c.known = false // it shall say again that it is there
		c.renewal = c.now + c.cfg.Lease/4
	}
	c.nextHi = c.renewal
	if !c.known {
		c.nextHi = min(c.renewal, c.now+c.cfg.Retry/4)
	}
}

// Leave unregisters, for a shutdown in good order.
func (c *Client) Leave(out *paxos.Outbox) {
	out.Send(paxos.KindDelete, c.cfg.Learners[c.learner]).Flags = paxos.FlagClient
}

// scan sends again what has been unanswered for at least age, a bounded number at once. Long silence turns to another proposer and learner.
func (c *Client) scan(age paxos.Time) {
	const most = 512
	c.nextScan = c.now + c.cfg.Retry/4
	n, worst := 0, 0
	for s := range c.sessions {
		e := &c.sessions[s]
		for q := e.oldest; q < e.next && n < most; q++ {
			p := &e.ring[q%uint64(len(e.ring))]
			if p.sequence == 0 || c.now-p.sent < age {
				continue
			}
			worst = max(worst, p.sends)
			c.Counters.Retries++
			n++
			c.send(e, p)
		}
	}
	if worst >= 3 && c.now-c.lastReply >= 3*c.cfg.Retry {
		c.turnAway(worst)
	}
}

// turnAway tries others in turn: now the next proposer, now the next learner.
func (c *Client) turnAway(sends int) {
	if len(c.cfg.Proposers) > 1 && sends%2 == 1 {
		c.flush()
		c.proposer = (c.proposer + 1) % len(c.cfg.Proposers)
		c.Counters.Redirects++
	}
	if len(c.cfg.Learners) > 1 && sends%2 == 0 {
		c.learner = (c.learner + 1) % len(c.cfg.Learners)
		c.known, c.nextHi, c.renewal = false, c.now, c.now
		c.Counters.Switches++
	}
}

// Stopped tells whether the last proposer that answered said that the cluster has stopped.
func (c *Client) Stopped() bool { return c.stopped }

// Trouble says why nothing moves, for people; "" if something does, or nothing is unanswered.
func (c *Client) Trouble(now paxos.Time) string {
	open := 0
	for s := range c.sessions {
		open += c.sessions[s].open
	}
	switch {
	case open == 0 || now-c.lastReply < 10*c.cfg.Retry:
		return ""
	case c.lastReason != paxos.ReasonNone:
		return "the proposer refuses: " + c.lastReason.String()
	case !c.known:
		return "the learner does not answer: is it running, and its link up?"
	}
	return "nobody answers: are the proposer and a quorum of acceptors running, and their links up?"
}

// Proposer and Learner are the nodes in use.
func (c *Client) Proposer() paxos.NodeID { return c.cfg.Proposers[c.proposer] }
func (c *Client) Learner() paxos.NodeID  { return c.cfg.Learners[c.learner] }

// IDs are the session ids.
func (c *Client) IDs() []paxos.ClientID {
	ids := make([]paxos.ClientID, len(c.sessions))
	for i := range c.sessions {
		ids[i] = c.sessions[i].id
	}
	return ids
}
