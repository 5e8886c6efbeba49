package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"wirepaxos/bench"
	"wirepaxos/paxos/client"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// groupBeds are the ways for groups to be apart: a queue and an EtherType, a queue and a UDP port, a UDP port, rings of their own.
var groupBeds = map[string]planConfig{
	"ethernet": {transport: cluster.TransportAFXDP},
	"udp4":     {transport: cluster.TransportAFXDP, link: cluster.LinkUDP4},
	"udp":      {transport: cluster.TransportUDP},
	"mem":      {transport: cluster.TransportMem},

	"ethernet, two processes a NIC": {transport: cluster.TransportAFXDP, layout: layoutSharedNIC},
	"udp4, two processes a NIC":     {transport: cluster.TransportAFXDP, link: cluster.LinkUDP4, layout: layoutSharedNIC},
}

// in is a process's status in one of the groups.
func (b *bed) in(group, id uint16) *node.Status {
	b.t.Helper()
	var err error
	for range 5 { // as status does
		s := &node.Status{}
		if err = node.Ask(b.nodes[id].socket, node.ForGroup("status", group), s); err == nil {
			return s
		}
	}
	b.t.Fatalf("node %d: %v\n%s", id, err, b.told[b.nodes[id]].String())
	return nil
}

// allGoOn waits until the client has got some hundred more values in each group.
func (b *bed) allGoOn(after string) {
	b.t.Helper()
	delivered := func(group uint16) uint64 { return b.in(group, b.plan.client).Clients[0].Counters.Delivered }
	groups := b.plan.file.AllGroups()
	from := map[uint16]uint64{}
	for _, g := range groups {
		from[g] = delivered(g)
	}
	for _, g := range groups {
		eventually(b.t, fmt.Sprintf("values of group %d go on after %s", g, after), func() bool { return delivered(g) >= from[g]+200 }, b.describe)
	}
}

// leads is the proposer that leads a group.
func (b *bed) leads(group uint16) (id uint16) {
	b.t.Helper()
	eventually(b.t, "a proposer leads", func() bool {
		for _, n := range b.plan.file.Proposers() {
			if s := b.in(group, n.ID); s.Proposers[0].Leads {
				id = n.ID
			}
		}
		return id != 0
	}, b.describe)
	return id
}

// outcomes ends the load in all groups and collects what everyone counted.
func (b *bed) outcomes() *outcomes {
	b.t.Helper()
	client := b.nodes[b.plan.client]
	if _, err := node.AskAll[bool](client.socket, "stop"); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the loads end", func() bool {
		over, err := node.AskAll[bool](client.socket, "finished")
		return err == nil && !slices.Contains(over, false)
	}, b.describe)
	results, err := node.AskAll[bench.ClientResult](client.socket, "result")
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := b.gather(context.Background(), results)
	if err != nil {
		b.t.Fatal(err)
	}
	return &all
}

// Nodes are acceptors 1 to 3, proposers 4 and 5, learners 6 and 7, client 8. Two groups in each process, over everything that carries them: the processes of a leader, of an acceptor and of a learner are killed with -9 and the
// first and the last started again. Values of both groups go on; at the end each group's learners agree, each by its own account, and no value of one
// group is in the other. The same accounts the wrong way round are seen to be wrong.
func TestGroupsKilledAndBack(t *testing.T) {
	for name, c := range groupBeds {
		t.Run(name, func(t *testing.T) {
			c.groups, c.proposers, c.learners = 2, 2, 2
			b := newBedIn(t, c, c.transport == cluster.TransportAFXDP, netlab.Faults{}, "--outstanding", "8")
			b.startAll()
			b.allGoOn("the start")

			led := b.leads(1)
			b.kill(led)
			b.allGoOn("a leader's death")
			b.start(led)
			b.allGoOn("its return")
			b.kill(2)
			b.allGoOn("an acceptor's death")
			b.kill(7)
			b.start(7)
			b.allGoOn("a learner's return")
			b.procs = slices.DeleteFunc(b.procs, func(k *child) bool { return k == b.nodes[2] }) // it does not answer any more

			in := b.outcomes()
			report, err := in.report()
			if err != nil {
				t.Fatal(err)
			}
			if err := holds(report); err != nil || len(report.Groups) != 2 || len(report.Learners) != 4 {
				t.Errorf("%v; %d groups, learners %v", err, len(report.Groups), report.Learners)
			}
			if one, two := report.Learners[0], report.Learners[2]; one.Group != 1 || two.Group != 2 || one.Hash == two.Hash || two.Delivered == 0 {
				t.Errorf("learners of different groups: %+v, %+v", one, two)
			}
			in.groups[0].tallies, in.groups[1].tallies = in.groups[1].tallies, in.groups[0].tallies
			if report, err = in.report(); err != nil || !strings.Contains(strings.Join(report.Problems, "\n"), "which submitted them to group 2") {
				t.Errorf("groups that have each other's values: %v, %q", err, report.Problems)
			}
		})
	}
}

