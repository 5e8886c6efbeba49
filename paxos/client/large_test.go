package client

import (
	"bytes"
	"testing"

	"wirepaxos/paxos"
)

// largeRig is a client of a cluster that takes values of 64 KiB.
func largeRig(t *testing.T, outstanding int) *rig {
	return newRig(t, func(c *Config) {
		c.Sessions, c.Outstanding, c.MaxValue, c.ClusterMax = 1, outstanding, paxos.MaxValueBytes, paxos.MaxValueBytes
	})
}

// parts puts together what the last step sent in fragments, by sequence, and counts the frames.
func (r *rig) parts() (values map[uint64][]byte, frames int) {
	r.t.Helper()
	values, have := map[uint64][]byte{}, map[uint64]int{}
	for _, m := range r.sent(paxos.KindSubmitPart) {
		if size := paxos.FrameHeaderSize + paxos.EncodedSize(&m); size > rigMTU {
			r.t.Fatalf("a fragment of %d bytes does not fit a frame of %d", size, rigMTU)
		}
		if m.Client != r.c.IDs()[0] || m.Offset%paxos.FragmentUnit != 0 {
			r.t.Fatalf("a fragment of client %d at offset %d", m.Client, m.Offset)
		}
		if values[m.Sequence] == nil {
			values[m.Sequence] = make([]byte, m.Total)
		}
		copy(values[m.Sequence][m.Offset:], m.Data)
		have[m.Sequence] += len(m.Data)
		frames++
	}
	for sequence, batch := range values {
		var v paxos.Value
		rest, ok := paxos.NextValue(batch, &v)
		if !ok || len(rest) > 0 || have[sequence] != len(batch) || v.Sequence != sequence || v.Node != rigNode {
			r.t.Fatalf("sequence %d: %d of %d bytes, %+v", sequence, have[sequence], len(batch), v.Sequence)
		}
		values[sequence] = v.Data
	}
	return values, frames
}

func TestLargeValueLeavesInFragments(t *testing.T) {
	r := largeRig(t, 4)
	for i, size := range []int{paxos.MaxValue(rigMTU) + 1, 5000, paxos.MaxValueBytes} {
		value := bytes.Repeat([]byte{byte('a' + i)}, size)
		r.step(string(value))
		values, frames := r.parts()
		if len(values) != 1 || !bytes.Equal(values[uint64(i+1)], value) || frames < 2 || len(r.sent(paxos.KindSubmit)) != 0 {
			t.Errorf("%d bytes: %d values in %d fragments", size, len(values), frames)
		}
	}
	r.step(string(make([]byte, paxos.MaxValue(rigMTU))))
	if len(r.sent(paxos.KindSubmit)) != 1 || len(r.sent(paxos.KindSubmitPart)) != 0 {
		t.Error("a value that fits a frame did not leave in one")
	}
	r.reply(learnerA, 1, 4, paxos.StatusDelivered)
	r.step()
	if r.c.large.flying != 0 || r.c.Submit(0, make([]byte, paxos.MaxValueBytes+1)) {
		t.Errorf("%d frames in flight with nothing open, or a value over the limit was taken", r.c.large.flying)
	}
}

// What is not answered is sent again, all of it and under the same name.
func TestLargeValueIsSentAgain(t *testing.T) {
	r := largeRig(t, 4)
	r.step(string(make([]byte, 5000)))
	for range 400 {
		r.now += 250e3
		if r.step(); len(r.sent(paxos.KindSubmitPart)) > 0 {
			break
		}
	}
	if values, frames := r.parts(); len(values) != 1 || len(values[1]) != 5000 || frames != 4 || r.c.Counters.Retries != 1 {
		t.Errorf("%d values in %d fragments, %d retries", len(values), frames, r.c.Counters.Retries)
	}
}

// However long values took before, and however often it was sent, a large value is sent again within the longest patience.
func TestLargeValueRestsNoLongerThanPatience(t *testing.T) {
	r := largeRig(t, 4)
	r.c.took = 1000 * rigRetry
	r.step(string(make([]byte, 5000)))
	sent := r.now
	for tries := 0; tries < 8; {
		r.now += rigRetry / 4
		if r.step(); len(r.sent(paxos.KindSubmitPart)) > 0 {
			tries++
			sent = r.now
		}
		if r.now-sent > (1<<mostPatience+2)*rigRetry {
			t.Fatalf("after %d tries nothing was sent for %d retry times", tries, (r.now-sent)/rigRetry)
		}
	}
}

