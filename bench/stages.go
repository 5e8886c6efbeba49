package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"wirepaxos/paxos"
)

// Where a value's time goes. Each process notes when sampled values pass its roles, by what the roles are told and say; JoinStages puts the
// notes of all processes together. They must run on one host: then their clocks are one.
//
// A time is that of the cycle in which it happened, which a loop reads at its beginning: two roles of one loop that handle a value in one cycle
// have it at one time, and what the cycle's own work takes is part of the way to the next loop. A loop that loses its core between the reading of its
// clock and its ports finds messages that were sent later than that: such a stage counts as 0.

// StagePoint is a point of a value's way, in its order.
type StagePoint uint8

// The points.
const (
	StageSubmitted StagePoint = iota // the client sent it
	StageProposed                    // the proposer gave it an instance and sent the Accept
	StageAccepted                    // an acceptor got the Accept
	StageDelivered                   // the learner that serves the client delivered it and replied
	StageAnswered                    // the client got the reply
	numStagePoints
)

// stageNames are the roles at the points.
var stageNames = [numStagePoints]string{"client", "proposer", "acceptor", "learner", "client"}

// StageNote says that a value passed a point.
type StageNote struct {
	Client   uint64       `json:"client,string"`
	Sequence uint64       `json:"sequence"`
	At       paxos.Time   `json:"at"`
	Node     paxos.NodeID `json:"node"`
	Point    StagePoint   `json:"point"`
}

// StageNotes are the latest notes of one loop, which alone may use them.
type StageNotes struct {
	every uint64
	n     uint64 // so far
	ring  []StageNote
}

const stageRing = 1 << 16

// NewStageNotes prepares to note one value in every, by its sequence. Nothing is allocated afterwards.
func NewStageNotes(every int) (*StageNotes, error) {
	if every < 1 {
		return nil, fmt.Errorf("bench: one value in %d cannot be sampled", every)
	}
	return &StageNotes{every: uint64(every), ring: make([]StageNote, stageRing)}, nil
}

// Observe notes what a step of a role says of sampled values: what it was told, and what it wants sent. Values that go in fragments are not
// followed.
func (s *StageNotes) Observe(now paxos.Time, node paxos.NodeID, role paxos.Role, in []paxos.Message, out *paxos.Outbox) {
	switch role {
	case paxos.RoleClient:
		s.replies(now, node, StageAnswered, in)
		s.batches(now, node, StageSubmitted, paxos.KindSubmit, out.Now)
	case paxos.RoleProposer:
		s.batches(now, node, StageProposed, paxos.KindAccept, out.Now)
	case paxos.RoleAcceptor:
		s.batches(now, node, StageAccepted, paxos.KindAccept, in)
	case paxos.RoleLearner:
		s.replies(now, node, StageDelivered, out.Now)
	}
}

// batches notes the sampled values of messages that carry values. A proposer says the same to all, one after the other: once is enough.
func (s *StageNotes) batches(now paxos.Time, node paxos.NodeID, point StagePoint, kind paxos.Kind, messages []paxos.Message) {
	last, noted := paxos.Instance(0), false
	for i := range messages {
		m := &messages[i]
		if m.Kind != kind {
			continue
		}
		if kind == paxos.KindAccept {
			if noted && m.Instance == last || m.Offset != 0 || int(m.Total) != len(m.Data) {
				continue
			}
			last, noted = m.Instance, true
		}
		var v paxos.Value
		for rest, ok := paxos.NextValue(m.Data, &v); ok; rest, ok = paxos.NextValue(rest, &v) {
			if v.Kind == paxos.ValueData && v.Sequence%s.every == 0 {
				s.note(StageNote{Client: uint64(v.Client), Sequence: v.Sequence, At: now, Node: node, Point: point})
			}
		}
	}
}

