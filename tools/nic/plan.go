package nic

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
)

// change is a setting, what it is, and what it shall be.
type change struct {
	setting
	old, new string
}

// ErrPartly says that some of the changes were made, and some refused.
var ErrPartly = errors.New("not everything could be done")

// work is one command on one interface.
type work struct {
	Options
	link netlink.Link
	driver
	failures int
}

// begin opens the interface for a command that changes settings. The caller ends it.
func begin(o Options, name string) (*work, func(), error) {
	link, err := Guard(name, o.Force)
	if err != nil {
		return nil, nil, err
	}
	k, err := openKernel(link.Attrs())
	if err != nil {
		return nil, nil, err
	}
	return &work{Options: o, link: link, driver: k}, k.close, nil
}

func (w *work) name() string { return w.link.Attrs().Name }

// want plans a change. What the driver does not have is said and left out; what is so already, too.
func (w *work) want(plan []change, s setting, value string) []change {
	old, err := s.get(w.driver)
	switch {
	case unsupported(err):
		w.Say("%s: %s is skipped: the driver does not have it", w.name(), s.name())
	case err != nil:
		w.failures++
		w.Say("%s: %s cannot be read: %v", w.name(), s.name(), err)
	case old == value:
		w.Say("%s: %s is %s already", w.name(), s.name(), show(value))
	default:
		return append(plan, change{setting: s, old: old, new: value})
	}
	return plan
}

// apply keeps the old values and then makes the changes, each said before. A change that is refused is said, and the others are made.
func (w *work) apply(plan []change) error {
	if len(plan) == 0 {
		return nil
	}
	if w.DryRun {
		for _, c := range plan {
			w.sayChange(c)
		}
		return nil
	}
	s, err := w.readState(w.name())
	if err != nil {
		return err
	}
	if s != nil {
		if gone := s.isOf(w.link); gone != nil {
			w.Say("%s: what was kept of old settings is dropped: %v", w.name(), gone)
			s = nil
		}
	}
	if s == nil {
		s = newState(w.link)
	}
	for _, c := range plan {
		s.keep(c.name(), c.old)
	}
	if err := w.writeState(s); err != nil {
		return err
	}
	for _, c := range plan {
		w.sayChange(c)
		if err := w.make(c); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) sayChange(c change) {
	w.Say("%s: %s: %s -> %s", w.name(), c.name(), show(c.old), show(c.new))
}

// make makes one change. What it returns is an error that ends the command.
func (w *work) make(c change) error {
	err := c.set(w.driver, c.new)
	if unsupported(err) {
		w.Say("%s: %s is skipped: the driver refuses it (%v)", w.name(), c.name(), err)
		return nil
	}
	if err != nil {
		w.failures++
		w.Say("%s: %s stays %s: %v", w.name(), c.name(), show(c.old), err)
		return nil
	}
	if _, isRule := c.setting.(ruleSetting); isRule {
		return nil
	}
	if is, err := c.get(w.driver); err == nil && is != c.new {
		w.Say("%s: %s: the driver made it %s", w.name(), c.name(), show(is))
	}
	return nil
}

// result is the command's: ErrPartly if some change was refused.
func (w *work) result() error {
	if w.failures > 0 {
		return fmt.Errorf("%s: %w (%d refused, see above); `wirepaxos nic restore %s` goes back", w.name(), ErrPartly, w.failures, w.name())
	}
	return nil
}

// Restore puts back every setting that Steer and Tune changed, the last change first, also what a command that crashed had begun. What cannot be
// put back stays in the file, for the next try.
func Restore(o Options, name string) error {
	w, end, err := begin(o, name)
	if err != nil {
		return err
	}
	defer end()
	return w.maybeLocked(w.restore)
}

func (w *work) restore() error {
	s, err := w.readState(w.name())
	if err != nil {
		return err
	}
	if s == nil {
		w.Say("%s: no setting was changed by wirepaxos", w.name())
		return nil
	}
	if gone := s.isOf(w.link); gone != nil {
		w.Say("%s: what was kept of old settings is dropped: %v", w.name(), gone)
		if w.DryRun {
			return nil
		}
		return w.removeState(w.name())
	}
	var left []kept
	for _, k := range slices.Backward(s.Old) {
		if !w.putBack(k) {
			left = append([]kept{k}, left...)
		}
	}
	if w.DryRun {
		return nil
	}
	if len(left) == 0 {
		return w.removeState(w.name())
	}
	s.Old = left
	if err := w.writeState(s); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w (%d refused, see above): they are kept, try again", w.name(), ErrPartly, len(left))
}

// putBack puts one setting back and tells whether it needs no more.
func (w *work) putBack(k kept) bool {
	s, err := settingOf(k.Setting)
	if err != nil {
		w.Say("%s: %v", w.name(), err)
		return false
	}
	is, err := s.get(w.driver)
	if unsupported(err) {
		w.Say("%s: %s has gone", w.name(), k.Setting)
		return true
	}
	if err == nil && is == k.Value {
		return true
	}
	w.Say("%s: %s: %s -> %s", w.name(), k.Setting, show(is), show(k.Value))
	if w.DryRun {
		return true
	}
	if err := s.set(w.driver, k.Value); err != nil && !unsupported(err) {
		w.Say("%s: %s stays %s: %v", w.name(), k.Setting, show(is), err)
		return false
	}
	return true
}

// show is a value for people: tables are cut.
func show(value string) string {
	const most = 40
	switch {
	case value == "":
		return "none"
	case len(value) > most:
		return value[:most] + "..."
	}
	return value
}
