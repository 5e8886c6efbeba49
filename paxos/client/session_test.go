package client

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// tokenOf is the token of an open that was sent.
func tokenOf(v paxos.Value) uint64 { return binary.LittleEndian.Uint64(v.Data) }

// kinds of a list of values.
func (r *rig) kinds(list []paxos.Value) (kinds []paxos.ValueKind) {
	for _, v := range list {
		kinds = append(kinds, v.Kind)
	}
	return kinds
}

func one(c *Config) { c.Sessions = 1 }

func TestSessionsAreOpenedFirst(t *testing.T) {
	r := newUnopened(t, nil)
	r.step("one", "two")
	opens := r.values()
	if !slices.Equal(r.kinds(opens), []paxos.ValueKind{paxos.ValueOpen, paxos.ValueOpen}) {
		t.Fatalf("sent %+v, want an open of each session", opens)
	}
	for s, v := range opens {
		if v.Client != r.c.IDs()[s] || v.Generation != 0 || v.Node != rigNode {
			t.Errorf("open %+v of session %d", v, s)
		}
	}
	if id, _ := r.c.Next(0); id.Generation != 0 {
		t.Error("open already")
	}
	again := r.after(rigRetry + rigRetry/2)
	if len(again) != 2 || tokenOf(again[0]) != tokenOf(opens[0]) || tokenOf(again[0]) == tokenOf(again[1]) {
		t.Fatalf("sent again %+v, want the same attempts", again)
	}
	r.session(0, paxos.StatusOpened, 4, 1)
	r.step("three")
	got := r.values()
	if !slices.Equal(sequences(got), []uint64{1, 2, 3}) || string(got[1].Data) != "two" || got[0].Generation != 4 || got[2].Generation != 4 {
		t.Fatalf("sent %+v once it was open, want what was submitted", got)
	}
	if ids := r.c.SessionIDs(); ids[0].Generation != 4 || ids[1].Generation != 0 {
		t.Errorf("sessions %v", ids)
	}
	if id, n := r.c.Next(0); id.Generation != 4 || n != 4 || r.c.Counters.Opened != 1 || r.c.Changes() != 1 {
		t.Errorf("next %d of %v, %+v", n, id, r.c.Counters)
	}
}

// A resumed session goes on above all that was delivered, also with what was submitted before that was known.
func TestResume(t *testing.T) {
	id := SessionID{77, 5}
	r := newUnopened(t, func(c *Config) { c.Resume = []SessionID{id} })
	r.step("one", "two", "three")
	if v := r.values()[0]; v.Kind != paxos.ValueOpen || v.Client != 77 || v.Generation != 5 {
		t.Fatalf("sent %+v, want an open that expects generation 5", v)
	}
	if v := r.values()[1]; v.Client == 77 || v.Generation != 0 {
		t.Fatalf("sent %+v, want a new session", v)
	}
	r.session(0, paxos.StatusOpened, 9, 1023)
	r.step()
	got := r.values()
	if !slices.Equal(sequences(got), []uint64{1023, 1024, 1025}) || string(got[2].Data) != "three" || got[0].Oldest != 1023 || got[0].Generation != 9 {
		t.Fatalf("sent %+v, want sequences from 1,023 on", got)
	}
	r.in = append(r.in, paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: replyOf(77, 9, 1023, 3, paxos.StatusDelivered)})
	r.step("four")
	if len(r.outcomes) != 3 || r.outcomes[2].Sequence != 1025 || r.values()[0].Sequence != 1026 {
		t.Errorf("outcomes %+v, then %+v", r.outcomes, r.values())
	}
}

