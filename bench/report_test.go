package bench

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func sampleReport(t *testing.T) *Report {
	t.Helper()
	r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 8, Size: 64, Values: 20_000})
	for n := 0; !r.load.Finished(); n++ {
		if n%100 == 99 {
			r.now += 300 * rigCycle
		}
		r.answerAll()
		r.step()
	}
	m := mustMerge(t, r.result())
	report := &Report{
		Transport: "afxdp", Mode: "copy", Link: "ethernet", Layout: "packed", Batch: "instance", Idle: "spin", Acceptors: 3, Proposers: 1,
		Instances: 1234, WireHops: 3, WireHopsNote: "client and proposer share a loop", FramesPerValue: 0.51, Drops: 2, Syscalls: 12345,
		Machine: Machine{Kernel: "6.18.44-a-rather-long-name-of-a-kernel", CPU: "A Vendor(R) Processor(TM) with a Long Name @ 2.90GHz", CPUs: 2, Go: "go1.26",
			Version: "(devel)", Commit: "0123456789012345678901234567890123456789+changes"},
		Cores:   []CoreUse{{Core: 0, Runs: "client 6, learner 5, proposer 4"}, {Core: -1, Runs: "acceptor 1"}},
		Sockets: []SocketUse{{Nodes: []uint16{4, 5, 6}, Interface: "wp0", Transport: "afxdp", Mode: "copy", Link: "ethernet"}},
	}
	report.TakeClients(&m)
	acks, tallies, ends := goodRun()
	v := Check(acks, tallies, ends)
	report.TakeVerdict(&v, ends)
	return report
}

// The names are a contract with scripts.
func TestReportKeepsItsContract(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := sampleReport(t).WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"transport": "afxdp", "mode": "copy", "link": "ethernet", "layout": "packed", "batch": "instance", "value_size": 64.0, "outstanding": 8.0,
		"clients": 2.0, "values": 20000.0, "instances": 1234.0, "wire_hops": 3.0, "frames_per_value": 0.51, "retries": 0.0, "lost": 0.0,
		"duplicated": 0.0, "reordered": 0.0, "equal": true, "kernel": "6.18.44-a-rather-long-name-of-a-kernel", "go": "go1.26", "cpus": 2.0,
	} {
		if whole[name] != want {
			t.Errorf("%s is %v, want %v", name, whole[name], want)
		}
	}
	duration, rate := whole["duration_s"].(float64), whole["values_per_s"].(float64)
	if product := duration * rate; product < 19999 || product > 20001 {
		t.Errorf("duration_s %g and values_per_s %g do not make 20,000 values", duration, rate)
	}
	for _, histogram := range []string{"latency_us", "latency_corrected_us"} {
		latency, _ := whole[histogram].(map[string]any)
		last := 0.0
		for _, name := range []string{"min", "p50", "p90", "p99", "p999", "p9999", "max"} {
			x, ok := latency[name].(float64)
			if !ok || x < last || x < 1 || x > 302 {
				t.Errorf("%s.%s is %v, want a number of microseconds from %g to 301", histogram, name, latency[name], last)
			}
			last = x
		}
		if _, ok := latency["mean"].(float64); !ok {
			t.Errorf("%s has no mean", histogram)
		}
	}
	if p90 := whole["latency_corrected_us"].(map[string]any)["p90"].(float64); p90 < 100 {
		t.Errorf("corrected p90 is %g µs: the stalls of 300 µs are missing in it", p90)
	}
	learners, _ := whole["learners"].([]any)
	if len(learners) != 2 {
		t.Fatalf("learners are %v", whole["learners"])
	}
	if l := learners[0].(map[string]any); l["id"] != 5.0 || l["delivered"] != 16.0 || l["hash"] != "000000000000004d" {
		t.Errorf("a learner is %v", l)
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := new(Report).WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(text), "null") {
		t.Errorf("%v, %s", err, text)
	}
}

func TestFilesAreWholeOrAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(path, func() {}); err == nil || !strings.Contains(err.Error(), path) { // nothing that JSON can say
		t.Errorf("error %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("a failed write left %q", text)
	}
	if err := WriteJSON(path, 1); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	missing := filepath.Join(dir, "nowhere", "out")
	if err := WriteJSON(missing, 1); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v", err)
	}
}

func TestReportIntoAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Skipf("needs a pipe with a name: %v", err)
	}
	got := make(chan string, 1)
	go func() {
		text, _ := os.ReadFile(path)
		got <- string(text)
	}()
	if err := WriteJSON(path, 42); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "42\n" {
		t.Errorf("through the pipe came %q", text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
		t.Error("the pipe was replaced by a file")
	}
}

// HdrHistogram's plotters take lines of value, percentile, count and 1/(1-percentile), then comments.
func TestHgrm(t *testing.T) {
	r := sampleReport(t)
	for name, write := range map[string]func(string) error{"measured": r.WriteHgrm, "corrected": r.WriteCorrectedHgrm} {
		path := filepath.Join(t.TempDir(), "out.hgrm")
		if err := write(path); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var lastValue, lastCount float64
		rows := 0
		for s := bufio.NewScanner(f); s.Scan(); {
			fields := strings.Fields(s.Text())
			if len(fields) != 4 || fields[0] == "Value" || strings.HasPrefix(fields[0], "#") {
				continue
			}
			value, err := strconv.ParseFloat(fields[0], 64)
			if err != nil {
				t.Fatalf("%s: %q", name, s.Text())
			}
			count, _ := strconv.ParseFloat(fields[2], 64)
			if value < lastValue || count < lastCount {
				t.Errorf("%s: %q comes behind value %g, count %g", name, s.Text(), lastValue, lastCount)
			}
			lastValue, lastCount = value, count
			rows++
		}
		if rows < 5 || lastValue < 300 || lastValue > 302 || lastCount < 20_000 {
			t.Errorf("%s: %d rows to %g µs, %g values", name, rows, lastValue, lastCount)
		}
	}
	if err := new(Report).WriteHgrm(filepath.Join(t.TempDir(), "empty")); err != nil {
		t.Error(err)
	}
}

func TestTextIsForATerminal(t *testing.T) {
	r := sampleReport(t)
	r.DropRate, r.DupRate, r.Failed, r.LatencyClamped = 0.05, 0.05, 3, 1
	for _, report := range []*Report{r, new(Report)} {
		var b strings.Builder
		if err := report.Text(&b); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 || strings.HasSuffix(line, " \n") || strings.Contains(line, "NaN") {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	}
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"afxdp (copy mode) over ethernet", "layout packed", "batch instance", "idle spin", "3 acceptors", "2 learners", "64-byte values", "2 clients x 8 outstanding",
		"kernel 6.18.44", "core 0: client 6", "any core: acceptor 1", "wp0 queue 0: afxdp, copy mode, native XDP program, ethernet, nodes 4 5 6", "commit 0123", "20,000", "client and proposer share a loop", "measured", "corrected", "p99.99", "drops 5 %", "1 proposer,",
		"failed", "later than a minute",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text does not say %q:\n%s", want, b.String())
		}
	}
	if testing.Verbose() {
		t.Log("\n" + b.String())
	}
}

func TestPlotOfAnything(t *testing.T) {
	for _, values := range [][]int64{{0}, {1}, {0, 60e9}, {5000}, {5000, 5001}, {8000, 8000, 9000, 100_000}} {
		h := newHistogram()
		for _, v := range values {
			record(h, v, 1)
		}
		var b strings.Builder
		plot(&b, "measured", h)
		rows := 0
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, "%") {
				rows++
			}
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("%v: %q", values, line)
			}
		}
		if distinct := len(slices.Compact(slices.Clone(values))); rows == 0 || rows > distinct || strings.Count(b.String(), "\n") > plotRows+2 {
			t.Errorf("%v: %d rows of %d values:\n%s", values, rows, distinct, b.String())
		}
	}
}

func TestMachineSaysWhatItKnows(t *testing.T) {
	if m := ReadMachine(); m.Kernel == "" || m.CPUs < 1 || !strings.HasPrefix(m.Go, "go") {
		t.Errorf("machine %+v", m)
	}
}
