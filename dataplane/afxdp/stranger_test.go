package afxdp

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// attachStranger puts a program on an interface that is not ours, by a link: it goes when that is closed.
func attachStranger(t *testing.T, name string) link.Link {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "somebody_else", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}})
	must(t, err)
	defer prog.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: byName(t, name).Attrs().Index})
	must(t, err)
	return l
}
