package nictest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
)

// breathe does what a loop does that has nothing to do.
func breathe(ports ...*afxdp.Port) {
	var frames [8]dataplane.Frame
	for _, p := range ports {
		p.Free(frames[:p.RxBurst(frames[:])])
		p.Flush()
	}
}

// reach polls until the interface of a port is in a state.
func reach(t *testing.T, p *afxdp.Port, state string, reopened uint64, others ...*afxdp.Port) {
	t.Helper()
	waitFor(t, p.Info().Interface+" "+state, func() bool {
		breathe(append(others, p)...)
		h := p.Health()
		return h.State == state && h.Reopened == reopened
	})
}

// An interface that is set down and up again carries frames as before, on the sockets that it had.
func TestLinkDown(t *testing.T) {
	na, nb := pair(t)
	ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	a, b := open(t, ca), open(t, cb)
	exchange(t, a, b)
	link, err := netlink.LinkByName(na.name)
	must(t, err)
	for range 3 {
		must(t, netlink.LinkSetDown(link))
		reach(t, a, afxdp.LinkDown, 0, b)
		for seq := range uint64(200) { // under load
			sendOne(a, seq, 100)
			sendOne(b, seq, 100)
			breathe(a, b)
		}
		must(t, netlink.LinkSetUp(link))
		reach(t, a, afxdp.LinkUp, 0, b)
		exchange(t, a, b)
		drain(a, b)
		play(t, a, 1000, func() { reflect(b) })
	}
	t.Logf("%+v", a.Health())
}

// A device that is taken from its driver and given back is bound anew, without copies as before.
func TestUnplugged(t *testing.T) {
	na, nb := pair(t)
	ca, cb := ends(na, nb, afxdp.LinkEthernet, afxdp.ModeZeroCopy)
	a, b := open(t, ca), open(t, cb)
	exchange(t, a, b)
	for round := range uint64(2) {
		plug := unplug(t, na)
		reach(t, a, afxdp.LinkGone, round, b)
		for seq := range uint64(200) {
			sendOne(a, seq, 100)
			breathe(a, b)
		}
		plug()
		reach(t, a, afxdp.LinkUp, round+1, b)
		if got := a.Info().Mode; got != afxdp.ModeZeroCopy {
			t.Fatalf("mode %q when it was back", got)
		}
		exchange(t, a, b)
		drain(a, b)
		play(t, a, 1000, func() { reflect(b) })
	}
	t.Logf("%+v", a.Health())
}

// unplug takes a NIC's device from its driver. What it returns gives it back, and the interface its name.
func unplug(t *testing.T, n nic) (plug func()) {
	t.Helper()
	const driver = "/sys/bus/virtio/drivers/virtio_net/"
	device, err := filepath.EvalSymlinks(filepath.Join("/sys/class/net", n.name, "device"))
	must(t, err)
	tell := func(file string) { must(t, os.WriteFile(driver+file, []byte(filepath.Base(device)), 0)) }
	tell("unbind")
	return func() {
		t.Helper()
		tell("bind")
		waitFor(t, "the interface of "+n.name, func() bool {
			all, err := net.Interfaces()
			must(t, err)
			for _, i := range all {
				if string(i.HardwareAddr) != string(n.mac[:]) {
					continue
				}
				link, err := netlink.LinkByIndex(i.Index)
				must(t, err)
				must(t, netlink.LinkSetName(link, n.name))
				must(t, netlink.LinkSetUp(link))
				must(t, netlink.SetPromiscOn(link))
				return true
			}
			return false
		})
	}
}
