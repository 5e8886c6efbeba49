package bench

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func mustMerge(t *testing.T, results ...ClientResult) Merged {
	t.Helper()
	m, err := Merge(results)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMergeJoinsClients(t *testing.T) {
	var results []ClientResult
	for _, values := range []uint64{100, 300} {
		r := newRig(t, LoadConfig{Sessions: 2, Outstanding: 5, Size: 64, Values: values})
		r.finish(1000)
		text, err := json.Marshal(r.result()) // as it comes from another process
		if err != nil {
			t.Fatal(err)
		}
		var back ClientResult
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if want := r.result(); !reflect.DeepEqual(back, want) {
			t.Fatalf("through JSON %+v, want %+v", back, want)
		}
		results = append(results, back)
	}
	m := mustMerge(t, results...)
	if m.Values != 400 || m.Clients != 4 || m.Outstanding != 5 || m.Size != 64 || m.Bytes != 400*64 || len(m.Acknowledged) != 4 {
		t.Errorf("merged %+v", m)
	}
	if m.DurationNs != 30*rigCycle || m.Measured.TotalCount() != 400 {
		t.Errorf("%d ns, %d latencies, want the longer duration and all", m.DurationNs, m.Measured.TotalCount())
	}
	if m.IntervalNs != rigCycle { // ten places, ten answers a cycle
		t.Errorf("expected interval %d ns, want %d", m.IntervalNs, rigCycle)
	}
	results[1].Size = 65
	if m := mustMerge(t, results...); m.Size != 0 || m.Bytes != 100*64+300*65 {
		t.Errorf("clients of two sizes: size %d, %d bytes", m.Size, m.Bytes)
	}
}

func TestMergeOfNothing(t *testing.T) {
	m := mustMerge(t)
	if m.Measured.TotalCount() != 0 || latencyOf(m.Measured) != (Latency{}) {
		t.Errorf("merged %+v", m)
	}
	r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 1, Size: 1})
	if m := mustMerge(t, r.result()); m.Values != 0 || m.IntervalNs != 0 {
		t.Errorf("of a client that never began: %+v", m)
	}
}

func TestMergeRefusesGarbage(t *testing.T) {
	for _, text := range []string{"", "x", "HISTFAAAAA==", strings.Repeat("A", 100)} {
		if _, err := Merge([]ClientResult{{Node: 7, HistogramV2: text}}); err == nil || !strings.Contains(err.Error(), "node 7") {
			t.Errorf("histogram %q: error %v", text, err)
		}
	}
}
