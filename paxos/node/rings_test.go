package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wirepaxos/dataplane/mem"
	"wirepaxos/paxos/cluster"
)

// Rings whose two processes were killed are removed with their cluster, and no others.
func TestRemoveRings(t *testing.T) {
	ours, other := uint64(os.Getpid())<<32|1, uint64(os.Getpid())<<32|2
	for _, id := range []uint64{ours, other} {
		path := filepath.Join(mem.DefaultDir, ringPrefix(id)+"1-1-2.ring")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Skipf("needs %s to write to: %v", mem.DefaultDir, err)
		}
		defer os.Remove(path)
	}
	if err := RemoveRings(ours); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint64]int{ours: 0, other: 1} {
		if left, _ := filepath.Glob(filepath.Join(mem.DefaultDir, ringPrefix(id)+"*")); len(left) != want {
			t.Errorf("of cluster %x is left %v, want %d files", id, left, want)
		}
	}
}

// What the protocol cannot run on is an error of one line, not a panic of a role.
func TestFramesTooSmall(t *testing.T) {
	f := cluster.New()
	f.Name = "cluster.toml"
	for _, c := range []struct {
		mtu   int
		bytes int64
		want  string
	}{{255, 1 << 20, "too small"}, {1500, 4096, "value_bytes"}, {1500, 1 << 20, ""}} {
		f.ValueBytes = c.bytes
		if err := checkMTU(f, c.mtu); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("frames of %d bytes, %d bytes of values: %v, want an error with %q", c.mtu, c.bytes, err, c.want)
		}
	}
}
