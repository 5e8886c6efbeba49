package paxos

// Values larger than a frame travel in fragments: pieces of one batch, each in a message of its own with its offset and the batch's length.
// PROTOCOL.md, "Fragments".
//
// Pieces are put together by name: (instance, ballot) where a value was proposed, (client, generation, sequence) where it is submitted. Where they come
// from does not matter. A ballot names one value per instance for ever (L1): the proposer sends pieces of that value only, and an acceptor
// tells again only what it stored as a whole; so any pieces of one name, from one node or from several, sent once or twice, are pieces of the
// same bytes. In one generation of its session a client's bytes are likewise the same each time that it sends them, but for the header of the value, which may name a later
// oldest sequence; the header lies within the first piece, so it is one or the other, and either is true.

const (
	// MaxValueBytes is the largest value that a cluster may be set to take.
	MaxValueBytes = 1 << 16

	// FragmentUnit is what offsets of fragments are multiples of, and the lengths of all but the last of a value. Nodes whose frames differ in
	// length cut at different places; their pieces fit together all the same.
	FragmentUnit = 64

	// fragmentSets is how many values a role puts together at once: fragmentSets times the largest batch is the memory of it, 4 MiB for values of
	// 64 KiB. Pieces of a value come in a row, so a set is used up at once, unless a piece was lost.
	fragmentSets = 64

	maxUnits = (MaxValueBytes + valueHeaderSize + FragmentUnit - 1) / FragmentUnit
)

// FragmentCounters count what became of fragments.
type FragmentCounters struct {
	Fragments uint64 // taken
	Assembled uint64 // values put together
	Doubled   uint64 // fragments that were there
	Malformed uint64 // fragments that cannot be, or that contradict the others of their value
	Displaced uint64 // values given up half done, to make room for another
}

// largestBatch is the largest batch of a cluster: what fits one Accept, or one value of the size that the cluster is set to take.
func largestBatch(mtu, maxValue int) int {
	return max(room(KindAccept, mtu), valueHeaderSize+min(maxValue, MaxValueBytes))
}

// LargestValue is the largest value of a cluster: as its file says, or, where that is 0, what fits a frame.
func LargestValue(mtu, maxValue int) int {
	if maxValue == 0 {
		return MaxValue(mtu)
	}
	return min(maxValue, MaxValueBytes)
}

// pieceSize is how many bytes of a batch all fragments but the last carry.
func pieceSize(kind Kind, mtu int) int { return room(kind, mtu) &^ (FragmentUnit - 1) }

// frameCount is in how many messages of a kind, each as long as a frame at most, a batch travels.
func frameCount(kind Kind, mtu, length int) int {
	if length <= room(kind, mtu) {
		return 1
	}
	size := pieceSize(kind, mtu)
	return (length + size - 1) / size
}

// firstPiece is the fragment with which the given try to send n of them begins; they go round from there. The first try begins at the beginning.
// Where a queue on the way holds fewer than n, only the first of each try get through: were they always the same, no number of tries would do.
func firstPiece(n int, try uint64) int {
	return int(try * 0x9e3779b1 & 0xffffffff * uint64(n) >> 32)
}

// AcceptFrames is how many frames a value of so many bytes takes to each acceptor and learner, alone in its instance.
func AcceptFrames(mtu, size int) int { return frameCount(KindAccept, mtu, valueHeaderSize+size) }

// SubmitFrames is how many frames a value of so many bytes takes to a proposer.
func SubmitFrames(mtu, size int) int { return frameCount(KindSubmitPart, mtu, valueHeaderSize+size) }

// SendParts sends a batch of one value that is too large for a Submit. The batch must stay as it is until the next Reset. try counts the
// times that it was sent before.
func (o *Outbox) SendParts(to NodeID, mtu int, v *Value, batch []byte, try int) {
	size, n := pieceSize(KindSubmitPart, mtu), frameCount(KindSubmitPart, mtu, len(batch))
	for i, first := 0, firstPiece(n, uint64(try)); i < n; i++ {
		at := (first + i) % n * size
		m := o.send(KindSubmitPart, to)
		m.Client, m.Sequence, m.Hash, m.Offset, m.Total = v.Client, v.Sequence, uint64(v.Generation), uint32(at), uint32(len(batch))
		m.Data = batch[at:min(at+size, len(batch))]
	}
}

// whole tells whether m carries all of its value.
func whole(m *Message) bool { return m.Offset == 0 && int(m.Total) == len(m.Data) }

// fragments puts values together. It holds at most fragmentSets of them half done. When one more comes, one that is of no use any more gives way,
// else the one that was begun first: whoever wants it asks for all of it again.
type fragments struct {
	names []fragmentName
	sets  []fragmentSet
	bytes []byte // a cell of most bytes for each set
	most  int
	last  int    // the set that was added to last
	begun uint64 // sets ever begun

	low   uint64 // sets whose first name is below are of no use any more
	least uint64 // likewise the second name

	Counters FragmentCounters
}