// A client has a bounded number of frames of large values in flight. The others wait for answers and are sent then, in any case each of them once.
func TestLargeValuesInFlightAreBounded(t *testing.T) {
	r := largeRig(t, 64)
	r.out.Reset()
	r.c.Begin(r.now, r.out)
	for i := range 40 {
		if !r.c.Submit(0, bytes.Repeat([]byte{byte(i)}, paxos.MaxValueBytes)) {
			t.Fatalf("value %d was refused", i)
		}
	}
	r.c.End()
	answered, sent := uint64(0), map[uint64]bool{}
	for range 100 {
		values, frames := r.parts()
		if frames > mostFlying || r.c.large.flying > mostFlying {
			t.Fatalf("%d frames in one step, %d in flight, want at most %d", frames, r.c.large.flying, mostFlying)
		}
		for sequence, value := range values {
			if sent[sequence] || len(value) != paxos.MaxValueBytes || value[0] != byte(sequence-1) {
				t.Fatalf("sequence %d: sent before: %v, %d bytes", sequence, sent[sequence], len(value))
			}
			sent[sequence] = true
		}
		if r.now += 1000; sent[answered+1] {
			answered++
			r.reply(learnerA, answered, 1, paxos.StatusDelivered)
		}
		r.step()
	}
	if len(sent) != 40 || r.c.Counters.Delivered != 40 || r.c.large != (large{}) {
		t.Errorf("%d values sent, %d delivered, %+v", len(sent), r.c.Counters.Delivered, r.c.large)
	}
}

// What waits goes before what is submitted later, and the sessions take turns: with a new value for each answer nothing waits for ever.
func TestLargeValuesWaitInTurn(t *testing.T) {
	const sessions, outstanding = 3, 20
	var r *rig
	r = newRig(t, func(c *Config) {
		c.Sessions, c.Outstanding, c.MaxValue, c.ClusterMax = sessions, outstanding, paxos.MaxValueBytes, paxos.MaxValueBytes
		c.Done = func(_ paxos.Time, o *Outcome) { r.c.Submit(o.Session, make([]byte, paxos.MaxValueBytes)) }
	})
	place := map[paxos.ClientID]int{}
	for i, id := range r.c.IDs() {
		place[id] = i
	}
	type sending struct {
		session  int
		sequence uint64
	}
	var flying []sending // in the order in which they were sent
	var last [sessions]uint64
	note := func() {
		for _, m := range r.sent(paxos.KindSubmitPart) {
			s := sending{place[m.Client], m.Sequence}
			if m.Offset > 0 {
				continue
			}
			if s.sequence != last[s.session]+1 {
				t.Fatalf("session %d sent sequence %d after %d", s.session, s.sequence, last[s.session])
			}
			last[s.session] = s.sequence
			flying = append(flying, s)
		}
	}
	r.out.Reset()
	r.c.Begin(r.now, r.out)
	for s := range sessions {
		for range outstanding {
			r.c.Submit(s, make([]byte, paxos.MaxValueBytes))
		}
	}
	r.c.End()
	note()
	for range 10 * sessions * outstanding {
		s := flying[0]
		flying = flying[1:]
		r.now += 1000
		r.in = append(r.in, paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: replyData(r.c.IDs()[s.session], s.sequence, 1, paxos.StatusDelivered)})
		r.step()
		note()
	}
	for s := range last {
		if share := uint64(10 * outstanding); last[s] < share-outstanding || last[s] > share+outstanding {
			t.Errorf("the sessions sent %v values, want about %d each", last, share)
		}
	}
}

func TestLargeValuesAllocateNothing(t *testing.T) {
	r := largeRig(t, 4)
	value := make([]byte, 20_000)
	in := make([]paxos.Message, 1)
	data := replyData(r.c.IDs()[0], 1, 1, paxos.StatusDelivered)
	r.c.cfg.Done = nil
	sequence := uint64(0)
	if n := testing.AllocsPerRun(500, func() {
		sequence++
		r.now += 1000
		r.out.Reset()
		r.c.Step(r.now, nil, r.out)
		if !r.c.Submit(0, value) {
			t.Fatal("refused")
		}
		r.c.End()
		data[8], data[9] = byte(sequence), byte(sequence>>8)
		in[0] = paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: data}
		r.c.Step(r.now, in, r.out)
	}); n != 0 || r.c.Counters.Delivered < 500 {
		t.Errorf("%v allocations a value, %d delivered", n, r.c.Counters.Delivered)
	}
}
