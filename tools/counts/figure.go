package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// figure is a count of something.
type figure struct {
	name, unit string
	value      float64
	tolerance  float64 // by which share of the kept value it may differ; 0: it is exact
}

// Tolerances by what is counted.
const (
	exact                 = 0
	syscallTolerance      = 0.25 // a burst that the kernel delivers in two parts takes a call more
	instructionTolerance  = 0.02
	unitInstructions      = "instructions/op"
	unitAllocations       = "allocs/op"
	prefixSyscalls        = "syscalls/"
	toolchainWord         = "toolchain"
	keptFields            = 4
	digitsKept            = 4
	widest                = 44 // of a name, in the table
	permille, fullPercent = 1000, 100
)

func (f figure) key() string { return f.name + " " + f.unit }

// settle rounds the value to what the file keeps of it.
func (f figure) settle() figure {
	scale := math.Pow10(digitsKept)
	f.value = math.Round(f.value*scale) / scale
	return f
}

// skip is what cannot be counted here: all figures whose name begins with name, of a unit.
type skip struct {
	name, unit string // "" stands for any
	reason     string
}

func (s skip) covers(f figure) bool {
	return (s.unit == "" || s.unit == f.unit) && (f.name == s.name || s.name == "" || strings.HasPrefix(f.name, s.name+"/"))
}

// counts are the figures of one machine, or the kept ones.
type counts struct {
	toolchain string
	figures   []figure
	skips     []skip
	problems  []string // what went wrong with single figures
}

func (c *counts) find(key string) (figure, bool) {
	for _, f := range c.figures {
		if f.key() == key {
			return f, true
		}
	}
	return figure{}, false
}

func (c *counts) skipped(f figure) bool {
	for _, s := range c.skips {
		if s.covers(f) {
			return true
		}
	}
	return false
}

// thisToolchain is what instructions depend on besides the code.
func thisToolchain() string { return runtime.Version() + " " + runtime.GOARCH }

const keptHead = `# What does not depend on the machine: make bench-check counts it again and compares, make bench-check UPDATE=1 writes this file anew.
# Fields: what was counted, unit, count, by how much it may differ. Instructions are those of the toolchain's code; with another one they are not compared.
`

// readKept reads the file of kept figures.
func readKept(path string) (counts, error) {
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return counts{}, err
	} else if err != nil {
		return counts{}, fmt.Errorf("cannot read what was kept: %w", err)
	}
	var c counts
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if fields[0] == toolchainWord {
			c.toolchain = strings.Join(fields[1:], " ")
			continue
		}
		f, err := parseKept(fields)
		if err == nil {
			if _, twice := c.find(f.key()); twice {
				err = fmt.Errorf("%s is there twice: leave one", f.key())
			}
		}
		if err != nil {
			return counts{}, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		c.figures = append(c.figures, f)
	}
	return c, nil
}

func parseKept(fields []string) (f figure, err error) {
	if len(fields) != keptFields {
		return f, fmt.Errorf("%d fields: want %d: what was counted, unit, count, by how much it may differ", len(fields), keptFields)
	}
	f.name, f.unit = fields[0], fields[1]
	if f.value, err = strconv.ParseFloat(fields[2], 64); err != nil {
		return f, fmt.Errorf("%q is no count: want a number", fields[2])
	}
	if fields[3] == "exact" {
		return f, nil
	}
	percent, ok := strings.CutSuffix(fields[3], "%")
	share, err := strconv.ParseFloat(percent, 64)
	if !ok || err != nil || share < 0 {
		return f, fmt.Errorf("%q: want exact, or a percentage as 2%%", fields[3])
	}
	f.tolerance = share / fullPercent
	return f, nil
}

// writeKept writes the file: whole, or not at all.
func writeKept(path string, c counts) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s %s\n\n", keptHead, toolchainWord, c.toolchain)
	for _, f := range c.figures {
		fmt.Fprintf(&b, "%-*s %-16s %12s %6s\n", widest, f.name, f.unit, numberText(f.value), toleranceText(f.tolerance))
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot keep the counts: %w", err)
	}
	defer os.Remove(temporary.Name()) // gone already, unless something failed
	_, err = io.WriteString(temporary, b.String())
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Chmod(temporary.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the counts: %w", err)
	}
	return nil
}

func numberText(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func toleranceText(share float64) string {
	if share == exact {
		return "exact"
	}
	return numberText(math.Round(share*fullPercent*permille)/permille) + "%"
}
