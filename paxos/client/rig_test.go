package client

import (
	"encoding/binary"
	"testing"

	"wirepaxos/paxos"
)

// rig drives a client by hand: what it sends is read from its outbox, what it is told is written into its steps.
type rig struct {
	t        *testing.T
	c        *Client
	now      paxos.Time
	out      *paxos.Outbox
	in       []paxos.Message
	outcomes []Outcome
}

const (
	rigRetry  paxos.Time = 16e6
	rigLease  paxos.Time = 800e6
	rigMTU               = 1500
	rigNode              = paxos.NodeID(9)
	proposerA            = paxos.NodeID(1)
	proposerB            = paxos.NodeID(2)
	learnerA             = paxos.NodeID(5)
	learnerB             = paxos.NodeID(6)
)

func rigConfig() Config {
	return Config{
		Node: rigNode, Proposers: []paxos.NodeID{proposerA, proposerB}, Learners: []paxos.NodeID{learnerA, learnerB}, Sessions: 2,
		Outstanding: 4, MaxValue: 64, MTU: rigMTU, Retry: rigRetry, Lease: rigLease, Seed: 7,
	}
}

// newRig has all sessions open, in generation 1, with nothing delivered.
func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := newUnopened(t, change)
	r.step()
	for i := range r.c.sessions {
		r.session(i, paxos.StatusOpened, 1, 1)
	}
	r.step()
	return r
}

// newUnopened has not said anything yet.
func newUnopened(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, out: paxos.NewOutbox(), now: 1e9}
	cfg := rigConfig()
	cfg.Done = func(_ paxos.Time, o *Outcome) { r.outcomes = append(r.outcomes, *o) }
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg, r.now)
	if err != nil {
		t.Fatal(err)
	}
	r.c = c
	return r
}

// step steps the client with what tell and reply gathered, and submits values between Step and End.
func (r *rig) step(values ...string) {
	r.t.Helper()
	r.out.Reset()
	r.c.Step(r.now, r.in, r.out)
	r.in = nil
	for _, v := range values {
		if !r.c.Submit(0, []byte(v)) {
			r.t.Fatalf("value %q was refused", v)
		}
	}
	r.c.End()
}

// after lets time pass, in quarters of a millisecond, and returns what was sent meanwhile.
func (r *rig) after(d paxos.Time) (sent []paxos.Value) {
	r.t.Helper()
	for end := r.now + d; r.now < end; {
		r.now = min(end, r.now+250e3)
		r.step()
		sent = append(sent, r.values()...)
	}
	return sent
}

// sent are the messages of a kind that the last step sent.
func (r *rig) sent(kind paxos.Kind) (list []paxos.Message) {
	for _, m := range r.out.Now {
		if m.Kind == kind {
			list = append(list, m)
		}
	}
	return list
}

// values are those that the last step sent, copied.
func (r *rig) values() (list []paxos.Value) {
	r.t.Helper()
	for _, m := range r.sent(paxos.KindSubmit) {
		if size := paxos.FrameHeaderSize + paxos.EncodedSize(&m); size > rigMTU {
			r.t.Fatalf("a Submit of %d bytes does not fit a frame of %d", size, rigMTU)
		}
		for rest := m.Data; len(rest) > 0; {
			var v paxos.Value
			var ok bool
			if rest, ok = paxos.NextValue(rest, &v); !ok {
				r.t.Fatal("a Submit that cannot be read")
			}
			v.Data = append([]byte(nil), v.Data...)
			list = append(list, v)
		}
	}
	return list
}

// reply is told in the next step: sequences [first, first+count) of session 0.
func (r *rig) reply(from paxos.NodeID, first uint64, count uint32, status paxos.Status) {
	r.in = append(r.in, paxos.Message{Kind: paxos.KindReply, From: from, Data: replyData(r.c.IDs()[0], first, count, status)})
}

func replyData(id paxos.ClientID, first uint64, count uint32, status paxos.Status) []byte {
	return replyOf(id, 1, first, count, status)
}

func replyOf(id paxos.ClientID, generation uint32, first uint64, count uint32, status paxos.Status) []byte {
	return putReply(nil, id, generation, first, count, status)
}

// putReply appends a range to the data of a Reply. (PROTOCOL.md, Reply: client, first sequence, count, status, generation)
func putReply(b []byte, id paxos.ClientID, generation uint32, first uint64, count uint32, status paxos.Status) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(id))
	b = binary.LittleEndian.AppendUint64(b, first)
	b = binary.LittleEndian.AppendUint32(b, count|uint32(status)<<16)
	return binary.LittleEndian.AppendUint32(b, generation)
}

// session is told in the next step: the answer to the present attempt of a session.
func (r *rig) session(s int, status paxos.Status, generation uint32, next uint64) {
	e := &r.c.sessions[s]
	r.in = append(r.in, paxos.Message{
		Kind: paxos.KindSession, From: learnerA, Client: e.id, Hash: e.hold.token, Offset: uint32(status), Total: generation, Sequence: next,
	})
}

// busy is told in the next step.
func (r *rig) busy(from paxos.NodeID, reason paxos.Reason, leader paxos.NodeID) {
	r.in = append(r.in, paxos.Message{Kind: paxos.KindBusy, From: from, Reason: reason, Leader: leader})
}

func (r *rig) ok(from paxos.NodeID) {
	r.in = append(r.in, paxos.Message{Kind: paxos.KindOK, From: from, Flags: paxos.FlagClient})
}

// sequences of a list of values.
func sequences(list []paxos.Value) []uint64 {
	s := make([]uint64, len(list))
	for i := range list {
		s[i] = list[i].Sequence
	}
	return s
}
