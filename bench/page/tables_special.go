package page

import (
	"fmt"
	"slices"
	"strings"

	"wirepaxos/bench"
)

// stagesTable has the parts of a value's way; nil where no run sampled them.
func stagesTable(sc *bench.Scenario, lines []line) *table {
	t := &table{
		Title: "Stages", Command: sc.Command, Head: headOf(sc, "stage", "p50, µs", "p99, µs", "samples"),
		Note: "Of sampled values; median of the runs (least–most).",
	}
	rowsOf(sc, lines, func(name []cell, p *bench.Point) {
		for _, stage := range stagesOf(p) {
			var p99s []float64
			samples := uint64(0)
			for i := range p.Runs {
				for k := range p.Runs[i].Stages {
					if s := &p.Runs[i].Stages[k]; stageName(s) == stage {
						p99s = append(p99s, s.LatencyUs.P99)
						samples += s.Samples
					}
				}
			}
			cells := append(name[:len(name):len(name)], word(stage), spread(stageSpread(p, stage)), spread(bench.SpreadOf(p99s)), number(float64(samples)))
			t.Rows = append(t.Rows, row{Cells: cells})
		}
	})
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// wireTable holds latencies against the floor: an echo of the same frames over as many hops; nil where no run measured one.
func wireTable(sc *bench.Scenario, lines []line) *table {
	t := &table{
		Title: "Against the wire", Command: sc.Command,
		Head: headOf(sc, "hops", "one hop, µs", "floor, µs", "p50, µs", "p50 over floor", "echo, frames/s", "values/s over echo"),
		Note: "The floor is the time of an echo of frames of the same size over the same ports in the same run, over as many hops as a value crosses.",
	}
	rowsOf(sc, lines, func(name []cell, p *bench.Point) {
		q := *p
		q.Runs = nil
		for i := range p.Runs {
			if p.Runs[i].Wire != nil {
				q.Runs = append(q.Runs, p.Runs[i])
			}
		}
		if len(q.Runs) == 0 {
			return
		}
		for _, of := range []func(*bench.Run) float64{
			func(r *bench.Run) float64 { return r.Wire.Hops }, func(r *bench.Run) float64 { return r.Wire.HopUs },
			func(r *bench.Run) float64 { return r.Wire.FloorUs }, median.of, func(r *bench.Run) float64 { return r.Wire.RatioFloor },
			func(r *bench.Run) float64 { return r.Wire.EchoPerS },
			func(r *bench.Run) float64 { return r.ValuesPerS / max(r.Wire.EchoPerS, 1) },
		} {
			name = append(name, spread(q.Over(of)))
		}
		t.Rows = append(t.Rows, row{Cells: name})
	})
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// microTable has the Go benchmarks of a scenario; nil where there are none.
func microTable(sc *bench.Scenario) *table {
	if len(sc.Micro) == 0 {
		return nil
	}
	t := &table{
		Title: "Go benchmarks", Command: sc.Command, Head: []string{"benchmark", "ns/op", "ns each", "CPU ns each", "allocs/op", "B/op", "MB/s", "runs"},
		Note: "Median of the runs (least–most). Each: one message or value, where an op is several.",
	}
	each := func(ns []float64) cell {
		if len(ns) == 0 {
			return word("")
		}
		return spread(bench.SpreadOf(ns))
	}
	for i := range sc.Micro {
		m := &sc.Micro[i]
		rate := word("")
		if m.MBPerS > 0 {
			rate = number(m.MBPerS)
		}
		cells := []cell{word(m.Name), spread(bench.SpreadOf(m.NsPerOp)), each(m.NsEach), each(m.CPUNsEach), number(m.AllocsPerOp), number(m.BytesPerOp), rate, number(float64(len(m.NsPerOp)))}
		t.Rows = append(t.Rows, row{Cells: cells})
	}
	return t
}

// failoverTable has what became of leaders that were killed; nil where there are none.
func failoverTable(sc *bench.Scenario) *table {
	if len(sc.Failovers) == 0 {
		return nil
	}
	t := &table{
		Title: "Failovers", Command: sc.Command,
		Head: []string{
			"series", "kills", "heartbeat, ms", "leader timeout, ms", "another leads, ms: median", "90 %", "next delivered value, ms: least", "median", "90 %",
			"most", "longest outage's end, ms: median", "most", "steal %",
		},
		Note: "From just before the signal on. The longest outage is the longest time without an answer at the client that begins within the time " +
			"watched, whatever its cause.",
	}
	for i := range sc.Failovers {
		p := &sc.Failovers[i]
		name := word(p.Series)
		if p.Failed != "" {
			t.Rows = append(t.Rows, row{Cells: []cell{name, {Text: "not measured: " + p.Failed, Class: "span"}}, Faint: true})
			continue
		}
		cells := []cell{name}
		for _, v := range []float64{
			float64(p.Kills), p.HeartbeatMs, p.LeaderTimeoutMs, p.LeadsMs.Median, p.LeadsMs.P90, p.ValueMs.Min, p.ValueMs.Median, p.ValueMs.P90, p.ValueMs.Max,
			p.OutageMs.Median, p.OutageMs.Max, p.StealPercent,
		} {
			cells = append(cells, number(v))
		}
		t.Rows = append(t.Rows, row{Cells: cells})
	}
	return t
}

// socketTexts says what ports got; those that got the same are one text.
func socketTexts(list []bench.SocketUse) (texts []string) {
	var names [][]string
	for i := range list {
		s := &list[i]
		text := s.Transport
		for _, more := range []string{s.Mode, s.Link, s.Note} {
			text = joined(text, more)
		}
		at := slices.Index(texts, text)
		if at < 0 {
			at = len(texts)
			texts, names = append(texts, text), append(names, nil)
		}
		names[at] = append(names[at], fmt.Sprintf("%s queue %d", s.Interface, s.Queue))
	}
	for i, list := range names {
		n := len(list)
		slices.Sort(list)
		distinct := slices.Compact(list)
		where := strings.Join(distinct, ", ")
		if len(distinct) > 4 {
			where = distinct[0] + " to " + distinct[len(distinct)-1]
		}
		texts[i] += ": " + where
		if n > 1 {
			texts[i] = fmt.Sprintf("%d × %s", n, texts[i])
		}
	}
	return texts
}

// socketsTable has what each port of a scenario's points really got; nil where none was told.
func socketsTable(sc *bench.Scenario) *table {
	t := &table{
		Title: "Sockets and cores", Command: sc.Command, Head: []string{"point", "cores", "sockets: what they really got"},
		Note: "As in the last run of each point; points that have the same are one row.",
	}
	place := map[string]int{}
	for i := range sc.Points {
		p := &sc.Points[i]
		var cores []string
		for _, c := range p.Cores {
			if c.Core < 0 {
				cores = append(cores, "any core: "+c.Runs)
			} else {
				cores = append(cores, fmt.Sprintf("core %d: %s", c.Core, c.Runs))
			}
		}
		sockets := socketTexts(p.Sockets)
		if len(cores)+len(sockets) == 0 {
			continue
		}
		key := strings.Join(cores, "|") + "‖" + strings.Join(sockets, "|")
		if at, ok := place[key]; ok {
			t.Rows[at].Cells[0].Text += ", " + p.Name
			continue
		}
		place[key] = len(t.Rows)
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Text: p.Name, Class: "wrap"}, {Text: strings.Join(cores, "; "), Class: "wrap"}, {Text: strings.Join(sockets, "; "), Class: "wrap"},
		}})
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}
