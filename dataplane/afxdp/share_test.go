package afxdp

import (
	"fmt"
	"testing"
)

// attached is the id of the XDP program on an interface of the test, 0 if there is none.
func attached(t testing.TB, name string) uint32 {
	t.Helper()
	n := nic{name: name, index: byName(t, name).Attrs().Index}
	id, _, err := n.attachedProgram()
	must(t, err)
	return id
}

func onQueue(c Config, queue int) Config {
	c.Queue = queue
	return c
}

// Two processes share one interface and one program. The death of the one that attached it disturbs the other not at all;
// the death of both, by kill -9, detaches it.
func TestProcessesShareAnInterface(t *testing.T) {
	newNet(t, 2)
	ca, cb := ends(LinkEthernet)
	b0, b1 := openPort(t, onQueue(cb, 0)), openPort(t, onQueue(cb, 1))

	first := start(t, child{Config: ca})
	if got := first.says(t); got != "open copy" {
		t.Fatal(got)
	}
	second := start(t, child{Config: onQueue(ca, 1)})
	if got := second.says(t); got != "open copy" {
		t.Fatal(got)
	}
	id := attached(t, nameA)
	expectEcho(t, b0)
	expectEcho(t, b1)

	first.kill()
	expectEcho(t, b1)
	if got := attached(t, nameA); got != id {
		t.Fatalf("program %d is attached, was %d", got, id)
	}
	first = start(t, child{Config: ca}) // comes back to its queue
	if got := first.says(t); got != "open copy" {
		t.Fatal(got)
	}
	expectEcho(t, b0)
	if got := attached(t, nameA); got != id {
		t.Fatalf("program %d is attached, was %d", got, id)
	}
	second.stop(t)
	expectEcho(t, b0)
	first.kill()
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
}

// expectEcho sends a frame through p, whose only peer echoes.
func expectEcho(t *testing.T, p *Port) {
	t.Helper()
	exchange(t, p, p)
	exchange(t, p, p)
}

// Processes that start at the same moment agree on one program, whoever attaches it; and one that starts while the last one
// ends attaches its own.
func TestProcessesRace(t *testing.T) {
	const processes, rounds = 4, 5
	newNet(t, processes)
	ca, _ := ends(LinkEthernet)
	ca.BusyRetry = patience // the queues of the last round become free when their processes are quite gone
	for range rounds {
		var all []*running
		for q := range processes {
			all = append(all, start(t, child{Config: onQueue(ca, q)}))
		}
		for q, r := range all {
			if got := r.says(t); got != "open copy" {
				t.Fatalf("queue %d: %s", q, got)
			}
		}
		if attached(t, nameA) == 0 {
			t.Fatal("no program is attached")
		}
		for _, r := range all[1:] {
			r.kill()
		}
		must(t, all[0].cmd.Process.Kill()) // and at once the next round
	}
	eventually(t, "detaching", func() bool { return attached(t, nameA) == 0 })
}

// Two kinds of link on one interface do not disturb one another: what a socket takes is entered per queue.
func TestLinksShareAnInterface(t *testing.T) {
	newNet(t, 2)
	rawA, rawB := ends(LinkEthernet)
	udpA, udpB := ends(LinkUDP4)
	a0, b0 := openPort(t, rawA), openPort(t, rawB)
	a1, b1 := openPort(t, onQueue(udpA, 1)), openPort(t, onQueue(udpB, 1))
	exchange(t, a0, b0)
	exchange(t, a1, b1)
	// A frame of the one on the queue of the other is nobody's; the kernel gets it, and it is counted.
	stray := openSender(t, rawB, b1)
	before := a1.Counters().Unsteered
	stray(t)
	eventually(t, "the count of unsteered packets", func() bool {
		must(t, a1.RefreshDriverCounters())
		return a1.Counters().Unsteered == before+1
	})
	if c := a1.Counters(); c.RxMalformed != 0 || c.RxStrangers != 0 {
		t.Fatalf("the frame reached the other socket: %+v", c)
	}
}

// openSender makes p, a port of another link, send one packet of c's link.
func openSender(t *testing.T, c Config, p *Port) func(t *testing.T) {
	t.Helper()
	return func(t *testing.T) {
		n, err := lookNIC(c.Interface, 0)
		if err != nil {
			t.Fatal(err)
		}
		other := &Port{}
		full, wrong := c.withDefaults()
		must(t, wrong)
		if err := other.address(n, &full); err != nil {
			t.Fatal(err)
		}
		cell := p.cells.pop(sending)
		p.cells.outgoing++
		at := int(cell)<<p.cells.shift + payloadAt
		other.templates[0].Put(p.umem[at:], 64)
		p.tx.put(uint64(at), other.headerLen+64)
		p.txPending = true
		p.Flush()
	}
}

// A program of someone else is named and stays, and our own is not attached.
func TestForeignProgramStays(t *testing.T) {
	newNet(t, 1)
	l := attachStranger(t, nameA)
	defer l.Close()
	id := attached(t, nameA)

	ca, _ := ends(LinkEthernet)
	_, err := Open(ca)
	if kind(t, err) != ErrForeign {
		t.Fatal(err)
	}
	t.Log(err)
	if got := attached(t, nameA); got != id {
		t.Fatalf("program %d is attached, was %d", got, id)
	}
	if want := fmt.Sprintf("%q", "somebody_else"); !contains(err.Error(), want) {
		t.Fatalf("%v does not name the program", err)
	}
}
