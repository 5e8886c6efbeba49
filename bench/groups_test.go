package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/paxos"
)

// endOf is the end of a group whose client delivered so many values in a second, all alike late.
func endOf(t *testing.T, group uint16, client, values uint64, latencyNs int64) GroupEnd {
	t.Helper()
	h := newHistogram()
	for range values {
		if err := h.RecordValue(latencyNs); err != nil {
			t.Fatal(err)
		}
	}
	text, err := encode(h)
	if err != nil {
		t.Fatal(err)
	}
	result := ClientResult{
		Node: 4, Clients: 1, Size: 64, Outstanding: 2, DurationNs: 1e9, Values: values, HistogramV2: text, Retries: 1,
		Acknowledged: []SessionAcks{{Client: client, First: 1, Submitted: values, Below: values + 1}},
	}
	merged, err := Merge([]ClientResult{result})
	if err != nil {
		t.Fatal(err)
	}
	tally := TallyReport{NextPosition: values, Clients: []TallyClient{{Client: client, First: 1, Below: values + 1}}}
	learners := []LearnerEnd{{ID: 3, Delivered: values, Hash: Hash(client), Watermark: values}}
	r := &Report{Transport: "mem", Instances: values, FramesPerValue: 2, Drops: 1, Syscalls: 10, Cores: []CoreUse{{Core: int(group), Runs: "all"}},
		Sockets: []SocketUse{{Nodes: []uint16{3}, Transport: "mem"}}}
	r.TakeClients(&merged)
	tallies := map[paxos.NodeID]TallyReport{3: tally}
	v := Check(merged.Acknowledged, tallies, learners)
	r.TakeVerdict(&v, learners)
	return GroupEnd{Group: group, Report: r, Results: []ClientResult{result}, Tallies: tallies}
}

// The report of several groups has their sums, their latencies together, and each one's own.
func TestJoinGroups(t *testing.T) {
	ends := []GroupEnd{endOf(t, 1, 77, 300, 1000), endOf(t, 5, 88, 100, 9000)}
	r, err := JoinGroups(ends)
	if err != nil {
		t.Fatal(err)
	}
	if r.Values != 400 || r.ValuesPerS != 400 || r.Instances != 400 || r.FramesPerValue != 2 || r.Drops != 2 || r.Syscalls != 20 || r.Retries != 2 || r.Clients != 2 {
		t.Errorf("sums: %+v", r)
	}
	if r.LatencyUs.P50 > 1.1 || r.LatencyUs.P90 < 8.9 || !r.Equal || len(r.Problems) != 0 {
		t.Errorf("latencies %+v, equal %v, problems %v", r.LatencyUs, r.Equal, r.Problems)
	}
	if len(r.Groups) != 2 || r.Groups[1].Group != 5 || r.Groups[1].Values != 100 || r.learners() != 1 || r.Learners[1].Group != 5 || r.Cores[1].Group != 5 || r.Sockets[0].Group != 1 {
		t.Errorf("groups: %+v", r)
	}
	var b bytes.Buffer
	if err := r.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"in each of 2 groups", "group 5               100   values/s, p50 9.0", "core 5: group 5: all", "queue 0: group 1: mem"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	path := filepath.Join(t.TempDir(), "r.json")
	if err := r.WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw struct{ Groups []map[string]any }
	if err := json.Unmarshal(text, &raw); err != nil || len(raw.Groups) != 2 || raw.Groups[0]["failovers"] == nil || raw.Groups[0]["group"] != 1.0 {
		t.Errorf("%v: %s", err, text)
	}
	one := &ends[0].Report
	if (*one).Problems == nil {
		t.Error("the group's own report has no list of problems")
	}
}

// What is wrong in one group is wrong in all, and values of one that another delivered are seen, though that one holds by itself.
func TestJoinGroupsThatMixed(t *testing.T) {
	a, b := endOf(t, 1, 77, 300, 1000), endOf(t, 2, 88, 100, 9000)
	tally := b.Tallies[3]
	tally.Clients = append(tally.Clients, TallyClient{Client: 77, First: 1, Below: 2})
	b.Tallies[3] = tally
	r, err := JoinGroups([]GroupEnd{a, b})
	if err != nil {
		t.Fatal(err)
	}
	const want = "group 2: learner 3 delivered values of client 000000000000004d, which submitted them to group 1"
	if len(r.Problems) != 1 || r.Problems[0] != want || len(r.Groups[0].Problems) != 0 || len(r.Groups[1].Problems) != 1 {
		t.Errorf("problems %q, of the groups %q and %q", r.Problems, r.Groups[0].Problems, r.Groups[1].Problems)
	}
	run, err := r.Run(1)
	if err != nil || len(run.Problems) != 1 {
		t.Errorf("%v, %q", err, run.Problems)
	}
}

// A line a second of several loads has their values, and the latencies of all.
func TestJoinIntervals(t *testing.T) {
	var parts []*Progress
	var each []Interval
	for range 2 {
		r := newRig(t, LoadConfig{Sessions: 1, Outstanding: 1, Size: 64})
		p := NewProgress(r.load, r.now)
		r.finishOne()
		i, err := p.Next(r.now, func(fn func()) error { fn(); return nil })
		if err != nil {
			t.Fatal(err)
		}
		parts, each = append(parts, p), append(each, i)
	}
	if one := JoinIntervals(parts[:1], each[:1]); one != each[0] {
		t.Errorf("one load: %+v, want %+v", one, each[0])
	}
	if both := JoinIntervals(parts, each); both.Values != 2 || both.ValuesPerS != 2*each[0].ValuesPerS || both.Latency != each[0].Latency || both.Total != 2 {
		t.Errorf("two loads: %+v; one: %+v", both, each[0])
	}
}
