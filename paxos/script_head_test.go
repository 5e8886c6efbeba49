package paxos

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each script begins with what it shows and where the rule is from: a section of "Paxos Made Simple", or a rule or heading of PROTOCOL.md.
// Each rule there has a script.
func TestScriptsNameTheirRule(t *testing.T) {
	page, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	known, shown := map[string]bool{}, map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^##+ (.+)`).FindAllStringSubmatch(string(page), -1) {
		known[heading[1]] = true
	}
	var rules []string
	for _, rule := range regexp.MustCompile(`(?m)^- \*\*([PLR]\d)\*\*`).FindAllStringSubmatch(string(page), -1) {
		known[rule[1]] = true
		rules = append(rules, rule[1])
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 || len(rules) == 0 {
		t.Fatalf("%d scripts (%v), rules %v", len(files), err, rules)
	}
	paper := regexp.MustCompile(`"Paxos Made Simple", section [1-3]`)
	name := regexp.MustCompile(`"([^"]+)"|\b([PLR]\d)\b`)
	for _, file := range files {
		head := scriptHead(t, file)
		_, ours, found := strings.Cut(head, "PROTOCOL.md, ")
		if !found && !paper.MatchString(head) {
			t.Errorf("%s: its first comment names neither \"Paxos Made Simple\", section N, nor PROTOCOL.md, followed by a rule or \"heading\"", file)
		}
		for _, n := range name.FindAllStringSubmatch(ours, -1) {
			if n[1] == "Paxos Made Simple" {
				continue
			}
			if !known[n[1]+n[2]] {
				t.Errorf("%s: PROTOCOL.md has no heading or rule %q", file, n[1]+n[2])
			}
			shown[n[1]+n[2]] = true
		}
	}
	for _, rule := range rules {
		if !shown[rule] {
			t.Errorf("no script names PROTOCOL.md, %s", rule)
		}
	}
}

// scriptHead is the first comment of a script, on one line.
func scriptHead(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			break
		}
		words = append(words, strings.TrimSpace(strings.TrimPrefix(line, "#")))
	}
	return strings.Join(words, " ")
}
