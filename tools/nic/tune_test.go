package nic

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func number32(n uint32) *uint32 { return &n }

// fullNIC has everything that Tune knows.
func fullNIC() *fake {
	f := &fake{channels: channelsOf(0, 0, 4, 0, 0, 8), ring: words(0, 9), coalesce: words(0, 23), flags: flagStripTag,
		files: map[string]string{"napi_defer_hard_irqs": "0", "gro_flush_timeout": "0"},
		irqs:  map[int]string{30: "0-3", 31: "2", 32: "0-1", 33: "1-3"}, managed: []int{33}}
	putWord(f.ring, 5, 256)
	putWord(f.ring, 8, 512)
	putWord(f.ring, 1, 4096)
	putWord(f.ring, 4, 4096)
	putWord(f.coalesce, 1, 50)
	putWord(f.coalesce, 5, 60)
	putWord(f.coalesce, 10, 1)
	putWord(f.coalesce, 2, 77) // that nobody asked to change
	return f
}

func everything() *Tuning {
	t := &Tuning{Queues: number32(2), RxRing: number32(1024), TxRing: number32(1024), CoalesceUsecs: number32(0), KeepTags: true, LoopCores: []int{2, 3}}
	t.BusyPolling()
	return t
}

// Each setting is one request that changes one word and leaves the others as they were; restore puts all back, the last first.
func TestTuneAndRestore(t *testing.T) {
	f := fullNIC()
	w := newTrial(t, f)
	must(t, w.tune(everything()))
	commands := []uint32{}
	for _, b := range f.set {
		commands = append(commands, word(b, 0))
	}
	want := []uint32{setChannels, setRing, setRing, setCoalesce, setCoalesce, setCoalesce, setFlags}
	if !slices.Equal(commands, want) {
		t.Fatalf("requests %x, want %x", commands, want)
	}
	if b := f.set[0]; word(b, combined) != 2 || word(b, maxCombined) != 8 {
		t.Errorf("channels %x", b)
	}
	if word(f.ring, 5) != 1024 || word(f.ring, 8) != 1024 || word(f.ring, 1) != 4096 {
		t.Errorf("ring %x", f.ring)
	}
	if word(f.coalesce, 1) != 0 || word(f.coalesce, 5) != 0 || word(f.coalesce, 10) != 0 || word(f.coalesce, 2) != 77 {
		t.Errorf("coalescing %x", f.coalesce)
	}
	if did := strings.Join(f.did, " "); did != "napi_defer_hard_irqs=2 gro_flush_timeout=200000 irq/30=0-1" {
		t.Errorf("did %s", did)
	}
	w.tells(t, "coalesce/adaptive-tx is 0 already")
	w.tells(t, "queues: rx 0 tx 0 combined 4 -> rx 0 tx 0 combined 2")
	w.tells(t, "irq/31 is skipped", "something has to serve it")
	w.tells(t, "irq/33 is skipped", "the kernel places this one itself")
	must(t, w.restore())
	if fresh := fullNIC(); word(f.channels, combined) != 4 || string(f.ring[4:]) != string(fresh.ring[4:]) ||
		string(f.coalesce[4:]) != string(fresh.coalesce[4:]) || f.flags != fresh.flags || f.irqs[30] != "0-3" ||
		f.files["gro_flush_timeout"] != "0" || f.files["napi_defer_hard_irqs"] != "0" {
		t.Errorf("restored: %+v", f)
	}
	if last := f.set[len(f.set)-1]; word(last, 0) != setChannels {
		t.Errorf("the first change is not the last to go back: %x", last)
	}
	w.said = nil
	must(t, w.restore())
	w.tells(t, "no setting was changed")
}

// Everything that shall change is in the file before the first change is made.
func TestKeptBeforeTheFirstChange(t *testing.T) {
	f := fullNIC()
	w := newTrial(t, f)
	spy := &keptFirst{fake: f, t: t, w: w}
	w.work.driver = spy
	must(t, w.tune(everything()))
	if spy.looked == 0 {
		t.Fatal("nothing was changed")
	}
}

// keptFirst looks at the file at each change.
type keptFirst struct {
	*fake
	t      *testing.T
	w      *trial
	looked int
}

func (k *keptFirst) request(b []byte) error {
	if word(b, 0) == setChannels || word(b, 0) == setRing || word(b, 0) == setFlags {
		k.looked++
		s, err := k.w.readState("eth7")
		if err != nil || s == nil || len(s.Old) < 8 {
			k.t.Errorf("at request %x: kept %+v, %v", word(b, 0), s, err)
		}
	}
	return k.fake.request(b)
}

