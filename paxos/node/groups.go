package node

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A process may run several groups, each on a loop of its own. Its control socket answers for all of them: a request that names one, as in
// "status group=2", is answered by that group as by a process that runs it alone; one that names none, by an array of what all groups say, in the
// order of the file. Where there is one group, it answers either.

// GroupAnswers is what one group of a process answers.
type GroupAnswers struct {
	Group   uint16
	Answers map[string]Answer
}

// groupWord is how a word that names the group begins.
const groupWord = "group="

// ForGroup is a request to one group of a process.
func ForGroup(request string, group uint16) string {
	return fmt.Sprintf("%s %s%d", request, groupWord, group)
}

// JoinAnswers makes the answers of a control socket of those of the process's groups, of which there is at least one. Each group answers the
// same requests. Those in one change something that people mean for one group: among several it has to be named.
func JoinAnswers(groups []GroupAnswers, one ...string) map[string]Answer {
	joined := map[string]Answer{}
	for name := range groups[0].Answers {
		joined[name] = func(words []string) (any, error) {
			rest, at, err := pickGroup(groups, words)
			switch {
			case err != nil:
				return nil, err
			case at >= 0:
				return groups[at].Answers[name](rest)
			case slices.Contains(one, name):
				return nil, fmt.Errorf("%s is for one group: name it, of groups %s", name, ids(groups))
			}
			all := make([]any, len(groups))
			for i, g := range groups {
				if all[i], err = g.Answers[name](rest); err != nil {
					return nil, fmt.Errorf("group %d: %w", g.Group, err)
				}
			}
			return all, nil
		}
	}
	return joined
}

// pickGroup finds the group that words name and takes that word out; -1 if they name none of several.
func pickGroup(groups []GroupAnswers, words []string) (rest []string, at int, err error) {
	if at = -1; len(groups) == 1 {
		at = 0
	}
	for _, w := range words {
		text, named := strings.CutPrefix(w, groupWord)
		if !named {
			rest = append(rest, w)
			continue
		}
		id, err := strconv.ParseUint(text, 10, 16)
		if at = slices.IndexFunc(groups, func(g GroupAnswers) bool { return g.Group == uint16(id) }); err != nil || at < 0 {
			return nil, -1, fmt.Errorf("%s: no such group runs in this process: choose from %s", w, ids(groups))
		}
	}
	return rest, at, nil
}

// ids are the groups for people.
func ids(groups []GroupAnswers) string {
	words := make([]string, len(groups))
	for i, g := range groups {
		words[i] = strconv.Itoa(int(g.Group))
	}
	return strings.Join(words, ", ")
}

// AskAll sends a request to a control socket and returns what each group of the process answers: one answer, or those of an array. T is what one
// group answers, and not an array.
func AskAll[T any](path, request string) ([]T, error) {
	var raw json.RawMessage
	if err := Ask(path, request, &raw); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(raw), "[") {
		raw = slices.Concat(json.RawMessage("["), raw, json.RawMessage("]"))
	}
	var all []T
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("control socket %s: the answer to %q cannot be read: %w", path, request, err)
	}
	return all, nil
}
