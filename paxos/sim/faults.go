package sim

import (
	"slices"

	"wirepaxos/dataplane/simwire"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
)

// faults makes trouble of the profile's kinds, each kind from a stream of its own, until it is told to end. Then everything works again.
type faults struct {
	w        *world
	seed     uint64
	wires    random
	cuts     random
	machines random
	clients  random
	people   random
	link     simwire.Faults // of all links, but for spells
	sound    simwire.Faults
	cut      [][]int // how many partitions a link is cut by, from and to
	over     bool
	amnesiac map[paxos.NodeID]bool // acceptors that crashed; for lookups only
	left     *machine              // that stays down to the end; nil: none
	count    faultCounts
}

// faultCounts are the faults that machines and links were given; what became of frames, the network counts.
type faultCounts struct {
	spells, partitions, oneWays, pauses, slows, crashes, acceptorCrashes, failedStarts, departures uint64
}

func newFaults(w *world, seed uint64) faults {
	f := faults{
		w: w, seed: seed, wires: newRandom(seed, "wires"), cuts: newRandom(seed, "partitions"), machines: newRandom(seed, "crashes"),
		clients: newRandom(seed, "clients"), people: newRandom(seed, "people"),
		sound: simwire.Faults{DelayNs: w.plan.delayNs, JitterNs: w.plan.jitterNs}, amnesiac: map[paxos.NodeID]bool{},
	}
	f.link = f.sound
	p := w.profile
	f.link.DropPPM = uint32(f.wires.below(p.lossPPM + 1))
	f.link.DuplicatePPM = uint32(f.wires.below(p.duplicatePPM + 1))
	f.link.CorruptPPM = uint32(f.wires.below(p.corruptPPM + 1))
	f.link.TailPPM, f.link.TailNs = uint32(f.wires.below(p.tailPPM+1)), of(&f.wires, 1*ms, 10*ms, 100*ms)
	for range w.machines {
		f.cut = append(f.cut, make([]int, len(w.machines)))
	}
	return f
}

func (f *faults) begin() {
	f.w.net.SetAllFaults(f.link)
	p := f.w.profile
	f.often(p.spellNs, &f.wires, f.spell)
	f.often(p.partitionNs, &f.cuts, f.partition)
	f.often(p.pauseNs, &f.machines, f.pause)
	f.often(p.slowNs, &f.machines, f.slow)
	f.often(p.crashNs, &f.machines, f.crash)
	if r := newRandom(f.seed, "departures"); p.crashNs > 0 && r.percent(30) {
		f.after(r.below(f.w.plan.runNs), f.depart)
	}
	f.often(p.clientNs, &f.clients, f.client)
	f.often(p.handoverNs, &f.people, f.handover)
}

// often does something again and again, meanNs apart on average.
func (f *faults) often(meanNs int64, r *random, do func()) {
	if meanNs == 0 {
		return
	}
	var again func()
	again = func() {
		if f.over {
			return
		}
		do()
		f.w.events.add(f.w.now+r.below(2*meanNs)+1, again)
	}
	f.w.events.add(f.w.now+r.below(2*meanNs)+1, again)
}

// after undoes something later, unless the end of the faults has done so.
func (f *faults) after(ns int64, undo func()) {
	f.w.events.add(f.w.now+ns, func() {
		if !f.over {
			undo()
		}
	})
}

func (f *faults) end() {
	f.over = true
	f.w.net.HealAll()
	f.w.net.SetAllFaults(f.sound)
	for _, m := range f.w.machines {
		m.slow, m.pausedUntil = 1, 0
		m.wake(f.w.now)
		if !m.up() && m != f.left {
			m.start()
		}
	}
	f.w.trace.text("the faults end")
}

// machine draws one.
func (f *faults) machine(r *random) *machine { return f.w.machines[r.below(int64(len(f.w.machines)))] }

// spell makes the link between two machines, in one direction, or all links, much worse for a while.
func (f *faults) spell() {
	f.count.spells++
	r := &f.wires
	bad := f.link
	switch r.below(4) {
	case 0:
		bad.DropPPM = uint32(r.between(200_000, 900_000))
	case 1:
		bad.DelayNs = r.between(1*ms, 50*ms)
	case 2:
		bad.DuplicatePPM, bad.JitterNs = uint32(r.between(200_000, 900_000)), r.between(1*ms, 10*ms)
	case 3:
		bad.CorruptPPM = uint32(r.between(100_000, 900_000))
	}
	length := r.between(5*ms, 200*ms)
	if r.percent(30) {
		f.w.net.SetAllFaults(bad)
		f.w.trace.text("all links turn bad")
		f.after(length, func() { f.w.net.SetAllFaults(f.link) })
		return
	}
	a, b := f.machine(r), f.machine(r)
	if a == b {
		return
	}
	from, to := simwire.Address(a.index), simwire.Address(b.index)
	f.w.net.SetFaults(from, to, bad)
	f.w.trace.event(a, "has a bad link to %s", b.name)
	f.after(length, func() { f.w.net.SetFaults(from, to, f.link) })
}

