package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// row is a line of the table.
type row struct {
	figure  // as counted now; where that could not be, as kept
	kept    string
	now     string
	verdict string
	differs bool
}

// compare puts what was counted beside what was kept, in the order of the file.
func compare(kept, now counts) (rows []row) {
	seen := map[string]bool{}
	for _, f := range now.figures {
		seen[f.key()] = true
		r := row{figure: f, now: numberText(f.value), kept: "-"}
		old, ok := kept.find(f.key())
		switch {
		case !ok:
			r.verdict, r.differs = "NEW", true
		default:
			r.kept = numberText(old.value)
			r.verdict, r.differs = judge(old, f.value)
		}
		if now.skipped(f) { // counted, but by another measure than what was kept
			r.verdict, r.differs = "not compared", false
		}
		rows = append(rows, r)
	}
	for _, f := range kept.figures {
		if seen[f.key()] {
			continue
		}
		r := row{figure: f, kept: numberText(f.value), now: "-", verdict: "GONE", differs: true}
		if now.skipped(f) {
			r.verdict, r.differs = "skipped", false
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int { return byName(a.figure, b.figure) })
	return rows
}

// judge tells how a count compares with the kept one. Fewer differ as well: then the file says more than it could.
func judge(kept figure, now float64) (verdict string, differs bool) {
	change := now - kept.value
	if change == 0 {
		return "same", false
	}
	share := math.Inf(1)
	if kept.value != 0 {
		share = change / kept.value
	}
	text := fmt.Sprintf("%+.1f%%", share*fullPercent)
	if math.IsInf(share, 0) {
		text = fmt.Sprintf("%+g", change)
	}
	switch {
	case math.Abs(share) <= kept.tolerance:
		return "same within " + toleranceText(kept.tolerance), false
	case change > 0:
		return "MORE " + text, true
	}
	return "FEWER " + text, true
}

// merge is what is kept from now on: what was counted, and of what could not be counted here what was kept before.
func merge(kept, now counts) counts {
	c := counts{toolchain: now.toolchain}
	c.figures = append(c.figures, now.figures...)
	for _, f := range kept.figures {
		_, counted := now.find(f.key())
		if !counted && now.skipped(f) && (f.unit != unitInstructions || kept.toolchain == now.toolchain) {
			c.figures = append(c.figures, f)
		}
	}
	slices.SortFunc(c.figures, byName)
	return c
}

// byName is the order of the file, in which a change of the code moves no line.
func byName(a, b figure) int { return strings.Compare(a.key(), b.key()) }

// differing counts the rows that differ.
func differing(rows []row) (n int) {
	for _, r := range rows {
		if r.differs {
			n++
		}
	}
	return n
}

// tell prints the table, and what was skipped.
func tell(out io.Writer, rows []row, skips []skip) {
	fmt.Fprintf(out, "%-*s %-16s %12s %12s  %s\n", widest, "counted", "unit", "kept", "now", "verdict")
	for _, r := range rows {
		fmt.Fprintf(out, "%-*s %-16s %12s %12s  %s\n", widest, r.name, r.unit, r.kept, r.now, r.verdict)
	}
	for _, line := range skipLines(skips) {
		fmt.Fprintf(out, "skipped: %s\n", line)
	}
}

// skipLines are the reasons, each once, with what could not be counted for it.
func skipLines(skips []skip) (lines []string) {
	for i, s := range skips {
		same := func(other skip) bool { return other.reason == s.reason }
		if slices.IndexFunc(skips, same) < i {
			continue
		}
		what := strings.TrimSpace(s.name + " " + s.unit)
		if n := len(slices.DeleteFunc(slices.Clone(skips), func(other skip) bool { return !same(other) })); n > 1 {
			what += fmt.Sprintf(" and %d more", n-1)
		}
		lines = append(lines, what+": "+s.reason)
	}
	return lines
}
