package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"wirepaxos/paxos"
	"wirepaxos/paxos/cluster"
	"wirepaxos/tools/netlab"
)

// hostile makes frames that a node must drop, with the reason that it must count, as if node from had sent them.
type hostile struct {
	cluster paxos.Cluster
	group   paxos.Group
	from    paxos.NodeID
	random  *rand.Rand
}

func (h *hostile) header(to paxos.NodeID) paxos.FrameHeader {
	return paxos.FrameHeader{Cluster: h.cluster, Incarnation: 77, Group: h.group, Sender: h.from, Destination: to, Epoch: paxos.FirstEpoch}
}

// frame is a sound frame with a message that no role of the node from may send: a promise.
func (h *hostile) frame(header paxos.FrameHeader, spoil func(message []byte)) []byte {
	b := make([]byte, 200)
	var w paxos.FrameWriter
	w.Start(b, header)
	w.Append(&paxos.Message{Kind: paxos.KindTrimmed, Low: 1 << 40})
	if spoil != nil {
		spoil(b[paxos.FrameHeaderSize:])
	}
	return b[:w.Finish()]
}

// frames has at least one frame for each reason there is.
func (h *hostile) frames(to paxos.NodeID) map[string][]byte {
	with := func(change func(*paxos.FrameHeader)) []byte {
		header := h.header(to)
		change(&header)
		return h.frame(header, nil)
	}
	at := func(offset int, value byte) []byte {
		b := h.frame(h.header(to), nil)
		b[offset] = value
		return b
	}
	return map[string][]byte{
		"short":       h.frame(h.header(to), nil)[:paxos.FrameHeaderSize-1],
		"magic":       at(0, 'X'),
		"version":     at(2, 99),
		"frame-kind":  at(3, 99),
		"cluster":     with(func(f *paxos.FrameHeader) { f.Cluster++ }),
		"group":       with(func(f *paxos.FrameHeader) { f.Group++ }),
		"check":       at(41, 0xff),
		"epoch":       with(func(f *paxos.FrameHeader) { f.Epoch = 2 }),
		"sender":      with(func(f *paxos.FrameHeader) { f.Sender = 60 }),
		"destination": with(func(f *paxos.FrameHeader) { f.Destination = 60 }),
		"kind":        h.frame(h.header(to), func(m []byte) { m[0] = 200 }),
		"message":     h.frame(h.header(to), func(m []byte) { binary.LittleEndian.PutUint16(m[2:], 4000) }),
		"role":        h.frame(h.header(to), nil),
	}
}

// noise is anything: random bytes of any length, or a frame with bytes changed, cut short, for several nodes that are or are not here, or of a sound
// checksum over a spoilt message.
func (h *hostile) noise(to paxos.NodeID) []byte {
	switch h.random.IntN(5) {
	case 0:
		b := make([]byte, 1+h.random.IntN(1472))
		for i := range b {
			b[i] = byte(h.random.Uint32())
		}
		return b
	case 1:
		b := h.frame(h.header(to), nil)
		b[h.random.IntN(len(b))] ^= byte(1 + h.random.IntN(255))
		return b
	case 2:
		b := h.frame(h.header(to), nil)
		return b[:1+h.random.IntN(len(b)-1)]
	case 3: // for whomever
		header := h.header(paxos.NodeID(h.random.IntN(2 * paxos.MaxNodes)))
		header.Also = uint16(h.random.Uint32())
		return h.frame(header, nil)
	}
	return h.frame(h.header(to), func(m []byte) {
		for range 1 + h.random.IntN(4) {
			m[1+h.random.IntN(15)] = byte(h.random.Uint32())
		}
	})
}

