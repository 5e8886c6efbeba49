package afxdp

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/header"
)

// steering is our part of the XDP program on an interface: descriptors of its link and of its maps.
//
// One program serves all processes on the interface. The first attaches it by a bpf_link; the others find the link and hold
// a descriptor on it as well. The kernel counts: when the last descriptor is closed, by Close or by the death of its
// process, it detaches the program. A pin (pin.go) counts as a process that never ends.
type steering struct {
	link      link.Link
	sockets   *ebpf.Map
	queues    *ebpf.Map
	keys      *ebpf.Map
	unsteered *ebpf.Map
	native    bool   // the program runs in the driver
	why       string // why it does not
	baseline  uint64 // unsteered packets before this port
}

// etherMTU is the usual MTU. What native XDP takes beyond it is up to the driver: 3,506 over veth, at times no more than this.
const etherMTU = 1500

// errRaced says that another process was attaching or detaching at the same moment.
var errRaced = errors.New("another process is attaching or detaching its XDP program")

// openSteering joins our program on the interface, or attaches it. Processes that start or stop at the same moment disturb one
// another; each then looks again.
func openSteering(n *nic) (*steering, *Error) {
	const tries, pause = 200, 5 * time.Millisecond
	var err error
	for range tries {
		var s *steering
		s, err = tryOpenSteering(n)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errRaced) {
			break
		}
		time.Sleep(pause)
	}
	var known *Error
	switch {
	case errors.As(err, &known):
		return nil, known
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, noPrivilege(rootOf(err)) // what the library adds is about another limit
	}
	return nil, fault(ErrProgram, err, "`ip link show dev %s` shows what is attached", n.name)
}

func tryOpenSteering(n *nic) (*steering, error) {
	id, native, err := n.attachedProgram()
	if err != nil {
		return nil, err
	}
	if id == 0 {
		return attachSteering(n)
	}
	return joinSteering(n, ebpf.ProgramID(id), native)
}

// attachSteering makes maps and program and attaches them, in the driver if it can, else in the generic path.
func attachSteering(n *nic) (_ *steering, err error) {
	s := &steering{}
	defer func() {
		if err != nil {
			s.closeDescriptors()
		}
	}()
	for _, spec := range mapSpecs(n.maxQueues) {
		m, err := ebpf.NewMap(spec)
		if err != nil {
			return nil, fmt.Errorf("create map %s: %w", spec.Name, err)
		}
		*s.place(spec.Name) = m
	}
	prog, err := ebpf.NewProgram(programSpec(s.sockets.FD(), s.queues.FD(), s.keys.FD(), s.unsteered.FD()))
	if err != nil {
		return nil, fmt.Errorf("load XDP program: %w", err)
	}
	defer prog.Close()
	s.link, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: n.index, Flags: link.XDPDriverMode})
	if err == nil {
		s.native = true
		return s, nil
	}
	s.why = fmt.Sprintf("the driver refuses native XDP (%v)", rootOf(err))
	if n.mtu > etherMTU {
		s.why += fmt.Sprintf("; its MTU is %d, and most drivers want a packet to fit a page: try `ip link set dev %s mtu %d`", n.mtu, n.name, etherMTU)
	}
	if !isTaken(err) {
		s.link, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: n.index, Flags: link.XDPGenericMode})
	}
	if isTaken(err) {
		return nil, errRaced
	}
	if err != nil {
		return nil, fmt.Errorf("attach XDP program: %s; generic: %w", s.why, err)
	}
	return s, nil
}

// isTaken tells that a program is on the interface already.
func isTaken(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) }

// rootOf is the innermost error: the kernel's.
func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// joinSteering takes a share in the program that is on the interface, if it is ours.
func joinSteering(n *nic, id ebpf.ProgramID, native bool) (_ *steering, err error) {
	prog, err := ebpf.NewProgramFromID(id)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errRaced
	}
	if err != nil {
		return nil, fmt.Errorf("open XDP program %d on the interface: %w", id, err)
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return nil, fmt.Errorf("read XDP program %d on the interface: %w", id, err)
	}
	if info.Name != programName {
		return nil, fault(ErrForeign, nil, "program %q (id %d) is not ours and stays: stop what attached it, "+
			"put ours in its place by `wirepaxos nic attach %s --replace`, or take another interface", info.Name, id, n.name)
	}
	s := &steering{native: native}
	if !native {
		s.why = "the program on the interface was attached in generic mode"
	}
	defer func() {
		if err != nil {
			s.closeDescriptors()
		}
	}()
	if s.link, err = findLink(id); err != nil {
		return nil, err
	}
	ids, _ := info.MapIDs()
	if err = s.openMaps(ids); err != nil {
		return nil, err
	}
	return s, nil
}

