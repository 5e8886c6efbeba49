package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/paxos/sim"
	"wirepaxos/paxos/sim/check"
)

func TestSimRefuses(t *testing.T) {
	refused(t, []string{"sim", "--seeds", "0"}, "--seeds 0")
	refused(t, []string{"sim", "--seeds", "2", "--trace"}, "--trace")
	refused(t, []string{"sim", "--profile", "storm"}, "storm", "chaos")
	refused(t, []string{"sim", "--workers", "-1"}, "--workers -1")
	refused(t, []string{"sim", "--seed", "18446744073709551615", "--seeds", "2"}, "2^64-1")
	refused(t, []string{"sim", "--seed", "x"}, "--help")
	refused(t, []string{"sim", "7"}, "7")
	refused(t, []string{"sim", "--profile", "calm", "--json", filepath.Join(t.TempDir(), "no", "f.json")}, "--json")
}

// Seeds in parallel come out as one by one, and the outcome is in the file.
func TestSimReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.json")
	status, stdout, stderr := runProgram(t, "sim", "--seeds", "6", "--workers", "3", "--profile", "lossy", "--json", path)
	if status != 0 || !strings.Contains(stdout, "seeds:   1 to 6, profile lossy: 0 failed") || !strings.Contains(stdout, "frames dropped") {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	var together, alone simReport
	read := func(r *simReport) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, r); err != nil {
			t.Fatal(err)
		}
	}
	read(&together)
	if status, stdout, stderr := runProgram(t, "sim", "--seeds", "6", "--workers", "1", "--profile", "lossy", "--json", path); status != 0 {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	read(&alone)
	if together.Values != alone.Values || together.Messages != alone.Messages || together.VirtualS != alone.VirtualS || alone.Values == 0 {
		t.Errorf("3 at once: %+v; one by one: %+v", together, alone)
	}
}

// A trace has a line for everything, and the same one each time.
func TestSimTrace(t *testing.T) {
	args := []string{"sim", "--seed", "3", "--profile", "crash", "--trace"}
	trace := func() string {
		status, stdout, stderr := runProgram(t, args...)
		at := strings.Index(stdout, "\nspeed: ")
		if status != 0 || at < 0 {
			t.Fatalf("status %d: %s", status, stderr)
		}
		return stdout[:at]
	}
	first := trace()
	if first != trace() {
		t.Error("one seed, two traces")
	}
	for _, word := range []string{"starts, incarnation", "[prepare b=", "[accepted b=", "delivers position 0", "crashes", "the faults end"} {
		if !strings.Contains(first, word) {
			t.Errorf("%q is missing in the trace", word)
		}
	}
}

// A seed that failed is told with the way to see it again.
func TestSimTellsFailures(t *testing.T) {
	o := simFlags{seed: 1, seeds: 1}
	r := &simReport{Profile: "chaos", Seed: 1, faultPlace: map[string]int{}}
	run := failedRun()
	r.add(&run)
	var b strings.Builder
	tellFailed(&b, &run)
	o.tell(&b, r)
	for _, word := range []string{"seed 9 FAILED: order: text", "replay:  wirepaxos sim --profile chaos --seed 9 --trace", "crashes 2", "1 failed"} {
		if !strings.Contains(b.String(), word) {
			t.Errorf("%q is missing in %q", word, b.String())
		}
	}
}

// The slowest are told, in the same order whoever brought them.
func TestSimRanksSlowest(t *testing.T) {
	r := &simReport{faultPlace: map[string]int{}}
	for _, seed := range []uint64{4, 2, 9, 7, 1, 3, 8} {
		r.add(&sim.Result{Seed: seed, HealNs: int64(seed / 2), SettleNs: 5})
	}
	failed := failedRun()
	r.add(&failed)
	var order []uint64
	for i := range r.Slowest {
		order = append(order, r.Slowest[i].Seed)
	}
	if fmt.Sprint(order) != "[8 9 7 4 2]" {
		t.Errorf("the slowest are %v", order)
	}
}

func failedRun() sim.Result {
	return sim.Result{
		Seed: 9, Profile: "chaos", Violation: &check.Violation{Rule: "order", Text: "text"}, Faults: []sim.Count{{Name: "crashes", N: 2}},
	}
}
