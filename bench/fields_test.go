package bench

import (
	"reflect"
	"strings"
	"testing"
)

// TestEveryFieldIsKnown holds Fields against Config: what is added to one is added to the other, under its JSON name.
func TestEveryFieldIsKnown(t *testing.T) {
	c := Config{
		System: "wirepaxos", Transport: "afxdp", Mode: "copy", Link: "ethernet", Layout: "packed", Batch: "off", Multicast: "on", Together: "on", Idle: "spin", Storage: "memory", Acceptors: 3,
		Proposers: 1, Learners: 2, Groups: 4, Clients: 5, Outstanding: 6, ValueSize: 64, RatePerS: 1500, Arrivals: "poisson", WireHops: 2, Driver: "veth",
	}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		f := FieldOf(name)
		if f == nil {
			t.Errorf("Fields has no %s", name)
			continue
		}
		if got := f.Value(&c); got != v.Field(i).Interface() {
			t.Errorf("%s is %v, want %v", name, got, v.Field(i).Interface())
		}
		if _, number := f.Number(&c); number != (v.Field(i).Kind() != reflect.String) {
			t.Errorf("%s is taken for a number or a word: it is not", name)
		}
		if f.Title == "" || f.Phrase(&c) == "" || f.Phrase(&Config{}) != "" {
			t.Errorf("%s: title %q, phrase %q, of nothing %q", name, f.Title, f.Phrase(&c), f.Phrase(&Config{}))
		}
	}
	if len(Fields) != v.NumField() {
		t.Errorf("%d fields, Config has %d", len(Fields), v.NumField())
	}
	for name, want := range map[string]string{
		"clients": "5 clients", "proposers": "1 proposer", "value_size": "64-byte values", "batch": "batch off", "rate_per_s": "open loop, 1,500 values/s",
	} {
		if got := FieldOf(name).Phrase(&c); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if FieldOf("nothing") != nil {
		t.Error("a field that does not exist was found")
	}
}

func TestSoundRuns(t *testing.T) {
	p := Point{Series: "memory", Runs: []Run{{Round: 1}, {Round: 2, Problems: []string{"lost"}}, {Round: 3}}}
	q := p.Sound()
	if len(q.Runs) != 2 || q.Runs[0].Round != 1 || q.Runs[1].Round != 3 || q.Series != "memory" {
		t.Errorf("%+v, want rounds 1 and 3", q)
	}
	if len(p.Runs) != 3 {
		t.Error("the point itself was changed")
	}
}
