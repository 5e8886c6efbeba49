package main

import (
	"wirepaxos/bench"
	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/paxos/node"
)

// stageNotes are the notes of one process's loop; nil: none are taken.
type stageNotes struct{ notes *bench.StageNotes }

// newStageNotes takes notes of one value in every; of none if that is 0.
func newStageNotes(every uint) (stageNotes, error) {
	if every == 0 {
		return stageNotes{}, nil
	}
	notes, err := bench.NewStageNotes(int(every))
	return stageNotes{notes}, err
}

func (s stageNotes) observe() func(node.Stepped) {
	if s.notes == nil {
		return nil
	}
	return func(t node.Stepped) { s.notes.Observe(t.Now, t.Node, t.Role, t.In, t.Out) }
}

// read copies the notes, between two cycles of the loop.
func (s stageNotes) read(p *node.Process) (notes []bench.StageNote) {
	if s.notes != nil {
		p.Inspect(func() { notes = s.notes.Notes() })
	}
	return notes
}

// stagesOf joins the notes of all processes.
func (p *plan) stagesOf(notes []bench.StageNote, phase bench.Phase) []bench.Stage {
	return bench.JoinStages(notes, paxos.Quorum(len(p.file.Acceptors())), phase.From)
}

// gatherStages asks all processes for their notes of a group.
func (r *running) gatherStages(f *cluster.File) ([]bench.Stage, error) {
	if r.stages == 0 {
		return nil, nil
	}
	var all []bench.StageNote
	var phase bench.Phase
	for _, c := range r.procs {
		var notes []bench.StageNote
		if err := r.ask(c, r.to("stages", f), &notes); err != nil {
			return nil, err
		}
		all = append(all, notes...)
		if c.args[0] == "client" {
			if err := r.ask(c, r.to("phase", f), &phase); err != nil {
				return nil, err
			}
		}
	}
	return r.plan.stagesOf(all, phase), nil
}
