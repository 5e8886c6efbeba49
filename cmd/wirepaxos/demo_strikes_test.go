package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wirepaxos/bench"
)

// readReport reads what a command wrote with --json.
func readReport(t *testing.T, path string) (r bench.Report) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// kept checks that nothing was lost, doubled or reordered, and that each death of a leader is told.
func kept(t *testing.T, r *bench.Report, stdout string) {
	t.Helper()
	if r.Lost != 0 || r.Duplicated != 0 || r.Reordered != 0 || !r.Equal || len(r.Problems) > 0 || r.Values == 0 || r.Unanswered > 0 {
		t.Errorf("lost %d, doubled %d, reordered %d, equal %v, %d values, %d unanswered: %v", r.Lost, r.Duplicated, r.Reordered, r.Equal, r.Values,
			r.Unanswered, r.Problems)
	}
	if r.Restarts != r.Kills || len(r.Failovers) != r.Kills+r.Pauses {
		t.Errorf("%d kills, %d pauses, %d restarts, %d failovers", r.Kills, r.Pauses, r.Restarts, len(r.Failovers))
	}
	for i := range r.Failovers {
		e := &r.Failovers[i]
		if !strings.Contains(stdout, sentence(e)) {
			t.Errorf("%q is missing in:\n%s", sentence(e), stdout)
		}
		if e.How == "killed" && (e.Node == e.Next || e.Ballot == e.NextBy || e.LeadsMs <= 0 || e.ValueMs < e.LeadsMs || e.ValueMs < e.FirstMs) {
			t.Errorf("a failover: %+v", e)
		}
	}
	if f := &r.FailoverMs; f.Min > f.Median || f.Median > f.P90 || f.P90 > f.Max || f.Max <= 0 {
		t.Errorf("outages in short: %+v", f)
	}
}

// The demo kills and pauses leaders under load, and nothing is lost by it.
func TestDemoTakesLeadersAway(t *testing.T) {
	for _, flags := range []string{
		"--kill-leader-every 1s --drop 0.05 --learners 2 --leader-timeout 30ms",
		"--kill-leader-every 1s --transport udp --layout process-per-role --outstanding 32",
		"--kill-leader-every 1200ms --pause-leader-every 1s --link udp4",
	} {
		t.Run(strings.ReplaceAll(flags, " ", ""), func(t *testing.T) {
			needLab(t)
			out := filepath.Join(t.TempDir(), "r.json")
			args := strings.Fields("demo --proposers 3 --warmup 100ms --duration 3500ms --json " + out + " " + flags)
			status, stdout, stderr := runProgram(t, args...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			r := readReport(t, out)
			kept(t, &r, stdout)
			if r.Kills == 0 || strings.Contains(flags, "--pause") && r.Pauses == 0 {
				t.Errorf("%d kills, %d pauses", r.Kills, r.Pauses)
			}
			if want := or(map[bool]string{true: layoutProcessPerRole}[strings.Contains(flags, layoutProcessPerRole)], layoutProposersApart); r.Layout != want {
				t.Errorf("layout %s, want %s", r.Layout, want)
			}
		})
	}
}

// The bench kills as often as it is told, and ends with the histogram.
func TestBenchFailover(t *testing.T) {
	for _, transport := range transports {
		t.Run(string(transport), func(t *testing.T) {
			needLab(t)
			out := t.TempDir()
			const kills = 3
			status, stdout, stderr := runProgram(t, "bench", "failover", "--kills", "3", "--leader-timeout", "20ms", "--heartbeat", "2ms", "--transport", string(transport),
				"--json", filepath.Join(out, "r.json"), "--hgrm", filepath.Join(out, "r.hgrm"))
			if status != 0 || stderr != "" {
				t.Fatalf("status %d\n%s\n%s", status, stdout, stderr)
			}
			r := readReport(t, filepath.Join(out, "r.json"))
			kept(t, &r, stdout)
			if r.Kills != kills || r.Layout != layoutProposersApart || r.LeaderTimeoutMs != 20 || r.HeartbeatMs != 2 || r.Idle == "" {
				t.Errorf("%d kills, layout %s, leader timeout %v ms, idle %q", r.Kills, r.Layout, r.LeaderTimeoutMs, r.Idle)
			}
			for _, want := range []string{"3 killed with -9, 0 paused, 3 restarts", "to the next delivered value, from", "another proposer leads", "nothing lost, doubled or reordered"} {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is missing in:\n%s", want, stdout)
				}
			}
			if b, err := os.ReadFile(filepath.Join(out, "r.hgrm")); err != nil || !strings.Contains(string(b), "TotalCount") {
				t.Errorf("no histogram: %v %q", err, b)
			}
		})
	}
}

// Ctrl-C while a leader is dead or alive ends with status 1 and leaves nothing.
func TestBenchFailoverInterrupted(t *testing.T) {
	needLab(t)
	for _, after := range []string{"the leader is killed", "   1 of 1000"} {
		p := begin(t, "bench", "failover", "--kills", "1000")
		p.shows(after)
		p.signal(syscall.SIGINT)
		if status := p.status(); status != 1 && status != 2 {
			t.Errorf("status %d:\n%s", status, p.stderr.String())
		}
		p.leavesNothing()
	}
}