// Answers of another attempt, or of another generation, are not about us: a run before on this node may have been told them.
func TestAnswersToOthersAreNotTaken(t *testing.T) {
	r := newUnopened(t, func(c *Config) { c.Sessions, c.Resume = 1, []SessionID{{77, 5}} })
	r.step("one")
	token := r.c.sessions[0].hold.token
	for _, status := range []paxos.Status{paxos.StatusOpened, paxos.StatusTaken, paxos.StatusUnknown, paxos.StatusNoRoom} {
		r.in = append(r.in, paxos.Message{
			Kind: paxos.KindSession, From: learnerA, Client: 77, Hash: token + 1, Offset: uint32(status), Total: 6, Sequence: 3,
		})
	}
	r.step()
	if ids := r.c.SessionIDs(); ids[0].Generation != 0 || r.c.Lost() != nil {
		t.Fatalf("it took the answer to another attempt: %v, %v", ids, r.c.Lost())
	}
	r.session(0, paxos.StatusOpened, 9, 4)
	r.step()
	for _, status := range []paxos.Status{paxos.StatusDelivered, paxos.StatusFenced, paxos.StatusUnknown} {
		r.in = append(r.in, paxos.Message{Kind: paxos.KindReply, From: learnerA, Data: replyOf(77, 5, 4, 1, status)})
	}
	r.step()
	if len(r.outcomes) != 0 || r.c.Lost() != nil || r.c.Open(0) != 1 {
		t.Errorf("it took an answer to a value of another generation: %+v, %v", r.outcomes, r.c.Lost())
	}
}

func TestTakenAndTakeOver(t *testing.T) {
	resume := func(c *Config) { c.Sessions, c.Resume = 1, []SessionID{{77, 5}} }
	r := newUnopened(t, resume)
	r.step("one")
	r.session(0, paxos.StatusTaken, 8, 0)
	r.step()
	var e *SessionError
	if !errors.As(r.c.Lost(), &e) || e.Status != paxos.StatusTaken || e.Present != 8 || e.ID != (SessionID{77, 5}) {
		t.Fatalf("lost: %v", r.c.Lost())
	}
	if len(r.outcomes) != 1 || r.outcomes[0].Status != paxos.StatusTaken || r.c.Submit(0, []byte("two")) {
		t.Errorf("outcomes %+v; or it takes values still", r.outcomes)
	}
	if sent := r.after(4 * rigRetry); len(sent) != 0 {
		t.Errorf("it goes on sending: %+v", sent)
	}
	if text := r.c.Trouble(r.now); !strings.Contains(text, "another client has it, in generation 8") {
		t.Errorf("trouble %q", text)
	}

	r = newUnopened(t, func(c *Config) { resume(c); c.TakeOver = true })
	r.step("one")
	first := tokenOf(r.values()[0])
	r.session(0, paxos.StatusTaken, 8, 0)
	r.step()
	if v := r.values(); len(v) != 1 || v[0].Kind != paxos.ValueOpen || v[0].Generation != 8 || tokenOf(v[0]) == first {
		t.Fatalf("sent %+v, want another attempt that expects generation 8", v)
	}
	r.session(0, paxos.StatusOpened, 10, 2)
	r.step()
	if v := r.values(); len(v) != 1 || v[0].Sequence != 2 || v[0].Generation != 10 {
		t.Errorf("sent %+v", v)
	}
}

func TestFenced(t *testing.T) {
	r := newRig(t, one)
	r.step("one", "two", "three")
	r.reply(learnerA, 1, 1, paxos.StatusDelivered)
	r.reply(learnerA, 2, 1, paxos.StatusFenced)
	r.step()
	var e *SessionError
	if !errors.As(r.c.Lost(), &e) || e.Status != paxos.StatusFenced || e.ID.Generation != 1 {
		t.Fatalf("lost: %v", r.c.Lost())
	}
	if n := len(r.outcomes); n != 3 || r.outcomes[1].Status != paxos.StatusFenced || r.outcomes[2].Status != paxos.StatusFenced || r.c.Open(0) != 0 {
		t.Errorf("outcomes %+v, want both unanswered values ended", r.outcomes)
	}
	if r.c.Submit(0, []byte("four")) || r.c.Counters.Lost != 1 {
		t.Error("a session that is lost takes values")
	}
}

