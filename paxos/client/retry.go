package client

import "wirepaxos/paxos"

// How a client finds who leads and who replies, and tries again.

// onBusy turns to the proposer that leads, or waits a little. What a proposer says that is not in use any more is out of date.
func (c *Client) onBusy(m *paxos.Message) {
	c.Counters.Refused++
	if m.From != c.Proposer() {
		return
	}
	c.lastReason, c.refusedAt = m.Reason, c.now
	if c.stopped = m.Reason == paxos.ReasonStopped; c.stopped {
		c.stoppedAt = c.now
	}
	switch m.Reason {
	case paxos.ReasonNotLeader:
		// Two proposers may name each other for a while: the second redirect in a row is not followed at once.
		if c.turnTo(m.Leader) {
			c.resendAt = min(c.resendAt, max(c.now, c.redirected+c.cfg.Retry/8))
			c.redirected, c.nextTurn = c.now, c.now+2*c.cfg.Retry
		}
	case paxos.ReasonNoLeader:
		c.resendAt = min(c.resendAt, c.now+c.cfg.Retry/8)
	case paxos.ReasonWindowFull:
		c.resendAt = min(c.resendAt, c.now+c.cfg.Retry/2)
	}
}

// onLeader turns to the proposer that leads as the learner in use says, once it says another than before. Only then: what it goes on
// saying may be out of date, and the proposers know better. All that is unanswered is sent there at once: the one before may be gone.
func (c *Client) onLeader(m *paxos.Message) {
	if m.Leader == 0 || m.Leader == c.told || m.From != c.Learner() {
		return
	}
	c.told = m.Leader
	if c.turnTo(m.Leader) {
		c.redirected, c.nextTurn = c.now, c.now+2*c.cfg.Retry
		c.refusedAt, c.resendAt = c.now, c.now
	}
}

// learn takes from an answer how long values take, and that a refusal before it is over.
func (c *Client) learn(p *place, status paxos.Status) {
	c.took += (c.now - p.submitted - c.took) / 8
	if status != paxos.StatusDelivered {
		return
	}
	c.lastReason = paxos.ReasonNone
	if p.sent > c.stoppedAt {
		c.stopped = false
	}
}

// patience is how long after it was sent a value is sent again: the retry time, unless values take longer of late. After an outage they
// seem to; the bound keeps that short.
func (c *Client) patience() paxos.Time {
	return min(max(c.cfg.Retry, 2*c.took), c.cfg.Retry<<mostPatience)
}

// mostPatience is how often the retry time doubles at most before a value is sent again: 32 retry times.
const mostPatience = 5

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
	if c.watermark >= c.renewAt {
		c.renew()
	}
	c.sendWaiting()
	if c.now >= c.resendAt {
		c.resendAt = never
		if c.scan(c.refusedAt) {
			c.resendAt = c.now + c.cfg.Retry/16
		}
	} else if c.now >= c.nextScan {
		c.nextScan = c.now + c.cfg.Retry/4
		if c.scan(c.now - c.patience()) {
			c.nextScan = c.now + c.cfg.Retry/16
		}
	}
}

// onOK takes the learner's answer to a registration. Until the lease is to be renewed it need not be told again.
func (c *Client) onOK(m *paxos.Message) {
	if m.Flags&paxos.FlagClient == 0 || m.From != c.Learner() {
		return
	}
	c.watermark = max(c.watermark, m.Low)
	c.onLeader(m)
	if !c.known {
		c.known, c.nextHi = true, c.renewal
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

// Leave closes the sessions, unless they are to be resumed, and unregisters, for a shutdown in good order.
func (c *Client) Leave(out *paxos.Outbox) {
	c.out = out
	if !c.cfg.Keep {
		c.close()
	}
	out.Send(paxos.KindDelete, c.cfg.Learners[c.learner]).Flags = paxos.FlagClient
}

// scan sends again what is unanswered and was sent last at until or before, opens among it, a bounded number of frames at once, and
// tells whether there is more.
func (c *Client) scan(until paxos.Time) (more bool) {
	const most = 512
	n, worst := 0, 0
	for s := range c.sessions {
		e := &c.sessions[s]
		if h := &e.hold; h.asking && h.asked <= until && n < most {
			worst = max(worst, h.asks)
			n++
			c.sendOpen(e)
		}
		if e.open == 0 || e.generation == 0 {
			continue
		}
		for q := e.oldest; q < e.next && n < most; q++ {
			p := e.at(q)
			if p.sequence == 0 || p.sent > until || p.waits || c.rests(p, until) {
				continue
			}
			worst = max(worst, p.sends)
			c.Counters.Retries++
			n += paxos.SubmitFrames(c.cfg.MTU, p.length)
			c.send(e, p)
		}
	}
	if n > 0 && c.now-c.quietSince >= c.cfg.Retry {
		c.known, c.nextHi = false, c.now // the learner may have restarted: then it does not know us
	}
	if worst >= 3 && c.now-c.quietSince >= 3*c.cfg.Retry && c.now >= c.nextTurn {
		c.turnAway()
	}
	return n >= most
}

// turnAway tries others in turn: now the next proposer, now the next learner. Each gets time to answer.
func (c *Client) turnAway() {
	c.nextTurn = c.now + 2*c.cfg.Retry
	c.turns++
	c.told = 0 // from now on this is a guess: what the learner says next is better
	if others := len(c.cfg.Proposers) - 1; others > 0 && (c.turns%2 == 1 || len(c.cfg.Learners) == 1) {
		c.flush()
		c.proposer = (c.proposer + 1) % len(c.cfg.Proposers)
		c.Counters.Redirects++
	} else if len(c.cfg.Learners) > 1 {
		c.learner = (c.learner + 1) % len(c.cfg.Learners)
		c.known, c.nextHi, c.renewal, c.told = false, c.now, c.now, 0
		c.Counters.Switches++
	} else {
		return
	}
	c.refusedAt, c.resendAt = c.now, c.now
}

// Stopped tells whether the last proposer that answered said that the cluster has stopped.
func (c *Client) Stopped() bool { return c.stopped }

// Trouble says why nothing moves, for people; "" if something does, or nothing is unanswered.
func (c *Client) Trouble(now paxos.Time) string {
	switch {
	case c.AllLost():
		return c.Lost().Error()
	case c.open+c.asking == 0 || now-c.quietSince < 10*c.cfg.Retry:
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
