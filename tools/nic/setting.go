package nic

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/netdev"
)

// driver is what the kernel lets one read and change of one interface. Tests have another.
type driver interface {
	request(b []byte) error                 // of SIOCETHTOOL; the answer is in the same bytes
	read(file string) (string, error)       // of the interface's folder in sysfs
	write(file, text string) error          //
	interrupts() []int                      // of the interface's device
	affinity(irq int) (string, error)       // the list of CPUs that may serve it
	setAffinity(irq int, cpus string) error //
}

// kernel is the driver behind the kernel's interfaces.
type kernel struct {
	name   string
	index  int
	queues int // receive queues, at most
	sysfs  *netdev.Sysfs
}

func openKernel(a *netlink.LinkAttrs) (*kernel, error) {
	s, err := netdev.OpenSysfs(a.Name, a.Index)
	if err != nil {
		return nil, err
	}
	return &kernel{name: a.Name, index: a.Index, queues: a.NumRxQueues, sysfs: s}, nil
}

func (k *kernel) close() { k.sysfs.Close() }

func (k *kernel) request(b []byte) error           { return ethtoolRequest(k.name, b) }
func (k *kernel) read(file string) (string, error) { return k.sysfs.Read(file) }
func (k *kernel) write(file, text string) error    { return k.sysfs.Write(file, text) }

func (k *kernel) interrupts() []int {
	if all := k.sysfs.Interrupts(); len(all) > 0 {
		return all
	}
	return netdev.Interrupts(k.index, k.queues)
}

func affinityFile(irq int) string { return fmt.Sprintf("/proc/irq/%d/smp_affinity_list", irq) }

func (k *kernel) affinity(irq int) (string, error) { return netdev.ReadText(affinityFile(irq)) }
func (k *kernel) setAffinity(irq int, cpus string) error {
	return netdev.WriteText(affinityFile(irq), cpus)
}

// setting is one thing that can be read and changed, by text.
type setting interface {
	name() string
	get(d driver) (string, error)
	set(d driver, value string) error
}

// unsupported tells that a driver, or this kernel, does not have a setting.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, os.ErrNotExist)
}

// settingOf is the setting of a name, as state files have it.
func settingOf(name string) (setting, error) {
	for _, s := range settings {
		if s.name() == name {
			return s, nil
		}
	}
	kind, rest, _ := strings.Cut(name, "/")
	switch kind {
	case "irq":
		if n, err := strconv.ParseUint(rest, 10, 31); err == nil {
			return irqSetting(n), nil
		}
	case "rule":
		if s, err := parseRule(rest); err == nil {
			return s, nil
		}
	}
	return nil, fmt.Errorf("this program knows no setting %q", name)
}

// The settings of a driver that have one place.
var (
	ringRx       = wordSetting{"ring/rx", getRing, setRing, 9, 5, 1}
	ringTx       = wordSetting{"ring/tx", getRing, setRing, 9, 8, 4}
	coalesceRx   = wordSetting{"coalesce/rx-usecs", getCoalesce, setCoalesce, 23, 1, 0}
	coalesceTx   = wordSetting{"coalesce/tx-usecs", getCoalesce, setCoalesce, 23, 5, 0}
	adaptiveRx   = wordSetting{"coalesce/adaptive-rx", getCoalesce, setCoalesce, 23, 10, 0}
	adaptiveTx   = wordSetting{"coalesce/adaptive-tx", getCoalesce, setCoalesce, 23, 11, 0}
	ntuple       = flagSetting{"ntuple", flagNTuple}
	stripTags    = flagSetting{"rx-vlan-offload", flagStripTag}
	deferIRQs    = fileSetting("napi_defer_hard_irqs")
	flushTimeout = fileSetting("gro_flush_timeout")

	settings = []setting{channelsSetting{}, ringRx, ringTx, coalesceRx, coalesceTx, adaptiveRx, adaptiveTx, ntuple, stripTags, deferIRQs, flushTimeout,
		indirectionSetting{}}
)

// wordSetting is a word in a structure of ethtool, which is read whole, changed in that place, and written.
type wordSetting struct {
	text     string
	get32    uint32 // commands
	set32    uint32
	words    int
	place    int
	maxPlace int // of the word with its greatest value; 0: there is none
}

func (s wordSetting) name() string { return s.text }

func (s wordSetting) get(d driver) (string, error) {
	b := words(s.get32, s.words)
	err := d.request(b)
	return strconv.FormatUint(uint64(word(b, s.place)), 10), err
}

func (s wordSetting) set(d driver, value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return err
	}
	b := words(s.get32, s.words)
	if err := d.request(b); err != nil {
		return err
	}
	putWord(b, 0, s.set32)
	putWord(b, s.place, uint32(n))
	return d.request(b)
}

// atMost is the greatest value that the driver takes; 0: it does not tell.
func (s wordSetting) atMost(d driver) uint32 {
	b := words(s.get32, s.words)
	if s.maxPlace == 0 || d.request(b) != nil {
		return 0
	}
	return word(b, s.maxPlace)
}

