package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"wirepaxos/paxos"
)

// Hash is a learner's running hash. In JSON it is a string of 16 hexadecimal digits: numbers of 64 bits do not survive every reader.
type Hash uint64

// MarshalText writes the 16 digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads them.
func (h *Hash) UnmarshalText(text []byte) error {
	x, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return fmt.Errorf("bench: %q is not a hash of 16 hexadecimal digits", text)
	}
	*h = Hash(x)
	return nil
}

func (h Hash) String() string { return fmt.Sprintf("%016x", uint64(h)) }

// LearnerEnd is where a learner stood when the run was over: what paxos.Learner.Delivered told.
type LearnerEnd struct {
	Group     uint16 `json:"group,omitempty"` // of several
	ID        uint16 `json:"id"`
	Delivered uint64 `json:"delivered"` // values
	Hash      Hash   `json:"hash"`
	Watermark uint64 `json:"watermark"` // instances below were delivered
	Transfers uint64 `json:"transfers"` // states taken from another learner
}

// Verdict is whether the promises were kept.
type Verdict struct {
	Lost       uint64   `json:"lost"`       // values acknowledged to a client that at least one learner did not deliver
	Duplicated uint64   `json:"duplicated"` // deliveries of a value that the same learner had delivered, over all learners
	Reordered  uint64   `json:"reordered"`  // deliveries out of order, over all learners; and 1 if learners disagree
	Equal      bool     `json:"equal"`      // all learners delivered as many values, with one hash
	Problems   []string `json:"problems"`   // all that is wrong, the above included
	Notes      []string `json:"notes"`      // what could not be checked, and why
}

// OK tells that everything that could be checked is as it should be.
func (v *Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Reordered == 0 && v.Equal && len(v.Problems) == 0
}

func (v *Verdict) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

func (v *Verdict) note(format string, args ...any) {
	v.Notes = append(v.Notes, fmt.Sprintf(format, args...))
}

// Check holds the acknowledgements of all clients against what the learners delivered. The caller has waited until every learner reached
// the high watermark. Of a learner without a tally, and of one that took state from another and so did not see all, only the count and the
// hash can be compared.
func Check(acks []SessionAcks, tallies map[paxos.NodeID]TallyReport, learners []LearnerEnd) Verdict {
	v := Verdict{Problems: []string{}, Notes: []string{}}
	learners = slices.Clone(learners)
	slices.SortFunc(learners, func(a, b LearnerEnd) int { return int(a.ID) - int(b.ID) })
	v.compare(learners)

	var complete []*TallyReport // of the learners that saw all
	var ids []uint16
	for _, end := range learners {
		t, ok := tallies[paxos.NodeID(end.ID)]
		if !ok {
			v.note("learner %d kept no tally: only its count and hash were compared", end.ID)
			continue
		}
		if v.tally(end, &t) {
			complete = append(complete, &t)
			ids = append(ids, end.ID)
		}
	}
	if len(complete) == 0 && len(learners) > 0 {
		v.note("no learner saw all deliveries: that nothing acknowledged was lost could not be checked")
	}
	v.losses(acks, complete, ids)
	v.refusals(acks)
	return v
}

// compare holds learners against each other.
func (v *Verdict) compare(learners []LearnerEnd) {
	if len(learners) == 0 {
		v.problem("no learner reported: nothing could be checked")
		return
	}
	v.Equal = true
	first, disagree := learners[0], false
	for _, l := range learners[1:] {
		switch {
		case l.Watermark != first.Watermark:
			v.Equal = false
			v.problem("learner %d is at instance %d and learner %d at %d: they did not get equally far in the time that was given",
				first.ID, first.Watermark, l.ID, l.Watermark)
		case l.Delivered != first.Delivered || l.Hash != first.Hash:
			v.Equal, disagree = false, true
			v.problem("learner %d delivered %d values with hash %v, learner %d %d with hash %v: not the same sequence",
				first.ID, first.Delivered, first.Hash, l.ID, l.Delivered, l.Hash)
		}
	}
	if disagree {
		v.Reordered++
	}
}

