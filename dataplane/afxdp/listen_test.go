package afxdp

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// groupMAC is a multicast address that tests listen to.
var groupMAC = net.HardwareAddr{3, 'W', 'P', 1, 2, 3}

// listensTo tells how many times an interface of the test is asked to let packets to an address in: /proc/net/dev_mcast of the thread's namespace.
func listensTo(t testing.TB, name string, address net.HardwareAddr) (users int) {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/net/dev_mcast")
	must(t, err)
	hex := fmt.Sprintf("%x", []byte(address))
	for line := range strings.Lines(string(text)) { // index, name, users, global users, address
		if f := strings.Fields(line); len(f) == 5 && f[1] == name && f[4] == hex {
			_, err := fmt.Sscan(f[2], &users)
			must(t, err)
		}
	}
	return users
}

// The interface lists the addresses for as long as a port is open that listens to them, whichever way it ends.
func TestListen(t *testing.T) {
	newNet(t, 2)
	ca, _ := ends(LinkEthernet)
	ca.Listen = []net.HardwareAddr{groupMAC, {3, 'W', 'P', 1, 2, 4}}
	expect := func(when string, want int) {
		t.Helper()
		for _, a := range ca.Listen {
			if got := listensTo(t, nameA, a); got != want {
				t.Errorf("%s: %v is listed for %d, want %d", when, a, got, want)
			}
		}
	}
	expect("before", 0)
	p, err := Open(ca)
	must(t, err)
	expect("open", 1)
	other := start(t, child{Config: onQueue(ca, 1)})
	if got := other.says(t); got != "open copy" {
		t.Fatal(got)
	}
	expect("open twice", 2)
	must(t, p.Close())
	expect("the first is closed", 1)
	other.kill()
	eventually(t, "the kernel takes back what was asked for", func() bool { return listensTo(t, nameA, groupMAC) == 0 })
	expect("the second was killed", 0)
	if attached(t, nameA) != 0 {
		t.Error("the program is still attached")
	}
	p, err = Open(ca) // it comes back
	must(t, err)
	expect("open again", 1)
	must(t, p.Close())
	expect("closed again", 0)
}

// An address that is none, or no multicast one, is refused, also behind one that is, and nothing is left open.
func TestListenRefused(t *testing.T) {
	newNet(t, 1)
	ca, cb := ends(LinkEthernet)
	b := openPort(t, cb)
	warm, err := Open(ca) // what the first use opens for good is open now
	must(t, err)
	must(t, warm.Close())
	before := leftovers(t)
	for _, c := range []struct {
		name   string
		listen []net.HardwareAddr
		text   string
	}{
		{"a unicast address", []net.HardwareAddr{macB[:]}, "no multicast address"},
		{"a good one, then a unicast one", []net.HardwareAddr{groupMAC, macB[:]}, "no multicast address"},
		{"too short", []net.HardwareAddr{groupMAC[:5]}, "03:57:50:01:02"},
		{"too long", []net.HardwareAddr{append(groupMAC[:6:6], 1, 2)}, "03:57:50:01:02:03:01:02"},
		{"none", []net.HardwareAddr{nil}, ""},
	} {
		config := ca
		config.Listen = c.listen
		p, err := Open(config)
		if err == nil {
			p.Close()
			t.Errorf("%s: opened", c.name)
			continue
		}
		t.Log(err)
		if kind(t, err) != ErrConfig || !contains(err.Error(), c.text) || !contains(err.Error(), "give multicast addresses") || contains(err.Error(), "\n") {
			t.Errorf("%s: %v", c.name, err)
		}
		if listensTo(t, nameA, groupMAC) != 0 || attached(t, nameA) != 0 {
			t.Errorf("%s: something is left of it", c.name)
		}
	}
	expectNothingLeft(t, before)
	exchange(t, openPort(t, ca), b) // the queue is free
}
