package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cilium/ebpf"
)

// The switch's tables are BPF maps, shared by the programs of all its ends. Nothing pins them: the programs hold them, the links
// hold the programs, and another process finds them again through the link (openTables).
const (
	mapAddresses = "wp_addresses" // hash: destination MAC, padded to 8 bytes, to target
	mapEnds      = "wp_ends"      // devmap: slot to the switch end's interface
	mapSettings  = "wp_settings"  // one cell: faults and cuts, read by the programs for every frame
	mapCounters  = "wp_counters"  // one cell: what the programs did, counted by the end where the frame came in
	mapDelays    = "wp_delays"    // ring: frames to be sent on later
	mapReleased  = "wp_released"  // array: delayed frames that were sent on, counted by the serving process
)

// A target is what a frame's destination means to the switch: a slot, or everyone, and how to get there.
const (
	targetSlotMask  = MaxHosts - 1
	targetEveryone  = 1 << 6 // multicast and broadcast; no slot
	targetSteered   = 1 << 8 // the host has several queues: its steering rules choose
	targetDuplicate = 1 << 9 // to the classifier: send it twice
)

// Offsets into the cell of mapSettings. All words are uint64 in the machine's order but the interfaces, which are uint32.
const (
	settingDropBelow      = 0  // a fault happens where a random uint32 lies below its word
	settingDuplicateBelow = 8  //
	settingDelayBelow     = 16 //
	settingDelayNs        = 24
	settingEveryoneSlow   = 32 // not 0: multicast goes through the classifier, which heeds cuts and queues
	settingCuts           = 64 // per sending slot: a bit per receiving slot, set where the way is cut
	settingEnds           = settingCuts + 8*MaxHosts
	settingsSize          = settingEnds + 4*MaxHosts
)

// Counters of one switch end lie together in a cache line of their own.
const (
	countForwarded = iota
	countDropped
	countDuplicated
	countDelayed
	countUndelayed
	countUnknown
	countCut
	countWords = 8
)

const countersSize = MaxHosts * countWords * 8

const (
	// A record of the ring: when the frame is due (ns on the monotonic clock), slot it came in at, target, length, and the frame.
	recordDue    = 0
	recordFrom   = 8
	recordTarget = 10
	recordLength = 12
	recordFrame  = 16
	maxFrame     = MaxMTU + 14 + 4 // with Ethernet header and tag
	recordSize   = (recordFrame + maxFrame + 7) &^ 7

	delayRingBytes = 4 << 20 // some thousand frames between two reads; a full ring lets frames pass undelayed
)

// tables are the maps of one switch, as this process holds them.
type tables struct {
	addresses, ends, settings, counters, delays, released *ebpf.Map
}

// named pairs the maps with their names; a place for both making and finding them.
func (t *tables) named() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		mapAddresses: &t.addresses, mapEnds: &t.ends, mapSettings: &t.settings,
		mapCounters: &t.counters, mapDelays: &t.delays, mapReleased: &t.released,
	}
}

func newTables() (*tables, error) {
	specs := map[string]*ebpf.MapSpec{
		mapAddresses: {Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: MaxHosts},
		mapEnds:      {Type: ebpf.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: MaxHosts},
		mapSettings:  {Type: ebpf.Array, KeySize: 4, ValueSize: settingsSize, MaxEntries: 1},
		mapCounters:  {Type: ebpf.Array, KeySize: 4, ValueSize: countersSize, MaxEntries: 1},
		mapDelays:    {Type: ebpf.RingBuf, MaxEntries: delayRingBytes},
		mapReleased:  {Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: MaxHosts},
	}
	t := new(tables)
	for name, place := range t.named() {
		spec := specs[name]
		spec.Name = name
		made, err := ebpf.NewMap(spec)
		if err != nil {
			t.close()
			return nil, fmt.Errorf("switch table %s: %w", name, err)
		}
		*place = made
	}
	return t, nil
}

// openTables finds the tables of a program that is attached to a switch end.
func openTables(program ebpf.ProgramID) (*tables, error) {
	prog, err := ebpf.NewProgramFromID(program)
	if err != nil {
		return nil, fmt.Errorf("switch program %d: %w", program, err)
	}
	defer func() { _ = prog.Close() }() // the link holds it
	info, err := prog.Info()
	if err != nil {
		return nil, fmt.Errorf("switch program %d: %w", program, err)
	}
	ids, _ := info.MapIDs()
	t := new(tables)
	places := t.named()
	for _, id := range ids {
		found, err := ebpf.NewMapFromID(id)
		if err != nil {
			t.close()
			return nil, fmt.Errorf("switch table %d: %w", id, err)
		}
		about, err := found.Info()
		if err != nil {
			t.close()
			return nil, errors.Join(fmt.Errorf("switch table %d: %w", id, err), found.Close())
		}
		if place := places[about.Name]; place != nil {
			*place = found
			delete(places, about.Name)
		} else if err := found.Close(); err != nil {
			t.close()
			return nil, fmt.Errorf("close table %d: %w", id, err)
		}
	}
	// The XDP program uses all but the one that only the serving process and readers know.
	for name := range places {
		t.close()
		return nil, fmt.Errorf("switch program %d has no table %s: it is not a lab's", program, name)
	}
	return t, nil
}

