package paxos

import (
	"bytes"
	"math/rand"
	"testing"
)

// pieceOf is bytes [at, at+n) of a batch as a fragment.
func pieceOf(batch []byte, at, n int) *Message {
	return &Message{Kind: KindAccept, Offset: uint32(at), Total: uint32(len(batch)), Data: batch[at : at+n]}
}

// Pieces of many values in random order, cut at different places, doubled, some lost: what comes out is what went in, once each.
func TestFragmentsFitTogether(t *testing.T) {
	const most = 9000
	rng := rand.New(rand.NewSource(1))
	f := newFragments(1500, most)
	for round := range 200 {
		type piece struct {
			name uint64
			m    *Message
		}
		values := map[uint64][]byte{}
		var all []piece
		for name := range uint64(fragmentSets) {
			batch := make([]byte, 1+rng.Intn(most))
			rng.Read(batch)
			values[name] = batch
			for range 1 + rng.Intn(2) {
				size := FragmentUnit * (1 + rng.Intn(40))
				for at := 0; at < len(batch); at += size {
					all = append(all, piece{name, pieceOf(batch, at, min(size, len(batch)-at))})
				}
			}
		}
		rng.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		done := map[uint64]int{}
		for _, p := range all {
			if got, ok := f.add(p.name, uint64(round), p.m); ok {
				if done[p.name]++; !bytes.Equal(got, values[p.name]) {
					t.Fatalf("round %d: value %d of %d bytes is not what was sent", round, p.name, len(got))
				}
			}
		}
		f.clear() // second copies begin values anew
		for name := range values {
			if done[name] == 0 && f.Counters.Displaced == 0 {
				t.Fatalf("round %d: value %d is not there", round, name)
			}
		}
	}
}

func TestFragmentsThatCannotBe(t *testing.T) {
	batch := make([]byte, 5000)
	f := newFragments(1500, 5000)
	lie := func(m *Message, offset, total uint32) *Message {
		m.Offset, m.Total = offset, total
		return m
	}
	f.add(1, 1, pieceOf(batch, 0, 1408))
	for i, m := range []*Message{
		lie(pieceOf(batch, 0, 64), 63, 5000), lie(pieceOf(batch, 0, 65), 64, 5000), pieceOf(batch, 64, 0), lie(pieceOf(batch, 0, 64), 4992, 5000),
		lie(pieceOf(batch, 0, 64), 0, 5001), lie(pieceOf(batch, 0, 64), 0, 4000), lie(pieceOf(batch, 0, 64), ^uint32(63), ^uint32(0)),
		lie(pieceOf(batch, 0, 64), 0, 0),
	} {
		if _, done := f.add(1, 1, m); done || f.Counters.Malformed != uint64(i+1) {
			t.Errorf("%d: offset %d, %d bytes of %d were taken", i, m.Offset, len(m.Data), m.Total)
		}
	}
	if f.Counters.Fragments != 2 { // one of those that cannot be can only be told by its value
		t.Errorf("%d fragments taken", f.Counters.Fragments)
	}
	none := newFragments(1500, room(KindAccept, 1500))
	if _, done := none.add(1, 1, pieceOf(batch, 0, 64)); done || none.bytes != nil || none.Counters.Malformed != 1 {
		t.Error("fragments where every value fits a frame")
	}
}

// Where all sets are in use, what is of no use any more gives way first, then what was begun first.
func TestFragmentsGiveWay(t *testing.T) {
	batch := make([]byte, 5000)
	f := newFragments(1500, 5000)
	begin := func(a, b uint64) { f.add(a, b, pieceOf(batch, 0, 1408)) }
	for i := range uint64(fragmentSets) {
		begin(10+i, 5)
	}
	f.outdate(0, 0)
	begin(100, 5)
	if f.find(10, 5) >= 0 || f.find(11, 5) < 0 {
		t.Error("not the one that was begun first")
	}
	f.outdate(14, 0)
	for i := range uint64(3) {
		begin(101+i, 5)
	}
	if f.find(14, 5) < 0 || f.find(11, 5) >= 0 || f.find(12, 5) >= 0 || f.find(13, 5) >= 0 {
		t.Error("not those below the mark")
	}
	begin(110, 4)
	f.outdate(0, 5)
	begin(111, 5)
	if f.find(110, 4) >= 0 || f.Counters.Displaced != 6 {
		t.Errorf("not the lower ballot, or %d gave way", f.Counters.Displaced)
	}
}

// Large values among small ones, on a network that loses, doubles and reorders, with everything else that may go wrong.
func TestLargeValues(t *testing.T) {
	for seed := range int64(12) {
		b := newBench(t, seed, benchConfig{
			acceptors: 3 + 2*int(seed%2), proposers: 1 + int(seed%3), learners: 2, window: 16 << (seed % 4), batch: BatchMode(seed % 3), maxValue: 12_000,
			dropSlow: seed%2 == 0,
		})
		b.loss, b.dup = float64(seed%3)*0.05, 0.05
		amnesiac := false
		b.drive(100, 60e9, func() {
			b.cut = [MaxNodes]bool{}
			switch b.rng.Intn(6) {
			case 0:
				if !amnesiac {
					amnesiac = true
					b.startAcceptor(b.members.Acceptors[0], true)
				}
			case 1:
				b.startProposer(b.any(b.members.Proposers))
			case 2:
				b.restartLearner()
			case 3:
				b.proposers[b.any(b.members.Proposers)].silence = b.now
			case 4:
				b.cut[b.any(b.members.Acceptors)] = true
			case 5:
				b.cut[b.any(b.members.Learners)] = true
			}
		})
		b.settle(100)
	}
}
