package afxdp

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/netdev"
)

// agreed is what sysfs tells of a virtio device that has some features.
func agreed(features ...int) string {
	text := []byte(strings.Repeat("0", 64))
	for _, f := range features {
		text[f] = '1'
	}
	return string(text)
}

// virtio is a NIC of a virtual machine that has all that zero-copy needs.
func virtio(change func(m *makings)) *makings {
	m := &makings{name: "eth1", driver: virtioDriver, release: "7.3.4+deb13-cloud-amd64", told: true, features: netdev.Basic | netdev.Redirect | netdev.XSKZeroCopy,
		virtio: agreed(virtioAccessPlatform, virtioRingReset), mtu: 1500, cell: SmallCell}
	change(m)
	return m
}

// A zero-copy socket behind a generic program would receive nothing, although the kernel may bind it; nor does it receive what is longer than a cell.
func TestModesBecomeFlags(t *testing.T) {
	const fits, tooLong = 1774, 1775
	for _, c := range []struct {
		mode   string
		native bool
		mtu    int
		flags  uint16
		fails  bool
		note   string
	}{
		{ModeAuto, true, fits, 0, false, ""},
		{ModeAuto, true, tooLong, unix.XDP_COPY, false, "MTU 1775"},
		{ModeAuto, false, fits, unix.XDP_COPY, false, ""},
		{ModeCopy, true, fits, unix.XDP_COPY, false, ""},
		{ModeCopy, true, tooLong, unix.XDP_COPY, false, ""},
		{ModeCopy, false, fits, unix.XDP_COPY, false, ""},
		{ModeZeroCopy, true, fits, unix.XDP_ZEROCOPY, false, ""},
		{ModeZeroCopy, true, tooLong, unix.XDP_ZEROCOPY, true, ""},
		{ModeZeroCopy, false, fits, 0, true, ""},
	} {
		m := virtio(func(m *makings) { m.mtu = c.mtu })
		flags, note, err := bindFlags(&Config{Mode: c.mode}, &steering{native: c.native, why: "a reason"}, m)
		if flags != c.flags || (err != nil) != c.fails || err != nil && err.Kind != ErrNoZeroCopy || !contains(note, c.note) || (note == "") != (c.note == "") {
			t.Errorf("%s, native %v, MTU %d: flags %#x, note %q, %v", c.mode, c.native, c.mtu, flags, note, err)
		}
	}
}

// XDP_OPTIONS says zero-copy also under a generic program: that alone is not enough. Who asked for zero-copy gets nothing else.
func TestWhatAPortBecame(t *testing.T) {
	for _, c := range []struct {
		native, zeroCopy bool
		want             string
	}{{true, true, ModeZeroCopy}, {true, false, ModeCopy}, {false, true, "generic"}, {false, false, "generic"}} {
		for _, asked := range []string{ModeAuto, ModeCopy} {
			if got, refused := modeOf(asked, c.native, c.zeroCopy); got != c.want || refused != nil {
				t.Errorf("%s, native %t, zero-copy %t: %q, %v", asked, c.native, c.zeroCopy, got, refused)
			}
		}
		if got, refused := modeOf(ModeZeroCopy, c.native, c.zeroCopy); (refused == nil) != (c.want == ModeZeroCopy) || refused == nil && got != ModeZeroCopy {
			t.Errorf("zero-copy asked for, native %t, zero-copy %t: %q, %v", c.native, c.zeroCopy, got, refused)
		}
	}
}

// What can be known to be missing is named before anything is bound.
func TestZeroCopyRefusedBefore(t *testing.T) {
	if e := virtio(func(*makings) {}).before(); e != nil {
		t.Errorf("all is there: %v", e)
	}
	for name, c := range map[string]struct {
		change func(m *makings)
		texts  []string
	}{
		"a driver without it":  {func(m *makings) { m.driver, m.features = "veth", netdev.Basic }, []string{"veth has no zero-copy", `"copy"`}},
		"an older virtio_net":  {func(m *makings) { m.release, m.features = "6.12.38+deb13-amd64", netdev.Basic }, []string{"from kernel 6.13 on", "6.12.38"}},
		"a nameless driver":    {func(m *makings) { m.driver, m.features = "", 0 }, []string{"the driver has no zero-copy"}},
		"packets of 2000":      {func(m *makings) { m.mtu = 2000 }, []string{"MTU 2000", "1774", "4096", "ip link set dev eth1 mtu 1774"}},
		"packets of 9000":      {func(m *makings) { m.mtu = 9000 }, []string{"MTU 9000", "mtu 1774"}},
		"in large cells, 9000": {func(m *makings) { m.mtu, m.cell = 9000, LargeCell }, []string{"cells of 4096", "mtu 3822"}},
	} {
		expectRefusal(t, name, virtio(c.change).before(), c.texts)
	}
}

