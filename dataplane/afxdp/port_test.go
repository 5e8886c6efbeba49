package afxdp

import (
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
	"wirepaxos/dataplane/porttest"
)

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name, link string
		cell       int
	}{{"ethernet", LinkEthernet, SmallCell}, {"udp4", LinkUDP4, SmallCell}, {"large-cells", LinkEthernet, LargeCell}} {
		t.Run(c.name, func(t *testing.T) {
			needAFXDP(t)
			porttest.Run(t, func(t *testing.T) *porttest.Pair { return conformancePair(t, c.link, c.cell) })
		})
	}
}

func conformancePair(t *testing.T, link string, cell int) *porttest.Pair {
	newNet(t, 1)
	ca, cb := ends(link)
	ca.CellSize, cb.CellSize = cell, cell
	open := func(c Config) *Port {
		p, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := open(ca), open(cb)
	send := rawSocket(t, nameA)
	pair := &porttest.Pair{A: a, B: b, Lossy: true}
	if link == LinkEthernet {
		pair.Pad = header.MinPacket - header.EthernetLen
	}
	stranger := header.Addr{MAC: header.MAC{2, 0, 0, 0, 0, 0xEE}, IP: ipA.Next().Next(), Port: 7000}
	pair.Stranger = func(payload []byte) error { return send(packetTo(t, b, stranger, payload)) }
	pair.Malformed = func() error {
		packet := packetTo(t, b, header.Addr{MAC: macA, IP: ipA, Port: 7000}, make([]byte, 64))
		if link == LinkEthernet {
			packet[5] ^= 0x55 // to another MAC
		} else {
			packet[header.EthernetLen+10] ^= 1 // checksum
		}
		return send(packet)
	}
	pair.KillB = func() { must(t, b.Close()) }
	pair.ReopenB = func() dataplane.Port { b = open(cb); return b }
	return pair
}
