// Command guest is the first process of vmlab's virtual machine, and its only service: it mounts what the kernel offers, loads the driver,
// names the NICs, does the steps of its script one after the other, tells on the console what became of them, and turns the machine off.
//
// It runs only as process 1.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/tools/vmlab/script"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: it is the first process of a virtual machine: run tools/vmlab")
		os.Exit(2)
	}
	if err := live(); err != nil {
		tell(script.Event{Event: script.Down, Text: err.Error()})
	} else {
		tell(script.Event{Event: script.Down})
	}
	unix.Sync()
	time.Sleep(100 * time.Millisecond) // the console is slow
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func tell(e script.Event) { fmt.Print(e.Line()) }

// live does all there is to do.
func live() error {
	if err := mountAll(); err != nil {
		return err
	}
	text, err := os.ReadFile(script.File)
	if err != nil {
		return err
	}
	var s script.Script
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		return err
	}
	tell(script.Event{Event: script.Up, Text: unix.ByteSliceToString(kernel.Release[:])})
	for _, name := range s.Modules {
		if err := loadModule(name); err != nil {
			return err
		}
	}
	if err := setUp("lo", "lo"); err != nil {
		return err
	}
	for _, n := range s.NICs {
		if err := setUp(n.MAC, n.Name); err != nil {
			return err
		}
	}
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	for i := script.First(string(line)); i < len(s.Steps); i++ {
		if err := do(&s.Steps[i]); err != nil {
			return err
		}
	}
	return nil
}

func mountAll() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
		{"bpf", "/sys/fs/bpf"}, {"tmpfs", "/dev/shm"}, {"hugetlbfs", "/dev/hugepages"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for name, text := range map[string]string{ // the kernel's own traffic would wake sleepers for nothing
		"/proc/sys/net/ipv6/conf/all/disable_ipv6":     "1",
		"/proc/sys/net/ipv6/conf/default/disable_ipv6": "1",
		"/proc/sys/kernel/printk":                      "5", // what the kernel warns of comes to the console
	} {
		if err := os.WriteFile(name, []byte(text), 0); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", unix.MODULE_INIT_COMPRESSED_FILE); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", name, err)
	}
	return nil
}

// setUp finds an interface by its MAC or name, gives it its name and sets it up. A driver takes a moment to find its devices.
func setUp(key, name string) error {
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("list interfaces: %w", err)
		}
		for _, l := range links {
			a := l.Attrs()
			if a.HardwareAddr.String() != key && a.Name != key {
				continue
			}
			if a.Name != name {
				if err := netlink.LinkSetName(l, name); err != nil {
					return fmt.Errorf("name %s %s: %w", a.Name, name, err)
				}
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return fmt.Errorf("set %s up: %w", name, err)
			}
			return nil
		}
		if time.Since(start) > 10*time.Second {
			return fmt.Errorf("no interface has the address %s", key)
		}
	}
}

// killTime is how long the kernel may take to end a process that was killed.
const killTime = 5 * time.Second

// do does one step and tells its end. The error says that there is no going on.
func do(s *script.Step) error {
	tell(script.Event{Event: script.Begin, Step: s.Name})
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.TimeoutS)*time.Second)
	defer cancel()
	begun := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, s) }()
	var err, hung error
	select {
	case err = <-ended:
	case <-ctx.Done():
		blocked()
		select {
		case err = <-ended:
		case <-time.After(killTime):
			hung = fmt.Errorf("step %s cannot be killed: it hangs in the kernel", s.Name)
			err = hung
		}
	}
	e := script.Event{Event: script.End, Step: s.Name, TookS: time.Since(begun).Seconds()}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Status, e.Text = -1, fmt.Sprintf("not done within %d s", s.TimeoutS)
	case errors.As(err, &exit):
		e.Status, e.Text = exit.ExitCode(), exit.String()
	default:
		e.Status, e.Text = -1, err.Error()
	}
	if s.Show != "" {
		if text, err := os.ReadFile(s.Show); err == nil {
			e.Shown = string(text)
		} else if e.Text == "" {
			e.Status, e.Text = -1, err.Error()
		}
	}
	tell(e)
	return hung
}

// blocked lets the kernel write to the console which threads wait in it: what is not done in time may hang there.
func blocked() {
	for _, w := range []struct{ name, text string }{{"/proc/sys/kernel/printk", "7"}, {"/proc/sysrq-trigger", "w"}, {"/proc/sysrq-trigger", "l"}, {"/proc/sys/kernel/printk", "5"}} {
		if err := os.WriteFile(w.name, []byte(w.text), 0); err != nil {
			fmt.Println(err)
		}
		time.Sleep(time.Second)
	}
}

// run runs the commands of a step. Those beside the last one are asked to end when it has.
func run(ctx context.Context, s *script.Step) error {
	for _, folder := range s.Folders {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	last := len(s.Commands) - 1
	for _, argv := range s.Commands[:last] {
		beside := command(ctx, argv, s.Env)
		if err := beside.Start(); err != nil {
			return err
		}
		defer func() {
			_ = beside.Process.Signal(syscall.SIGTERM) // it may have ended by itself
			end := time.AfterFunc(3*time.Second, func() { _ = beside.Process.Kill() })
			_ = beside.Wait() // how it ended does not matter
			end.Stop()
		}()
	}
	return command(ctx, s.Commands[last], s.Env).Run()
}

func command(ctx context.Context, argv, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{"HOME=/tmp", "PATH=/bin"}, env...)
	cmd.Stdout, cmd.Stderr = console{}, console{}
	cmd.WaitDelay = time.Second
	return cmd
}

// console is the standard output, without what a line of it must not have.
type console struct{}

func (console) Write(b []byte) (int, error) {
	if _, err := io.WriteString(os.Stdout, strings.ReplaceAll(string(b), "\x02", "?")); err != nil {
		return 0, err
	}
	return len(b), nil
}
