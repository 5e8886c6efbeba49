package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// fault is one place that breaks a rule.
type fault struct {
	path string
	line int // 0: the file as a whole
	text string
}

func (f fault) String() string {
	if f.line == 0 {
		return f.path + ": " + f.text
	}
	return fmt.Sprintf("%s:%d: %s", f.path, f.line, f.text)
}

// source is one Go file on its way through the rules.
type source struct {
	path   string // with forward slashes, from the root
	folder string
	isTest bool
	text   []byte
	files  *token.FileSet
	tree   *ast.File
}

func (s *source) line(at token.Pos) int { return s.files.Position(at).Line }

func (s *source) faultAt(at token.Pos, format string, args ...any) fault {
	return fault{path: s.path, line: s.line(at), text: fmt.Sprintf(format, args...)}
}

// sourceRules look at one file at a time.
var sourceRules = []func(*source) []fault{
	checkFileLength, checkFunctionLength, checkImports, checkWords, checkSkips, checkComments,
}

// textSuffixes end the names of the files besides Go that are read for unfinished work.
var textSuffixes = []string{".md", ".toml", ".lua", ".sh", ".yml", "Makefile", ".ci/run"}

// check applies all rules to the tree and returns the faults in the order of paths.
func check(tree fs.FS) ([]fault, error) {
	faults, err := checkTopLevel(tree)
	if err != nil {
		return nil, err
	}
	var unsafeFiles []string
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && isForeign(name) {
				return fs.SkipDir
			}
			return nil
		}
		if slices.ContainsFunc(textSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) }) {
			text, err := fs.ReadFile(tree, name)
			faults = append(faults, checkText(name, text)...)
			return err
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		s, err := readSource(tree, name)
		if err != nil {
			return err
		}
		for _, rule := range sourceRules {
			faults = append(faults, rule(s)...)
		}
		if !s.isTest && importsPackage(s, "unsafe") {
			unsafeFiles = append(unsafeFiles, name)
		}
		return nil
	})
	return append(faults, checkUnsafeFiles(unsafeFiles)...), err
}

// isForeign names folders that are not ours to judge: tools' own, what a build left, input of tests.
func isForeign(folder string) bool {
	base := path.Base(folder)
	if folder == ".ci" {
		return false
	}
	return strings.HasPrefix(base, ".") || base == "testdata" || folder == "bin" || folder == "out"
}

func readSource(tree fs.FS, name string) (*source, error) {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	s := &source{
		path: name, folder: path.Dir(name), isTest: strings.HasSuffix(name, "_test.go"), text: text, files: token.NewFileSet(),
	}
	s.tree, err = parser.ParseFile(s.files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return s, err
}

func countLines(text []byte) int {
	n := bytes.Count(text, []byte("\n"))
	if len(text) > 0 && text[len(text)-1] != '\n' {
		n++
	}
	return n
}
