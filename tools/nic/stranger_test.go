package nic

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/afxdp"
)

// attachStranger puts a program on an interface that is not ours.
func attachStranger(t *testing.T, name string) (stop func()) {
	t.Helper()
	prog := strangersProgram(t)
	defer prog.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: byName(t, name).Attrs().Index})
	must(t, err)
	return func() { l.Close() }
}

func strangersProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	const pass = 2 // XDP_PASS
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "somebody_else", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, pass), asm.Return()}})
	must(t, err)
	return prog
}

// attachByNetlink does it as `ip link set dev IFACE xdp …` does: the program stays until somebody takes it off.
func attachByNetlink(flags int) func(t *testing.T, name string) (stop func()) {
	return func(t *testing.T, name string) func() {
		t.Helper()
		prog := strangersProgram(t)
		defer prog.Close()
		must(t, netlink.LinkSetXdpFdWithFlags(byName(t, name), prog.FD(), flags))
		return func() {}
	}
}

// Told to, attach takes a stranger's program off, however it was attached, says so before, and puts ours in its place. A dry run says it and leaves it. What came
// in the place of the program that was named stays.
func TestAttachReplaces(t *testing.T) {
	for way, attach := range map[string]func(t *testing.T, name string) (stop func()){
		"a bpf_link":             attachStranger,
		"netlink, in the driver": attachByNetlink(unix.XDP_FLAGS_DRV_MODE),
		"netlink, generic":       attachByNetlink(unix.XDP_FLAGS_SKB_MODE),
		"a link in generic mode": func(t *testing.T, name string) func() {
			prog := strangersProgram(t)
			defer prog.Close()
			l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: byName(t, name).Attrs().Index, Flags: link.XDPGenericMode})
			must(t, err)
			return func() { l.Close() }
		},
	} {
		t.Run(way, func(t *testing.T) {
			o, said := newNet(t)
			defer attach(t, nameA)()
			before := list(t, o, nameA).Program
			o.Replace, o.DryRun = true, true
			must(t, Attach(o, nameA))
			if text := said(); !strings.Contains(text, `take off the XDP program "somebody_else"`) || !strings.Contains(text, "for good") {
				t.Error(text)
			}
			if now := list(t, o, nameA).Program; now == nil || now.ID != before.ID {
				t.Fatalf("a dry run made %+v of %+v", now, before)
			}
			index := byName(t, nameA).Attrs().Index
			if err := afxdp.TakeOff(index, before.ID+1000); err == nil || !strings.Contains(err.Error(), "has taken its place") {
				t.Errorf("another program than the one that was named was taken off: %v", err)
			}
			o.DryRun = false
			must(t, Attach(o, nameA))
			if i := list(t, o, nameA); i.Program == nil || !i.Program.Ours || !i.Program.Native || !i.Pinned {
				t.Fatalf("%+v", i.Program)
			}
			said()
			must(t, Detach(o, nameA))
			if i := list(t, o, nameA); i.Program != nil {
				t.Errorf("%+v is left", i.Program)
			}
			must(t, afxdp.TakeOff(index, before.ID)) // what is gone need not be taken off
		})
	}
}

// A program that is taken off while ours cannot take its place is told as done in part.
func TestReplacedInPart(t *testing.T) {
	o, _ := newNet(t)
	defer attachStranger(t, nameA)()
	o.Replace = true
	must(t, netlink.LinkSetDown(byName(t, nameA)))
	expect(t, Attach(o, nameA), "is down", "ip link set dev "+nameA+" up")
	if i := list(t, o, nameA); i.Program == nil || i.Program.Ours {
		t.Fatalf("%+v", i.Program)
	}
	must(t, netlink.LinkSetUp(byName(t, nameA)))
	must(t, Attach(o, nameB)) // mounts the bpffs
	inTheWay := filepath.Join(o.pins(byName(t, nameA).Attrs().Index), "in_the_way")
	must(t, os.MkdirAll(inTheWay, 0o700))
	defer func() {
		must(t, os.RemoveAll(filepath.Dir(inTheWay)))
		must(t, Detach(o, nameB))
	}()
	err := Attach(o, nameA)
	if !errors.Is(err, ErrPartly) || !strings.Contains(err.Error(), `"somebody_else" is off`) || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	t.Log(err)
}
