package paxos

// How a learner registers, and how it gets what the network lost.

// registration keeps this learner known to the acceptors and proposers: a Hi to each until it is answered, then a renewal long before the
// lease ends, with the delivered watermark. Between renewals the leader alone hears of progress, so that it can trim.
type registration struct {
	nodes    [MaxNodes]NodeID
	n        int
	answered [MaxNodes]Incarnation // by which incarnation of the node; 0 not yet
	next     Time
	renewal  Time
	reported Instance
}

func newRegistration(m Members, now Time) registration {
	r := registration{next: now, renewal: now}
	var seen [MaxNodes]bool
	for _, role := range [][]NodeID{m.Acceptors, m.Proposers} {
		for _, id := range role {
			if !seen[id] {
				seen[id] = true
				r.nodes[r.n] = id
				r.n++
			}
		}
	}
	return r
}

func (l *Learner) tickRegistration(now Time, out *Outbox) {
	r := &l.register
	if l.next-r.reported > l.mask>>4 && l.leader != 0 {
		r.reported = l.next
		l.hi(l.leader, FlagUpdate, out)
	}
	if now < r.next {
		return
	}
	all := now >= r.renewal
	if all {
		r.renewal = now + l.cfg.Lease/8
		r.reported = l.next
	}
	waiting := false
	for _, id := range r.nodes[:r.n] {
		if all || r.answered[id] == 0 {
			l.hi(id, 0, out)
		}
		waiting = waiting || r.answered[id] == 0
	}
	r.next = r.renewal
	if waiting {
		r.next = min(r.renewal, now+l.cfg.Retry)
	}
}

func (l *Learner) hi(to NodeID, flags uint8, out *Outbox) {
	m := out.send(KindHi, to)
	m.Flags, m.Instance, m.Total = flags, l.next, uint32(l.cfg.Lease/1e6)
}

// onOK notes who knows us, and how far that node is: a gap at the very end shows even while nobody leads.
func (l *Learner) onOK(m *Message) {
	if m.From < MaxNodes {
		l.register.answered[m.From] = m.FromIncarnation
	}
	l.high = max(l.high, m.High)
	l.onLow(m.Low)
}

// Leave unregisters, for a shutdown in good order: without it the lease would hold trimming back until it ends.
func (l *Learner) Leave(out *Outbox) {
	for _, id := range l.register.nodes[:l.register.n] {
		out.send(KindDelete, id)
	}
}

// repair asks for gaps. A gap is asked for after a time without progress; from then on ranges go out as fast as answers come in, until
// what was known when it began is delivered.
type repair struct {
	active bool
	since  Time     // of the last progress
	next   Instance // the delivered watermark then
	asked  Instance // everything below was asked for
	end    Instance // where the gap is held to end
	turn   int      // the acceptor that is asked for values; the others for votes alone
}

// Bounds of the ranges that are asked for.
const (
	repairRange = repeatStored
	repairAhead = 4 * repairRange
)

func (r *repair) deadline(l *Learner) Time {
	if l.next >= l.high {
		return never
	}
	return r.since + l.cfg.Repair
}

func (l *Learner) tickRepair(now Time, out *Outbox) {
	r := &l.repair
	if l.next >= l.high {
		r.active, r.since, r.next = false, now, l.next
		return
	}
	if l.next != r.next {
		r.since, r.next = now, l.next
		if !r.active {
			return
		}
	} else if now-r.since >= l.cfg.Repair {
		// Nothing moved: begin anew, with the next acceptor.
		r.active, r.since, r.asked, r.end = true, now, l.next, l.high
		r.turn = (r.turn + 1) % len(l.cfg.Members.Acceptors)
	}
	if !r.active {
		return
	}
	if l.next >= r.end {
		r.active = false
		return
	}
	l.ask(out)
}

// ask sends for the holes between what was asked for and the bound ahead of the delivered watermark.
func (l *Learner) ask(out *Outbox) {
	r := &l.repair
	r.asked = max(r.asked, l.next)
	for limit := min(l.next+repairAhead, r.end, l.next+l.mask+1); r.asked < limit; {
		from := r.asked
		for from < limit && l.ready(from) {
			from++
		}
		until := from
		for until < limit && until-from < repairRange && !l.ready(until) {
			until++
		}
		r.asked = until
		if from == until {
			return
		}
		l.Counters.Repeats++
		for k, id := range l.cfg.Members.Acceptors {
			m := out.send(KindRepeat, id)
			m.Instance, m.Until = from, until
			if k == r.turn {
				m.Flags = FlagValues
			}
		}
	}
}

// replies gathers, per client node, the sequences that were delivered, and sends them once a burst.
type replies struct {
	to   [MaxNodes]replyList
	list [MaxNodes]NodeID // with something to send
	n    int
	most int // bytes of one Reply
}

type replyList struct {
	data []byte
	last ReplyRange
}

func newReplies(mtu int) replies { return replies{most: room(KindReply, mtu)} }

// add notes the outcome of one value. The bytes of a list come from the outbox: they live as long as the message that carries them.
func (r *replies) add(node NodeID, c ClientID, sequence uint64, status Status, out *Outbox) {
	t := &r.to[node]
	last := &t.last
	if last.Count > 0 && last.Client == c && last.Status == status && last.First+uint64(last.Count) == sequence && last.Count < SessionSpan {
		last.Count++
		return
	}
	if last.Count > 0 {
		r.close(t)
		if len(t.data) == r.most {
			r.send(node, 0, out)
		}
	}
	if t.data == nil {
		t.data = out.bytes(r.most)
		if t.data == nil {
			return // the client asks again
		}
		t.data = t.data[:0]
		if !r.listed(node) {
			r.list[r.n] = node
			r.n++
		}
	}
	*last = ReplyRange{Client: c, First: sequence, Count: 1, Status: status}
}

func (r *replies) listed(node NodeID) bool {
	for _, id := range r.list[:r.n] {
		if id == node {
			return true
		}
	}
	return false
}

func (r *replies) close(t *replyList) {
	n := len(t.data)
	t.data = t.data[:n+replyEntrySize]
	putReplyRange(t.data[n:], t.last)
	t.last.Count = 0
}

func (r *replies) send(node NodeID, watermark Instance, out *Outbox) {
	m := out.send(KindReply, node)
	m.Instance, m.Data = watermark, r.to[node].data
	r.to[node].data = nil
}

// flush sends what was gathered.
func (r *replies) flush(watermark Instance, out *Outbox) {
	for _, node := range r.list[:r.n] {
		t := &r.to[node]
		if t.last.Count > 0 {
			r.close(t)
		}
		if len(t.data) > 0 {
			r.send(node, watermark, out)
		}
		t.data = nil
	}
	r.n = 0
}
