package nic

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

// sysfs is the folder of one interface in a sysfs that shows the network namespace of the calling thread.
type sysfs struct {
	folder string
	mount  int // of our own, or -1
}

// openSysfs finds the interface's folder. /sys shows the namespace in which it was mounted; where that is another one, a sysfs is mounted that only
// this process sees, by its descriptor.
func openSysfs(name string, index int) (*sysfs, error) {
	s := &sysfs{folder: filepath.Join("/sys/class/net", name), mount: -1}
	if s.is(index) {
		return s, nil
	}
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("/sys shows another network namespace, and mounting one of this fails: %w: run as root", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("/sys shows another network namespace, and mounting one of this fails: %w: run as root", err)
	}
	if s.mount, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("/sys shows another network namespace, and mounting one of this fails: %w: run as root", err)
	}
	s.folder = fmt.Sprintf("/proc/self/fd/%d/class/net/%s", s.mount, name)
	if !s.is(index) {
		s.close()
		return nil, fmt.Errorf("%s is not in the sysfs of its network namespace: it went away", name)
	}
	return s, nil
}

func (s *sysfs) close() {
	if s.mount >= 0 {
		unix.Close(s.mount)
	}
}

func (s *sysfs) is(index int) bool {
	n, err := readNumber(filepath.Join(s.folder, "ifindex"))
	return err == nil && n == index
}

// read reads a file of the interface.
func (s *sysfs) read(file string) (string, error) { return readText(filepath.Join(s.folder, file)) }

// write writes a file of the interface in one call.
func (s *sysfs) write(file, text string) error { return writeText(filepath.Join(s.folder, file), text) }

// interrupts lists those of the interface's device: MSI vectors of the device or, where it sits on a bus of its own as virtio does, of its parent.
func (s *sysfs) interrupts() []int {
	var all []int
	for _, folder := range []string{"device/msi_irqs", "device/../msi_irqs"} {
		// The kernel resolves "device/..", a link, to the parent of the device; path/filepath would cut it off.
		entries, err := os.ReadDir(s.folder + "/" + folder)
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

func readText(path string) (string, error) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

func readNumber(path string) (int, error) {
	text, err := readText(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

func writeText(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
