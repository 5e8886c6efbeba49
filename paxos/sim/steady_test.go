package sim

import (
	"testing"

	"wirepaxos/paxos/cluster"
)

// A value that is alone costs the frames that its way has: the client's, one to each acceptor and to the learner, a vote of each acceptor to proposer and
// learner, and the answer. What shares a machine needs none between it. With multicast one frame is enough for the acceptors; the learner's id is
// too far from theirs.
func TestSteadyCountsTheWayOfAValue(t *testing.T) {
	for _, c := range []struct {
		packed, multicast bool
		frames            uint64
	}{{false, false, 12}, {true, false, 8}, {false, true, 10}, {true, true, 6}} {
		for _, batch := range []cluster.Batch{cluster.BatchInstance, cluster.BatchFrame, cluster.BatchOff} {
			load := Steady{Packed: c.packed, Multicast: c.multicast, Batch: batch, Outstanding: 1, Size: 64, Values: 1000}
			got, err := load.Measure()
			if err != nil {
				t.Fatal(err)
			}
			if got.Values != 1000 || got.Frames < c.frames*1000 || got.Frames > c.frames*1000+40 || got.Messages != got.Frames || got.Bytes < 64*4*1000 {
				t.Errorf("packed %v, multicast %v, batch %s: %+v, want %d frames a value and a few heartbeats", c.packed, c.multicast, batch, got, c.frames)
			}
			if again, err := load.Measure(); again != got {
				t.Errorf("packed %v, multicast %v, batch %s: %+v, and then %+v, %v", c.packed, c.multicast, batch, got, again, err)
			}
		}
	}
}

// Batching is what the modes say: values share instances, or frames, or nothing.
func TestSteadyBatches(t *testing.T) {
	measure := func(batch cluster.Batch) Traffic {
		got, err := Steady{Batch: batch, Outstanding: 64, Size: 64, Values: 1000}.Measure()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	instance, frame, off := measure(cluster.BatchInstance), measure(cluster.BatchFrame), measure(cluster.BatchOff)
	if instance.Messages > instance.Values || frame.Messages < 4*frame.Values || frame.Frames > frame.Values || off.Frames < 4*off.Values {
		t.Errorf("instance %+v, frame %+v, off %+v", instance, frame, off)
	}
}

func TestSteadyRefuses(t *testing.T) {
	for _, c := range []Steady{
		{Batch: cluster.BatchOff, Size: 64, Values: 1}, {Batch: cluster.BatchOff, Outstanding: 1, Values: 1},
		{Batch: cluster.BatchOff, Outstanding: 1, Size: 64}, {Batch: cluster.BatchOff, Outstanding: 1 << 20, Size: 64, Values: 1},
	} {
		if _, err := c.Measure(); err == nil {
			t.Errorf("%+v was measured", c)
		}
	}
}

// The profiles for speed place roles as they please, whatever the seed drew before.
func TestSpeedProfilesTakeAnySeed(t *testing.T) {
	for _, name := range []string{"idle", "load"} {
		p, err := FindProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(40) {
			newWorld(&Config{Seed: seed, Profile: p})
		}
	}
}