// tally takes what a learner's tally found by itself, and answers whether it saw all deliveries.
func (v *Verdict) tally(end LearnerEnd, t *TallyReport) (complete bool) {
	if t.Duplicated > 0 {
		v.Duplicated += t.Duplicated
		v.problem("learner %d delivered %d values twice", end.ID, t.Duplicated)
	}
	if t.Reordered > 0 {
		v.Reordered += t.Reordered
		v.problem("learner %d went back %d times in the order of instances, positions or generations of a session", end.ID, t.Reordered)
	}
	if t.Jumps > end.Transfers {
		v.Reordered += t.Jumps - end.Transfers
		v.problem("learner %d left out positions %d times and took state only %d times", end.ID, t.Jumps, end.Transfers)
	}
	if t.Corrupt > 0 {
		v.problem("learner %d delivered %d values with other bytes than were sent", end.ID, t.Corrupt)
	}
	if t.Overflow > 0 {
		v.problem("learner %d delivered %d values of more clients than its tally has room for: they were not checked", end.ID, t.Overflow)
	}
	if t.Beyond > 0 {
		v.problem("learner %d delivered %d values too far from their client's others to be checked", end.ID, t.Beyond)
	}
	if end.Transfers == 0 && t.NextPosition != end.Delivered {
		v.problem("learner %d counts %d values and gave its application %d", end.ID, end.Delivered, t.NextPosition)
	}
	if t.FromPosition > 0 || end.Transfers > 0 {
		v.note("learner %d took state from another learner: what it did not deliver itself was checked by count and hash alone", end.ID)
		return false
	}
	return true
}

// losses finds what was acknowledged and not delivered by all, and what was delivered and never submitted.
func (v *Verdict) losses(acks []SessionAcks, complete []*TallyReport, ids []uint16) {
	submitted := map[uint64]uint64{} // the highest sequence of each client, in all its runs that reported
	for i := range acks {
		top := acks[i].Submitted
		if acks[i].Killed {
			top = math.MaxUint64 - 1 // what it submitted later is not known
		}
		submitted[acks[i].Client] = max(submitted[acks[i].Client], top)
	}
	missing := make([][]span, len(acks))
	for k, t := range complete {
		byClient := make(map[uint64][]span, len(t.Clients))
		strangers, invented, lost := 0, uint64(0), uint64(0)
		for i := range t.Clients {
			c := &t.Clients[i]
			delivered := minus(spansOf(c.First, c.Below, c.Above), spansOf(0, 0, c.Missing))
			byClient[c.Client] = delivered
			if top, reported := submitted[c.Client]; reported {
				invented += total(minus(delivered, spansOf(1, top+1, nil)))
			} else {
				strangers++
			}
		}
		for i := range acks {
			a := &acks[i]
			gone := minus(minus(spansOf(max(1, a.First), a.Below, a.Above), spansOf(0, 0, a.Failed)), byClient[a.Client])
			missing[i] = union(missing[i], gone)
			lost += total(gone)
		}
		if lost > 0 {
			v.problem("learner %d did not deliver %d values that were acknowledged", ids[k], lost)
		}
		if invented > 0 {
			v.problem("learner %d delivered %d values that were never submitted", ids[k], invented)
		}
		if strangers > 0 {
			v.note("learner %d delivered values of %d clients that did not report", ids[k], strangers)
		}
	}
	for _, gone := range missing {
		v.Lost += total(gone)
	}
}

// refusals are no broken promise, but nothing that a run should end with either.
func (v *Verdict) refusals(acks []SessionAcks) {
	failed, sessions := 0, 0
	for i := range acks {
		if n := len(acks[i].Failed); n > 0 {
			failed += n
			sessions++
		}
	}
	if failed > 0 {
		v.problem("%d values of %d clients were not answered as delivered: their sessions were refused or lost, and what became of the values is not known",
			failed, sessions)
	}
}

// String is the verdict in a few lines.
func (v *Verdict) String() string {
	var b strings.Builder
	if v.OK() {
		b.WriteString("every learner delivered the same sequence; nothing lost, doubled or reordered\n")
	} else {
		fmt.Fprintf(&b, "THE CHECK FAILED: lost %d, doubled %d, reordered %d\n", v.Lost, v.Duplicated, v.Reordered)
	}
	for _, p := range v.Problems {
		fmt.Fprintf(&b, "  wrong: %s\n", p)
	}
	for _, n := range v.Notes {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	return b.String()
}
