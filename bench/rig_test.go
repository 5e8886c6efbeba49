package bench

import (
	"encoding/binary"
	"slices"
	"testing"

	"wirepaxos/paxos"
	"wirepaxos/paxos/client"
)

// rig is a load on a client, before a learner of the test's own that answers what it is told to.
type rig struct {
	t     testing.TB
	load  *Load
	c     *client.Client
	out   *paxos.Outbox
	now   paxos.Time
	in    []paxos.Message
	reply []byte
	held  []paxos.Value // sent and not answered, without their data
	sent  int           // values, in the last step
	opens uint32
	first uint64 // the sequence at which sessions begin
}

const rigCycle = 1000 // ns between two steps

func newRig(t testing.TB, cfg LoadConfig) *rig { return newRigFrom(t, cfg, 1, false) }

// newRigFrom has sessions that begin at a sequence; 0: none is ever opened. With reopen, the client opens new ones for those that expire.
func newRigFrom(t testing.TB, cfg LoadConfig, first uint64, reopen bool) *rig {
	t.Helper()
	l, err := NewLoad(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, load: l, out: paxos.NewOutbox(), now: 5e9, reply: make([]byte, 0, 1<<20), held: make([]paxos.Value, 0, 1<<16), first: first}
	r.c, err = client.New(client.Config{
		Reopen: reopen, Node: 9, Proposers: []paxos.NodeID{1}, Learners: []paxos.NodeID{2}, Sessions: cfg.Sessions, Outstanding: cfg.Outstanding,
		MaxValue: cfg.Size, MTU: 1500, Retry: 1e9, Lease: 1e9, Seed: 3, Done: l.Done,
	}, r.now)
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	return r
}

// open opens the sessions of the client, before the load is told.
func (r *rig) open() {
	for range 1 + cfgSteps(r.load.cfg.Sessions) {
		r.now += 1e9 / 8
		r.out.Reset()
		r.c.Step(r.now, r.in, r.out)
		r.c.End()
		r.in = r.in[:0]
		r.takeOpens()
	}
	r.c.Step(r.now, r.in, r.out)
	r.c.End()
	r.in = r.in[:0]
}

// cfgSteps is how many steps a client needs to ask for so many sessions.
func cfgSteps(sessions int) int { return sessions / 512 }

// takeOpens answers the opens that were sent, in the next step: each session gets its place as the generation.
func (r *rig) takeOpens() {
	for _, m := range r.out.Now {
		var v paxos.Value
		for rest, ok := paxos.NextValue(m.Data, &v); m.Kind == paxos.KindSubmit && ok; rest, ok = paxos.NextValue(rest, &v) {
			if v.Kind == paxos.ValueOpen && r.first > 0 {
				r.opens++
				r.in = append(r.in, paxos.Message{
					Kind: paxos.KindSession, From: 2, Client: v.Client, Hash: binary.LittleEndian.Uint64(v.Data), Offset: uint32(paxos.StatusOpened),
					Total: r.opens, Sequence: r.first,
				})
			}
		}
	}
}

// step answers what answer gathered and lets the load go on.
func (r *rig) step() {
	r.now += rigCycle
	r.out.Reset()
	if len(r.reply) > 0 {
		r.in = append(r.in, paxos.Message{Kind: paxos.KindReply, From: 2, Data: r.reply})
	}
	r.c.Step(r.now, r.in, r.out)
	r.reply, r.in = r.reply[:0], r.in[:0]
	r.load.Fill(r.now, r.c)
	r.c.End()
	r.sent = 0
	for _, m := range r.out.Now {
		if m.Kind != paxos.KindSubmit {
			continue
		}
		var v paxos.Value
		for rest, ok := paxos.NextValue(m.Data, &v); ok; rest, ok = paxos.NextValue(rest, &v) {
			if v.Kind != paxos.ValueData {
				continue
			}
			if len(v.Data) != r.load.cfg.Size || !IsPattern(v.Data, uint64(v.Client), v.Sequence) {
				r.t.Fatalf("value %d of client %x has %d bytes, or others than its pattern", v.Sequence, v.Client, len(v.Data))
			}
			v.Data = nil
			r.held = append(r.held, v)
			r.sent++
		}
	}
	r.takeOpens()
}

// answer puts the i-th value that is held into the next step's reply.
func (r *rig) answer(i int, status paxos.Status) {
	v := r.held[i]
	r.held = slices.Delete(r.held, i, i+1)
	r.put(&v, status)
}

func (r *rig) put(v *paxos.Value, status paxos.Status) {
	at := len(r.reply)
	b := r.reply[at : at+24] // PROTOCOL.md, Reply: client, first sequence, count, status, generation
	binary.LittleEndian.PutUint64(b, uint64(v.Client))
	binary.LittleEndian.PutUint64(b[8:], v.Sequence)
	binary.LittleEndian.PutUint32(b[16:], 1|uint32(status)<<16)
	binary.LittleEndian.PutUint32(b[20:], v.Generation)
	r.reply = r.reply[:at+24]
}

// answerAll answers all that is held.
func (r *rig) answerAll() {
	for i := range r.held {
		r.put(&r.held[i], paxos.StatusDelivered)
	}
	r.held = r.held[:0]
}

// finish answers everything until the load is over, at most limit steps.
func (r *rig) finish(limit int) {
	r.t.Helper()
	for range limit {
		if r.load.Finished() {
			return
		}
		r.answerAll()
		r.step()
	}
	r.t.Fatalf("not finished after %d steps: %d open", limit, r.load.open)
}

func (r *rig) result() ClientResult {
	r.t.Helper()
	result, err := r.load.Result(9)
	if err != nil {
		r.t.Fatal(err)
	}
	return result
}
