package main

import (
	"go/format"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func mustLoad(t *testing.T) (root string, all []mutant) {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	all, err = load(os.DirFS(filepath.Join(root, folder)))
	if err != nil {
		t.Fatal(err)
	}
	return root, all
}

// Each mutant still is a change of the code as it stands, and Go. Whether it builds and is caught, make mutants tells.
func TestMutantsApply(t *testing.T) {
	root, all := mustLoad(t)
	if len(all) < 20 {
		t.Errorf("%d mutants are left, want at least 20", len(all))
	}
	for _, m := range all {
		files, err := m.apply(os.DirFS(root))
		if err != nil {
			t.Error(err)
			continue
		}
		for name, text := range files {
			if _, err := format.Source([]byte(text)); err != nil {
				t.Errorf("mutant %s: %s: %v", m.name, name, err)
			}
		}
	}
}

// Each fault of the list has a mutant, or the list says why not; and no mutant names a fault that is not in it.
func TestFaultsHaveMutants(t *testing.T) {
	root, all := mustLoad(t)
	text, err := os.ReadFile(filepath.Join(root, folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string // of the faults from 1 on, what stands for them
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.Trim(cells[1], " 0123456789") == "" && strings.TrimSpace(cells[1]) != "" {
			listed = append(listed, cells[3])
		}
	}
	if len(listed) != 13 {
		t.Fatalf("README.md lists %d faults, not 13", len(listed))
	}
	for i, names := range listed {
		stands := strings.FieldsFunc(names, func(r rune) bool { return r == ' ' || r == ',' })
		for _, m := range all {
			if (m.fault == i+1) != slices.Contains(stands, m.name) {
				t.Errorf("mutant %s names fault %d; README.md names %q for fault %d", m.name, m.fault, strings.TrimSpace(names), i+1)
			}
		}
	}
}

const example = `Two of three
are enough.

rule: P9
fault: 3
profiles: calm chaos
seeds: 20

== a/b.go
-- was
	one
-- is
	two
	three
== c.go
-- was
x
-- is
`

func TestParse(t *testing.T) {
	m, err := parse("name", example)
	if err != nil {
		t.Fatal(err)
	}
	if m.what != "Two of three are enough." || m.rule != "P9" || m.fault != 3 || m.seeds != 20 || !slices.Equal(m.profiles, []string{"calm", "chaos"}) {
		t.Errorf("read %+v", m)
	}
	files, err := m.apply(fstest.MapFS{"a/b.go": {Data: []byte("zero\n\tone\nfour\n")}, "c.go": {Data: []byte("x\ny\n")}})
	if err != nil || files["a/b.go"] != "zero\n\ttwo\n\tthree\nfour\n" || files["c.go"] != "y\n" {
		t.Errorf("made %q (%v)", files, err)
	}
}

func TestApplyWantsTheTextOnce(t *testing.T) {
	m, err := parse("name", example)
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]string{
		"0 times": "zero\none\n", "2 times": "\tone\n\tone\n",
	} {
		_, err := m.apply(fstest.MapFS{"a/b.go": {Data: []byte(b)}, "c.go": {Data: []byte("x\n")}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "update tools/mutants/wrong/name.txt") {
			t.Errorf("%v lacks %q or what to do", err, want)
		}
	}
	if _, err := m.apply(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "update its edit 1") {
		t.Errorf("a file that is gone: %v", err)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"one line":                           "no empty line",
		"a\n\nrule: x\nseed: 3\n":            `"seed: 3": no such field`,
		"a\n\nseeds: x\n":                    `"seeds: x": give a number`,
		"a\n\nrule: x\n":                     "it needs a rule",
		"a\n\nprofiles: y\nseeds: 3\n\n== f": "it needs a rule",
		"a\n\nrule: x\nprofiles: y\nseeds: 3\n\n== f\n-- is\n":             "an edit is",
		"a\n\nrule: x\nprofiles: y\nseeds: 3\n\n== f\n-- was\n-- is\ny\n":  "an edit is",
		"a\n\nrule: x\nprofiles: y\nseeds: 3\n\n== /f\n-- was\nx\n-- is\n": "an edit is",
	} {
		if _, err := parse("name", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, lacks %q", text, err, want)
		}
	}
}
