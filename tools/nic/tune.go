package nic

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"wirepaxos/dataplane"
)

// Tuning is what Tune shall set; what is nil or empty stays.
type Tuning struct {
	Queues          *uint32 // combined channels
	RxRing          *uint32 // descriptors
	TxRing          *uint32
	CoalesceUsecs   *uint32 // for both directions; turns adaptive coalescing off
	DeferHardIRQs   *uint32 // how many empty polls before interrupts are on again
	GroFlushTimeout *time.Duration
	KeepTags        bool  // VLAN tags stay in the packets, where XDP sees them
	LoopCores       []int // that interrupts of the NIC shall not use
}

// BusyPolling sets the two values that the kernel's document on AF_XDP gives as an example for busy polling (Documentation/networking/af_xdp.rst,
// XDP_SOCKET busy polling), where t does not say otherwise.
func (t *Tuning) BusyPolling() {
	if t.DeferHardIRQs == nil {
		polls := uint32(2)
		t.DeferHardIRQs = &polls
	}
	if t.GroFlushTimeout == nil {
		timeout := 200 * time.Microsecond
		t.GroFlushTimeout = &timeout
	}
}

func (t *Tuning) check() error {
	switch {
	case t.Queues == nil && t.RxRing == nil && t.TxRing == nil && t.CoalesceUsecs == nil && t.DeferHardIRQs == nil && t.GroFlushTimeout == nil &&
		!t.KeepTags && len(t.LoopCores) == 0:
		return fmt.Errorf("say what to set: --busy-poll, --queues N, --loop-cores LIST or another of the flags in `wirepaxos nic tune --help`")
	case t.Queues != nil && *t.Queues == 0:
		return fmt.Errorf("--queues 0: an interface needs one at least")
	case t.GroFlushTimeout != nil && *t.GroFlushTimeout < 0:
		return fmt.Errorf("--gro-flush-timeout %v: 0 or more", *t.GroFlushTimeout)
	}
	return nil
}

// Tune sets up an interface for poll loops.
func Tune(o Options, name string, t Tuning) error {
	if err := t.check(); err != nil {
		return err
	}
	w, end, err := begin(o, name)
	if err != nil {
		return err
	}
	defer end()
	return w.maybeLocked(func() error { return w.tune(&t) })
}

// maybeLocked locks out other commands, unless this one only tells.
func (w *work) maybeLocked(fn func() error) error {
	if w.DryRun {
		return fn()
	}
	return w.locked(fn)
}

// tune makes two plans: with the number of queues the NIC's interrupts change.
func (w *work) tune(t *Tuning) error {
	if err := w.checkMost(t); err != nil {
		return err
	}
	if err := w.apply(w.planDriver(t)); err != nil {
		return err
	}
	if len(t.LoopCores) > 0 {
		plan, err := w.planInterrupts(t.LoopCores)
		if err != nil {
			return err
		}
		if err := w.apply(plan); err != nil {
			return err
		}
	}
	return w.result()
}

// checkMost refuses what is more than the NIC has, before anything is changed.
func (w *work) checkMost(t *Tuning) error {
	if t.Queues != nil {
		if _, most := channelsFor(w.driver, *t.Queues); most > 0 && *t.Queues > most {
			return fmt.Errorf("queues of %s: the driver has at most %d, not %d", w.name(), most, *t.Queues)
		}
	}
	for _, c := range []struct {
		setting wordSetting
		value   *uint32
	}{{ringRx, t.RxRing}, {ringTx, t.TxRing}} {
		if c.value == nil {
			continue
		}
		if most := c.setting.atMost(w.driver); most > 0 && *c.value > most {
			return fmt.Errorf("%s of %s: the driver has at most %d, not %d", c.setting.name(), w.name(), most, *c.value)
		}
	}
	return nil
}

func (w *work) planDriver(t *Tuning) (plan []change) {
	put := func(s setting, value *uint32) {
		if value != nil {
			plan = w.want(plan, s, strconv.FormatUint(uint64(*value), 10))
		}
	}
	if t.Queues != nil {
		value, _ := channelsFor(w.driver, *t.Queues)
		plan = w.want(plan, channelsSetting{}, value)
	}
	put(ringRx, t.RxRing)
	put(ringTx, t.TxRing)
	if t.CoalesceUsecs != nil {
		fixed := uint32(0)
		put(adaptiveRx, &fixed)
		put(adaptiveTx, &fixed)
	}
	put(coalesceRx, t.CoalesceUsecs)
	put(coalesceTx, t.CoalesceUsecs)
	if t.KeepTags {
		plan = w.want(plan, stripTags, "off")
	}
	put(deferIRQs, t.DeferHardIRQs)
	if t.GroFlushTimeout != nil {
		plan = w.want(plan, flushTimeout, strconv.FormatInt(t.GroFlushTimeout.Nanoseconds(), 10))
	}
	return plan
}

// planInterrupts takes the NIC's interrupts off the cores of loops. One that could run nowhere else stays.
func (w *work) planInterrupts(cores []int) (plan []change, err error) {
	all := w.interrupts()
	if len(all) == 0 {
		w.Say("%s: irq affinity is skipped: the kernel tells of no interrupts of it", w.name())
	}
	for _, irq := range all {
		s := irqSetting(irq)
		text, err := s.get(w.driver)
		if unsupported(err) {
			continue // a vector that is not in use
		}
		if err != nil {
			return nil, fmt.Errorf("%s: read who serves interrupt %d: %w", w.name(), irq, err)
		}
		now, err := dataplane.ParseCores(text)
		if err != nil {
			return nil, fmt.Errorf("%s: interrupt %d is served by %q: %w", w.name(), irq, text, err)
		}
		rest := slices.DeleteFunc(slices.Clone(now), func(cpu int) bool { return slices.Contains(cores, cpu) })
		switch {
		case len(rest) == 0:
			w.Say("%s: irq/%d is skipped: it may run on %s alone, and something has to serve it", w.name(), irq, text)
		case len(rest) < len(now):
			plan = append(plan, change{setting: s, old: text, new: dataplane.FormatCores(rest)})
		}
	}
	return plan, nil
}
