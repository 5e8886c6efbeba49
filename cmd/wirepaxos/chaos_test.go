package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
	"wirepaxos/tools/netlab"
)

// What a run of chaos is made of. Nodes: acceptors 1 to 3, proposers 4 to 6, learners 7 to 9, client 10.
const (
	chaosTime     = 18 * time.Second // of faults; then everyone gets what was missed
	chaosDrop     = 200_000          // of a million frames
	chaosTimeout  = 20 * time.Millisecond
	chaosAtOnce   = 3  // faults
	chaosCalm     = 25 // draws, until all is mended and values must go on
	chaosSeedName = "WIREPAXOS_CHAOS_SEED"
)

// chaos is a bed on which processes die and pause and links break, as a seed has it.
type chaos struct {
	*bed
	rand      *rand.Rand
	acks      []bench.SessionAcks // of clients that were killed, as of just before
	acceptors int                 // that may still be killed: a minority
	away      map[uint16]bool     // dead or paused
	broken    []broken            // what is to be undone
	counts    map[string]int
}

// broken is a fault that holds until it is undone.
type broken struct {
	until time.Time
	undo  func()
}

// faults are what may happen, each as often as it is there. Each does it and answers how it is undone, nil if it cannot be done now.
var faults = []struct {
	name string
	does func(*chaos) (undo func())
}{
	{"kill the leader", (*chaos).killLeader},
	{"kill the leader", (*chaos).killLeader},
	{"kill the leader", (*chaos).killLeader},
	{"kill a learner", (*chaos).killLearner},
	{"kill the client", (*chaos).killClient},
	{"kill an acceptor", (*chaos).killAcceptor},
	{"pause the leader", (*chaos).pauseLeader},
	{"pause the leader", (*chaos).pauseLeader},
	{"pause a process", (*chaos).pauseAny},
	{"pause a process", (*chaos).pauseAny},
	{"cut a link", (*chaos).cutLink},
	{"cut a link one way", (*chaos).cutOneWay},
	{"cut a host off", (*chaos).cutHost},
}

// Real processes under load on a network that drops a fifth of the frames: leaders, learners and clients are killed with -9 and started again,
// processes pause, links break and heal, several at once. At the end all learners have delivered the same sequence, and each acknowledged
// value once.
func TestChaos(t *testing.T) {
	for _, r := range []struct {
		transport cluster.Transport
		multicast bool
	}{{cluster.TransportAFXDP, false}, {cluster.TransportUDP, false}, {cluster.TransportAFXDP, true}} {
		t.Run(fmt.Sprintf("%s multicast=%t", r.transport, r.multicast), func(t *testing.T) {
			seed := rand.Uint64()
			if text := os.Getenv(chaosSeedName); text != "" {
				var err error
				if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
					t.Fatalf("%s: %v", chaosSeedName, err)
				}
			}
			t.Logf("the schedule is of seed %d: %s=%d brings it back", seed, chaosSeedName, seed)
			c := &chaos{rand: rand.New(rand.NewPCG(seed, 0)), acceptors: 1, away: map[uint16]bool{}, counts: map[string]int{}}
			c.bed = newBedIn(t, planConfig{
				transport: r.transport, multicast: r.multicast, proposers: 3, learners: 3, timing: timingFlags{leaderTimeout: chaosTimeout},
			}, true, netlab.Faults{DropPPM: chaosDrop}, "--outstanding", "16", "--clients", "2")
			c.startAll()
			c.goesOn("the start")
			end := time.Now().Add(chaosTime)
			for n := 1; time.Now().Before(end); n++ {
				c.happens()
				if n%chaosCalm == 0 {
					c.mend(true)
					c.goesOn("some faults")
				}
			}
			c.mend(true)
			if err := c.lab.SetFaults(netlab.Faults{}); err != nil {
				t.Fatal(err)
			}
			c.goesOn("all that")
			c.hold()
			t.Logf("faults: %v", c.counts)
		})
	}
}

// happens undoes what has held long enough, and lets one more thing go wrong.
func (c *chaos) happens() {
	c.mend(false)
	if f := &faults[c.rand.IntN(len(faults))]; len(c.broken) < chaosAtOnce {
		if undo := f.does(c); undo != nil {
			c.counts[f.name]++
			c.broken = append(c.broken, broken{time.Now().Add(c.between(20, 500)), undo})
		}
	}
	time.Sleep(c.between(20, 150))
}

// mend undoes what is due, or everything.
func (c *chaos) mend(all bool) {
	var left []broken
	for _, b := range c.broken {
		if all || time.Now().After(b.until) {
			b.undo()
		} else {
			left = append(left, b)
		}
	}
	c.broken = left
}

// between draws a time from so many milliseconds to so many.
func (c *chaos) between(least, most int) time.Duration {
	return time.Duration(least+c.rand.IntN(most-least)) * time.Millisecond
}

// leads is the proposer that leads, or one of them; any where none does; 0 where it is dead or paused.
func (c *chaos) leads() uint16 {
	for _, n := range c.plan.file.Proposers() {
		if !c.away[n.ID] && c.status(n.ID).Proposers[0].Leads {
			return n.ID
		}
	}
	return c.one(c.plan.file.Proposers())
}

