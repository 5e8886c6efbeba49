package nic

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Ways to steer.
const (
	SteerAuto   = "auto"   // by a rule; UDP by the indirection table where the NIC has no rules
	SteerNTuple = "ntuple" // by a rule, or not at all
	SteerRSS    = "rss"    // all that is hashed, which is IP, goes to one queue
)

// errCannotSteer is told with what there is instead.
var errCannotSteer = errors.New("cannot steer")

// Steer makes the packets of a rule arrive on its queue.
func Steer(o Options, name string, r Rule, how string) error {
	if err := r.check(); err != nil {
		return err
	}
	switch how {
	case SteerAuto, SteerNTuple, SteerRSS:
	default:
		return fmt.Errorf("--by %s: want %s, %s or %s", how, SteerAuto, SteerNTuple, SteerRSS)
	}
	if how == SteerRSS && r.EtherType != 0 {
		return fmt.Errorf("--by rss spreads IP packets alone: raw Ethernet frames arrive on queue 0, or where an ntuple rule sends them")
	}
	w, end, err := begin(o, name)
	if err != nil {
		return err
	}
	defer end()
	return w.maybeLocked(func() error { return w.steer(&r, how) })
}

func (w *work) steer(r *Rule, how string) error {
	if err := w.checkQueue(r.Queue); err != nil {
		return err
	}
	if how != SteerRSS {
		plan, err := w.planRule(r)
		if err == nil {
			return w.applyAll(plan, r)
		}
		if how == SteerNTuple || r.EtherType != 0 || !errors.Is(err, errCannotSteer) {
			return err
		}
		w.Say("%s: ntuple rules are skipped: the driver has none; all IP packets are steered instead, by their hash", w.name())
	}
	plan, err := w.planIndirection(r.Queue)
	if err != nil {
		return err
	}
	return w.applyAll(plan, r)
}

// applyAll makes a plan whose last change is what steers. Turning filters on, before it, may be refused by a driver that has them on for ever.
func (w *work) applyAll(plan []change, r *Rule) error {
	if err := w.apply(plan); err != nil {
		return err
	}
	if w.DryRun || len(plan) == 0 {
		return nil
	}
	c := plan[len(plan)-1]
	is, err := c.get(w.driver)
	if _, isRule := c.setting.(ruleSetting); err != nil || is == "" || !isRule && is != c.new {
		return fmt.Errorf("%s: %w: %s does not go there, the driver refused %s; `wirepaxos nic restore %s` goes back", w.name(), ErrPartly, r, c.name(), w.name())
	}
	return nil
}

// checkQueue refuses a queue that is not there: some drivers take such a rule, and drop the packets.
func (w *work) checkQueue(queue int) error {
	a := w.link.Attrs()
	queues := a.NumRxQueues
	b := words(getChannels, channelWords)
	if w.request(b) == nil {
		queues = int(word(b, rxCount) + word(b, combined))
	}
	if queue >= max(queues, 1) {
		return fmt.Errorf("%s has queues 0 to %d, not %d: `wirepaxos nic tune %s --queues N` may give it more", w.name(), max(queues, 1)-1, queue, w.name())
	}
	return nil
}

// planRule finds a free place in the NIC's table of rules.
func (w *work) planRule(r *Rule) ([]change, error) {
	cannot := func(err error) error {
		advice := "leave the interface one queue (`wirepaxos nic tune " + w.name() + " --queues 1`), or use queue 0, where such frames arrive"
		if r.UDPPort != 0 {
			advice = "leave the interface one queue (`wirepaxos nic tune " + w.name() + " --queues 1`), or try --by rss"
		}
		return fmt.Errorf("%s: %w by rules: its driver has no ntuple filters (%w): %s", w.name(), errCannotSteer, err, advice)
	}
	var plan []change
	if old, err := ntuple.get(w.driver); err == nil && old == "off" {
		plan = append(plan, change{setting: ntuple, old: old, new: "on"})
	}
	size, taken, err := rulePlaces(w.driver)
	if unsupported(err) || errors.Is(err, unix.EINVAL) {
		return nil, cannot(err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: read its rules: %w", w.name(), err)
	}
	if size == 0 {
		return nil, cannot(errors.New("its table has no place"))
	}
	place, ok := freePlace(size, taken)
	if !ok {
		return nil, fmt.Errorf("%s: all %d rules of the NIC are in use: `ethtool -n %s` shows them", w.name(), size, w.name())
	}
	return append(plan, change{setting: ruleSetting{place: place, rule: r}, new: r.String()}), nil
}

// planIndirection sends all hashes to one queue.
func (w *work) planIndirection(queue int) ([]change, error) {
	table, err := indirection(w.driver)
	if unsupported(err) {
		return nil, fmt.Errorf("%s: %w by RSS: its driver has no indirection table (%w): leave the interface one queue (`wirepaxos nic tune %s --queues 1`)",
			w.name(), errCannotSteer, err, w.name())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: read its indirection table: %w", w.name(), err)
	}
	old := joinTable(table)
	value := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%d,", queue), len(table)), ",")
	if old == value {
		w.Say("%s: all IP packets go to queue %d already", w.name(), queue)
		return nil, nil
	}
	return []change{{setting: indirectionSetting{}, old: old, new: value}}, nil
}
