package main

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The protocol's model, as `make model` checks it.
func TestModel(t *testing.T) {
	var told strings.Builder
	err := check(t.Context(), "../../paxos/model/paxos.pml", false, &told)
	if errors.Is(err, errMissing) {
		t.Skip(err)
	}
	t.Log("\n" + told.String())
	if err != nil {
		t.Error(err)
	}
}

func TestJudge(t *testing.T) {
	const whole = "State-vector 116 byte, depth reached 39, errors: 0\n   429711 states, stored\n  171.308\ttotal actual memory usage\n"
	const violated = "pan:1: assertion violated (x) (at depth 3)\nWarning: Search not completed\n" +
		"State-vector 116 byte, depth reached 9, errors: 1\n   12 states, stored\n"
	for _, c := range []struct {
		run    run
		output string
		good   bool
	}{
		{holds(3, 1, ""), whole, true},
		{holds(3, 1, ""), violated, false},
		{holds(3, 1, ""), "error: max search depth too small\n" + whole, false},
		{holds(3, 1, ""), "Warning: Search not completed\n" + whole, false},
		{breaks("OWN_VALUE", 2), violated, true},
		{breaks("OWN_VALUE", 2), whole, false},
		{breaks("OWN_VALUE", 2), strings.Replace(violated, "assertion violated", "invalid end state", 1), false},
	} {
		f := found{output: c.output}
		if err := f.read(); err != nil {
			t.Fatal(err)
		}
		if err := f.judge(c.run); (err == nil) != c.good {
			t.Errorf("%v: %v in\n%s", c.run, err, c.output)
		}
	}
	f := found{output: whole}
	if err := f.read(); err != nil || f.states != 429711 || f.depth != 39 || f.memoryMB != 171 {
		t.Errorf("%+v, %v", f, err)
	}
	if err := (&found{output: "pan: out of memory\n"}).read(); err == nil {
		t.Error("no numbers, no complaint")
	}
}

func TestEachMacroOfTheModelIsTried(t *testing.T) {
	text, err := os.ReadFile("../../paxos/model/paxos.pml")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{"BALLOTS": true, "INSTANCES": true}
	for _, r := range runs {
		for _, macro := range strings.Fields(r.broken + " " + r.also) {
			tried[macro] = true
		}
	}
	for _, found := range regexp.MustCompile(`(?m)^#ifn?def (\w+)`).FindAllSubmatch(text, -1) {
		if macro := string(found[1]); !tried[macro] {
			t.Errorf("%s is in the model, and no run tries it", macro)
		}
	}
}