// findLink finds the link of a program by asking every link of the machine. The program's id is unique; an interface's
// index is not, across network namespaces.
func findLink(id ebpf.ProgramID) (link.Link, error) {
	it := new(link.Iterator)
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil || info.Program != id || info.XDP() == nil {
			continue
		}
		if info.XDP().Ifindex == 0 { // detached: the interface is going away
			return nil, errRaced
		}
		return it.Take(), nil
	}
	if err := it.Err(); err != nil && !errors.Is(err, unix.EAGAIN) {
		return nil, fmt.Errorf("look for the link of XDP program %d: %w", id, err)
	}
	return nil, errRaced // not settled yet, or gone by now
}

func (s *steering) openMaps(ids []ebpf.MapID) error {
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return fmt.Errorf("open map %d of the XDP program: %w", id, err)
		}
		info, err := m.Info()
		if err != nil {
			m.Close()
			return fmt.Errorf("read map %d of the XDP program: %w", id, err)
		}
		place := s.place(info.Name)
		if place == nil || *place != nil {
			m.Close()
			continue
		}
		*place = m
	}
	for _, spec := range mapSpecs(1) {
		m := *s.place(spec.Name)
		if m == nil || m.Type() != spec.Type || m.KeySize() != spec.KeySize || m.ValueSize() != spec.ValueSize {
			return fault(ErrForeign, nil, "program %q has not the maps of this version: stop the processes that use it first", programName)
		}
	}
	return nil
}

// place is where the map of that name belongs, or nil.
func (s *steering) place(name string) **ebpf.Map {
	switch name {
	case mapSockets:
		return &s.sockets
	case mapQueues:
		return &s.queues
	case mapKeys:
		return &s.keys
	case mapUnsteered:
		return &s.unsteered
	}
	return nil
}

// enter sends the packets of l that come in on queue to the socket, which is bound to it. Nobody else can be: the kernel binds
// a queue once, so that what another process left behind here is stale.
func (s *steering) enter(queue, fd int, l *header.Link) error {
	place, key := uint32(queue), steeringKey(l)
	var err error
	if s.baseline, err = s.countUnsteered(); err != nil {
		return err
	}
	err = s.keys.Put(key, uint32(1))
	if errors.Is(err, unix.E2BIG) { // keys of sockets that are gone
		if err = s.sweepKeys(); err == nil {
			err = s.keys.Put(key, uint32(1))
		}
	}
	if err != nil {
		return fmt.Errorf("enter what the socket takes: %w", err)
	}
	if err := s.sockets.Put(place, uint32(fd)); err != nil {
		return fmt.Errorf("enter the socket: %w", err)
	}
	if err := s.queues.Put(place, key); err != nil {
		return fmt.Errorf("enter the queue: %w", err)
	}
	return nil
}

// isDetached tells that the program was taken off the interface, by whoever can: processes that hold the link have no say in it.
func (s *steering) isDetached() bool {
	info, err := s.link.Info()
	return err == nil && info.XDP() != nil && info.XDP().Ifindex == 0
}

// countUnsteered is the number of packets for some socket of the interface that met none.
func (s *steering) countUnsteered() (uint64, error) {
	var each []uint64
	if err := s.unsteered.Lookup(uint32(0), &each); err != nil {
		return 0, fmt.Errorf("read unsteered packets: %w", err)
	}
	sum := uint64(0)
	for _, n := range each {
		sum += n
	}
	return sum, nil
}

// closeDescriptors gives up our share of the program. The socket need not be taken out of the map first: when it is closed,
// the kernel does it, and packets for its queue are passed on from then on.
func (s *steering) closeDescriptors() {
	for _, m := range []*ebpf.Map{s.sockets, s.queues, s.keys, s.unsteered} {
		if m != nil {
			m.Close()
		}
	}
	if s.link != nil {
		s.link.Close()
	}
}
