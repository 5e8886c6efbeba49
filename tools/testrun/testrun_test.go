package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fixture is a small module in which everything happens that can happen to a test.
var fixture = map[string]string{
	"go.mod":                "module fixture\n\ngo 1.26\n",
	"good/good_test.go":     "package good\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Log(\"chatter\") }\nfunc TestB(t *testing.T) {}\n",
	"none/none.go":          "package none\n",
	"broken/broken.go":      "package broken\n\nvar x int = \"text\"\n",
	"broken/broken_test.go": "package broken\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) {}\n",
	"testbroken/a.go":       "package testbroken\n",
	"testbroken/a_test.go":  "package testbroken\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { undefinedHere() }\n",
	"skips/skips_test.go": `package skips

import "testing"

func TestRoot(t *testing.T) { t.Log("note"); t.Skip("needs root: sudo make test") }
func TestBare(t *testing.T) { t.SkipNow() }
func TestSome(t *testing.T) {
	t.Run("a", func(t *testing.T) {})
	t.Run("b", func(t *testing.T) { t.Skipf("needs %s", "AF_XDP") })
}
func TestThat(t *testing.T) { t.Skip("needs AF_XDP") }
`,
	"bad/bad_test.go": `package bad

import "testing"

func TestLeaf(t *testing.T) { t.Log("first line"); t.Error("the leaf broke") }
func TestParent(t *testing.T) {
	t.Run("x", func(t *testing.T) { t.Run("y", func(t *testing.T) { t.Error("y broke") }) })
	t.Run("z", func(t *testing.T) {})
}
func TestOwn(t *testing.T) {
	t.Run("fine", func(t *testing.T) {})
	t.Error("only the parent broke")
}
`,
	"panics/panics_test.go": `package panics

import "testing"

func TestBefore(t *testing.T) {}

func TestPanic(t *testing.T) { panic("out of the window") }
`,
	"dies/dies_test.go": `package dies

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) { m.Run(); fmt.Println("left a link behind"); os.Exit(3) }

func TestA(t *testing.T) {}
`,
	"hangs/hangs_test.go": `package hangs

import "testing"

func TestHang(t *testing.T) { select {} }
`,
}

