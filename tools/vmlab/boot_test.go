package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wirepaxos/tools/vmlab/script"
)

// fakeKit is a kit whose QEMU is a shell script: what it says on its standard output the guest says on its console. Each start is a line in the file
// starts. $first is the step that the kernel's command line names, $n the number of the start.
func fakeKit(t *testing.T, body string) (k *kit, starts string) {
	t.Helper()
	k = &kit{Kernel: "7.3", folder: t.TempDir()}
	program := filepath.Join(k.root(), "usr/bin/qemu-system-x86_64")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	starts = filepath.Join(k.folder, "starts")
	text := fmt.Sprintf(`#!/bin/sh
[ "$1" = --version ] && { echo "QEMU emulator version 7.2.0"; exit; }
first=$(echo "$*" | sed 's/.*%s\([0-9]*\).*/\1/')
accel=$(echo "$*" | sed 's/.*-accel \([a-z]*\).*/\1/')
echo "$accel $first" >> %q
n=$(wc -l < %[2]q)
tell() { printf '\002vmlab {"event":"%%s","step":"%%s"}\n' "$1" "$2"; }
%s
`, script.FirstArgument, starts, body)
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return k, starts
}

// twoSteps are what the fake guests do.
var twoSteps = []script.Step{{Name: "one", Title: "first"}, {Name: "two", Title: "second"}}

// bootFake boots the fake and gives what was told, how it ended, and what it was started with.
func bootFake(t *testing.T, ctx context.Context, o *options, body string) (told string, starts []string, err error) {
	t.Helper()
	k, file := fakeKit(t, body)
	var out strings.Builder
	r := newReport(func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }, twoSteps, false)
	err = o.boot(ctx, &machine{kit: k, image: "none", folder: t.TempDir()}, r, filepath.Join(t.TempDir(), "mark"))
	text, _ := os.ReadFile(file)
	return out.String(), strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

const allWell = `tell up; for s in one two; do tell begin $s; tell end $s; done; tell down`

func TestBoot(t *testing.T) {
	for _, c := range []struct {
		name, accel, body string
		err               error
		says              string
		starts            []string
	}{
		{"all is well", "tcg", allWell, nil, "2 steps passed, 0 failed, on TCG with kernel 7.3, in 1 virtual machine\n", []string{"tcg 0"}},
		{"a device that breaks in the second step", "tcg", `tell up
if [ $n = 1 ]; then tell begin one; tell end one; tell begin two; echo "qemu: virtio: bogus descriptor" >&2; exec sleep 60; fi
tell begin two; tell end two; tell down`, nil, "2 steps passed, 0 failed, on TCG with kernel 7.3, in 2 virtual machines\n", []string{"tcg 0", "tcg 1"}},
		{"a device that always breaks", "tcg", `tell up; tell begin one; echo "qemu: virtio: bogus descriptor" >&2; exec sleep 60`, errBroken,
			"another virtual machine goes on (3 of 3)", []string{"tcg 0", "tcg 0", "tcg 0"}},
		{"a guest that does not boot at first", "tcg", `[ $n = 1 ] && { echo kernel; exit 1; }; ` + allWell, nil, "the guest does not boot", []string{"tcg 0", "tcg 0"}},
		{"a guest that ends before its time", "tcg", `tell up; tell begin one; echo "kernel oops"; exit 0`, errDiedDown, "kernel oops", []string{"tcg 0"}},
		{"a guest that cannot go on", "tcg", `tell up; printf '\002vmlab {"event":"down","text":"no NIC"}\n'`, errFailed, "0 steps passed", []string{"tcg 0"}},
		{"KVM that was asked for and fails", "kvm", `echo "KVM internal error. Suberror: 3" >&2; exec sleep 60`, errNoBoot, "KVM internal error",
			[]string{"kvm 0", "kvm 0", "kvm 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, starts, err := bootFake(t, t.Context(), &options{accel: c.accel, timeout: time.Minute}, c.body)
			if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if !strings.Contains(told+fmt.Sprint(err), c.says) || !slices.Equal(starts, c.starts) {
				t.Errorf("started %q, want %q; it does not say %q:\n%s", starts, c.starts, c.says, told)
			}
		})
	}
}

