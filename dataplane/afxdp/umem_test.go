package afxdp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane"
)

// reserveHugepages has the machine reserve some for the test, more than it needs: ports of other tests may take some at the same time.
func reserveHugepages(t testing.TB) {
	t.Helper()
	needAFXDP(t)
	const enough = 64
	path := filepath.Join(hugepagesDir, "nr_hugepages")
	lock, err := os.Open(path)
	if err != nil {
		t.Skipf("needs hugepages: %v", err)
	}
	t.Cleanup(func() { must(t, lock.Close()) })
	// Tests of other packages that change it wait here for one another, and each puts back what it found.
	eventually(t, "nobody else to change it", func() bool { return unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil })
	r, err := readReserved(hugepagesDir)
	must(t, err)
	if r.Free >= enough {
		return
	}
	restore := fmt.Append(nil, r.Total)
	t.Cleanup(func() { must(t, os.WriteFile(path, restore, 0)) })
	must(t, os.WriteFile(path, fmt.Append(nil, r.Total+enough), 0))
	if r, err = readReserved(hugepagesDir); err != nil || r.Free < enough/2 {
		t.Skipf("needs memory for %d hugepages: %d are free, %v", enough, r.Free, err)
	}
}

// A packet of either size of cells may be as long as fits one, whatever the interface's MTU, and comes whole.
func TestCellSizes(t *testing.T) {
	newNet(t, 1)
	for _, name := range []string{nameA, nameB} {
		if err := netlink.LinkSetMTU(byName(t, name), 3400); err != nil {
			t.Skipf("needs an MTU of 3400: %v", err)
		}
	}
	for _, c := range []struct{ size, mtu int }{{SmallCell, SmallCell - payloadAt}, {LargeCell, 3400}} {
		for _, pages := range []string{HugepagesOff, HugepagesAuto} {
			ca, cb := ends(LinkEthernet)
			ca.CellSize, cb.CellSize, ca.Hugepages, cb.Hugepages = c.size, c.size, pages, pages
			a, b := openPort(t, ca), openPort(t, cb)
			if a.MTU() != c.mtu || a.Info().Cell != c.size {
				t.Fatalf("cells of %d: MTU %d, want %d; %+v", c.size, a.MTU(), c.mtu, a.Info())
			}
			var frames [8]dataplane.Frame
			if n := a.Alloc(frames[:]); n != len(frames) {
				t.Fatal("no cells")
			}
			for i := range frames {
				frames[i].Data, frames[i].Peer = frames[i].Data[:c.mtu-i], 0
				for k := range frames[i].Data {
					frames[i].Data[k] = byte(k*7 + i)
				}
			}
			a.TxBurst(frames[:])
			var got [8]dataplane.Frame
			i := 0
			eventually(t, "the packets", func() bool {
				a.Flush()
				n := b.RxBurst(got[:])
				for _, f := range got[:n] {
					if len(f.Data) != c.mtu-i || f.Data[1] != byte(7+i) || f.Data[len(f.Data)-1] != byte((len(f.Data)-1)*7+i) {
						t.Fatalf("cells of %d, packet %d: %d bytes", c.size, i, len(f.Data))
					}
					i++
				}
				b.Free(got[:n])
				return i == len(frames)
			})
			must(t, a.Close())
			must(t, b.Close())
		}
	}
}

// Hugepages are taken where they are reserved, by "on" and by "auto", and both ports work; they go back at Close.
func TestHugepages(t *testing.T) {
	newNet(t, 1)
	reserveHugepages(t)
	before, err := readReserved(hugepagesDir)
	must(t, err)
	for _, size := range []int{SmallCell, LargeCell} {
		ca, cb := ends(LinkEthernet)
		ca.CellSize, ca.Hugepages, cb.Hugepages = size, HugepagesOn, HugepagesOff
		a, b := openPort(t, ca), openPort(t, cb)
		if a.Info().Pages != "huge" || b.Info().Pages != "ordinary" {
			t.Fatalf("%+v, %+v", a.Info(), b.Info())
		}
		if n := hugeMappings(t); n != 1 {
			t.Fatalf("%d mappings of hugepages, want one", n)
		}
		exchange(t, a, b)
		must(t, a.Close())
		if n := hugeMappings(t); n != 0 {
			t.Fatalf("%d mappings of hugepages after Close", n)
		}
		ca.Hugepages = HugepagesAuto
		if a = openPort(t, ca); a.Info().Pages != "huge" {
			t.Fatalf("%+v", a.Info())
		}
		exchange(t, a, b)
		must(t, a.Close())
		must(t, b.Close())
	}
	eventually(t, "the hugepages to be free again", func() bool {
		after, err := readReserved(hugepagesDir)
		must(t, err)
		return after.Free >= before.Free
	})
}

// Where too few are reserved "on" says how to reserve them, and "auto" takes ordinary pages.
func TestTooFewHugepages(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	ca.Cells, ca.CellSize, ca.Hugepages = MaxCells/2, LargeCell, HugepagesOn // 512 MiB
	r, err := readReserved(hugepagesDir)
	if err != nil || r.Free >= hugepagesOf(ca.Cells*ca.CellSize) {
		t.Skipf("needs a machine where fewer than 256 hugepages are free: %d, %v", r.Free, err)
	}
	before := leftovers(t)
	_, err = Open(ca)
	if kind(t, err) != ErrNoHugepages || !contains(err.Error(), "nr_hugepages`") || contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	t.Log(err)
	expectNothingLeft(t, before)
	ca.Cells, ca.Hugepages = 64, HugepagesAuto // less than one hugepage: not worth one
	a, b := openPort(t, ca), openPort(t, cb)
	if a.Info().Pages != "ordinary" {
		t.Fatalf("%+v", a.Info())
	}
	exchange(t, a, b)
}