// What the kernel answers is made what it means, for each of the ways in which zero-copy can be missing.
func TestZeroCopyRefusedByBind(t *testing.T) {
	unknown := func(m *makings) { m.virtio = "" }
	for name, c := range map[string]struct {
		change func(m *makings)
		errno  unix.Errno
		texts  []string
	}{
		"no iommu_platform":    {func(m *makings) { m.virtio = agreed(virtioRingReset) }, unix.EINVAL, []string{"has not iommu_platform=on (", "QEMU"}},
		"no queue_reset":       {func(m *makings) { m.virtio = agreed(virtioAccessPlatform) }, unix.ENOENT, []string{"has not queue_reset=on (", "QEMU"}},
		"neither":              {func(m *makings) { m.virtio = agreed() }, unix.EINVAL, []string{"iommu_platform=on", " and queue_reset=on"}},
		"EINVAL, not told":     {unknown, unix.EINVAL, []string{"has not iommu_platform=on ("}},
		"ENOENT, not told":     {unknown, unix.ENOENT, []string{"has not queue_reset=on ("}},
		"an older virtio_net":  {func(m *makings) { m.release, m.told = "6.12.38", false }, unix.EOPNOTSUPP, []string{"6.13", "6.12.38"}},
		"all there, yet not":   {func(*makings) {}, unix.EINVAL, []string{"virtio_net does not take cells of 2048 bytes", "dmesg"}},
		"another driver":       {func(m *makings) { m.driver, m.told = "e1000", false }, unix.EOPNOTSUPP, []string{"e1000 has no zero-copy"}},
		"one that has it":      {func(m *makings) { m.driver = "mlx5_core" }, unix.EOPNOTSUPP, []string{"mlx5_core refuses it on this queue"}},
		"MTU, noticed by bind": {func(m *makings) { m.driver, m.mtu = "ice", 3000 }, unix.EINVAL, []string{"MTU 3000"}},
		"large cells":          {func(m *makings) { m.driver, m.cell = "ice", LargeCell }, unix.EINVAL, []string{"cells of 4096", "of 2048 bytes"}},
	} {
		m := virtio(c.change)
		e := explain(c.errno, &nic{name: "eth1", queues: 1}, &Config{Mode: ModeZeroCopy}, m)
		expectRefusal(t, name, e, c.texts)
	}
	// Errors that mean the same in every mode are not taken for missing zero-copy.
	if e := explain(unix.EBUSY, &nic{name: "eth1", queues: 1}, &Config{Mode: ModeZeroCopy}, virtio(func(*makings) {})); e.Kind != ErrQueueTaken {
		t.Error(e)
	}
}

func expectRefusal(t *testing.T, name string, e *Error, texts []string) {
	t.Helper()
	if e == nil {
		t.Errorf("%s: not refused", name)
		return
	}
	t.Logf("%s: %v", name, e)
	for _, text := range texts {
		if e.Kind != ErrNoZeroCopy || !contains(e.Error(), text) || contains(e.Error(), "\n") {
			t.Errorf("%s: %v; want %q in one line", name, e, text)
		}
	}
}

// "auto" says why it has not what the driver could do, and nothing where the driver cannot.
func TestAutoSaysWhyItCopies(t *testing.T) {
	for _, c := range []struct {
		change func(m *makings)
		want   string
	}{
		{func(m *makings) { m.virtio = agreed(virtioAccessPlatform) }, "queue_reset=on"},
		{func(m *makings) { m.driver = "ice" }, "the driver ice refused it"},
		{func(m *makings) { m.features = netdev.Basic }, ""},
	} {
		if got := virtio(c.change).fellBack(); !contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// A feature that the device does not tell of is not missing.
func TestVirtioFeatures(t *testing.T) {
	m := &makings{virtio: agreed(virtioRingReset)}
	if !m.lacks(virtioAccessPlatform) || m.lacks(virtioRingReset) || m.lacks(64) || (&makings{}).lacks(virtioRingReset) {
		t.Errorf("%q", m.virtio)
	}
}

func TestOlderThan(t *testing.T) {
	for release, want := range map[string]bool{"6.12.9": true, "5.15.0-91-generic": true, "6.13.0": false, "6.13": false, "7.3.4+deb13": false, "": false, "x": false} {
		if olderThan(release, virtioRelease) != want {
			t.Errorf("%q: %t", release, !want)
		}
	}
}

// What is told of veth: a native program, and no zero-copy; no device, and interrupts that nothing defers.
func TestMakings(t *testing.T) {
	newNet(t, 1)
	n, wrong := lookNIC(nameA, 0)
	if wrong != nil {
		t.Fatal(wrong)
	}
	m := lookMakings(n, LargeCell)
	if !m.told {
		t.Skip("needs a kernel that tells what drivers can do (6.3)")
	}
	if !m.features.Native() || m.features.ZeroCopy() || m.driver != "veth" || m.virtio != "" || m.node != anyNode || !m.noisy || m.mtu != 1500 {
		t.Errorf("%+v", m)
	}
}
