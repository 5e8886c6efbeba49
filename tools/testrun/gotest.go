package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// progressEvery is how often a package that takes long says that it is alive.
const progressEvery = 15 * time.Second

// event is a line of `go test -json` (go doc cmd/test2json, go help buildjson).
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	ImportPath  string  // build-output, build-fail: the package that was built
	FailedBuild string  // fail: the package whose build failed
	Elapsed     float64 // seconds
}

// runTests runs go test with args and reports what it says. title goes before each name.
func runTests(ctx context.Context, r *report, title string, args []string) {
	if ctx.Err() != nil {
		return // said at the end
	}
	// -count=1: what a test found depends on the machine (root, devices), of which the cache of results knows nothing.
	cmd := command(ctx, "go", append([]string{"test", "-json", "-count=1", "-p", "1"}, args...)...)
	if title != "" {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	lines, complaints, err := start(cmd)
	if err != nil {
		r.fail(title+"go test", err.Error()+"\n")
		return
	}
	before := r.failed
	newTestLog(r, title).follow(lines)
	if err := cmd.Wait(); err != nil && r.failed == before {
		r.fail(title+"go test", fmt.Sprintf("%s%v\n", complaints.String(), err)) // it failed, and no package told why
	}
}

// start starts a command whose lines are followed while it runs. What it complains of is whole once it has ended.
func start(cmd *exec.Cmd) (lines io.Reader, complaints *bytes.Buffer, err error) {
	complaints = new(bytes.Buffer)
	cmd.Stderr = complaints
	if lines, err = cmd.StdoutPipe(); err == nil {
		err = cmd.Start()
	}
	return lines, complaints, err
}

// testLog turns events into the lines of a report.
type testLog struct {
	report   *report
	title    string
	packages map[string]*packageLog
	builds   map[string]*strings.Builder // output of the compiler, by import path
	stray    strings.Builder             // what is no event: a complaint of the go command
}

// packageLog is one package on its way.
type packageLog struct {
	name   string
	begun  time.Time
	output strings.Builder // of the package itself: panics, TestMain
	tests  map[string]*testState
	order  []string
}

type testState struct {
	result   string // "pass", "fail", "skip", or "" while it runs
	output   strings.Builder
	isParent bool
}

func newTestLog(r *report, title string) *testLog {
	return &testLog{report: r, title: title, packages: map[string]*packageLog{}, builds: map[string]*strings.Builder{}}
}

// follow reads events until there are none, and tells now and then what is still running.
func (l *testLog) follow(lines io.Reader) {
	events := make(chan []byte)
	go func() {
		defer close(events)
		scanner := bufio.NewReader(lines)
		for {
			line, err := scanner.ReadBytes('\n')
			if len(line) > 0 {
				events <- line
			}
			if err != nil {
				return
			}
		}
	}()
	alive := time.NewTicker(progressEvery)
	defer alive.Stop()
	for {
		select {
		case line, ok := <-events:
			if !ok {
				l.finish()
				return
			}
			var e event
			if json.Unmarshal(line, &e) != nil {
				l.stray.Write(line)
				continue
			}
			l.note(e)
		case <-alive.C:
			l.progress()
		}
	}
}

// note is the switch over what an event says.
func (l *testLog) note(e event) {
	switch e.Action {
	case "build-output":
		if l.builds[e.ImportPath] == nil {
			l.builds[e.ImportPath] = &strings.Builder{}
		}
		l.builds[e.ImportPath].WriteString(e.Output)
	case "build-fail":
		// The package that could not be tested says so, with FailedBuild.
	case "start":
		l.at(e.Package)
	case "output":
		l.at(e.Package).write(e)
	case "run":
		l.at(e.Package).begin(e.Test)
	case "pass", "fail", "skip":
		if e.Test != "" {
			l.at(e.Package).test(e.Test).result = e.Action
			return
		}
		l.end(e)
	}
}

func (l *testLog) at(name string) *packageLog {
	p := l.packages[name]
	if p == nil {
		p = &packageLog{name: name, begun: time.Now(), tests: map[string]*testState{}}
		l.packages[name] = p
	}
	return p
}

func (p *packageLog) test(name string) *testState {
	t := p.tests[name]
	if t == nil {
		t = &testState{}
		p.tests[name] = t
		p.order = append(p.order, name)
	}
	return t
}

func (p *packageLog) begin(name string) {
	p.test(name)
	for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
		p.test(name[:i]).isParent = true
	}
}