// What was unanswered when a session expired is never sent in another: it may have been delivered. Its end is told as such.
func TestExpired(t *testing.T) {
	for _, reopen := range []bool{false, true} {
		r := newRig(t, func(c *Config) { c.Sessions, c.Reopen = 1, reopen })
		r.c.cfg.Done = func(_ paxos.Time, o *Outcome) {
			r.outcomes = append(r.outcomes, *o)
			if r.c.Submit(0, []byte("from done")) {
				t.Error("a session takes values while it is lost")
			}
		}
		before := r.c.IDs()[0]
		r.step("one", "two")
		r.reply(learnerA, 2, 1, paxos.StatusUnknown)
		r.step()
		if len(r.outcomes) != 2 || r.outcomes[0].Status != paxos.StatusUnknown || r.outcomes[0].Sequence != 1 || r.c.Open(0) != 0 {
			t.Errorf("outcomes %+v, want both ended", r.outcomes)
		}
		if (r.c.Lost() == nil) != reopen || (r.c.IDs()[0] != before) != reopen {
			t.Errorf("reopen %v: lost %v, session %x, was %x", reopen, r.c.Lost(), r.c.IDs()[0], before)
		}
		if !reopen {
			continue
		}
		if v := r.values(); len(v) != 1 || v[0].Kind != paxos.ValueOpen || v[0].Generation != 0 || v[0].Client == before {
			t.Fatalf("sent %+v, want the open of a new session", v)
		}
		r.session(0, paxos.StatusOpened, 7, 1)
		r.step("new")
		if v := r.values(); len(v) != 1 || v[0].Sequence != 1 || string(v[0].Data) != "new" || v[0].Generation != 7 {
			t.Errorf("sent %+v", v)
		}
	}
}

func TestNoRoom(t *testing.T) {
	r := newUnopened(t, one)
	r.step("one")
	r.session(0, paxos.StatusNoRoom, 0, 0)
	r.step()
	if err := r.c.Lost(); err == nil || !strings.Contains(err.Error(), "raise sessions in the cluster file") {
		t.Errorf("lost: %v", err)
	}
	if len(r.outcomes) != 1 || r.outcomes[0].Status != paxos.StatusNoRoom {
		t.Errorf("outcomes %+v", r.outcomes)
	}
}

// watermark tells how far a learner is, in the next step.
func (r *rig) watermark(at paxos.Instance) {
	r.in = append(r.in, paxos.Message{Kind: paxos.KindOK, From: learnerA, Flags: paxos.FlagClient, Low: at})
}

// An idle session is renewed by log position, by the open that it was opened with; one that is used is not.
func TestIdleSessionsAreRenewed(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SessionIdle = 400 })
	token := r.c.sessions[1].hold.token
	r.watermark(99)
	r.step()
	if v := r.values(); len(v) != 0 {
		t.Fatalf("sent %+v before a quarter of the idle time", v)
	}
	r.step("used")
	data := replyData(r.c.IDs()[0], 1, 1, paxos.StatusDelivered)
	r.in = append(r.in, paxos.Message{Kind: paxos.KindReply, From: learnerA, Instance: 100, Data: data})
	r.step()
	v := r.values()
	if len(v) != 1 || v[0].Kind != paxos.ValueOpen || v[0].Client != r.c.IDs()[1] || v[0].Generation != 1 || tokenOf(v[0]) != token {
		t.Fatalf("sent %+v, want the open of session 1 again, which expects what it has", v)
	}
	if again := r.after(rigRetry + rigRetry/2); len(again) != 1 || tokenOf(again[0]) != token {
		t.Errorf("sent %+v without an answer, want it again", again)
	}
	r.session(1, paxos.StatusOpened, 1, 1)
	r.step()
	if again := r.after(4 * rigRetry); len(again) != 0 || r.c.Counters.Renewed != 1 {
		t.Errorf("sent %+v after the answer; %+v", again, r.c.Counters)
	}
	r.watermark(200)
	r.step()
	if v := r.values(); len(v) != 2 {
		t.Errorf("sent %+v after another quarter, want both", v)
	}
}

