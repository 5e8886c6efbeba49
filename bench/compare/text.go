package compare

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"wirepaxos/bench"
)

// fewSteal is how much of the CPU time, in percent, the host may take before it is named.
const fewSteal = 1

// unlike says in what the conditions of two suites differ, a line each; a machine that lost much time to its host is named though the other did as well.
func unlike(a, b *bench.Suite) (lines []string) {
	differ := func(what, before, after string) {
		if before != after {
			lines = append(lines, fmt.Sprintf("%s: A %s, B %s", what, orNone(before), orNone(after)))
		}
	}
	differ("kernel", a.Kernel, b.Kernel)
	differ("CPU", a.CPU, b.CPU)
	differ("CPUs", strconv.Itoa(a.CPUs), strconv.Itoa(b.CPUs))
	differ("governor", a.Governor, b.Governor)
	differ("Go", a.Go, b.Go)
	differ("version", a.Version, b.Version)
	differ("commit", a.Commit, b.Commit)
	differ("command", a.Command, b.Command)
	if a.StealPercent >= fewSteal || b.StealPercent >= fewSteal {
		lines = append(lines, fmt.Sprintf("steal: the host took %.1f %% of the CPU time of A, %.1f %% of that of B", a.StealPercent, b.StealPercent))
	}
	if a.Quick || b.Quick {
		lines = append(lines, "quick: short runs are among them; take more and longer ones before a verdict counts")
	}
	return lines
}

func orNone(text string) string {
	if text == "" {
		return "(not known)"
	}
	return text
}

// left names what of a suite does not count.
func (r *Result) left(side string, s *bench.Suite) {
	for i := range s.Scenarios {
		sc := &s.Scenarios[i]
		if sc.Skipped != "" {
			r.Left = append(r.Left, fmt.Sprintf("%s: %s was skipped: %s", side, sc.Name, sc.Skipped))
		}
		for k := range sc.Points {
			p := &sc.Points[k]
			name := fmt.Sprintf("%s: %s, %s", side, sc.Name, labelOf(p.Series, &p.Config, variedIn(sc)))
			if p.Failed != "" {
				r.Left = append(r.Left, name+": "+p.Failed)
			}
			if n := len(p.Runs) - len(p.Sound().Runs); n > 0 {
				r.Left = append(r.Left, fmt.Sprintf("%s: %d of %d runs failed the check", name, n, len(p.Runs)))
			}
		}
		for k := range sc.Failovers {
			p := &sc.Failovers[k]
			if p.Failed != "" || len(p.Problems) > 0 {
				r.Left = append(r.Left, fmt.Sprintf("%s: %s, %s: %s", side, sc.Name, p.Series, strings.Join(append([]string{p.Failed}, p.Problems...), " ")))
			}
		}
	}
}

// Text writes the comparison for people.
func (r *Result) Text(w io.Writer) error {
	var b strings.Builder
	for _, s := range []struct {
		name string
		side *Side
	}{{"A", &r.A}, {"B", &r.B}} {
		fmt.Fprintf(&b, "%s  %s, %s\n   kernel %s, %s, %d CPUs, commit %s, steal %.1f %%\n", s.name, s.side.Command, s.side.Began, orNone(s.side.Kernel),
			orNone(s.side.CPU), s.side.CPUs, orNone(s.side.Commit), s.side.StealPercent)
	}
	section(&b, "Not the same on both sides:", r.Unlike)
	scenario := ""
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := range r.Changes {
		c := &r.Changes[i]
		if c.Scenario != scenario {
			t.Flush()
			scenario = c.Scenario
			fmt.Fprintf(&b, "\n%s\n", scenario)
			fmt.Fprintf(t, "  point\tfigure\tA\tB\tchange\tverdict\n")
		}
		point := c.Point
		if i > 0 && r.Changes[i-1].Point == c.Point && r.Changes[i-1].Scenario == c.Scenario {
			point = ""
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\n", point, c.Figure, spread(c.A), spread(c.B), percent(c.Percent), c.sentence())
	}
	t.Flush()
	section(&b, "Only in A:", r.OnlyA)
	section(&b, "Only in B:", r.OnlyB)
	section(&b, "Left out:", r.Left)
	b.WriteString("\n" + r.count() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "  %s\n", line)
	}
}

// sentence is the verdict with its reason.
func (c *Change) sentence() string {
	text := string(c.Verdict)
	switch {
	case c.Verdict == Better || c.Verdict == Worse:
		text += fmt.Sprintf(", by %.1f %% at least", c.Gap)
	case c.Verdict == NoVerdict && c.A.N == 1 && c.B.N == 1:
		text = "one run each: no verdict"
	case c.Verdict == NoVerdict && c.A.N == 1:
		text = "one run in A: no verdict"
	case c.Verdict == NoVerdict:
		text = "one run in B: no verdict"
	}
	if c.Note != "" {
		text += " (" + c.Note + ")"
	}
	return text
}

// count is the whole in one line.
func (r *Result) count() string {
	n := map[Verdict]int{}
	for i := range r.Changes {
		n[r.Changes[i].Verdict]++
	}
	if len(r.Changes) == 0 {
		return "Nothing is in both: there is no figure to compare."
	}
	return fmt.Sprintf("%d figures: %d better, %d worse, %d within noise or the same, %d without a verdict.",
		len(r.Changes), n[Better], n[Worse], n[Noise]+n[Same], n[NoVerdict])
}

func percent(p *float64) string {
	if p == nil {
		return "–"
	}
	return fmt.Sprintf("%+.1f %%", *p)
}

func spread(s bench.Spread) string {
	if s.N < 2 {
		return digits(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", digits(s.Median), digits(s.Min), digits(s.Max))
}

// digits writes a figure with four digits, and all of those before the decimal point.
func digits(v float64) string {
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
