package afxdp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/header"
	"wirepaxos/dataplane/netdev"
)

// Zero-copy is refused in many places, with few error numbers. This file finds out what is missing, as far as driver, device and kernel tell.

// makings are what zero-copy on an interface depends on.
type makings struct {
	name     string
	driver   string // "" where it does not tell
	release  string // of the kernel
	features netdev.Features
	told     bool   // whether the kernel tells them
	virtio   string // features of a virtio device: a digit for each, '1' for those that device and driver agreed on; "" for others
	mtu      int
	cell     int
	node     int  // NUMA node of the device, or anyNode
	noisy    bool // interrupts come beside busy-polling: nothing defers them
}

// lookMakings asks driver, device and kernel. What they do not tell stays empty.
func lookMakings(n *nic, cell int) *makings {
	m := &makings{name: n.name, mtu: n.mtu, cell: cell, node: anyNode}
	features, _, err := netdev.XDP(n.index)
	m.features, m.told = features, err == nil
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.release = unix.ByteSliceToString(uts.Release[:])
	}
	if e, err := ethtool.NewEthtool(); err == nil {
		m.driver, _ = e.DriverName(n.name)
		e.Close()
	}
	files, err := netdev.OpenSysfs(n.name, n.index)
	if err != nil {
		return m
	}
	defer files.Close()
	m.node = max(files.NUMANode(), anyNode)
	if m.driver == virtioDriver {
		m.virtio, _ = files.Read("device/features")
	}
	deferred, err1 := files.Number("napi_defer_hard_irqs")
	timeout, err2 := files.Number("gro_flush_timeout")
	m.noisy = err1 == nil && err2 == nil && (deferred == 0 || timeout == 0)
	return m
}

// Drivers and features that are known by name.
const (
	virtioDriver  = "virtio_net"
	virtioRelease = "6.13" // the first kernel whose virtio_net has zero-copy both ways

	virtioAccessPlatform = 33 // VIRTIO_F_ACCESS_PLATFORM
	virtioRingReset      = 40 // VIRTIO_F_RING_RESET
)

// lacks tells whether device and driver did not agree on a feature; false where that is not known.
func (m *makings) lacks(feature int) bool { return feature < len(m.virtio) && m.virtio[feature] == '0' }

// largestMTU is the MTU whose packets fit a cell, Ethernet header and tag included. In zero-copy mode all that comes in on the queue lies in cells, also
// what goes on to the kernel, and a NIC drops what does not fit.
func largestMTU(cell int) int { return cell - rxHeadroom - header.EthernetLen - header.TagLen }

// before is what can be told to be missing without a bind, or nil.
func (m *makings) before() *Error {
	switch {
	case m.told && m.features&netdev.XSKZeroCopy == 0:
		return m.noDriver(nil)
	case m.mtu > largestMTU(m.cell):
		return m.tooLong(nil)
	}
	return nil
}

// after is what is missing where bind answered with an error number.
func (m *makings) after(errno unix.Errno) *Error {
	if m.driver == virtioDriver {
		if e := m.noVirtio(errno); e != nil {
			return e
		}
	}
	switch {
	case errno == unix.EOPNOTSUPP && !m.told:
		return m.noDriver(errno)
	case errno == unix.EINVAL && m.mtu > largestMTU(m.cell):
		return m.tooLong(errno)
	case errno == unix.EINVAL:
		return fault(ErrNoZeroCopy, errno, "%s does not take cells of %d bytes, rings of these sizes, or the queue: take cells (chunk) of %d bytes, or mode %q or %q; "+
			"`dmesg` may tell more", m.who(), m.cell, SmallCell+LargeCell-m.cell, ModeAuto, ModeCopy)
	}
	return fault(ErrNoZeroCopy, errno, "%s refuses it on this queue: take another queue, or mode %q or %q; `dmesg` may tell more", m.who(), ModeAuto, ModeCopy)
}

// who names the driver.
func (m *makings) who() string {
	if m.driver == "" {
		return "the driver"
	}
	return "the driver " + m.driver
}

func (m *makings) noDriver(cause error) *Error {
	if m.driver == virtioDriver && olderThan(m.release, virtioRelease) {
		return fault(ErrNoZeroCopy, cause, "%s has zero-copy from kernel %s on, and this is %s: boot a newer one, or take mode %q or %q", virtioDriver, virtioRelease,
			m.release, ModeAuto, ModeCopy)
	}
	return fault(ErrNoZeroCopy, cause, "%s has no zero-copy: take mode %q or %q, or a NIC whose driver has it, such as ice, i40e, ixgbe, mlx5", m.who(), ModeAuto,
		ModeCopy)
}

