package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// source is an entry of apt's sources: where packages come from.
type source struct {
	uri        string
	suites     []string
	components []string
	signedBy   string // the key ring that its signatures are checked with; "": those that apt trusts for all
}

// line is the entry in apt's one-line form, for one suite.
func (s *source) line(suite string) string {
	options := ""
	if s.signedBy != "" {
		options = "[signed-by=" + s.signedBy + "] "
	}
	return fmt.Sprintf("deb %s%s %s %s\n", options, s.uri, suite, strings.Join(s.components, " "))
}

// readSources reads the apt sources below folder (/etc/apt), both forms that there are.
func readSources(folder string) ([]source, error) {
	files, err := filepath.Glob(filepath.Join(folder, "sources.list.d", "*"))
	if err != nil {
		return nil, err
	}
	var all []source
	for _, name := range append([]string{filepath.Join(folder, "sources.list")}, files...) {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		switch filepath.Ext(name) {
		case ".list":
			all = append(all, parseLines(string(text))...)
		case ".sources":
			all = append(all, parseStanzas(string(text))...)
		}
	}
	return all, nil
}

// parseLines reads the one-line form: "deb [signed-by=/usr/share/keyrings/x.gpg] URI SUITE COMPONENT...".
func parseLines(text string) []source {
	var all []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		var s source
		if rest = strings.TrimSpace(rest); strings.HasPrefix(rest, "[") {
			options, after, closed := strings.Cut(rest[1:], "]")
			if !closed {
				continue
			}
			for _, option := range strings.Fields(options) {
				if ring, ok := strings.CutPrefix(option, "signed-by="); ok {
					s.signedBy = ring
				}
			}
			rest = after
		}
		if fields := strings.Fields(rest); len(fields) >= 3 {
			s.uri, s.suites, s.components = fields[0], fields[1:2], fields[2:]
			all = append(all, s)
		}
	}
	return all
}

// parseStanzas reads the form of .sources files: fields, one a line, an empty line between entries.
func parseStanzas(text string) []source {
	var all []source
	for stanza := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(stanza) {
			if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") {
				fields[strings.ToLower(name)] = strings.TrimSpace(value)
			}
		}
		if !containsWord(fields["types"], "deb") || strings.EqualFold(fields["enabled"], "no") {
			continue
		}
		for _, uri := range strings.Fields(fields["uris"]) {
			s := source{uri: uri, suites: strings.Fields(fields["suites"]), components: strings.Fields(fields["components"])}
			if ring := fields["signed-by"]; strings.HasPrefix(ring, "/") {
				s.signedBy = ring
			}
			all = append(all, s)
		}
	}
	return all
}

func containsWord(text, word string) bool {
	for _, w := range strings.Fields(text) {
		if w == word {
			return true
		}
	}
	return false
}

// debianOnly keeps the entries of Debian's own archive or a mirror of it, which by custom lie in a folder named debian.
func debianOnly(all []source) []source {
	var kept []source
	for _, s := range all {
		if u, err := url.Parse(s.uri); err == nil && path.Base(strings.TrimSuffix(u.Path, "/")) == "debian" && len(s.components) > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}
