package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaceDir is where iproute2 looks for named namespaces, so that `ip netns exec` works on ours.
const namespaceDir = "/run/netns"

func namespacePath(name string) string { return filepath.Join(namespaceDir, name) }

// prepareNamespaceDir makes the directory a shared mount, as `ip netns add` does. Without it, a later `ip netns add` would mount the
// directory over itself and hide our mounts under their copies, which then could not be taken away.
func prepareNamespaceDir() error {
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return fmt.Errorf("directory of namespaces: %w", err)
	}
	err := unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		if err = unix.Mount(namespaceDir, namespaceDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", namespaceDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("make %s a shared mount: %w", namespaceDir, err)
	}
	return nil
}

// addNamespace makes a network namespace and names it. IPv6 is off in it, so that no frame is sent that nobody asked for.
func addNamespace(name string) error {
	path := namespacePath(name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("namespace %s exists and belongs to no lab: remove it with `ip netns del %s`", name, name)
		}
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	err = onNewNamespace(func() error {
		if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount it at %s: %w", path, err)
		}
		return disableIPv6()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("namespace %s: %w", name, err), removeNamespace(name))
	}
	return nil
}

// disableIPv6 acts on the thread's namespace: /proc/sys/net shows that of who opens it.
func disableIPv6() error {
	for _, scope := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6 has nothing to disable
			return fmt.Errorf("turn IPv6 off: %w", err)
		}
	}
	return nil
}

// removeNamespace takes the name away; the kernel ends the namespace with its last user. One that is gone is no error.
func removeNamespace(name string) error {
	path := namespacePath(name)
	// EINVAL: the file is there, but no namespace was mounted on it yet.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// onNewNamespace runs fn on a thread that has just entered a fresh network namespace.
func onNewNamespace(fn func() error) error {
	return onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, fn)
}

// inNamespace runs fn on a thread inside a named namespace. Sockets that fn opens stay in it.
func inNamespace(name string, fn func() error) error {
	return onThread(func() error { return enterNamespace(name) }, fn)
}

func enterNamespace(name string) error {
	fd, err := unix.Open(namespacePath(name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", name, err)
	}
	defer func() { _ = unix.Close(fd) }() // it was only read
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	return nil
}

// onThread calls enter, then fn, on a thread of their own, and gives the thread back to the runtime in the namespace that it had.
// Where that fails the goroutine ends without unlocking, and the runtime ends the thread with it.
func onThread(enter, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		var result error
		finished := false
		defer func() {
			if !finished { // fn left by runtime.Goexit, as t.FailNow does
				result = errors.New("left before its end")
			}
			done <- result
		}()
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			result, finished = fmt.Errorf("open the thread's namespace: %w", err), true
			runtime.UnlockOSThread()
			return
		}
		defer func() { // also on a panic, which ends the process anyway
			if unix.Setns(home, unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			_ = unix.Close(home) // it was only read
		}()
		if result = enter(); result == nil {
			result = fn()
		}
		finished = true
	}()
	return <-done
}
