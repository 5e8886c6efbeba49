package client

import "wirepaxos/paxos"

// Values larger than a frame leave in fragments, each in a frame of its own. A few of them fill every ring on the way, so a client has a bounded
// number of their frames in flight; what is submitted beyond that waits in its place for answers to others. What is sent again was in flight
// already and is not counted anew.

// mostFlying is how many frames of large values are in flight at once, unless one value alone takes more.
const mostFlying = 256

type large struct {
	flying  int // frames of values that were sent and are not answered
	waiting int // values that were not sent yet
	turn    int // the session whose values are sent next
}

// sendLarge sends a value in fragments, or lets it wait: for room, and for those that wait already. Where the outbox has no room for a value that was sent before, the retry sends it.
func (c *Client) sendLarge(e *session, p *place) {
	frames := paxos.SubmitFrames(c.cfg.MTU, p.length)
	first := p.sends == 0
	if first && (c.large.waiting > 0 && !p.waits || c.large.flying > 0 && c.large.flying+frames > mostFlying) {
		c.wait(p)
		return
	}
	batch := c.out.Bytes(paxos.ValueOverhead + p.length)
	if batch == nil {
		if first {
			c.wait(p)
		}
		return
	}
	if first {
		c.large.flying += frames
	}
	if p.waits {
		p.waits = false
		c.large.waiting--
	}
	v := paxos.Value{
		Client: e.id, Sequence: p.sequence, Oldest: e.oldest, Generation: e.generation, Node: c.cfg.Node, Data: c.cell(e, p.sequence)[:p.length],
	}
	paxos.PutValue(batch, 0, &v)
	c.out.SendParts(c.Proposer(), c.cfg.MTU, &v, batch, p.sends)
	p.sends++
}

func (c *Client) wait(p *place) {
	if !p.waits {
		p.waits = true
		c.large.waiting++
	}
}

// sendWaiting sends what waits and has room in flight now: of each session in turn the oldest.
func (c *Client) sendWaiting() {
	for none := 0; c.large.waiting > 0 && none < len(c.sessions); none++ {
		e := &c.sessions[c.large.turn]
		if p := e.waiting(); p != nil {
			if c.send(e, p); p.waits {
				return // it is the first when there is room
			}
			none = -1
		}
		c.large.turn = (c.large.turn + 1) % len(c.sessions)
	}
}

// waiting is the oldest value of a session that was not sent yet for want of room; nil: there is none.
func (e *session) waiting() *place {
	if e.open == 0 {
		return nil
	}
	for q := e.oldest; q < e.next; q++ {
		if p := e.at(q); p.sequence != 0 && p.waits {
			return p
		}
	}
	return nil
}

// landed takes an answered value out of what is in flight.
func (c *Client) landed(p *place) {
	if p.length <= paxos.MaxValue(c.cfg.MTU) {
		return
	}
	if p.waits {
		p.waits = false
		c.large.waiting--
	}
	if p.sends == 0 { // its session was never open, or it waited
		return
	}
	c.large.flying -= paxos.SubmitFrames(c.cfg.MTU, p.length)
}

// rests tells whether a large value that was sent before is left alone yet, by a scan for what was sent up to a time: each try in vain doubles the
// wait for the next, up to the longest patience. A proposer puts together what it has of all tries. Refusals are answered at once.
func (c *Client) rests(p *place, until paxos.Time) bool {
	if p.length <= paxos.MaxValue(c.cfg.MTU) || until >= c.now-c.cfg.Retry/2 || p.sent <= c.refusedAt {
		return false
	}
	return p.sent > c.now-c.cfg.Retry<<min(p.sends-1, mostPatience)
}
