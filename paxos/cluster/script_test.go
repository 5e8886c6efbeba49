package cluster

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestTOML runs testdata/toml: the line that every fault of a cluster.toml gives.
func TestTOML(t *testing.T) {
	runEdited(t, "testdata/toml", func(t *testing.T, text string) string { return outcome(t, "cluster.toml", text) })
}

// runEdited runs a script whose commands are "base", a whole file, and "with", replacements in it; say is what comes out for the text.
func runEdited(t *testing.T, script string, say func(t *testing.T, text string) string) {
	t.Helper()
	var base string
	datadriven.RunTest(t, script, func(t *testing.T, d *datadriven.TestData) string {
		text := d.Input
		switch d.Cmd {
		case "base":
			base = text
		case "with":
			text = edited(t, d, base)
		default:
			d.Fatalf(t, "no command %q", d.Cmd)
		}
		return say(t, text)
	})
}

// edited is base with the replacements that the input names.
func edited(t *testing.T, d *datadriven.TestData, base string) string {
	t.Helper()
	for line := range strings.Lines(d.Input) {
		old, with, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " =>")
		old, with = strings.ReplaceAll(old, "|", "\n"), strings.ReplaceAll(strings.TrimPrefix(with, " "), "|", "\n")
		if !ok || strings.Count(base, old) != 1 {
			d.Fatalf(t, "%q is in the base %d times, not once", old, strings.Count(base, old))
		}
		base = strings.Replace(base, old, with, 1)
	}
	return base
}

// outcome parses text and checks what holds for every outcome: one line, with the place; or a file that survives Encode.
func outcome(t *testing.T, name, text string) string {
	t.Helper()
	f, warnings, err := Parse(name, []byte(text))
	if err != nil {
		if f != nil || !strings.HasPrefix(err.Error(), name+":") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: a file beside the error, no line number, or more than one line", err)
		}
		return err.Error() + "\n"
	}
	roundTrip(t, f)
	if name == "cluster.toml" {
		return "ok\n"
	}
	var b strings.Builder
	for _, w := range warnings {
		fmt.Fprintln(&b, "warning:", w)
	}
	fmt.Fprintf(&b, "cluster 0x%016x %s retry %s verbosity %q\n", f.Cluster, f.Transport, f.Timing.Retry, f.Verbosity)
	for _, n := range f.Nodes {
		conf, _ := f.confNameOf(n)
		fmt.Fprintf(&b, "%s %d -> node %d %s %s %s\n", conf.roles, conf.number, n.ID, strings.Join(n.Roles.Names(), "+"), n.MAC, n.IP)
	}
	return b.String()
}

// roundTrip checks that what Encode writes is read back as the same configuration.
func roundTrip(t *testing.T, f *File) {
	t.Helper()
	text := f.Encode()
	again, _, err := Parse("cluster.toml", text)
	if err != nil {
		t.Fatalf("what Encode wrote is refused: %v\n%s", err, text)
	}
	again.names = f.names // only for the comments: names of a paxos.conf are not kept
	if !bytes.Equal(text, again.Encode()) {
		t.Fatalf("Encode of what Encode wrote differs:\n%s\n%s", text, again.Encode())
	}
}

// TestConf runs testdata/conf: what the files of Kernel Paxos and libpaxos become.
func TestConf(t *testing.T) {
	datadriven.RunTest(t, "testdata/conf", func(t *testing.T, d *datadriven.TestData) string {
		return outcome(t, "paxos.conf", d.Input)
	})
}