// Words of struct ethtool_channels.
const (
	channelWords = 9
	maxRx        = 1
	maxTx        = 2
	maxCombined  = 4
	rxCount      = 5
	txCount      = 6
	combined     = 8
)

// channelsSetting is how many queues there are: combined ones, and those of drivers that count each direction for itself. They change together, for a
// driver checks them together.
type channelsSetting struct{}

func (channelsSetting) name() string { return "queues" }

func (channelsSetting) get(d driver) (string, error) {
	b := words(getChannels, channelWords)
	err := d.request(b)
	return channelsText(word(b, rxCount), word(b, txCount), word(b, combined)), err
}

func (channelsSetting) set(d driver, value string) error {
	var rx, tx, both uint32
	if _, err := fmt.Sscanf(value, "rx %d tx %d combined %d", &rx, &tx, &both); err != nil {
		return fmt.Errorf("%q is no number of queues: %w", value, err)
	}
	b := words(getChannels, channelWords)
	if err := d.request(b); err != nil {
		return err
	}
	putWord(b, 0, setChannels)
	putWord(b, rxCount, rx)
	putWord(b, txCount, tx)
	putWord(b, combined, both)
	return d.request(b)
}

func channelsText(rx, tx, both uint32) string {
	return fmt.Sprintf("rx %d tx %d combined %d", rx, tx, both)
}

// channelsFor is the value for n queues that both receive and send, and how many the driver has at most.
func channelsFor(d driver, n uint32) (value string, most uint32) {
	b := words(getChannels, channelWords)
	if d.request(b) != nil {
		return "", 0
	}
	if word(b, maxCombined) > 0 {
		return channelsText(word(b, rxCount), word(b, txCount), n), word(b, maxCombined)
	}
	return channelsText(n, n, 0), min(word(b, maxRx), word(b, maxTx))
}

// flagSetting is a feature that is on or off.
type flagSetting struct {
	text string
	bit  uint32
}

func (s flagSetting) name() string { return s.text }

func (s flagSetting) get(d driver) (string, error) {
	b := words(getFlags, 2)
	err := d.request(b)
	if word(b, 1)&s.bit != 0 {
		return "on", err
	}
	return "off", err
}

func (s flagSetting) set(d driver, value string) error {
	b := words(getFlags, 2)
	if err := d.request(b); err != nil {
		return err
	}
	flags := word(b, 1) &^ s.bit
	if value == "on" {
		flags |= s.bit
	}
	putWord(b, 0, setFlags)
	putWord(b, 1, flags)
	err := d.request(b)
	if errors.Is(err, unix.EINVAL) { // how the kernel says that the driver has not this one
		return fmt.Errorf("%w (%w)", unix.EOPNOTSUPP, err)
	}
	return err
}

// fileSetting is a file of the interface in sysfs.
type fileSetting string

func (s fileSetting) name() string                     { return string(s) }
func (s fileSetting) get(d driver) (string, error)     { return d.read(string(s)) }
func (s fileSetting) set(d driver, value string) error { return d.write(string(s), value) }

// irqSetting is which CPUs may serve an interrupt.
type irqSetting int

func (s irqSetting) name() string                 { return fmt.Sprintf("irq/%d", int(s)) }
func (s irqSetting) get(d driver) (string, error) { return d.affinity(int(s)) }

func (s irqSetting) set(d driver, value string) error {
	err := d.setAffinity(int(s), value)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: the kernel places this one itself (%w)", unix.EOPNOTSUPP, err)
	}
	return err
}

// indirectionSetting is the RSS indirection table: queues, joined by commas.
type indirectionSetting struct{}

func (indirectionSetting) name() string { return "indirection" }

func (indirectionSetting) get(d driver) (string, error) {
	table, err := indirection(d)
	if err != nil {
		return "", err
	}
	return joinTable(table), nil
}

func (indirectionSetting) set(d driver, value string) error {
	if value == evenTable(d) && d.request(indirect(nil)) == nil {
		return nil // the driver's own again, not a table of somebody's that reads the same
	}
	var table []uint32
	for text := range strings.SplitSeq(value, ",") {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return err
		}
		table = append(table, uint32(n))
	}
	return d.request(indirect(table))
}

// evenTable is the table of a driver whose table nobody has changed: over all of its queues in turn (ethtool_rxfh_indir_default).
func evenTable(d driver) string {
	table, err := indirection(d)
	channels := words(getChannels, channelWords)
	if err != nil || d.request(channels) != nil {
		return ""
	}
	queues := max(word(channels, rxCount)+word(channels, combined), 1)
	for i := range table {
		table[i] = uint32(i) % queues
	}
	return joinTable(table)
}

func joinTable(table []uint32) string {
	var b strings.Builder
	for i, q := range table {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(q), 10))
	}
	return b.String()
}
