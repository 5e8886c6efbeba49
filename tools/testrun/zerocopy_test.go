package main

import (
	"strings"
	"testing"
)

func TestZeroCopyIsRepeatedAndCounted(t *testing.T) {
	t.Setenv("WIREPAXOS_VMLAB", "")
	for _, c := range []struct {
		name, script string
		want         tally
		says         string
	}{
		{"passes", "echo 'ok    echo: none lost'", tally{passed: 1}, "...   zerocopy: ok    echo: none lost"},
		{"fails", "echo table; echo 'vmlab: a step failed' >&2; exit 1", tally{failed: 1}, "vmlab: a step failed"},
		{"is skipped", "echo 'skipped: no apt-get'", tally{skipped: 1}, "zerocopy: no apt-get"},
		{"is skipped in part", "echo 'skip  two queues: they need root'; echo 'ok    echo'", tally{passed: 1, skipped: 1}, "zerocopy, two queues: they need root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told strings.Builder
			r := &report{out: &told}
			checkZeroCopy(t.Context(), r, "sh", "-c", c.script)
			r.close()
			if r.tally != c.want || !strings.Contains(told.String(), c.says) {
				t.Errorf("%v, want %v and %q:\n%s", r.tally, c.want, c.says, told.String())
			}
		})
	}
	t.Setenv("WIREPAXOS_VMLAB", "0")
	var told strings.Builder
	r := &report{out: &told}
	checkZeroCopy(t.Context(), r, "sh", "-c", "exit 1")
	if r.skipped != 1 || r.failed != 0 {
		t.Errorf("switched off: %v", r.tally)
	}
}
