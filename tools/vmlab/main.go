// Command vmlab is `make zerocopy`: it shows zero-copy for real, in a virtual machine.
//
// veth has only copy mode, and a NIC with zero-copy is not at hand everywhere. virtio_net has zero-copy since Linux 6.13, and QEMU has the
// device, emulated where there is no KVM. vmlab fetches QEMU and such a kernel as Debian packages, through apt and from the mirror that the machine's own
// sources name, into a cache folder ($WIREPAXOS_CACHE, else the user's), once; nothing is installed. It builds an initramfs with a static first
// process (guest), the tests of nictest and wirepaxos itself, boots it with an isolated core, hugepages, and NICs of several kinds (nics.go), and tells
// what the guest did: one line a step, the output of a step that failed, and at the end copy and zero-copy side by side.
//
// NICs that a switch in this process joins (wire.go) show that nothing is lost on a wire that somebody else holds. What is measured is measured between
// NICs on a hub inside QEMU, because that switch would be slower than they are. NICs of several queues are on taps, which need root.
//
// Rates and latencies of an emulated machine say how copy and zero-copy compare in it, nothing about a NIC.
//
// Everything but the cache is in a temporary folder that goes with the command, also on Ctrl-C; the machine ends with it, however it ends. Where the packages
// cannot be had, vmlab says why and ends well: "skipped: ...". The exit status is 1 if a step failed, 2 if vmlab could not run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"time"

	"wirepaxos/tools/vmlab/script"
)

// options are the flags.
type options struct {
	accel   string
	suite   string
	steps   string
	timeout time.Duration
	fetch   time.Duration
	verbose bool
}

func main() {
	var o options
	flag.StringVar(&o.accel, "accel", "auto", "kvm, tcg (an emulated machine), or auto: KVM where it works")
	flag.StringVar(&o.suite, "suite", "trixie-backports", "Debian suite to take the kernel from, besides those of the machine")
	flag.StringVar(&o.steps, "steps", ".", "do only the steps whose name this regular expression matches")
	flag.DurationVar(&o.timeout, "timeout", 6*time.Minute, "longest time for the virtual machine")
	flag.DurationVar(&o.fetch, "fetch-timeout", 10*time.Minute, "longest time for fetching the packages, where they are not in the cache")
	flag.BoolVar(&o.verbose, "v", false, "print all that the guest says")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "vmlab: unknown argument %q: it takes only flags, see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := check(ctx, &o, os.Stdout); {
	case errors.Is(err, errMissing):
		fmt.Printf("skipped: %v\n", err)
	case errors.Is(err, errFailed):
		fmt.Fprintf(os.Stderr, "vmlab: %v\n", err)
		os.Exit(1)
	case err != nil:
		fmt.Fprintf(os.Stderr, "vmlab: %v\n", err)
		os.Exit(2)
	}
}

// check does everything.
func check(ctx context.Context, o *options, out io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	steps, err := o.chosen()
	if err != nil {
		return err
	}
	if runtime.GOARCH != "amd64" {
		return missing("its QEMU and kernel are for amd64, and this is %s", runtime.GOARCH)
	}
	if err := toModule(); err != nil {
		return err
	}
	cache, err := cacheFolder()
	if err != nil {
		return err
	}
	k, err := obtainKit(ctx, cache, o.suite, o.fetch, say)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "vmlab-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	t, err := newTaps(plugged(plugTaps))
	if err != nil {
		say("skip  the NICs of several queues: they need %v", err)
		steps = slices.DeleteFunc(steps, func(s script.Step) bool { return s.Taps })
	}
	t.close() // each machine gets its own: a queue that QEMU has put to rest stays so
	s := &script.Script{Steps: steps}
	for _, n := range present(t) {
		s.NICs = append(s.NICs, script.NIC{MAC: n.mac, Name: n.name})
	}
	begun := time.Now()
	image, err := buildInitramfs(ctx, folder, k, s)
	if err != nil {
		return err
	}
	say("built what the guest runs in %.0f s", time.Since(begun).Seconds())
	m := &machine{kit: k, image: image, folder: folder, taps: t}
	return o.boot(ctx, m, newReport(say, steps, o.verbose), kvmMark(cache))
}

// chosen are the steps that -steps names.
func (o *options) chosen() ([]script.Step, error) {
	if o.accel != "auto" && o.accel != "kvm" && o.accel != "tcg" {
		return nil, fmt.Errorf("-accel %s: want kvm, tcg or auto", o.accel)
	}
	pattern, err := regexp.Compile(o.steps)
	if err != nil {
		return nil, fmt.Errorf("-steps: %w", err)
	}
	var steps []script.Step
	names := ""
	for _, s := range allSteps() {
		names += " " + s.Name
		if pattern.MatchString(s.Name) {
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("-steps %s matches none of:%s", o.steps, names)
	}
	return steps, nil
}

// machines is how many are started at most: a guest hangs now and then while it boots, and QEMU's NIC may break.
const machines = 3

// boot runs the machine, with KVM if that works. One that does not boot, or whose NIC QEMU itself broke, is followed by another, which goes on with the
// step that the first did not end.
func (o *options) boot(ctx context.Context, m *machine, r *report, noKVM string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("%w: the virtual machine was not done within %v (-timeout)", errFailed, o.timeout))
	defer cancel()
	m.heard, m.output, m.accel = r.heard, r.output, o.accel
	if o.accel == "auto" {
		m.accel = "kvm"
		if !hasKVM() || isMarked(noKVM) {
			m.accel = "tcg"
		}
	}
	for started := 1; ; started++ {
		err := m.runOnWire(ctx, r)
		switch again := started < machines && ctx.Err() == nil; {
		case errors.Is(err, errNoBoot) && m.accel == "kvm" && o.accel == "auto":
			r.say("KVM is here and does not work (%v): an emulated machine instead, until this one is booted anew", err)
			mark(noKVM)
			m.accel = "tcg"
			continue
		case errors.Is(err, errNoBoot) && again, errors.Is(err, errBroken) && again:
			r.say("again %v: another virtual machine goes on (%d of %d)", err, started+1, machines)
			m.first = r.ended()
			continue
		case errors.Is(err, errNoBoot), errors.Is(err, errDiedDown), errors.Is(err, errBroken):
			err = fmt.Errorf("%w: %w", errFailed, err)
		}
		if m.qemuSaid != "" && err == nil {
			r.say("QEMU says: %s", m.qemuSaid)
		}
		return r.close(err, started)
	}
}

// runOnWire runs the machine once, with a switch for those NICs that are on it.
func (m *machine) runOnWire(ctx context.Context, r *report) error {
	w, err := newWire(m.folder, plugged(plugWire))
	if err != nil {
		return err
	}
	if m.taps != nil {
		if m.taps, err = newTaps(plugged(plugTaps)); err != nil {
			w.close()
			return err
		}
	}
	defer func() {
		w.close()
		m.taps.close()
		in, dropped := w.carried()
		r.wireIn += in
		r.wireDropped += dropped
	}()
	r.accel, r.kernel = m.accel, m.kit.Kernel
	return m.run(ctx)
}

// toModule goes to the root of the module, which what the guest runs is built from.
func toModule() error {
	at, err := os.Getwd()
	if err != nil {
		return err
	}
	for folder := at; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "tools", "vmlab", "nictest", "doc.go")); err == nil {
			return os.Chdir(folder)
		}
		if folder == filepath.Dir(folder) {
			return fmt.Errorf("%s is not in the repository: run it there, as `make zerocopy`", at)
		}
	}
}