func (p *packageLog) write(e event) {
	if e.Test == "" {
		p.output.WriteString(e.Output)
		return
	}
	p.test(e.Test).output.WriteString(e.Output)
}

// progress names the longest running test of each package that is not done.
func (l *testLog) progress() {
	for _, p := range l.packages {
		running := "building, or between tests"
		for _, name := range p.order {
			if t := p.tests[name]; t.result == "" && !t.isParent {
				running = name
			}
		}
		l.report.say("...   %s%s after %.0f s: %s", l.title, shorten(p.name), time.Since(p.begun).Seconds(), running)
	}
}

// end counts a package that is done.
func (l *testLog) end(e event) {
	p := l.at(e.Package)
	delete(l.packages, e.Package)
	name := l.title + shorten(p.name)
	count := p.count(l.report, name)
	switch {
	case e.Action == "skip":
		l.report.say("-     %s: no tests", name)
	case e.Action == "pass":
		l.report.say("ok    %s: %s in %.1f s", name, count, e.Elapsed)
	case count.failed > 0:
		l.report.say("FAIL  %s: %s in %.1f s", name, count, e.Elapsed)
	default: // no test failed, and yet the package did
		l.report.fail(name, p.explain(l.builds[e.FailedBuild]))
	}
}

// count adds up the tests without subtests, and prints those that failed. A test that failed though its subtests did not counts too.
func (p *packageLog) count(r *report, title string) tally {
	var sum tally
	for _, name := range p.order {
		t := p.tests[name]
		switch {
		case t.result == "fail" && (!t.isParent || !p.failsBelow(name)):
			sum.failed++
			r.detail(title+" "+name, t.output.String())
		case t.result == "fail" && t.output.Len() > 0:
			r.detail(title+" "+name, t.output.String()) // what it said before its subtests; counted there
		case t.isParent:
		case t.result == "pass":
			sum.passed++
		case t.result == "skip":
			sum.skipped++
			r.noteSkip(title+" "+name, skipReason(t.output.String()))
		}
	}
	r.add(sum)
	return sum
}

func (p *packageLog) failsBelow(name string) bool {
	for other, t := range p.tests {
		if strings.HasPrefix(other, name+"/") && t.result == "fail" {
			return true
		}
	}
	return false
}

// explain puts together why a package failed though none of its tests did.
func (p *packageLog) explain(build *strings.Builder) string {
	var why strings.Builder
	if build != nil {
		why.WriteString(build.String())
	}
	for _, name := range p.order {
		if t := p.tests[name]; t.result == "" && !t.isParent {
			fmt.Fprintf(&why, "did not end: %s\n%s", name, t.output.String())
		}
	}
	why.WriteString(p.output.String())
	return why.String()
}

// finish reports packages that the end of the events left behind: go test was stopped, or did not get as far as a package.
func (l *testLog) finish() {
	for _, p := range l.packages {
		p.count(l.report, l.title+shorten(p.name))
		l.report.fail(l.title+shorten(p.name), p.explain(nil)+"it was stopped\n")
	}
	if l.stray.Len() > 0 {
		l.report.say("%s", strings.TrimRight(l.stray.String(), "\n"))
	}
}

// logLine is how testing prints what a test logs, and what it skips for: "    file.go:12: text".
var logLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// skipReason finds the argument of Skip in what a test printed: the last line that it logged, and what follows.
func skipReason(output string) string {
	reason := ""
	for line := range strings.Lines(output) {
		if strings.HasPrefix(strings.TrimSpace(line), "--- ") || strings.HasPrefix(line, "===") {
			continue
		}
		if found := logLine.FindStringSubmatch(line); found != nil {
			reason = strings.TrimSpace(found[1])
			continue
		}
		reason = strings.TrimSpace(reason + " " + strings.TrimSpace(line))
	}
	if reason == "" {
		return "no reason given"
	}
	return reason
}

// shorten leaves the module's name out.
func shorten(importPath string) string {
	if _, rest, ok := strings.Cut(importPath, "/"); ok {
		return rest
	}
	return importPath
}
