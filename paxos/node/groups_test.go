package node

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// told is an answer of a group for tests.
type told struct {
	Group uint16
	Words string
}

// answersOf are those of groups that answer with their number and the words.
func answersOf(groups ...uint16) (all []GroupAnswers) {
	for _, g := range groups {
		all = append(all, GroupAnswers{Group: g, Answers: map[string]Answer{
			"status": func(words []string) (any, error) { return told{g, strings.Join(words, " ")}, nil },
			"hand":   func(words []string) (any, error) { return told{g, strings.Join(words, " ")}, nil },
			"fail":   NoWords(func() (any, error) { return nil, errors.New("it does not want to") }),
		}})
	}
	return all
}

// A request goes to the group that it names, or to all of them; what is for one group has to name it where there are several.
func TestJoinAnswers(t *testing.T) {
	for _, c := range []struct {
		groups  []uint16
		request string
		want    []told
		fault   string
	}{
		{groups: []uint16{4}, request: "status", want: []told{{4, ""}}},
		{groups: []uint16{4}, request: "status group=4", want: []told{{4, ""}}},
		{groups: []uint16{4}, request: "status group=5", fault: "group=5: no such group runs in this process: choose from 4"},
		{groups: []uint16{4}, request: "hand 7", want: []told{{4, "7"}}},
		{groups: []uint16{4, 2}, request: "status", want: []told{{4, ""}, {2, ""}}},
		{groups: []uint16{4, 2}, request: "status a b", want: []told{{4, "a b"}, {2, "a b"}}},
		{groups: []uint16{4, 2}, request: ForGroup("status a", 2), want: []told{{2, "a"}}},
		{groups: []uint16{4, 2}, request: "hand group=2 7", want: []told{{2, "7"}}},
		{groups: []uint16{4, 2}, request: "hand 7", fault: "hand is for one group: name it, of groups 4, 2"},
		{groups: []uint16{4, 2}, request: "status group=0", fault: "choose from 4, 2"},
		{groups: []uint16{4, 2}, request: "status group=x", fault: "choose from 4, 2"},
		{groups: []uint16{4, 2}, request: "status group=65538", fault: "choose from 4, 2"},
		{groups: []uint16{4, 2}, request: "fail", fault: "group 4: it does not want to"},
		{groups: []uint16{4}, request: "fail", fault: "it does not want to"},
		{groups: []uint16{4, 2}, request: "nothing", fault: `unknown request "nothing": choose from fail, hand, status`},
	} {
		path := filepath.Join(t.TempDir(), "s")
		control, err := ListenControl(path, JoinAnswers(answersOf(c.groups...), "hand"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := AskAll[told](path, c.request)
		control.Close()
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%v %q: %v, want %q", c.groups, c.request, err, c.fault)
			}
		case err != nil || len(got) != len(c.want):
			t.Errorf("%v %q: %v, %v, want %v", c.groups, c.request, got, err, c.want)
		default:
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("%v %q: %v, want %v", c.groups, c.request, got, c.want)
				}
			}
		}
	}
}

// AskAll refuses what is no answer of groups.
func TestAskAllOfNonsense(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	control, err := ListenControl(path, map[string]Answer{"status": NoWords(func() (any, error) { return "a word", nil })})
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if all, err := AskAll[told](path, "status"); err == nil || !strings.Contains(err.Error(), `the answer to "status" cannot be read`) {
		t.Errorf("%v, %v", all, err)
	}
}
