package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFailoversInTheReport(t *testing.T) {
	r := sampleReport(t)
	r.HeartbeatMs, r.LeaderTimeoutMs, r.ClientRetryMs = 1, 20, 10
	var list []Failover
	for i := range 30 {
		list = append(list, Failover{How: "killed", Node: 4, Next: 5, LeadsMs: 0.5, ValueMs: float64(30 - i), OutageMs: 300})
	}
	list = append(list, Failover{How: "paused", Node: 5, Next: 4, LeadsMs: 8, ValueMs: 90.5, OutageMs: 91})
	r.TakeFailovers(list, 30)
	dir := t.TempDir()
	if err := r.WriteJSON(filepath.Join(dir, "r.json")); err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	text, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{"kills": 30.0, "pauses": 1.0, "restarts": 30.0, "leader_timeout_ms": 20.0} {
		if whole[field] != want {
			t.Errorf("%s is %v, want %v", field, whole[field], want)
		}
	}
	for name, times := range map[string]FailoverTimes{
		"failover_ms": {Min: 1, Median: 16, P90: 28, Max: 90.5}, // of 1, 2, … 30, 90.5
		"leads_ms":    {Min: 0.5, Median: 0.5, P90: 0.5, Max: 8},
		"outage_ms":   {Min: 91, Median: 300, P90: 300, Max: 300},
	} {
		short, _ := whole[name].(map[string]any)
		for field, want := range map[string]float64{"min": times.Min, "median": times.Median, "p90": times.P90, "max": times.Max} {
			if short[field] != want {
				t.Errorf("%s.%s is %v, want %v", name, field, short[field], want)
			}
		}
	}
	if all, _ := whole["failovers"].([]any); len(all) != 31 {
		t.Errorf("failovers has %d entries", len(all))
	}
	var b strings.Builder
	if err := r.FailoverText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"30 killed with -9, 1 paused, 30 restarts", "leader timeout 20 ms", "next delivered value         1.00      16.00      28.00      90.50",
		"to the next delivered value, from"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
	if err := r.WriteFailoverHgrm(filepath.Join(dir, "o.hgrm")); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(filepath.Join(dir, "o.hgrm")); err != nil || !strings.Contains(string(text), "         31 ") {
		t.Errorf("the histogram: %v\n%s", err, text)
	}
}

// A run without kills says nothing of them, but for empty fields.
func TestNoFailovers(t *testing.T) {
	r := sampleReport(t)
	r.TakeFailovers(nil, 0)
	var b strings.Builder
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "failover") || r.FailoverMs != (FailoverTimes{}) {
		t.Errorf("%+v in:\n%s", r.FailoverMs, b.String())
	}
}

// What a client that was killed delivered after it was asked is not held against anybody; what it was told before is.
func TestCheckOfAKilledClient(t *testing.T) {
	acks, tallies, ends := goodRun()
	acks[0].Submitted--
	acks[0].Above = nil
	if v := Check(acks, tallies, ends); v.OK() {
		t.Error("a value that was never submitted was not found")
	}
	acks[0].Killed = true
	if v := Check(acks, tallies, ends); !v.OK() {
		t.Errorf("%v", v.String())
	}
	acks[0].Below += 1 << 10
	if v := Check(acks, tallies, ends); v.OK() || v.Lost == 0 {
		t.Errorf("what it was told and nobody delivered was not found: %v", v.String())
	}
}
