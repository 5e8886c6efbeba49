package bench

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7, 1}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9, 3}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4, 4}},
	} {
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("spread of %v: %+v, want %+v", c.figures, got, c.want)
		}
	}
}

func TestSuiteThroughFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "suite.json")
	s := &Suite{
		Schema: SuiteSchema, Command: "wirepaxos bench latency", Began: time.Unix(1, 0).UTC(),
		Scenarios: []Scenario{{Name: "latency", X: "outstanding", Points: []Point{{Series: "memory", Runs: []Run{{ValuesPerS: 3}, {ValuesPerS: 1}}}}}},
	}
	if err := s.WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	back, err := ReadSuite(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, back) {
		t.Errorf("read %+v, want %+v", back, s)
	}
	if got := back.Scenarios[0].Points[0].Over(func(r *Run) float64 { return r.ValuesPerS }); got.Median != 2 {
		t.Errorf("median %v, want 2", got.Median)
	}
}

// A suite that was packed is read as it was; one that only seems so is refused.
func TestPackedSuite(t *testing.T) {
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "suite.json"), filepath.Join(dir, "suite.json.gz")
	if err := (&Suite{Schema: SuiteSchema, Command: "wirepaxos bench all"}).WriteJSON(plain); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		text []byte
		want string // of the error
	}{"packed": {b.Bytes(), ""}, "plain": {text, "not packed by gzip"}, "cut off": {b.Bytes()[:b.Len()-9], "unexpected EOF"}} {
		if err := os.WriteFile(packed, c.text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSuite(packed)
		switch {
		case c.want == "" && (err != nil || s.Command != "wirepaxos bench all"):
			t.Errorf("%s: %+v, %v", what, s, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func TestSuiteOfAnotherForm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "suite.json")
	for text, want := range map[string]string{"[": "is not what", `{"schema": 99}`: "schema 99"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSuite(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
