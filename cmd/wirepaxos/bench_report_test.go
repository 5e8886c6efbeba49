package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/bench"
)

// writeSuite writes a small suite, of made-up figures.
func writeSuite(t *testing.T, path string, rates ...float64) {
	t.Helper()
	p := bench.Point{Series: "memory", Config: bench.Config{System: "wirepaxos", Transport: "mem", Outstanding: 1}}
	for i, rate := range rates {
		p.Runs = append(p.Runs, bench.Run{Round: i + 1, ValuesPerS: rate, LatencyUs: bench.Latency{P50: 1, P99: 2}})
	}
	s := &bench.Suite{
		Schema: bench.SuiteSchema, Command: "wirepaxos bench latency",
		Scenarios: []bench.Scenario{{Name: "latency", Command: "wirepaxos bench latency", Points: []bench.Point{p}}},
	}
	if err := s.WriteJSON(path); err != nil {
		t.Fatal(err)
	}
}

func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "su[i]tes*"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "su[i]tes*") // names that patterns give a meaning
	writeSuite(t, filepath.Join(dir, "suite.json"), 1, 2)
	for name, text := range map[string]string{"failover.json": `{"transport": "udp"}`, "other.json": `[1]`, "broken.json": `{`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, stderr := runProgram(t, "bench", "report", dir); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, name := range []string{"index.html", "plots/latency-throughput.svg", "plots/latency-throughput.png"} {
		if info, err := os.Stat(filepath.Join(dir, "report", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	out := filepath.Join(t.TempDir(), "a", "b")
	status, stdout, stderr := runProgram(t, "bench", "report", filepath.Join(dir, "suite.json"), dir, "--out", out)
	if status != 0 || !strings.Contains(stdout, "the report of 1 suite(s)") { // named twice, it counts once
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "index.html")); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(out, "*.html.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The page alone needs nothing besides itself and links to nothing; suites may be packed.
func TestBenchReportAlone(t *testing.T) {
	dir := t.TempDir()
	writeSuite(t, filepath.Join(dir, "suite.json"), 1, 2)
	text, err := os.ReadFile(filepath.Join(dir, "suite.json"))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil || w.Close() != nil || os.Remove(filepath.Join(dir, "suite.json")) != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "suite.json.gz"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := runProgram(t, "bench", "report", "--alone", "--out", dir, dir); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	index, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil || !bytes.Contains(index, []byte("<svg")) || bytes.Contains(index, []byte("plots/")) {
		t.Errorf("%v, %d bytes, or it links to plots", err, len(index))
	}
	if _, err := os.Stat(filepath.Join(dir, "plots")); err == nil {
		t.Error("there are plots")
	}
}

func TestBenchCompare(t *testing.T) {
	dir := t.TempDir()
	a, b, result := filepath.Join(dir, "a.json"), filepath.Join(dir, "b.json"), filepath.Join(dir, "result.json")
	writeSuite(t, a, 100, 110)
	writeSuite(t, b, 50, 60)
	status, stdout, stderr := runProgram(t, "bench", "compare", a, b, "--json", result)
	if status != 0 || !strings.Contains(stdout, "worse, by") {
		t.Errorf("status %d, want 0 although it is worse: %s%s", status, stdout, stderr)
	}
	var got struct {
		Changes []struct{ Figure, Verdict string }
	}
	text, err := os.ReadFile(result)
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || len(got.Changes) != 3 || got.Changes[0].Verdict != "worse" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBadSuitesAreRefused(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	writeSuite(t, filepath.Join(dir, "a.json"), 1)
	writeSuite(t, filepath.Join(dir, "b.json"), 1)
	broken := filepath.Join(empty, "broken.txt")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"report"}, "Name a directory or files"},
		{[]string{"report", filepath.Join(dir, "none.json")}, "no such file"},
		{[]string{"report", empty}, "has no suite among 0 JSON files"},
		{[]string{"report", broken}, "is not what"},
		{[]string{"report", dir, "--out", filepath.Join(dir, "a.json")}, "name another directory with --out"},
		{[]string{"compare", dir}, "want two suites"},
		{[]string{"compare", dir, dir}, "several suites: name the file"},
		{[]string{"compare", filepath.Join(dir, "a.json"), broken}, "is not what"},
	} {
		status, _, stderr := runProgram(t, append([]string{"bench"}, c.args...)...)
		if status != 2 || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: status %d, %q, want 2 and one line with %q", c.args, status, stderr, c.want)
		}
	}
}