func (t *tables) close() {
	for _, place := range t.named() {
		if *place != nil {
			_ = (*place).Close() // closing a descriptor of a map cannot fail in a way that matters
			*place = nil
		}
	}
}

// settings is a copy of the cell of mapSettings.
type settings [settingsSize]byte

func (s *settings) word(offset int) uint64 { return binary.NativeEndian.Uint64(s[offset:]) }

func (s *settings) setWord(offset int, v uint64) { binary.NativeEndian.PutUint64(s[offset:], v) }

// chance turns parts per million into the bound below which a random uint32 means yes. A million gives 1<<32: always.
func chance(ppm uint32) uint64 { return (uint64(ppm)<<32 + million/2) / million }

func ppmOf(bound uint64) uint32 { return uint32((bound*million + 1<<31) >> 32) }

func (s *settings) setFaults(f Faults) {
	s.setWord(settingDropBelow, chance(f.DropPPM))
	s.setWord(settingDuplicateBelow, chance(f.DuplicatePPM))
	s.setWord(settingDelayBelow, chance(f.DelayPPM))
	s.setWord(settingDelayNs, uint64(f.Delay))
}

func (s *settings) faults() Faults {
	return Faults{
		DropPPM:      ppmOf(s.word(settingDropBelow)),
		DuplicatePPM: ppmOf(s.word(settingDuplicateBelow)),
		DelayPPM:     ppmOf(s.word(settingDelayBelow)),
		Delay:        time.Duration(s.word(settingDelayNs)),
	}
}

// cuts is the mask of the slots that a sending slot cannot reach.
func (s *settings) cuts(from int) uint64 { return s.word(settingCuts + 8*from) }

func (s *settings) setCuts(from int, mask uint64) { s.setWord(settingCuts+8*from, mask) }

func (s *settings) end(slot int) uint32 { return binary.NativeEndian.Uint32(s[settingEnds+4*slot:]) }

func (s *settings) setEnd(slot int, index uint32) {
	binary.NativeEndian.PutUint32(s[settingEnds+4*slot:], index)
}

func (t *tables) readSettings() (*settings, error) {
	s := new(settings)
	if err := t.settings.Lookup(uint32(0), s[:]); err != nil {
		return nil, fmt.Errorf("read the switch's settings: %w", err)
	}
	return s, nil
}

func (t *tables) writeSettings(s *settings) error {
	if err := t.settings.Put(uint32(0), s[:]); err != nil {
		return fmt.Errorf("write the switch's settings: %w", err)
	}
	return nil
}

// addressKey is a MAC as a key of mapAddresses.
func addressKey(mac net.HardwareAddr) [8]byte {
	var key [8]byte
	copy(key[:6], mac)
	return key
}

// Counters are what the switch did with the frames that one host sent. A multicast frame counts once.
type Counters struct {
	Forwarded  uint64 `json:"forwarded"`  // sent on at once, duplicated ones included
	Dropped    uint64 `json:"dropped"`    // by Faults.DropPPM
	Duplicated uint64 `json:"duplicated"` // sent on twice
	Delayed    uint64 `json:"delayed"`    // kept, to be sent on later
	Released   uint64 `json:"released"`   // of the delayed: sent on, or discarded because the way was cut meanwhile
	Undelayed  uint64 `json:"undelayed"`  // were to be delayed, but the ring was full: sent on at once
	Unknown    uint64 `json:"unknown"`    // dropped: addressed to no other host, or no frame of the lab
	Cut        uint64 `json:"cut"`        // dropped: the way is cut
}

// readCounters reads the counters of the first n hosts.
func (t *tables) readCounters(n int) ([]Counters, error) {
	var cell [countersSize]byte
	if err := t.counters.Lookup(uint32(0), cell[:]); err != nil {
		return nil, fmt.Errorf("read the switch's counters: %w", err)
	}
	all := make([]Counters, n)
	for slot := range all {
		word := func(count int) uint64 {
			return binary.NativeEndian.Uint64(cell[(slot*countWords+count)*8:])
		}
		all[slot] = Counters{
			Forwarded: word(countForwarded), Dropped: word(countDropped), Duplicated: word(countDuplicated),
			Delayed: word(countDelayed), Undelayed: word(countUndelayed), Unknown: word(countUnknown), Cut: word(countCut),
		}
		if err := t.released.Lookup(uint32(slot), &all[slot].Released); err != nil {
			return nil, fmt.Errorf("read the count of released frames: %w", err)
		}
	}
	return all, nil
}
