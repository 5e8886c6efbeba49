package main

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The limits of STYLE: a file is read in one go, a function on one screen. Tables make test files longer.
const (
	maxFileLines     = 400
	maxTestFileLines = 600
	maxFuncLines     = 70
)

// topLevel is all that may lie at the top of the repository, besides dotfiles and what the Makefile builds.
var topLevel = []string{
	"dataplane", "paxos", "bench", "cmd", "tools",
	"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "CHANGELOG.md",
	"bin", "out",
}

func checkTopLevel(tree fs.FS) ([]fault, error) {
	entries, err := fs.ReadDir(tree, ".")
	var faults []fault
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			faults = append(faults, fault{path: e.Name(), text: "does not belong at the top level of the repository"})
		}
	}
	return faults, err
}

func checkFileLength(s *source) []fault {
	limit := maxFileLines
	if s.isTest {
		limit = maxTestFileLines
	}
	if n := countLines(s.text); n >= limit && !ast.IsGenerated(s.tree) {
		return []fault{{path: s.path, text: fmt.Sprintf("%d lines: a file of this kind has fewer than %d; split it", n, limit)}}
	}
	return nil
}

func checkFunctionLength(s *source) []fault {
	var faults []fault
	for _, decl := range s.tree.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := s.line(f.End()) - s.line(f.Pos()) + 1; n >= maxFuncLines {
			faults = append(faults, s.faultAt(f.Pos(), "%s has %d lines: a function has fewer than %d", f.Name.Name, n, maxFuncLines))
		}
	}
	return faults
}

// importRule forbids imports to the folders that it applies to.
type importRule struct {
	applies   func(s *source) bool
	forbidden []string // import paths, with all below them
	why       string
}

var importRules = []importRule{
	{
		applies:   func(s *source) bool { return under(s.folder, "dataplane") },
		forbidden: []string{"wirepaxos/paxos"},
		why:       "the data plane does not know the protocol",
	},
	{
		applies: func(s *source) bool { return (s.folder == "paxos" || s.folder == "paxos/wal") && !s.isTest },
		forbidden: []string{
			"wirepaxos/dataplane", "net", "log", "math/rand",
		},
		why: "the protocol does not know frames, sockets or chance",
	},
	{
		applies:   func(s *source) bool { return s.folder == "paxos" && !s.isTest },
		forbidden: []string{"time", "os", "sync", "syscall", "golang.org/x/sys"},
		why:       "the protocol is pure: time and seed are arguments, nothing waits",
	},
	{
		applies:   func(s *source) bool { return !under(s.folder, "cmd") },
		forbidden: []string{"wirepaxos/cmd"},
		why:       "commands assemble; nothing builds on them",
	},
}

func checkImports(s *source) []fault {
	var faults []fault
	for _, spec := range s.tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser has seen to that
		}
		for _, rule := range importRules {
			if rule.applies(s) && slices.ContainsFunc(rule.forbidden, func(f string) bool { return under(imported, f) }) {
				faults = append(faults, s.faultAt(spec.Pos(), "imports %s: %s", imported, rule.why))
			}
		}
	}
	return faults
}

func under(folder, top string) bool { return folder == top || strings.HasPrefix(folder, top+"/") }

func importsPackage(s *source, name string) bool {
	return slices.ContainsFunc(s.tree.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == strconv.Quote(name) })
}

// checkUnsafeFiles takes the files that import unsafe, tests left out: one a package.
func checkUnsafeFiles(names []string) []fault {
	var faults []fault
	first := map[string]string{}
	for _, name := range names {
		if other, ok := first[path.Dir(name)]; ok {
			faults = append(faults, fault{path: name, text: "imports unsafe, and so does " + path.Base(other) + ": one file a package"})
			continue
		}
		first[path.Dir(name)] = name
	}
	return faults
}

// wordsToAvoid are those of the glossary; where one is another project's own name for itself (bench compares with them) it is allowed.
var wordsToAvoid = map[string]string{
	"manager": "say what it does", "helper": "say what it does", "util": "say what it does", "utils": "say what it does",
	"engine": "say what it does", "processor": "say what it does", "snapshot": "the glossary says checkpoint",
	"master": "the glossary says leader", "slave": "the glossary says follower",
}

// theirs tells whether a word is another project's: the name of a kind of system, or of a method that a library asks for.
func theirs(s *source, word string) bool {
	word = strings.TrimSuffix(word, "s")
	return word == "engine" && under(s.folder, "bench") || word == "snapshot" && under(s.folder, "bench/peers")
}

// checkWords looks at the names that a file declares, not at those that it uses.
func checkWords(s *source) []fault {
	var faults []fault
	look := func(id *ast.Ident) {
		for _, word := range splitWords(id.Name) {
			if why, ok := wordsToAvoid[strings.TrimSuffix(word, "s")]; ok && !theirs(s, word) {
				faults = append(faults, s.faultAt(id.Pos(), "%s: avoid %q: %s", id.Name, word, why))
			}
		}
	}
	look(s.tree.Name)
	ast.Inspect(s.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			look(n.Name)
		case *ast.TypeSpec:
			look(n.Name)
		case *ast.ValueSpec:
			for _, id := range n.Names {
				look(id)
			}
		case *ast.Field:
			for _, id := range n.Names {
				look(id)
			}
		}
		return true
	})
	return faults
}

// splitWords takes a name in camel case or with underscores apart, in lower case.
func splitWords(name string) []string {
	var words []string
	begun := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || runes[i] == '_' || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) ||
			i+1 < len(runes) && unicode.IsUpper(runes[i]) && unicode.IsLower(runes[i+1]) {
			if word := strings.Trim(string(runes[begun:i]), "_"); word != "" {
				words = append(words, strings.ToLower(word))
			}
			begun = i
		}
	}
	return words
}

// checkSkips finds tests that skip without a reason: the test command prints the reasons, and an empty one helps nobody.
func checkSkips(s *source) []fault {
	if !s.isTest {
		return nil
	}
	var faults []fault
	ast.Inspect(s.tree, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 0 {
			return true
		}
		callee, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		on, ok := callee.X.(*ast.Ident)
		if ok && slices.Contains([]string{"t", "b", "tb", "f"}, on.Name) && strings.HasPrefix(callee.Sel.Name, "Skip") &&
			callee.Sel.Name != "Skipped" {
			faults = append(faults, s.faultAt(call.Pos(), "skips without a reason: say what it needs"))
		}
		return true
	})
	return faults
}

// unfinished marks work put off; such notes belong into an issue.
var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

func checkComments(s *source) []fault {
	var faults []fault
	for _, group := range s.tree.Comments {
		for _, c := range group.List {
			if mark := unfinished.FindString(c.Text); mark != "" {
				faults = append(faults, s.faultAt(c.Pos(), "%s: finish it or open an issue", mark))
			}
		}
	}
	return faults
}

func checkText(name string, text []byte) []fault {
	var faults []fault
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if mark := unfinished.FindString(line); mark != "" {
			faults = append(faults, fault{path: name, line: number, text: mark + ": finish it or open an issue"})
		}
	}
	return faults
}
