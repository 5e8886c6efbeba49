package client

import (
	"slices"
	"testing"

	"wirepaxos/paxos"
)

func TestRetryIsTheSameValue(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	if early := r.after(rigRetry - 250e3); len(early) != 0 {
		t.Fatalf("sent again within the retry time: %v", sequences(early))
	}
	again := r.after(rigRetry / 2)
	if len(again) != 1 || again[0].Sequence != 1 || string(again[0].Data) != "one" || again[0].Client != r.c.IDs()[0] {
		t.Fatalf("sent %+v, want the value once more", again)
	}
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.step()
	if o := r.outcomes; len(o) != 1 || o[0].Sends != 2 || r.c.Counters.Retries != 1 {
		t.Errorf("outcomes %+v, %d retries, want one value of two sends", o, r.c.Counters.Retries)
	}
}

// A retry names the oldest unanswered sequence of now, not of then: learners may forget what is below.
func TestRetryNamesTheOldestOfNow(t *testing.T) {
	r := newRig(t, nil)
	r.step("one", "two")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	again := r.after(2 * rigRetry)
	if len(again) == 0 || again[0].Sequence != 2 || again[0].Oldest != 2 {
		t.Errorf("sent again: %+v, want sequence 2 with oldest 2", again)
	}
}

// A step sends again a bounded number, and the rest soon after: an outbox is finite.
func TestRetriesComeInPortions(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Outstanding, c.Alone = paxos.SessionSpan, true })
	r.out.Reset()
	r.c.Begin(r.now, r.out)
	for r.c.Submit(0, []byte("x")) {
	}
	r.c.End()
	seen := map[uint64]int{}
	for range 10 {
		r.now += rigRetry / 8
		r.step()
		list := r.values()
		if len(list) > 512 {
			t.Fatalf("%d values sent again at once", len(list))
		}
		for _, v := range list {
			seen[v.Sequence]++
		}
	}
	if len(seen) != paxos.SessionSpan {
		t.Errorf("%d of %d values were sent again", len(seen), paxos.SessionSpan)
	}
	for s, n := range seen {
		if n > 1 {
			t.Fatalf("value %d was sent again %d times before all had been once", s, n)
		}
	}
}

// SEEDS, fault 12: where values take long because there are many, sending each again would make them take longer for ever.
func TestSlowIsNotLost(t *testing.T) {
	r := newRig(t, nil)
	for i := range uint64(40) {
		r.step("slow")
		r.after(4 * rigRetry)
		r.reply(learnerA, i+1, 1, paxos.StatusDelivered)
		r.step()
	}
	before := r.c.Counters.Retries
	for i := range uint64(10) {
		r.step("slow")
		r.after(4 * rigRetry)
		r.reply(learnerA, 41+i, 1, paxos.StatusDelivered)
		r.step()
	}
	if n := r.c.Counters.Retries - before; n != 0 {
		t.Errorf("%d retries of 10 values that took as long as those before", n)
	}
	for i := range uint64(40) { // and quickly back
		r.step("fast")
		r.now += 10e3
		r.reply(learnerA, 51+i, 1, paxos.StatusDelivered)
		r.step()
	}
	r.step("lost")
	if again := r.after(rigRetry + rigRetry/2); len(again) == 0 {
		t.Error("a lost value among fast ones is not sent again in the retry time")
	}
}

func TestRedirect(t *testing.T) {
	r := newRig(t, nil)
	r.step("one", "two")
	r.now += 10e3
	r.busy(proposerA, paxos.ReasonNotLeader, proposerB)
	r.step()
	if got := sequences(r.values()); !slices.Equal(got, []uint64{1, 2}) {
		t.Fatalf("sent %v after the redirect, want both values at once", got)
	}
	if to := r.sent(paxos.KindSubmit)[0].To; to != proposerB || r.c.Proposer() != proposerB || r.c.Counters.Redirects != 1 {
		t.Errorf("sent to node %d, proposer %d, %d redirects", to, r.c.Proposer(), r.c.Counters.Redirects)
	}
	r.now += 10e3
	r.busy(proposerA, paxos.ReasonNotLeader, proposerB) // of an earlier frame
	r.busy(proposerA, paxos.ReasonNoLeader, 0)
	r.step()
	if got := r.after(rigRetry / 2); len(got) != 0 || r.c.Counters.Redirects != 1 {
		t.Errorf("a proposer that is not in use any more made it send %v, %d redirects", sequences(got), r.c.Counters.Redirects)
	}
}

// What was put into the open batch before the redirect goes where it was meant to, and to the leader as well.
func TestRedirectInTheMiddleOfAStep(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Outstanding = 1 })
	r.c.cfg.Done = func(_ paxos.Time, o *Outcome) { r.c.Submit(o.Session, []byte("next")) }
	r.step("one")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.busy(proposerA, paxos.ReasonNotLeader, proposerB)
	r.step()
	m := r.sent(paxos.KindSubmit)
	if len(m) != 2 || m[0].To != proposerA || m[1].To != proposerB {
		t.Fatalf("%d messages: %+v", len(m), m)
	}
	if got := sequences(r.values()); !slices.Equal(got, []uint64{2, 2}) {
		t.Errorf("sent %v, want value 2 to both", got)
	}
}

