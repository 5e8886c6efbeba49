package afxdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// PinDir is where the bpffs of our own is mounted that keeps pins. It lies outside /sys/fs/bpf, which a fresh mount of sysfs hides.
const PinDir = "/run/wirepaxos/bpf"

// A folder of pins belongs to one interface. The pin of the link is what keeps the program attached while no process runs; the others are there
// to be looked at, and named as the maps are.
const (
	pinLink    = "link"
	pinProgram = "program"
)

// Program is the XDP program on an interface.
type Program struct {
	ID     uint32
	Name   string
	Ours   bool // of this version: a port shares it
	Native bool // it runs inside the driver
}

// ProgramOn tells which XDP program is on an interface of the calling thread's network namespace; nil: none.
func ProgramOn(index int) (*Program, error) {
	id, native, err := (&nic{index: index}).attachedProgram()
	if err != nil || id == 0 {
		return nil, err
	}
	p := &Program{ID: id, Native: native}
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // it went meanwhile
	}
	if err != nil {
		return p, fmt.Errorf("open XDP program %d: %w", id, err)
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return p, fmt.Errorf("read XDP program %d: %w", id, err)
	}
	p.Name, p.Ours = info.Name, info.Name == programName
	return p, nil
}

// Pin makes our program stay on the interface while no process has a port there: it joins it, or attaches it, and pins link, program and maps in
// folder, which lies in a bpffs. Ports that open later find the program on the interface, as without pins. Pinning again changes nothing. On
// failure it leaves nothing.
func Pin(name, folder string) error {
	n, fail := lookNIC(name, 0)
	if fail != nil {
		fail.Interface = name
		return fail
	}
	s, fail := openSteering(n)
	if fail != nil {
		fail.Interface = name
		return fail
	}
	defer s.closeDescriptors()
	same, err := s.isPinnedIn(folder)
	if err != nil || same {
		return err
	}
	if err = removePins(folder); err == nil {
		if err = s.pin(n, folder); err != nil {
			_ = removePins(folder) // the first error is the one to tell
		}
	}
	if err != nil {
		return fmt.Errorf("afxdp: %s: %w", name, err)
	}
	return nil
}

// pin makes the pins, the link's last: it is what tells a whole folder.
func (s *steering) pin(n *nic, folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make the folder of pins: %w", err)
	}
	for _, spec := range mapSpecs(1) {
		if err := (*s.place(spec.Name)).Pin(filepath.Join(folder, spec.Name)); err != nil {
			return fmt.Errorf("pin map %s: %w", spec.Name, err)
		}
	}
	id, _, err := n.attachedProgram()
	if err != nil {
		return err
	}
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return fmt.Errorf("open XDP program %d: %w", id, err)
	}
	defer prog.Close()
	if err := prog.Pin(filepath.Join(folder, pinProgram)); err != nil {
		return fmt.Errorf("pin the program: %w", err)
	}
	if err := s.link.Pin(filepath.Join(folder, pinLink)); err != nil {
		return fmt.Errorf("pin the link: %w", err)
	}
	return nil
}

// isPinnedIn tells whether folder keeps the very link that s holds.
func (s *steering) isPinnedIn(folder string) (bool, error) {
	kept, err := link.LoadPinnedLink(filepath.Join(folder, pinLink), nil)
	if err != nil {
		return false, nil // no pin, or none that can be used: Pin makes it anew, and tells what is wrong then
	}
	defer kept.Close()
	was, err := kept.Info()
	if err != nil {
		return false, fmt.Errorf("read the pinned link: %w", err)
	}
	is, err := s.link.Info()
	if err != nil {
		return false, fmt.Errorf("read the link: %w", err)
	}
	return was.ID == is.ID, nil
}

// PinnedIn is the index of the interface whose program folder keeps; 0 and stale where it keeps none: the interface is gone, or a process was killed
// while it made the pins.
func PinnedIn(folder string) (index int, stale bool) {
	kept, err := link.LoadPinnedLink(filepath.Join(folder, pinLink), nil)
	if err != nil {
		return 0, !errors.Is(err, os.ErrPermission)
	}
	defer kept.Close()
	info, err := kept.Info()
	if err != nil || info.XDP() == nil || info.XDP().Ifindex == 0 {
		return 0, true
	}
	return int(info.XDP().Ifindex), false
}

// Unpin removes the pins of a folder and the folder. Without a process on the interface the program goes with them; else with the last of those.
func Unpin(folder string) error { return removePins(folder) }

// removePins removes what pin made, the link first, and nothing else.
func removePins(folder string) error {
	names := []string{pinLink, pinProgram}
	for _, spec := range mapSpecs(1) {
		names = append(names, spec.Name)
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a pin: %w", err)
		}
	}
	err := os.Remove(folder)
	if errors.Is(err, unix.ENOTEMPTY) {
		entries, _ := os.ReadDir(folder) // named for the reader; the error is told in any case
		var strange []string
		for _, e := range entries {
			strange = append(strange, e.Name())
		}
		return fmt.Errorf("%s has pins that are not ours (%s): remove them first", folder, strings.Join(strange, ", "))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the folder of pins: %w", err)
	}
	return nil
}

// sweepKeys removes keys that no queue has. A pinned table lives long, and keys stay when their socket goes.
func (s *steering) sweepKeys() error {
	var used []uint64
	var place uint32
	var key uint64
	for it := s.queues.Iterate(); it.Next(&place, &key); {
		used = append(used, key)
	}
	var all []uint64
	var one uint32
	it := s.keys.Iterate()
	for it.Next(&key, &one) {
		all = append(all, key)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read the keys: %w", err)
	}
	for _, key := range all {
		if slices.Contains(used, key) {
			continue
		}
		if err := s.keys.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove a key: %w", err)
		}
	}
	return nil
}