// What the kernel says of hugepages becomes the command that is needed.
func TestHugepageAdvice(t *testing.T) {
	home := hugepagesDir
	defer func() { hugepagesDir = home }()
	c := &Config{Cells: 4096, CellSize: SmallCell}
	for _, f := range []struct{ total, free, promised, want string }{
		{"0", "0", "0", "echo 4 > "},
		{"8", "3", "2", "echo 11 > "},
		{"8", "8", "0", "hugetlb.2MB.max"},
		{"", "", "", "CONFIG_HUGETLBFS"},
	} {
		hugepagesDir = t.TempDir()
		for name, text := range map[string]string{"nr_hugepages": f.total, "free_hugepages": f.free, "resv_hugepages": f.promised} {
			if text != "" {
				must(t, os.WriteFile(filepath.Join(hugepagesDir, name), []byte(text+"\n"), 0o600))
			}
		}
		if got := explainHugepages(unix.ENOMEM, c).Error(); !contains(got, f.want) || contains(got, "\n") {
			t.Errorf("%+v: %s", f, got)
		}
	}
}

// hugeMappings counts the mappings of hugepages that this process has.
func hugeMappings(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return strings.Count(string(text), "/anon_hugepage")
}

// A socket that cannot be bound leaves neither its descriptor nor its hugepages.
func TestHugepagesOfAFailedBind(t *testing.T) {
	newNet(t, 1)
	reserveHugepages(t)
	ca, cb := ends(LinkEthernet)
	ca.Hugepages, cb.Hugepages = HugepagesOn, HugepagesOn
	openPort(t, ca)
	before := leftovers(t)
	ca.BusyRetry = 30 * time.Millisecond
	if _, err := Open(ca); kind(t, err) != ErrQueueTaken {
		t.Fatal(err)
	}
	cb.Mode = ModeZeroCopy
	if _, err := Open(cb); kind(t, err) != ErrNoZeroCopy {
		t.Fatal(err)
	}
	expectNothingLeft(t, before)
}

// A machine of several nodes: the UMEM belongs on that of the loop's core, else on that of the device.
func TestWantedNode(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"sys/devices/system/node/online":               "0-1\n",
		"sys/devices/system/cpu/cpu5/node1/cpulist":    "4-7\n",
		"sys/devices/system/cpu/cpu2/node0/cpulist":    "0-3\n",
		"one/sys/devices/system/node/online":           "0\n",
		"one/sys/devices/system/cpu/cpu0/node0/online": "1\n",
	} {
		path = filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	for _, c := range []struct {
		root   string
		cores  []int
		device int
		want   int
	}{
		{"", []int{5}, 0, 1},
		{"", []int{2}, 1, 0},
		{"", []int{9}, 1, anyNode}, // a core that does not tell
		{"", nil, 1, 1},
		{"", nil, anyNode, anyNode},   // a device that does not tell
		{"one", []int{0}, 0, anyNode}, // one node: nothing to choose
		{"one", nil, 0, anyNode},
		{"none", []int{0}, 0, anyNode},
	} {
		if got := wantedNode(filepath.Join(root, c.root), c.cores, c.device); got != c.want {
			t.Errorf("cores %v, device on %d: node %d, want %d", c.cores, c.device, got, c.want)
		}
	}
}

// Memory that is mapped in onNode comes from that node, by the kernel's answer, and the thread's policy is its own again afterwards.
func TestOnNode(t *testing.T) {
	before, _, err := memoryPolicy()
	if err != nil {
		t.Skipf("needs a kernel with CONFIG_NUMA: %v", err)
	}
	const node = 0 // every machine has it
	onNode(node, func() {
		mode, mask, err := memoryPolicy()
		must(t, err)
		if mode != unix.MPOL_PREFERRED || mask.Count() != 1 || !mask.IsSet(node) {
			t.Fatalf("policy %d, %d nodes", mode, mask.Count())
		}
		memory, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
		must(t, err)
		defer func() { must(t, unix.Munmap(memory)) }()
		if got := nodeOfMemory(memory); got != node || nodeText(got) != "0" {
			t.Fatalf("node %d", got)
		}
	})
	if after, _, err := memoryPolicy(); after != before || err != nil {
		t.Fatalf("policy %d afterwards, %d before, %v", after, before, err)
	}
	onNode(anyNode, func() {
		if mode, _, _ := memoryPolicy(); mode != before {
			t.Fatalf("policy %d where no node is wanted", mode)
		}
	})
	newNet(t, 1)
	ca, _ := ends(LinkEthernet)
	ca.Cores = []int{0}
	if p := openPort(t, ca); p.Info().Node != "0" && p.node == 0 || p.Info().Note != "" {
		t.Fatalf("%+v", p.Info())
	}
}

// The interface of a port in hugepages goes away and comes back: the same memory serves the new socket.
func TestHugepagesOutliveTheInterface(t *testing.T) {
	newNet(t, 1)
	reserveHugepages(t)
	ca, cb := ends(LinkEthernet)
	ca.Hugepages, ca.CellSize, cb.Hugepages = HugepagesOn, LargeCell, HugepagesOff
	a := openPort(t, ca)
	unplug(t)
	eventually(t, "the loop takes its leave", func() bool { breathe(a); return a.steering == nil })
	plug(t, 1, macA[:])
	reopened(t, a, 1)
	if i := a.Info(); i.Pages != "huge" || i.Cell != LargeCell || hugeMappings(t) != 1 {
		t.Fatalf("%+v, %d mappings", i, hugeMappings(t))
	}
	exchange(t, a, openPort(t, cb))
	must(t, a.Close())
	if n := hugeMappings(t); n != 0 {
		t.Fatalf("%d mappings of hugepages after Close", n)
	}
}