// A second Tune keeps what was before the first; so does one after a crash in the middle of the first.
func TestFirstOldValueStays(t *testing.T) {
	f := fullNIC()
	w := newTrial(t, f)
	must(t, w.tune(&Tuning{RxRing: number32(1024)}))
	must(t, w.tune(&Tuning{RxRing: number32(2048), GroFlushTimeout: new(time.Duration)}))
	if word(f.ring, 5) != 2048 {
		t.Fatalf("ring %d", word(f.ring, 5))
	}
	must(t, w.restore())
	if word(f.ring, 5) != 256 {
		t.Fatalf("ring restored to %d", word(f.ring, 5))
	}
	// The crash: kept, and never changed.
	s := newState(w.link)
	s.keep(ringRx.name(), "256")
	s.keep(deferIRQs.name(), "0")
	must(t, w.writeState(s))
	f.files["napi_defer_hard_irqs"] = "9"
	must(t, w.restore())
	if f.files["napi_defer_hard_irqs"] != "0" || word(f.ring, 5) != 256 {
		t.Fatalf("%+v", f)
	}
}

// A dry run changes nothing and keeps nothing, and says the same.
func TestDryRun(t *testing.T) {
	f := fullNIC()
	w := newTrial(t, f)
	w.DryRun = true
	must(t, w.tune(everything()))
	if len(f.set) != 0 || len(f.did) != 0 {
		t.Fatalf("changed %x %v", f.set, f.did)
	}
	w.tells(t, "ring/rx: 256 -> 1024")
	if left, err := os.ReadDir(w.State); err != nil || len(left) != 0 {
		t.Fatalf("wrote %v, %v", left, err)
	}
}

// What a driver does not have is skipped; what it refuses makes the command fail after the rest was done, and restore goes on from there.
func TestRefusals(t *testing.T) {
	f := &fake{files: map[string]string{"gro_flush_timeout": "0"}, fixed: flagStripTag, flags: flagStripTag}
	w := newTrial(t, f)
	must(t, w.tune(&Tuning{Queues: number32(2), RxRing: number32(64), CoalesceUsecs: number32(1), DeferHardIRQs: number32(2), KeepTags: true, LoopCores: []int{1}}))
	for _, word := range []string{"queues", "ring/rx", "coalesce/rx-usecs", "napi_defer_hard_irqs", "rx-vlan-offload", "irq affinity"} {
		w.tells(t, word+" is skipped")
	}
	must(t, w.restore())

	f = fullNIC()
	w = newTrial(t, f)
	f.refuse = unix.EBUSY
	err := w.tune(&Tuning{Queues: number32(1), LoopCores: []int{3}})
	if !errors.Is(err, ErrPartly) {
		t.Fatal(err)
	}
	expect(t, err, "1 refused", "nic restore eth7")
	w.tells(t, "queues stays", "busy")
	if f.irqs[30] != "0-2" {
		t.Fatalf("the rest was not done: %v", f.irqs)
	}
	f.refuse = nil
	must(t, w.restore())

	w.failures = 0 // the next command
	must(t, w.tune(&Tuning{RxRing: number32(512)}))
	f.refuse = unix.EBUSY
	if err := w.restore(); !errors.Is(err, ErrPartly) {
		t.Fatal(err)
	}
	f.refuse = nil
	must(t, w.restore())
	if word(f.ring, 5) != 256 {
		t.Fatalf("ring %d", word(f.ring, 5))
	}
}

// More than the NIC has is refused before anything is changed; so is nothing at all.
func TestTuneBounds(t *testing.T) {
	f := fullNIC()
	w := newTrial(t, f)
	expect(t, w.tune(&Tuning{Queues: number32(9)}), "at most 8, not 9")
	expect(t, w.tune(&Tuning{TxRing: number32(8192), Queues: number32(1)}), "ring/tx", "at most 4096, not 8192")
	if len(f.set) != 0 {
		t.Fatalf("changed %x", f.set)
	}
	expect(t, Tune(w.Options, "nonexistent0", Tuning{}), "say what to set")
	expect(t, Tune(w.Options, "nonexistent0", Tuning{Queues: number32(0)}), "--queues 0")
	expect(t, Tune(w.Options, "nonexistent0", Tuning{Queues: number32(1)}), "nonexistent0", "does not exist")
}

// Old values of another boot or another interface are not put back.
func TestForeignStateIsDropped(t *testing.T) {
	for name, spoil := range map[string]func(*state){
		"boot": func(s *state) { s.Boot = "another" }, "index": func(s *state) { s.Index = 99 }, "namespace": func(s *state) { s.Namespace++ },
	} {
		f := fullNIC()
		w := newTrial(t, f)
		s := newState(w.link)
		s.keep(ringRx.name(), "64")
		spoil(s)
		must(t, w.writeState(s))
		must(t, w.restore())
		w.tells(t, "is dropped")
		if len(f.set) != 0 {
			t.Errorf("%s: changed %x", name, f.set)
		}
		if s, err := w.readState("eth7"); s != nil || err != nil {
			t.Errorf("%s: kept %v, %v", name, s, err)
		}
	}
	w := newTrial(t, fullNIC())
	must(t, os.WriteFile(w.statePath("eth7"), []byte("{"), 0o600))
	expect(t, w.restore(), "eth7", "look at it, and remove it")
}
