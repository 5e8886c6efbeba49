package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
)

// sessionsIn reads a session file, once it holds other generations than before.
func (b *bed) sessionsIn(path string, before []client.SessionID) (ids []client.SessionID) {
	b.t.Helper()
	eventually(b.t, path+" is written", func() bool {
		var err error
		if _, ids, err = newSessionFile(path, b.plan.file); err != nil {
			b.t.Fatal(err)
		}
		return len(ids) > 0 && (len(before) == 0 || ids[0] != before[0])
	}, b.describe)
	return ids
}

// A client that is killed with -9 resumes its sessions and goes on; what it was told in its first life and what it sends in the second is
// delivered once. A file of an earlier generation is refused, unless the sessions are to be taken over.
func TestSessionsOutliveTheirClient(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportUDP, learners: 2})
	id := b.plan.client
	k := b.nodes[id]
	path := filepath.Join(b.place, "sessions")
	k.args = append(k.args, "--clients", "3", "--session-file", path)
	b.startAll()
	b.goesOn("the start")
	first := b.sessionsIn(path, nil)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.kill(id)

	b.start(id)
	b.goesOn("the client's return")
	second := b.sessionsIn(path, first)
	for i := range first {
		if len(second) != 3 || second[i].Client != first[i].Client || second[i].Generation <= first[i].Generation {
			t.Fatalf("sessions %v were resumed as %v", first, second)
		}
	}
	if l := b.learners()[0]; l.Sessions != 3 {
		t.Errorf("the learners keep %d sessions, want the same three", l.Sessions)
	}
	b.stop(id) // in good order: they are kept nevertheless

	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.launch(k); err != nil {
		t.Fatal(err)
	}
	b.gone(id)
	b.tells(id, "was not resumed: another client has it, in generation ")
	b.tells(id, "take the session over with --take-over")

	k.args = append(k.args, "--take-over")
	b.start(id)
	b.goesOn("the sessions were taken over")
	third := b.sessionsIn(path, first)
	if third[0].Client != first[0].Client || third[0].Generation <= second[0].Generation {
		t.Errorf("sessions %v were taken over as %v", second, third)
	}
	b.agree()
}

func TestSessionFileIsRead(t *testing.T) {
	f := cluster.New()
	path := filepath.Join(shortDir(t), "sessions")
	s, ids, err := newSessionFile(path, f)
	if err != nil || len(ids) != 0 {
		t.Fatalf("no file yet: %v, %v", ids, err)
	}
	want := []client.SessionID{{Client: 77, Generation: 3}, {Client: 1 << 63, Generation: 4}}
	if err := s.keep(1, []client.SessionID{want[0], {Client: 9}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was written before all sessions were open")
	}
	if err := s.keep(2, want); err != nil {
		t.Fatal(err)
	}
	if _, ids, err = newSessionFile(path, f); err != nil || len(ids) != 2 || ids[0] != want[0] || ids[1] != want[1] {
		t.Errorf("read %v, %v", ids, err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		"": "not of this cluster",
		strings.Replace(string(good), "group=1", "group=2", 1): "not of this cluster",
		string(good) + "garbage\n":                             "line 4",
		strings.SplitAfter(string(good), "\n")[0]:              "no session in it",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := newSessionFile(path, f); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	s.path = filepath.Join(path, "below a file")
	if err := s.keep(3, want); err == nil || !strings.Contains(err.Error(), "name a file that can be written") {
		t.Errorf("%v", err)
	}
}
