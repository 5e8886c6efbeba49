package paxos

import "fmt"

// The bench's client: four sessions on one node, each value sent to every proposer and again until a learner answers.

const benchSessions = 4

// valueOf is what the nth value of all says: its length follows from n, so that small and large ones mix.
func (b *bench) valueOf(n uint64) []byte {
	v := fmt.Appendf(nil, "value %d ", n)
	size := int(n*7919) % b.check.longest
	if b.cfg.maxValue > 0 && n%5 == 0 {
		size = b.cfg.maxValue - int(n%7)*b.cfg.maxValue/8
	}
	for len(v) < size {
		v = append(v, byte('a'+(len(v)+int(n))%26))
	}
	return v
}

// nameOf is the session and sequence of the nth value of all, from 1.
func nameOf(n uint64) (ClientID, uint64) {
	return ClientID(100 + n%benchSessions), (n + benchSessions - 1) / benchSessions
}

func numberOf(c ClientID, sequence uint64) uint64 {
	n := (sequence-1)*benchSessions + uint64(c-100)
	if c == 100 {
		n += benchSessions
	}
	return n
}

func (b *bench) client(in []Message) {
	for _, m := range in {
		if m.Kind == KindSession {
			if Status(m.Offset) != StatusOpened || b.opened[m.Client] != 0 && b.opened[m.Client] != m.Total {
				b.fatalf("session %d: %v in generation %d, was %d", m.Client, Status(m.Offset), m.Total, b.opened[m.Client])
			}
			b.opened[m.Client] = m.Total
		}
		if m.Kind != KindReply {
			continue
		}
		for r, rest, ok := NextReplyRange(m.Data); ok; r, rest, ok = NextReplyRange(rest) {
			for i := range uint64(r.Count) {
				if r.Status != StatusDelivered {
					b.fatalf("client %d, sequence %d: %v", r.Client, r.First+i, r.Status)
				}
				b.replied[numberOf(r.Client, r.First+i)] = true
			}
		}
	}
}

// submit sends the nth value to every proposer; where its session is not open yet, the open.
func (b *bench) submit(n uint64) {
	c, sequence := nameOf(n)
	if b.opened[c] == 0 {
		b.put(&Value{Client: c, Kind: ValueOpen, Node: benchClient, Data: le.AppendUint64(nil, uint64(c))})
		return
	}
	oldest := uint64(1)
	for oldest < sequence && b.replied[numberOf(c, oldest)] {
		oldest++
	}
	b.put(&Value{Client: c, Sequence: sequence, Oldest: oldest, Generation: b.opened[c], Node: benchClient, Data: b.valueOf(n)})
}

func (b *bench) put(v *Value) {
	buf := make([]byte, ValueOverhead+len(v.Data))
	PutValue(buf, 0, v)
	for _, id := range b.members.Proposers {
		if len(v.Data) <= MaxValue(benchMTU) {
			b.send(benchClient, &Message{Kind: KindSubmit, To: id, Data: buf})
			continue
		}
		b.parts.Reset()
		b.parts.SendParts(id, benchMTU, v, buf, 0)
		for i := range b.parts.Now {
			b.send(benchClient, &b.parts.Now[i])
		}
	}
}

func (b *bench) registerClient() {
	for _, id := range b.members.Learners {
		b.send(benchClient, &Message{Kind: KindHi, Flags: FlagClient, To: id, Total: 600_000})
	}
}

// drive submits values until n are answered, at most 32 at once, and calls trouble now and then.
func (b *bench) drive(n uint64, limit Time, trouble func()) {
	b.t.Helper()
	var last, lastTrouble Time = b.now - 5e6, b.now
	ok := b.run(limit, func() bool {
		if trouble != nil && b.now-lastTrouble >= 20e6 {
			lastTrouble = b.now
			trouble()
		}
		if b.now-last < 5e6 {
			return false
		}
		last = b.now
		b.registerClient()
		unanswered := 0
		for s := uint64(1); s <= n && unanswered < 32; s++ {
			if !b.replied[s] {
				unanswered++
				b.submit(s)
			}
		}
		return unanswered == 0
	})
	if !ok {
		b.fatalf("%d of %d values answered", len(b.replied), n)
	}
}

// settle heals the network, waits until every learner has delivered all that was chosen, and holds them to one history with each value
// once. (Above that, instances may be known that a dead leader proposed and no quorum accepted.)
func (b *bench) settle(n int) {
	b.t.Helper()
	b.loss, b.dup = 0, 0
	b.cut = [MaxNodes]bool{}
	b.paused, b.drops = [MaxNodes]Time{}, nil
	var first *Learner
	if !b.run(4e9, func() bool {
		for i, id := range b.members.Learners {
			if l := b.learners[id]; i == 0 {
				first = l
			} else if l.next != first.next {
				return false
			}
		}
		return first.count >= uint64(n) && first.next == b.check.end
	}) {
		for _, id := range b.members.Learners {
			l := b.learners[id]
			b.t.Errorf("learner %d: next %d, high %d, low %d, %d values", id, l.next, l.high, l.state.low, l.count)
		}
		b.fatalf("learners do not settle at %d values", n)
	}
	for _, id := range b.members.Learners {
		if l := b.learners[id]; l.count != uint64(n) || l.hash != first.hash {
			b.fatalf("learner %d: %d values, hash %x, watermark %d; the first has %d, %x, %d; want %d values",
				id, l.count, l.hash, l.next, first.count, first.hash, first.next, n)
		}
	}
}
