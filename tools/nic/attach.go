package nic

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
)

// Attach pins our XDP program and its maps for an interface: they stay while no role runs, and roles that open a port there use them.
func Attach(o Options, name string) error {
	link, err := Guard(name, o.Force)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	on, err := afxdp.ProgramOn(index)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	foreign := on != nil && !on.Ours
	if foreign && !o.Replace {
		return fmt.Errorf("%s has the XDP program %q (id %d), which is not ours and stays: stop what attached it, or let ours take its place with --replace",
			name, on.Name, on.ID)
	}
	if foreign && link.Attrs().RawFlags&unix.IFF_UP == 0 { // ours would be refused once the other is off
		return fmt.Errorf("%s is down: run `ip link set dev %s up`", name, name)
	}
	folder := o.pins(index)
	switch {
	case foreign:
		o.Say("%s: take off the XDP program %q (id %d), for good: detach and restore do not put it back", name, on.Name, on.ID)
		o.Say("%s: attach our XDP program", name)
	case on == nil:
		o.Say("%s: attach our XDP program", name)
	default:
		o.Say("%s: keep our XDP program (id %d), which is attached", name, on.ID)
	}
	o.Say("%s: pin it and its maps in %s", name, folder)
	if o.DryRun {
		return nil
	}
	return o.locked(func() error {
		return o.machineMounts(func() error {
			if err := o.mountPins(); err != nil {
				return err
			}
			running := isRunning(link)
			if foreign {
				if err := afxdp.TakeOff(index, on.ID); err != nil {
					_ = o.sweepPins(o.Say) // the first error is the one to tell
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			if err := afxdp.Pin(name, folder); err != nil {
				_ = o.sweepPins(o.Say) // the first error is the one to tell
				if foreign {
					return fmt.Errorf("%w: program %q is off, and ours is not in its place: %w", ErrPartly, on.Name, err)
				}
				return err
			}
			if running {
				return o.waitLink(link)
			}
			return nil
		})
	})
}

func isRunning(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_RUNNING != 0 }

// waitLink waits for a link that was there before the program came: some drivers reset it then, for seconds.
func (o *Options) waitLink(l netlink.Link) error {
	const bound, pause, progress = 60 * time.Second, 10 * time.Millisecond, time.Second
	name := l.Attrs().Name
	start, reset := time.Now(), false
	for told := start; ; time.Sleep(pause) {
		now, err := netlink.LinkByIndex(l.Attrs().Index)
		if err != nil {
			return fmt.Errorf("%s went away while its link was waited for: %w", name, err)
		}
		away := time.Since(start)
		switch {
		case isRunning(now) && !reset:
			return nil
		case isRunning(now):
			o.Say("%s: attaching reset its link; it is back after %v", name, away.Round(time.Millisecond))
			return nil
		case away > bound:
			return fmt.Errorf("%s: %w: the program is attached and pinned, and its link is not back after %v: look at the cable and at `ip link show dev %s`",
				name, ErrPartly, bound, name)
		case time.Since(told) > progress:
			told = time.Now()
			o.Say("%s: attaching reset its link; waiting for it, %v so far", name, away.Round(time.Second))
		}
		reset = true
	}
}

// Detach takes the pins of an interface away. Where no role runs the program goes with them, else with the last role.
func Detach(o Options, name string) error {
	link, err := Guard(name, o.Force)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	folder := o.pins(index)
	detach := func() error {
		if _, err := os.Stat(filepath.Clean(folder)); err != nil {
			o.Say("%s: nothing is pinned", name)
			if o.DryRun {
				return nil
			}
			return o.sweepPins(o.Say)
		}
		o.Say("%s: remove the pins in %s", name, folder)
		if o.DryRun {
			return nil
		}
		if err := afxdp.Unpin(folder); err != nil {
			return err
		}
		if err := o.sweepPins(o.Say); err != nil {
			return err
		}
		return o.sayWhatStays(name, index)
	}
	return o.locked(func() error { return o.machineMounts(detach) })
}

// sayWhatStays tells of a program that outlives its pins. The kernel takes one away that nobody holds a moment after the last pin has gone.
func (o *Options) sayWhatStays(name string, index int) error {
	const bound, pause = 500 * time.Millisecond, 5 * time.Millisecond
	for start := time.Now(); ; time.Sleep(pause) {
		on, err := afxdp.ProgramOn(index)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if on == nil || !on.Ours {
			return nil
		}
		if time.Since(start) > bound {
			o.Say("%s: program %q (id %d) stays attached while processes have ports there", name, on.Name, on.ID)
			return nil
		}
	}
}
