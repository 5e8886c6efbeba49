package main

import (
	"context"
	"fmt"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/paxos/cluster"
)

// strikes tells whether leaders are killed or paused.
func (o *demoFlags) strikes() bool { return o.kill != 0 || o.pause != 0 }

// leastStrike is how far apart strikes are at least for a leader timeout: each is followed by a failover, and by a start of what was killed.
func leastStrike(leaderTimeout time.Duration) time.Duration {
	return 8*leaderTimeout + 300*time.Millisecond
}

// checkStrikes refuses strikes that cannot be, and finds the layout for those that can.
func (o *demoFlags) checkStrikes() error {
	if !o.strikes() {
		return nil
	}
	least := leastStrike(o.timing.of().LeaderTimeout)
	for _, s := range []struct {
		name  string
		every time.Duration
	}{{"--kill-leader-every", o.kill}, {"--pause-leader-every", o.pause}} {
		switch {
		case s.every == 0:
		case o.proposers < 2:
			return fmt.Errorf("%s %v with --proposers %d: nobody is left to take over: use --proposers 3", s.name, s.every, o.proposers)
		case o.transport == "mem":
			return fmt.Errorf("%s %v with --transport mem: that is one process, and no proposer's own: use --transport afxdp or udp", s.name, s.every)
		case o.layout == layoutPacked:
			return fmt.Errorf("%s %v with --layout packed: proposers and client share a process there: use --layout %s", s.name, s.every, layoutProposersApart)
		case s.every < least:
			return fmt.Errorf("%s %v: until another leads and the first is back takes up to %v with a leader timeout of %v: strike less often or set a shorter "+
				"--leader-timeout", s.name, s.every, least, o.timing.of().LeaderTimeout)
		case s.every >= o.duration+o.warmup && (o.values == 0 || o.flags.Changed("duration")):
			return fmt.Errorf("%s %v: the run is over by then: take a longer --duration than %v", s.name, s.every, o.duration)
		}
	}
	if o.layout == layoutAuto {
		o.layout = layoutProposersApart
	}
	return nil
}

// of is the timing that the flags make of the defaults.
func (t *timingFlags) of() cluster.Timing {
	timing := cluster.New().Timing
	t.apply(&timing)
	return timing
}

// window is how long after a strike values are watched: an outage begins in it.
func (o *demoFlags) window() time.Duration {
	window := time.Second
	for _, every := range []time.Duration{o.kill, o.pause} {
		if every != 0 {
			window = min(window, every/2)
		}
	}
	return window
}

// strikesOf kills and pauses leaders when it is time. The last strike leaves enough of the load to see values go on.
func (o *demoFlags) strikesOf(f *failovers) func(context.Context) error {
	if !o.strikes() {
		return nil
	}
	now := dataplane.Now()
	killAt, pauseAt := now+int64(o.kill), now+int64(o.pause)
	last := f.began + int64(o.warmup+o.duration-o.window())
	if o.values > 0 && !o.flags.Changed("duration") {
		last = 1<<63 - 1
	}
	return func(ctx context.Context) error {
		now, kill := dataplane.Now(), true
		switch {
		case now >= last:
			return nil
		case o.kill != 0 && now >= killAt:
			killAt = now + int64(o.kill)
		case o.pause != 0 && now >= pauseAt:
			pauseAt, kill = now+int64(o.pause), false
		default:
			return nil
		}
		e, err := f.strike(ctx, kill)
		if e != nil {
			fmt.Println(sentence(e))
		}
		return err
	}
}