// partition cuts links for a while: one machine off, in one direction or both; two halves; or a few links.
func (f *faults) partition() {
	r, n := &f.cuts, len(f.w.machines)
	f.count.partitions++
	side := make([]bool, n)
	how := r.below(5)
	lone := int(r.below(int64(n)))
	for i := range side {
		side[i] = i == lone
		if how == 3 {
			side[i] = r.percent(50)
		}
	}
	if how == 1 || how == 2 {
		f.count.oneWays++
	}
	var links [][2]int
	for i := range n {
		for k := range n {
			out, in := side[i] && !side[k], !side[i] && side[k]
			if how == 4 && i != k && r.percent(20) || how != 4 && (out && how != 2 || in && how != 1) {
				links = append(links, [2]int{i, k})
			}
		}
	}
	for _, l := range links {
		f.sever(l, 1)
	}
	f.w.trace.text("%d links are cut", len(links))
	f.after(r.between(5*ms, 300*ms), func() {
		for _, l := range links {
			f.sever(l, -1)
		}
		f.w.trace.text("%d links are healed", len(links))
	})
}

// sever adds to how many partitions cut a link.
func (f *faults) sever(l [2]int, by int) {
	c := &f.cut[l[0]][l[1]]
	*c += by
	from, to := simwire.Address(l[0]), simwire.Address(l[1])
	if *c > 0 {
		f.w.net.Cut(from, to)
	} else {
		f.w.net.Heal(from, to)
	}
}

func (f *faults) pause() {
	f.count.pauses++
	f.machine(&f.machines).pause(of(&f.machines, 1*ms, 10*ms, 100*ms, 300*ms))
}

func (f *faults) slow() {
	f.count.slows++
	m := f.machine(&f.machines)
	m.slow = of(&f.machines, int64(10), 100, 1000)
	f.w.trace.event(m, "is %d times slower", m.slow)
	f.after(f.machines.between(5*ms, 200*ms), func() { m.slow = 1 })
}

// crash ends a process that may crash, and starts it again later. The power may go again in the middle of that.
func (f *faults) crash() {
	m := f.machine(&f.machines)
	if !m.up() || !f.mayCrash(m) {
		return
	}
	f.count.crashes++
	f.fell(m)
	f.restart(m)
}

// depart ends a proposer's machine for good, the one that leads if that may be: another proposer has to lead, to the end of the run. Learners and
// clients stay; every one of them must be served.
func (f *faults) depart() {
	var gone *machine
	for _, m := range f.w.machines {
		if m.up() && m.has(cluster.Proposer) && !m.has(cluster.Learner) && !m.has(cluster.Client) && f.proposerElsewhere(m) && !f.doorOfOthers(m) &&
			f.mayCrash(m) && (gone == nil || m.leads()) {
			gone = m
		}
	}
	if gone != nil {
		f.count.departures++
		f.left = gone
		f.fell(gone)
	}
}

// proposerElsewhere tells whether not all proposers are on this machine.
func (f *faults) proposerElsewhere(m *machine) bool {
	return slices.ContainsFunc(f.w.machines, func(o *machine) bool { return o != m && o.has(cluster.Proposer) })
}

// doorOfOthers tells whether frames for other machines come in at this one.
func (f *faults) doorOfOthers(m *machine) bool {
	return slices.ContainsFunc(f.w.machines, func(o *machine) bool { return o != m && o.door == m.index })
}

// fell notes what the cluster loses with a machine, and ends its process.
func (f *faults) fell(m *machine) {
	for _, n := range m.endpoint.Nodes {
		if n.Roles.Has(cluster.Acceptor) && !f.amnesiac[paxos.NodeID(n.ID)] {
			f.amnesiac[paxos.NodeID(n.ID)] = true
			f.count.acceptorCrashes++
		}
	}
	m.crash()
}

func (f *faults) restart(m *machine) {
	f.after(of(&f.machines, 1*ms, 20*ms, 150*ms), func() {
		if f.machines.percent(20) {
			m.disk.power = int(f.machines.below(6))
		}
		if !m.start() {
			f.count.failedStarts++
			m.disk.crash(&f.machines)
			f.restart(m)
			return
		}
		m.disk.power = forever
	})
}

// mayCrash holds to what a profile may do (see Profile).
func (f *faults) mayCrash(m *machine) bool {
	most, without := (len(f.w.plan.file.Acceptors())-1)/2, len(f.amnesiac)
	for _, n := range m.endpoint.Nodes {
		if n.Roles.Has(cluster.Acceptor) && !f.amnesiac[paxos.NodeID(n.ID)] {
			if without++; without > most {
				return false
			}
		}
	}
	return !m.has(cluster.Learner) || f.stateElsewhere(m)
}

// stateElsewhere tells whether a learner on another machine stands at least as far as those on this one.
func (f *faults) stateElsewhere(m *machine) (elsewhere bool) {
	furthest := paxos.Instance(0)
	m.roles(func(_ paxos.NodeID, role any) {
		if l, ok := role.(*paxos.Learner); ok {
			at, _, _ := l.Delivered()
			furthest = max(furthest, at)
		}
	})
	for _, other := range f.w.machines {
		if other == m {
			continue
		}
		other.roles(func(_ paxos.NodeID, role any) {
			if l, ok := role.(*paxos.Learner); ok {
				at, _, _ := l.Delivered()
				elsewhere = elsewhere || at >= furthest
			}
		})
	}
	return elsewhere
}
