package sim

import (
	"flag"
	"os"
	"testing"
	"time"
)

var (
	tryProfile = flag.String("profile", "calm", "")
	trySeed    = flag.Uint64("from", 1, "")
	tryN       = flag.Uint64("count2", 1, "")
	tryTrace   = flag.Bool("tr", false, "")
)

func TestTry(t *testing.T) {
	p, err := FindProfile(*tryProfile)
	if err != nil {
		t.Fatal(err)
	}
	var heal int64
	bad := 0
	for s := *trySeed; s < *trySeed+*tryN; s++ {
		c := Config{Seed: s, Profile: p}
		if *tryTrace {
			c.Trace = os.Stdout
		}
		at := time.Now()
		r := Run(c)
		d := time.Since(at)
		heal = max(heal, r.HealNs)
		if d > 3*time.Second {
			t.Logf("seed %d took %v: %v turns %d", s, d, r.Violation, r.Turns)
		}
		if r.Violation != nil {
			bad++
			if bad < 8 {
				t.Errorf("seed %d: %v\n%s", s, r.Violation, r.Cluster)
			}
		}
		if *tryN == 1 {
			t.Logf("%d: %v real, %v virtual, turns %d messages %d frames %d values %d leaders %d heal %v %v trace %x\n%s", s, d, time.Duration(r.VirtualNs), r.Turns, r.Messages,
				r.Frames, r.Values, r.Leaders, time.Duration(r.HealNs), r.Faults, r.Trace, r.Cluster)
			t.Logf("%.0f virtual s/s, %.0f messages/s", float64(r.VirtualNs)/float64(d), float64(r.Messages)/d.Seconds())
		}
	}
	t.Logf("%d bad of %d; longest heal %v", bad, *tryN, time.Duration(heal))
}
