package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake makes a script in place of the simulator. It is called with "report" set to the path that --json names.
func fake(t *testing.T, script string) (w *workshop, binary string) {
	t.Helper()
	dir := t.TempDir()
	binary = filepath.Join(dir, "wirepaxos")
	text := "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" = --json ] && report=\"$2\"; shift; done\n" + script + "\n"
	if err := os.WriteFile(binary, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return &workshop{root: dir, temporary: dir, patience: 10 * time.Second}, binary
}

func TestSimulate(t *testing.T) {
	for _, x := range []struct {
		name, script string
		want         outcome
		fails        string
	}{
		{"passes", `echo '{"seeds":20,"failed":[]}' >"$report"`, outcome{seeds: 20}, ""},
		{"fails", `echo '{"seeds":7,"failed":[{"seed":9,"violation":{"rule":"order"}}]}' >"$report"; exit 1`, outcome{caught: true, checker: "order", seed: 9, seeds: 7}, ""},
		{"panics", `echo 'panic: index' >&2; exit 2`, outcome{caught: true, checker: "panic"}, ""},
		{"refuses", `echo 'no such profile' >&2; exit 2`, outcome{}, "no such profile"},
		{"fails and says nothing", `echo '{"seeds":20,"failed":[]}' >"$report"; exit 1`, outcome{}, "no verdict"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w, binary := fake(t, x.script)
			o, err := w.simulate(t.Context(), binary, "calm", 20)
			if x.fails != "" {
				if err == nil || !strings.Contains(err.Error(), x.fails) {
					t.Fatalf("%v lacks %q", err, x.fails)
				}
				return
			}
			o.took, x.want.profile = 0, "calm"
			if err != nil || o != x.want {
				t.Errorf("%+v (%v), not %+v", o, err, x.want)
			}
		})
	}
}

func TestSimulateEnds(t *testing.T) {
	w, binary := fake(t, "sleep 60")
	w.patience = 100 * time.Millisecond
	o, err := w.simulate(t.Context(), binary, "calm", 20)
	if err != nil || o.caught || !strings.Contains(o.note, "no end within") {
		t.Errorf("%+v (%v)", o, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.patience = time.Minute
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := w.simulate(ctx, binary, "calm", 20); !errors.Is(err, errInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestTable(t *testing.T) {
	var out strings.Builder
	survived := printTable(&out, []result{
		{&mutant{name: "a", rule: "P1"}, outcome{caught: true, profile: "calm", checker: "order", seed: 12, seeds: 12, took: 1500 * time.Millisecond}},
		{&mutant{name: "b", rule: "L2", what: "Nothing holds."}, outcome{profile: "chaos", seeds: 300, took: time.Minute}},
	}, 2*time.Minute)
	if survived != 1 {
		t.Errorf("%d survived", survived)
	}
	for _, want := range []string{
		"a       P1      order      calm     12    12     1.5\n", "b       L2      SURVIVED   chaos    -     300    60.0\n",
		"\nb survived: Nothing holds.\n", "\n312 seeds of mutants, 120 s in all", "\n\n1 caught, 1 survived\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q lacks %q", out.String(), want)
		}
	}
}
