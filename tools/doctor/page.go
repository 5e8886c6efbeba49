package doctor

import (
	"fmt"
	"io"
)

// Grade is how bad a line is.
type Grade uint8

// The grades, from good to bad.
const (
	Green  Grade = iota // as it should be, or of no matter for what is to run
	Yellow              // it runs, slower or less evenly than it could
	Red                 // it does not start, or does not work
)

func (g Grade) String() string { return [...]string{"green", "yellow", "red"}[g] }

// MarshalText is the word.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// Line is one finding.
type Line struct {
	Grade Grade  `json:"grade"`
	What  string `json:"what"`           // what was looked at: "kernel", "core 2 governor", "eth1 link"
	Text  string `json:"text"`           // how it is
	Mend  string `json:"mend,omitempty"` // the command, or the step, that makes it green; "" on a green line
}

func (l Line) String() string {
	if l.Mend == "" {
		return l.What + ": " + l.Text
	}
	return l.What + ": " + l.Text + ": " + l.Mend
}

// Page is all of what was found, in the order of the checks.
type Page struct {
	Lines []Line `json:"lines"`
}

// Count is how many lines have a grade.
func (p *Page) Count(g Grade) (n int) {
	for _, l := range p.Lines {
		if l.Grade == g {
			n++
		}
	}
	return n
}

// Worst is the worst grade of the page, Green of an empty one.
func (p *Page) Worst() (worst Grade) {
	for _, l := range p.Lines {
		worst = max(worst, l.Grade)
	}
	return worst
}

// First is the first line of the worst grade, the one to mend first.
func (p *Page) First() Line {
	worst := p.Worst()
	for _, l := range p.Lines {
		if l.Grade == worst {
			return l
		}
	}
	return Line{}
}

// Harden makes every yellow line a red one.
func (p *Page) Harden() {
	for i := range p.Lines {
		if p.Lines[i].Grade == Yellow {
			p.Lines[i].Grade = Red
		}
	}
}

// colours are the terminal's (ECMA-48): of each grade.
var colours = [...]string{Green: "\x1b[32m", Yellow: "\x1b[33m", Red: "\x1b[31m"}

const plain = "\x1b[0m"

// Write writes the page for people: a line for each finding, and below one that is not green the command that mends it, to be copied. The words are there
// with colours and without.
func (p *Page) Write(w io.Writer, coloured bool) error {
	width := 0
	for _, l := range p.Lines {
		width = max(width, len(l.What))
	}
	for _, l := range p.Lines {
		grade := fmt.Sprintf("%-6s", l.Grade)
		if coloured {
			grade = colours[l.Grade] + grade + plain
		}
		if _, err := fmt.Fprintf(w, "%s  %-*s  %s\n", grade, width, l.What, l.Text); err != nil {
			return err
		}
		if l.Mend == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "     -> %s\n", l.Mend); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d red, %d yellow, %d green%s\n", p.Count(Red), p.Count(Yellow), p.Count(Green), p.verdict())
	return err
}

// verdict says what the colours mean, where there are others than green.
func (p *Page) verdict() string {
	switch p.Worst() {
	case Red:
		return ": what is red keeps a role from starting, or from hearing anything"
	case Yellow:
		return ": roles run, slower or less evenly than they could"
	}
	return ""
}
