package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"wirepaxos/tools/vmlab/script"
)

// machine is one virtual machine.
type machine struct {
	kit    *kit
	accel  string // "kvm" or "tcg"
	image  string // the initramfs
	folder string // with the wire's sockets
	taps   *taps  // of the machine that runs; nil: the guest has no NICs on taps
	first  int    // the step that it begins with
	heard  func(e script.Event)
	output func(line string)

	qemuSaid string // on its standard error: a device that breaks says so there, and is dead from then on
}

// bootTime is how long a guest may take until its first word. KVM is there or is not; an emulated machine takes 4 s on an idle host, and 10 s were
// seen on one with much else to do.
var bootTime = map[string]time.Duration{"kvm": 8 * time.Second, "tcg": 25 * time.Second}

var (
	errNoBoot   = errors.New("the guest does not boot")
	errDiedDown = errors.New("the guest ended before its script did")
	errBroken   = errors.New("QEMU's own NIC broke, and is dead from then on")
)

// arguments are the command line, and files that QEMU gets with it.
func (m *machine) arguments(q *qemu) (args []string, files []*os.File) {
	// The kernel gets 1 GiB of 2, and its own address (nokaslr): else the header of what is sent zero-copy is any memory, or none (doc of nictest).
	kernel := fmt.Sprintf("console=ttyS0 quiet nokaslr mitigations=off panic=-1 oops=panic isolcpus=%[1]d nohz_full=%[1]d hugepages=64 mem=1G %s%d",
		cores-1, script.FirstArgument, m.first)
	args = append([]string{"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console", "-M", "q35", "-smp", fmt.Sprint(cores), "-m", "2048",
		"-kernel", m.kit.kernelImage(), "-initrd", m.image, "-append", kernel}, q.args...)
	if m.accel == "kvm" {
		args = append(args, "-accel", "kvm", "-cpu", "host")
	} else {
		args = append(args, "-accel", "tcg,thread=multi", "-cpu", "max")
	}
	ofNICs, files := nicArguments(m.folder, m.taps)
	return append(args, ofNICs...), files
}

// run boots the machine and listens to it until it turns itself off. It ends the machine when ctx does.
func (m *machine) run(ctx context.Context) error {
	q, err := findQEMU(m.kit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	args, files := m.arguments(q)
	cmd := exec.CommandContext(ctx, q.program, args...)
	cmd.Env, cmd.ExtraFiles, cmd.WaitDelay = q.env, files, 2*time.Second
	// The thread that starts it stays: the kernel kills the machine with it, however this process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	console, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	complaints := &complaints{failed: func(kind error, why string) { cancel(fmt.Errorf("%w: %s", kind, why)) }}
	cmd.Stderr = complaints
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start QEMU: %w", err)
	}
	m.qemuSaid = ""
	silent := time.AfterFunc(bootTime[m.accel], func() { cancel(fmt.Errorf("%w within %v", errNoBoot, bootTime[m.accel])) })
	up, down := m.listen(console, silent)
	err = cmd.Wait()
	m.qemuSaid = complaints.String()
	switch cause := context.Cause(ctx); {
	case cause != nil:
		return cause
	case !up:
		return fmt.Errorf("%w: %v %s", errNoBoot, err, complaints)
	case !down:
		return fmt.Errorf("%w (QEMU: %v %s)", errDiedDown, err, complaints)
	}
	return nil
}

// listen reads the console to its end.
func (m *machine) listen(console io.Reader, silent *time.Timer) (up, down bool) {
	lines := bufio.NewReaderSize(console, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if e, ok := script.Parse(line); ok {
			silent.Stop()
			up, down = true, down || e.Event == script.Down
			m.heard(e)
		} else if line != "" {
			m.output(line)
		}
		if err != nil {
			silent.Stop()
			return up, down
		}
	}
}

// hubWarning is of a hub between NICs of the guest alone, as it shall be.
var hubWarning = regexp.MustCompile(`(?m)^.*warning: hub \d+ is not connected to host network\n`)

// complaints keeps the last words of QEMU, and tells at once when KVM gives up, or a device that the guest then waits for in vain: QEMU itself stays.
type complaints struct {
	mu     sync.Mutex
	text   string
	failed func(kind error, why string)
}

func (c *complaints) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const most = 4096
	if c.text += string(b); len(c.text) > most {
		c.text = c.text[len(c.text)-most:]
	}
	c.text = hubWarning.ReplaceAllString(c.text, "")
	if strings.Contains(c.text, "KVM internal error") || strings.Contains(c.text, "failed to initialize kvm") {
		first, _, _ := strings.Cut(c.text, "\n")
		c.failed(errNoBoot, first)
	} else if strings.Contains(c.text, ": virtio: ") {
		c.failed(errBroken, strings.TrimSpace(c.text))
	}
	return len(b), nil
}

func (c *complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(c.text)
}
