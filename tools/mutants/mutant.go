package main

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// mutant is one wrong version of the program.
type mutant struct {
	name     string // of its file, without .txt
	what     string // that is wrong, for people
	rule     string // that it breaks
	fault    int    // of the list in wrong/README.md that it stands for; 0 none
	profiles []string
	seeds    int // most, of each profile
	edits    []edit
}

// edit replaces text of one file that must be there exactly once.
type edit struct {
	path    string // from the root of the repository, with forward slashes
	was, is string // whole lines
}

// load reads all mutants of a folder, in the order of their names.
func load(folder fs.FS) ([]mutant, error) {
	names, err := fs.Glob(folder, "*.txt")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var all []mutant
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, err
		}
		m, err := parse(strings.TrimSuffix(name, ".txt"), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// parse reads a mutant: what is wrong, an empty line, fields, and for each edit "== file", "-- was", lines, "-- is", lines.
func parse(name, text string) (mutant, error) {
	m := mutant{name: name}
	what, rest, found := strings.Cut(text, "\n\n")
	if !found {
		return m, fmt.Errorf("no empty line after the description of what is wrong")
	}
	m.what = strings.Join(strings.Fields(what), " ")
	head, edits, _ := strings.Cut(rest, "\n== ")
	for line := range strings.Lines(head) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := m.field(line); err != nil {
			return m, err
		}
	}
	if m.rule == "" || len(m.profiles) == 0 || m.seeds < 1 || edits == "" {
		return m, fmt.Errorf("it needs a rule, profiles, seeds and an edit")
	}
	for part := range strings.SplitSeq(edits, "\n== ") {
		e, err := parseEdit(part)
		if err != nil {
			return m, err
		}
		m.edits = append(m.edits, e)
	}
	return m, nil
}

func (m *mutant) field(line string) (err error) {
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "rule":
		m.rule = value
	case "fault":
		m.fault, err = strconv.Atoi(value)
	case "profiles":
		m.profiles = strings.Fields(value)
	case "seeds":
		m.seeds, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("%q: no such field: there are rule, fault, profiles and seeds", line)
	}
	if err != nil {
		return fmt.Errorf("%q: give a number", line)
	}
	return nil
}

func parseEdit(part string) (edit, error) {
	file, body, _ := strings.Cut(part, "\n")
	e := edit{path: strings.TrimSpace(file)}
	body, ok := strings.CutPrefix(body, "-- was\n")
	was, is, found := strings.Cut(body, "-- is\n")
	if !ok || !found || was == "" || path.Clean(e.path) != e.path || !fs.ValidPath(e.path) {
		return e, fmt.Errorf("an edit is a line \"== FILE\", a line \"-- was\", the lines that are there, a line \"-- is\", and those instead")
	}
	e.was, e.is = was, is
	if e.is != "" && !strings.HasSuffix(e.is, "\n") {
		e.is += "\n"
	}
	return e, nil
}

// apply makes the wrong version of each file that the mutant changes. It fails where the text that shall be replaced is not there exactly once:
// then the code has changed, and the mutant must follow.
func (m *mutant) apply(tree fs.FS) (map[string]string, error) {
	files := make(map[string]string)
	for i, e := range m.edits {
		text, ok := files[e.path]
		if !ok {
			original, err := fs.ReadFile(tree, e.path)
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w: update its edit %d", m.name, err, i+1)
			}
			text = string(original)
		}
		if n := countLines(text, e.was); n != 1 {
			return nil, fmt.Errorf("mutant %s: %s has the text of edit %d %d times, not once: update tools/mutants/wrong/%s.txt",
				m.name, e.path, i+1, n, m.name)
		}
		files[e.path] = strings.TrimPrefix(strings.Replace("\n"+text, "\n"+e.was, "\n"+e.is, 1), "\n")
	}
	return files, nil
}

// countLines counts where the lines begin in text.
func countLines(text, lines string) (n int) {
	for rest := "\n" + text; ; n++ {
		at := strings.Index(rest, "\n"+lines)
		if at < 0 {
			return n
		}
		rest = rest[at+1:]
	}
}