// replies notes the sampled values that replies say were delivered.
func (s *StageNotes) replies(now paxos.Time, node paxos.NodeID, point StagePoint, messages []paxos.Message) {
	for i := range messages {
		m := &messages[i]
		if m.Kind != paxos.KindReply {
			continue
		}
		for r, rest, ok := paxos.NextReplyRange(m.Data); ok; r, rest, ok = paxos.NextReplyRange(rest) {
			if r.Status != paxos.StatusDelivered {
				continue
			}
			for q := (r.First + s.every - 1) / s.every * s.every; q < r.First+uint64(r.Count); q += s.every {
				s.note(StageNote{Client: uint64(r.Client), Sequence: q, At: now, Node: node, Point: point})
			}
		}
	}
}

func (s *StageNotes) note(n StageNote) {
	s.ring[s.n%stageRing] = n
	s.n++
}

// Notes are a copy of what is kept, in the order of time. It allocates; the loop has ended, or runs this in Inspect.
func (s *StageNotes) Notes() []StageNote {
	kept := make([]StageNote, 0, min(s.n, stageRing))
	for i := s.n - uint64(cap(kept)); i < s.n; i++ {
		kept = append(kept, s.ring[i%stageRing])
	}
	return kept
}

// JoinStages puts the notes of all processes together: of the values that were submitted in the measurement, from from on, the time between two points
// each, and last the whole way. An acceptor's point is passed when a quorum of them has passed it. Values of which a note is missing are
// left out.
func JoinStages(notes []StageNote, quorum int, from paxos.Time) []Stage {
	notes = slices.Clone(notes)
	slices.SortFunc(notes, func(a, b StageNote) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.Point, b.Point), cmp.Compare(a.At, b.At))
	})
	var took [numStagePoints]*hdrhistogram.Histogram // the last is of the whole way
	for i := range took {
		took[i] = newHistogram()
	}
	add := func(p StagePoint, ns int64) { record(took[p], min(max(ns, 0), highestNs), 1) }
	for len(notes) > 0 {
		n := 1
		for n < len(notes) && notes[n].Client == notes[0].Client && notes[n].Sequence == notes[0].Sequence {
			n++
		}
		if at, ok := pointsOf(notes[:n], quorum); ok && at[StageSubmitted] >= from {
			for p := StageSubmitted; p < StageAnswered; p++ {
				add(p, at[p+1]-at[p])
			}
			add(StageAnswered, at[StageAnswered]-at[StageSubmitted])
		}
		notes = notes[n:]
	}
	stages := make([]Stage, 0, numStagePoints)
	for p, h := range took {
		s := Stage{From: stageNames[p], To: stageNames[min(p+1, len(took)-1)], LatencyUs: latencyOf(h), Samples: uint64(h.TotalCount())}
		stages = append(stages, s)
	}
	return stages
}

// pointsOf are the times at which one value passed each point first, from its notes in order; false if one is missing.
func pointsOf(notes []StageNote, quorum int) (at [numStagePoints]paxos.Time, ok bool) {
	var seen [numStagePoints]bool
	var acceptors []paxos.NodeID
	for _, n := range notes {
		if n.Point >= numStagePoints || seen[n.Point] {
			continue
		}
		if n.Point == StageAccepted {
			if slices.Contains(acceptors, n.Node) {
				continue
			}
			if acceptors = append(acceptors, n.Node); len(acceptors) < quorum {
				continue
			}
		}
		at[n.Point], seen[n.Point] = n.At, true
	}
	return at, !slices.Contains(seen[:], false)
}

// stagesText writes the stages as a table.
func stagesText(b *strings.Builder, stages []Stage) {
	if len(stages) == 0 {
		return
	}
	samples := stages[len(stages)-1].Samples
	fmt.Fprintf(b, "%-32s %12s %12s %12s\n", fmt.Sprintf("stages (µs), of %s values", grouped(float64(samples))), "p50", "p99", "mean")
	for i, s := range stages {
		name := s.From + " to " + s.To
		if i == len(stages)-1 {
			name = "the whole way"
		}
		l := &s.LatencyUs
		fmt.Fprintf(b, "  %-30s %12s %12s %12s\n", name, hundredths(l.P50), hundredths(l.P99), hundredths(l.Mean))
	}
	if samples == 0 {
		b.WriteString("  no sampled value was seen all its way; values in fragments are not followed\n")
	}
	b.WriteString("  from cycle to cycle of the loops; two roles in one cycle have one time\n\n")
}
