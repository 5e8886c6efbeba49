package main

import (
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"testing"

	"wirepaxos/bench"
)

func TestParseBenchmark(t *testing.T) {
	for line, want := range map[string]bench.Micro{
		"BenchmarkDecode-2   \t 41254\t        49.24 ns/op\t       0 B/op\t       0 allocs/op": {Name: "paxos.Decode", NsPerOp: []float64{49.24}},
		"BenchmarkRing/burst-32 \t10\t 493.8 ns/op\t 64.80 MB/s\t 7.000 waits/op\t 8 B/op\t 2 allocs/op": {Name: "paxos.Ring/burst-32",
			NsPerOp: []float64{493.8}, MBPerS: 64.8, BytesPerOp: 8, AllocsPerOp: 2},
		"BenchmarkAccept/burst=32 \t10\t 1600 ns/op\t 48.5 cpu-ns/each\t 50.0 ns/each\t 0 B/op\t 0 allocs/op": {Name: "paxos.Accept/burst=32",
			NsPerOp: []float64{1600}, NsEach: []float64{50}, CPUNsEach: []float64{48.5}},
	} {
		// A name that ends in a number looks as if that were the number of cores; all of a run have that or none.
		got, ok := parseBenchmark("paxos", line, "-2")
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v, want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", "PASS", "goos: linux", "BenchmarkDecode", "BenchmarkDecode-2 --- SKIP", "BenchmarkDecode-2 10 x ns/op", "ok  \twirepaxos\t1s"} {
		if m, ok := parseBenchmark("paxos", line, "-2"); ok {
			t.Errorf("%q: %+v", line, m)
		}
	}
}

// The hot packages have benchmarks, each package once, and the simulator's are no hot functions.
func TestMicroPackages(t *testing.T) {
	packages, _, err := microPackages(regexp.MustCompile(""))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range packages {
		names = append(names, p.name)
	}
	for _, want := range []string{"afxdp", "mem", "udp", "node", "paxos"} {
		if n := len(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name != want })); n != 1 {
			t.Errorf("package %s is %d times among %q", want, n, names)
		}
	}
	if slices.Contains(names, "sim") {
		t.Errorf("the simulator is among %q", names)
	}
}

func TestBenchMicro(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("needs the go command: %v", err)
	}
	s, _ := benched(t, "micro", "--rounds", "2", "--duration", "10ms", "--points", "header.Parse")
	sc := &s.Scenarios[0]
	if len(sc.Micro) == 0 || sc.Skipped != "" {
		t.Fatalf("scenario %+v", sc)
	}
	for _, m := range sc.Micro {
		if len(m.NsPerOp) != 2 || m.NsPerOp[0] <= 0 || m.AllocsPerOp != 0 {
			t.Errorf("%+v", m)
		}
	}
}

// Without sources there is nothing to run, and the scenario says so.
func TestMicroWithoutSources(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := sourceTree(); err == nil {
		t.Skip("the test program itself lies below the sources")
	}
	list := []*scenario{microScenario()}
	r, said := testRunner(t, nil, []*scenario{microScenario(), peakScenario()})
	if err := r.scenario(t.Context(), list[0]); err != nil || r.suite.Scenarios[0].Skipped == "" {
		t.Errorf("%v, %+v\n%s", err, r.suite.Scenarios, said)
	}
}

func TestQuoted(t *testing.T) {
	for word, want := range map[string]string{"": "''", "afxdp,udp": "afxdp,udp", "a b": "'a b'", "-c(1|2)$": "'-c(1|2)$'", "it's": `'it'\''s'`} {
		if got := quoted(word); got != want {
			t.Errorf("%q is quoted as %s, want %s", word, got, want)
		}
	}
}
