package nic

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
		w.Say("%s: %s cannot be read: %v%s", w.name(), s.name(), err, advice(s, err))
	case old == value:
		w.Say("%s: %s is %s already", w.name(), s.name(), show(value))
	default:
		return append(plan, change{setting: s, old: old, new: value})
	}
	return plan
}

// apply keeps the old values and then makes the changes, each said before. A change that is refused is said, and the others are made; its old value is not
// kept any longer, unless the driver changed something all the same.
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
	first := make([]bool, len(plan))
	for i, c := range plan {
		first[i] = s.keep(c.name(), c.old)
	}
	if err := w.writeState(s); err != nil {
		return err
	}
	refused := false
	for i, c := range plan {
		w.sayChange(c)
		if w.make(c) || !first[i] {
			continue
		}
		if is, err := c.get(w.driver); err == nil && is == c.old {
			s.drop(c.name())
			refused = true
		}
	}
	switch {
	case !refused:
		return nil
	case len(s.Old) == 0:
		return w.removeState(w.name())
	}
	return w.writeState(s)
}

func (w *work) sayChange(c change) {
	w.Say("%s: %s: %s -> %s", w.name(), label(c), show(c.old), show(c.new))
}

// make makes one change, and tells whether it is made.
func (w *work) make(c change) bool {
	err := c.set(w.driver, c.new)
	if unsupported(err) {
		w.Say("%s: %s is skipped: the driver refuses it (%v)", w.name(), label(c), err)
		return false
	}
	if err != nil {
		w.failures++
		w.Say("%s: %s stays %s: %v%s", w.name(), label(c), show(c.old), err, advice(c, err))
		return false
	}
	if _, isRule := c.setting.(ruleSetting); isRule {
		return true
	}
	if is, err := c.get(w.driver); err == nil && is != c.new {
		w.Say("%s: %s: the driver made it %s", w.name(), label(c), show(is))
	}
	return true
}

// label is the name of a setting for people: of a rule, what it does is told besides.
func label(s setting) string {
	name := s.name()
	if first, rest, isRule := strings.Cut(name, "/"); isRule && first == "rule" {
		place, _, _ := strings.Cut(rest, "/")
		return "rule/" + place
	}
	return name
}

// advice is what to do about a refusal, as far as the kernel's source and the drivers' tell why it comes.
func advice(s setting, err error) string {
	name, _, _ := strings.Cut(s.name(), "/")
	is := func(kinds ...error) bool {
		return slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) })
	}
	switch {
	case is(unix.ENODEV):
		return ": the interface went away, or its device sleeps"
	case is(unix.EPERM, unix.EACCES):
		return ": run as root, or with CAP_NET_ADMIN"
	case name == "queues" && is(unix.EINVAL, unix.EBUSY):
		return ": a queue that would go has an AF_XDP socket, or packets are steered to it: end the role there (`wirepaxos nic list`), or take the steering back first"
	case name == "ring" && is(unix.EBUSY):
		return ": queues have AF_XDP sockets: end the roles there first (`wirepaxos nic list`)"
	case name == "ring" && is(unix.EINVAL, unix.ENOMEM): // the second is virtio_net's answer
		return ": the driver takes other sizes, such as powers of two"
	case name == "coalesce" && is(unix.EINVAL, unix.ERANGE):
		return ": the driver takes other values, or one for both directions"
	case name == "rule" && is(unix.ENOSPC):
		return ": the NIC has no room for it"
	case name == "rule" && is(unix.EEXIST):
		return ": the NIC has one for these packets: `ethtool -n` shows it"
	case name == "irq" && is(unix.ENOSPC):
		return ": those cores have no free interrupt vector: leave it more cores"
	case is(unix.EBUSY):
		return ": something uses it: end the roles there and try again"
	}
	return ""
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
		w.Say("%s: %s has gone", w.name(), label(s))
		return true
	}
	if err == nil && is == k.Value {
		return true
	}
	w.Say("%s: %s: %s -> %s", w.name(), label(s), show(is), show(k.Value))
	if w.DryRun {
		return true
	}
	if err := s.set(w.driver, k.Value); err != nil && !unsupported(err) {
		w.Say("%s: %s stays %s: %v%s", w.name(), label(s), show(is), err, advice(s, err))
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