// fragmentName is what the pieces of a value have in common: instance and ballot, or client, sequence and generation.
type fragmentName [3]uint64

func acceptName(m *Message) fragmentName { return fragmentName{uint64(m.Instance), uint64(m.Ballot)} }

func submitName(c ClientID, sequence uint64, generation uint32) fragmentName {
	return fragmentName{uint64(c), sequence, uint64(generation)}
}

type fragmentSet struct {
	begun   uint64 // 0: free
	total   uint32
	missing uint32 // bytes that are not there
	have    [(maxUnits + 63) / 64]uint64
}

// newFragments allocates for batches of at most most bytes; where they all fit frames of mtu bytes there is nothing to put together.
func newFragments(mtu, most int) fragments {
	if most <= room(KindAccept, mtu) {
		return fragments{}
	}
	return fragments{
		names: make([]fragmentName, fragmentSets), sets: make([]fragmentSet, fragmentSets), bytes: make([]byte, fragmentSets*most), most: most,
	}
}

// add takes a fragment of the value of that name and returns the value once all of it is there. The bytes are good until the next add.
func (f *fragments) add(name fragmentName, m *Message) (value []byte, done bool) {
	if !f.plausible(m) {
		f.Counters.Malformed++
		return nil, false
	}
	f.Counters.Fragments++
	at := f.find(name)
	if at < 0 {
		at = f.begin(name, m.Total)
	}
	f.last = at
	s := &f.sets[at]
	if s.total != m.Total {
		f.Counters.Malformed++
		return nil, false
	}
	fresh := s.mark(m.Offset, uint32(len(m.Data)))
	if fresh == 0 {
		f.Counters.Doubled++
		return nil, false
	}
	cell := f.bytes[at*f.most:]
	copy(cell[m.Offset:], m.Data)
	if s.missing -= fresh; s.missing > 0 {
		return nil, false
	}
	f.Counters.Assembled++
	s.begun = 0
	return cell[:s.total:s.total], true
}

// plausible tells whether m can be a fragment: it lies within its value, and begins and ends at units or at the value's end.
func (f *fragments) plausible(m *Message) bool {
	n := uint64(len(m.Data))
	end := uint64(m.Offset) + n
	return n > 0 && m.Total <= uint32(f.most) && end <= uint64(m.Total) && m.Offset%FragmentUnit == 0 &&
		(n%FragmentUnit == 0 || end == uint64(m.Total))
}

// find is the set of a name, or -1.
func (f *fragments) find(name fragmentName) int {
	if f.names[f.last] == name && f.sets[f.last].begun != 0 {
		return f.last
	}
	for at := range f.names {
		if f.names[at] == name && f.sets[at].begun != 0 {
			return at
		}
	}
	return -1
}

// begin takes a free set, or one that gives way.
func (f *fragments) begin(name fragmentName, total uint32) int {
	best, rank := 0, ^uint64(0)
	for at := range f.sets {
		r := f.sets[at].begun
		if f.names[at][0] < f.low || f.names[at][1] < f.least {
			r = 0
		}
		if r < rank {
			best, rank = at, r
		}
	}
	if f.sets[best].begun != 0 {
		f.Counters.Displaced++
	}
	f.begun++
	f.names[best] = name
	f.sets[best] = fragmentSet{begun: f.begun, total: total, missing: total}
	return best
}

// mark notes which bytes are there and returns how many of them were not.
func (s *fragmentSet) mark(offset, length uint32) (fresh uint32) {
	for unit := offset / FragmentUnit; unit*FragmentUnit < offset+length; unit++ {
		word, bit := &s.have[unit/64], uint64(1)<<(unit%64)
		if *word&bit == 0 {
			*word |= bit
			fresh += min(FragmentUnit, s.total-unit*FragmentUnit)
		}
	}
	return fresh
}

// outdate tells below which names values are of no use any more.
func (f *fragments) outdate(low, least uint64) { f.low, f.least = low, least }

// clear gives up all that is half done.
func (f *fragments) clear() {
	for at := range f.sets {
		f.sets[at].begun = 0
	}
}

// Fragments tells what became of fragments of values.
func (a *Acceptor) Fragments() FragmentCounters { return a.pieces.Counters }

// Fragments tells what became of fragments of values.
func (l *Learner) Fragments() FragmentCounters { return l.pieces.Counters }

// Fragments tells what became of fragments: of submitted values, and of those fetched after phase 1.
func (p *Proposer) Fragments() (submitted, fetched FragmentCounters) {
	return p.submits.Counters, p.stored.Counters
}
