package paxos

// replies gathers, per client node, what became of values, and sends it once a burst.
type replies struct {
	to   [MaxNodes]replyList
	list [MaxNodes]NodeID // with something to send
	n    int
	most int // bytes of one Reply

	leader NodeID // what they say of who leads
}

type replyList struct {
	data []byte
	last ReplyRange
}

func newReplies(mtu int) replies { return replies{most: room(KindReply, mtu)} }

// add notes the outcome of one value. The bytes of a list come from the outbox: they live as long as the message that carries them.
func (r *replies) add(v *Value, status Status, out *Outbox) {
	node := v.Node
	t := &r.to[node]
	last := &t.last
	if last.Count > 0 && last.Client == v.Client && last.Status == status && last.First+uint64(last.Count) == v.Sequence &&
		last.Generation == v.Generation && last.Count < SessionSpan {
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
	*last = ReplyRange{Client: v.Client, First: v.Sequence, Count: 1, Status: status, Generation: v.Generation}
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
	m.Instance, m.Leader, m.Data = watermark, r.leader, r.to[node].data
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
