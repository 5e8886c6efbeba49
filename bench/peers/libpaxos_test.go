package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/bench"
)

// fakes stand in for libpaxos' programs: what is tested is how they are run and understood, not they.
var fakes = map[string]string{
	"acceptor": "exec sleep 60",
	"proposer": "exec sleep 60",
	"learner":  "exec sleep 60",
	"client": `[ "$1" = --help ] && { echo "  -p, --proposer-id #"; exit 1; }
grep -q '^acceptor 2 127.0.0.1 [0-9]*$' "$1" && grep -q '^proposer 0 127.0.0.1 [0-9]*$' "$1" || exit 3
[ "$2 $3 $4 $5" = "-o 64 -v 100" ] || exit 4
trap 'echo "1000 value/sec, 1.00 Mbps, latency min 5 us max 9 us avg 6 us"
echo "2000 value/sec, 1.00 Mbps, latency min 4 us max 50 us avg 9 us"
echo "1000 value/sec, 1.00 Mbps, latency min 7 us max 20 us avg 13 us"; exit 0' INT
while :; do sleep 0.05; done`,
}

func TestLibpaxos(t *testing.T) {
	dir := t.TempDir()
	for name, script := range fakes {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	var out, complaints bytes.Buffer
	if status := run([]string{"libpaxos", "--outstanding", "64", "--size", "100", "--warmup", "200ms", "--duration", "1s"}, nil, &out, &complaints); status != 0 {
		t.Fatalf("exit status %d: %s", status, complaints.String())
	}
	var p bench.Point
	if err := json.Unmarshal(out.Bytes(), &p); err != nil || len(p.Runs) != 1 {
		t.Fatalf("%v\n%s", err, out.String())
	}
	r := &p.Runs[0]
	if r.Values != 3000 || r.ValuesPerS != 1500 || r.LatencyUs.Min != 4 || r.LatencyUs.Max != 50 || r.LatencyUs.P50 != 0 || r.Costs.CPUS != -1 {
		t.Errorf("%+v", r)
	}
	if want := (2000*9.0 + 1000*13) / 3000; r.LatencyUs.Mean != want {
		t.Errorf("mean %v, want %v", r.LatencyUs.Mean, want)
	}
}

// Programs of that name that are not libpaxos' are left alone.
func TestLibpaxosOfAnotherName(t *testing.T) {
	dir := t.TempDir()
	for name := range fakes {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho hello\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if got := libpaxosMissing(); !strings.Contains(got, "not libpaxos' sample") {
		t.Errorf("%q", got)
	}
}

func TestLibpaxosTellsTooLittle(t *testing.T) {
	for _, text := range []string{"", "Connected to proposer\n", "1000 value/sec, 1.00 Mbps, latency min 5 us max 9 us avg 6 us\n"} {
		if _, err := parseLibpaxos(text, 1); err == nil {
			t.Errorf("%q is taken for a measurement", text)
		}
	}
}
