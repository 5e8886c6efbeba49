package netdev

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newVeth gives the calling goroutine a network namespace of its own with one end of a veth pair of two queues that is up.
func newVeth(t *testing.T) *netlink.LinkAttrs {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	inner, err := netns.New()
	if err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	t.Cleanup(func() { inner.Close() })
	a := netlink.NewLinkAttrs()
	a.Name, a.NumRxQueues, a.NumTxQueues = "wpnd", 2, 2
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: "wpne"}); err != nil {
		t.Skipf("needs veth: %v", err)
	}
	l, err := netlink.LinkByName(a.Name)
	must(t, err)
	must(t, netlink.LinkSetUp(l))
	return l.Attrs()
}

// What veth is known to be able to do; it has no interrupts, and nobody has a queue of it. Other packages' tests have holders.
func TestVeth(t *testing.T) {
	a := newVeth(t)
	f, segments, err := XDP(a.Index)
	if err == ErrNone {
		t.Skip("needs the netdev family: kernel 6.3")
	}
	must(t, err)
	if !f.Native() || f.ZeroCopy() || segments != 0 || !slices.Contains(f.Names(), "redirect") || slices.Contains(f.Names(), "xsk-zerocopy") {
		t.Errorf("%v, %d segments", f.Names(), segments)
	}
	held, err := HeldQueues(a.Index, 2)
	if err != nil || len(held) > 0 {
		t.Errorf("held: %v, %v", held, err)
	}
	if irqs := Interrupts(a.Index, 2); len(irqs) > 0 {
		t.Errorf("interrupts: %v", irqs)
	}
	if _, _, err := XDP(1 << 20); err == nil {
		t.Error("an interface that is not there")
	}
}

// /sys shows the namespace of who mounted it: the files are those of the thread's own.
func TestSysfsOfAnotherNamespace(t *testing.T) {
	a := newVeth(t)
	s, err := OpenSysfs(a.Name, a.Index)
	must(t, err)
	defer s.Close()
	if s.mount < 0 {
		t.Error("/sys shows a namespace that was made after it was mounted")
	}
	if mac, err := s.Read("address"); err != nil || mac != a.HardwareAddr.String() {
		t.Errorf("address %q, %v", mac, err)
	}
	must(t, s.Write("gro_flush_timeout", "5000"))
	if n, err := s.Number("gro_flush_timeout"); err != nil || n != 5000 {
		t.Errorf("gro_flush_timeout %d, %v", n, err)
	}
	if s.Driver() != "" || s.NUMANode() != -1 || len(s.Interrupts()) != 0 || len(s.VirtioLacks()) != 0 {
		t.Errorf("a device: driver %q, node %d, interrupts %v, %v", s.Driver(), s.NUMANode(), s.Interrupts(), s.VirtioLacks())
	}
	if _, err := OpenSysfs(a.Name, a.Index+99); err == nil {
		t.Error("another index")
	}
	if _, err := OpenSysfs("wpnone", 1); err == nil || !strings.Contains(err.Error(), "went away") {
		t.Errorf("no such interface: %v", err)
	}
}

// device makes the folder of an interface whose virtio device has these features and sits on a PCI device, as the kernel lays it out.
func device(t *testing.T, driver, features string) *Sysfs {
	t.Helper()
	root := t.TempDir()
	pci := filepath.Join(root, "pci")
	for _, folder := range []string{"pci/virtio2", "pci/msi_irqs", "drivers/" + driver, "class/eth9"} {
		must(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	for path, text := range map[string]string{"virtio2/features": features + "\n", "numa_node": "1\n", "msi_irqs/41": "msix\n", "msi_irqs/40": "msix\n"} {
		must(t, os.WriteFile(filepath.Join(pci, path), []byte(text), 0o644))
	}
	must(t, os.Symlink(filepath.Join(root, "drivers", driver), filepath.Join(pci, "virtio2/driver")))
	must(t, os.Symlink(filepath.Join(pci, "virtio2"), filepath.Join(root, "class/eth9/device")))
	return &Sysfs{folder: filepath.Join(root, "class/eth9"), mount: -1}
}

// bits are a virtio device's features as its file has them.
func bits(set ...int) string {
	b := []byte(strings.Repeat("0", 64))
	for _, i := range set {
		b[i] = '1'
	}
	return string(b)
}

// A virtio device has node and interrupts by the device that it sits on; its features say what the host did not give it.
func TestVirtioDevice(t *testing.T) {
	s := device(t, "virtio_net", bits(0, 33, 40))
	if s.Driver() != "virtio_net" || s.NUMANode() != 1 || !slices.Equal(s.Interrupts(), []int{40, 41}) || len(s.VirtioLacks()) != 0 {
		t.Errorf("driver %q, node %d, interrupts %v, lacks %v", s.Driver(), s.NUMANode(), s.Interrupts(), s.VirtioLacks())
	}
	for features, want := range map[string][]string{
		bits(0, 33): {"queue_reset=on"}, bits(40): {"iommu_platform=on"}, bits(32): {"iommu_platform=on", "queue_reset=on"}, "10": {"iommu_platform=on", "queue_reset=on"},
	} {
		if got := device(t, "virtio_net", features).VirtioLacks(); !slices.Equal(got, want) {
			t.Errorf("%s: lacks %v, want %v", features, got, want)
		}
	}
	if got := device(t, "ice", bits()).VirtioLacks(); got != nil {
		t.Errorf("no virtio device: %v", got)
	}
}

func TestFeatures(t *testing.T) {
	for f, want := range map[Features]string{
		0: "", Basic: "basic", Basic | Redirect: "basic redirect native", XSKZeroCopy: "xsk-zerocopy", Basic | Redirect | XSKZeroCopy: "basic redirect xsk-zerocopy native zero-copy",
		1 << 60: "",
	} {
		words := f.Names()
		if f.Native() {
			words = append(words, "native")
		}
		if f.ZeroCopy() {
			words = append(words, "zero-copy")
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%#x: %q, want %q", uint64(f), got, want)
		}
	}
}
