package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// TakeOff takes an XDP program off an interface of the calling thread's network namespace: the one with this id, and no other that has come in its
// place. Nothing is kept of it: whoever attached it must do so again.
func TakeOff(index int, id uint32) error {
	if err := takeOff(index, id); err != nil {
		return fmt.Errorf("take XDP program %d off: %w", id, err)
	}
	return nil
}

func takeOff(index int, id uint32) error {
	const bound, pause = 2 * time.Second, 5 * time.Millisecond
	n := nic{index: index}
	for start := time.Now(); ; time.Sleep(pause) {
		on, native, err := n.attachedProgram()
		if err != nil {
			return err
		}
		if on == 0 {
			return nil // it went by itself, or is off now
		}
		if on != id {
			return fmt.Errorf("program %d has taken its place: look what attaches them", on)
		}
		if err := detachProgram(index, id, native); err != nil {
			return err
		}
		if time.Since(start) > bound {
			return fmt.Errorf("it is still there %v after it was detached: look what attaches it again", bound)
		}
	}
}

// detachProgram detaches by the way by which the program was attached: a bpf_link, or netlink.
func detachProgram(index int, id uint32, native bool) error {
	l, err := findLink(ebpf.ProgramID(id))
	if err == nil {
		defer l.Close()
		return l.Detach()
	}
	if !errors.Is(err, errRaced) { // that is: no link has it
		return err
	}
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	defer prog.Close()
	flags := uint32(unix.XDP_FLAGS_REPLACE | unix.XDP_FLAGS_SKB_MODE)
	if native {
		flags = unix.XDP_FLAGS_REPLACE | unix.XDP_FLAGS_DRV_MODE
	}
	none := int32(-1)
	word := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	link := nl.NewIfInfomsg(unix.AF_UNSPEC)
	link.Index = int32(index)
	request.AddData(link)
	xdp := nl.NewRtAttr(unix.IFLA_XDP|unix.NLA_F_NESTED, nil)
	xdp.AddRtAttr(unix.IFLA_XDP_FD, word(uint32(none)))
	xdp.AddRtAttr(unix.IFLA_XDP_FLAGS, word(flags))
	xdp.AddRtAttr(unix.IFLA_XDP_EXPECTED_FD, word(uint32(prog.FD())))
	request.AddData(xdp)
	_, err = request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
