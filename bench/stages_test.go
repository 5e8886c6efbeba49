package bench

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// stageBatch is a batch of values of one client.
func stageBatch(client paxos.ClientID, sequences ...uint64) []byte {
	b, n := make([]byte, 4096), 0
	for _, s := range sequences {
		n = paxos.PutValue(b, n, &paxos.Value{Client: client, Sequence: s, Oldest: s, Generation: 1, Node: 9, Data: []byte("x")})
	}
	return b[:n]
}

func stageReply(client paxos.ClientID, first uint64, count uint16, status paxos.Status) []byte {
	b := make([]byte, 24) // PROTOCOL.md, Reply: client, first sequence, count, status, generation
	binary.LittleEndian.PutUint64(b, uint64(client))
	binary.LittleEndian.PutUint64(b[8:], first)
	binary.LittleEndian.PutUint32(b[16:], uint32(count)|uint32(status)<<16)
	return b
}

func accept(i paxos.Instance, to paxos.NodeID, batch []byte) paxos.Message {
	return paxos.Message{Kind: paxos.KindAccept, To: to, Instance: i, Total: uint32(len(batch)), Data: batch}
}

func TestStageNotes(t *testing.T) {
	const client = 0xabcdef
	batch := stageBatch(client, 9, 10, 11, 20)
	accepts := []paxos.Message{accept(7, 1, batch), accept(7, 2, batch), {Kind: paxos.KindHeartbeat}, accept(8, 1, stageBatch(client, 30))}
	replies := []paxos.Message{
		{Kind: paxos.KindReply, Data: slices.Concat(stageReply(client, 9, 12, paxos.StatusDelivered), stageReply(client, 30, 1, paxos.StatusUnknown))},
	}
	fragment := accept(9, 1, stageBatch(client, 40))
	fragment.Total++
	s, err := NewStageNotes(10)
	if err != nil {
		t.Fatal(err)
	}
	s.Observe(1, 9, paxos.RoleClient, nil, &paxos.Outbox{Now: []paxos.Message{{Kind: paxos.KindSubmit, Data: batch}}})
	s.Observe(2, 4, paxos.RoleProposer, accepts, &paxos.Outbox{Now: accepts}) // what it is told is no Accept of its own
	s.Observe(3, 1, paxos.RoleAcceptor, append(accepts[2:], fragment), &paxos.Outbox{})
	s.Observe(4, 5, paxos.RoleLearner, accepts, &paxos.Outbox{Now: replies})
	s.Observe(5, 9, paxos.RoleClient, replies, &paxos.Outbox{})
	want := []StageNote{
		{client, 10, 1, 9, StageSubmitted}, {client, 20, 1, 9, StageSubmitted},
		{client, 10, 2, 4, StageProposed}, {client, 20, 2, 4, StageProposed}, {client, 30, 2, 4, StageProposed},
		{client, 30, 3, 1, StageAccepted},
		{client, 10, 4, 5, StageDelivered}, {client, 20, 4, 5, StageDelivered},
		{client, 10, 5, 9, StageAnswered}, {client, 20, 5, 9, StageAnswered},
	}
	if got := s.Notes(); !slices.Equal(got, want) {
		t.Errorf("notes %+v,\nwant %+v", got, want)
	}
	step := func() {
		s.Observe(6, 9, paxos.RoleClient, replies, &paxos.Outbox{})
		s.batches(6, 1, StageAccepted, paxos.KindAccept, accepts)
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("noting allocates %.1f times", n)
	}
	for range stageRing {
		step()
	}
	if got := s.Notes(); len(got) != stageRing || got[0].At != 6 {
		t.Errorf("%d notes are kept, the oldest at %d", len(got), got[0].At)
	}
	if _, err := NewStageNotes(0); err == nil {
		t.Error("one in 0 was taken")
	}
}

func TestJoinStages(t *testing.T) {
	at := func(q uint64, point StagePoint, node paxos.NodeID, us int64) StageNote {
		return StageNote{Client: 1, Sequence: q, Point: point, Node: node, At: us * 1000}
	}
	value := func(q uint64, from int64) []StageNote {
		return []StageNote{
			at(q, StageAnswered, 9, from+50), at(q, StageAccepted, 3, from+90), at(q, StageAccepted, 1, from+5), at(q, StageSubmitted, 9, from),
			at(q, StageProposed, 4, from+2), at(q, StageAccepted, 2, from+12), at(q, StageAccepted, 1, from+7), at(q, StageDelivered, 5, from+20),
		}
	}
	notes := slices.Concat(
		value(10, 1000), value(20, 2000),
		[]StageNote{at(20, StageSubmitted, 9, 2030), at(20, StageAccepted, 2, 2031), at(20, StageAnswered, 9, 2099)}, // sent again, and late answers
		value(30, 500),      // before the measurement
		value(40, 3000)[1:], // not answered
	)
	got := JoinStages(notes, 2, 800_000)
	for i, want := range []struct {
		from, to string
		us       float64
	}{{"client", "proposer", 2}, {"proposer", "acceptor", 10}, {"acceptor", "learner", 8}, {"learner", "client", 30}, {"client", "client", 50}} {
		s := got[i]
		if s.From != want.from || s.To != want.to || s.Samples != 2 || s.LatencyUs.Min < want.us-0.1 || s.LatencyUs.Max > want.us+0.1 {
			t.Errorf("stage %+v, want %+v", s, want)
		}
	}
	if got := JoinStages(notes, 4, 0); got[0].Samples != 0 {
		t.Errorf("%d values without a quorum", got[0].Samples)
	}
	var b strings.Builder
	r := &Report{Stages: got}
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"stages (µs), of 2 values", "proposer to acceptor", "the whole way", "30.0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
}