func TestRedirectToNobodyKnown(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	r.busy(proposerA, paxos.ReasonNotLeader, 33)
	r.step()
	if r.c.Proposer() != proposerA || len(r.values()) != 0 {
		t.Errorf("turned to node %d and sent %d values", r.c.Proposer(), len(r.values()))
	}
	if got := r.after(2 * rigRetry); len(got) == 0 {
		t.Error("the value was not sent again")
	}
}

// Two proposers that name each other must not make a client send as fast as it hears.
func TestProposersThatNameEachOther(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	sends, end := 0, r.now+rigRetry
	for r.now < end {
		r.now += 20e3
		if r.c.Proposer() == proposerA {
			r.busy(proposerA, paxos.ReasonNotLeader, proposerB)
		} else {
			r.busy(proposerB, paxos.ReasonNotLeader, proposerA)
		}
		r.step()
		sends += len(r.values())
	}
	if sends == 0 || sends > 10 {
		t.Errorf("sent %d times in one retry time, want some, at most 10", sends)
	}
}

func TestNoLeaderBacksOff(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	r.now += 10e3
	r.busy(proposerA, paxos.ReasonNoLeader, 0)
	r.busy(proposerA, paxos.ReasonNoLeader, 0)
	r.step()
	if len(r.values()) != 0 {
		t.Fatal("sent again at once to a proposer that has no leader")
	}
	if d := r.c.Deadline(); d > r.now+rigRetry/8 {
		t.Errorf("the next tick is due in %d ns, want at most an eighth of the retry time", d-r.now)
	}
	if got := r.after(rigRetry/8 + 250e3); len(got) != 1 {
		t.Errorf("sent %d times within an eighth of the retry time, want once", len(got))
	}
	if r.c.Counters.Refused != 2 {
		t.Errorf("%d refusals counted", r.c.Counters.Refused)
	}
}

// Only what was sent before the refusal can have been refused.
func TestWindowFullSendsAgainWhatWasRefused(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	r.now += 10e3
	r.busy(proposerA, paxos.ReasonWindowFull, 0)
	r.step()
	r.after(rigRetry / 4)
	r.step("two")
	got := r.after(rigRetry/4 + 250e3)
	if !slices.Equal(sequences(got), []uint64{1}) {
		t.Errorf("sent %v again in half the retry time, want value 1 alone", sequences(got))
	}
}

func TestStopped(t *testing.T) {
	r := newRig(t, nil)
	r.step("one", "two")
	r.now += 10e3
	r.busy(proposerA, paxos.ReasonStopped, 0)
	r.step()
	if !r.c.Stopped() {
		t.Fatal("not stopped")
	}
	r.reply(learnerA, 1, 1, paxos.StatusDelivered) // chosen before
	r.step()
	if !r.c.Stopped() {
		t.Error("a value from before the stop was taken for a sign of life")
	}
	if got := r.after(2 * rigRetry); len(got) == 0 {
		t.Fatal("it gave up trying")
	}
	r.reply(learnerA, 2, 1, paxos.StatusDelivered)
	r.step()
	if r.c.Stopped() {
		t.Error("still stopped, though a value sent since was delivered")
	}
}

func TestSilenceTurnsToOthers(t *testing.T) {
	r := newRig(t, nil)
	r.step("one")
	type pair struct{ proposer, learner paxos.NodeID }
	tried := map[pair]bool{}
	for range 1200 {
		r.after(250e3)
		for _, m := range r.sent(paxos.KindSubmit) {
			tried[pair{m.To, r.c.Learner()}] = true
		}
	}
	if len(tried) != 4 {
		t.Errorf("tried %v, want every proposer with every learner", tried)
	}
	if r.c.Counters.Switches == 0 || r.c.Counters.Redirects == 0 {
		t.Errorf("counters %+v", r.c.Counters)
	}
}

func TestAnswersKeepTheProposer(t *testing.T) {
	r := newRig(t, nil)
	r.step("lost")
	for i := range uint64(10) {
		r.step("answered")
		r.after(rigRetry)
		r.reply(learnerA, i+2, 1, paxos.StatusDelivered)
	}
	if r.c.Counters.Switches+r.c.Counters.Redirects > 0 {
		t.Errorf("turned away from nodes that answer: %+v", r.c.Counters)
	}
}

// One of a kind is all there is: there is nobody to turn to.
func TestSilenceWithNobodyElse(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Proposers, c.Learners = c.Proposers[:1], c.Learners[:1] })
	r.step("one")
	got := r.after(20 * rigRetry)
	if len(got) < 10 || len(got) > 20 || r.c.Counters.Switches+r.c.Counters.Redirects > 0 {
		t.Errorf("sent %d times in 20 retry times; counters %+v", len(got), r.c.Counters)
	}
}
