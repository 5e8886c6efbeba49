package bench

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// textWidth is how many columns a text for people takes at most.
const textWidth = 120

func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func tableWidth(rows [][]string) (all int) {
	for _, w := range columnWidths(rows) {
		all += 2 + w
	}
	return all
}

// writeTable aligns the first column to the left and the others to the right.
func writeTable(b *strings.Builder, rows [][]string) {
	widths := columnWidths(rows)
	for _, row := range rows {
		b.WriteString("  ")
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
}

// wrapped breaks text between words; what follows the first line stands below it.
func wrapped(lead, text string, width int) string {
	var b strings.Builder
	line := lead
	for i, word := range strings.Fields(text) {
		if i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", len(lead)) + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

// fine writes small figures with as many decimals as mean something.
func fine(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0.01:
		return strconv.FormatFloat(x, 'f', 5, 64)
	case x < 1:
		return strconv.FormatFloat(x, 'f', 3, 64)
	}
	return decimals(x)
}

func whole(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) }
