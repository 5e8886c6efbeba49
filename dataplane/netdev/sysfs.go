package netdev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Sysfs is the folder of one interface in a sysfs that shows the network namespace of the thread that opened it.
type Sysfs struct {
	folder string
	mount  int // of our own, or -1
}

// OpenSysfs finds the folder of the interface with that name and index. /sys shows the namespace in which it was mounted; where that is another one, a
// sysfs is mounted that only this process sees, by its descriptor. The caller closes it.
func OpenSysfs(name string, index int) (*Sysfs, error) {
	s := &Sysfs{folder: filepath.Join("/sys/class/net", name), mount: -1}
	if s.is(index) {
		return s, nil
	}
	var err error
	if s.mount, err = mountSysfs(); err != nil {
		return nil, fmt.Errorf("/sys shows another network namespace, and mounting one of this fails: %w: run as root", err)
	}
	s.folder = fmt.Sprintf("/proc/self/fd/%d/class/net/%s", s.mount, name)
	if !s.is(index) {
		s.Close()
		return nil, fmt.Errorf("%s is not in the sysfs of its network namespace: it went away", name)
	}
	return s, nil
}

func mountSysfs() (mount int, err error) {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// Close lets go of a sysfs of our own.
func (s *Sysfs) Close() {
	if s.mount >= 0 {
		unix.Close(s.mount)
		s.mount = -1
	}
}

func (s *Sysfs) is(index int) bool {
	n, err := s.Number("ifindex")
	return err == nil && n == index
}

// path is that of a file of the interface. The kernel resolves "device/..", a link, to what the device sits on; path/filepath would cut it off.
func (s *Sysfs) path(file string) string { return s.folder + "/" + file }

// Read reads a file of the interface, without the blanks around it.
func (s *Sysfs) Read(file string) (string, error) { return ReadText(s.path(file)) }

// Number reads a file of the interface that holds one number.
func (s *Sysfs) Number(file string) (int, error) {
	text, err := s.Read(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// Write writes a file of the interface in one call.
func (s *Sysfs) Write(file, text string) error { return WriteText(s.path(file), text) }

// Driver is the name of the driver that the device of the interface is bound to; "" for an interface without one, as virtual ones are.
func (s *Sysfs) Driver() string {
	target, err := os.Readlink(s.path("device/driver"))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// NUMANode is the node that the device of the interface sits on, or what the device sits on, as virtio does; -1: none, or unknown.
func (s *Sysfs) NUMANode() int {
	for _, file := range []string{"device/numa_node", "device/../numa_node"} {
		if n, err := s.Number(file); err == nil {
			return n
		}
	}
	return -1
}

// VirtioLacks are what a virtio device lacks for zero-copy, as QEMU calls it: its driver says that it can do it with any device. None: it lacks nothing, or
// is no virtio device.
func (s *Sysfs) VirtioLacks() (lacks []string) {
	if s.Driver() != "virtio_net" {
		return nil
	}
	bits, err := s.Read("device/features") // a digit for each of the negotiated, from bit 0 on
	if err != nil {
		return nil
	}
	const accessPlatform, ringReset = 33, 40 // VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_RING_RESET
	for _, f := range []struct {
		bit  int
		name string
	}{{accessPlatform, "iommu_platform=on"}, {ringReset, "queue_reset=on"}} {
		if f.bit >= len(bits) || bits[f.bit] != '1' {
			lacks = append(lacks, f.name)
		}
	}
	return lacks
}

// Interrupts lists those of the interface's device: MSI vectors of the device or, where it sits on a bus of its own as virtio does, of its parent.
func (s *Sysfs) Interrupts() []int {
	var all []int
	for _, folder := range []string{"device/msi_irqs", "device/../msi_irqs"} {
		entries, err := os.ReadDir(s.path(folder))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if n, err := strconv.Atoi(e.Name()); err == nil {
				all = append(all, n)
			}
		}
		break
	}
	slices.Sort(all)
	return all
}

// ReadText reads a file of sysfs or procfs, without the blanks around it.
func ReadText(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// WriteText writes such a file in one call: each write is a setting of its own.
func WriteText(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
