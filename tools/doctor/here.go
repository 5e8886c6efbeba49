package doctor

import (
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/tools/nic"
)

// Here is this machine, seen from the network namespace of the calling thread.
func Here() *Source {
	interfaces := func() ([]nic.Interface, error) { return nic.List(nic.DefaultPlaces()) }
	return &Source{Root: "/", Look: afxdp.Look, Ask: ask, Held: held, List: interfaces, Try: try, Hold: hold, Exec: executable, Ours: ours}
}

// try does what a process with an AF_XDP port does first, and undoes it: a socket bound to nothing, a program attached to nothing.
func try() []Attempt {
	return []Attempt{
		{What: "AF_XDP socket", Mend: "run as root, or give CAP_NET_RAW; if that is there, boot a kernel with CONFIG_XDP_SOCKETS", Err: trySocket()},
		{What: "XDP program", Mend: "run as root, or give CAP_BPF and CAP_NET_ADMIN; a container may have to allow bpf(2)", Err: tryProgram()},
	}
}

func trySocket() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func tryProgram() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "wirepaxos_try", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return rootOf(err)
	}
	defer m.Close()
	const pass = 2 // XDP_PASS
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "wirepaxos_try", Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, pass), asm.Return()},
	})
	if err != nil {
		return rootOf(err)
	}
	return p.Close()
}

// rootOf is the innermost error: the kernel's. What the library adds is about another limit.
func rootOf(err error) error {
	for {
		wrapped, ok := err.(interface{ Unwrap() error })
		if !ok || wrapped.Unwrap() == nil {
			return err
		}
		err = wrapped.Unwrap()
	}
}

func hold(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "wirepaxos"
	}
	return path
}

func ours(core int) (allowed bool, list string) {
	cores, err := dataplane.Cores()
	if err != nil {
		return false, fmt.Sprintf("(%v)", err)
	}
	return slices.Contains(cores.Allowed, core), dataplane.FormatCores(cores.Allowed)
}