// enterFixture writes the module and goes there.
func enterFixture(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	for name, text := range fixture {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(root)
}

func runFixture(t *testing.T, args ...string) (text string, sum tally) {
	t.Helper()
	enterFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	r := &report{out: &out}
	runTests(ctx, r, "", args)
	r.close()
	if ctx.Err() != nil {
		t.Fatalf("it did not end:\n%s", out.String())
	}
	return out.String(), r.tally
}

func TestResultsAreCounted(t *testing.T) {
	for _, c := range []struct {
		folder string
		want   tally
		says   []string // regular expressions
	}{
		{"good", tally{passed: 2}, []string{`(?m)^ok    good: 2 passed, 0 failed, 0 skipped in `}},
		{"none", tally{}, []string{`(?m)^-     none: no tests$`}},
		{"broken", tally{failed: 1}, []string{`broken\.go:3`, `(?m)^FAIL  broken$`}},
		{"testbroken", tally{failed: 1}, []string{`undefinedHere`, `(?m)^FAIL  testbroken$`}},
		{"skips", tally{passed: 1, skipped: 4}, []string{
			`(?m)^skipped:\n  skips TestRoot: .*needs root: sudo make test\n  skips TestBare: no reason given\n  skips TestSome/b, TestThat: needs AF_XDP$`,
		}},
		{"bad", tally{passed: 2, failed: 3}, []string{`first line`, `the leaf broke`, `y broke`, `only the parent broke`, `(?m)^FAIL  bad: `}},
		{"panics", tally{passed: 1, failed: 1}, []string{`out of the window`, `(?m)^FAIL  panics`}},
		{"dies", tally{passed: 1, failed: 1}, []string{`left a link behind`, `(?m)^FAIL  dies$`}},
	} {
		t.Run(c.folder, func(t *testing.T) {
			text, sum := runFixture(t, "./"+c.folder)
			if sum != c.want {
				t.Errorf("%v, want %v in\n%s", sum, c.want, text)
			}
			for _, pattern := range c.says {
				if !regexp.MustCompile(pattern).MatchString(text) {
					t.Errorf("it does not say %s:\n%s", pattern, text)
				}
			}
			if strings.Contains(text, "chatter") {
				t.Errorf("output of a test that passed:\n%s", text)
			}
		})
	}
}

func TestPackageThatHangsIsOneFailure(t *testing.T) {
	text, sum := runFixture(t, "-timeout", "2s", "./hangs", "./good")
	if want := (tally{passed: 2, failed: 1}); sum != want {
		t.Errorf("%v, want %v in\n%s", sum, want, text)
	}
	if !strings.Contains(text, "timed out") || !strings.Contains(text, "TestHang") {
		t.Errorf("it does not say what hung:\n%s", text)
	}
}

func TestUnknownPackageIsOneFailure(t *testing.T) {
	text, sum := runFixture(t, "./nowhere")
	if want := (tally{failed: 1}); sum != want {
		t.Errorf("%v, want %v in\n%s", sum, want, text)
	}
	if !strings.Contains(text, "nowhere") {
		t.Errorf("it does not say which:\n%s", text)
	}
}

// The budget ends go test and the test binary below it.
func TestBudgetEndsARun(t *testing.T) {
	enterFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	var out bytes.Buffer
	r := &report{out: &out}
	runTests(ctx, r, "", []string{"./hangs"})
	if r.failed == 0 {
		t.Errorf("what was stopped has not failed:\n%s", out.String())
	}
}

// A module of its own is checked and tested as a whole; one whose dependencies cannot be had is skipped, and one that does not load has failed.
func TestModuleOfItsOwn(t *testing.T) {
	sum := "h1:" + strings.Repeat("A", 43) + "=\n"
	const far = "require example.invalid/far v1.0.0\n"
	for _, c := range []struct {
		file, text string
		require    string
		want       func(tally) bool
		says       string
	}{
		{"none/other.go", "package none\n", "", func(s tally) bool { return s.passed >= 4 && s.failed == 0 && s.skipped == 0 }, `(?m)^ok    own/good: 2 passed`},
		{"none/none.go", "package none\n\nimport _ \"example.invalid/far\"\n", far, func(s tally) bool { return s == tally{skipped: 1} },
			`(?m)^  own: what it builds on is not there and cannot be fetched: .*GOPROXY=off`},
		{"none/none.go", "package none\n\nimport _ \"own/nowhere\"\n", "", func(s tally) bool { return s == tally{failed: 1} }, `nowhere`},
	} {
		root := t.TempDir()
		t.Chdir(root)
		t.Setenv("GOPROXY", "off")
		for name, text := range map[string]string{
			"own/go.mod":            "module fixture/own\n\ngo 1.26\n\n" + c.require,
			"own/go.sum":            "example.invalid/far v1.0.0 " + sum + "example.invalid/far v1.0.0/go.mod " + sum,
			"own/good/good_test.go": fixture["good/good_test.go"], "own/none/none.go": fixture["none/none.go"], "own/" + c.file: c.text,
		} {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		r := &report{out: &out}
		runModule(t.Context(), r, "own")
		r.close()
		if !c.want(r.tally) || !regexp.MustCompile(c.says).MatchString(out.String()) {
			t.Errorf("%v, and it should say %s:\n%s", r.tally, c.says, out.String())
		}
		if here, err := os.Getwd(); err != nil || here != root {
			t.Errorf("it ended in %s, %v", here, err)
		}
	}
}

func TestFormatIsChecked(t *testing.T) {
	enterFixture(t)
	var out bytes.Buffer
	r := &report{out: &out}
	checkFormat(t.Context(), r, "gofmt")
	if r.tally != (tally{passed: 1}) {
		t.Errorf("%v in\n%s", r.tally, out.String())
	}
	if err := os.WriteFile("none/ugly.go", []byte("package  none\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	checkFormat(t.Context(), r, "gofmt")
	if r.tally != (tally{passed: 1, failed: 1}) || !strings.Contains(out.String(), "\nnone/ugly.go\n") {
		t.Errorf("%v in\n%s", r.tally, out.String())
	}
}

func TestCountsTellWhatTheySkip(t *testing.T) {
	for _, c := range []struct {
		script string
		want   tally
		says   string
	}{
		{"echo a table", tally{passed: 1}, "ok    counts\n"},
		{"echo a table; echo skipped: instructions: no ptrace", tally{passed: 1, skipped: 1}, "skipped:\n  counts: instructions: no ptrace\n"},
		{"echo one MORE; exit 1", tally{failed: 1}, "one MORE\n"},
	} {
		var out bytes.Buffer
		r := &report{out: &out}
		checkCounts(t.Context(), r, "sh", "-c", c.script)
		r.close()
		if r.tally != c.want || !strings.Contains(out.String(), c.says) || c.want.failed == 0 && strings.Contains(out.String(), "table") {
			t.Errorf("%s: %v in\n%s", c.script, r.tally, out.String())
		}
	}
}

func TestLastLineStandsAlone(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out}
	r.pass("gofmt")
	r.skip("race detector", "it needs a C compiler")
	r.fail("go vet", "broken.go:3: wrong\n")
	r.close()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if last := lines[len(lines)-1]; last != "1 passed, 1 failed, 1 skipped" {
		t.Errorf("last line %q", last)
	}
	if !strings.Contains(out.String(), "skipped:\n  race detector: it needs a C compiler\n") {
		t.Errorf("no list of what was skipped:\n%s", out.String())
	}
}

func TestSkipReason(t *testing.T) {
	for output, want := range map[string]string{
		"=== RUN   TestX\n    a_test.go:3: needs root: as root\n--- SKIP: TestX (0.00s)\n": "needs root: as root",
		"    a_test.go:3: needs a kernel\n        of this year\n":                          "needs a kernel of this year",
		"    a_test.go:1: note\n    suite.go:9: needs: AF_XDP\n":                           "needs: AF_XDP",
		"--- SKIP: TestX (0.00s)\n":                                                        "no reason given",
	} {
		if got := skipReason(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}
