package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBenchmarksAreParsed(t *testing.T) {
	const output = `goos: linux
BenchmarkRing
BenchmarkRing/burst-32
BenchmarkRing/burst-32-2         	     100	       266.8 ns/op	         8.337 ns/entry	       3 B/op	       1 allocs/op
BenchmarkWindow
    bench_test.go:180: needs root: network namespaces and AF_XDP
--- SKIP: BenchmarkWindow
BenchmarkBurst-2   	     100	     91713 ns/op	         2.000 syscalls/burst	    208561 frames/s	       0 B/op	       0 allocs/op
PASS
`
	figures, skips, err := parseBenchmarks("dataplane/mem", []byte(output))
	if err != nil {
		t.Fatal(err)
	}
	want := []figure{
		{name: "dataplane/mem.Ring/burst-32", unit: "allocs/op", value: 1},
		{name: "dataplane/mem.Burst", unit: "syscalls/burst", value: 2, tolerance: syscallTolerance}, {name: "dataplane/mem.Burst", unit: "allocs/op"},
	}
	if !slices.Equal(figures, want) {
		t.Errorf("%+v, want %+v", figures, want)
	}
	if len(skips) != 1 || skips[0] != (skip{name: "dataplane/mem.Window", reason: "needs root: network namespaces and AF_XDP"}) {
		t.Errorf("skipped: %+v", skips)
	}
}

func TestVerdicts(t *testing.T) {
	kept := counts{figures: []figure{
		{name: "a", unit: "allocs/op"}, {name: "b", unit: "instructions/op", value: 1000, tolerance: 0.02}, {name: "gone", unit: "allocs/op", value: 1},
		{name: "port.Burst/64", unit: "allocs/op"}, {name: "c", unit: "frames/value", value: 8.004}, {name: "port.Bursts", unit: "allocs/op"},
	}}
	for _, c := range []struct {
		name, unit string
		now        float64
		verdict    string
		differs    bool
	}{
		{"a", "allocs/op", 0, "same", false}, {"a", "allocs/op", 1, "MORE +1", true},
		{"b", "instructions/op", 1000, "same", false}, {"b", "instructions/op", 1020, "same within 2%", false},
		{"b", "instructions/op", 1021, "MORE +2.1%", true}, {"b", "instructions/op", 900, "FEWER -10.0%", true},
		{"c", "frames/value", 8.0045, "MORE +0.0%", true}, {"d", "allocs/op", 0, "NEW", true},
	} {
		now := counts{figures: []figure{{name: c.name, unit: c.unit, value: c.now}}, skips: []skip{{name: "port.Burst", reason: "no device"}}}
		verdicts := map[string]row{}
		for _, r := range compare(kept, now) {
			verdicts[r.key()] = r
		}
		if r := verdicts[c.name+" "+c.unit]; r.verdict != c.verdict || r.differs != c.differs {
			t.Errorf("%s %v: %q, differs: %v; want %q, %v", c.name, c.now, r.verdict, r.differs, c.verdict, c.differs)
		}
		if r := verdicts["gone allocs/op"]; r.verdict != "GONE" || !r.differs {
			t.Errorf("what is gone: %+v", r)
		}
		if r := verdicts["port.Burst/64 allocs/op"]; r.verdict != "skipped" || r.differs {
			t.Errorf("what is skipped: %+v", r)
		}
		if r := verdicts["port.Bursts allocs/op"]; r.verdict != "GONE" {
			t.Errorf("what has a longer name than what is skipped: %+v", r)
		}
	}
}

// What another compiler made of the code is shown, not compared.
func TestAnotherToolchainIsNotCompared(t *testing.T) {
	f := figure{name: "a", unit: unitInstructions, value: 1000, tolerance: instructionTolerance}
	now := counts{figures: []figure{{name: "a", unit: unitInstructions, value: 2000}}, skips: []skip{{unit: unitInstructions, reason: "kept with another"}}}
	if rows := compare(counts{figures: []figure{f}}, now); len(rows) != 1 || rows[0].verdict != "not compared" || rows[0].differs {
		t.Errorf("%+v", rows)
	}
}

func TestReasonsAreToldOnce(t *testing.T) {
	var out bytes.Buffer
	tell(&out, nil, []skip{{name: "x.A", reason: "no root"}, {unit: "instructions/op", reason: "no ptrace"}, {name: "x.B", reason: "no root"}})
	if _, lines, _ := strings.Cut(out.String(), "\n"); lines != "skipped: x.A and 1 more: no root\nskipped: instructions/op: no ptrace\n" {
		t.Errorf("%s", lines)
	}
}

func TestKeptIsReadAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counts.txt")
	c := counts{toolchain: "go1.26.8 amd64", figures: []figure{
		{name: "paxos.Decode", unit: "allocs/op"}, {name: "paxos.Decode", unit: "instructions/op", value: 241.99, tolerance: 0.02},
		{name: "sim/packed/batch-off/64", unit: "frames/value", value: 7.0195}, {name: "udp.Burst", unit: "syscalls/burst", value: 2, tolerance: 0.25},
	}}
	if err := writeKept(path, c); err != nil {
		t.Fatal(err)
	}
	got, err := readKept(path)
	if err != nil || got.toolchain != c.toolchain || !slices.Equal(got.figures, c.figures) {
		t.Errorf("%+v, %v, want %+v", got, err, c)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeptSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counts.txt")
	for line, want := range map[string]string{
		"a allocs/op 0":                        "counts.txt:2: 3 fields: want 4",
		"a allocs/op few exact":                `"few" is no count`,
		"a allocs/op 0 about":                  "want exact, or a percentage",
		"a allocs/op 0 -2%":                    "want exact, or a percentage",
		"a b 0 exact\n# a remark\na b 1 exact": "counts.txt:4: a b is there twice",
	} {
		if err := os.WriteFile(path, []byte("toolchain go1 amd64\n"+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readKept(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
	if _, err := readKept(path + ".none"); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// On a machine that cannot count something, an update leaves it as it was; what another compiler made of the code is no such thing.
func TestUpdateKeepsWhatCannotBeCounted(t *testing.T) {
	old := counts{toolchain: "go1 amd64", figures: []figure{
		{name: "port.Burst", unit: "allocs/op"}, {name: "gone", unit: "allocs/op"}, {name: "a", unit: "allocs/op", value: 3},
		{name: "a", unit: "instructions/op", value: 7},
	}}
	now := counts{toolchain: "go1 amd64", figures: []figure{{name: "a", unit: "allocs/op"}}, skips: []skip{
		{name: "port.Burst", reason: "no root"}, {unit: "instructions/op", reason: "no ptrace"},
	}}
	want := []figure{{name: "a", unit: "allocs/op"}, {name: "a", unit: "instructions/op", value: 7}, {name: "port.Burst", unit: "allocs/op"}}
	if got := merge(old, now); !slices.Equal(got.figures, want) {
		t.Errorf("%+v, want %+v", got.figures, want)
	}
	now.toolchain = "go2 amd64"
	if got := merge(old, now); got.toolchain != "go2 amd64" || len(got.figures) != 2 {
		t.Errorf("with another compiler: %+v", got)
	}
}

func TestPattern(t *testing.T) {
	if got := pattern("Cycle/mem/1"); got != "^BenchmarkCycle$/^mem$/^1$" {
		t.Error(got)
	}
}

// steppedTests is a package whose instructions are known well enough.
const steppedTests = `package stepped

import (
	"testing"
	"time"
)

var sum int

//go:noinline
func add(n int) {
	for i := range n {
		sum += i
	}
}

func BenchmarkTen(b *testing.B)    { for b.Loop() { add(10) } }
func BenchmarkTwenty(b *testing.B) { for b.Loop() { add(20) } }
func BenchmarkOld(b *testing.B)    { for range b.N { add(10) } }
func BenchmarkWaits(b *testing.B)  { for b.Loop() { time.Sleep(time.Hour) } }
func BenchmarkEnds(b *testing.B) { for b.Loop() { b.Fatal("so it is") } }
`

// A count is the same each time and grows with the work, to the instruction; what cannot be counted is refused, and leaves no process.
func TestStepsAreCounted(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module stepped\n\ngo 1.26\n", "a_test.go": steppedTests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := &testBinary{name: "stepped", dir: dir, path: filepath.Join(dir, "stepped.test")}
	cmd := goCommand(t.Context(), "test", "-c", "-o", b.path, ".")
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	count := func(benchmark string, operations int) int {
		t.Helper()
		n, err := stepsInTime(t.Context(), b, benchmark, operations)
		if errors.Is(err, errNoTrace) {
			t.Skip(err)
		} else if err != nil {
			t.Fatal(err)
		}
		return n
	}
	ten, again, double, twenty := count("Ten", 10), count("Ten", 10), count("Ten", 20), count("Twenty", 10)
	each, most := (double-ten)/10, (twenty-ten)/10
	if ten != again || (double-ten)%10 != 0 || (twenty-ten)%100 != 0 {
		t.Errorf("10 operations: %d, then %d; 20: %d; 10 of twice the work: %d", ten, again, double, twenty)
	}
	if each < 30 || each > 100 || most < 20 || most > each {
		t.Errorf("%d instructions an operation, %d more for 10 additions more", each, most)
	}
	for _, benchmark := range []string{"Old", "None", "Ends", "Waits"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if n, err := steps(ctx, b, pattern(benchmark), 10); err == nil || !strings.Contains(err.Error(), "b.Loop") {
			t.Errorf("%s: %d instructions, %v", benchmark, n, err)
		}
		cancel()
	}
}
