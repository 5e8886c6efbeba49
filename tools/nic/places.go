package nic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
)

// Places are where pins and old values are kept. Both are for one boot: what they tell of is gone after it.
type Places struct {
	Pins  string // where the bpffs is mounted
	State string // folder of state files
}

// DefaultPlaces are those that every command takes that is not told others.
func DefaultPlaces() Places { return Places{Pins: afxdp.PinDir, State: "/run/wirepaxos/nic"} }

// Options are common to all that changes something.
type Options struct {
	Places
	Force   bool                             // also an interface that carries the default route
	Replace bool                             // Attach takes off the XDP program of a stranger
	DryRun  bool                             // say what would be changed, and change nothing
	Say     func(format string, args ...any) // a line for people: before each change, and for what is skipped
}

// pins is the folder of an interface's pins. Indices, and names too, come more than once on a machine: once in each network namespace.
func (p Places) pins(index int) string {
	return filepath.Join(p.Pins, fmt.Sprintf("net%d_if%d", networkNamespace(), index))
}

// networkNamespace is the inode of the calling thread's network namespace, by which the kernel tells them apart; 0 without /proc.
func networkNamespace() uint64 {
	var s unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &s) != nil {
		return 0
	}
	return s.Ino
}

// locked runs fn while no other process changes an interface through the same state folder.
func (p Places) locked(fn func() error) error {
	if err := os.MkdirAll(p.State, 0o755); err != nil { // everybody may see what was changed
		return fmt.Errorf("make the folder of old settings: %w: run as root", err)
	}
	f, err := os.OpenFile(filepath.Join(p.State, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("lock the folder of old settings: %w: run as root", err)
	}
	defer f.Close() // and with it the lock
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return fn()
}

// machineMounts runs fn where the machine's mounts are seen: `ip netns exec` gives a process mounts of its own, and a bpffs mounted there, with all
// pins, would be gone with it. fn runs in the caller's network namespace.
func (p Places) machineMounts(fn func() error) error {
	if ownMounts() {
		return fn()
	}
	network, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer network.Close()
	mounts, err := os.Open("/proc/1/ns/mnt")
	if err != nil {
		return fmt.Errorf("this process has mounts of its own, as `ip netns exec` and containers give, and those of the machine cannot be entered (%w): "+
			"pins would be gone with this process; run it outside, or with CAP_SYS_PTRACE", err)
	}
	defer mounts.Close()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with this goroutine
		err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Unshare(unix.CLONE_FS)
		}
		if err == nil {
			err = unix.Setns(int(mounts.Fd()), unix.CLONE_NEWNS)
		}
		if err != nil {
			result <- fmt.Errorf("enter the machine's mounts: %w", err)
			return
		}
		result <- fn()
	}()
	return <-result
}

// ownMounts tells that the calling thread sees the mounts of the machine's first process. The number of a mount is the machine's; a copy of a mount
// has another. Where the first process may not be looked at there is nothing to compare, and nowhere else to go.
func ownMounts() bool {
	root := func(path string) string {
		text, _ := os.ReadFile(path) // unreadable: ""
		number, _, _ := strings.Cut(string(text), " ")
		return number
	}
	own, first := root("/proc/thread-self/mountinfo"), root("/proc/1/mountinfo")
	return own == first || own == "" || first == ""
}

// mountPins mounts the bpffs, unless it is there.
func (p Places) mountPins() error {
	if mounted, err := p.pinsMounted(); err != nil || mounted {
		return err
	}
	if err := os.MkdirAll(p.Pins, 0o700); err != nil {
		return fmt.Errorf("make the folder of the bpffs: %w", err)
	}
	if err := unix.Mount("wirepaxos", p.Pins, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount a bpffs on %s: %w: run as root, on a kernel with CONFIG_BPF_SYSCALL", p.Pins, err)
	}
	return nil
}

func (p Places) pinsMounted() (bool, error) {
	var s unix.Statfs_t
	err := unix.Statfs(p.Pins, &s)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", p.Pins, err)
	}
	return s.Type == unix.BPF_FS_MAGIC, nil
}

// sweepPins removes pins whose interface is gone, and then the bpffs if nothing is left in it.
func (p Places) sweepPins(say func(string, ...any)) error {
	if mounted, err := p.pinsMounted(); err != nil || !mounted {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(p.Pins, "net*_if*"))
	if err != nil {
		return fmt.Errorf("look for pins: %w", err)
	}
	for _, folder := range folders {
		if _, stale := afxdp.PinnedIn(folder); stale {
			say("remove the pins in %s, whose interface is gone", folder)
			if err := afxdp.Unpin(folder); err != nil {
				return err
			}
		}
	}
	left, err := os.ReadDir(p.Pins)
	if err != nil {
		return fmt.Errorf("look for pins: %w", err)
	}
	for _, e := range left {
		if e.Name() != "maps.debug" && e.Name() != "progs.debug" { // the kernel puts these two into each bpffs, if it was built so
			return nil
		}
	}
	say("unmount the bpffs on %s: it is empty", p.Pins)
	if err := unix.Unmount(p.Pins, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", p.Pins, err)
	}
	if err := os.Remove(p.Pins); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the mount point: %w", err)
	}
	return nil
}
