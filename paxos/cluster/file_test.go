package cluster

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, name, text string) *File {
	t.Helper()
	f, _, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mac(last byte) MAC { return MAC{0x02, 0, 0, 0, 0, last} }

func ids(nodes []Node) string {
	var b strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&b, "%d ", n.ID)
	}
	return strings.TrimSpace(b.String())
}

// TestEveryField: what a program builds with every field set comes back from Encode field by field.
func TestEveryField(t *testing.T) {
	f := New()
	f.Group, f.Transport, f.Link, f.Mode, f.EtherType, f.VLAN = 9, TransportUDP, LinkUDP4, ModeCopy, 0x88B6, 12
	f.UDPPort, f.MTU, f.Batch, f.Idle, f.Window, f.ValueBytes, f.Verbosity = 99, 1400, BatchFrame, IdleYield, 128, 1<<20, "debug"
	f.Sessions, f.SessionIdle = 77, 4096
	f.Timing = Timing{2 * time.Millisecond, 3 * time.Millisecond, 4 * time.Second, 1500 * time.Millisecond, 70 * time.Millisecond, 5 * time.Second}
	f.MaxValue, f.SlowLearner, f.Multicast = 50_000, SlowDrop, true
	f.Nodes = []Node{
		{ID: 5, Roles: Acceptor | Client, Interface: `wp"0\`, Queue: 3, MAC: mac(5), IP: netip.MustParseAddr("10.0.0.5"), Port: 7,
			Core: 2, Host: "here", Idle: IdleSpin, Endpoint: "e"},
		{ID: 2, Roles: Replica | Client, IP: netip.MustParseAddr("10.0.0.2"), Core: 0},
		{ID: 3, Roles: Proposer, IP: netip.MustParseAddr("10.0.0.3"), Core: NoCore},
	}
	expectComesBack(t, f)
}

// expectComesBack checks that a valid file is the same after Encode and Parse, field by field.
func expectComesBack(t *testing.T, f *File) {
	t.Helper()
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	again := parsed(t, f.Name, string(f.Encode()))
	again.lines = nil
	for i := range again.Nodes {
		again.Nodes[i].lines = nil
	}
	if !reflect.DeepEqual(f, again) {
		t.Errorf("wrote\n%+v\nread\n%+v\nfrom\n%s", f, again, f.Encode())
	}
}

func TestDefaults(t *testing.T) {
	f := parsed(t, "cluster.toml", `cluster = "0x0000000000000001"
[[node]]
id = 1
roles = ["replica"]
mac = "02:00:00:00:00:01"`)
	want := defaults()
	want.Cluster, want.lines = 1, f.lines
	want.Nodes = []Node{{ID: 1, Roles: Replica, MAC: mac(1), Core: NoCore, lines: f.Nodes[0].lines}}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v, want %+v", f, want)
	}
}

func TestNewDrawsClusters(t *testing.T) {
	a, b := New(), New()
	if a.Cluster == 0 || a.Cluster == b.Cluster {
		t.Errorf("drew %x and %x", a.Cluster, b.Cluster)
	}
	id, err := ParseCluster(fmt.Sprintf("0x%016x", a.Cluster))
	if err != nil || id != a.Cluster {
		t.Errorf("ParseCluster = %x, %v", id, err)
	}
}

// byRole is a cluster in memory whose nodes stand in no order.
const byRole = `cluster = "0x0000000000000001"
transport = "mem"
node = [{id = 9, roles = ["learner"]}, {id = 4, roles = ["client", "learner"]}, {id = 1, roles = ["replica"]},
  {id = 3, roles = ["acceptor"]}, {id = 2, roles = ["acceptor"]}]`

func TestByRole(t *testing.T) {
	f := parsed(t, "cluster.toml", byRole)
	for want, nodes := range map[string][]Node{"1 2 3": f.Acceptors(), "1": f.Proposers(), "1 4 9": f.Learners(), "4": f.Clients()} {
		if got := ids(nodes); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n, err := f.Node(4); err != nil || n.Roles != Client|Learner {
		t.Errorf("Node(4) = %v, %v", n, err)
	}
}

func TestFind(t *testing.T) {
	toml := parsed(t, "cluster.toml", byRole)
	conf := parsed(t, "paxos.conf", "acceptor 0 127.0.0.1 1\nacceptor 2 127.0.0.1 2\nproposer 0 127.0.0.1 3\nreplica 1 127.0.0.1 4\n")
	learner := NewNode(0, Learner)
	learner.IP, learner.Port = netip.MustParseAddr("127.0.0.1"), 9
	if id, err := conf.AddNode(learner); id != 49 || err != nil {
		t.Fatalf("AddNode = %d, %v", id, err)
	}
	for _, c := range []struct {
		f      *File
		roles  Roles
		number uint16
		id     uint16
		err    string
	}{
		{toml, Acceptor, 3, 3, ""},
		{toml, Replica, 1, 1, ""},
		{toml, Replica, 3, 0, "cluster.toml:4: node 3: is acceptor, not replica: choose from replica 1"},
		{toml, Proposer, 3, 0, "cluster.toml:4: node 3: is acceptor, not proposer: choose from proposer 1"},
		{toml, Acceptor, 7, 0, "cluster.toml: no acceptor 7: choose from acceptor 1, 2, 3"},
		{conf, Acceptor, 0, 1, ""},
		{conf, Acceptor, 1, 34, ""},
		{conf, Acceptor, 2, 3, ""},
		{conf, Proposer, 0, 17, ""},
		{conf, Proposer, 1, 34, ""},
		{conf, Learner, 1, 34, ""},
		{conf, Replica, 1, 34, ""},
		{conf, Learner, 49, 49, ""},
		{conf, Acceptor, 3, 0, "paxos.conf: no acceptor 3: choose from acceptor 0, 2, 1"}, // node 3 is acceptor 2
		{conf, Client, 0, 0, "paxos.conf: no client 0: the file names none, add a [[node]]"},
	} {
		n, err := c.f.Find(c.roles, c.number)
		if n.ID != c.id || err == nil && c.err != "" || err != nil && err.Error() != c.err {
			t.Errorf("%s: Find(%s, %d) = %d, %v, want %d, %s", c.f.Name, c.roles, c.number, n.ID, err, c.id, c.err)
		}
	}
	if _, err := toml.Node(5); err == nil || err.Error() != "cluster.toml: no node 5: choose from nodes 1, 2, 3, 4, 9" {
		t.Errorf("Node(5): %v", err)
	}
}

func TestAddNode(t *testing.T) {
	f := parsed(t, "cluster.toml", byRole)
	for want := range uint16(MaxNodes) {
		id, err := f.AddNode(NewNode(0, Client))
		switch {
		case want < 15 && (err != nil || id != 49+want):
			t.Fatalf("added %d, %v, want %d", id, err, 49+want)
		case want == 15 && (err != nil || id != 5):
			t.Fatalf("added %d, %v, want 5, the lowest free id", id, err)
		case want >= MaxNodes-1-5 && (err == nil || id != 0):
			t.Fatalf("added %d to a full cluster", id)
		}
	}
	f = parsed(t, "cluster.toml", byRole)
	before := len(f.Nodes)
	if _, err := f.AddNode(NewNode(3, Client)); err == nil || !strings.Contains(err.Error(), "node 3: id is taken in line 4") {
		t.Errorf("a second node 3: %v", err)
	}
	if len(f.Nodes) != before {
		t.Error("a refused node stayed")
	}
}

// TestNodeError: what shows itself only at start is still reported with its line.
func TestNodeError(t *testing.T) {
	f := parsed(t, "cluster.toml", "cluster = \"0x0000000000000001\"\n[[node]]\nid = 3\nroles = [\"replica\"]\nqueue = 4\nmac = \"02:00:00:00:00:01\"\n")
	n, _ := f.Node(3)
	for key, want := range map[string]string{
		"queue":     "cluster.toml:5: node 3: queue 4: eth1 has 2 queues",
		"interface": "cluster.toml:2: node 3: queue 4: eth1 has 2 queues",
	} {
		if err := f.NodeError(n, key, "queue %d: eth1 has %d queues", 4, 2); err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	f.Transport = TransportUDP // a flag
	if err := f.Validate(); err == nil || !strings.HasPrefix(err.Error(), "cluster.toml:2: node 3: ip is missing") {
		t.Errorf("after a flag: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	conf := "# x\r\n\r\nreplica 0 127.0.0.1 8800\r\ntcp-nodelay yes" // CRLF, no last newline
	for name, text := range map[string]string{
		"cluster.toml": byRole, "CLUSTER.TOML": byRole, "any": "\n# x\n" + byRole, "x.conf": byRole, "paxos.conf": conf, "other": conf,
	} {
		f, warnings, err := Load(put(name, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if isConf := strings.HasPrefix(text, "# x\r"); isConf != (len(warnings) == 1) || isConf != (f.Transport == TransportUDP) {
			t.Errorf("%s: read as the other kind: %v", name, warnings)
		} else if isConf && warnings[0].Line != 4 {
			t.Errorf("%s: %v, want line 4", name, warnings[0])
		}
	}
	long := strings.Repeat("#\n", MaxFileBytes/2) + "\n"
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):    `none: no such file: write one from "wirepaxos cluster new"`,
		dir:                           "cannot be read: is a directory: give the path",
		put("long.toml", long):        "long.toml: longer than 1048576 bytes",
		put("empty.toml", ""):         "empty.toml:1: cluster is missing",
		put("tables", "[timing]\n"):   "tables:1: cluster is missing",
		put("empty.conf", ""):         "empty.conf:1: no acceptor, proposer or replica",
		put("wrong.toml", conf):       "wrong.toml:3: not TOML: ",
		put("word", "cluster\nx = 1"): `word:1: "cluster" is neither a role nor an option`,
	} {
		f, _, err := Load(path)
		if f != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestConfCluster: the members alone make the cluster id of a paxos.conf.
func TestConfCluster(t *testing.T) {
	base := parsed(t, "paxos.conf", "acceptor 0 00:24:81:b4:1c:49\nproposer 0 00:24:81:b4:59:ff\n").Cluster
	for text, same := range map[string]bool{
		"# c\r\np 0 00:24:81:B4:59:FF\r\n\r\nA 0 00:24:81:b4:1c:49\r\nverbosity debug": true,
		"acceptor 1 00:24:81:b4:1c:49\nproposer 0 00:24:81:b4:59:ff\n":                 false,
		"acceptor 0 00:24:81:b4:1c:4a\nproposer 0 00:24:81:b4:59:ff\n":                 false,
		"replica 0 00:24:81:b4:1c:49\n":                                                false,
		"a 0 00:24:81:b4:1c:49\np 0 00:24:81:b4:59:ff\na 1 00:24:81:b4:1c:4a\n":        false,
	} {
		if got := parsed(t, "paxos.conf", text).Cluster; (got == base) != same {
			t.Errorf("%q: 0x%016x beside 0x%016x, want same: %v", text, got, base, same)
		}
	}
}

// noPanic feeds data to Parse and checks what holds for every outcome.
func noPanic(t *testing.T, name string, data []byte) {
	f, warnings, err := Parse(name, data)
	if err != nil {
		if f != nil || strings.ContainsAny(err.Error(), "\n\r") || !strings.HasPrefix(err.Error(), name+":") {
			t.Fatalf("%q", err)
		}
		return
	}
	for _, w := range warnings {
		if w.Line < 1 || strings.Contains(w.Text, "\n") {
			t.Fatalf("%q", w)
		}
	}
	f.Endpoints()
	roundTrip(t, f)
}

func FuzzTOML(f *testing.F) {
	f.Add([]byte(byRole))
	f.Add(New().Encode())
	f.Add([]byte("cluster = \"0x0000000000000001\"\n[[node]]\nid = 3\nroles = [\"replica\"]\n" +
		"queue = 4\nmac = \"02:00:00:00:00:01\"\n[node.x]\ny.z = [1,{a=2}]"))
	f.Fuzz(func(t *testing.T, data []byte) { noPanic(t, "cluster.toml", data) })
}

func FuzzConf(f *testing.F) {
	f.Add([]byte("acceptor 0 00:24:81:b4:1c:49\nproposer 0 00:24:81:b4:59:ff # x\nverbosity info\r\nproposer-timeout 1"))
	f.Add([]byte("r 0 127.0.0.1 8800\na 1 127.0.0.1 8801\nlmdb-mapsize 10mb"))
	f.Fuzz(func(t *testing.T, data []byte) { noPanic(t, "paxos.conf", data) })
}
