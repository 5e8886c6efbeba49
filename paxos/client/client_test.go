package client

import (
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

func TestValuesOfAStepShareAMessage(t *testing.T) {
	r := newRig(t, nil)
	r.step("one", "two", "three")
	if n := len(r.sent(paxos.KindSubmit)); n != 1 {
		t.Fatalf("%d messages for three values, want 1", n)
	}
	for i, v := range r.values() {
		want := []string{"one", "two", "three"}[i]
		if string(v.Data) != want || v.Sequence != uint64(i+1) || v.Oldest != 1 || v.Client != r.c.IDs()[0] || v.Node != rigNode {
			t.Errorf("value %d is %+v, want %q with sequence %d", i, v, want, i+1)
		}
	}
	if to := r.sent(paxos.KindSubmit)[0].To; to != proposerA {
		t.Errorf("sent to node %d, want the first proposer", to)
	}
}

func TestAloneIsOneValueAMessage(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Alone = true })
	r.step("one", "two", "three")
	messages := r.sent(paxos.KindSubmit)
	if len(messages) != 3 {
		t.Fatalf("%d messages for three values, want 3", len(messages))
	}
	for _, m := range messages {
		var v paxos.Value
		if rest, ok := paxos.NextValue(m.Data, &v); !ok || len(rest) > 0 {
			t.Errorf("a message with more than a value: %d bytes behind the first", len(rest))
		}
	}
}

func TestFullBatchesLeave(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Outstanding, c.MaxValue = 64, paxos.MaxValue(rigMTU) })
	r.out.Reset()
	r.c.Begin(r.now, r.out)
	want := 0
	for _, size := range []int{0, 1, 700, 700, 700, paxos.MaxValue(rigMTU), 3, 1390} {
		if !r.c.Submit(0, make([]byte, size)) {
			t.Fatalf("a value of %d bytes was refused", size)
		}
		want++
	}
	r.c.End()
	if got := len(r.values()); got != want { // values holds each message to the size of a frame
		t.Errorf("%d of %d values were sent", got, want)
	}
	if r.c.Submit(0, make([]byte, paxos.MaxValue(rigMTU)+1)) {
		t.Error("a value over the limit was taken")
	}
}

func TestAnswerEndsAValue(t *testing.T) {
	r := newRig(t, nil)
	r.step("one", "two")
	r.now += 5000
	r.reply(learnerA, 1, 2, paxos.StatusDelivered)
	r.step()
	want := []Outcome{
		{Session: 0, Sequence: 1, Submitted: 1e9, Sends: 1},
		{Session: 0, Sequence: 2, Submitted: 1e9, Sends: 1},
	}
	if !slices.Equal(r.outcomes, want) {
		t.Errorf("outcomes %+v, want %+v", r.outcomes, want)
	}
	if r.c.Open(0) != 0 || r.c.Counters.Delivered != 2 || r.c.Counters.Submitted != 2 {
		t.Errorf("%d open, counters %+v", r.c.Open(0), r.c.Counters)
	}
	if sent := r.after(10 * rigRetry); len(sent) != 0 {
		t.Errorf("answered values were sent again: %v", sequences(sent))
	}
}

func TestOutcomesCarryTheStatus(t *testing.T) {
	r := newRig(t, nil)
	r.step("one", "two", "three", "four")
	statuses := []paxos.Status{paxos.StatusDelivered, paxos.StatusOutOfWindow, paxos.StatusOld, paxos.StatusFenced}
	for i, s := range statuses {
		r.reply(learnerA, uint64(i+1), 1, s)
	}
	r.step()
	for i, o := range r.outcomes {
		if o.Status != statuses[i] {
			t.Errorf("value %d ended as %v, want %v", o.Sequence, o.Status, statuses[i])
		}
	}
	if r.c.Counters.Delivered != 1 || r.c.Counters.Failed != 3 || r.c.Open(0) != 0 {
		t.Errorf("%d open, counters %+v", r.c.Open(0), r.c.Counters)
	}
}

