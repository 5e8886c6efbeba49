package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"net"

	"wirepaxos/tools/vmlab/script"
)

func TestSources(t *testing.T) {
	folder := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(folder, "sources.list.d"), 0o755))
	for name, text := range map[string]string{
		"sources.list": `# deb http://old.example/debian bookworm main
deb http://one.example/debian/ bookworm main contrib # the mirror
deb-src http://one.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://two.example/sub/debian bookworm-updates main
deb [signed-by=/x.gpg http://broken.example/debian bookworm main
deb https://other.example/apt stable main
`,
		"sources.list.d/debian.sources": `Types: deb deb-src
# a remark
URIs: http://three.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb-src
URIs: http://four.example/debian
Suites: trixie
Components: main

Enabled: no
Types: deb
URIs: http://five.example/debian
Suites: trixie
Components: main

Types: deb
URIs: http://six.example/debian-security
Suites: trixie-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
`,
		"sources.list.d/notes.txt": "deb http://seven.example/debian x main\n",
	} {
		must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	all, err := readSources(folder)
	must(err)
	want := []source{
		{"http://one.example/debian/", []string{"bookworm"}, []string{"main", "contrib"}, ""},
		{"https://two.example/sub/debian", []string{"bookworm-updates"}, []string{"main"}, "/usr/share/keyrings/x.gpg"},
		{"http://three.example/debian", []string{"trixie", "trixie-updates"}, []string{"main"}, "/usr/share/keyrings/debian.gpg"},
	}
	if got := debianOnly(all); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := want[2].line("trixie-backports"); got != "deb [signed-by=/usr/share/keyrings/debian.gpg] http://three.example/debian trixie-backports main\n" {
		t.Errorf("%q", got)
	}
	if all, err := readSources(t.TempDir()); err != nil || len(all) != 0 {
		t.Errorf("no sources at all: %v, %v", all, err)
	}
}

// What another program unpacks is what was put in.
func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := &archive{out: &b}
	a.folder("bin")
	a.file("bin/a", 0o755, []byte("12345"))
	a.file("empty", 0o644, nil)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	if b.Len()%4 != 0 || !strings.HasPrefix(b.String(), "070701") || strings.Count(b.String(), "TRAILER!!!") != 1 {
		t.Fatalf("%q", b.String())
	}
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("needs cpio, to unpack the archive")
	}
	folder := t.TempDir()
	cmd := exec.Command(cpio, "-id", "--quiet")
	cmd.Dir, cmd.Stdin = folder, &b
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "bin/a")); err != nil || string(text) != "12345" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(filepath.Join(folder, "bin/a")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}