// one is one of the nodes, 0 where that one is dead or paused.
func (c *chaos) one(nodes []cluster.Node) uint16 {
	if id := nodes[c.rand.IntN(len(nodes))].ID; !c.away[id] {
		return id
	}
	return 0
}

// take takes a process away until it is brought back.
func (c *chaos) take(id uint16, take, bring func(uint16)) (undo func()) {
	if id == 0 {
		return nil
	}
	c.away[id] = true
	take(id)
	return func() {
		bring(id)
		c.away[id] = false
	}
}

func (c *chaos) die(id uint16) (undo func()) {
	return c.take(id, c.kill, func(id uint16) { c.start(id) })
}

func (c *chaos) pause(id uint16) (undo func()) {
	return c.take(id, func(id uint16) { c.signal(id, syscall.SIGSTOP) }, func(id uint16) { c.signal(id, syscall.SIGCONT) })
}

func (c *chaos) killLeader() func()  { return c.die(c.leads()) }
func (c *chaos) pauseLeader() func() { return c.pause(c.leads()) }
func (c *chaos) pauseAny() func()    { return c.pause(c.one(c.plan.file.Nodes)) }

// killLearner spares the first, so that one account of all deliveries stays whole.
func (c *chaos) killLearner() func() { return c.die(c.one(c.plan.file.Learners()[1:])) }

// killClient asks the client what it was told up to now. What it is told in the moment until it is dead is not known, as Check is told.
func (c *chaos) killClient() func() {
	if c.away[c.plan.client] {
		return nil
	}
	r := c.result()
	for i := range r.Acknowledged {
		r.Acknowledged[i].Killed = true
	}
	c.acks = append(c.acks, r.Acknowledged...)
	return c.die(c.plan.client)
}

// killAcceptor kills one, once. It comes back, and does not vote again.
func (c *chaos) killAcceptor() func() {
	id := c.one(c.plan.file.Acceptors())
	if c.acceptors == 0 || id == 0 {
		return nil
	}
	c.acceptors--
	return c.die(id)
}

// cut breaks the ways from one host to another; "" is all hosts.
func (c *chaos) cut(ways ...[2]string) func() {
	each := func(does func(from, to string) error) {
		for _, w := range ways {
			if err := does(w[0], w[1]); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	each(c.lab.Cut)
	return func() { each(c.lab.Heal) }
}

func (c *chaos) host() string { return c.plan.hosts[c.rand.IntN(len(c.plan.hosts))].Name }

func (c *chaos) cutLink() func() {
	a, b := c.host(), c.host()
	return c.cut([2]string{a, b}, [2]string{b, a})
}

func (c *chaos) cutOneWay() func() { return c.cut([2]string{c.host(), c.host()}) }

func (c *chaos) cutHost() func() {
	host := c.host()
	return c.cut([2]string{host, ""}, [2]string{"", host})
}

func (c *chaos) ask(id uint16, request string, reply any) {
	c.t.Helper()
	if err := node.Ask(c.nodes[id].socket, request, reply); err != nil {
		c.t.Fatalf("%s: %v", c.nodes[id].name, err)
	}
}

func (c *chaos) result() (r bench.ClientResult) {
	c.t.Helper()
	c.ask(c.plan.client, "result", &r)
	return r
}

// hold ends the load and holds what the clients were told against what the learners delivered.
func (c *chaos) hold() {
	c.t.Helper()
	var stopped, finished bool
	c.ask(c.plan.client, "stop", &stopped)
	eventually(c.t, "the load ends", func() bool {
		c.ask(c.plan.client, "finished", &finished)
		return finished
	}, c.describe)
	r := c.result()
	if r.Unanswered > 0 {
		c.t.Errorf("%d values were not answered on a network that loses nothing any more", r.Unanswered)
	}
	var all []*node.Status
	eventually(c.t, "the learners have delivered everything", func() (done bool) {
		all = all[:0]
		for _, k := range c.procs {
			all = append(all, c.status(k.nodes[0]))
		}
		return settled(all)
	}, c.describe)
	tallies := map[paxos.NodeID]bench.TallyReport{}
	var ends []bench.LearnerEnd
	for _, s := range all {
		ends = append(ends, learnerEnds(s)...)
	}
	for _, n := range c.plan.file.Learners() {
		reports := map[paxos.NodeID]bench.TallyReport{}
		c.ask(n.ID, "tally", &reports)
		tallies[paxos.NodeID(n.ID)] = reports[paxos.NodeID(n.ID)]
	}
	v := bench.Check(slices.Concat(c.acks, r.Acknowledged), tallies, ends)
	if !v.OK() {
		c.t.Errorf("%v", v.String())
	}
	if first := tallies[paxos.NodeID(c.plan.file.Learners()[0].ID)]; first.FromPosition != 0 || first.Values == 0 {
		c.t.Errorf("no learner saw all: the first began at position %d and saw %d values", first.FromPosition, first.Values)
	}
	c.t.Logf("%d sessions of clients, %d values delivered, %d sent again by the last client", len(c.acks)+len(r.Acknowledged), ends[0].Delivered, r.Retries)
}