func TestDoneMaySubmit(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Outstanding = 1 })
	r.c.cfg.Done = func(_ paxos.Time, o *Outcome) {
		if !r.c.Submit(o.Session, []byte("next")) {
			t.Error("the place of an answered value was not free")
		}
	}
	r.step("first")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.step()
	if got := r.values(); len(got) != 1 || got[0].Sequence != 2 || got[0].Oldest != 2 {
		t.Errorf("sent %+v, want sequence 2, which is the oldest then", got)
	}
}

func TestOutstandingIsALimit(t *testing.T) {
	r := newRig(t, nil)
	r.step("1", "2", "3", "4")
	if r.c.Submit(0, []byte("5")) {
		t.Error("a fifth value was taken with four unanswered")
	}
	if !r.c.Submit(1, []byte("1")) {
		t.Error("the other session has room of its own and was refused")
	}
}

// Answers come in any order. The oldest unanswered value bounds how far a session runs; learners keep no more than that.
func TestOldestUnansweredHoldsTheSession(t *testing.T) {
	const outstanding = paxos.SessionSpan / 2
	r := newRig(t, func(c *Config) { c.Outstanding = outstanding })
	sent := uint64(1)
	r.step("1")
	for {
		r.out.Reset()
		r.c.Begin(r.now, r.out)
		if !r.c.Submit(0, []byte("x")) {
			break
		}
		r.c.End()
		v := r.values()[0]
		if sent++; v.Sequence != sent || v.Oldest != 1 || v.Sequence-v.Oldest >= paxos.SessionSpan {
			t.Fatalf("value %d went out with oldest %d", v.Sequence, v.Oldest)
		}
		r.reply(learnerA, sent, 1, paxos.StatusDelivered)
		r.step()
	}
	if sent != paxos.SessionSpan {
		t.Errorf("the session ran to sequence %d with the first unanswered, want %d", sent, paxos.SessionSpan)
	}
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.step("y")
	if v := r.values(); len(v) != 1 || v[0].Oldest != sent+1 {
		t.Errorf("after the first was answered: %+v, want oldest %d", v, sent+1)
	}
}

// SEEDS, fault 12: a retry whose original was not lost must not make more of anything.
func TestLateAnswersChangeNothing(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.reply(learnerB, 1, 1, paxos.StatusDelivered)
	r.reply(learnerA, 1, 1, paxos.StatusOld)
	r.reply(learnerA, 0, 1, paxos.StatusDelivered)
	r.reply(learnerA, 2, paxos.SessionSpan, paxos.StatusDelivered) // never submitted
	r.step()
	if len(r.outcomes) != 1 || r.c.Counters.Late != 3+paxos.SessionSpan || r.c.Open(0) != 0 {
		t.Errorf("%d outcomes, %d open, counters %+v", len(r.outcomes), r.c.Open(0), r.c.Counters)
	}
}

func TestStrangersAndGarbageAreNoAnswers(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	r.in = append(r.in,
		paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: replyData(r.c.IDs()[0]+1, 1, 1, paxos.StatusDelivered)},
		paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: replyData(r.c.IDs()[0], 1, paxos.SessionSpan+1, paxos.StatusDelivered)},
		paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: replyData(r.c.IDs()[0], 1, 1, 99)},
		paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: make([]byte, 23)},
		paxos.Message{Kind: paxos.KindReply, From: learnerA},
		paxos.Message{Kind: paxos.KindAccept, From: proposerA},
	)
	r.step()
	if len(r.outcomes) != 0 || r.c.Open(0) != 1 {
		t.Errorf("%d outcomes, %d open", len(r.outcomes), r.c.Open(0))
	}
}

