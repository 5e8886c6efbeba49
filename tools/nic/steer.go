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
	if how == SteerRSS {
		return w.steerByTable(r)
	}
	done, err := w.steerByRule(r)
	if done || how == SteerNTuple || r.EtherType != 0 || !errors.Is(err, errCannotSteer) {
		return err
	}
	w.Say("%s: %v; all IP packets are steered instead, by their hash", w.name(), err)
	return w.steerByTable(r)
}

func (w *work) steerByRule(r *Rule) (done bool, err error) {
	plan, err := w.planRule(r)
	if err != nil {
		return false, err
	}
	if err := w.apply(plan); err != nil || w.DryRun || len(plan) == 0 {
		return true, err
	}
	// Turning filters on, before the rule, may be refused by a driver that has them on for ever: what counts is whether the rule is there.
	c := plan[len(plan)-1]
	if is, err := c.get(w.driver); err == nil && is != "" {
		return true, nil
	}
	refused := w.cannotRule(r, fmt.Errorf("the driver refused %s", label(c)))
	if s, err := w.readState(w.name()); err == nil && s == nil {
		return false, refused // nothing is other than it was
	}
	return false, fmt.Errorf("%w; %w: `wirepaxos nic restore %s` takes back what was changed for it", refused, ErrPartly, w.name())
}

func (w *work) steerByTable(r *Rule) error {
	plan, err := w.planIndirection(r.Queue)
	if err != nil {
		return err
	}
	if err := w.apply(plan); err != nil || w.DryRun || len(plan) == 0 {
		return err
	}
	if is, err := plan[0].get(w.driver); err != nil || is != plan[0].new {
		return fmt.Errorf("%s: %w: %s does not go there, the driver refused the table; `wirepaxos nic restore %s` goes back", w.name(), ErrPartly, r, w.name())
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

// cannotRule says what there is instead of a rule.
func (w *work) cannotRule(r *Rule, why error) error {
	advice := "leave the interface one queue (`wirepaxos nic tune " + w.name() + " --queues 1`), or use queue 0, where such frames arrive"
	if r.UDPPort != 0 {
		advice = "leave the interface one queue (`wirepaxos nic tune " + w.name() + " --queues 1`), or try --by rss"
	}
	if r.VLAN != 0 {
		advice += ", or try it without --vlan: many NICs look behind the tag"
	}
	return fmt.Errorf("%s: %w by rules: %w: %s", w.name(), errCannotSteer, why, advice)
}

// planRule finds a free place in the NIC's table of rules, and what is in its way there.
func (w *work) planRule(r *Rule) (plan []change, err error) {
	table, err := rulePlaces(w.driver)
	if unsupported(err) || errors.Is(err, unix.EINVAL) {
		return nil, w.cannotRule(r, fmt.Errorf("its driver has no ntuple filters (%w)", err))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: read its rules: %w", w.name(), err)
	}
	if table.size == 0 && !table.chooses {
		return nil, w.cannotRule(r, errors.New("its driver has no ntuple filters (its table has no place)"))
	}
	if old, err := ntuple.get(w.driver); err == nil && old == "off" {
		plan = append(plan, change{setting: ntuple, old: old, new: "on"})
	}
	there, err := listRulesOf(w.driver)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.name(), err)
	}
	for _, p := range there {
		switch {
		case p.Rule == *r:
			w.Say("%s: %s already, by rule %d", w.name(), r, p.Place)
			return nil, nil
		case p.Rule.matches(r):
			ours, err := w.isKept(ruleSetting{place: p.Place, rule: p.Rule}, ruleSetting{place: locationAny, rule: p.Rule})
			if err != nil {
				return nil, err
			}
			if ours == nil {
				return nil, fmt.Errorf("%s: rule %d, which wirepaxos did not make, has %s %s: `ethtool -N %s delete %d` removes it", w.name(), p.Place, p.Match,
					p.where(), w.name(), p.Place)
			}
			plan = append(plan, change{setting: ours, old: p.Rule.String(), new: ""})
		case p.Rule.Takes(r) && p.Queue != r.Queue:
			w.Say("%s: rule %d has %s %s: it may take these packets too", w.name(), p.Place, p.Match, p.where())
		}
	}
	place, ok := table.freePlace()
	if !ok {
		return nil, fmt.Errorf("%s: all %d rules of the NIC are in use: `ethtool -n %s` shows them", w.name(), table.size, w.name())
	}
	return append(plan, change{setting: ruleSetting{place: place, rule: *r}, new: r.String()}), nil
}

// isKept is the first of some settings that the file of old values has, nil if it has none.
func (w *work) isKept(some ...setting) (setting, error) {
	s, err := w.readState(w.name())
	if err != nil || s == nil || s.isOf(w.link) != nil {
		return nil, err
	}
	for _, x := range some {
		if s.has(x.name()) {
			return x, nil
		}
	}
	return nil, nil
}

// Indirection reads the table by which an interface spreads packets over its queues: the queue of each cell. A NIC that has no such table has none.
func Indirection(name string) ([]uint32, error) {
	table, err := indirection(&kernel{name: name})
	if unsupported(err) {
		return nil, nil
	}
	return table, err
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