// The answers that a renewal may get besides.
func TestRenewalFindsTheSessionLost(t *testing.T) {
	for _, c := range []struct {
		status     paxos.Status
		generation uint32
		want       paxos.Status
	}{
		{paxos.StatusUnknown, 0, paxos.StatusUnknown},
		{paxos.StatusTaken, 6, paxos.StatusFenced},
		{paxos.StatusOpened, 6, paxos.StatusUnknown}, // a copy of the first open made it anew
	} {
		r := newRig(t, func(c *Config) { c.Sessions, c.SessionIdle = 1, 400 })
		r.watermark(500)
		r.step("one")
		r.session(0, c.status, c.generation, 1)
		r.step()
		var e *SessionError
		if !errors.As(r.c.Lost(), &e) || e.Status != c.want || len(r.outcomes) != 1 || r.outcomes[0].Status != c.want {
			t.Errorf("%v: lost %v, outcomes %+v", c.status, r.c.Lost(), r.outcomes)
		}
		if sent := r.after(4 * rigRetry); len(sent) != 0 {
			t.Errorf("%v: sent %+v", c.status, sent)
		}
	}
}

func TestLeaveCloses(t *testing.T) {
	for _, keep := range []bool{false, true} {
		r := newUnopened(t, func(c *Config) { c.Keep = keep })
		r.step()
		r.session(0, paxos.StatusOpened, 3, 1)
		r.step()
		r.out.Reset()
		r.c.Leave(r.out)
		v := r.values()
		if keep && len(v) != 0 || !keep && (len(v) != 1 || v[0].Kind != paxos.ValueClose || v[0].Generation != 3 || v[0].Client != r.c.IDs()[0]) {
			t.Errorf("keep %v: sent %+v, want a close of the session that is open", keep, v)
		}
	}
}

// Without an answer to an open the client tries others, as for values.
func TestOpensFindTheLeader(t *testing.T) {
	r := newUnopened(t, one)
	r.step()
	r.busy(proposerA, paxos.ReasonNotLeader, proposerB)
	r.step()
	if v := r.sent(paxos.KindSubmit); len(v) != 1 || v[0].To != proposerB {
		t.Errorf("sent %+v, want the open to who leads", v)
	}
	r.after(20 * rigRetry)
	if r.c.Counters.Switches == 0 || r.c.Counters.Redirects < 2 {
		t.Errorf("it stays with those that do not answer: %+v", r.c.Counters)
	}
	if text := r.c.Trouble(r.now); text == "" {
		t.Error("no trouble, though nobody answers")
	}
}

func TestSessionIDs(t *testing.T) {
	for _, text := range []string{"00c2f1a09be07d11.17", "ffffffffffffffff.4294967295", "0000000000000001.1"} {
		if id, err := ParseSessionID(text); err != nil || id.String() != text {
			t.Errorf("%s: %v, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "1.1", "00c2f1a09be07d11", "00c2f1a09be07d11.0", "00c2f1a09be07d11.017", "00C2F1A09BE07D11.1", "00c2f1a09be07d11.4294967296"} {
		if _, err := ParseSessionID(text); err == nil || !strings.Contains(err.Error(), "16 hexadecimal digits") {
			t.Errorf("%q: %v", text, err)
		}
	}
	cfg := rigConfig()
	cfg.Resume = []SessionID{{1, 1}, {1, 2}}
	if _, err := New(cfg, 0); err == nil || !strings.Contains(err.Error(), "resumed twice") {
		t.Errorf("%v", err)
	}
	cfg.Resume = make([]SessionID, 3)
	if _, err := New(cfg, 0); err == nil || !strings.Contains(err.Error(), "3 sessions to resume, and 2 clients") {
		t.Errorf("%v", err)
	}
}

// A copy of the first open may find no room where another copy did; its answer comes late. The session is the client's all the same.
func TestNoRoomForACopyOfTheFirstOpen(t *testing.T) {
	r := newUnopened(t, one)
	r.step("one")
	r.session(0, paxos.StatusOpened, 9, 1)
	r.step()
	r.session(0, paxos.StatusNoRoom, 0, 0)
	r.step("two")
	if got := r.values(); r.c.Lost() != nil || len(r.outcomes) != 0 || !slices.Equal(sequences(got), []uint64{2}) {
		t.Errorf("lost: %v; outcomes %+v; sent %+v", r.c.Lost(), r.outcomes, got)
	}
}
