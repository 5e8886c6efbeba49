package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errMissing marks what this machine cannot have: vmlab skips then, and says what.
var errMissing = errors.New("the virtual machine cannot be had here")

func missing(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMissing, fmt.Sprintf(format, args...))
}

// kit is what a virtual machine is made of, as it lies in the cache folder.
type kit struct {
	Form     int      `json:"form"` // kitForm of the vmlab that made it
	Kernel   string   `json:"kernel"`
	Packages []string `json:"packages"` // name_version_architecture.deb of each
	folder   string
}

// kitForm is raised when the kit's files change: an older kit is fetched anew.
const kitForm = 1

// leastKernel is the first kernel whose virtio_net has zero-copy in both directions.
var leastKernel = [2]int{6, 13}

// modules are what the guest loads, in this order.
var modules = []string{"failover", "net_failover", "virtio_net"}

func (k *kit) kernelImage() string       { return filepath.Join(k.folder, "vmlinuz") }
func (k *kit) module(name string) string { return filepath.Join(k.folder, "modules", name+".ko.xz") }
func (k *kit) root() string              { return filepath.Join(k.folder, "root") }

// cacheFolder is where the kit lies: $WIREPAXOS_CACHE, or the user's cache folder.
func cacheFolder() (string, error) {
	if named := os.Getenv("WIREPAXOS_CACHE"); named != "" {
		return filepath.Abs(named)
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder (%w): name one in WIREPAXOS_CACHE", err)
	}
	return filepath.Join(user, "wirepaxos"), nil
}

// obtainKit gives the kit in the cache, and fetches it first if it is not there. One process at a time does so; others wait.
func obtainKit(ctx context.Context, cache, suite string, longest time.Duration, say func(string, ...any)) (*kit, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("%w: name another folder in WIREPAXOS_CACHE", err)
	}
	lock, err := os.OpenFile(filepath.Join(cache, "vmlab.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // and with it goes the lock
	if err := lockWhole(ctx, lock, say); err != nil {
		return nil, err
	}
	folder := filepath.Join(cache, "vmlab")
	if k, err := readKit(folder); err == nil {
		return k, nil
	}
	making, err := os.MkdirTemp(cache, "vmlab-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(making)
	say("packages are fetched into %s, once", folder)
	begun := time.Now()
	bounded, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	k, err := fetchKit(bounded, making, suite, say)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bounded.Err() != nil:
		return nil, missing("its packages were not fetched within %v (-fetch-timeout)", longest)
	case err != nil:
		return nil, err
	}
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(making, "kit"), folder); err != nil {
		return nil, err
	}
	say("fetched and unpacked %d packages in %.0f s", len(k.Packages), time.Since(begun).Seconds())
	return readKit(folder)
}

