package afxdp

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/netdev"
)

// The UMEM and the rings are to lie on the NUMA node of the core that works on them: every packet is read and written there. The kernel takes memory for a
// thread by the thread's policy (Documentation/admin-guide/mm/numa_memory_policy.rst), and takes it when it is asked for: the UMEM is populated where it is
// mapped, and rings are allocated where their sizes are set. So the policy is set around both, whichever package makes them.

// anyNode is no node in particular: there is one alone, or it is not known which.
const anyNode = -1

// wantedNode is the node of the first of the cores, or the device's where no core is named, or anyNode. root stands for "/".
func wantedNode(root string, cores []int, device int) int {
	text, _ := netdev.ReadText(filepath.Join(root, "sys/devices/system/node/online"))
	if nodes, err := dataplane.ParseCores(text); err != nil || len(nodes) < 2 {
		return anyNode
	}
	if len(cores) == 0 {
		return device
	}
	found, _ := filepath.Glob(fmt.Sprintf("%s/sys/devices/system/cpu/cpu%d/node[0-9]*", root, cores[0]))
	if len(found) == 0 {
		return anyNode
	}
	node, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(found[0]), "node"))
	if err != nil {
		return anyNode
	}
	return node
}

// onNode calls do on a thread whose memory comes from a node, as long as there is some there. The thread's policy is what it was afterwards. A kernel that
// refuses leaves memory where it comes from.
func onNode(node int, do func()) {
	if node == anyNode || node >= maxNodes {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	mode, mask, err := memoryPolicy()
	if err == nil {
		var wanted unix.CPUSet
		wanted.Set(node)
		if unix.SetMemPolicy(unix.MPOL_PREFERRED, &wanted) == nil {
			defer func() { _ = unix.SetMemPolicy(mode, &mask) }() // it was there before: it is no policy that can be refused
		}
	}
	do()
}

// Nodes that memory was found on, where it is not one.
const (
	severalNodes = -2
	maxNodes     = 1024 // of a set that the kernel reads
)

// nodeOfMemory asks the kernel where memory lies, page by page of 64 KiB (or larger). It is anyNode where the kernel does not tell.
func nodeOfMemory(memory []byte) int {
	const stride = 64 << 10
	found := anyNode
	for at := 0; at < len(memory); at += stride {
		node, err := nodeOfByte(memory, at)
		switch {
		case err != nil:
			return anyNode
		case found == anyNode:
			found = node
		case node != found:
			return severalNodes
		}
	}
	return found
}

// nodeText names what nodeOfMemory found, for people and dataplane.Info.
func nodeText(node int) string {
	switch node {
	case anyNode:
		return ""
	case severalNodes:
		return "several"
	}
	return strconv.Itoa(node)
}
