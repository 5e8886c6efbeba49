package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestGroups runs testdata/groups: what a file with several groups means to each of them, or the line that its fault gives.
func TestGroups(t *testing.T) {
	runEdited(t, "testdata/groups", func(t *testing.T, text string) string {
		if said := outcome(t, "cluster.toml", text); said != "ok\n" {
			return said
		}
		return explained(parsed(t, "cluster.toml", text))
	})
}

// explained is what each group sees, a line for each endpoint.
func explained(f *File) string {
	var b strings.Builder
	for _, g := range f.Split() {
		fmt.Fprintf(&b, "group %d ethertype 0x%04X\n", g.Group, g.EtherType)
		for _, e := range g.Endpoints() {
			fmt.Fprintf(&b, "  nodes %s: %s queue %d port %d core %d\n", ids(e.Nodes), e.Key, e.Queue, e.Port, e.Core)
		}
	}
	return b.String()
}

// TestEveryFieldOfGroups: lists for each group come back from Encode field by field.
func TestEveryFieldOfGroups(t *testing.T) {
	for _, groups := range [][]uint16{{3, 4}, {7, 2}} {
		f := New()
		f.SetGroups(groups...)
		f.EtherTypes, f.EtherType = []uint16{0x88B6, 0x88B5}, 0x88B6
		f.Nodes = []Node{
			{ID: 1, Roles: Replica, MAC: mac(1), IP: netip.MustParseAddr("10.0.0.1"), Queue: 4, Queues: []int{4, 2}, Port: 9, Ports: []uint16{9, 7}, Core: NoCore, Cores: []int{NoCore, 0}},
			{ID: 2, Roles: Client, MAC: mac(2), Queue: 1, Core: 3},
		}
		expectComesBack(t, f)
	}
}

// A file with one group is what each group of it sees, and one of several is left as it is by whoever looks at one of them.
func TestForGroup(t *testing.T) {
	one := New()
	one.Nodes = []Node{{ID: 1, Roles: Replica, MAC: mac(1), Core: NoCore}}
	if v, err := one.ForGroup(1); v != one || err != nil {
		t.Errorf("ForGroup = %p, %v; the file is %p", v, err, one)
	}
	several := New()
	several.Nodes = []Node{{ID: 1, Roles: Replica, MAC: mac(1), Core: 1}}
	several.SetGroups(5, 6, 9)
	before := string(several.Encode())
	v, err := several.ForGroup(9)
	if err != nil || v.Group != 9 || len(v.Groups) != 0 || v.Nodes[0].Queue != 2 || v.Nodes[0].Core != 3 || v.UDPPort != several.UDPPort+2 {
		t.Errorf("group 9 sees %+v, %v", v, err)
	}
	v.Nodes[0].Queue = 77
	if now := string(several.Encode()); now != before {
		t.Errorf("the file was\n%s\nand is\n%s", before, now)
	}
	if _, err := several.ForGroup(7); err == nil || !strings.Contains(err.Error(), "no group 7: choose from 5, 6, 9") {
		t.Errorf("group 7: %v", err)
	}
	if got := fmt.Sprint(several.AllGroups(), one.AllGroups()); got != "[5 6 9] [1]" {
		t.Errorf("groups %s", got)
	}
	several.SetGroups(4)
	if several.Groups != nil || several.Group != 4 || several.Validate() != nil {
		t.Errorf("one group again: %+v, %v", several, several.Validate())
	}
}

// What a program builds is held to what a file may say.
func TestGroupsBuiltWrong(t *testing.T) {
	for want, spoil := range map[string]func(f *File){
		"group 9 is not the first of groups [1 2]":                                          func(f *File) { f.Group = 9 },
		"1 groups: write 2 to 64":                                                           func(f *File) { f.SetGroups(1, 2); f.Groups = f.Groups[:1] },
		"queues does not begin with the number that stands for":                             func(f *File) { f.Nodes[0].Queues = []int{3, 4} },
		"there is one group: write groups =":                                                func(f *File) { f.SetGroups(1); f.Nodes[0].Cores = []int{-1} },
		"node 1: queue 1 of mac 02:00:00:00:00:01 in group 2 is that of node 49 in group 1": func(*File) {},
	} {
		f := New()
		f.Nodes = []Node{{ID: 1, Roles: Replica, MAC: mac(1), Core: NoCore}}
		f.SetGroups(1, 2)
		err := f.Validate()
		if err != nil {
			t.Fatal(err)
		}
		if spoil(f); strings.Contains(want, "node 49") {
			_, err = f.AddNode(Node{Roles: Learner, MAC: mac(1), Queue: 1, Core: NoCore})
		} else {
			err = f.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
