package node

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

const lifeBound = 30 * time.Second

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for bound := time.Now().Add(lifeBound); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(bound) {
			t.Fatalf("not within %v: %s", lifeBound, what)
		}
	}
}

// Every node that is not on this loop has a way, through the port to its endpoint; those here have none and need none.
func TestRoutes(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	for _, n := range rigNodes {
		way := r.node.routes[n.id]
		if n.endpoint == "m" {
			if way.lane != nil || !r.node.here.Has(n.id) {
				t.Errorf("node %d is here and has the route %+v", n.id, way)
			}
			continue
		}
		if way.lane == nil || way.lane.port != dataplane.Port(r.ports[n.endpoint]) || !way.pass || r.node.here.Has(n.id) {
			t.Errorf("node %d has the route %+v", n.id, way)
		}
	}
	r.node.write(0, &paxos.Message{Kind: paxos.KindTrimmed, To: 60})
	r.node.write(0, &paxos.Message{Kind: paxos.KindTrimmed, To: paxos.MaxNodes})
	if r.node.Counters.NoRoute != 2 {
		t.Errorf("%d messages to nobody were counted", r.node.Counters.NoRoute)
	}
}

// Processes of one host without ready-made rings meet in shared memory; over UDP everything goes by the sockets.
func TestRoutesToOtherProcesses(t *testing.T) {
	f := rigFile(t)
	f.Cluster = draw()
	open := func(id uint16) *Process {
		p, err := Open(Spec{File: f, Nodes: []uint16{id}, StateDir: t.TempDir(), Core: CoreOfFile, Idle: cluster.IdleYield})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := open(uint16(acceptor1)), open(uint16(proposer9))
	if _, ok := a.node.routes[proposer9].lane.port.(*mem.Port); !ok || !a.node.routes[proposer9].pass {
		t.Errorf("the route from process to process is %+v", a.node.routes[proposer9])
	}
	taken := &fakePort{}
	keys := f.Endpoints()
	_, err := Open(Spec{File: f, Nodes: []uint16{uint16(proposer9)}, StateDir: t.TempDir(), Core: CoreOfFile, Idle: cluster.IdleYield,
		Links: map[string]dataplane.Port{keys[0].Key: taken}})
	if err == nil || !strings.Contains(err.Error(), "is held by pid") || !taken.closed {
		t.Errorf("a second process of node %d: %v; the port that was opened before is closed: %v", proposer9, err, taken.closed)
	}
	a.Close()
	b.Close()
	if left, _ := filepath.Glob("/dev/shm/" + ringPrefix(f.Cluster) + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// An open that fails gives back what it had opened, and says why.
func TestOpenFails(t *testing.T) {
	f := rigFile(t)
	for what, change := range map[string]func(*Spec){
		"the state directory is missing":   func(s *Spec) { s.StateDir = filepath.Join(s.StateDir, "none") },
		"no state directory":               func(s *Spec) { s.StateDir = "" },
		"the value is too large":           func(s *Spec) { s.Client.MaxValue = 1 << 16 },
		"the proposer is none":             func(s *Spec) { s.Client.Proposer = uint16(acceptor1) },
		"the core does not exist":          func(s *Spec) { s.Core = 4000 },
		"the idle strategy does not exist": func(s *Spec) { s.Idle = "sometimes" },
		"the nodes share no endpoint":      func(s *Spec) { s.Nodes = append(s.Nodes, uint16(acceptor1)) },
		"no nodes":                         func(s *Spec) { s.Nodes = nil },
	} {
		ports := map[string]*fakePort{}
		s := Spec{File: f, StateDir: t.TempDir(), Core: CoreOfFile, Links: map[string]dataplane.Port{},
			Nodes:  []uint16{uint16(acceptor3), uint16(proposer4), uint16(learner5), uint16(client6)},
			Client: &ClientSpec{Sessions: 1, Outstanding: 1, MaxValue: 64, Source: idleSource{}}}
		for _, e := range f.Endpoints() {
			if name := e.Nodes[0].Endpoint; name != "m" {
				ports[name] = &fakePort{}
				s.Links[e.Key] = ports[name]
			}
		}
		change(&s)
		p, err := Open(s)
		if err == nil {
			p.Close()
			t.Errorf("%s: it opened", what)
			continue
		}
		if p != nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", what, p, err)
		}
		for name, port := range ports {
			if !port.closed && what != "no nodes" && what != "the nodes share no endpoint" { // these are found before a port is looked at
				t.Errorf("%s: port %s stays open", what, name)
			}
		}
	}
}

// An acceptor that has run before does not vote and warns; so does one whose state directory does not survive a reboot.
func TestMarker(t *testing.T) {
	f, dir := rigFile(t), t.TempDir()
	for start, votes := range []bool{true, false, false} {
		var mu sync.Mutex
		var warnings []string
		r := newRig(t, f, "a", func(s *Spec) {
			s.StateDir = dir
			s.Warn = func(format string, _ ...any) {
				mu.Lock()
				defer mu.Unlock()
				warnings = append(warnings, format)
			}
		})
		s, err := r.statusHere()
		if err != nil || s.Acceptors[0].Votes != votes {
			t.Errorf("start %d: votes %v, %v", start, s.Acceptors[0].Votes, err)
		}
		if told := strings.Contains(strings.Join(warnings, "\n"), "does not vote"); told == votes {
			t.Errorf("start %d: warned %v", start, warnings)
		}
		r.Close()
	}
}

// statusHere is Status of a process that is not run.
func (r *rig) statusHere() (*Status, error) {
	s := &Status{}
	r.read(s)
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	back := &Status{}
	return back, json.Unmarshal(text, back)
}

// Learners and clients say goodbye when their process ends, acceptors and proposers do not.
func TestLeave(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	r.node.Leave()
	for endpoint, want := range map[string]int{"a": 1, "b": 1, "p": 1, "l": 0, "c": 0} {
		if got := r.kinds(endpoint)[paxos.KindDelete]; got != want {
			t.Errorf("%d goodbyes went to %q, want %d", got, endpoint, want)
		}
	}
}

// Rounds are granted apart from the loop; where the reservation fails the proposer does not lead.
func TestRoundKeeper(t *testing.T) {
	r := newRig(t, rigFile(t), "m", nil)
	k, s := r.rounds, r.seatOf(proposer4, paxos.RoleProposer)
	p := s.role.(*paxos.Proposer)
	go k.run()
	defer close(k.asked)
	wait := func() { // long enough to ask the acceptors; after such a gap it gives the leader some grace first
		for range 2 {
			r.now += 10e9
			r.node.stepSeat(r.now, s)
			r.now += 2 * int64(r.spec.File.Timing.Heartbeat)
			r.node.stepSeat(r.now, s)
		}
	}
	p.GrantRounds(1, 1) // there are none
	wait()
	if _, want := p.WantRounds(); !want {
		t.Fatal("a proposer without rounds wants none")
	}
	waitFor(t, "rounds are granted", func() bool {
		r.node.grant(s)
		_, want := p.WantRounds()
		return !want
	})
	wait()
	if got := r.kindsAfterFlush("a")[paxos.KindProbe]; got == 0 {
		t.Error("with rounds it does not try to lead")
	}
}

func (r *rig) kindsAfterFlush(endpoint string) map[paxos.Kind]int {
	r.node.transmit()
	return r.kinds(endpoint)
}

// A reservation that fails is told, and the proposer stays without rounds.
func TestRoundKeeperFails(t *testing.T) {
	var mu sync.Mutex
	failures := 0
	k := newRoundKeeper(func(paxos.NodeID, error) {
		mu.Lock()
		defer mu.Unlock()
		failures++
	})
	dir := t.TempDir()
	state, err := cluster.OpenState(dir, 5, 1, 4)
	if err != nil {
		t.Fatal(err)
	}
	p := paxos.NewProposer(paxos.ProposerConfig{
		ID: 4, Members: paxos.Members{Acceptors: []paxos.NodeID{1}, Proposers: []paxos.NodeID{4}}, Window: 16, ValueBytes: 1 << 14, QueueBytes: 1 << 13,
		InFlight: 8, MTU: 1400, Heartbeat: 1e6, Retry: 1e6, LeaderTimeout: 1e6, Lease: 1e9,
	}, 0)
	if err := firstRounds(p, state, 16); err != nil {
		t.Fatal(err)
	}
	state.Close() // what is asked for now fails
	p.GrantRounds(1, 1)
	out := paxos.NewOutbox()
	p.Tick(1e12, out)
	p.Tick(1e12+2e6, out)
	sizes, n := UsualSizes(), &Node{rounds: k}
	s := newSeat(4, 0, paxos.RoleProposer, p, &sizes)
	s.state = state
	for range 5 {
		n.grant(s)
	}
	if len(k.asked) != 1 {
		t.Fatalf("it asked %d times before there was an answer", len(k.asked))
	}
	go k.run()
	defer close(k.asked)
	waitFor(t, "the failure is told", func() bool {
		n.grant(s)
		mu.Lock()
		defer mu.Unlock()
		return failures > 0
	})
	for range 100 {
		n.grant(s)
	}
	if _, want := p.WantRounds(); !want {
		t.Error("it got rounds from nowhere")
	}
	mu.Lock()
	defer mu.Unlock()
	if failures != 1 {
		t.Errorf("the failure was told %d times", failures)
	}
}

// The control socket answers several at once, refuses what it does not know, and replaces what a dead process left, not what a living one has.
func TestControl(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	answers := map[string]Answer{
		"number": NoWords(func() (any, error) { return 7, nil }),
		"fault":  NoWords(func() (any, error) { return nil, errors.New("it broke") }),
		"words":  func(words []string) (any, error) { return len(words), nil },
		"slow": NoWords(func() (any, error) {
			time.Sleep(50 * time.Millisecond)
			return "done", nil
		}),
	}
	c, err := ListenControl(path, answers)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", st.Mode(), err)
	}
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			var text string
			var number int
			if err := Ask(path, "slow", &text); err != nil || text != "done" {
				t.Errorf("slow: %q, %v", text, err)
			}
			if err := Ask(path, "number", &number); err != nil || number != 7 {
				t.Errorf("number: %d, %v", number, err)
			}
		})
	}
	asking.Wait()
	var words int
	if err := Ask(path, " words  one two ", &words); err != nil || words != 2 {
		t.Errorf("words: %d, %v", words, err)
	}
	for request, want := range map[string]string{
		"nonsense 1": `unknown request "nonsense": choose from fault, number, slow, words`, "fault": "it broke", "": `unknown request ""`,
		"number 7": `takes no words, and got "7"`,
	} {
		if err := Ask(path, request, new(int)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", request, err)
		}
	}
	if _, err := ListenControl(path, answers); err == nil || !strings.Contains(err.Error(), "another process answers there") {
		t.Errorf("a second socket at one path: %v", err)
	}
	c.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket stays after Close")
	}
	stale(t, path)
	c, err = ListenControl(path, answers)
	if err != nil {
		t.Fatalf("in place of a stale socket: %v", err)
	}
	c.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenControl(path, answers); err == nil {
		t.Error("it took the place of a file that is no socket")
	}
	if err := Ask(filepath.Join(t.TempDir(), "none"), "number", new(int)); err == nil || !strings.Contains(err.Error(), "is the process running?") {
		t.Errorf("nobody there: %v", err)
	}
}