// The wire gives a frame to the port that it is for, and one for nobody that it knows to all others; what a port does not take it drops and counts.
func TestWire(t *testing.T) {
	folder := t.TempDir()
	w, err := newWire(folder, []machineNIC{{"1", "02:00:00:00:00:01", plugWire, ""}, {"2", "02:00:00:00:00:02", plugWire, ""},
		{"3", "02:00:00:00:00:03", plugWire, ""}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	ends := make([]*net.UnixConn, 3)
	for i := range ends {
		name := &net.UnixAddr{Name: filepath.Join(folder, fmt.Sprintf("nic-%d", i+1)), Net: "unixgram"}
		if ends[i], err = net.ListenUnixgram("unixgram", name); err != nil {
			t.Fatal(err)
		}
		defer ends[i].Close()
	}
	send := func(from, to byte, text string) {
		t.Helper()
		frame := append([]byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 0x88, 0xb5}, text...)
		if _, err := ends[from-1].WriteToUnix(frame, &net.UnixAddr{Name: filepath.Join(folder, fmt.Sprintf("wire-%d", from)), Net: "unixgram"}); err != nil {
			t.Fatal(err)
		}
	}
	hears := func(who int, text string) {
		t.Helper()
		buffer := make([]byte, wireFrame)
		_ = ends[who-1].SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := ends[who-1].Read(buffer)
		if err != nil || !strings.HasSuffix(string(buffer[:n]), text) {
			t.Fatalf("%d hears %q, %v; want %q", who, buffer[:n], err, text)
		}
	}
	send(1, 2, "to two")
	send(1, 9, "to all")
	hears(2, "to two")
	hears(2, "to all")
	hears(3, "to all")
	for i := range uint64(wireQueue + 200) { // three does not read
		send(2, 3, fmt.Sprint(i))
	}
	if in, _ := w.carried(); in > wireQueue+202 {
		t.Errorf("%d frames came in", in)
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if in, dropped := w.carried(); in == wireQueue+202 && dropped > 0 {
			break
		} else if time.Since(start) > 10*time.Second {
			t.Fatalf("%d came in, %d were dropped", in, dropped)
		}
	}
	send(1, 2, "still there")
	hears(2, "still there")
}

func TestEventsCrossTheConsole(t *testing.T) {
	e := script.Event{Event: script.End, Step: "x", Text: "a \"b\"\nc", TookS: 1.5, Shown: "{}\n", Status: -1}
	line := "[ 1.0] kernel words" + strings.TrimSuffix(e.Line(), "\n")
	if strings.Contains(line, "\n") {
		t.Fatalf("%q is more than a line", line)
	}
	if got, ok := script.Parse(line); !ok || got != e {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := script.Parse("vmlab {}"); ok {
		t.Error("a line without the mark is no event")
	}
}

// talk lets a report hear the console of a guest that does each step with an outcome.
func talk(steps []script.Step, outcome func(name string) (lines []string, end script.Event)) (*report, string) {
	var told strings.Builder
	r := newReport(func(format string, args ...any) { fmt.Fprintf(&told, format+"\n", args...) }, steps, false)
	r.heard(script.Event{Event: script.Up, Text: "7.3"})
	for _, s := range steps {
		r.heard(script.Event{Event: script.Begin, Step: s.Name})
		lines, end := outcome(s.Name)
		for _, line := range lines {
			r.output(line)
		}
		end.Event, end.Step = script.End, s.Name
		r.heard(end)
	}
	r.heard(script.Event{Event: script.Down})
	if err := r.close(nil, 1); err != nil {
		fmt.Fprintf(&told, "error: %v\n", err)
	}
	return r, told.String()
}

func TestReport(t *testing.T) {
	good := func(name string) ([]string, script.Event) {
		switch {
		case name == "rate":
			return []string{"figure frames/s copy 100", "figure frames/s zerocopy 500", "figure frames/s copy 300", "figure frames/s zerocopy 900"}, script.Event{}
		case strings.HasPrefix(name, "cluster"):
			return nil, script.Event{Shown: `{"mode":"` + modeOf(name) + `","values_per_s":1234,"latency_us":{"p50":55,"p99":77},"problems":[]}`}
		}
		return []string{"PASS"}, script.Event{}
	}
	steps := allSteps()
	_, told := talk(steps, good)
	for _, want := range []string{"200 (100 to 300) ", "700 (500 to 900), 3.5 times", "commit µs, 1 outstanding ", "55 (55 to 55), 99 %: 77, 1234/s", "0 failed"} {
		if !strings.Contains(told, want) {
			t.Errorf("it does not say %q:\n%s", want, told)
		}
	}
	if strings.Contains(told, "error") || strings.Contains(told, "FAIL") {
		t.Errorf("all is well:\n%s", told)
	}
	for _, bad := range []struct {
		step  string
		lines []string
		end   script.Event
		says  string
	}{
		{"echo", []string{"frame 7 is missing"}, script.Event{Text: "exit status 1", Status: 1}, "frame 7 is missing"},
		{"echo", []string{"--- SKIP: TestEcho (0.00s)"}, script.Event{}, "FAIL  echo: 20,000"},
		{"cluster-zerocopy-1-a", nil, script.Event{Shown: `{"mode":"copy"}`}, `mode "copy", not "zerocopy"`},
		{"cluster-zerocopy-1-a", nil, script.Event{Shown: `{"mode":"zerocopy","problems":["a value was lost"]}`}, "a value was lost"},
		{"cluster-zerocopy-1-a", nil, script.Event{Shown: `{`}, "its result"},
	} {
		r, told := talk(steps, func(name string) ([]string, script.Event) {
			if name == bad.step {
				return bad.lines, bad.end
			}
			return good(name)
		})
		if !strings.Contains(told, bad.says) || !strings.Contains(told, "error: not everything") || !slices.Equal(r.failed, []string{bad.step}) {
			t.Errorf("%+v: failed %v:\n%s", bad, r.failed, told)
		}
	}
	r := newReport(func(string, ...any) {}, steps, false)
	if err := r.close(nil, 1); !errors.Is(err, errFailed) {
		t.Errorf("a guest that did no step: %v", err)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, o := range []options{{accel: "xen", steps: "."}, {accel: "tcg", steps: "("}, {accel: "tcg", steps: "nothing"}} {
		if err := check(t.Context(), &o, &bytes.Buffer{}); err == nil || errors.Is(err, errMissing) || errors.Is(err, errFailed) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	o := options{accel: "auto", steps: "^(echo|rate)$"}
	if steps, err := o.chosen(); err != nil || len(steps) != 2 {
		t.Errorf("%v, %v", steps, err)
	}
}

// A machine without apt has no packages to make a virtual machine of, and is told so.
func TestNoAptIsASkip(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("WIREPAXOS_CACHE", t.TempDir())
	var told bytes.Buffer
	if err := check(t.Context(), &options{accel: "tcg", steps: ".", suite: "x", timeout: time.Minute, fetch: time.Minute}, &told); !errors.Is(err, errMissing) {
		t.Errorf("%v\n%s", err, told.String())
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("WIREPAXOS_CACHE"), "vmlab-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