// lockWhole waits until no other process has the cache.
func lockWhole(ctx context.Context, lock *os.File, say func(string, ...any)) error {
	for waits := 0; ; waits++ {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		if waits == 0 {
			say("another process has %s: waiting for it", lock.Name())
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readKit looks at what an earlier run fetched. It is whole: it was renamed to its place when it was.
func readKit(folder string) (*kit, error) {
	text, err := os.ReadFile(filepath.Join(folder, "kit.json"))
	if err != nil {
		return nil, err
	}
	k := &kit{}
	if err := json.Unmarshal(text, k); err != nil {
		return nil, err
	}
	if k.Form != kitForm {
		return nil, fmt.Errorf("%s is of another vmlab", folder)
	}
	k.folder = folder
	if _, err := findQEMU(k); err != nil {
		return nil, err
	}
	return k, nil
}

// fetchKit makes a kit in folder/kit. Everything comes through apt, which checks signatures and sums; nothing is installed.
func fetchKit(ctx context.Context, folder, suite string, say func(string, ...any)) (*kit, error) {
	a, err := newApt(folder, suite)
	if err != nil {
		return nil, err
	}
	if err := a.update(ctx, say); err != nil {
		return nil, err
	}
	kernel, err := a.newestKernel(ctx)
	if err != nil {
		return nil, err
	}
	k := &kit{Form: kitForm, Kernel: kernel, folder: filepath.Join(folder, "kit")}
	if err := os.MkdirAll(filepath.Join(k.folder, "modules"), 0o755); err != nil {
		return nil, err
	}
	packages, err := a.download(ctx, kernel, say)
	if err != nil {
		return nil, err
	}
	for _, name := range packages {
		if err := unpack(ctx, name, k.root()); err != nil {
			return nil, err
		}
		k.Packages = append(k.Packages, strings.ReplaceAll(filepath.Base(name), "%3a", ":"))
	}
	if err := k.takeKernel(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(k, "", "\t")
	if err != nil {
		return nil, err
	}
	return k, os.WriteFile(filepath.Join(k.folder, "kit.json"), text, 0o644)
}

// unpack lays the files of a package down below root.
func unpack(ctx context.Context, name, root string) error {
	if output, err := exec.CommandContext(ctx, "dpkg-deb", "-x", name, root).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb -x %s: %w: %s", name, err, output)
	}
	return nil
}

// takeKernel keeps the kernel and the modules that the guest needs, and lets the other modules go.
func (k *kit) takeKernel() error {
	tree := ""
	for _, lib := range []string{"usr/lib/modules", "lib/modules"} {
		if _, err := os.Stat(filepath.Join(k.root(), lib, k.Kernel)); err == nil {
			tree = filepath.Join(k.root(), lib, k.Kernel)
		}
	}
	if tree == "" {
		return fmt.Errorf("no modules of kernel %s in its packages", k.Kernel)
	}
	for _, image := range []string{filepath.Join(tree, "vmlinuz"), filepath.Join(k.root(), "boot", "vmlinuz-"+k.Kernel)} {
		if err := os.Rename(image, k.kernelImage()); err == nil {
			break
		}
	}
	if _, err := os.Stat(k.kernelImage()); err != nil {
		return fmt.Errorf("no kernel in the packages of %s", k.Kernel)
	}
	for i, place := range []string{"net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net"} {
		if err := os.Rename(filepath.Join(tree, "kernel", place+".ko.xz"), k.module(modules[i])); err != nil {
			return fmt.Errorf("module %s of kernel %s: %w", place, k.Kernel, err)
		}
	}
	return os.RemoveAll(tree)
}

// qemu is the program that runs virtual machines.
type qemu struct {
	program string
	args    []string // where its firmware is
	env     []string // where its libraries are
	version string
}

var qemuVersion = regexp.MustCompile(`version (\d+)\.(\d+)\S*`)

// findQEMU finds the kit's own.
func findQEMU(k *kit) (*qemu, error) {
	root := k.root()
	libraries := filepath.Join(root, "usr/lib/x86_64-linux-gnu")
	q := &qemu{
		program: filepath.Join(root, "usr/bin/qemu-system-x86_64"),
		args:    []string{"-L", filepath.Join(root, "usr/share/seabios"), "-L", filepath.Join(root, "usr/share/qemu")},
		env: append(os.Environ(), "LD_LIBRARY_PATH="+libraries+":"+filepath.Join(root, "lib/x86_64-linux-gnu"),
			"QEMU_MODULE_DIR="+filepath.Join(libraries, "qemu")),
	}
	cmd := exec.Command(q.program, "--version")
	cmd.Env = q.env
	output, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w: %s", q.program, err, output)
	}
	found := qemuVersion.FindStringSubmatch(string(output))
	if found == nil {
		return nil, fmt.Errorf("%s does not tell its version: %s", q.program, output)
	}
	q.version = strings.TrimPrefix(found[0], "version ")
	return q, nil
}

// megabytes adds up the files below folder.
func megabytes(folder string) float64 {
	total := int64(0)
	_ = filepath.WalkDir(folder, func(_ string, e os.DirEntry, err error) error { // files come and go meanwhile
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return float64(total) / 1e6
}

// tail is the end of what a command said, for an error's one line.
func tail(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
