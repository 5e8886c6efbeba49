package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// capability is one of capabilities(7).
type capability struct {
	name string
	bit  uint
	why  string
	also uint // another that includes it; 0 (CAP_CHOWN): none does
	need func(n *Need) Grade
}

func ifAFXDP(n *Need) Grade {
	if n.AFXDP || n.Bare {
		return Red
	}
	return Green
}

// capabilities are those that some process here can use, with how bad it is to lack them.
var capabilities = []capability{
	{"CAP_NET_RAW", unix.CAP_NET_RAW, "AF_XDP sockets", 0, ifAFXDP},
	{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN, "attaching an XDP program", 0, ifAFXDP},
	{"CAP_BPF", unix.CAP_BPF, "loading an XDP program", unix.CAP_SYS_ADMIN, ifAFXDP},
	{"CAP_SYS_ADMIN", unix.CAP_SYS_ADMIN, "joining the XDP program of another process on the same NIC", 0, func(n *Need) Grade {
		if n.sharesNIC() || n.Bare {
			return Yellow
		}
		return Green
	}},
	{"CAP_IPC_LOCK", unix.CAP_IPC_LOCK, "locked memory beyond the limit", 0, func(n *Need) Grade {
		if n.LockMemory {
			return Red
		}
		return Green // the line about the limit tells whether it takes more
	}},
	{"CAP_SYS_NICE", unix.CAP_SYS_NICE, "SCHED_FIFO", 0, func(n *Need) Grade {
		if n.FIFO {
			return Red
		}
		return Green
	}},
}

// sharesNIC tells whether two loops have a queue each of one interface.
func (n *Need) sharesNIC() bool {
	seen := map[string]bool{}
	for _, q := range n.NICs {
		if seen[q.Interface] {
			return true
		}
		seen[q.Interface] = q.Name != ""
	}
	return false
}

// privileges tells what this process may do, by its capabilities and by doing.
func (e *exam) privileges() {
	have, known := e.capabilities()
	if !known {
		e.yellow("capabilities", "/proc/self/status does not tell them", "mount /proc: mount -t proc proc /proc")
	}
	missing := 0
	for _, c := range capabilities {
		worst := c.need(e.need)
		if !known || worst == Green || have&(1<<c.bit) != 0 || c.also != 0 && have&(1<<c.also) != 0 {
			continue
		}
		missing++
		e.add(worst, c.name, "missing: "+c.why, fmt.Sprintf("run as root, or: setcap %s+ep %s", e.setcap(), e.from.Exec()))
	}
	if known && missing == 0 {
		e.green("capabilities", orWord(strings.ToUpper(strings.ReplaceAll(e.setcap(), ",", ", ")), "none is needed"))
	}
	if !e.need.AFXDP && !e.need.Bare {
		return
	}
	for _, a := range e.from.Try() {
		if a.Err != nil {
			e.red(a.What, "tried, and refused: "+a.Err.Error(), a.Mend)
			continue
		}
		e.green(a.What, "tried, and it works")
	}
	e.bpffs()
}

func orWord(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// setcap lists what setcap(8) is to give: all that the need asks for.
func (e *exam) setcap() string {
	var names []string
	for _, c := range capabilities {
		if c.need(e.need) > Green {
			names = append(names, strings.ToLower(c.name))
		}
	}
	return strings.Join(names, ",")
}

func (e *exam) capabilities() (mask uint64, known bool) {
	status, _ := e.read("/proc/self/status")
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return mask, err == nil
		}
	}
	return 0, false
}

// bpffs is needed by pins alone: processes share a program by descriptors.
func (e *exam) bpffs() {
	const what = "bpffs"
	mounts, _ := e.read("/proc/self/mounts")
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "bpf" {
			e.green(what, "mounted on "+f[1])
			return
		}
	}
	if kinds, there := e.read("/proc/filesystems"); there && !strings.Contains(kinds+"\n", "\tbpf\n") {
		e.yellow(what, "this kernel has none: nothing can be pinned, so a program goes with the last process that uses it", "boot a kernel with CONFIG_BPF_SYSCALL")
		return
	}
	e.green(what, "not mounted, and needed only to keep a program while no process runs")
}