func (m *makings) tooLong(cause error) *Error {
	room := largestMTU(m.cell)
	lower := fmt.Sprintf("run `ip link set dev %s mtu %d`", m.name, room)
	if larger := largestMTU(LargeCell); m.cell < LargeCell && m.mtu <= larger {
		lower = fmt.Sprintf("take cells (chunk) of %d bytes, or %s", LargeCell, lower)
	}
	return fault(ErrNoZeroCopy, cause, "packets of MTU %d do not fit cells of %d bytes, which take %d: %s, or take mode %q or %q", m.mtu, m.cell, room, lower,
		ModeAuto, ModeCopy)
}

// noVirtio says which options of the virtual machine's NIC are missing, or nil. Where the device does not tell its features, the error number does: without
// VIRTIO_F_ACCESS_PLATFORM the NIC has no DMA device to map the UMEM for (EINVAL), without VIRTIO_F_RING_RESET its queue cannot be taken over (ENOENT).
func (m *makings) noVirtio(errno unix.Errno) *Error {
	unknown := m.virtio == ""
	var missing []string
	if m.lacks(virtioAccessPlatform) || unknown && errno == unix.EINVAL {
		missing = append(missing, "iommu_platform=on (VIRTIO_F_ACCESS_PLATFORM)")
	}
	if m.lacks(virtioRingReset) || unknown && errno == unix.ENOENT {
		missing = append(missing, "queue_reset=on (VIRTIO_F_RING_RESET)")
	}
	switch {
	case olderThan(m.release, virtioRelease):
		return m.noDriver(errno)
	case len(missing) == 0:
		return nil
	}
	return fault(ErrNoZeroCopy, errno, "the virtual machine's NIC has not %s: start QEMU with that in its -device virtio-net-pci, or take mode %q or %q",
		strings.Join(missing, " and "), ModeAuto, ModeCopy)
}

// olderThan compares the first two numbers of kernel releases. What cannot be read is not older.
func olderThan(release, than string) bool {
	var a, b [2]int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a[0], &a[1]); n != 2 {
		return false
	}
	if n, _ := fmt.Sscanf(than, "%d.%d", &b[0], &b[1]); n != 2 {
		return false
	}
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

// bindFlags turns the mode into flags of bind(2). Without flags the kernel takes zero-copy if the driver has it. A generic
// program sees packets after the driver copied them, so that a zero-copy socket behind it would see none: then copy is the
// only way. It is, too, where the interface's packets are longer than a cell. note says why "auto" asks for less than it could.
func bindFlags(c *Config, s *steering, m *makings) (flags uint16, note string, refused *Error) {
	switch {
	case c.Mode == ModeZeroCopy && !s.native:
		return 0, "", fault(ErrNoZeroCopy, errors.New(s.why), "zero-copy needs native XDP: take mode %q or %q", ModeAuto, ModeCopy)
	case c.Mode == ModeZeroCopy:
		return unix.XDP_ZEROCOPY, "", m.before()
	case c.Mode == ModeCopy || !s.native:
		return unix.XDP_COPY, "", nil
	case m.mtu > largestMTU(m.cell):
		if m.features&netdev.XSKZeroCopy != 0 {
			note = fmt.Sprintf("no zero-copy: packets of MTU %d do not fit cells of %d bytes", m.mtu, m.cell)
		}
		return unix.XDP_COPY, note, nil
	}
	return 0, "", nil
}

// modeOf is what a bound port became, which may be refused. A socket is zero-copy only if the kernel says so and the program runs in the driver.
func modeOf(asked string, native, zeroCopy bool) (mode string, refused *Error) {
	switch {
	case native && zeroCopy:
		return ModeZeroCopy, nil
	case asked == ModeZeroCopy:
		return "", fault(ErrNoZeroCopy, nil, "the kernel says zero-copy %t, program in the driver %t: another process changed it meanwhile, start again", zeroCopy, native)
	case native:
		return ModeCopy, nil
	}
	return "generic", nil
}

// fellBack says why "auto" got copy from a driver that has zero-copy, or "". The kernel fell back without a word.
func (m *makings) fellBack() string {
	if m.features&netdev.XSKZeroCopy == 0 {
		return ""
	}
	if m.driver == virtioDriver {
		if e := m.noVirtio(0); e != nil {
			advice, _, _ := strings.Cut(e.Advice, ":")
			return "no zero-copy: " + advice
		}
	}
	return "no zero-copy: " + m.who() + " refused it; `dmesg` may tell why"
}