// A machine that hangs ends with its time, and with Ctrl-C.
func TestBootIsBounded(t *testing.T) {
	const hangs = `tell up; tell begin one; exec sleep 60`
	if _, _, err := bootFake(t, t.Context(), &options{accel: "tcg", timeout: 300 * time.Millisecond}, hangs); !errors.Is(err, errFailed) ||
		!strings.Contains(err.Error(), "-timeout") {
		t.Errorf("a machine that hangs: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	begun := time.Now()
	if _, starts, err := bootFake(t, ctx, &options{accel: "tcg", timeout: time.Minute}, hangs); !errors.Is(err, context.Canceled) || len(starts) != 1 {
		t.Errorf("an interrupt: %v after %v, started %q", err, time.Since(begun), starts)
	}
}

// That KVM does not work is found out once in the life of a boot.
func TestKVMMark(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mark")
	if isMarked(file) {
		t.Error("nothing was marked")
	}
	mark(file)
	if !isMarked(file) {
		t.Error("it was marked")
	}
	if err := os.WriteFile(file, []byte("an earlier boot\n"), 0o644); err != nil || isMarked(file) {
		t.Errorf("the mark of an earlier boot counts (%v)", err)
	}
}

func TestFirstStepIsOnTheCommandLine(t *testing.T) {
	for line, want := range map[string]int{"": 0, "quiet vmlab.first=3 panic=-1\n": 3, "vmlab.first=x": 0, "vmlab.first=-2": 0, "xvmlab.first=3": 0} {
		if got := script.First(line); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

// Each NIC has a device and what it is plugged into; those on taps have a file for each queue, numbered as QEMU will find them.
func TestNICArguments(t *testing.T) {
	args, files := nicArguments("/f", nil)
	if text := strings.Join(args, " "); len(files) != 0 || strings.Contains(text, "tap,") || strings.Contains(text, "pair0") ||
		!strings.Contains(text, "local.path=/f/nic-wire0,remote.type=unix,remote.path=/f/wire-wire0") || !strings.Contains(text, "hubid=2") {
		t.Errorf("without taps: %s", text)
	}
	pair := plugged(plugTaps)
	t2 := &taps{queues: map[string][]*os.File{pair[0].name: make([]*os.File, 2), pair[1].name: make([]*os.File, 2)}}
	args, files = nicArguments("/f", t2)
	if text := strings.Join(args, " "); len(files) != 4 || !strings.Contains(text, "fds=3:4") || !strings.Contains(text, "fds=5:6") ||
		strings.Count(text, "mq=on,vectors=6") != 2 {
		t.Errorf("with taps: %d files, %s", len(files), text)
	}
}

// What one tap is given, the other gives.
func TestTaps(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a network namespace, and taps in it")
	}
	pair := plugged(plugTaps)
	made, err := newTaps(pair)
	if err != nil {
		t.Skipf("needs taps: %v", err)
	}
	defer made.close()
	a, b := made.queues[pair[0].name], made.queues[pair[1].name]
	if len(a) != cores || len(b) != cores {
		t.Fatalf("%d and %d queues, want %d", len(a), len(b), cores)
	}
	frame := append([]byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 0x88, 0xb5}, "across"...)
	if _, err := a[0].Write(frame); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, cores)
	for _, f := range b {
		_ = f.SetReadDeadline(time.Now().Add(5 * time.Second))
		go func() {
			buffer := make([]byte, 2048)
			for {
				n, err := f.Read(buffer)
				if text := string(buffer[:n]); err != nil || strings.HasSuffix(text, "across") {
					heard <- text
					return
				}
			}
		}()
	}
	for range b {
		if text := <-heard; strings.HasSuffix(text, "across") {
			return
		}
	}
	t.Error("nothing came across")
}
