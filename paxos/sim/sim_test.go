package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// seedsOf is how many seeds of each profile the tests run; make sim runs thousands.
var seedsOf = map[string]uint64{"calm": 20, "lossy": 40, "partition": 40, "crash": 50, "chaos": 140, "duel": 30}

func TestSeeds(t *testing.T) {
	for _, p := range Profiles {
		n := seedsOf[p.Name]
		if testing.Short() {
			n /= 10
		}
		if n == 0 {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= n; seed++ {
				if r := Run(Config{Seed: seed, Profile: p}); r.Violation != nil {
					t.Fatalf("seed %d: %v\n%s\nreplay: wirepaxos sim --profile %s --seed %d --trace", seed, r.Violation, r.Cluster, p.Name, seed)
				}
			}
		})
	}
}

// One seed is one run, byte for byte; the trace that nobody reads has the same hash; another seed is another run.
func TestSameSeedSameTrace(t *testing.T) {
	for _, p := range Profiles {
		if p.fixed != nil {
			continue
		}
		var first, second bytes.Buffer
		a := Run(Config{Seed: 7, Profile: p, Trace: &first})
		b := Run(Config{Seed: 7, Profile: p, Trace: &second})
		if !bytes.Equal(first.Bytes(), second.Bytes()) || first.Len() == 0 {
			t.Errorf("%s: one seed, two traces of %d and %d bytes", p.Name, first.Len(), second.Len())
		}
		c := Run(Config{Seed: 7, Profile: p})
		if a.Trace != b.Trace || a.Trace != c.Trace || fmt.Sprint(a) != fmt.Sprint(c) {
			t.Errorf("%s: one seed, two runs: %+v and %+v", p.Name, a, c)
		}
		if other := Run(Config{Seed: 8, Profile: p}); other.Trace == a.Trace {
			t.Errorf("%s: two seeds, one run", p.Name)
		}
	}
}

// Every fault that a profile names happens, in some seed.
func TestFaultsHappen(t *testing.T) {
	for name, want := range map[string][]string{
		"calm":      nil,
		"lossy":     {"frames dropped", "frames duplicated", "frames corrupted", "bad links"},
		"partition": {"frames cut-off", "partitions", "one-way partitions"},
		"crash":     {"crashes", "acceptors without a vote", "failed starts", "pauses", "frames no-port", "proposers gone for good"},
		"duel":      {"frames dropped", "frames cut-off", "partitions", "pauses"},
		"chaos": {"frames dropped", "frames duplicated", "frames corrupted", "frames cut-off", "frames queue-full", "bad links", "partitions",
			"one-way partitions", "pauses", "slow spells", "crashes", "acceptors without a vote", "failed starts"},
	} {
		p, err := FindProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for seed := uint64(1); seed <= 30; seed++ {
			for _, c := range Run(Config{Seed: seed, Profile: p}).Faults {
				seen[c.Name] = true
			}
		}
		for _, w := range want {
			if !seen[w] {
				t.Errorf("%s: no %s in 30 seeds", name, w)
			}
		}
		if name == "calm" && (seen["frames dropped"] || seen["crashes"]) {
			t.Errorf("calm is not: %v", seen)
		}
	}
}

// Every part of the protocol that a run can come to is come to, in some seed.
func TestFeaturesHappen(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"crash", "chaos"} {
		p, err := FindProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := uint64(1); seed <= 40; seed++ {
			for _, c := range Run(Config{Seed: seed, Profile: p}).Features {
				seen[c.Name] = true
			}
		}
	}
	for k, name := range featureNames {
		switch feature(k) {
		case featExpired, featReopened, featHandoversFailed, featLetGo: // too seldom for these
			continue
		}
		if !seen[name] {
			t.Errorf("no seed has %q", name)
		}
	}
}

// No piece of a value is like another piece, or like the same piece of another value: what is put together wrong shows.
func TestValuesAreUnlike(t *testing.T) {
	var g registry
	seen := map[[8]byte]bool{}
	for op := range 200 {
		data := make([]byte, 1000)
		g.fill(op, data)
		for ; len(data) >= 8; data = data[8:] {
			if piece := [8]byte(data); seen[piece] {
				t.Fatalf("operation %d has bytes that were there before", op)
			} else {
				seen[piece] = true
			}
		}
	}
}

func TestFindProfile(t *testing.T) {
	if _, err := FindProfile("storm"); err == nil || !strings.Contains(err.Error(), "chaos") {
		t.Errorf("an unknown profile: %v, want an error that lists those that there are", err)
	}
}

// What a cluster without faults does is not left to the checkers alone: values are delivered, and every client is served.
func TestCalmDelivers(t *testing.T) {
	p, _ := FindProfile("calm")
	r := Run(Config{Seed: 1, Profile: p})
	if r.Violation != nil || r.Values < 100 || r.Leaders != 2 { // one, and whom it handed over to in the end
		t.Errorf("%+v", r)
	}
}

func BenchmarkChaos(b *testing.B) {
	p, _ := FindProfile("chaos")
	for i := range b.N {
		Run(Config{Seed: uint64(i + 1), Profile: p})
	}
}