// A process for each group does as well: --group runs one of them, on its queue and port, beside another process with the other.
func TestGroupsInProcessesOfTheirOwn(t *testing.T) {
	for _, name := range []string{"ethernet", "udp4", "udp", "mem"} {
		t.Run(name, func(t *testing.T) {
			c := groupBeds[name]
			c.groups = 2
			b := newBedIn(t, c, c.transport == cluster.TransportAFXDP, netlab.Faults{}, "--outstanding", "8")
			first := b.nodes[1]
			second := &child{proc: first.proc, name: "acceptor 1 of group 2", socket: first.socket + "2", log: &tail{}, args: slices.Clone(first.args)}
			b.procs = append(b.procs, second)
			first.args = append(first.args, "--group", "1")
			second.args[slices.Index(second.args, first.socket)] = second.socket
			second.args = append(second.args, "--group", "2")
			b.told[second] = &lockedBuffer{}
			if err := b.launch(second); err != nil {
				t.Fatal(err)
			}
			b.start(3, 4, 5, 6) // a quorum needs both halves of acceptor 1
			b.start(1)
			b.allGoOn("the start")
			s := &node.Status{}
			if err := node.Ask(second.socket, "status", s); err != nil || s.Group != 2 || b.status(1).Group != 1 {
				t.Errorf("group %d, %v, and group %d", s.Group, err, b.status(1).Group)
			}
			second.signal(syscall.SIGKILL)
			<-second.done
			from := b.in(1, 6).Clients[0].Counters.Delivered
			eventually(t, "group 1 goes on alone", func() bool { return b.in(1, 6).Clients[0].Counters.Delivered > from+200 }, b.describe)
			stuck := b.in(2, 6).Clients[0].Counters.Delivered
			time.Sleep(50 * time.Millisecond)
			if now := b.in(2, 6).Clients[0].Counters.Delivered; now > stuck+8 {
				t.Errorf("group 2 went on from %d to %d with one acceptor", stuck, now)
			}
		})
	}
}

// What the network takes to a group's queue and is of another group is dropped there, counted, and told of with what to do.
func TestGroupsOnTheWrongQueue(t *testing.T) {
	for _, c := range []struct {
		name, old, new, trouble string
	}{
		{"one EtherType", "ethertypes  = [0x88B5, 0x88B6]", "ethertype = 0x88B5", "frames of other groups came in here and were dropped"},
		{"another EtherType", "ethertypes  = [0x88B5, 0x88B6]", "ethertypes = [0x88B5, 0x88B9]", "come in on queues where no process takes them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBedIn(t, planConfig{transport: cluster.TransportAFXDP, groups: 2, layout: layoutPacked}, true, netlab.Faults{}, "--outstanding", "8")
			text := string(b.plan.file.Encode())
			if !strings.Contains(text, c.old) {
				t.Fatal(text)
			}
			b.rewrite(strings.Replace(text, c.old, c.new, 1))
			b.startAll()
			eventually(t, "group 1 goes on", func() bool { return b.in(1, 5).Clients[0].Counters.Delivered > 200 }, b.describe)
			eventually(t, "status tells", func() bool {
				return strings.Contains(strings.Join(append(b.in(1, 1).Trouble, b.in(2, 1).Trouble...), "\n"), c.trouble)
			}, b.describe)
			if n := b.in(2, 5).Clients[0].Counters.Delivered; n > 0 {
				t.Errorf("group 2 delivered %d values whose frames went elsewhere", n)
			}
		})
	}
}

