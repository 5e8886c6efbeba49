package afxdp

import (
	"errors"
	"fmt"
	"net"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// Sight is what can be told of an interface without binding any of its queues.
type Sight struct {
	Name    string
	Index   int
	MTU     int
	MAC     net.HardwareAddr
	Queues  int    // that have both a receive and a transmit side: 0 to Queues-1 can be bound
	Up      bool   // set up by whoever owns the machine
	Carrier bool   // the other end of the wire is there
	State   string // in the kernel's word: "up", "down", "lower-layer-down", "unknown"

	Program Attached
}

// Attached is the XDP program on an interface; ID is 0 where there is none.
type Attached struct {
	ID     uint32
	Name   string // "" where this process may not ask
	Native bool   // it runs in the driver
	Ours   bool   // a port of this version joins it
}

// Look looks at an interface of the network namespace of the calling thread. The error is ErrNoInterface where there is none of that name.
func Look(name string) (*Sight, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		var missing netlink.LinkNotFoundError
		if errors.As(err, &missing) {
			return nil, ErrNoInterface
		}
		return nil, fmt.Errorf("ask netlink for interface %s: %w", name, err)
	}
	a := link.Attrs()
	s := &Sight{
		Name: name, Index: a.Index, MTU: a.MTU, MAC: a.HardwareAddr, Up: a.Flags&net.FlagUp != 0, State: a.OperState.String(),
		Carrier: a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown,
		Queues:  usableQueues(name, min(a.NumRxQueues, a.NumTxQueues)),
	}
	n := nic{name: name, index: a.Index}
	if s.Program.ID, s.Program.Native, err = n.attachedProgram(); err != nil || s.Program.ID == 0 {
		return s, err
	}
	s.Program.Name = nameOfProgram(s.Program.ID)
	s.Program.Ours = s.Program.Name == programName
	return s, nil
}

// nameOfProgram is "" for who may not ask: that a program is there is known without.
func nameOfProgram(id uint32) string {
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return ""
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return ""
	}
	return info.Name
}

// LargestMTU is the largest MTU of an interface with which its queues can be zero-copy, with cells of so many bytes.
func LargestMTU(cell int) int { return largestMTU(cell) }