// attack sends a round of every reason and much noise to servers of each role, then checks that all was counted, nobody died and values go on.
func (b *bed) attack(send func(to uint16, payload []byte)) {
	b.t.Helper()
	f := b.plan.file
	h := &hostile{
		cluster: paxos.Cluster(f.Cluster), group: paxos.Group(f.Group), from: paxos.NodeID(b.plan.client), random: rand.New(rand.NewPCG(1, 2)),
	}
	const rounds, noise = 20, 500
	targets := []uint16{1, f.Proposers()[0].ID, f.Learners()[0].ID}
	for _, to := range targets {
		for range rounds {
			for _, payload := range h.frames(paxos.NodeID(to)) {
				send(to, payload)
			}
		}
		for range noise {
			send(to, h.noise(paxos.NodeID(to)))
		}
	}
	for _, to := range targets {
		for reason := range h.frames(1) {
			eventually(b.t, fmt.Sprintf("node %d counts what it dropped for %q", to, reason), func() bool {
				return b.status(to).Dropped[reason] >= rounds/2 // the rest may have met a full ring
			}, func() string { return fmt.Sprint(b.status(to).Dropped) })
		}
	}
}

// Frames of strangers, of other clusters and groups, and bytes that are no frames are dropped and counted by reason, while values go on.
func TestHostileFramesOverAFXDP(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportAFXDP})
	b.startAll()
	b.goesOn("the start")
	hosts := b.lab.Hosts()
	me := hosts[b.nodes[b.plan.client].host]
	var fd int
	err := b.lab.Do(me.Name, func() (err error) {
		fd, err = packetSocket()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	write := func(to uint16, from net.HardwareAddr, payload []byte) {
		frame := append(append([]byte{}, hosts[b.nodes[to].host].MAC...), from...)
		frame = binary.BigEndian.AppendUint16(frame, b.plan.file.EtherType)
		for {
			_, err := unix.Write(fd, append(frame, payload...))
			if err == nil {
				return
			}
			if err != unix.ENOBUFS && err != unix.EINTR {
				t.Fatal(err)
			}
		}
	}
	b.attack(func(to uint16, payload []byte) { write(to, me.MAC, payload) })
	stranger := net.HardwareAddr{2, 9, 9, 9, 9, 9}
	for range 50 {
		write(1, stranger, []byte("nobody knows me, and this is long enough for a frame"))
	}
	eventually(t, "strangers are counted", func() bool { return b.status(1).Ports[0].RxStrangers >= 25 }, b.describe)
	b.goesOn("all that")
	b.agree()
}

// packetSocket sends whole frames out of the lab's interface; the thread must be in the host's namespace.
func packetSocket() (int, error) {
	link, err := net.InterfaceByName(netlab.Interface)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Index})
}

// The same over UDP, from the client's own address while it is not there; and from one that the cluster file does not name.
func TestHostileFramesOverUDP(t *testing.T) {
	b := newBed(t, planConfig{transport: cluster.TransportUDP})
	b.startAll()
	b.goesOn("the start")
	b.signal(b.plan.client, syscall.SIGKILL)
	b.gone(b.plan.client)
	address := func(id uint16) *net.UDPAddr {
		n, err := b.plan.file.Node(id)
		if err != nil {
			t.Fatal(err)
		}
		return &net.UDPAddr{IP: n.IP.AsSlice(), Port: int(n.Port)}
	}
	from := func(local *net.UDPAddr, use func(c *net.UDPConn)) {
		c, err := net.ListenUDP("udp4", local)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		use(c)
	}
	from(address(b.plan.client), func(c *net.UDPConn) {
		b.attack(func(to uint16, payload []byte) { c.WriteToUDP(payload, address(to)) }) // one that is not sent is one less
	})
	from(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, func(c *net.UDPConn) {
		for range 50 {
			c.WriteToUDP([]byte("nobody knows me"), address(1))
		}
	})
	eventually(t, "strangers are counted", func() bool { return b.status(1).Ports[0].RxStrangers >= 25 }, b.describe)
	b.start(b.plan.client)
	b.goesOn("all that")
	b.agree()
}
