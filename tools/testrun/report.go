package main

import (
	"fmt"
	"io"
	"strings"
)

// tally counts tests and checks.
type tally struct{ passed, failed, skipped int }

func (t tally) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// report is what the reader sees, in the order in which it happens.
type report struct {
	tally
	out   io.Writer
	skips []skipped
}

func (r *report) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

func (r *report) add(t tally) {
	r.passed += t.passed
	r.failed += t.failed
	r.skipped += t.skipped
}

// pass, fail and skip count one check.
func (r *report) pass(name string) {
	r.passed++
	r.say("ok    %s", name)
}

func (r *report) fail(name, output string) {
	r.failed++
	r.detail(name, output)
	r.say("FAIL  %s", name)
}

func (r *report) skip(name, reason string) {
	r.skipped++
	r.noteSkip(name, reason)
	r.say("skip  %s", name)
}

// detail prints the output of something that failed, in full.
func (r *report) detail(name, output string) {
	r.say("----- %s", name)
	if output = strings.TrimRight(output, "\n"); output != "" {
		r.say("%s", output)
	}
	r.say("-----")
}

// noteSkip keeps what was skipped, with others that were for the same reason.
func (r *report) noteSkip(name, reason string) {
	for i := range r.skips {
		if s := &r.skips[i]; s.reason == reason {
			s.names = append(s.names, name)
			return
		}
	}
	r.skips = append(r.skips, skipped{reason, []string{name}})
}

// skipped is what was skipped for one reason.
type skipped struct {
	reason string
	names  []string // "package Test"
}

// String has the reason once, and a package once for its tests in a row.
func (s skipped) String() string {
	text, former := "", ""
	for i, name := range s.names {
		if i > 0 {
			text += ", "
		}
		folder, test, isTest := cutLast(name)
		if isTest && folder == former {
			name = test
		}
		text, former = text+name, folder
	}
	return text + ": " + s.reason
}

// cutLast cuts a name at its last blank.
func cutLast(name string) (before, after string, found bool) {
	i := strings.LastIndexByte(name, ' ')
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// close prints what was skipped, and the last line.
func (r *report) close() {
	if len(r.skips) > 0 {
		r.say("\nskipped:")
		for _, skip := range r.skips {
			r.say("  %s", skip)
		}
	}
	r.say("\n%s", r.tally)
}
