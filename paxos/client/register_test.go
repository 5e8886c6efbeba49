package client

import (
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// his counts the registrations sent to a learner while time passes.
func (r *rig) his(d paxos.Time, to paxos.NodeID) (n int) {
	r.t.Helper()
	for end := r.now + d; r.now < end; {
		r.after(250e3)
		for _, m := range r.sent(paxos.KindHi) {
			if m.Flags&paxos.FlagClient == 0 || m.Total != uint32(rigLease/1e6) {
				r.t.Errorf("a registration that is none of a client, or for %d ms", m.Total)
			}
			if m.To == to {
				n++
			}
		}
	}
	return n
}

func TestRegistersUntilAnswered(t *testing.T) {
	r := newRig(t, nil)
	if n := r.his(rigRetry, learnerA); n < 3 || n > 6 { // SEEDS, fault 10: the OK may be lost
		t.Errorf("%d registrations in a retry time without an answer, want one each quarter", n)
	}
	r.in = append(r.in, paxos.Message{Kind: paxos.KindOK, From: learnerA}) // of a learner's registration, not a client's
	r.ok(learnerB)
	if n := r.his(rigRetry, learnerA); n < 3 {
		t.Errorf("an OK that was not for this registration ended it: %d more", n)
	}
	r.ok(learnerA)
	if n := r.his(2*rigRetry, learnerA); n != 0 {
		t.Errorf("%d registrations after the answer, before the renewal", n)
	}
}

func TestRenewsLongBeforeTheLeaseEnds(t *testing.T) {
	r := newRig(t, nil)
	r.step()
	r.ok(learnerA)
	r.step()
	if d := r.c.Deadline(); d > r.now+rigLease/4 {
		t.Errorf("the next tick is due after %d ns", d-r.now)
	}
	renewals := 0
	for end := r.now + 2*rigLease; r.now < end; {
		if r.his(250e3, learnerA) > 0 {
			renewals++
			r.ok(learnerA)
		}
	}
	if renewals < 7 || renewals > 8 {
		t.Errorf("%d registrations in two leases, each answered at once, want one each quarter of a lease", renewals)
	}
}

// A learner that was restarted knows no clients. Its silence is the only sign.
func TestRegistersAgainInSilence(t *testing.T) {
	r := newRig(t, nil)
	r.step()
	r.ok(learnerA)
	r.step("one")
	if n := r.his(rigRetry+rigRetry/2, learnerA); n == 0 {
		t.Error("no registration though a value is unanswered for longer than the retry time")
	}
}

func TestNewLearnerIsToldFirst(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Proposers = c.Proposers[:1] })
	r.step()
	r.ok(learnerA)
	r.step("one")
	for r.c.Learner() == learnerA && r.now < 2e9 {
		r.after(250e3)
	}
	told := false
	for range 4 {
		r.after(250e3)
		for _, m := range r.out.Now {
			told = told || m.Kind == paxos.KindHi && m.To == learnerB
			if m.Kind == paxos.KindSubmit {
				if !told {
					t.Error("the value was sent again before the new learner knew where replies go")
				}
				return
			}
		}
	}
	t.Error("the value was not sent again for the new learner")
}

func TestLeave(t *testing.T) {
	r := newRig(t, nil)
	r.out.Reset()
	r.c.Leave(r.out)
	if m := r.sent(paxos.KindDelete); len(m) != 1 || m[0].To != learnerA || m[0].Flags != paxos.FlagClient {
		t.Errorf("sent %+v", m)
	}
}

func TestTrouble(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Proposers, c.Learners = c.Proposers[:1], c.Learners[:1] })
	expect := func(want string) {
		t.Helper()
		if got := r.c.Trouble(r.now); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("trouble %q, want %q", got, want)
		}
	}
	r.after(20 * rigRetry)
	expect("") // nothing is unanswered
	r.step("one")
	expect("") // only just
	r.after(11 * rigRetry)
	expect("learner does not answer")
	r.ok(learnerA)
	r.step()
	expect("quorum of acceptors")
	r.busy(proposerA, paxos.ReasonNoLeader, 0)
	r.step()
	expect("no leader yet")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.step()
	expect("")
	r.step("two")
	r.after(11 * rigRetry)
	if got := r.c.Trouble(r.now); strings.Contains(got, "no leader") {
		t.Errorf("trouble %q, which is over", got)
	}
}
