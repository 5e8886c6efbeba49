package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"wirepaxos/tools/vmlab/script"
)

// machineNIC is a NIC of the guest.
type machineNIC struct {
	name, mac string
	zeroCopy  bool // with the flags that virtio_net asks of a device for zero-copy
}

// nics are those of the guest, each in a port of the wire.
var nics = []machineNIC{
	{"wire0", "02:00:00:00:00:0a", true},
	{"wire1", "02:00:00:00:00:0b", true},
	{"plain0", "02:00:00:00:00:0c", false},
}

// machine is one virtual machine.
type machine struct {
	kit    *kit
	accel  string // "kvm" or "tcg"
	image  string // the initramfs
	folder string // with the wire's sockets
	heard  func(e script.Event)
	output func(line string)

	qemuSaid string // on its standard error: a device that breaks says so there, and is dead from then on
}

// bootTime is how long a guest may take until its first word. KVM is there or is not; an emulated machine on a busy host takes its time.
var bootTime = map[string]time.Duration{"kvm": 8 * time.Second, "tcg": 2 * time.Minute}

var (
	errNoBoot   = errors.New("the guest does not boot")
	errDiedDown = errors.New("the guest ended before its script did")
	errBroken   = errors.New("QEMU's own NIC broke, and is dead from then on")
)

// arguments are the command line.
func (m *machine) arguments(q *qemu) []string {
	// nokaslr and 2 GiB: without them the device breaks now and then (doc of nictest).
	kernel := "console=ttyS0 quiet nokaslr mitigations=off panic=-1 oops=panic"
	args := append([]string{"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-M", "q35", "-smp", "2", "-m", "2048", "-kernel", m.kit.kernelImage(), "-initrd", m.image, "-append", kernel}, q.args...)
	if m.accel == "kvm" {
		args = append(args, "-accel", "kvm", "-cpu", "host")
	} else {
		args = append(args, "-accel", "tcg,thread=multi", "-cpu", "max")
	}
	for i, n := range nics {
		device := fmt.Sprintf("virtio-net-pci,netdev=n%d,mac=%s,romfile=,disable-legacy=on", i, n.mac)
		if n.zeroCopy {
			device += ",iommu_platform=on,queue_reset=on"
		}
		args = append(args, "-device", device, "-netdev", fmt.Sprintf(
			"dgram,id=n%d,local.type=unix,local.path=%s/nic%d,remote.type=unix,remote.path=%s/wire%d", i, m.folder, i, m.folder, i))
	}
	return args
}

// run boots the machine and listens to it until it turns itself off. It ends the machine when ctx does.
func (m *machine) run(ctx context.Context) error {
	q, err := findQEMU(m.kit)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, q.program, m.arguments(q)...)
	cmd.Env, cmd.WaitDelay = q.env, 2*time.Second
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

// hasKVM tells whether this process may have it at all. Whether it works shows at the start: nested it may not.
func hasKVM() bool {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