// stale leaves a socket as a process does that was killed.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
}

// A value of so many frames to so many nodes that no step could send it is refused at start.
func TestValuesOfTooManyFrames(t *testing.T) {
	f := rigFile(t)
	f.MaxValue = paxos.MaxValueBytes
	if err := checkMTU(f, 1472); err != nil {
		t.Error(err)
	}
	for len(f.Learners()) < 10 {
		f.Nodes = append(f.Nodes, cluster.NewNode(uint16(30+len(f.Nodes)), cluster.Learner))
	}
	if err := checkMTU(f, 256); err == nil || !strings.Contains(err.Error(), "max_value 65536 is 513 frames of 256 bytes") {
		t.Errorf("error %v", err)
	}
	if f.MaxValue = 10_000; checkMTU(f, 256) != nil {
		t.Error("79 frames to a few nodes are refused")
	}
}

// A process whose loop has ended still tells what it did: its last report is made then.
func TestStatusAfterTheEnd(t *testing.T) {
	f := rigFile(t)
	f.Cluster = draw()
	p, err := Open(Spec{File: f, Nodes: []uint16{uint16(acceptor1)}, StateDir: t.TempDir(), Core: CoreOfFile, Idle: cluster.IdleYield})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Stop()
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
	s, err := p.Status()
	if err != nil {
		t.Fatal(err)
	}
	if s.Usage.PID == 0 || s.Usage.CPUNs == 0 {
		t.Errorf("usage %+v", s.Usage)
	}
}
