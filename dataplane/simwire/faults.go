package simwire

import (
	"fmt"
	"math/bits"
)

// Faults are what a link does to frames. A share is in millionths of all frames; a million and more is every frame.
//
// A frame arrives DelayNs after it was sent, up to JitterNs later, evenly, and with a share of TailPPM up to TailNs later besides, most of
// these a little and few of them much: half as many for twice the time, as Pareto has it. Jitter and tails reorder.
type Faults struct {
	DropPPM      uint32 // lost
	DuplicatePPM uint32 // arrives twice, each copy with a delay and damage of its own
	CorruptPPM   uint32 // one to three bits or bytes changed, or the end cut off
	TailPPM      uint32
	DelayNs      int64
	JitterNs     int64
	TailNs       int64
}

// maxDelayNs bounds each part of a delay: 18 minutes.
const maxDelayNs = 1 << 40

func (f *Faults) check() {
	for _, ns := range []int64{f.DelayNs, f.JitterNs, f.TailNs} {
		if ns < 0 || ns > maxDelayNs {
			panic(fmt.Sprintf("simwire: %+v: a delay is from 0 to %d ns", *f, int64(maxDelayNs)))
		}
	}
}

// link is the way from one address to another.
type link struct {
	seed   uint64
	sent   uint64 // frames
	cut    bool
	faults Faults
}

// link finds or makes the link.
func (n *Net) link(from, to Address) *link {
	e := n.ends[from]
	for len(e.links) <= int(to) {
		e.links = append(e.links, nil)
	}
	if e.links[to] == nil {
		seed := mix(n.config.Seed ^ mix(hash(e.name)^mix(hash(n.ends[to].name))))
		e.links[to] = &link{seed: seed, faults: n.faults}
	}
	return e.links[to]
}

// SetFaults says what the link does to frames sent from now on. It panics if a delay is negative or above 18 minutes.
func (n *Net) SetFaults(from, to Address, f Faults) {
	f.check()
	n.link(from, to).faults = f
}

// SetAllFaults is SetFaults for all links, also for those that are made later.
func (n *Net) SetAllFaults(f Faults) {
	f.check()
	n.faults = f
	n.eachLink(func(l *link) { l.faults = f })
}

// Cut makes the link lose all that is sent from now on; what is on its way arrives. The other direction is a link of its own.
func (n *Net) Cut(from, to Address) { n.link(from, to).cut = true }

// Heal takes back Cut.
func (n *Net) Heal(from, to Address) { n.link(from, to).cut = false }

// HealAll takes back every Cut.
func (n *Net) HealAll() { n.eachLink(func(l *link) { l.cut = false }) }

func (n *Net) eachLink(change func(l *link)) {
	for _, e := range n.ends {
		for _, l := range e.links {
			if l != nil {
				change(l)
			}
		}
	}
}

// fate answers every question about one frame, or one copy of it. It is a key; each question is a number.
type fate uint64

// The questions. Those from askDamage on are as many as corrupt wants.
const (
	askDrop uint64 = iota
	askDuplicate
	askCorrupt
	askJitter
	askTail
	askTailLength
	askCopy // the fate of the second copy
	askDamage
)

// next is the fate of the next frame.
func (l *link) next() fate {
	l.sent++
	return fate(mix(l.seed + l.sent*golden))
}

func (x fate) draw(question uint64) uint64 { return mix(uint64(x) + question*golden) }

// below draws evenly from 0 to n-1. (Lemire, "Fast Random Integer Generation in an Interval", 2019, without its correction: n is small
// against 2^64.)
func (x fate) below(question, n uint64) uint64 {
	high, _ := bits.Mul64(x.draw(question), n)
	return high
}

// happens tells whether what strikes ppm of a million frames strikes this one.
func (x fate) happens(question uint64, ppm uint32) bool {
	return ppm != 0 && x.below(question, 1_000_000) < uint64(ppm)
}

// tailShare is how much shorter than TailNs the shortest tail is, and so how rare the longest are.
const tailShare = 1024

// delayNs is how long the frame takes.
func (f *Faults) delayNs(x fate) int64 {
	ns := f.DelayNs
	if f.JitterNs > 0 {
		ns += int64(x.below(askJitter, uint64(f.JitterNs)+1))
	}
	if f.TailNs > 0 && x.happens(askTail, f.TailPPM) {
		shortest := max(uint64(f.TailNs)/tailShare, 1)
		ns += min(f.TailNs, int64(shortest<<32/(x.below(askTailLength, 1<<32)+1)))
	}
	return ns
}

// corrupt damages data in place, so that it differs for certain, and returns it, perhaps shorter. A frame never becomes empty.
func corrupt(data []byte, x fate) []byte {
	how := x.draw(askDamage)
	if how%4 == 0 && len(data) > 1 {
		return data[:1+x.below(askDamage+1, uint64(len(data)-1))]
	}
	changes := 1 + how>>8%3
	for i, at := uint64(0), 0; i < changes && at < len(data); i++ { // each behind the one before, so that none undoes another
		question := askDamage + 2 + 2*i
		at += int(x.below(question, uint64(len(data)-at)))
		if what := x.draw(question + 1); how>>16%2 == 0 {
			data[at] ^= 1 << (what % 8)
		} else {
			data[at] ^= byte(1 + what%255)
		}
		at++
	}
	return data
}

// golden and mix are the increment and the output function of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
// Generators", 2014).
const golden = 0x9E3779B97F4A7C15

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

// hash is FNV-1a.
func hash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}
