package bench

import (
	"fmt"
	"math/bits"
	"slices"

	"wirepaxos/paxos"
)

// tallySpan is how far past its first missing sequence the deliveries of a client are told apart: far more than any client runs ahead.
const tallySpan = 1 << 16

// Tally is an application at a learner that finds out for itself whether it is given every value once and in order. It knows nothing of
// the learner's sessions: per client it keeps the exact set of the sequences delivered, as a prefix and a bitmap of tallySpan past it.
//
// A learner that took state from another one goes on from a later position. What came before is unknown here, so from then on a sequence
// that is missing proves nothing: only what comes twice, out of order or damaged is still found.
type Tally struct {
	from       uint64 // the first position of which all since is known
	next       uint64 // position
	last       paxos.Instance
	values     uint64
	bytes      uint64
	duplicated uint64
	reordered  uint64
	jumps      uint64
	beyond     uint64
	overflow   uint64
	corrupt    uint64
	check      bool

	entries []tallyEntry
	n       int
	index   []int32 // open addressing: place in entries plus one, 0 free
	recent  int     // the entry of the last delivery
}

type tallyEntry struct {
	client uint64
	first  uint64 // the lowest sequence delivered
	below  uint64 // every sequence from base on and below was delivered, as far as is known
	base   uint64
	max    uint64
	bits   []uint64

	generation uint32
	missing    []uint64 // below, and not delivered: their client had lost the session, ascending
}

const tallyWords = tallySpan / 64

// NewTally allocates room for the deliveries of so many clients, 8 KiB each; nothing is allocated afterwards. Values of more clients
// are counted and not checked.
func NewTally(maxClients int) (*Tally, error) {
	if maxClients < 1 || maxClients > paxos.MaxSessions {
		return nil, fmt.Errorf("bench: a tally of %d clients, want 1 to %d", maxClients, paxos.MaxSessions)
	}
	places := 4
	for places < 2*maxClients {
		places *= 2
	}
	t := &Tally{entries: make([]tallyEntry, maxClients), index: make([]int32, places)}
	words := make([]uint64, maxClients*tallyWords)
	for i := range t.entries {
		t.entries[i].bits = words[i*tallyWords : (i+1)*tallyWords]
	}
	return t, nil
}

// CheckValues makes the tally compare the bytes of each value with what a Load sends. Only where all clients are loads.
func (t *Tally) CheckValues() { t.check = true }

// Deliver is a learner's Deliver callback.
func (t *Tally) Deliver(d *paxos.Delivery) {
	t.order(d)
	t.values++
	t.bytes += uint64(len(d.Data))
	if t.check && !IsPattern(d.Data, uint64(d.Client), d.Sequence) {
		t.corrupt++
	}
	e := t.entry(uint64(d.Client), d.Sequence)
	if e == nil {
		t.overflow++
		return
	}
	switch {
	case d.Generation > e.generation:
		e.pass()
		e.generation = d.Generation
	case d.Generation < e.generation:
		t.reordered++
	}
	t.add(e, d.Sequence)
}

// order holds instances to not going back and positions to going on by one.
func (t *Tally) order(d *paxos.Delivery) {
	if d.Instance < t.last || d.Position < t.next {
		t.reordered++
	} else if d.Position > t.next {
		t.jumps++
		t.from = d.Position
	}
	t.last, t.next = d.Instance, d.Position+1
}

// add puts a sequence into a client's set.
func (t *Tally) add(e *tallyEntry, sequence uint64) {
	e.first, e.max = min(e.first, sequence), max(e.max, sequence)
	if sequence < e.below {
		if sequence < e.base {
			t.beyond++
		} else {
			t.duplicated++
		}
		return
	}
	if sequence-e.below >= tallySpan {
		if t.from == 0 {
			t.beyond++
			return
		}
		e.forget(sequence - tallySpan/2)
	}
	word, bit := &e.bits[sequence/64%tallyWords], uint64(1)<<(sequence%64)
	if *word&bit != 0 {
		t.duplicated++
		return
	}
	*word |= bit
	e.advance()
}

// pass notes that the session went to another client, or to another run of the same: what is missing up to here never comes any more.
func (e *tallyEntry) pass() {
	if e.max-e.below >= tallySpan && e.max >= e.below {
		e.forget(e.max + 1)
		return
	}
	for ; e.below <= e.max; e.below++ {
		word, bit := &e.bits[e.below/64%tallyWords], uint64(1)<<(e.below%64)
		if *word&bit == 0 {
			e.missing = append(e.missing, e.below)
		}
		*word &^= bit
	}
}

