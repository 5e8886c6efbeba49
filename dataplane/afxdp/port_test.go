package afxdp

import (
	"testing"

	"wirepaxos/dataplane"
	"wirepaxos/dataplane/header"
	"wirepaxos/dataplane/porttest"
)

func TestConformance(t *testing.T) {
	for _, link := range []string{LinkEthernet, LinkUDP4} {
		t.Run(link, func(t *testing.T) {
			needAFXDP(t)
			porttest.Run(t, func(t *testing.T) *porttest.Pair { return conformancePair(t, link) })
		})
	}
}

func conformancePair(t *testing.T, link string) *porttest.Pair {
	newNet(t, 1)
	ca, cb := ends(link)
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