// One group that cannot start ends the others: nothing of the process is left, and the line says which and why.
func TestGroupsStartTogether(t *testing.T) {
	b := newBedIn(t, planConfig{transport: cluster.TransportUDP, groups: 2}, false, netlab.Faults{})
	taken := begin(t, "acceptor", "--config", b.config(), "--id", "1", "--group", "2", "--state-dir", b.state())
	taken.shows("node 1: acceptor")
	refused(t, []string{"acceptor", "--config", b.config(), "--id", "1", "--state-dir", b.state()}, "group 2: ", "already")
	taken.signal(syscall.SIGTERM)
	if status := taken.status(); status != 0 {
		t.Errorf("status %d", status)
	}
	all := begin(t, "acceptor", "--config", b.config(), "--id", "1", "--state-dir", b.state())
	all.shows("group 2: port: udp")
	all.signal(syscall.SIGTERM)
	if status := all.status(); status != 0 {
		t.Errorf("status %d:\n%s", status, all.stderr.String())
	}
	all.leavesNothing()
}

// The commands that ask a process know its groups.
func TestGroupsAsked(t *testing.T) {
	b := newBedIn(t, planConfig{transport: cluster.TransportUDP, groups: 2, proposers: 2}, false, netlab.Faults{}, "--outstanding", "2")
	b.startAll()
	b.allGoOn("the start")
	from := b.leads(2)
	other, socket := 9-from, b.nodes[from].socket

	var each []node.Status
	status, stdout, _ := runProgram(t, "status", socket)
	if err := json.Unmarshal([]byte(stdout), &each); status != 0 || err != nil || len(each) != 2 || each[0].Group != 1 || each[1].Group != 2 {
		t.Errorf("status %d, %v: %s", status, err, stdout)
	}
	var one node.Status
	status, stdout, _ = runProgram(t, "status", socket, "--group", "2")
	if err := json.Unmarshal([]byte(stdout), &one); status != 0 || err != nil || one.Group != 2 || one.Usage.PID != each[0].PID {
		t.Errorf("status %d, %v: %s", status, err, stdout)
	}
	status, stdout, _ = runProgram(t, "admin", "status", socket)
	if status != 0 || !strings.Contains(stdout, fmt.Sprintf("group 1: proposer %d", from)) || !strings.Contains(stdout, fmt.Sprintf("group 2: proposer %d", from)) {
		t.Errorf("status %d: %s", status, stdout)
	}
	status, _, stderr := runProgram(t, "admin", "handover", socket, fmt.Sprint(other))
	if status != 1 || !strings.Contains(stderr, "handover is for one group: name it, of groups 1, 2") {
		t.Errorf("status %d: %s", status, stderr)
	}
	led := b.leads(1)
	status, stdout, stderr = runProgram(t, "admin", "handover", socket, fmt.Sprint(other), "--group", "2")
	if status != 0 || !strings.Contains(stdout, fmt.Sprintf("node %d leads", other)) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if one, two := b.leads(1), b.leads(2); one != led || two != other {
		t.Errorf("node %d leads group 1, and it was %d; node %d leads group 2, want %d", one, led, two, other)
	}
	b.allGoOn("the handover")
}

// The demo, the lab's file and the bench with several groups; and what cannot be asked of them.
func TestDemoGroups(t *testing.T) {
	for _, flags := range []string{
		"--transport mem --groups 3 --values 300", "--transport mem --groups 2 --layout process-per-role --values 200 --stages 4",
		"--transport udp --groups 2 --values 500", "--groups 2 --values 500 --layout process-per-role --learners 2", "--groups 3 --link udp4 --values 500 --multicast",
		"--groups 2 --values 500 --multicast --drop 0.02 --dup 0.02", "--groups 2 --values 300 --layout shared-nic",
	} {
		t.Run(strings.ReplaceAll(flags, " ", ""), func(t *testing.T) {
			if !strings.Contains(flags, "--transport") {
				needLab(t)
			}
			path := shortDir(t) + "/r.json"
			status, stdout, stderr := runProgram(t, append([]string{"demo", "--warmup", "50ms", "--json", path}, strings.Fields(flags)...)...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r := bench.Report{}
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			sum := uint64(0)
			for i, g := range r.Groups {
				sum += g.Values
				if g.Group != uint16(i+1) || !g.Equal || g.Values == 0 || len(g.Learners) == 0 || g.Learners[0].Hash == r.Groups[(i+1)%len(r.Groups)].Learners[0].Hash {
					t.Errorf("group %+v", g)
				}
			}
			if len(r.Groups) < 2 || sum != r.Values || !r.Equal || r.FramesPerValue <= 0 || r.ValuesPerS <= r.Groups[0].ValuesPerS {
				t.Errorf("all together: %+v", r)
			}
			for _, want := range []string{"in each of ", "group 2 ", "group 2: learner", "nothing lost, doubled or reordered"} {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is missing in:\n%s", want, stdout)
				}
			}
		})
	}
	refused(t, []string{"demo", "--groups", "0"}, "--groups 0", "1 to 16")
	refused(t, []string{"demo", "--groups", "2", "--transport", "mem", "--floor"}, "--groups 2", "--floor")
	refused(t, []string{"demo", "--groups", "2", "--transport", "udp", "--proposers", "2", "--kill-leader-every", "1s"}, "--groups 2", "--kill-leader-every")
}

