package nic

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"wirepaxos/dataplane/netdev"
)

// Process is one that has AF_XDP sockets.
type Process struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
}

// Holder is who has an AF_XDP socket on a queue.
type Holder struct {
	Queue     int       `json:"queue"`
	Processes []Process `json:"processes"` // none: a process that this one may not see, or one in the kernel's course of ending
	Candidate bool      `json:"candidate"` // the kernel does not tell whose sockets are where: it is one of these
}

// Holders tells who holds which of the first queues of an interface of the calling thread's namespace. The kernel's sock_diag for AF_XDP (CONFIG_XDP_SOCKETS_DIAG) knows it exactly. Where that is
// missing, the netdev family knows which queues are held, and /proc which processes of this network namespace have such sockets at all.
func Holders(index, queues int) ([]Holder, error) {
	sockets, err := netlink.SocketDiagXDP()
	if err == nil || errors.Is(err, netlink.ErrDumpInterrupted) {
		return exactHolders(index, sockets), nil
	}
	held, err := netdev.HeldQueues(index, queues)
	if err != nil {
		return nil, err
	}
	if len(held) == 0 && netdev.TellsHeld() {
		return nil, nil
	}
	candidates := socketProcesses(nil)
	if len(held) == 0 && len(candidates) > 0 {
		return nil, fmt.Errorf("who holds which queue: this kernel does not tell (6.15 does, or CONFIG_XDP_SOCKETS_DIAG); %s and maybe others have AF_XDP sockets",
			candidates[0])
	}
	var all []Holder
	for _, q := range held {
		all = append(all, Holder{Queue: q, Processes: candidates, Candidate: true})
	}
	return all, nil
}

func (p Process) String() string { return fmt.Sprintf("%s (pid %d)", p.Command, p.PID) }

// exactHolders joins the kernel's list of sockets with the descriptors of processes.
func exactHolders(index int, sockets []*netlink.XDPDiagInfoResp) []Holder {
	var all []Holder
	for _, s := range sockets {
		if s.XDPInfo == nil || int(s.XDPInfo.Ifindex) != index {
			continue
		}
		all = append(all, Holder{Queue: int(s.XDPInfo.QueueID), Processes: socketProcesses(&s.XDPDiagMsg.Ino)})
	}
	slices.SortFunc(all, func(a, b Holder) int { return a.Queue - b.Queue })
	return all
}

// socketProcesses are the processes of this network namespace that have mapped the rings of an AF_XDP socket: of that inode, or of any.
func socketProcesses(inode *uint32) []Process {
	here, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return []Process{}
	}
	folders, _ := filepath.Glob("/proc/[0-9]*") // the pattern is sound
	all := []Process{}
	for _, folder := range folders {
		if there, err := os.Readlink(filepath.Join(folder, "ns/net")); err != nil || !lookEverywhere(folder) && there != here {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, "maps"))
		if err != nil || !hasRings(string(text), inode) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(folder)) // digits only
		command, _ := netdev.ReadText(filepath.Join(folder, "comm"))
		all = append(all, Process{PID: pid, Command: command})
	}
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return all
}

// lookEverywhere tells that a process may have its sockets in other namespaces than its first thread: it is this one.
func lookEverywhere(folder string) bool { return folder == fmt.Sprintf("/proc/%d", os.Getpid()) }

// hasRings looks in the text of /proc/PID/maps for the mapping of a fill ring, which no other kind of socket has at that offset
// (XDP_UMEM_PGOFF_FILL_RING, linux/if_xdp.h).
func hasRings(maps string, inode *uint32) bool {
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "socket:[") || strings.TrimLeft(fields[2], "0") != "100000000" {
			continue
		}
		if inode == nil || fields[4] == strconv.FormatUint(uint64(*inode), 10) {
			return true
		}
	}
	return false
}