// What the outbox has no room for is not lost: a retry sends it.
func TestAnOutboxWithoutRoom(t *testing.T) {
	r := newRig(t, nil)
	r.out.Reset()
	r.c.Step(r.now, nil, r.out)
	for r.out.Bytes(1<<10) != nil {
	}
	if !r.c.Submit(0, []byte("one")) {
		t.Fatal("refused")
	}
	r.c.End()
	if len(r.values()) != 0 {
		t.Fatal("the arena was not full")
	}
	if got := r.after(2 * rigRetry); len(got) == 0 || string(got[0].Data) != "one" {
		t.Errorf("sent %+v later, want the value", got)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Proposers = nil }, "no proposer or no learner"},
		{func(c *Config) { c.Learners = nil }, "no proposer or no learner"},
		{func(c *Config) { c.Outstanding = 0 }, "0 outstanding values, want 1 to 1024"},
		{func(c *Config) { c.Outstanding = paxos.SessionSpan + 1 }, "takes more clients"},
		{func(c *Config) { c.Sessions = 0 }, "0 clients"},
		{func(c *Config) { c.Sessions = paxos.MaxSessions + 1 }, "16385 clients"},
		{func(c *Config) { c.MaxValue = paxos.MaxValue(rigMTU) + 1 }, "must fit one frame of 1500 bytes"},
		{func(c *Config) { c.MaxValue, c.ClusterMax = 5001, 5000 }, "values of 5001 bytes, want at most 5000: that is max_value"},
		{func(c *Config) { c.MaxValue, c.ClusterMax = 101, 100 }, "want at most 100"},
		{func(c *Config) { c.MaxValue = -1 }, "values of -1 bytes"},
		{func(c *Config) { c.Retry = 0 }, "retry after 0 ns"},
		{func(c *Config) { c.Lease = 1e6 }, "a lease of 1000000 ns"},
		{func(c *Config) { c.Sessions, c.Outstanding, c.MaxValue = paxos.MaxSessions, 1024, 1000 }, "take fewer or smaller ones"},
	} {
		cfg := rigConfig()
		c.change(&cfg)
		if _, err := New(cfg, 0); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

func TestSessionsAreDrawnFromTheSeed(t *testing.T) {
	seen := map[paxos.ClientID]bool{}
	for seed := range uint64(4) {
		for _, id := range newRig(t, func(c *Config) { c.Seed, c.Sessions = seed, 8 }).c.IDs() {
			seen[id] = true
		}
	}
	if len(seen) < 4*8-8 { // neighbouring seeds may overlap in steps of splitmix64, never within a client
		t.Errorf("%d ids of 32 differ", len(seen))
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Outstanding = 64 })
	value, next := make([]byte, 64), uint64(1)
	r.c.cfg.Done = func(_ paxos.Time, o *Outcome) { r.c.Submit(o.Session, value) }
	r.out.Reset()
	r.c.Begin(r.now, r.out)
	for r.c.Submit(0, value) {
	}
	r.c.End()
	data := replyData(r.c.IDs()[0], 1, 64, paxos.StatusDelivered)
	in := []paxos.Message{{Kind: paxos.KindReply, From: learnerA, Data: data}, {Kind: paxos.KindBusy, From: proposerA, Reason: paxos.ReasonNoLeader}}
	allocs := testing.AllocsPerRun(200, func() {
		copy(data, replyData(r.c.IDs()[0], next, 64, paxos.StatusDelivered))
	})
	both := testing.AllocsPerRun(200, func() {
		r.now += 4e6
		copy(data, replyData(r.c.IDs()[0], next, 64, paxos.StatusDelivered))
		next += 64
		r.out.Reset()
		r.c.Step(r.now, in, r.out)
		r.c.End()
		r.out.Reset()
		r.c.Tick(r.now, r.out)
		r.c.End()
	})
	if both > allocs {
		t.Errorf("a step allocates %.1f times", both-allocs)
	}
	if r.c.Counters.Delivered < 64*200 || r.c.Counters.Retries == 0 {
		t.Errorf("nothing was measured: %+v", r.c.Counters)
	}
}
