package nictest

import (
	"encoding/binary"
	"testing"
	"time"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/afxdp"
	"wirepaxos/dataplane/header"
)

// UDP flows are spread over the queues of a NIC by its hash. A zero-copy socket on each queue takes what comes there: every frame of each flow arrives, in
// order, and the sockets send from their queues.
func TestQueues(t *testing.T) {
	const flows, total, window, firstPort = 64, 20000, 256, 9000
	na, nb := pair(t)
	ca, cb := ends(na, nb, afxdp.LinkUDP4, afxdp.ModeZeroCopy)
	ca.UDPPort, ca.Peers[0].UDPPort = firstPort, udpPort
	cb.Peers = nil
	var packets [flows][]byte
	to := header.Addr{MAC: nb.mac, IP: ipB, Port: udpPort}
	for i := range packets {
		from := header.Addr{MAC: na.mac, IP: ipA, Port: uint16(firstPort + i)}
		packets[i] = packet(t, afxdp.LinkUDP4, from, to, make([]byte, 64))
		cb.Peers = append(cb.Peers, afxdp.PeerAddr{MAC: na.mac[:], IP: ipA, UDPPort: from.Port})
	}
	both := func(c afxdp.Config) (ports [2]*afxdp.Port) {
		for q := range ports {
			c.Queue = q
			ports[q] = open(t, c)
		}
		return ports
	}
	a, b := both(ca), both(cb)
	send := rawSocket(t, na.name)
	var next [flows]uint64 // what is due of each flow
	var came [2]int
	var frames [64]dataplane.Frame
	got, progress := 0, time.Now()
	for sent := 0; got < total; {
		for sent < total && sent-got < window {
			p := packets[sent%flows]
			binary.LittleEndian.PutUint64(p[len(p)-64:], uint64(sent/flows))
			must(t, send(p))
			sent++
		}
		for q, port := range b {
			n := port.RxBurst(frames[:])
			for _, f := range frames[:n] {
				if seq := binary.LittleEndian.Uint64(f.Data); seq != next[f.Peer] {
					t.Fatalf("queue %d: frame %d of flow %d came where %d was due", q, seq, f.Peer, next[f.Peer])
				}
				next[f.Peer]++
				progress = time.Now()
			}
			port.Free(frames[:n])
			port.Flush()
			came[q] += n
			got += n
		}
		if time.Since(progress) > patience {
			t.Fatalf("%d of %d frames came (%v by queue), %d were sent, and no more comes", got, total, came, sent)
		}
	}
	if came[0] == 0 || came[1] == 0 {
		t.Errorf("of %d frames of %d flows %v came by queue: one queue has none", total, flows, came)
	}
	t.Logf("%d frames of %d flows: %v by queue", total, flows, came)
	backFrom(t, b, a)
}

// backFrom sends a frame from each of the ports, and expects them on either of the others.
func backFrom(t *testing.T, from, to [2]*afxdp.Port) {
	var frames [8]dataplane.Frame
	for q, port := range from {
		if !sendOne(port, uint64(q), 64) {
			t.Fatalf("queue %d takes no frame to send", q)
		}
		waitFor(t, "a frame from a queue", func() bool {
			port.Flush()
			for _, p := range to {
				if n := p.RxBurst(frames[:]); n > 0 {
					p.Free(frames[:n])
					return true
				}
			}
			return false
		})
	}
}
