package nictest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"wirepaxos/dataplane/afxdp"
)

// program runs wirepaxos and gives what it said and its exit status; or it skips.
func program(t *testing.T, args ...string) (said string, status int) {
	t.Helper()
	name := os.Getenv("WIREPAXOS_PROGRAM")
	if name == "" {
		t.Skip("needs bin/wirepaxos, named in WIREPAXOS_PROGRAM: `make zerocopy` has it in a virtual machine")
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	t.Logf("wirepaxos %s\n%s", strings.Join(args, " "), out)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	must(t, err)
	return string(out), 0
}

// succeed is program with the exit status 0 and, in what it said, each of the texts.
func succeed(t *testing.T, texts []string, args ...string) string {
	t.Helper()
	said, status := program(t, args...)
	if status != 0 {
		t.Errorf("wirepaxos %s: exit status %d", strings.Join(args, " "), status)
	}
	expect(t, said, texts...)
	return said
}

func expect(t *testing.T, said string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("it does not say %q:\n%s", text, said)
		}
	}
}

// On a machine that is set up as the documents say, doctor has little to mend: cores are isolated, hugepages reserved, the NIC's driver has zero-copy, and as a
// module a fault, which it tells of, as of what is not there.
func TestDoctor(t *testing.T) {
	na, nb := pair(t)
	said := succeed(t, nil, "doctor", "--json", "--interface", nb.name)
	var page struct {
		Red   int `json:"red"`
		Lines []struct{ Grade, What, Text string }
	}
	must(t, json.Unmarshal([]byte(said), &page))
	if page.Red != 0 {
		t.Errorf("%d lines are red", page.Red)
	}
	for what, want := range map[string][2]string{"hugepages": {"green", "reserved: 64 of 2 MiB"}, nb.name + " mode": {"yellow", "wrong address"},
		nb.name + " link": {"green", "up"}, "kernel": {"green", ""}, "AF_XDP socket": {"green", "works"}, "XDP program": {"green", "works"}} {
		i := slices.IndexFunc(page.Lines, func(l struct{ Grade, What, Text string }) bool { return l.What == what })
		switch {
		case i < 0:
			t.Errorf("no line about %s", what)
		case page.Lines[i].Grade != want[0] || !strings.Contains(page.Lines[i].Text, want[1]):
			t.Errorf("%s: %+v, want %q", what, page.Lines[i], want)
		}
	}
	succeed(t, []string{"isolated cores", "0 red"}, "doctor")
	succeed(t, []string{nb.name + " queue", "0 red"}, "doctor", "--config", "/etc/cluster.toml", "--id", "4,5")
	for without, missing := range plain(t) {
		said, _ := program(t, "doctor", "--interface", without.name)
		expect(t, said, missing...)
	}
	if said, status := program(t, "doctor", "--interface", na.name+"x"); status != 1 || !strings.Contains(said, "red ") {
		t.Errorf("an interface that does not exist: exit status %d\n%s", status, said)
	}
}

// listed is what a test looks at of `nic list --json`.
type listed struct {
	Name   string
	Driver string
	Queues struct {
		Combined int `json:"combined"`
	}
	XDP struct {
		Native   bool `json:"native"`
		ZeroCopy bool `json:"zero_copy"`
	}
	Program *struct {
		Ours   bool `json:"ours"`
		Native bool `json:"native"`
	}
	Holders []struct {
		Queue     int
		Processes []struct{ PID int }
	}
	Changed int
}

func list(t *testing.T, name string) listed {
	t.Helper()
	var all []listed
	must(t, json.Unmarshal([]byte(succeed(t, nil, "nic", "list", "--json", name)), &all))
	if len(all) != 1 || all[0].Name != name {
		t.Fatalf("nic list --json %s: %+v", name, all)
	}
	return all[0]
}

// The list has what the kernel reports of a NIC with zero-copy, our program, and this process as the one that holds the queue.
func TestNICList(t *testing.T) {
	na, nb := pair(t)
	c, _ := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	open(t, c)
	l := list(t, na.name)
	if l.Driver != "virtio_net" || l.Queues.Combined != 1 || !l.XDP.Native || !l.XDP.ZeroCopy || l.Program == nil || !l.Program.Ours || !l.Program.Native {
		t.Errorf("%+v", l)
	}
	if len(l.Holders) != 1 || l.Holders[0].Queue != 0 || len(l.Holders[0].Processes) != 1 || l.Holders[0].Processes[0].PID != os.Getpid() {
		t.Errorf("holders %+v, want this process, %d, on queue 0", l.Holders, os.Getpid())
	}
	if l := list(t, nb.name); l.Program != nil || len(l.Holders) > 0 {
		t.Errorf("nobody uses this one: %+v", l)
	}
}

// Settings that the driver has are changed, the others are skipped and named, and restore puts all back: also the rings, which were changed while a
// zero-copy socket was open on the other end. What the driver cannot steer it says, with what to do.
func TestNICTune(t *testing.T) {
	na, nb := pair(t)
	a, b := na.name, nb.name
	succeed(t, []string{a + ": ring/rx: 256 -> 128", a + ": napi_defer_hard_irqs: 0 -> 2", a + ": gro_flush_timeout: 0 -> 200000",
		a + ": coalesce/rx-usecs is skipped: the driver refuses it"},
		"nic", "tune", a, "--busy-poll", "--coalesce-usecs", "8", "--rx-ring", "128", "--tx-ring", "128")
	if l := list(t, a); l.Changed == 0 {
		t.Errorf("changed, and not told: %+v", l)
	}
	ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	pa, pb := open(t, ca), open(t, cb)
	exchange(t, pa, pb) // a ring of another size carries frames
	must(t, pa.Close())
	must(t, pb.Close())
	succeed(t, []string{a + ": ring/rx: 128 -> 256", a + ": napi_defer_hard_irqs: 2 -> 0"}, "nic", "restore", a)
	if l := list(t, a); l.Changed != 0 {
		t.Errorf("not all was put back: %+v", l)
	}
	succeed(t, []string{"no setting was changed"}, "nic", "restore", a)
	for _, args := range [][]string{{"--ethertype", "0x88B5", "--queue", "0"}, {"--udp-port", "7000", "--queue", "0"}} {
		if said, status := program(t, append([]string{"nic", "steer", b}, args...)...); status != 2 || !strings.Contains(said, "its driver has no") {
			t.Errorf("virtio_net steers nothing: exit status %d\n%s", status, said)
		}
	}
}

// The number of queues can be lowered and comes back; while a queue is held the driver refuses, and nothing has changed.
func TestNICQueues(t *testing.T) {
	na, nb := pair(t)
	a := na.name
	succeed(t, []string{a + ": queues: rx 0 tx 0 combined 2 -> rx 0 tx 0 combined 1"}, "nic", "tune", a, "--queues", "1")
	if l := list(t, a); l.Queues.Combined != 1 {
		t.Errorf("%+v", l)
	}
	c, _ := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	c.Queue = 1
	if p, err := afxdp.Open(c); !errors.Is(err, afxdp.ErrNoQueue) {
		if err == nil {
			must(t, p.Close())
		}
		t.Errorf("queue 1 of 1: %v", err)
	}
	succeed(t, []string{"combined 1 -> rx 0 tx 0 combined 2"}, "nic", "restore", a)
	open(t, c)
	said, _ := program(t, "nic", "tune", a, "--queues", "1")
	expect(t, said, a+": queues stays rx 0 tx 0 combined 2")
	if l := list(t, a); l.Queues.Combined != 2 {
		t.Errorf("a queue that is held was taken away: %+v", l)
	}
	program(t, "nic", "restore", a)
}
