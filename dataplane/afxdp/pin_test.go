package afxdp

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"wirepaxos/dataplane/header"
)

// newPinFolder mounts a bpffs for the test and names a folder of pins in it.
func newPinFolder(t *testing.T) string {
	t.Helper()
	mount := t.TempDir()
	if err := unix.Mount("wirepaxos-test", mount, "bpf", 0, "mode=0700"); err != nil {
		t.Skipf("needs a bpffs: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(mount, unix.MNT_DETACH)) })
	return filepath.Join(mount, "pins")
}

// A pinned program stays when all processes were killed, in whichever order, and those that come back share it. It goes with the pins, or with the last
// process after them.
func TestPinnedProgramStays(t *testing.T) {
	newNet(t, 2)
	folder := newPinFolder(t)
	ca, cb := ends(LinkEthernet)
	b := [2]*Port{openPort(t, onQueue(cb, 0)), openPort(t, onQueue(cb, 1))}
	must(t, Pin(nameA, folder))
	id := attached(t, nameA)
	if id == 0 {
		t.Fatal("nothing is attached")
	}
	if index, stale := PinnedIn(folder); index != byName(t, nameA).Attrs().Index || stale {
		t.Fatalf("pinned for interface %d, stale %v", index, stale)
	}
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		var all [2]*running
		for q := range all {
			all[q] = start(t, child{Config: onQueue(ca, q)})
			if got := all[q].says(t); got != "open copy" {
				t.Fatal(got)
			}
			expectEcho(t, b[q])
		}
		all[order[0]].kill()
		expectEcho(t, b[order[1]])
		all[order[1]].kill()
		time.Sleep(50 * time.Millisecond) // what the kernel takes away when a process has ended
		if got := attached(t, nameA); got != id {
			t.Fatalf("program %d is attached, was %d", got, id)
		}
	}
	must(t, Pin(nameA, folder)) // once more changes nothing
	last := start(t, child{Config: ca})
	if got := last.says(t); got != "open copy" {
		t.Fatal(got)
	}
	must(t, Unpin(folder))
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Fatalf("the folder is left: %v", err)
	}
	expectEcho(t, b[0])
	if got := attached(t, nameA); got != id {
		t.Fatalf("program %d is attached, was %d", got, id)
	}
	last.kill()
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
}

// Without a process and without its pins the program is gone at once.
func TestUnpinDetaches(t *testing.T) {
	newNet(t, 1)
	folder := newPinFolder(t)
	must(t, Pin(nameA, folder))
	must(t, Unpin(folder))
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
}

// A redirect does not outlive its socket: what a role that was killed would have taken goes to the kernel, though program and maps stay.
func TestNoStaleRedirect(t *testing.T) {
	newNet(t, 1)
	giveAddress(t, nameA, ipA)
	folder := newPinFolder(t)
	must(t, Pin(nameA, folder))
	ca, _ := ends(LinkUDP4)
	role := start(t, child{Config: ca})
	if got := role.says(t); got != "open copy" {
		t.Fatal(got)
	}
	role.kill()
	kernelSocket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ipA.AsSlice(), Port: int(ca.UDPPort)})
	must(t, err)
	defer kernelSocket.Close()
	l := header.Link{Kind: header.UDP4, MAC: macB, IP: ipB, Port: 7001}
	tmpl, err := l.Template(header.Addr{MAC: macA, IP: ipA, Port: ca.UDPPort})
	must(t, err)
	packet := make([]byte, header.MinPacket)
	copy(packet[tmpl.Len():], "stray")
	tmpl.Put(packet, len("stray"))
	inject := rawSocket(t, nameB)
	buf := make([]byte, 64)
	eventually(t, "the datagram at the kernel's socket", func() bool {
		must(t, inject(packet)) // the kernel frees the socket a moment after its process has gone
		must(t, kernelSocket.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		n, _, err := kernelSocket.ReadFromUDPAddrPort(buf)
		return err == nil && string(buf[:n]) == "stray"
	})
	a := openPort(t, ca) // and a role that comes back counts from then on
	must(t, a.RefreshDriverCounters())
	if n := a.Counters().Unsteered; n != 0 {
		t.Fatalf("%d unsteered frames before the port was there", n)
	}
}

// Pins that a killed process left half made are no obstacle, and a program whose interface is gone is told.
func TestStalePins(t *testing.T) {
	newNet(t, 1)
	folder := newPinFolder(t)
	must(t, Pin(nameA, folder))
	must(t, os.Remove(filepath.Join(folder, pinLink)))
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
	if index, stale := PinnedIn(folder); index != 0 || !stale {
		t.Fatalf("half a folder: interface %d, stale %v", index, stale)
	}
	must(t, Pin(nameA, folder))
	must(t, netlink.LinkDel(byName(t, nameA)))
	if index, stale := PinnedIn(folder); index != 0 || !stale {
		t.Fatalf("interface %d is gone, stale %v", index, stale)
	}
	must(t, Unpin(folder))
}

// Pin neither replaces a stranger's program nor leaves anything when it fails.
func TestPinRefuses(t *testing.T) {
	newNet(t, 1)
	folder := newPinFolder(t)
	l := attachStranger(t, nameA)
	defer l.Close()
	id := attached(t, nameA)
	if err := Pin(nameA, folder); kind(t, err) != ErrForeign {
		t.Fatal(err)
	}
	if got := attached(t, nameA); got != id {
		t.Fatalf("program %d is attached, was %d", got, id)
	}
	on, err := ProgramOn(byName(t, nameA).Attrs().Index)
	must(t, err)
	if on == nil || on.ID != id || on.Name != "somebody_else" || on.Ours {
		t.Fatalf("%+v", on)
	}
	// A file system that is no bpffs keeps no pins.
	must(t, l.Close())
	plain := filepath.Join(t.TempDir(), "pins")
	if err := Pin(nameA, plain); err == nil {
		t.Fatal("pinned outside a bpffs")
	}
	if _, err := os.Stat(plain); !os.IsNotExist(err) {
		t.Fatalf("left behind: %v", err)
	}
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
}

// Keys of sockets that are gone give way to a new one: a pinned program sees more of them than its table has places.
func TestOldKeysGiveWay(t *testing.T) {
	newNet(t, 1)
	folder := newPinFolder(t)
	must(t, Pin(nameA, folder))
	keys, err := ebpf.LoadPinnedMap(filepath.Join(folder, mapKeys), nil)
	must(t, err)
	defer keys.Close()
	for i := range uint64(maxKeys) {
		must(t, keys.Put(keyUDP4<<keyKindShift|i+1, uint32(1)))
	}
	ca, cb := ends(LinkEthernet)
	a, b := openPort(t, ca), openPort(t, cb)
	exchange(t, a, b)
}
