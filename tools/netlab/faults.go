package netlab

import (
	"errors"
	"fmt"
)

// SetFaults sets all rates at once; they hold for the frames that enter the switch from now on. Delays need a process that serves them:
// the owner does, and for a detached lab whoever called Serve.
func (l *Lab) SetFaults(f Faults) error {
	if err := f.validate(); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	return l.change(func(s *state, cell *settings) error {
		if f.DelayPPM > 0 && !s.Server.alive() {
			return fmt.Errorf("no process serves its delays: `wirepaxos lab serve %s` does", l.name)
		}
		cell.setFaults(f)
		return nil
	})
}

// Faults reads the rates that hold now.
func (l *Lab) Faults() (f Faults, err error) {
	err = l.use(func(t *tables) error {
		cell, err := t.readSettings()
		if err == nil {
			f = cell.faults()
		}
		return err
	})
	return f, err
}

// Cut drops all frames from one host to another, one way. An empty name stands for every host: Cut("a", "") silences a, Cut("", "a")
// deafens it. Frames that are being delayed are cut too.
func (l *Lab) Cut(from, to string) error {
	return l.setCut(from, to, func(mask, bits uint64) uint64 { return mask | bits })
}

// Heal undoes Cut, one way. An empty name stands for every host: Heal("", "") undoes all.
func (l *Lab) Heal(from, to string) error {
	return l.setCut(from, to, func(mask, bits uint64) uint64 { return mask &^ bits })
}

func (l *Lab) setCut(from, to string, apply func(mask, bits uint64) uint64) error {
	senders, err := l.mask(from)
	if err != nil {
		return err
	}
	receivers, err := l.mask(to)
	if err != nil {
		return err
	}
	return l.change(func(_ *state, cell *settings) error {
		for slot := range l.hosts {
			if senders&(1<<slot) != 0 {
				cell.setCuts(slot, apply(cell.cuts(slot), receivers&^(1<<slot)))
			}
		}
		cell.setEveryoneSlow(l.hosts)
		return nil
	})
}

// mask is the set of slots that a name stands for.
func (l *Lab) mask(host string) (uint64, error) {
	if host == "" {
		return 1<<len(l.hosts) - 1, nil
	}
	slot, err := l.slot(host)
	return 1 << slot, err
}

// change changes the switch's settings. The lock keeps two processes from undoing each other's change.
func (l *Lab) change(apply func(*state, *settings) error) error {
	return l.use(func(t *tables) error {
		return locked(func() error {
			s, err := readState(l.name)
			if err != nil {
				return err
			}
			cell, err := t.readSettings()
			if err != nil {
				return err
			}
			if err := apply(s, cell); err != nil {
				return err
			}
			return t.writeSettings(cell)
		})
	})
}

// Counters reads what the switch did, per sending host, in the order of Hosts.
func (l *Lab) Counters() (all []Counters, err error) {
	err = l.use(func(t *tables) error {
		all, err = t.readCounters(len(l.hosts))
		return err
	})
	return all, err
}

// use calls fn with the switch's tables, which stay open meanwhile.
func (l *Lab) use(fn func(*tables) error) error {
	if l.direct {
		return fmt.Errorf("lab %s: %w", l.name, ErrNoSwitch)
	}
	l.using.RLock()
	defer l.using.RUnlock()
	if l.tables == nil {
		return fmt.Errorf("lab %s: %w", l.name, errClosed)
	}
	if err := fn(l.tables); err != nil {
		return fmt.Errorf("lab %s: %w", l.name, err)
	}
	return nil
}

// errClosed is the answer of a handle after Close or Down.
var errClosed = errors.New("the handle is closed")

// becomeServer records this process as the one that serves the lab's delays.
func (l *Lab) becomeServer() error {
	return update(l.name, func(s *state) error {
		if s.Phase != PhaseDetached {
			return fmt.Errorf("lab %s is %s: its owner serves the delays", l.name, s.Phase)
		}
		if s.Server.alive() {
			return fmt.Errorf("lab %s: process %d serves its delays already", l.name, s.Server.PID)
		}
		s.Server = self()
		return nil
	})
}

// serving tells whether the lab is still there and served by this process.
func (l *Lab) serving() bool {
	s, err := readState(l.name)
	return err == nil && s.Phase == PhaseDetached && s.Server == self()
}

// resignServer takes the record away, if the lab is still there.
func (l *Lab) resignServer() error {
	return locked(func() error {
		s, err := readState(l.name)
		if err != nil || s.Server != self() {
			return nil //nolint:nilerr // a lab that is gone has no server to take away
		}
		s.Server = identity{}
		return s.write()
	})
}
