package sim

import (
	"testing"

	"wirepaxos/paxos/cluster"
)

// A clock's two directions agree: the world's time of a local one is the first at which the clock shows it.
func TestClock(t *testing.T) {
	r := newRandom(1, "clock")
	for range 20_000 {
		c := clock{offset: r.between(-10*s, 10*s), drift: r.between(-500, 500)}
		local := c.local(r.below(4000 * s))
		at := c.world(local)
		if c.local(at) < local || at > 0 && c.local(at-1) >= local {
			t.Fatalf("%+v shows %d at %d, and %d at %d", c, c.local(at), at, c.local(at-1), at-1)
		}
	}
	c := clock{offset: 5}
	if c.world(never) != never || c.world(3) != 0 {
		t.Errorf("never comes at %d, and what is past at %d", c.world(never), c.world(3))
	}
}

// What State was told is on the disk is there after the power went at any operation, whatever the disk made of the rest.
func TestDiskKeepsWhatWasSynced(t *testing.T) {
	r := newRandom(1, "disk")
	lost := 0
	for range 2000 {
		d, granted := newDisk(), uint64(1)
		for range 4 {
			d.power = int(r.below(20))
			state := cluster.NewState(d, "state", 1, 1, 1)
			for {
				first, limit, err := state.ReserveRounds(1, 3)
				if err != nil {
					lost++
					break
				}
				if first < granted {
					t.Fatalf("round %d was granted up to %d before", first, granted)
				}
				granted = limit
			}
			d.crash(&r)
		}
	}
	if lost == 0 {
		t.Error("the power never went")
	}
}

// What was not synced is kept in some crashes, lost in some, and torn in some.
func TestDiskLosesTheRest(t *testing.T) {
	r := newRandom(1, "disk")
	var whole, none, part int
	for range 300 {
		d := newDisk()
		f, err := d.Create("a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("synced")); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := d.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(" and more")); err != nil {
			t.Fatal(err)
		}
		d.crash(&r)
		b, err := d.Read("a")
		switch {
		case err != nil:
			t.Fatal("a file whose name was synced is gone")
		case string(b) == "synced":
			none++
		case string(b) == "synced and more":
			whole++
		default:
			part++
		}
	}
	if whole == 0 || none == 0 || part == 0 {
		t.Errorf("kept %d times, lost %d times, torn %d times", whole, none, part)
	}
}

// A machine's turns go on while there is something to do, and its process comes back from the disk as another incarnation.
func TestCrashAndStart(t *testing.T) {
	p, _ := FindProfile("calm")
	w := newWorld(&Config{Seed: 1, Profile: p})
	w.run(100*ms, func() bool { return false })
	for _, m := range w.machines {
		if !m.has(cluster.Acceptor) {
			continue
		}
		before := m.node.Incarnation()
		m.crash()
		if m.up() || m.wakeAt != never {
			t.Fatal("a crashed machine is up")
		}
		if !m.start() || m.node.Incarnation() == before || m.starts != 2 {
			t.Fatalf("it comes back as incarnation %x after %x, start %d", m.node.Incarnation(), before, m.starts)
		}
		break
	}
	w.run(200*ms, func() bool { return false })
	if v := w.suite.Violation(); v != nil {
		t.Error(v)
	}
}