// A file of several groups is made, explained, and refused with the line; --group picks one, and flags with a number for each group have as many.
func TestGroupsInCommands(t *testing.T) {
	status, text, _ := runProgram(t, "cluster", "new", "--groups", "3")
	if status != 0 || !strings.Contains(text, "groups      = 3") {
		t.Fatalf("status %d\n%s", status, text)
	}
	path := file(t, "cluster.toml", text)
	status, told, _ := runProgram(t, "cluster", "check", path)
	for _, want := range []string{"3 groups", "group 3: transport afxdp", "endpoint 02:00:00:00:00:01/2", "ethertypes = [...]"} {
		if status != 0 || !strings.Contains(told, want) {
			t.Errorf("status %d, %q is missing in:\n%s", status, want, told)
		}
	}
	for with, want := range map[string]string{
		"ethertypes = [0x88B5, 0x88B6, 0x9A02]": "nic steer eth1 --ethertype 0x9A02 --queue 2",
		"link = \"udp4\"":                       "nic steer eth1 --udp-port 7473 --queue 2",
	} {
		key, _, _ := strings.Cut(with, " ")
		lines := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool {
			return strings.HasPrefix(line, strings.TrimSuffix(key, "s")+" ")
		})
		own := with + "\n" + strings.ReplaceAll(strings.Join(lines, ""), "mac ", "ip = \"10.0.0.1\"\nmac ")
		for i := range 6 { // an address for each node
			own = strings.Replace(own, "10.0.0.1\"\nmac", fmt.Sprintf("10.0.1.%d\"\nmac", i+1), 1)
		}
		if status, told, stderr := runProgram(t, "cluster", "check", file(t, "cluster.toml", own)); status != 0 || !strings.Contains(told, want) {
			t.Errorf("status %d, %q is missing in:\n%s%s", status, want, told, stderr)
		}
	}
	state := shortDir(t)
	if err := os.WriteFile(path+"-g1", []byte("wirepaxos sessions of something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, words := range map[string][]string{
		"cluster new --groups 65":                 {"--groups 65", "1 to 64"},
		"cluster new --groups 2 --from FILE":      {"--groups 2", "one so far"},
		"acceptor --id 1 --group 4":               {"no group 4", "choose from 1, 2, 3"},
		"acceptor --id 1 --group -1":              {"--group -1", "[1 2 3]"},
		"acceptor --id 1 --core 0,1":              {"node 1: cores has 2 numbers, and there are 3 groups"},
		"acceptor --id 1 --group 1 --core 0,1":    {"node 1: cores is a list", "there is one group"},
		"acceptor --id 1 --queue 0,1,1":           {"queue 1 of mac 02:00:00:00:00:01 in group 3 is that of node 1 in group 2"},
		"acceptor --id 1 --fifo --core 0,0,-1":    {"--fifo: group 2 has core 0, and so has a group before it"},
		"acceptor --id 1 --idle spin --strict":    {"--strict"},
		"doctor --config FILE --id 1 --group 9":   {"no group 9"},
		"doctor --group 2":                        {"--group 2", "--config"},
		"client --id 6 --session-file FILE":       {"cluster.toml-g1", "not of this cluster"},
		"client --id 6 --clients 16385 --group 2": {"--clients 16385"},
	} {
		t.Run(args, func(t *testing.T) {
			line := strings.Fields(strings.ReplaceAll(args, "FILE", path))
			if line[0] == "acceptor" || line[0] == "client" {
				line = append(line, "--config", path, "--state-dir", state)
			}
			refused(t, line, words...)
		})
	}
	_, page := examine(t, "--config", path, "--id", "1")
	for _, want := range []string{"node 1 of group 1", "node 1 of group 3"} {
		if grade, _ := page.line(want); grade == "" {
			t.Errorf("nothing about %s: %+v", want, page.Lines)
		}
	}
	_, page = examine(t, "--config", path, "--id", "1", "--group", "2")
	if grade, _ := page.line("node 1"); grade == "" {
		t.Errorf("nothing about node 1: %+v", page.Lines)
	}
}

