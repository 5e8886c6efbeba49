package nic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// fake is a driver that has what a test gives it, and writes down what it is told to change.
type fake struct {
	channels []byte            // as answers to getChannels, ...; nil: EOPNOTSUPP
	ring     []byte            //
	coalesce []byte            //
	table    []uint32          // the indirection table
	flags    uint32            //
	fixed    uint32            // flags that cannot be changed
	rules    map[uint32][]byte // by place; nil: no rules at all
	size     uint32            // of the table of rules
	chooses  bool              // places of rules, and takes none that is given
	files    map[string]string
	irqs     map[int]string
	managed  []int            // interrupts that only the kernel may move
	refuse   error            // of all changes from now on
	refuses  map[uint32]error // of one command that changes something, or of files (refuseFiles) and interrupts (refuseIRQs)

	set [][]byte // requests that change something
	did []string // other changes
}

func (f *fake) request(b []byte) error {
	command := word(b, 0)
	switch command {
	case setCoalesce, setRing, setFlags, setChannels, insertRule, deleteRule, setIndirect:
		f.set = append(f.set, slices.Clone(b))
		if err := errors.Join(f.refuse, f.refuses[command]); err != nil {
			return err
		}
	}
	switch command {
	case getChannels, setChannels:
		return answer(&f.channels, b, command == setChannels)
	case getRing, setRing:
		return answer(&f.ring, b, command == setRing)
	case getCoalesce, setCoalesce:
		return answer(&f.coalesce, b, command == setCoalesce)
	case getFlags:
		putWord(b, 1, f.flags)
	case setFlags:
		if (word(b, 1)^f.flags)&f.fixed != 0 {
			return unix.EINVAL
		}
		f.flags = word(b, 1)
	case getIndirect, setIndirect:
		return f.indirection(b)
	default:
		return f.rule(b)
	}
	return nil
}

func answer(held *[]byte, b []byte, set bool) error {
	switch {
	case *held == nil:
		return unix.EOPNOTSUPP
	case set:
		*held = slices.Clone(b)
	default:
		copy(b[4:], (*held)[4:])
	}
	return nil
}

func (f *fake) indirection(b []byte) error {
	if f.table == nil {
		return unix.EOPNOTSUPP
	}
	n := word(b, 1)
	if word(b, 0) == setIndirect && n == 0 { // the driver's own again
		for i := range f.table {
			f.table[i] = uint32(i) % (word(f.channels, rxCount) + word(f.channels, combined))
		}
		return nil
	}
	for i := range min(int(n), len(f.table)) {
		if word(b, 0) == setIndirect {
			f.table[i] = word(b, 2+i)
		} else {
			putWord(b, 2+i, f.table[i])
		}
	}
	putWord(b, 1, uint32(len(f.table)))
	return nil
}

func (f *fake) rule(b []byte) error {
	if f.rules == nil {
		return unix.EOPNOTSUPP
	}
	place := binary.NativeEndian.Uint32(b[specLocation:])
	_, taken := f.rules[place]
	switch word(b, 0) {
	case countRules:
		binary.NativeEndian.PutUint32(b[rxnfcCount:], uint32(len(f.rules)))
		if f.chooses {
			binary.NativeEndian.PutUint64(b[rxnfcData:], locationSpecial)
		}
	case listRules:
		binary.NativeEndian.PutUint64(b[rxnfcData:], uint64(f.size))
		i := 0
		for place := range f.rules {
			binary.NativeEndian.PutUint32(b[rxnfcRules+4*i:], place)
			i++
		}
	case getRule:
		if !taken {
			return unix.ENOENT
		}
		copy(b[rxnfcSpec:], f.rules[place][min(rxnfcSpec, len(f.rules[place])):])
	case insertRule:
		if f.chooses != (place == locationAny) {
			return unix.EINVAL
		}
		if f.chooses {
			place = uint32(len(f.rules)) + 100
			binary.NativeEndian.PutUint32(b[specLocation:], place)
		}
		f.rules[place] = slices.Clone(b)
	case deleteRule:
		if !taken {
			return unix.ENOENT
		}
		delete(f.rules, place)
	default:
		return unix.EOPNOTSUPP
	}
	return nil
}

func (f *fake) read(file string) (string, error) {
	text, ok := f.files[file]
	if !ok {
		return "", os.ErrNotExist
	}
	return text, nil
}

// What refuses says of changes that are no requests.
const refuseFiles, refuseIRQs = 1 << 16, 1<<16 + 1

func (f *fake) write(file, text string) error {
	f.did = append(f.did, file+"="+text)
	err := errors.Join(f.refuse, f.refuses[refuseFiles])
	if err == nil {
		f.files[file] = text
	}
	return err
}

func (f *fake) interrupts() (all []int) {
	for irq := range f.irqs {
		all = append(all, irq)
	}
	slices.Sort(all)
	return all
}

func (f *fake) affinity(irq int) (string, error) { return f.irqs[irq], nil }

func (f *fake) setAffinity(irq int, cpus string) error {
	if slices.Contains(f.managed, irq) {
		return unix.EIO
	}
	if err := f.refuses[refuseIRQs]; err != nil {
		return err
	}
	f.did = append(f.did, fmt.Sprintf("irq/%d=%s", irq, cpus))
	f.irqs[irq] = cpus
	return nil
}

// channelsOf are answers to getChannels: rx, tx and combined, and the most of each.
func channelsOf(rx, tx, both, mostRx, mostTx, mostBoth uint32) []byte {
	b := words(0, channelWords)
	for place, n := range map[int]uint32{rxCount: rx, txCount: tx, combined: both, maxRx: mostRx, maxTx: mostTx, maxCombined: mostBoth} {
		putWord(b, place, n)
	}
	return b
}

// trial is a command on a fake, with places of the test's own.
type trial struct {
	*work
	*fake
	said []string
}

func newTrial(t *testing.T, f *fake) *trial {
	t.Helper()
	dir := t.TempDir()
	b := &trial{fake: f}
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "eth7", Index: 7, NumRxQueues: 4, NumTxQueues: 4}}
	o := Options{Places: Places{Pins: filepath.Join(dir, "bpf"), State: dir}}
	o.Say = func(format string, args ...any) { b.said = append(b.said, fmt.Sprintf(format, args...)) }
	b.work = &work{Options: o, link: link, driver: f}
	return b
}

// tells fails unless a line with all of these words was said.
func (b *trial) tells(t *testing.T, words ...string) {
	t.Helper()
	for _, line := range b.said {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return
		}
	}
	t.Errorf("no line has all of %q:\n%s", words, strings.Join(b.said, "\n"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect fails unless err has all of these words.
func expect(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Fatalf("%q is missing in %v", w, err)
		}
	}
}