// advance moves the prefix over what is there.
func (e *tallyEntry) advance() {
	for e.bits[e.below/64%tallyWords]&(1<<(e.below%64)) != 0 {
		e.bits[e.below/64%tallyWords] &^= 1 << (e.below % 64)
		e.below++
	}
}

// forget begins the known part of a client's set anew at base, past sequences of which it is not known whether they were delivered.
func (e *tallyEntry) forget(base uint64) {
	if base-e.below >= tallySpan {
		clear(e.bits)
		e.below = base
	}
	for ; e.below < base; e.below++ {
		e.bits[e.below/64%tallyWords] &^= 1 << (e.below % 64)
	}
	e.base = base
}

// entry finds a client's entry, makes one, or returns nil where there is no room.
func (t *Tally) entry(client, sequence uint64) *tallyEntry {
	if t.n > 0 && t.entries[t.recent].client == client {
		return &t.entries[t.recent]
	}
	mask := len(t.index) - 1
	at := int(client*0x9e3779b97f4a7c15>>33) & mask
	for ; t.index[at] != 0; at = (at + 1) & mask {
		if i := int(t.index[at]) - 1; t.entries[i].client == client {
			t.recent = i
			return &t.entries[i]
		}
	}
	if t.n == len(t.entries) {
		return nil
	}
	t.recent = t.n
	e := &t.entries[t.n]
	t.n++
	t.index[at] = int32(t.n)
	e.client, e.first, e.base, e.below = client, sequence, 1, 1
	return e
}

// TallyReport is what a tally holds at the end.
type TallyReport struct {
	FromPosition uint64        `json:"from_position"` // 0: it saw all; else what came before is unknown
	NextPosition uint64        `json:"next_position"`
	Values       uint64        `json:"values"`
	Bytes        uint64        `json:"bytes"`
	Duplicated   uint64        `json:"duplicated"` // delivered again
	Reordered    uint64        `json:"reordered"`  // instance, position or a session's generation went back
	Jumps        uint64        `json:"jumps"`      // positions left out: one for each state that was taken from another learner
	Beyond       uint64        `json:"beyond"`     // sequences too far from their client's others to be told apart
	Overflow     uint64        `json:"overflow"`   // values of more clients than there was room for
	Corrupt      uint64        `json:"corrupt"`    // values whose bytes are not what the load sends
	Clients      []TallyClient `json:"clients"`
}

// TallyClient is the set of the sequences of one client that were delivered: [First, Below) without those of Missing, and those of Above.
type TallyClient struct {
	Client uint64   `json:"client,string"`
	First  uint64   `json:"first"`
	Below  uint64   `json:"below"`
	Above  []uint64 `json:"above,omitempty"` // ascending
	Max    uint64   `json:"max"`

	Missing []uint64 `json:"missing,omitempty"` // never delivered: another client resumed the session before; ascending
}

// Report reads the tally. It allocates; the loop has ended, or runs this in Inspect.
func (t *Tally) Report() TallyReport {
	r := TallyReport{
		FromPosition: t.from, NextPosition: t.next, Values: t.values, Bytes: t.bytes, Duplicated: t.duplicated, Reordered: t.reordered,
		Jumps: t.jumps, Beyond: t.beyond, Overflow: t.overflow, Corrupt: t.corrupt, Clients: make([]TallyClient, t.n),
	}
	for i := range t.entries[:t.n] {
		e := &t.entries[i]
		r.Clients[i] = TallyClient{
			Client: e.client, First: max(e.base, min(e.first, e.below)), Below: e.below, Above: e.above(), Max: e.max, Missing: slices.Clone(e.missing),
		}
	}
	return r
}

// above are the sequences past the prefix, ascending. The word that below lies in holds both ends of the span.
func (e *tallyEntry) above() []uint64 {
	var list []uint64
	for base := e.below &^ 63; base <= e.max; base += 64 {
		for word := e.bits[base/64%tallyWords]; word != 0; word &= word - 1 {
			if s := base + uint64(bits.TrailingZeros64(word)); s >= e.below && s <= e.max && s-e.below < tallySpan {
				list = append(list, s)
			}
		}
	}
	return list
}