// The first that ends ends the others, and what was wrong with any of them is told.
func TestRunTogether(t *testing.T) {
	for _, wrong := range [][]int{{0}, {2}, {0, 1, 2}, nil} {
		stopped := make(chan struct{})
		var once sync.Once
		err := runTogether(3, func() { once.Do(func() { close(stopped) }) }, func(i int) error {
			if slices.Contains(wrong, i) {
				return fmt.Errorf("loop %d is wrong", i)
			}
			if len(wrong) == 0 && i == 1 {
				return nil // a signal ended it
			}
			<-stopped
			return nil
		})
		if (err == nil) != (len(wrong) == 0) {
			t.Errorf("%v: %v", wrong, err)
		}
		for _, i := range wrong {
			if !strings.Contains(err.Error(), fmt.Sprintf("loop %d is wrong", i)) {
				t.Errorf("%v: %v", wrong, err)
			}
		}
	}
}

// Each group of a plan has a queue, and what steers there; and cores of its own where there are enough for all loops.
func TestPlanOfGroupsInOneProcess(t *testing.T) {
	for link, first := range map[cluster.Link]netlab.Rule{
		cluster.LinkEthernet: {Offset: 12, Bytes: []byte{0x88, 0xB6}, Queue: 1},
		cluster.LinkUDP4:     {Offset: 36, Bytes: []byte{7472 >> 8, 7472 & 0xFF}, Queue: 1},
	} {
		p, err := newPlan(planConfig{acceptors: 3, proposers: 1, learners: 1, groups: 3, layout: layoutPacked, transport: cluster.TransportAFXDP, link: link,
			batch: cluster.BatchInstance, idle: cluster.IdleAuto})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range p.hosts {
			if h.Queues != 3 || len(h.Steer) != 2 || !reflect.DeepEqual(h.Steer[0], first) || h.Steer[1].Queue != 2 {
				t.Errorf("%s: host %+v, want a first rule %+v", link, h, first)
			}
		}
		var hosts []netlab.Host
		for i := range p.hosts {
			hosts = append(hosts, netlab.Host{Name: p.hosts[i].Name, Interface: "wp0", MAC: []byte{2, 0, 0, 0, 0, byte(i + 1)}, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})})
		}
		p.procs[0].core, p.procs[0].cores = 0, []int{0, 2, 4}
		p.procs[1].core, p.procs[1].cores = 1, []int{1, 3, 5}
		if err := p.address(hosts); err != nil {
			t.Fatal(err)
		}
		for i, f := range p.file.Split() {
			for k, e := range f.Endpoints() {
				if e.Queue != i || e.Core != 2*i+k || link == cluster.LinkUDP4 && e.Port != 7471+uint16(i) {
					t.Errorf("%s: group %d: endpoint %+v", link, i+1, e)
				}
			}
		}
	}
}

// The sessions of each group outlive their client in a file of the group's own.
func TestGroupsKeepSessions(t *testing.T) {
	b := newBedIn(t, planConfig{transport: cluster.TransportUDP, groups: 2}, false, netlab.Faults{}, "--outstanding", "2")
	id := b.plan.client
	path := filepath.Join(b.place, "sessions")
	b.nodes[id].args = append(b.nodes[id].args, "--session-file", path)
	files := b.plan.file.Split()
	sessions := func(i int, before []client.SessionID) (ids []client.SessionID) {
		own := fmt.Sprintf("%s-g%d", path, i+1)
		eventually(t, own+" is written", func() bool {
			var err error
			if _, ids, err = newSessionFile(own, files[i]); err != nil {
				t.Fatal(err)
			}
			return len(ids) > 0 && (len(before) == 0 || ids[0] != before[0])
		}, b.describe)
		return ids
	}
	b.startAll()
	b.allGoOn("the start")
	first := [][]client.SessionID{sessions(0, nil), sessions(1, nil)}
	b.kill(id)
	b.start(id)
	b.allGoOn("the client's return")
	for i := range files {
		if again := sessions(i, first[i]); again[0].Client != first[i][0].Client || again[0].Generation <= first[i][0].Generation {
			t.Errorf("group %d: sessions %v were resumed as %v", i+1, first[i], again)
		}
	}
	if first[0][0].Client == first[1][0].Client {
		t.Errorf("both groups have session %v", first[0][0])
	}
	b.signal(id, syscall.SIGINT)
	b.gone(id)
	if err := b.nodes[id].err; err != nil {
		t.Errorf("on a signal it ends with %v", err)
	}
}
