package sim

import "fmt"

// Profile says how hard a run is. The cluster and the faults themselves are drawn from the seed.
//
// What faults may do, because the protocol survives it:
//
//   - Frames are lost, doubled, reordered, delayed and damaged, links cut in one or both directions, machines paused or made slow, clocks set wrong
//     and running fast or slow, queues made short: always, and on any machine.
//   - An acceptor's machine crashes and comes back with its disk. Storage is "memory", so it comes back without a vote; therefore this happens to a
//     minority of acceptors in a run. Without its disk it would not know that it has run before and would vote against its own promises: such
//     a machine must come back as another node, which takes a change of membership, so the simulator never does that.
//   - A proposer's machine crashes and comes back with its disk, any number of times. Without its disk it would use its rounds again; such a machine
//     must come back as another node as well.
//     In some runs one proposer's machine, without learner or client, stays down to the end.
//   - A learner has no disk. It crashes while another learner runs that stands at least as far: what is trimmed is with learners alone, and with the
//     last of them delivery would stop for good, as it must.
//   - A client's machine crashes, any number of times. The client comes back with the sessions of before, if it keeps them in a file, or with others;
//     also with those of another client that still runs: that one then loses them. What it had in flight may or may not be delivered.
//   - Learners may keep no more sessions than there are in use, or few more: a new one waits until another has been idle for long.
//   - People ask for handovers, also for such that cannot be.
//   - Several nodes of one role may share a machine, or machines a NIC: a process that would take more than a minority of the acceptors with it does not
//     crash, and neither the last proposer nor what passes on frames for others leaves for good.
//   - A disk keeps what was synced; of the rest it may keep anything. The power may go in the middle of a start or of a reservation of rounds.
type Profile struct {
	Name string
	Help string

	// At most, in millionths of the frames; each run draws its own. The spells are worse.
	lossPPM, duplicatePPM, corruptPPM, tailPPM int64

	// The mean time between two of them; 0: none.
	spellNs, partitionNs, pauseNs, slowNs, crashNs int64
	clientNs                                       int64 // clients that end and come back with their sessions, or others
	handoverNs                                     int64 // requests to the leader

	runNs  [2]int64 // how long the faults last: at least, at most
	skewed bool     // clocks differ
	small  bool     // queues, windows and rings may be very small
	fixed  func(p *plan)
}

const (
	us = int64(1e3)
	ms = int64(1e6)
	s  = int64(1e9)
)

// Profiles are all of them.
var Profiles = []*Profile{
	{Name: "calm", Help: "no faults but short delays", runNs: [2]int64{500 * ms, 1500 * ms}},
	{Name: "lossy", Help: "frames lost, doubled, reordered, delayed and damaged",
		lossPPM: 250_000, duplicatePPM: 200_000, corruptPPM: 100_000, tailPPM: 50_000, spellNs: 300 * ms, runNs: [2]int64{500 * ms, 1500 * ms}, skewed: true},
	{Name: "partition", Help: "links cut, one way or both, and healed",
		lossPPM: 10_000, partitionNs: 150 * ms, runNs: [2]int64{800 * ms, 2000 * ms}, skewed: true},
	{Name: "crash", Help: "machines crash and restart, with what their disks had synced; machines pause",
		lossPPM: 10_000, crashNs: 150 * ms, pauseNs: 400 * ms, clientNs: 200 * ms, handoverNs: 200 * ms, runNs: [2]int64{800 * ms, 2000 * ms}, skewed: true},
	{Name: "chaos", Help: "everything at once, on clusters with small queues and windows",
		lossPPM: 150_000, duplicatePPM: 100_000, corruptPPM: 50_000, tailPPM: 30_000, spellNs: 500 * ms, partitionNs: 300 * ms, pauseNs: 500 * ms,
		slowNs: 700 * ms, crashNs: 300 * ms, clientNs: 200 * ms, handoverNs: 300 * ms, runNs: [2]int64{500 * ms, 1500 * ms}, skewed: true, small: true},
	{Name: "duel", Help: "pauses, cut links and late frames, so that leaders change all the time",
		lossPPM: 100_000, duplicatePPM: 50_000, tailPPM: 100_000, partitionNs: 80 * ms, pauseNs: 25 * ms, handoverNs: 100 * ms,
		runNs: [2]int64{500 * ms, 1500 * ms}, skewed: true},
	{Name: "idle", Help: "speed: a cluster that only beats, every 100 ms", runNs: [2]int64{2000 * s, 2000 * s}, fixed: (*plan).idle},
	{Name: "load", Help: "speed: clients that submit as fast as they are answered", runNs: [2]int64{60 * ms, 60 * ms}, fixed: (*plan).load},
}

// FindProfile finds a profile by its name.
func FindProfile(name string) (*Profile, error) {
	known := ""
	for _, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
		known += " " + p.Name
	}
	return nil, fmt.Errorf("unknown profile %q: choose one of%s", name, known)
}
